"""The verdict that is printed beside a number: whether its repetition can be trusted, and why."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from joulemark.stats.drift import find_drift
from joulemark.stats.summary import summarise_trials

__all__ = ["Judgement", "Verdict", "judge"]

MIN_TRIALS = 5
MIN_TRIAL_S = 1.0
NOISY_RELATIVE = 0.05
NEIGHBOUR_SHARE = 0.05
"""Part of the processors that others may take on average; an assumption of ours, as the limits above and below."""
CLOCK_CHANGE = 0.05


class Verdict(StrEnum):
    """What repetition says, worst first."""

    FAILED = "failed"
    TOO_FEW = "too few"
    TOO_SHORT = "too short"
    THROTTLED = "throttled"
    NOISY_NEIGHBOUR = "noisy neighbour"
    CLOCK_CHANGED = "clock changed"
    DRIFTING = "drifting"
    NOISY = "noisy"
    STEADY = "steady"


class Judgement(NamedTuple):
    """A verdict and its reason in words."""

    verdict: Verdict
    reason: str


def judge(
    values: Sequence[float],
    durations_s: Sequence[float],
    *,
    blocks: Sequence[int] = (),
    precision: float = NOISY_RELATIVE,
    foreign_cpu: Sequence[float | None] = (),
    clocks_mhz: Sequence[float | None] = (),
    throttled: Sequence[str | None] = (),
) -> Judgement:
    """Judge repeated trials of one workload, in the order in which they were measured.

    - *failed*: no trial.
    - *too few*: under 5 trials.
    - *too short*: the median trial took under 1 s, so that window edges weigh.
    - *throttled*: the driver held the clock down in a trial.
    - *noisy neighbour*: other processes took more than 5 % of the processors on average.
    - *clock changed*: the clock of a trial was more than 5 % off the median one.
    - *drifting*: the values have a course of more than `precision` (`joulemark.stats.drift.find_drift`, 5 % level).
    - *noisy*: the 95 % half-width of the mean (`joulemark.stats.summarise_trials`) exceeds `precision`.
    - *steady*: none of these.

    The cause comes before what it causes: a clock that was held down makes a drift, not the other way round.

    Args:
        values: energy per unit of each trial, in joules.
        durations_s: how long each trial took.
        blocks: the block (worker process) of each; without it, all are of one.
        precision: relative half-width, and change from first to last, that may be.
        foreign_cpu: part of the machine's processors that others took in each trial, 0 to 1; None where not known.
        clocks_mhz: clock of the device in each trial; likewise.
        throttled: what held it down, in the driver's words, empty if nothing did; likewise.
    """
    n = len(values)
    if n == 0:
        return Judgement(Verdict.FAILED, "no trial gave a valid answer")
    if n < MIN_TRIALS:
        return Judgement(Verdict.TOO_FEW, f"{n} trials, {MIN_TRIALS} are the least")
    median_s = _median(durations_s)
    if median_s < MIN_TRIAL_S:
        return Judgement(
            Verdict.TOO_SHORT, f"a trial takes {median_s:.2g} s, {MIN_TRIAL_S:.0f} s is the least: its edges weigh"
        )
    if (around := _surroundings(foreign_cpu, clocks_mhz, throttled)) is not None:
        return around
    if (course := find_drift(values, blocks, above=precision)) is not None:
        return Judgement(Verdict.DRIFTING, str(course))
    summary = summarise_trials(values, blocks)
    reached = f"± {100 * summary.relative_half_width:.2g} % after {n} trials"
    if summary.blocks > 1:
        reached += f" in {summary.blocks} processes"
    if summary.relative_half_width > precision:
        return Judgement(Verdict.NOISY, f"{reached}, {100 * precision:.2g} % is the most")
    return Judgement(Verdict.STEADY, reached)


def _surroundings(
    foreign_cpu: Sequence[float | None], clocks_mhz: Sequence[float | None], throttled: Sequence[str | None]
) -> Judgement | None:
    held = [why for why in throttled if why]
    if held:
        what = ", ".join(dict.fromkeys(held))
        return Judgement(Verdict.THROTTLED, f"clock held down in {len(held)} of {len(throttled)} trials: {what}")
    shares = [share for share in foreign_cpu if share is not None]
    if shares and (mean := math.fsum(shares) / len(shares)) > NEIGHBOUR_SHARE:
        return Judgement(
            Verdict.NOISY_NEIGHBOUR,
            f"other processes took {100 * mean:.2g} % of the processors, up to {100 * max(shares):.2g} %",
        )
    clocks = [mhz for mhz in clocks_mhz if mhz is not None]
    if clocks:
        usual = _median(clocks)
        if max(max(clocks) - usual, usual - min(clocks)) > CLOCK_CHANGE * usual:
            return Judgement(
                Verdict.CLOCK_CHANGED, f"{min(clocks):.0f} to {max(clocks):.0f} MHz over {len(clocks)} trials"
            )
    return None


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]
