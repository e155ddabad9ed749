from __future__ import annotations

import math

import pytest
from scipy import stats as scipy_stats

from joulemark.stats import Verdict, judge, student_t_quantile, summarise


@pytest.mark.parametrize("dof", [1, 2, 3, 4, 5, 7, 10, 30, 100, 1000, math.inf])
@pytest.mark.parametrize("probability", [0.9, 0.95, 0.975, 0.995])
def test_student_t_agrees_with_scipy(probability: float, dof: float) -> None:
    exact = scipy_stats.norm.ppf(probability) if math.isinf(dof) else scipy_stats.t.ppf(probability, dof)
    assert student_t_quantile(probability, dof) == pytest.approx(exact, rel=2e-4)


@pytest.mark.parametrize(("probability", "dof"), [(0.5, 3), (1.0, 3), (0.975, 0.5)])
def test_student_t_refuses_what_it_cannot_say(probability: float, dof: float) -> None:
    with pytest.raises(ValueError, match=r"must|least"):
        student_t_quantile(probability, dof)


def test_a_summary_by_hand() -> None:
    summary = summarise([1.0, 2.0, 3.0])
    assert (summary.mean, summary.sd) == (2.0, 1.0)
    assert summary.half_width == pytest.approx(4.302653 / math.sqrt(3), rel=1e-5)
    assert math.isinf(summarise([1.0]).relative_half_width)
    with pytest.raises(ValueError, match="no values"):
        summarise([])


LONG = [2.0] * 8


@pytest.mark.parametrize(
    ("values", "durations", "verdict"),
    [
        ([10, 10.1, 9.9, 10, 10.05, 9.95, 10, 10], LONG, Verdict.STEADY),
        ([10, 13, 8, 12, 7, 14, 9, 11], LONG, Verdict.NOISY),
        ([10, 10.3, 10.6, 10.9, 11.2, 11.5, 11.8, 12.1], LONG, Verdict.DRIFTING),
        ([10, 10.1, 9.9, 10, 10.05, 9.95, 10, 10], [0.2] * 8, Verdict.TOO_SHORT),
        ([10, 10, 10], LONG, Verdict.TOO_FEW),
        ([], [], Verdict.FAILED),
    ],
)
def test_verdicts(values: list[float], durations: list[float], verdict: Verdict) -> None:
    assert judge(values, durations) is verdict


def test_noise_alone_is_seldom_called_drift() -> None:
    import random

    dice = random.Random(1)
    verdicts = [judge([10 + dice.gauss(0, 0.1) for _ in range(8)], LONG) for _ in range(500)]
    assert verdicts.count(Verdict.STEADY) > 480
