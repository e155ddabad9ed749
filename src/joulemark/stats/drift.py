"""Whether a series of trials has a course, so that its mean is the mean of nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from joulemark.stats.series import worth
from joulemark.stats.student import student_t_quantile
from joulemark.stats.summary import in_blocks

__all__ = ["Drift", "find_drift"]


@dataclass(frozen=True, slots=True)
class Drift:
    """A course that was found.

    Attributes:
        change: by how much the values change, as a part of their mean: positive for a rise.
        words: where, for people.
    """

    change: float
    words: str

    def __str__(self) -> str:
        return f"{self.words} by {100 * abs(self.change):.2g} %"


@dataclass(frozen=True, slots=True)
class _Contrast:
    change: float
    standard_error: float
    dof: float
    words: str


def find_drift(
    values: Sequence[float], blocks: Sequence[int] = (), *, above: float = 0.02, level: float = 0.05
) -> Drift | None:
    """Look for a course in three ways; each must be both large and more than chance (t test).

    - a straight line through all trials: its change from first to last;
    - the first quarter against the last half (after Geweke 1992, Bayesian Statistics 4:169-193): a warm-up that
      flattens out, whose noise is taken from the half that has settled;
    - a straight line within each block, the mean of their slopes, blocks being independent: a warm-up that each new
      process goes through. Half of `above` counts as large, for all blocks are off to the same side.

    The first two reckon with the correlation of neighbours (`joulemark.stats.series.worth`).

    Args:
        values: of each trial, in the order in which they were measured.
        blocks: the block of each trial; without it, all are of one.
        above: change, as a part of the mean, up to which a course does not matter.
        level: probability with which each of the three finds a course where there is none.
    """
    mean = math.fsum(values) / len(values) if values else 0.0
    if mean == 0:
        return None
    for contrast, share in _contrasts(values, blocks):
        probability = 1 - level / 2
        dof = contrast.dof if contrast.dof >= 3 else max(1, math.floor(contrast.dof))
        chance = student_t_quantile(probability, dof) * contrast.standard_error
        if abs(contrast.change) > max(chance, share * above * abs(mean)):
            change = contrast.change / abs(mean)
            return Drift(change, contrast.words.format("rise" if change > 0 else "fall"))
    return None


def _contrasts(values: Sequence[float], blocks: Sequence[int]) -> Iterator[tuple[_Contrast, float]]:
    if len(values) >= 5:
        yield _line(values), 1.0
    if len(values) >= 8:
        yield _first_against_last(values), 1.0
    lines = [_slope(group) * (len(group) - 1) for group in in_blocks(values, blocks) if len(group) > 1]
    if len(lines) > 2:
        mean = math.fsum(lines) / len(lines)
        spread = math.fsum((rise - mean) ** 2 for rise in lines) / (len(lines) - 1)
        yield _Contrast(mean, math.sqrt(spread / len(lines)), len(lines) - 1, "trials of a block {}"), 0.5


def _slope(values: Sequence[float]) -> float:
    """Change from one value to the next, by least squares."""
    centre = (len(values) - 1) / 2
    return math.fsum((i - centre) * v for i, v in enumerate(values)) / _spread(len(values))


def _spread(n: int) -> float:
    """Sum of the squared distances of 0 ... n-1 from their mean."""
    return n * (n * n - 1) / 12


def _line(values: Sequence[float]) -> _Contrast:
    n, slope = len(values), _slope(values)
    mean, centre = math.fsum(values) / n, (n - 1) / 2
    series = worth([v - mean - slope * (i - centre) for i, v in enumerate(values)], fitted=2)
    error = series.sd * math.sqrt(series.inflation / _spread(n)) * (n - 1)
    return _Contrast(slope * (n - 1), error, series.dof, "trials {}")


def _first_against_last(values: Sequence[float]) -> _Contrast:
    first, last = values[: len(values) // 4], values[len(values) // 2 :]
    settled = math.fsum(last) / len(last)
    series = worth([v - settled for v in last])
    error = series.sd * math.sqrt(series.inflation * (1 / len(first) + 1 / len(last)))
    change = settled - math.fsum(first) / len(first)
    return _Contrast(change, error, series.dof, "trials {} from the first quarter to the last half")
