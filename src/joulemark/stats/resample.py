"""How much a ratio of two means varies, by drawing trials anew (the bootstrap)."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from joulemark.stats.draws import percentile
from joulemark.stats.summary import in_blocks

__all__ = ["ratio_interval", "smallest_seen"]

DRAWS = 2000
POWER = 1 + 0.8416 / 1.96
"""What is found four times out of five lies so many half-widths away (normal quantiles at 0.8 and 0.975)."""


def ratio_interval(
    above: Sequence[float],
    below: Sequence[float],
    *,
    above_blocks: Sequence[int] = (),
    below_blocks: Sequence[int] = (),
    seed: str = "",
) -> tuple[float, float]:
    """Give the 95 % interval of the ratio of two means: percentiles of 2,000 draws.

    Blocks are drawn whole, so that what trials of one process share stays shared (Davison and Hinkley 1997, Bootstrap
    Methods and their Application, 3.8); of a series that is one block, stretches of ``n^(1/3)`` neighbours, the end
    going over into the beginning (Politis and Romano 1992, the circular block bootstrap). Draws of n things vary by
    ``(n - 1) / n`` too little, which is put right.

    Args:
        above: values of each trial, of what stands above the line.
        below: likewise, below it.
        above_blocks: the block of each of them; without it, all are of one.
        below_blocks: likewise.
        seed: the same draws for the same seed.

    Raises:
        ValueError: if one of them has no value, or a mean is not above zero.
    """
    dice = random.Random(seed)  # noqa: S311 - draws, not secrets
    drawn = [_log_means(dice, *one) for one in ((above, above_blocks), (below, below_blocks))]
    ordered = sorted(a - b for a, b in zip(*drawn, strict=True))
    middle = math.log(_mean(above) / _mean(below))
    return math.exp(middle + percentile(ordered, 0.025)), math.exp(middle + percentile(ordered, 0.975))


def smallest_seen(low: float, high: float) -> float:
    """Give the smallest difference that would have been found four times out of five, as a part: 0.05 for 5 %.

    Args:
        low: lower end of the 95 % interval of the ratio.
        high: upper end.
    """
    return math.exp(POWER * math.log(high / low) / 2) - 1 if low > 0 else math.inf


def _mean(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values) if values else 0.0
    if not mean > 0:
        raise ValueError(f"the mean of {len(values)} values is {mean}; it must be above zero")
    return mean


def _log_means(dice: random.Random, values: Sequence[float], blocks: Sequence[int]) -> list[float]:
    """Logarithms of drawn means over the mean."""
    mean, groups = _mean(values), in_blocks(values, blocks)
    if len(groups) > 1:
        sums, count = [(math.fsum(group), len(group)) for group in groups], len(groups)
    else:
        n = len(values)
        length = max(1, round(n ** (1 / 3)))
        twice = (*values, *values)
        sums, count = [(math.fsum(twice[i : i + length]), length) for i in range(n)], math.ceil(n / length)
    widen = math.sqrt(count / (count - 1)) if count > 1 else 1.0
    found = []
    for _ in range(DRAWS):
        chosen = dice.choices(sums, k=count)
        found.append(widen * math.log(math.fsum(s for s, _ in chosen) / sum(n for _, n in chosen) / mean))
    return found
