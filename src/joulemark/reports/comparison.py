"""Two sets of runs against each other: a regression gate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
    """Match runs of the same workload (task, model, settings that their suites' lines set)."""
    earlier = {r.workload.key: r for r in before}
    return tuple(_pair(earlier[r.workload.key], r) for r in after if r.workload.key in earlier)


def _pair(before: Run, after: Run) -> Pair:
    figures = energy_per_unit(after), energy_per_unit(before)
    for which, figure in zip(("later", "earlier"), figures, strict=True):
        if not figure.available:
            reasons = "; ".join(p.reason for p in figure.evidence.missing)
            return Pair(before, after, None, f"the {which} run has no figure: {reasons}")
    if different := _different_work(before, after):
        return Pair(before, after, None, f"the work differs: {different}")
    try:
        times = ratio(*figures)
    except NotComparable as error:
        return Pair(before, after, None, str(error))
    elsewhere = replace(before.machine, hostname=None) != replace(after.machine, hostname=None)
    return Pair(before, after, times, "on another machine" if elsewhere else "")


def _different_work(before: Run, after: Run) -> str:
    """Say in what two workloads of one name differ; empty if in nothing that is part of the work."""
    one, other = before.workload, after.workload
    names = sorted({*one.settings, *other.settings})
    found = [
        f"{name} {one.settings.get(name, 'unset')} against {other.settings.get(name, 'unset')}"
        for name in names
        if one.settings.get(name) != other.settings.get(name)
    ]
    if (one.inputs_sha256, one.items) != (other.inputs_sha256, other.items):
        found.append(f"inputs {one.inputs} ({one.items}) against {other.inputs} ({other.items})")
    return ", ".join(found)


class PairData(Document, frozen=True):
    """One workload of a comparison."""

    key: str
    before: FigureData
    after: FigureData
    times: FigureData | None
    verdict: str
    reason: str


class CompareReport(Document, frozen=True):
    """What ``joulemark compare --json`` prints.

    Attributes:
        pairs: workloads of both sets.
        only_before: workloads that only the earlier set has.
        only_after: workloads that only the later set has.
        failed: with ``--fail-above``: what surely takes more by more than that, what has lost its figure, and what is
            gone. A failure never passes for an improvement.
    """

    pairs: tuple[PairData, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    fail_above: float | None
    failed: tuple[str, ...]


def compare(before: Sequence[Run], after: Sequence[Run], fail_above: float | None = None) -> CompareReport:
    """Build the comparison of two sets of runs.

    Args:
        before: earlier runs.
        after: later runs.
        fail_above: share by which a workload may take more; None for no limit.

    Raises:
        UsageError: if no workload is in both; with a limit that is a failure of all that are gone instead.
    """
    pairs = pair_up(before, after)
    if not pairs and fail_above is None:
        raise UsageError("No workload is in both sets of runs, so there is nothing to compare.")
    keys_before, keys_after = ({r.workload.key: None for r in runs} for runs in (before, after))
    only_before = tuple(key for key in keys_before if key not in keys_after)
    failed = [p.after.workload.key for p in pairs if fail_above is not None and _fails(p, fail_above)]
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
        only_before=only_before,
        only_after=tuple(key for key in keys_after if key not in keys_before),
        fail_above=fail_above,
        failed=(*failed, *only_before) if fail_above is not None else (),
    )


def _fails(pair: Pair, share: float) -> bool:
    lost = energy_per_unit(pair.before).available and not energy_per_unit(pair.after).available
    return lost or pair.exceeds(share)
