"""Made-up series of trials: their truth is 1, or they drift and have none."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["BLOCK", "COVERED", "DRIFTING", "LIMITS", "MOST", "Cell"]

BLOCK = 4
MOST = 60
NOISE = 0.01
Draw = Callable[[random.Random], list[float]]


@dataclass(frozen=True, slots=True)
class Cell:
    """One kind of series.

    Attributes:
        name: in words.
        draw: gives `MOST` trials, in blocks of `BLOCK`.
        truth: mean that the interval must hold; None where there is none.
    """

    name: str
    draw: Draw
    truth: float | None = 1.0


def _normal(sd: float) -> Draw:
    return lambda dice: [1 + dice.gauss(0, sd) for _ in range(MOST)]


def _autoregressive(rho: float, sd: float, *, fresh: bool) -> Draw:
    """Neighbours correlate by rho; across blocks too, unless each block starts afresh."""

    def draw(dice: random.Random) -> list[float]:
        x, values = dice.gauss(0, 1), []
        for i in range(MOST):
            if fresh and i % BLOCK == 0:
                x = dice.gauss(0, 1)
            values.append(1 + sd * x)
            x = rho * x + math.sqrt(1 - rho * rho) * dice.gauss(0, 1)
        return values

    return draw


def _student(sd: float) -> Draw:
    """Student's t with 3 degrees of freedom, whose variance is 3, scaled to `sd`."""

    def one(dice: random.Random) -> float:
        return dice.gauss(0, 1) / math.sqrt(dice.gammavariate(1.5, 2) / 3)

    return lambda dice: [1 + sd * one(dice) / math.sqrt(3) for _ in range(MOST)]


def _spikes(share: float, size: float) -> Draw:
    """Now and then a trial takes more, by a log-normal amount around `size`; the mean is put back to 1."""
    mean = share * size * math.exp(0.125)

    def draw(dice: random.Random) -> list[float]:
        spike = [size * dice.lognormvariate(0, 0.5) if dice.random() < share else 0.0 for _ in range(MOST)]
        return [(1 + dice.gauss(0, NOISE) + s) / (1 + mean) for s in spike]

    return draw


def _offsets(between: float, within: float) -> Draw:
    def draw(dice: random.Random) -> list[float]:
        offsets = [dice.gauss(0, between) for _ in range(MOST // BLOCK)]
        return [1 + offsets[i // BLOCK] + dice.gauss(0, within) for i in range(MOST)]

    return draw


def _course(course: Callable[[int], float], sd: float = NOISE) -> Draw:
    return lambda dice: [1 + course(i) + dice.gauss(0, sd) for i in range(MOST)]


def _line(change: float, over: int, sd: float = NOISE) -> Draw:
    return _course(lambda i: change * i / over, sd)


def _cells(draws: Mapping[str, Draw], truth: float | None = 1.0) -> tuple[Cell, ...]:
    return tuple(Cell(name, draw, truth) for name, draw in draws.items())


COVERED = _cells(
    {
        **{f"independent, normal, {100 * sd:.2g} %": _normal(sd) for sd in (0.005, 0.01, 0.02, 0.03, 0.05)},
        **{
            f"AR(1), rho = {rho}, {100 * sd:.0f} %{', afresh in each block' if fresh else ''}": _autoregressive(
                rho, sd, fresh=fresh
            )
            for rho in (0.3, 0.5, 0.7)
            for sd in (0.01, 0.03)
            for fresh in (False, True)
        },
        **{f"Student's t, 3 dof, {100 * sd:.0f} %": _student(sd) for sd in (0.01, 0.03)},
        **{
            f"1 % and log-normal spikes of {100 * size:.0f} % in {100 * share:.0f} % of trials": _spikes(share, size)
            for share, size in ((0.05, 0.03), (0.1, 0.05), (0.2, 0.05))
        },
        **{
            f"{100 * between:.0f} % from block to block, {100 * within:.0f} % within": _offsets(between, within)
            for between, within in ((0.01, 0.01), (0.02, 0.01), (0.03, 0.01), (0.02, 0.02))
        },
    }
)
"""Series with a mean, by the standard deviation of a trial: at least 93 % of stopped intervals must hold it."""

DRIFTING = _cells(
    {
        **{f"line, {100 * change:.0f} % over 20 trials, 1 %": _line(change, 20) for change in (0.05, 0.1, 0.2)},
        "line, 10 % over 20 trials, 2 %": _line(0.1, 20, 0.02),
        "line, 20 % over 60 trials, 1 %": _line(0.2, 60),
        **{
            f"warm-up once, {100 * size:.0f} %, e-fold in {length} trials, 1 %": _course(
                lambda i, size=size, length=length: size * math.exp(-i / length)  # type: ignore[misc]
            )
            for size, length in ((0.1, 6), (0.1, 15), (0.2, 3), (0.2, 6))
        },
        **{
            f"warm-up in each block, {100 * size:.0f} %, e-fold in {length} trials, 1 %": _course(
                lambda i, size=size, length=length: size * math.exp(-(i % BLOCK) / length)  # type: ignore[misc]
            )
            for size, length in ((0.05, 1), (0.05, 3), (0.1, 1))
        },
    },
    truth=None,
)
"""Series whose mean is the mean of nothing: the verdict must be *drifting*."""

LIMITS = (
    *_cells(
        {
            "line, 5 % over 20 trials, 2 %": _line(0.05, 20, 0.02),
            "line, 5 % over 60 trials, 1 %": _line(0.05, 60),
            "line, 10 % over 60 trials, 1 %": _line(0.1, 60),
        },
        truth=None,
    ),
    Cell("1 % and log-normal spikes of 30 % in 3 % of trials", _spikes(0.03, 0.3)),
)
"""What no rule can see in so few trials: shown, not promised."""
