"""Two sets of runs against each other: a regression gate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from joulemark.errors import UsageError
from joulemark.figures import Figure, NotComparable, ratio
from joulemark.records import Run, energy_per_unit
from joulemark.reports.data import Document, FigureData, figure_data

__all__ = ["CompareReport", "Pair", "compare", "pair_up"]


@dataclass(frozen=True, slots=True)
class Pair:
    """The same workload, measured twice.

    Attributes:
        before: the earlier run.
        after: the later run.
        times: energy per unit of `after` over that of `before`; None if they may not be compared.
        reason: why not.
    """

    before: Run
    after: Run
    times: Figure | None
    reason: str = ""

    @property
    def verdict(self) -> str:
        """In words: ``more``, ``less``, ``no difference`` (the interval holds 1), or ``not comparable``."""
        if self.times is None or not self.times.available:
            return "not comparable"
        if self.times.low > 1:
            return "more"
        return "less" if self.times.high < 1 else "no difference"

    def exceeds(self, share: float) -> bool:
        """Whether the later one surely takes more, and its best estimate by more than `share`."""
        return self.verdict == "more" and self.times is not None and self.times.value > 1 + share


def pair_up(before: Sequence[Run], after: Sequence[Run]) -> tuple[Pair, ...]:
    """Match runs of the same workload (task, model, chosen settings, inputs).

    Raises:
        UsageError: if no workload is in both.
    """
    earlier = {r.workload.key: r for r in before}
    pairs = tuple(_pair(earlier[r.workload.key], r) for r in after if r.workload.key in earlier)
    if not pairs:
        raise UsageError("No workload is in both sets of runs, so there is nothing to compare.")
    return pairs


def _pair(before: Run, after: Run) -> Pair:
    if before.workload.inputs_sha256 != after.workload.inputs_sha256:
        return Pair(before, after, None, "the inputs differ")
    try:
        times = ratio(energy_per_unit(after), energy_per_unit(before))
    except NotComparable as error:
        return Pair(before, after, None, str(error))
    reason = "" if times.available else (after.failure or before.failure or "one of them has no figure")
    return Pair(before, after, times, reason)


class PairData(Document, frozen=True):
    """One workload of a comparison."""

    key: str
    before: FigureData
    after: FigureData
    times: FigureData | None
    verdict: str
    reason: str


class CompareReport(Document, frozen=True):
    """What ``joulemark compare --json`` prints; `failed` lists what exceeds ``--fail-above``."""

    pairs: tuple[PairData, ...]
    fail_above: float | None
    failed: tuple[str, ...]


def compare(before: Sequence[Run], after: Sequence[Run], fail_above: float | None = None) -> CompareReport:
    """Build the comparison of two sets of runs.

    Args:
        before: earlier runs.
        after: later runs.
        fail_above: share by which a workload may take more; None for no limit.

    Raises:
        UsageError: if no workload is in both.
    """
    pairs = pair_up(before, after)
    return CompareReport(
        pairs=tuple(
            PairData(
                key=p.after.workload.key,
                before=figure_data(energy_per_unit(p.before)),
                after=figure_data(energy_per_unit(p.after)),
                times=None if p.times is None else figure_data(p.times),
                verdict=p.verdict,
                reason=p.reason,
            )
            for p in pairs
        ),
        fail_above=fail_above,
        failed=tuple(p.after.workload.key for p in pairs if fail_above is not None and p.exceeds(fail_above)),
    )
