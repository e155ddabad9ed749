from __future__ import annotations

import math
import random
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats as scipy_stats

from joulemark.stats import Verdict, decide, judge, student_t_quantile, summarise, summarise_trials, warmed_up
from joulemark.stats.drift import find_drift
from joulemark.stats.linear import fit
from joulemark.stats.resample import ratio_interval, smallest_seen
from joulemark.stats.series import worth
from joulemark.stats.warm_up import warm_up_length


@pytest.mark.parametrize("dof", [1, 2, 3, 3.4, 4, 5, 7, 10, 30, 100, 1000, math.inf])
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
    assert (summary.mean, summary.sd, summary.dof) == (2.0, 1.0, 2)
    assert summary.half_width == pytest.approx(4.302653 / math.sqrt(3), rel=1e-5)
    assert math.isinf(summarise([1.0]).relative_half_width)
    with pytest.raises(ValueError, match="no values"):
        summarise([])


def _series(dice: random.Random, n: int, rho: float) -> list[float]:
    values = [dice.gauss(0, 1)]
    while len(values) < n:
        values.append(rho * values[-1] + math.sqrt(1 - rho * rho) * dice.gauss(0, 1))
    return values


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.7])
def test_the_correlation_of_a_series_is_found(rho: float) -> None:
    found = worth(_series(random.Random(3), 3000, rho))
    assert found.correlation == pytest.approx(rho, abs=0.04)
    assert found.inflation == pytest.approx((1 + rho) / (1 - rho), rel=0.15)
    assert found.sd == pytest.approx(1, rel=0.1)


def test_blocks_that_differ_more_than_their_trials_are_what_counts() -> None:
    values = [10.0, 10.01, 9.99, 11.0, 11.01, 10.99]
    summary = summarise_trials(values, [1, 1, 1, 2, 2, 2])
    assert (summary.blocks, summary.dof) == (2, 1)
    by_hand = summarise([10.0, 11.0])  # the means of blocks of one length
    assert summary.half_width == pytest.approx(by_hand.half_width, rel=1e-3)
    assert summary.mean == pytest.approx(by_hand.mean)


def test_trials_without_blocks_are_one() -> None:
    dice = random.Random(1)
    values = [10 + dice.gauss(0, 1) for _ in range(40)]
    plain, cautious = summarise(values), summarise_trials(values)
    assert cautious.mean == plain.mean
    assert plain.half_width < cautious.half_width < 3 * plain.half_width
    assert summarise_trials([7.0]).n == 1
    assert summarise_trials([7.0] * 6).half_width == 0
    with pytest.raises(ValueError, match=r"shorter|longer"):
        summarise_trials([1.0, 2.0], [1])


LONG = [2.0] * 8
STEADY = [10, 10.1, 9.9, 10, 10.05, 9.95, 10, 10]


@pytest.mark.parametrize(
    ("values", "durations", "verdict", "reason"),
    [
        (STEADY, LONG, Verdict.STEADY, "after 8 trials"),
        ([10, 13, 8, 12, 7, 14, 9, 11], LONG, Verdict.NOISY, "5 % is the most"),
        ([10, 10.3, 10.6, 10.9, 11.2, 11.5, 11.8, 12.1], LONG, Verdict.DRIFTING, "trials rise by 19 %"),
        (STEADY, [0.2] * 8, Verdict.TOO_SHORT, "a trial takes 0.2 s"),
        ([10, 10, 10], LONG[:3], Verdict.TOO_FEW, "3 trials, 5 are the least"),
        ([], [], Verdict.FAILED, "no trial"),
    ],
)
def test_verdicts_and_their_reasons(values: list[float], durations: list[float], verdict: Verdict, reason: str) -> None:
    found = judge(values, durations)
    assert found.verdict is verdict
    assert reason in found.reason


def test_a_cause_comes_before_what_it_causes() -> None:
    rising = [10, 10.3, 10.6, 10.9, 11.2, 11.5, 11.8, 12.1]
    held = judge(rising, LONG, throttled=["", "", "thermal slowdown", "thermal slowdown", "", "", None, ""])
    assert held == (Verdict.THROTTLED, "clock held down in 2 of 8 trials: thermal slowdown")
    assert judge(rising, LONG, throttled=[""] * 8).verdict is Verdict.DRIFTING
    beside = judge(STEADY, LONG, foreign_cpu=[0.01, 0.4, None, 0.02, 0.01, 0.01, 0.02, 0.01])
    assert beside.verdict is Verdict.NOISY_NEIGHBOUR
    assert "up to 40 %" in beside.reason
    assert judge(STEADY, LONG, foreign_cpu=[0.02] * 8).verdict is Verdict.STEADY
    changed = judge(STEADY, LONG, clocks_mhz=[1980, 1980, None, 1980, 1980, 1980, 1700, 1980])
    assert changed == (Verdict.CLOCK_CHANGED, "1700 to 1980 MHz over 7 trials")
    assert judge(STEADY, LONG, clocks_mhz=[1980, 1965] * 4).verdict is Verdict.STEADY


