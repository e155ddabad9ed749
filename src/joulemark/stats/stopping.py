"""When a benchmark is sure enough: the stopping rule, a pure function of the trials so far."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from joulemark.stats.drift import find_drift
from joulemark.stats.summary import Summary, in_blocks, summarise_trials
from joulemark.stats.verdict import Verdict, judge

__all__ = ["MIN_BLOCKS", "SUSPICION", "Decision", "decide"]

MIN_BLOCKS = 4
"""Blocks before it may stop, where there are several: the spread of fewer is hardly known (docs/benchmarking.md)."""
SUSPICION = 0.2
"""Level at which a course is suspected, and more trials are asked for. A false alarm costs a block, no more."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the trials so far say.

    Attributes:
        stop: whether to measure no more.
        summary: mean and 95 % interval so far; None without a trial.
        verdict: what would be printed beside it now.
        reason: why it stops or goes on, in words.
        trials_needed: how many trials the precision is expected to take in all, from their spread so far; None where
            it cannot be said.
    """

    stop: bool
    summary: Summary | None
    verdict: Verdict
    reason: str
    trials_needed: int | None = None


def decide(
    values: Sequence[float],
    durations_s: Sequence[float],
    *,
    blocks: Sequence[int] = (),
    precision: float = 0.02,
    min_trials: int = 12,
    max_trials: int = 60,
    max_s: float = math.inf,
    min_blocks: int = MIN_BLOCKS,
) -> Decision:
    """Decide whether the trials so far are enough.

    They are when the 95 % interval of their mean (`joulemark.stats.summarise_trials`) is within `precision`, no course
    is so much as suspected (`joulemark.stats.drift.find_drift` at the level `SUSPICION`), the last block is whole, and
    there are `min_blocks` of them. In any case at `max_trials`, or after `max_s` with `min_trials`.

    Stopping when an interval happens to be narrow makes it too narrow (Chow and Robbins 1965, Ann. Math. Stat.
    36:457-462). What makes up for it here: looks only after whole blocks, the wider of two intervals, a cautious
    correlation, and `min_blocks`. Simulated coverage: docs/benchmarking.md.

    Where all trials are of one block there is no `min_blocks`; what differs from process to process is then not seen.

    Args:
        values: energy per unit of each trial, in joules, in the order in which they were measured.
        durations_s: how long each took.
        blocks: the block (worker process) of each; without it, all are of one.
        precision: relative half-width of the 95 % interval to reach.
        min_trials: trials before it may stop.
        max_trials: trials at which it stops.
        max_s: time of all trials after which it stops.
        min_blocks: blocks before it may stop, where there are several.

    Raises:
        ValueError: if values, durations and blocks are not of one length.
    """
    n = len(values)
    if len(durations_s) != n:
        raise ValueError(f"{n} values, but {len(durations_s)} durations")
    if n == 0:
        return Decision(False, None, Verdict.FAILED, "no trial yet")
    summary = summarise_trials(values, blocks)
    judgement = judge(values, durations_s, blocks=blocks, precision=precision)
    needed = _needed(summary, precision, min_trials)

    def go_on(reason: str) -> Decision:
        return Decision(False, summary, judgement.verdict, reason, needed)

    if n >= max_trials:
        return Decision(True, summary, judgement.verdict, f"{n} trials are the most: {judgement.reason}", needed)
    if n < min_trials:
        return go_on(f"{n} of at least {min_trials} trials")
    if math.fsum(durations_s) >= max_s:
        return Decision(True, summary, judgement.verdict, f"the time is up: {judgement.reason}", needed)
    groups = in_blocks(values, blocks)
    if len(groups) > 1:
        if len(groups[-1]) < len(groups[0]):
            return go_on("in the middle of a block")
        if len(groups) < min_blocks:
            return go_on(f"{len(groups)} of at least {min_blocks} blocks")
    reached = f"± {100 * summary.relative_half_width:.2g} %"
    if summary.relative_half_width > precision:
        return go_on(f"{reached}, {100 * precision:.2g} % asked for")
    if (course := find_drift(values, blocks, above=precision, level=SUSPICION)) is not None:
        return go_on(f"{reached}, but perhaps drifting: {course}")
    return Decision(True, summary, judgement.verdict, f"{reached} after {n} trials", n)


def _needed(summary: Summary, precision: float, least: int) -> int | None:
    """Half-widths shrink with the square root of the number of trials."""
    width = summary.relative_half_width
    return max(least, math.ceil(summary.n * (width / precision) ** 2)) if math.isfinite(width) else None
