"""Power over time whose integral is known exactly.

A trace gives power in watts at a time in seconds, and the energy in joules from time 0 to that time. Both are closed
forms, so the truth of a window is no numerical integral: its error is that of floating point alone, 1e-16 of the energy
since time 0, also after a million seconds. Traces can be added, scaled by a number, and shifted in time.
"""

from __future__ import annotations

import itertools
import random
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Trace", "bursts", "constant", "noise", "ramp", "recorded", "square", "steps"]


class Trace(ABC):
    """Power over time. A trace of one's own gives `power_w` and `energy_j`, and has the rest from here."""

    @abstractmethod
    def power_w(self, t_s: float) -> float:
        """Give the power at a time, in watts; where it jumps, the one that follows."""

    @abstractmethod
    def energy_j(self, t_s: float) -> float:
        """Give the energy from time 0 to `t_s`, in joules; negative before time 0."""

    def between_j(self, start_s: float, end_s: float) -> float:
        """Give the energy from one time to another, in joules."""
        return self.energy_j(end_s) - self.energy_j(start_s)

    def shifted(self, by_s: float) -> Trace:
        """Give the same trace, later by `by_s` seconds."""
        return _Shifted(self, by_s)

    def __add__(self, other: Trace) -> Trace:
        if not isinstance(other, Trace):
            return NotImplemented
        return _Sum((self, other))

    def __mul__(self, factor: float) -> Trace:
        if not isinstance(factor, int | float):
            return NotImplemented
        _refuse_negative("a factor", factor)
        return _Scaled(self, float(factor))

    __rmul__ = __mul__


def constant(power_w: float) -> Trace:
    """Give a trace that always draws `power_w` watts."""
    _refuse_negative("a power", power_w)
    return _Constant(float(power_w))


def square(low_w: float, high_w: float, period_s: float, duty: float = 0.5, phase_s: float = 0.0) -> Trace:
    """Give a square wave: every `period_s` seconds `high_w` watts for `duty` of the period, then `low_w`.

    Args:
        low_w: power in the second part, in watts.
        high_w: power in the first part, in watts.
        period_s: length of both, in seconds.
        duty: the first part's share of the period, between 0 and 1.
        phase_s: a moment at which the power rises, in seconds.

    Raises:
        ValueError: if a power is negative, the period is not positive, or `duty` is not between 0 and 1.
    """
    if not 0 < duty < 1:
        raise ValueError(f"duty is {duty}; it lies between 0 and 1 (for 0 and 1 take a constant trace)")
    wave = _periodic((0.0, duty * period_s, period_s), (high_w, low_w), (high_w, low_w))
    return wave.shifted(phase_s) if phase_s else wave


def bursts(low_w: float, high_w: float, frequency_hz: float, duty: float = 0.25, phase_s: float = 0.0) -> Trace:
    """Give short bursts of `high_w` watts, `frequency_hz` a second: a `square` by its frequency.

    Raises:
        ValueError: as for `square`.
    """
    if not frequency_hz > 0:
        raise ValueError(f"frequency_hz is {frequency_hz}; it is positive")
    return square(low_w, high_w, 1 / frequency_hz, duty, phase_s)


def ramp(low_w: float, high_w: float, period_s: float, *, triangle: bool = False, phase_s: float = 0.0) -> Trace:
    """Give a power that rises linearly from `low_w` to `high_w` watts and falls back at once.

    Args:
        low_w: power at the foot, in watts.
        high_w: power at the top, in watts.
        period_s: time from foot to foot, in seconds.
        triangle: whether it falls as slowly as it rises, each in half the period.
        phase_s: a moment at which it stands at its foot, in seconds.

    Raises:
        ValueError: if a power is negative or the period is not positive.
    """
    if triangle:
        wave = _periodic((0.0, period_s / 2, period_s), (low_w, high_w), (high_w, low_w))
    else:
        wave = _periodic((0.0, period_s), (low_w,), (high_w,))
    return wave.shifted(phase_s) if phase_s else wave


def steps(levels: Iterable[tuple[float, float]]) -> Trace:
    """Give a power that jumps: from each ``(time_s, power_w)`` on, that power, until the next.

    The first power holds before its time as well, the last one for ever.

    Raises:
        ValueError: if there is none, the times do not rise, or a power is negative.
    """
    times_s, powers_w = _columns(levels)
    return _Pieces((*times_s, times_s[-1] + 1.0), powers_w, powers_w)


def recorded(times_s: Sequence[float], powers_w: Sequence[float]) -> Trace:
    """Give a recorded power, linear between its points; the first and the last power hold before and after.

    Raises:
        ValueError: if there are fewer than two points or not as many powers as times, the times do not rise, or a power
            is negative.
    """
    times_s, powers_w = _columns(zip(times_s, powers_w, strict=True))
    if len(times_s) < 2:
        raise ValueError("a recorded trace needs two points or more")
    return _Pieces(times_s, powers_w[:-1], powers_w[1:])


