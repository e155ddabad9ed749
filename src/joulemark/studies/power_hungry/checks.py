"""Every printed figure against the logs, and, where they differ, what would print it."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean, median

import msgspec

from joulemark.footprint import PETROL_CAR
from joulemark.studies.power_hungry.claims import Claim, Claims, Parity, TaskData
from joulemark.studies.power_hungry.readings import Change, NothingToRead, Reading, Store, changed
from joulemark.studies.printed import DIFFERENT, SAME, WITHIN, Printed
from joulemark.studies.report import Check, Finding
from joulemark.studies.spread import Interval, mean_interval, median_interval, ratio_interval
from joulemark.units import JOULES_PER_KWH, METRES_PER_MILE, format_number

__all__ = ["COMPONENT_NAMES", "Checker", "component_kind", "logged_intensities"]

UNKNOWN = "cannot be computed"
HOLDS, FAILS = "holds", "does not hold"
CAR = PETROL_CAR["2023"]
"""The edition that the study's miles were printed with; see `joulemark.footprint.equivalents`."""
COMPONENT_NAMES = {"gpu": "GPUs", "ram": "memory", "cpu": "CPU"}

_UNITS: Mapping[str, float] = {
    "kWh": JOULES_PER_KWH,
    "g": 1.0,
    "kg": 1000.0,
    "1": 1.0,
    "%": 0.01,
    "charges": 1.0,
    "miles": METRES_PER_MILE,
}
_FEW = 4
"""So many readings that print a figure are shown."""
MOST_BY_CHANCE = 0.5
"""Readings that may be expected to print a figure by chance, before that is said (assumption of ours)."""


