"""Spread of repeats within data sets within models, and intervals over few models, against known truth."""

from __future__ import annotations

import math
import random
from statistics import fmean, variance

import pytest

from joulemark.studies.spread import components, mean_interval, median_interval, ratio_interval

Nested = dict[str, dict[str, list[float]]]


def _drawn(dice: random.Random, sizes: list[list[int]], between: float, within: float, repeats: float) -> Nested:
    nested: Nested = {}
    for i, of in enumerate(sizes):
        model = dice.gauss(100, between)
        nested[f"m{i}"] = {}
        for j, size in enumerate(of):
            dataset = model + dice.gauss(0, within)
            nested[f"m{i}"][f"d{j}"] = [dataset + dice.gauss(0, repeats) for _ in range(size)]
    return nested


def test_equal_numbers_give_the_textbook_mean_squares() -> None:
    nested = _drawn(random.Random(3), [[4] * 3] * 5, 9, 3, 1)
    cells = [[fmean(values) for values in of.values()] for of in nested.values()]
    error = fmean([variance(values) for of in nested.values() for values in of.values()])
    middle = 4 * fmean([variance(means) for means in cells])
    outer = 12 * variance([fmean(means) for means in cells])
    found = components(nested)
    assert found.repeats == pytest.approx(math.sqrt(error))
    assert found.datasets == pytest.approx(math.sqrt((middle - error) / 4))
    assert found.models == pytest.approx(math.sqrt((outer - middle) / 12))
    assert sum(found.shares) == pytest.approx(1)


def test_unequal_numbers_are_right_on_average() -> None:
    dice = random.Random(7)
    sizes = [[2, 5, 3], [1, 4], [6, 2, 2, 3], [3], [5, 5], [2, 2, 7]]
    found = [components(_drawn(dice, sizes, 8, 4, 2)) for _ in range(600)]
    assert fmean(f.repeats**2 for f in found) == pytest.approx(4, rel=0.05)
    assert fmean(f.datasets**2 for f in found) == pytest.approx(16, rel=0.15)
    assert fmean(f.models**2 for f in found) == pytest.approx(64, rel=0.15)


def test_what_cannot_be_told_apart_is_said_and_not_zero_spread() -> None:
    alone = components({"m": {"d": [1.0, 2.0, 3.0]}})
    assert math.isnan(alone.models)
    assert math.isnan(alone.datasets)
    assert alone.repeats == pytest.approx(1)
    alike = components({"a": {"x": [1.0, 9.0], "y": [1.0, 9.0]}, "b": {"x": [1.0, 9.0], "y": [1.0, 9.0]}})
    assert alike.models == 0
    assert set(alike.truncated) == {"models", "data sets"}
    with pytest.raises(ValueError, match="no values"):
        components({})


def test_the_interval_of_a_mean_over_eight_models_holds_the_truth() -> None:
    dice = random.Random(5)
    truth, held = math.exp(0.4**2 / 2), 0
    for _ in range(300):
        low, high = mean_interval([dice.lognormvariate(0, 0.4) for _ in range(8)])
        held += low <= truth <= high
    assert 0.90 <= held / 300 <= 0.98


def test_intervals_scale_with_the_unit_are_seeded_and_ask_for_enough_models() -> None:
    values = [0.7, 0.8, 1.3, 1.3, 1.4, 3.0, 3.4, 11.3]
    low, high = mean_interval(values)
    assert mean_interval(values) == (low, high)
    assert mean_interval([1.1 * v for v in values]) == pytest.approx((1.1 * low, 1.1 * high))
    assert 0 < low < fmean(values) < high
    assert all(math.isnan(end) for end in mean_interval(values[:2]))
    assert all(math.isnan(end) for end in mean_interval([-1.0, 2.0, 3.0, 4.0]))
    assert mean_interval([2.0, 2.0, 2.0]) == (2.0, 2.0)


def test_a_ratio_of_two_means_is_less_sure_than_either() -> None:
    above, below = [2.0, 3.0, 4.0, 5.0, 6.0], [0.1, 0.2, 0.3, 0.4, 0.5]
    low, high = ratio_interval(above, below)
    assert low < fmean(above) / fmean(below) < high
    assert all(high / low > b / a for a, b in (mean_interval(above), mean_interval(below)))


def test_the_median_over_models_drawn_whole() -> None:
    groups = [[float(m), m + 0.1, m + 0.2] for m in range(1, 9)]
    low, high = median_interval(groups)
    assert low < 4.5 < high
    assert all(math.isnan(end) for end in median_interval(groups[:4]))