def noise(mean_w: float, sd_w: float, hold_s: float, seed: int = 0, *, holds: int = 4096) -> Trace:
    """Give a random power that is drawn anew every `hold_s` seconds, from a normal distribution cut off at 0 W.

    The draws repeat after `holds` of them (4096 of 0.1 s: seven minutes), so that the energy is a closed form.

    Args:
        mean_w: mean of the distribution, in watts.
        sd_w: its standard deviation, in watts.
        hold_s: how long each draw holds, in seconds.
        seed: the same seed gives the same trace.
        holds: how many draws there are.

    Raises:
        ValueError: if `hold_s`, `holds`, `mean_w` or `sd_w` is negative, or one of the first two is 0.
    """
    _refuse_negative("a standard deviation", sd_w)
    _refuse_negative("a power", mean_w)
    if holds < 1:
        raise ValueError(f"holds is {holds}; it is positive")
    draw = random.Random(seed)  # noqa: S311 - a simulation, no secret
    powers_w = tuple(max(0.0, draw.gauss(mean_w, sd_w)) for _ in range(holds))
    return _periodic(tuple(n * hold_s for n in range(holds + 1)), powers_w, powers_w)


@dataclass(frozen=True, slots=True)
class _Constant(Trace):
    watts: float

    def power_w(self, t_s: float) -> float:
        return self.watts

    def energy_j(self, t_s: float) -> float:
        return self.watts * t_s


@dataclass(frozen=True, slots=True)
class _Sum(Trace):
    terms: tuple[Trace, ...]

    def power_w(self, t_s: float) -> float:
        return sum(term.power_w(t_s) for term in self.terms)

    def energy_j(self, t_s: float) -> float:
        return sum(term.energy_j(t_s) for term in self.terms)


@dataclass(frozen=True, slots=True)
class _Scaled(Trace):
    trace: Trace
    factor: float

    def power_w(self, t_s: float) -> float:
        return self.factor * self.trace.power_w(t_s)

    def energy_j(self, t_s: float) -> float:
        return self.factor * self.trace.energy_j(t_s)


@dataclass(frozen=True, slots=True)
class _Shifted(Trace):
    trace: Trace
    by_s: float

    def power_w(self, t_s: float) -> float:
        return self.trace.power_w(t_s - self.by_s)

    def energy_j(self, t_s: float) -> float:
        return self.trace.energy_j(t_s - self.by_s) - self.trace.energy_j(-self.by_s)


class _Pieces(Trace):
    """Pieces that are each linear in time; the first and the last power hold before and after.

    Args:
        edges_s: where the pieces begin, and where the last one ends.
        from_w: power at the beginning of each.
        to_w: power at its end.
    """

    def __init__(self, edges_s: Sequence[float], from_w: Sequence[float], to_w: Sequence[float]) -> None:
        if not all(earlier < later for earlier, later in itertools.pairwise(edges_s)):
            raise ValueError("the times of a trace rise")
        for power_w in (*from_w, *to_w):
            _refuse_negative("a power", power_w)
        self._edges_s, self._from_w, self._to_w = tuple(edges_s), tuple(from_w), tuple(to_w)
        energies_j = (
            (first + last) / 2 * (end - start)
            for first, last, (start, end) in zip(from_w, to_w, itertools.pairwise(edges_s), strict=True)
        )
        self._until_j = tuple(itertools.accumulate(energies_j, initial=0.0))
        self._before_zero_j = self._since_first_edge_j(0.0)

    def power_w(self, t_s: float) -> float:
        if t_s < self._edges_s[0]:
            return self._from_w[0]
        if t_s >= self._edges_s[-1]:
            return self._to_w[-1]
        piece, into_s, slope = self._at(t_s)
        return self._from_w[piece] + slope * into_s

    def energy_j(self, t_s: float) -> float:
        return self._since_first_edge_j(t_s) - self._before_zero_j

    def _since_first_edge_j(self, t_s: float) -> float:
        if t_s < self._edges_s[0]:
            return self._from_w[0] * (t_s - self._edges_s[0])
        if t_s >= self._edges_s[-1]:
            return self._until_j[-1] + self._to_w[-1] * (t_s - self._edges_s[-1])
        piece, into_s, slope = self._at(t_s)
        return self._until_j[piece] + into_s * (self._from_w[piece] + slope * into_s / 2)

    def _at(self, t_s: float) -> tuple[int, float, float]:
        """Find a piece, how far into it a time lies, in seconds, and its slope, in watts a second."""
        piece = bisect_right(self._edges_s, t_s) - 1
        start_s, end_s = self._edges_s[piece], self._edges_s[piece + 1]
        return piece, t_s - start_s, (self._to_w[piece] - self._from_w[piece]) / (end_s - start_s)


@dataclass(frozen=True, slots=True)
class _Periodic(Trace):
    """Pieces from 0 to `period_s`, over and over."""

    pieces: _Pieces
    period_s: float
    period_j: float

    def power_w(self, t_s: float) -> float:
        return self.pieces.power_w(t_s % self.period_s)

    def energy_j(self, t_s: float) -> float:
        # `%` of floats is exact for times after 0, so nothing is lost however many periods have gone by.
        into_s = t_s % self.period_s
        return round((t_s - into_s) / self.period_s) * self.period_j + self.pieces.energy_j(into_s)


def _periodic(edges_s: Sequence[float], from_w: Sequence[float], to_w: Sequence[float]) -> Trace:
    if not edges_s[-1] > 0:
        raise ValueError(f"the period is {edges_s[-1]} s; it is positive")
    pieces = _Pieces(edges_s, from_w, to_w)
    return _Periodic(pieces, edges_s[-1], pieces.energy_j(edges_s[-1]))


def _columns(points: Iterable[tuple[float, float]]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    rows = tuple(points)
    if not rows:
        raise ValueError("a trace needs a point")
    return tuple(float(t) for t, _ in rows), tuple(float(p) for _, p in rows)


def _refuse_negative(what: str, value: float) -> None:
    if not value >= 0:
        raise ValueError(f"{what} is {value}; it cannot be negative")