class Checker:
    """Checks the claims of the file against one set of logs."""

    def __init__(self, store: Store, claims: Claims) -> None:
        self.store, self.claims = store, claims
        self._by_id = {claim.id: claim for claim in claims.claims}
        self._kinds = {
            "value": self._value,
            "name": self._name,
            "intensity": self._intensity,
            "evidence": self._evidence,
            "devices": self._devices,
            "labels": self._labels,
        }

    def checks(self) -> tuple[Check, ...]:
        """Check everything that was printed, in the order of the file."""
        checks = [self.check(claim) for claim in self.claims.claims if claim.kind != "input"]
        return (*checks, *(self._parity(parity) for parity in self.claims.parities))

    def check(self, claim: Claim) -> Check:
        """Check one claim; what these logs cannot tell is said to be so, and never a zero."""
        blank = Check(
            id=claim.id,
            place=claim.place,
            says=claim.says,
            printed=claim.printed,
            unit=claim.unit,
            verdict=UNKNOWN,
        )
        try:
            return self._kinds[claim.kind](claim, blank)
        except NothingToRead as error:
            return _with(blank, why=str(error))

    # ------------------------------------------------------------------------------------------------- values

    def compute(self, claim: Claim, change: Change | None = None) -> float:
        """Give the value that the logs have for a claim, in its unit, perhaps under another reading."""
        of = changed(claim.of or Reading(), change or {})
        value = self.store.value(of)
        if claim.by is not None:
            value /= self.store.value(changed(claim.by, _common(change)))
        if claim.less is not None:
            value -= self.store.value(changed(claim.less, _common(change)))
        if not math.isfinite(value):
            raise NothingToRead("these logs have too few runs of it")
        return value * self._factor(claim)

    def _factor(self, claim: Claim) -> float:
        """What turns J or g into the claim's unit."""
        factor = claim.scale / _UNITS[claim.unit]
        if claim.per == "charge":
            factor /= self._by_id["charge"].number.value * JOULES_PER_KWH
        elif claim.per == "car":
            factor *= CAR.value
        return factor

    def _value(self, claim: Claim, blank: Check) -> Check:
        printed, value = claim.number, self.compute(claim)
        low, high = self._interval(claim, value)
        checked = _with(
            blank, value=value, low=_known(low), high=_known(high), text=_with_unit(printed.show(value), claim.unit)
        )
        if claim.relation == "over":
            holds = value > printed.value
            return _with(
                checked,
                printed=f"over {claim.printed}",
                verdict=HOLDS if holds else FAILS,
                why="" if holds else self._from_printed(claim, printed),
            )
        verdict = printed.verdict(value)
        why = ""
        if verdict == WITHIN:
            why = "cut off, not rounded" if printed.cut_from(value) else "one unit of the last digit"
        elif verdict == DIFFERENT:
            why = "; ".join(filter(None, (self._from_printed(claim, printed), self._search(claim, printed))))
        return _with(checked, verdict=verdict, why=why)

    def _interval(self, claim: Claim, value: float) -> Interval:
        of, by = claim.of, claim.by
        if of is None or of.stat not in {"mean", "median"} or claim.less is not None:
            return math.nan, math.nan
        if of.stat == "median":
            low, high = median_interval(list(self.store.by_model(of).values()))
            return low * self._factor(claim), high * self._factor(claim)
        groups = self.store.groups(of)
        if by is None:
            low, high, centre = *mean_interval(groups), fmean(groups)
        else:
            below = self.store.groups(by)
            low, high, centre = *ratio_interval(groups, below), fmean(groups) / fmean(below)
        return low / centre * value, high / centre * value

    def _from_printed(self, claim: Claim, printed: Printed) -> str:
        """Say whether the figure is what other printed figures give, and what their rounding leaves open."""
        if not claim.inputs:
            return ""
        first = self._by_id[claim.inputs[0]].number
        if claim.inputs[1] == "car":
            value = first.value * CAR.value / METRES_PER_MILE
            words = f"{first.text} g by car"
            low, high = (v * CAR.value / METRES_PER_MILE for v in (first.low, first.high))
        else:
            second = self._by_id[claim.inputs[1]].number
            value, words = first.value / second.value, f"{first.text} / {second.text}"
            low, high = first.low / second.high, first.high / second.low if second.low > 0 else math.inf
        fits = value > printed.value if claim.relation == "over" else printed.prints(value)
        leaves = f"whose rounding leaves {format_number(low)} to {format_number(high)}"
        if fits:
            return f"it follows from other printed figures, {words} = {printed.show(value)}, {leaves}"
        return f"other printed figures give {words} = {printed.show(value)}, {leaves}"

    def _search(self, claim: Claim, printed: Printed) -> str:
        """Look among other readings of the logs for those that print the figure."""
        group = [c for c in self.claims.claims if claim.together and c.together == claim.together] or [claim]
        tried = 0
        found: dict[int, list[str]] = defaultdict(list)
        nearest = (math.inf, "")
        energies = all((c.of or Reading()).what == "energy" for c in group)
        for size, change, words in self.store.others(claim.of or Reading()):
            # One digit is soon met by chance: for such figures only the nearest readings are tried.
            if ("what" in change and not energies) or (size == 2 and (found[1] or printed.digits < 2)):
                continue
            try:
                values = [self.compute(c, change) for c in group]
            except (NothingToRead, ZeroDivisionError):
                continue
            tried += 1
            shown = ", ".join(_with_unit(c.number.show(v), c.unit) for c, v in zip(group, values, strict=True))
            if all(math.isfinite(v) and c.number.prints(v) for c, v in zip(group, values, strict=True)):
                found[size].append(f"{words}: {shown}")
            elif math.isfinite(values[0]) and values[0] > 0 and printed.value > 0:
                nearest = min(nearest, (abs(math.log(values[0] / printed.value)), f"{words}: {shown}"))
        fits = found[1] or found[2]
        also = f" ({' and '.join(f'{c.printed} {c.unit}' for c in group)} together)" if len(group) > 1 else ""
        if not fits:
            near = f"; nearest: {nearest[1]}" if nearest[1] else ""
            return f"none of {tried} other readings of the logs prints it{also}{near}"
        # Readings within a factor e of the figure, evenly on a logarithmic scale, would meet it so often by chance: a
        # window of 1.5 units (rounded or cut off) of a width of 2 (assumption of ours).
        by_chance = tried * 0.75 * float(min(c.number.step / abs(c.number.number) for c in group))
        doubt = ", which may be chance" if by_chance > MOST_BY_CHANCE else ""
        listed = "; ".join(fits[:_FEW]) + (" ..." if len(fits) > _FEW else "")
        return f"{len(fits)} of {tried} other readings of the logs print it{also}{doubt}: {listed}"

    # -------------------------------------------------------------------------------------------------- names

    def _name(self, claim: Claim, blank: Check) -> Check:
        of = claim.of or Reading()
        name, value = self._extreme(of)
        text = f"{name}, {_amount(of, value)}"
        if _same_name(name, claim.printed):
            return _with(blank, verdict=SAME, text=text)
        elsewhere = []
        for task in self.store.tasks:
            try:
                other, amount = self._extreme(replace(of, tasks=(task.name,)))
            except NothingToRead:
                continue
            if _same_name(other, claim.printed):
                elsewhere.append(f"it is the {_side(of)} of {task.name}, {_amount(of, amount)}")
        homes = [
            task.name
            for task in self.store.tasks
            if any(_same_name(model, claim.printed) for model in self._models_of(task.name))
        ]
        why = f"the logs hold {claim.printed} under {', '.join(homes) or 'no task'}"
        return _with(blank, verdict=DIFFERENT, text=text, why="; ".join((why, *elsewhere)))

    def _extreme(self, of: Reading) -> tuple[str, float]:
        means = self.store.model_means(of)
        choose = min if of.stat == "min" else max
        name = choose(means, key=means.__getitem__)
        return name, means[name]

    def _models_of(self, task: str) -> set[str]:
        try:
            return {run.model for run in self.store.select(Reading(tasks=(task,)))}
        except NothingToRead:
            return set()

    # --------------------------------------------------------------------------- what the logs say of themselves

    def _intensity(self, claim: Claim, blank: Check) -> Check:
        printed = claim.number
        regions = logged_intensities(self.store)
        if not regions:
            raise NothingToRead("no phase of these logs has energy and emissions")
        region, (value, count) = max(regions.items(), key=lambda item: item[1][1])
        rest = "; ".join(
            f"{n:,} of {where or 'no region'} with {v:.4g}" for where, (v, n) in regions.items() if where != region
        )
        text = f"{printed.show(value)} g/kWh in {count:,} phases ({region or 'no region'}){'; ' + rest if rest else ''}"
        verdict = printed.verdict(value)
        if verdict != DIFFERENT:
            return _with(blank, verdict=verdict, value=value, text=text)
        tried = {
            what: self.store.value(Reading(what="emissions", stat="sum", who="all", phases="run"))
            / self.store.value(Reading(what=what, stat="sum", who="all", phases="run"))
            * JOULES_PER_KWH
            for what in ("gpu", "gpu+cpu", "gpu+ram")
        }
        fits = [what for what, v in tried.items() if printed.prints(v)]
        ratios = ", ".join(f"{what} {v:.1f}" for what, v in tried.items())
        pairs = self.pairs()
        agree = sum(p[4] == "the logs" for p in pairs)
        stated = sum(p[4] == "the text" for p in pairs)
        why = (
            f"emissions divided by energy in every phase; at the printed intensity all emissions would be "
            f"{printed.value / value:.3f} times as much; over parts of the energy it would be {ratios}"
            f"{', so ' + fits[0] if fits else ''}; of {len(pairs)} printed pairs of energy and emissions "
            f"{agree} fit the logs' intensity alone and {stated} the printed one"
        )
        return _with(blank, verdict=DIFFERENT, value=value, text=text, why=why)

    def _evidence(self, claim: Claim, blank: Check) -> Check:
        kind, words = component_kind(self.store, self.claims, claim.component)
        reading = Reading(stat="sum", who="all", phases="run")
        share = self.store.value(replace(reading, what=claim.component)) / self.store.value(reading)
        text = f"{kind}: {words}; {100 * share:.1f} % of all logged energy"
        verdict = SAME if kind == claim.printed else DIFFERENT
        return _with(
            blank, verdict=verdict, text=text, why="" if verdict == SAME else "what is measured varies with the load"
        )

    def _devices(self, claim: Claim, blank: Check) -> Check:
        counts = Counter(phase.gpus for phase in self.store.logs.phases())
        if not counts:
            raise NothingToRead("no phase in these logs")
        gpus, _ = counts.most_common(1)[0]
        verdict = claim.number.verdict(gpus)
        lowest = min(phase.powers_w["gpu"] for phase in self.store.logs.phases())
        why = "" if verdict == SAME else f"the reading covers {gpus} GPUs and never falls below {lowest:.0f} W"
        return _with(blank, verdict=verdict, value=float(gpus), text=f"{gpus} GPUs in the reading", why=why)

    def _labels(self, claim: Claim, blank: Check) -> Check:
        runs = [run for run in self.store.logs.runs if run.dataset]
        relabelled = Counter((run.label, run.model) for run in runs if run.label != run.model)
        notes = [
            f"{count} runs called {label} in the files are {model} in the logs, by run id"
            for (label, model), count in sorted(relabelled.items())
        ]
        exact = 0
        for task in self.store.tasks:
            labels = {run.label for run in runs if run.dataset in task.files} - set(task.left_out)
            if labels:
                exact += len(labels & set(task.table6))
                notes += self._strangers(task, labels)
        verdict = SAME if exact == int(claim.printed) and not notes else DIFFERENT
        text = f"{exact} models have their runs in the files under that name"
        return _with(blank, verdict=verdict, value=float(exact), text=text, why="; ".join(notes))

    def _strangers(self, task: TaskData, labels: set[str]) -> list[str]:
        """Say which models of Table 6 the files of a task do not hold under their name, and what they hold instead."""
        logged: dict[str, list[float]] = defaultdict(list)
        for run in self.store.logs.runs:
            if run.model in task.table6 and self.store.query_phase in run.phases:
                logged[run.model].append(self.store.quantity(run, Reading()))
        missing = [name for name in task.table6 if name not in labels]
        outside = [name for name in missing if name in logged]
        spelled = {
            name: next((label for label in sorted(labels) if _nearly(name, label)), "")
            for name in missing
            if name not in logged
        }
        notes = [
            f"{name} is {label} in the files" if label else f"{name} is nowhere in the logs"
            for name, label in spelled.items()
        ]
        if outside:
            strangers = sorted(labels - set(task.table6) - set(spelled.values()))
            own = fmean(fmean(values) for values in logged.values()) / JOULES_PER_KWH
            used = self.store.value(Reading(tasks=(task.name,))) / JOULES_PER_KWH
            notes.append(
                f"{task.name}: {', '.join(outside)} have runs in no file of a data set, which hold "
                f"{', '.join(strangers) or 'no others'} instead; with Table 6's own models the mean is {own:.5f} kWh "
                f"instead of {used:.5f}"
            )
        return notes

    # ------------------------------------------------------------------------------------------------- parity

    def _parity(self, claim: Parity) -> Check:
        """Check a column of Table 5: (training + fine-tuning) / inference; the first two are taken as printed."""
        printed = Printed.read(claim.parity)
        training, finetuning, inference = (
            Printed.read(text) for text in (claim.training, claim.finetuning, claim.inference)
        )
        whole = training.value + finetuning.value
        from_printed = whole / inference.value
        blank = Check(
            id=f"table5-{claim.printed_name}-parity",
            place="Table 5",
            says=f"{claim.printed_name}: inferences that take as much as training and fine-tuning",
            printed=claim.parity,
            unit="1",
            verdict=UNKNOWN,
        )
        try:
            energy = self.store.value(Reading(who="multi", models=(claim.model,)))
        except NothingToRead as error:
            return _with(blank, why=str(error))
        groups = self.store.groups(Reading(who="multi", models=(claim.model,)))
        value = whole * JOULES_PER_KWH * 1000 / energy
        low, high = mean_interval(groups)
        low, high = value * fmean(groups) / high, value * fmean(groups) / low
        verdict = printed.verdict(value)
        follows = printed.verdict(from_printed)
        why = ""
        if verdict != SAME:
            words = {SAME: "exactly", WITHIN: "but for one unit", DIFFERENT: "not"}[follows]
            why = (
                f"the printed, rounded {claim.inference} kWh an inference gives it {words}: {from_printed:,.0f}; "
                f"its rounding leaves {format_number(whole / inference.high)} to {format_number(whole / inference.low)}"
            )
        if follows == DIFFERENT:
            slip = printed.value * inference.value - whole
            why += (
                f"; it is off by {printed.value - from_printed:+,.0f} inferences, which a slip of {slip:+,.1f} kWh "
                f"explains: {training.value + slip:,.0f} for {claim.training}, or {finetuning.value + slip:,.0f} for "
                f"{claim.finetuning}"
            )
        return _with(
            blank,
            verdict=verdict,
            value=value,
            low=_known(low),
            high=_known(high),
            text=f"{value:,.0f}",
            why=why,
        )

    # -------------------------------------------------------------------------------------------------- pairs

    def pairs(self) -> tuple[tuple[str, str, float, float, str], ...]:
        """Give the intensity that printed pairs of energy and emissions of one thing imply.

        Returns:
            For each pair: its words, its place, lowest and highest intensity in g/kWh that its rounding leaves, and
            which intensity fits: ``the logs``, ``the text``, ``both`` or ``neither``.
        """
        regions = logged_intensities(self.store)
        logged = max(regions.values(), key=lambda v: v[1])[0] if regions else math.nan
        stated = next(c.number.value for c in self.claims.claims if c.kind == "intensity")
        grouped: dict[str, list[Claim]] = defaultdict(list)
        for claim in self.claims.claims:
            if claim.pair:
                grouped[claim.pair].append(claim)
        found = []
        for members in grouped.values():
            energy = next(c for c in members if c.unit == "kWh")
            emissions = next(c for c in members if c.unit != "kWh")
            grams, kwh = emissions.number, energy.number
            scale = _UNITS[emissions.unit]
            # A printed digit may have been cut off: it then stands for up to one unit more.
            low = grams.low * scale / float(kwh.number + kwh.step)
            high = float(grams.number + grams.step) * scale / kwh.low
            fits = [name for name, v in (("the logs", logged), ("the text", stated)) if low <= v <= high]
            which = fits[0] if len(fits) == 1 else "both" if fits else "neither"
            words = f"{energy.printed} kWh and {emissions.printed} {emissions.unit}"
            found.append((words, energy.place, low, high, which))
        return tuple(found)

    def findings(self, checks: Sequence[Check]) -> tuple[Finding, ...]:
        """Give the printed figures that are not what they say: what differs, and pairs that do not fit each other."""
        found = [
            Finding(
                subject=check.says,
                place=check.place,
                printed=_with_unit(check.printed, check.unit),
                found=check.text,
                how=check.why,
            )
            for check in checks
            if check.verdict in {DIFFERENT, FAILS}
        ]
        pairs = [pair for pair in self.pairs() if pair[4] == "neither"]
        found += [
            Finding(
                subject="energy and emissions of one thing",
                place=place,
                printed=words,
                found=f"together {low:.1f} to {high:.1f} g/kWh, which is neither the logs' intensity nor the text's",
                how="the two are not of the same scope",
            )
            for words, place, low, high, _ in pairs
        ]
        return tuple(found)


