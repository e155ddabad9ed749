"""When a warm-up has ended."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["warm_up_length", "warmed_up"]

BATCH = 5
ENOUGH = 4
"""Batches that must be left after the warm-up; an assumption of ours: with fewer, nothing can be said of them."""
STEP = 0.05
"""Relative difference between both halves of what is left, up to which it counts as settled (an assumption of ours)."""


def warmed_up(durations_s: Sequence[float], powers_w: Sequence[float] | None = None) -> bool:
    """Say whether the warm-up has ended in all that is given.

    Args:
        durations_s: of each answer so far, in seconds.
        powers_w: mean power while each was made, where it is known.
    """
    return all(warm_up_length(series) is not None for series in (durations_s, powers_w or durations_s))


def warm_up_length(values: Sequence[float]) -> int | None:
    """Give how many values at the beginning belong to the warm-up; None if it has not ended, or that cannot be said.

    MSER-5 (White 1997, Simulation 69(6):323-334): cut off so many batches of 5 that the standard error of the mean of
    what is left, ``sqrt(sum((x - mean)^2)) / (n - d)``, is least. It is looked for in the first half; where it lies at
    the end of that, the warm-up has not ended (White, Cobb and Spratt 2000, WSC). We ask besides that at least 4
    batches be left, and that the medians of both halves of what is left differ by 5 % at most or by less than chance,
    for a slow course has no least that stands out. Batches are medians: one answer that was interrupted is no warm-up.

    Where there are many values, batches are longer, so that there are 100 at most.

    Args:
        values: time or power of each answer, in the order in which they were made.
    """
    size = max(BATCH, math.ceil(len(values) / 100))
    batches = [_median(values[i : i + size]) for i in range(0, len(values) - size + 1, size)]
    if len(batches) < ENOUGH:
        return None
    # From behind, with running sums about a fixed point, so that all cuts cost one pass.
    origin, total, squares = batches[-1], 0.0, 0.0
    best, cut = math.inf, 0
    for d in range(len(batches) - 1, -1, -1):
        x = batches[d] - origin
        total, squares = total + x, squares + x * x
        left = len(batches) - d
        if 2 * d <= len(batches):
            score = max(squares - total * total / left, 0.0) / left**2
            if score <= best:
                best, cut = score, d
    ended = 2 * cut < len(batches) - 1 and len(batches) - cut >= ENOUGH
    return cut * size if ended and _settled(batches[cut:]) else None


def _settled(batches: Sequence[float]) -> bool:
    middle = len(batches) // 2
    first, last = batches[:middle], batches[middle:]
    step = abs(_median(first) - _median(last))
    noise = max(_deviation(first), _deviation(last)) * math.sqrt(1 / len(first) + 1 / len(last))
    return step <= max(STEP * abs(_median(last)), 2 * noise)


def _deviation(values: Sequence[float]) -> float:
    """Standard deviation from the median absolute one (factor 1.4826 for a normal distribution)."""
    middle = _median(values)
    return 1.4826 * _median([abs(v - middle) for v in values])


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
