"""Two sets of runs against each other: a regression gate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from joulemark.boundary import Boundary
from joulemark.errors import UsageError
from joulemark.figures import Error, Figure, NotComparable, product, ratio
from joulemark.records import Run, energies_per_trial, energy_per_unit
from joulemark.reports.data import Document, FigureData, figure_data
from joulemark.stats import Verdict, judge
from joulemark.stats.resample import ratio_interval, smallest_seen

__all__ = ["CompareReport", "Pair", "compare", "pair_up"]

_REPETITION = "repetition of "


@dataclass(frozen=True, slots=True)
class Pair:
    """The same workload, measured twice.

    Attributes:
        before: the earlier run.
        after: the later run.
        times: energy per unit of `after` over that of `before`; None if they may not be compared.
        reason: why not, or in short what besides the time between them may have made a difference.
        remedy: what would make them comparable, where they are not.
        warnings: what does not match, one a line, though they may be compared.
    """

    before: Run
    after: Run
    times: Figure | None
    reason: str = ""
    remedy: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """In words: ``more``, ``less``, ``no difference`` (the interval holds 1), or ``not comparable``."""
        if self.times is None or not self.times.available:
            return "not comparable"
        if self.times.low > 1:
            return "more"
        return "less" if self.times.high < 1 else "no difference"

    @property
    def smallest_seen(self) -> float | None:
        """The smallest difference, as a part, that would have been found four times out of five."""
        if self.times is None or not self.times.available:
            return None
        return smallest_seen(self.times.low, self.times.high)

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
            return Pair(before, after, None, f"the {which} run has no figure: {reasons}", "measure it again")
    if different := _different_work(before, after):
        return Pair(
            before, after, None, f"the work differs: {different}", "measure both with the same settings and inputs"
        )
    try:
        times = ratio(*figures)
    except NotComparable as error:
        return Pair(before, after, None, str(error), "let both cover the same, as the reason says")
    except UsageError as error:
        return Pair(before, after, None, str(error), "measure both by the same unit of work")
    found = tuple(_differences(before, after))
    return Pair(
        before,
        after,
        _resampled(times, before, after),
        reason=", ".join(dict.fromkeys(short for short, _ in found if short)),
        warnings=tuple(text for _, text in found),
    )


def _different_work(before: Run, after: Run) -> str:
    """Say in what two workloads of one name differ; empty if in nothing that is part of the work."""
    one, other = before.workload, after.workload
    names = sorted({*one.settings, *other.settings})
    found = [
        f"{name} {one.settings.get(name, 'unset')} against {other.settings.get(name, 'unset')}"
        for name in names
        if one.settings.get(name) != other.settings.get(name)
    ]
    for name in ("unit", "precision", "twin"):
        if getattr(one, name) != getattr(other, name):
            found.append(f"{name} {getattr(one, name)} against {getattr(other, name)}")
    if (one.inputs_sha256, one.items) != (other.inputs_sha256, other.items):
        found.append(f"inputs {one.inputs} ({one.items}) against {other.inputs} ({other.items})")
    return ", ".join(found)


def _differences(before: Run, after: Run) -> Iterator[tuple[str, str]]:
    """Give what does not match though two runs may be compared: in short, and in full with what would mend it."""
    one, other = (replace(run.machine, hostname=None) for run in (before, after))
    if replace(one, gpu_driver="", system="") != replace(other, gpu_driver="", system=""):
        yield "on another machine", "the machine differs: the ratio holds for both together; measure both on one"
    for name, title in (("gpu_driver", "GPU driver"), ("system", "system")):
        if getattr(one, name) != getattr(other, name):
            yield f"another {title}", f"the {title} differs: {getattr(one, name)} against {getattr(other, name)}"
    sensors = [{d.name: d.sensor for d in run.domains if d.counted} for run in (before, after)]
    if sensors[0] != sensors[1]:
        yield "other sensors", "the sensors differ, so their errors do not cancel: measure both with the same ones"
    for name in sorted(before.software.keys() | after.software.keys()):
        versions = [run.software.get(name, "none") for run in (before, after)]
        if versions[0] != versions[1]:
            yield "other versions", f"{name} {versions[0]} against {versions[1]}"
    if before.workload.backend != after.workload.backend:
        yield "another backend", f"backend {before.workload.backend} against {after.workload.backend}"
    if before.workload.weights != after.workload.weights:
        yield "other weights", "the files of the model differ"
    for name in ("name", "units", "blocks", "trial_s", "warm_up_s"):
        values = [getattr(run.protocol, name) for run in (before, after)]
        if values[0] != values[1]:
            yield "another protocol", f"protocol: {name} {values[0]} against {values[1]}"
    for which, run in (("earlier", before), ("later", after)):
        verdict, reason = judge(
            energies_per_trial(run),
            [t.window.duration_s for t in run.trials if t.units],
            blocks=_blocks(run),
            foreign_cpu=[t.foreign_cpu for t in run.trials],
            clocks_mhz=[t.clock_mhz for t in run.trials],
            throttled=[t.throttled for t in run.trials],
        )
        if verdict not in {Verdict.STEADY, Verdict.NOISY}:
            yield "", f"the {which} run is {verdict}: {reason}"


def _blocks(run: Run) -> list[int]:
    return [t.block for t in run.trials if t.units]


def _resampled(times: Figure, before: Run, after: Run) -> Figure:
    """Widen a ratio where drawing its trials anew shows more spread than the t intervals of both means.

    What both runs share (gain, mix) has cancelled in the ratio, and what is left of it is independent of repetition: it
    adds in quadrature. Of the two descriptions of repetition the wider one holds; few blocks make the bootstrap too
    narrow, heavy tails the other.
    """
    values = energies_per_trial(after), energies_per_trial(before)
    if min(len(v) for v in values) < 2 or min(math.fsum(v) for v in values) <= 0:
        return times
    low, high = ratio_interval(
        *values, above_blocks=_blocks(after), below_blocks=_blocks(before), seed=f"{after.id}/{before.id}"
    )
    drawn = math.log(high / low) / 2
    own = replace(
        times, errors=tuple(e for e in times.errors if e.source.startswith(_REPETITION)), parts=(), formula=None
    )
    known = math.log(own.high / own.low) / 2 if own.low > 0 else math.inf
    if drawn <= known:
        return times
    more = Error(f"resampling of {after.id} and {before.id}", math.sqrt(drawn**2 - known**2) / 1.96)
    return product(times, Figure(value=1.0, unit="1", boundary=Boundary.of(()), errors=(more,)), "1")


class PairData(Document, frozen=True):
    """One workload of a comparison.

    Attributes:
        key: the workload.
        before: energy per unit, earlier.
        after: the same, later.
        times: later over earlier; null if they may not be compared.
        verdict: ``more``, ``less``, ``no difference`` or ``not comparable``.
        reason: why they may not be compared, or what to bear in mind.
        remedy: what would make them comparable.
        warnings: what does not match, though they may be compared.
        smallest_seen: the smallest difference, as a part, that would have been found four times out of five.
    """

    key: str
    before: FigureData
    after: FigureData
    times: FigureData | None
    verdict: str
    reason: str
    remedy: str = ""
    warnings: tuple[str, ...] = ()
    smallest_seen: float | None = None


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
        pairs=tuple(_data(p) for p in pairs),
        only_before=only_before,
        only_after=tuple(key for key in keys_after if key not in keys_before),
        fail_above=fail_above,
        failed=(*failed, *only_before) if fail_above is not None else (),
    )


def _data(pair: Pair) -> PairData:
    notes = [pair.reason] if pair.reason else []
    smallest = pair.smallest_seen
    if pair.verdict == "no difference" and smallest is not None:
        notes.insert(0, f"(one of {100 * smallest:.2g} % would have been seen)")
    if pair.remedy:
        notes.append(f"→ {pair.remedy}")
    return PairData(
        key=pair.after.workload.key,
        before=figure_data(energy_per_unit(pair.before)),
        after=figure_data(energy_per_unit(pair.after)),
        times=None if pair.times is None else figure_data(pair.times),
        verdict=pair.verdict,
        reason=" ".join(notes),
        remedy=pair.remedy,
        warnings=pair.warnings,
        smallest_seen=smallest,
    )


def _fails(pair: Pair, share: float) -> bool:
    lost = energy_per_unit(pair.before).available and not energy_per_unit(pair.after).available
    return lost or pair.exceeds(share)