def logged_intensities(store: Store) -> dict[str, tuple[float, int]]:
    """Give emissions over energy by region: the median over phases in g/kWh, and how many phases."""
    by_region: dict[str, list[float]] = defaultdict(list)
    for phase in store.logs.phases():
        if phase.total_j > 0:
            by_region[phase.region].append(phase.emissions_g / phase.total_j * JOULES_PER_KWH)
    return {region: (median(values), len(values)) for region, values in by_region.items()}


def component_kind(store: Store, claims: Claims, component: str) -> tuple[str, str]:
    """Find out from the logs how a component's energy came about: a reading varies, a constant does not.

    Returns:
        ``measured``, ``modelled`` or ``assumed``, and why.
    """
    phases = list(store.logs.phases())
    powers = [phase.powers_w[component] for phase in phases]
    if not powers:
        raise NothingToRead("no phase in these logs")
    low, high = min(powers), max(powers)
    if high - low > 1e-9 * high:
        return "measured", f"its power varies from {low:.0f} to {high:.0f} W"
    by_size = {phase.powers_w[component] / phase.memory_gb for phase in phases}
    rule = float(claims.memory_rule["w_per_gb"])
    if component == "ram" and by_size and all(abs(ratio - rule) < 1e-6 for ratio in by_size):
        size = phases[0].memory_gb
        return (
            "modelled",
            f"{high:.2f} W in every phase, {rule} W for each of {size:,.1f} GB ({claims.memory_rule['citation']})",
        )
    return "assumed", f"{high:.1f} W in every phase, whatever the load"


def _with(check: Check, **fields: object) -> Check:
    return msgspec.structs.replace(check, **fields)


def _with_unit(text: str, unit: str) -> str:
    return text if unit in {"", "1"} else f"{text} {unit}"


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _common(change: Change | None) -> Change:
    """What may change in both halves of a ratio."""
    return {k: v for k, v in (change or {}).items() if k in {"phases", "stat", "over", "what"}}


def _amount(of: Reading, value: float) -> str:
    if of.what == "emissions":
        return f"{format_number(value)} g"
    return f"{format_number(value / JOULES_PER_KWH)} kWh"


def _side(of: Reading) -> str:
    return "least" if of.stat == "min" else "most"


def _same_name(model: str, printed: str) -> bool:
    return model == printed or model.endswith(f"/{printed}")


def _nearly(printed: str, label: str) -> bool:
    """Whether a printed name is the label cut short at either end."""
    return label.startswith(printed) or label.endswith(printed)
