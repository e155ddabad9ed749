"""Spread of repeated runs in groups, and intervals of what is averaged over few groups. No dependencies.

**Nested variances.** Runs repeat within data sets, data sets lie within models. With the random model
``y_ijk = mean + model_i + dataset_ij + run_ijk`` the variances of the three terms are found by the method of moments:
the mean squares of the analysis of variance are set equal to their expectations, which hold for unequal numbers too
(Searle, Casella and McCulloch, *Variance Components*, 1992, chapter 5 and appendix F; Henderson's method 1). A negative
estimate means that the term cannot be told from nothing, and counts as 0.

**Intervals.** The models are the groups that were drawn: their runs err together. The 95 % interval of a mean over
models is ``mean * exp(± t u)``; ``u`` is the standard deviation of the logarithm of the mean over bootstrap draws of
whole groups (Efron and Tibshirani, *An Introduction to the Bootstrap*, 1993, chapter 6), times sqrt(n / (n - 1)), and t
Student's with n - 1 degrees of freedom, as few groups ask for (Cameron and Miller, *Journal of Human Resources* 50,
2015, section VI). Of eight log-normal model means with a log standard deviation of 0.2, 0.4, 0.7 and 1.0 it held the
truth in 95, 94, 93 and 91 % of 2,000 trials of ours; a percentile bootstrap held it in 88, 87, 84 and 80 % of 300. It
is the interval of a mean over models *like these*, as if drawn at random, which the most downloaded ones are not.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import mul
from statistics import fmean, median, stdev

from joulemark.stats import student_t_quantile
from joulemark.stats.draws import percentile

__all__ = ["DRAWS", "Components", "Interval", "components", "mean_interval", "median_interval", "ratio_interval"]

FEWEST = 3
"""Groups from which an interval of a mean is given; of a median it takes five (assumptions of ours)."""
FEWEST_OF_MEDIAN = 5
DRAWS = 1999
SEED = 20240603
"""Of every bootstrap; the first day of the conference that the first study was printed for, any other would do."""

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Components:
    """Standard deviations by level, in the unit of the values; NaN where a level has no second member.

    Attributes:
        models: between models.
        datasets: between data sets of a model.
        repeats: between repeats of a data set.
        truncated: the levels whose variance came out negative and counts as 0.
    """

    models: float
    datasets: float
    repeats: float
    truncated: tuple[str, ...] = ()

    @property
    def shares(self) -> tuple[float, float, float]:
        """Shares of the sum of the three variances; those not known count as 0."""
        variances = [0.0 if math.isnan(s) else s**2 for s in (self.models, self.datasets, self.repeats)]
        whole = math.fsum(variances)
        if whole == 0:
            return (0.0, 0.0, 0.0)
        return (variances[0] / whole, variances[1] / whole, variances[2] / whole)


def components(nested: Mapping[str, Mapping[str, Sequence[float]]]) -> Components:
    """Tell the spread between models, between data sets and between repeats apart.

    Args:
        nested: values by model and data set; unequal numbers are allowed.

    Returns:
        Standard deviations in the unit of the values.

    Raises:
        ValueError: if there is no value.
    """
    cells = [[list(values) for values in of.values() if values] for of in nested.values()]
    groups = [datasets for datasets in cells if datasets]
    if not groups:
        raise ValueError("no values to decompose")
    sizes = [[len(values) for values in datasets] for datasets in groups]
    n, a, b = sum(map(sum, sizes)), len(groups), sum(map(len, groups))
    means = [fmean([v for values in datasets for v in values]) for datasets in groups]
    grand = fmean([v for datasets in groups for values in datasets for v in values])
    within = math.fsum((v - fmean(values)) ** 2 for datasets in groups for values in datasets for v in values)
    middle = math.fsum(
        len(values) * (fmean(values) - mean) ** 2
        for datasets, mean in zip(groups, means, strict=True)
        for values in datasets
    )
    outer = math.fsum(sum(size) * (mean - grand) ** 2 for size, mean in zip(sizes, means, strict=True))

    squares = math.fsum(math.fsum(k * k for k in size) / sum(size) for size in sizes)
    truncated = []
    repeats = within / (n - b) if n > b else math.nan
    error = 0.0 if math.isnan(repeats) else repeats
    datasets_variance = models_variance = math.nan
    if b > a:
        datasets_variance = (middle / (b - a) - error) / ((n - squares) / (b - a))
        if datasets_variance < 0:
            truncated.append("data sets")
            datasets_variance = 0.0
    if a > 1:
        between = 0.0 if math.isnan(datasets_variance) else datasets_variance
        of_datasets = (squares - math.fsum(k * k for size in sizes for k in size) / n) / (a - 1)
        of_models = (n - math.fsum(sum(size) ** 2 for size in sizes) / n) / (a - 1)
        models_variance = (outer / (a - 1) - error - of_datasets * between) / of_models
        if models_variance < 0:
            truncated.append("models")
            models_variance = 0.0
    return Components(math.sqrt(models_variance), math.sqrt(datasets_variance), math.sqrt(repeats), tuple(truncated))


@lru_cache(maxsize=64)
def _drawn(size: int, of: str) -> tuple[tuple[int, ...], ...]:
    """Which of `size` groups each draw takes; the two sides of a ratio are drawn apart."""
    dice = random.Random(f"{SEED} {of} {size}")  # noqa: S311 - no secret
    return tuple(tuple(dice.choices(range(size), k=size)) for _ in range(DRAWS))


@lru_cache(maxsize=4096)
def _log_error(shares: tuple[float, ...], of: str) -> float:
    """Standard uncertainty of the logarithm of the mean of groups, given as shares of that mean."""
    n = len(shares)
    logs = [math.log(sum(map(shares.__getitem__, draw)) / n) for draw in _drawn(n, of)]
    return stdev(logs) * math.sqrt(n / (n - 1))


def mean_interval(group_means: Sequence[float]) -> Interval:
    """Give the 95 % interval of the mean over groups; not a number for fewer than three groups.

    Args:
        group_means: one a group, all positive.
    """
    return _interval(group_means)


def ratio_interval(above: Sequence[float], below: Sequence[float]) -> Interval:
    """Give the 95 % interval of the ratio of two means over groups that were drawn apart."""
    return _interval(above, below)


def _interval(*sides: Sequence[float]) -> Interval:
    if any(len(side) < FEWEST or min(side) <= 0 for side in sides):
        return math.nan, math.nan
    value = fmean(sides[0]) / (fmean(sides[1]) if len(sides) > 1 else 1.0)
    # As shares the groups of two boundaries may be the same: what was drawn for one then serves the other.
    shares = [tuple(float(f"{v / fmean(side):.12g}") for v in side) for side in sides]
    errors = [_log_error(of, name) for of, name in zip(shares, ("above", "below"), strict=False)]
    error = math.hypot(*errors)
    if error == 0:
        return value, value
    # Welch-Satterthwaite (JCGM 100:2008, G.4.1).
    dof = error**4 / math.fsum(e**4 / (len(side) - 1) for e, side in zip(errors, sides, strict=True))
    factor = math.exp(student_t_quantile(0.975, dof) * error)
    return value / factor, value * factor


def median_interval(groups: Sequence[Sequence[float]]) -> Interval:
    """Give the 95 % percentile interval of the median over all values, groups drawn whole."""
    if len(groups) < FEWEST_OF_MEDIAN:
        return math.nan, math.nan
    ordered = sorted((value, i) for i, group in enumerate(groups) for value in group)
    # How many values of each group lie among the lowest: the median of a draw is then found by halving.
    below = [[0] * len(groups)]
    for _, i in ordered:
        below.append([n + (g == i) for g, n in enumerate(below[-1])])
    found = []
    for draw in _drawn(len(groups), "median"):
        times = [draw.count(g) for g in range(len(groups))]
        half = sum(map(mul, times, below[-1])) / 2
        place = bisect_left(below, half, lo=1, key=lambda counts: sum(map(mul, times, counts)))
        found.append(ordered[place - 1][0])
    found.sort()
    return percentile(found, 0.025), percentile(found, 0.975)


def middle(values: Sequence[float]) -> float:
    """Give the median."""
    return float(median(values))