def test_noise_alone_is_seldom_called_drift() -> None:
    dice = random.Random(1)
    verdicts = [judge([10 + dice.gauss(0, 0.1) for _ in range(8)], LONG).verdict for _ in range(500)]
    assert verdicts.count(Verdict.STEADY) > 480


def test_a_warm_up_in_each_block_is_a_drift() -> None:
    dice = random.Random(2)
    values = [10 + warm + dice.gauss(0, 0.05) for _ in range(4) for warm in (0.8, 0.2, 0.0)]
    blocks = [b for b in range(4) for _ in range(3)]
    assert str(find_drift(values, blocks)).startswith("trials of a block fall by")
    assert find_drift([10 + dice.gauss(0, 0.05) for _ in range(12)], blocks) is None


def test_a_warm_up_that_flattens_out_is_a_drift() -> None:
    dice = random.Random(2)
    values = [10 + 2 * math.exp(-i / 3) + dice.gauss(0, 0.05) for i in range(60)]
    assert "fall" in str(find_drift(values))


def test_the_rule_says_why_it_goes_on() -> None:
    dice = random.Random(5)
    values = [10 + dice.gauss(0, 0.05) for _ in range(40)]
    blocks = [i // 3 for i in range(40)]

    def after(n: int, **more: float) -> tuple[bool, str]:
        decision = decide(values[:n], [2.0] * n, blocks=blocks[:n], min_trials=6, **more)  # type: ignore[arg-type]
        return decision.stop, decision.reason

    assert after(0) == (False, "no trial yet")
    assert after(5) == (False, "5 of at least 6 trials")
    assert after(9) == (False, "3 of at least 4 blocks")
    assert after(13) == (False, "in the middle of a block")
    assert after(12)[0]
    stop, reason = after(12, precision=0.0001)
    assert not stop
    assert reason.endswith("0.01 % asked for")
    assert after(7, max_s=10.0) == (
        True,
        f"the time is up: {judge(values[:7], [2.0] * 7, blocks=blocks[:7], precision=0.02).reason}",
    )
    assert after(9, max_trials=9)[1].startswith("9 trials are the most: ")
    with pytest.raises(ValueError, match="2 values, but 1 durations"):
        decide([1.0, 2.0], [1.0])


def test_noise_says_how_many_trials_it_wants() -> None:
    dice = random.Random(5)
    values = [10 + dice.gauss(0, 1) for _ in range(16)]
    decision = decide(values, [2.0] * 16, blocks=[i // 4 for i in range(16)])
    assert not decision.stop
    assert decision.trials_needed is not None
    assert decision.trials_needed > 100  # (1.96 * 10 % / 2 %)^2 = 96 if nothing had to be learned


def _durations(dice: random.Random, n: int, course: str) -> list[float]:
    def warm(i: int) -> float:
        return {"exponential": 0.5 * math.exp(-i / 20), "step": 5.0 * (i < 4), "none": 0.0}[course]

    return [1 + warm(i) + dice.gauss(0, 0.03) for i in range(n)]


@pytest.mark.parametrize("course", ["exponential", "step", "none"])
def test_a_warm_up_ends_when_it_has_ended(course: str) -> None:
    dice = random.Random(7)
    found = [warm_up_length(_durations(dice, 200, course)) for _ in range(40)]
    lengths = sorted(length for length in found if length is not None)
    assert len(lengths) > 36, "few ask for more"
    least, most = {"exponential": (30, 90), "step": (5, 10), "none": (0, 30)}[course]
    assert least <= lengths[20] <= most
    if course == "exponential":  # still under way: 0.5 exp(-10/20) = 30 % at the tenth value
        assert sum(warmed_up(_durations(dice, 20, course)) for _ in range(40)) <= 4


def test_a_warm_up_needs_values_and_power_too() -> None:
    assert not warmed_up([1.0] * 10)
    assert warmed_up([1.0] * 20)
    assert not warmed_up([1.0] * 40, [100 + 5.0 * i for i in range(40)])
    assert warmed_up([1.0] * 40, [100.0] * 40)
    assert not warmed_up([])


def test_an_answer_that_was_interrupted_is_no_warm_up() -> None:
    values = [1.0] * 60
    values[55] = 9.0
    assert warmed_up(values)


def _tokens(dice: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    return dice.integers(10, 2000, n).astype(float), dice.integers(10, 500, n).astype(float)


def test_least_squares_agree_with_numpy() -> None:
    dice = np.random.default_rng(1)
    tokens_in, tokens_out = _tokens(dice, 30)
    energy = 5 + 0.002 * tokens_in + 0.8 * tokens_out + dice.normal(0, 2, 30)
    weights = 1 / energy**2
    found = fit(
        [[1.0] * 30, list(tokens_in), list(tokens_out)],
        list(energy),
        names=("request", "prefill", "decode"),
        weights=list(weights),
    )
    design = np.column_stack([np.ones(30), tokens_in, tokens_out])
    root = np.sqrt(weights)
    exact, residuals, *_ = np.linalg.lstsq(design * root[:, None], energy * root, rcond=None)
    covariance = residuals[0] / 27 * np.linalg.inv(design.T @ (design * weights[:, None]))
    assert [c.value for c in found.coefficients] == pytest.approx(list(exact), rel=1e-9)
    assert [c.standard_error for c in found.coefficients] == pytest.approx(list(np.sqrt(np.diag(covariance))), rel=1e-9)
    assert found.correlation[0][1] == pytest.approx(covariance[0, 1] / math.sqrt(covariance[0, 0] * covariance[1, 1]))
    assert found["decode"].half_width == pytest.approx(2.0518 * found["decode"].standard_error, rel=1e-4)


def test_prefill_and_decode_are_covered_by_their_intervals() -> None:
    dice = np.random.default_rng(2)
    hits = 0
    for _ in range(300):
        tokens_in, tokens_out = _tokens(dice, 12)
        truth = 5 + 0.02 * tokens_in + 0.8 * tokens_out
        energy = truth * (1 + dice.normal(0, 0.03, 12))
        found = fit(
            [[1.0] * 12, list(tokens_in), list(tokens_out)],
            list(energy),
            names=("a", "b", "c"),
            weights=list(1 / energy**2),
        )
        hits += abs(found["b"].value - 0.02) <= found["b"].half_width
    assert 0.91 < hits / 300 < 0.99


def test_what_cannot_be_told_apart_is_not_told_apart() -> None:
    ones, tokens = [1.0] * 6, [10.0, 20, 30, 40, 50, 60]
    names = ("request", "prefill", "decode")
    fixed = fit([ones, tokens, [2 * t for t in tokens]], tokens, names=names)
    assert fixed.coefficients == ()
    assert fixed.reason == "decode goes with request and prefill in these runs: vary them apart from each other"
    assert "prefill goes with request" in fit([ones, [7.0] * 6, tokens], tokens, names=names).reason
    assert "3 rows cannot give 3" in fit([ones[:3], tokens[:3], [1.0, 5, 2]], tokens[:3], names=names).reason
    assert fit([ones, [0.0] * 6], tokens, names=names[:2]).reason == "prefill is zero in all rows"
    with pytest.raises(ValueError, match="matching lengths"):
        fit([ones], tokens[:2], names=("a",))
    with pytest.raises(ValueError, match="above zero"):
        fit([ones], tokens, names=("a",), weights=[0.0] * 6)
    with pytest.raises(KeyError):
        fixed["decode"]


def test_a_ratio_is_covered_by_its_bootstrap_interval() -> None:
    dice = random.Random(4)
    hits = 0
    for i in range(100):
        above = [1.2 + dice.gauss(0, 0.05) for _ in range(24)]
        below = [1.0 + dice.gauss(0, 0.05) for _ in range(24)]
        blocks = [k // 3 for k in range(24)]
        low, high = ratio_interval(above, below, above_blocks=blocks, below_blocks=blocks, seed=str(i))
        hits += low <= 1.2 <= high
    assert 86 <= hits <= 100


def test_draws_are_the_same_for_the_same_seed() -> None:
    above, below = STEADY, [9.0, 9.1, 8.9, 9.05, 8.95, 9.0]
    one, again, other = (ratio_interval(above, below, seed=seed) for seed in ("a", "a", "b"))
    assert one == again
    assert one != other
    assert one[0] < 10 / 9 < one[1]
    with pytest.raises(ValueError, match="above zero"):
        ratio_interval([], below)


def test_the_smallest_difference_that_is_seen() -> None:
    # An interval of ± 1.96 u: 2.8 u are found four times out of five (z_0.975 + z_0.8).
    u = 0.01
    assert smallest_seen(math.exp(-1.96 * u), math.exp(1.96 * u)) == pytest.approx(math.exp(2.8016 * u) - 1, rel=1e-4)
    assert math.isinf(smallest_seen(0.0, 1.0))
    seen = [smallest_seen(1 / w, w) for w in (1.01, 1.1, 2.0)]
    assert all(a < b for a, b in pairwise(seen))
