"""The verdict that is printed beside a number: whether its repetition can be trusted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum

from joulemark.stats.student import student_t_quantile
from joulemark.stats.summary import summarise

__all__ = ["Verdict", "judge"]

MIN_TRIALS = 5
MIN_TRIAL_S = 1.0
NOISY_RELATIVE = 0.05
DRIFT_RELATIVE = 0.05


class Verdict(StrEnum):
    """What repetition says, worst first."""

    FAILED = "failed"
    TOO_FEW = "too few"
    TOO_SHORT = "too short"
    DRIFTING = "drifting"
    NOISY = "noisy"
    STEADY = "steady"


def judge(values: Sequence[float], durations_s: Sequence[float]) -> Verdict:
    """Judge repeated trials of one workload, in the order in which they were measured.

    - *too few*: under 5 trials.
    - *too short*: the median trial took under 1 s, so that window edges weigh.
    - *drifting*: a straight line through the trials rises or falls by more than 5 % of the mean from first to last,
      and its slope differs from zero at the 95 % level (t test of the slope).
    - *noisy*: the 95 % half-width of the mean exceeds 5 % of it.
    - *steady*: none of these.

    Args:
        values: energy per unit of each trial, in joules.
        durations_s: how long each trial took.
    """
    if not values:
        return Verdict.FAILED
    if len(values) < MIN_TRIALS:
        return Verdict.TOO_FEW
    if sorted(durations_s)[len(durations_s) // 2] < MIN_TRIAL_S:
        return Verdict.TOO_SHORT
    summary = summarise(values)
    if _drifts(values, summary.mean):
        return Verdict.DRIFTING
    if summary.relative_half_width > NOISY_RELATIVE:
        return Verdict.NOISY
    return Verdict.STEADY


def _drifts(values: Sequence[float], mean: float) -> bool:
    n = len(values)
    centre = (n - 1) / 2
    spread = math.fsum((i - centre) ** 2 for i in range(n))
    slope = math.fsum((i - centre) * (v - mean) for i, v in enumerate(values)) / spread
    rise = slope * (n - 1)
    if abs(rise) <= DRIFT_RELATIVE * abs(mean):
        return False
    residual = math.fsum((v - mean - slope * (i - centre)) ** 2 for i, v in enumerate(values))
    error = math.sqrt(residual / (n - 2) / spread)
    return abs(slope) > student_t_quantile(0.975, n - 2) * error
