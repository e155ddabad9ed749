"""What trials come to: errors, coverage against 95 %, and widths."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.meter.trials import Outcome

__all__ = ["LEVEL", "Verdict", "chance_of_so_few", "verdict"]

COVERAGE = 0.95
LEVEL = 0.01
"""A cell is significantly below 95 % if so few held would come up less often than this."""
ERRORS = 4.0
LEAST = 0.01
"""An interval is too wide if the part that is not specification exceeds `ERRORS` median errors and `LEAST`."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the trials of a cell, or of several, come to; errors and widths are relative.

    Attributes:
        trials: how many there were.
        named: how many of them gave no energy, but the name of a fault.
        held: how many of the others held the truth.
        own: how many would have held it by that part of the interval alone which is not the sensor's specification, had
            the sensor been right: what a wide specification hides.
        median, p95, worst: of the error, its sign left out.
        wide: median of the half-width that is not the sensor's specification.
    """

    trials: int
    named: int
    held: int
    own: int
    median: float
    p95: float
    worst: float
    wide: float

    @property
    def figures(self) -> int:
        """How many trials gave an energy."""
        return self.trials - self.named

    @property
    def chance(self) -> float:
        """How likely it is that so few hold the truth if 95 % do in the long run."""
        return chance_of_so_few(self.held, self.figures)

    @property
    def covers(self) -> bool:
        """Whether the coverage is not significantly below 95 %."""
        return self.chance >= LEVEL

    @property
    def widest(self) -> float:
        """How wide it may be."""
        return max(ERRORS * self.median, LEAST)

    @property
    def narrow(self) -> bool:
        """Whether it is not uselessly wide."""
        return not self.figures or self.wide <= self.widest


def verdict(outcomes: Iterable[Outcome]) -> Verdict:
    """Sum trials up."""
    every = tuple(outcomes)
    known = [outcome for outcome in every if not outcome.fault]
    errors = sorted(abs(outcome.error) for outcome in known)
    return Verdict(
        trials=len(every),
        named=len(every) - len(known),
        held=sum(outcome.held for outcome in known),
        own=sum(abs(outcome.error) <= outcome.wide for outcome in known),
        median=statistics.median(errors) if errors else math.nan,
        p95=_quantile(errors, 0.95),
        worst=errors[-1] if errors else math.nan,
        wide=statistics.median(outcome.wide for outcome in known) if known else math.nan,
    )


def _quantile(ordered: Sequence[float], part: float) -> float:
    return ordered[math.ceil(part * len(ordered)) - 1] if ordered else math.nan


def chance_of_so_few(held: int, trials: int, coverage: float = COVERAGE) -> float:
    """Give the probability of `held` or fewer of `trials` (binomial); 1 without a trial."""
    return min(
        1.0,
        math.fsum(math.comb(trials, k) * coverage**k * (1 - coverage) ** (trials - k) for k in range(held + 1)),
    )
