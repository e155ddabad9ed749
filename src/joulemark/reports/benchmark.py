"""The benchmark's report as plain data: rankings within and across tasks, footprint, verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from joulemark import footprint
from joulemark.errors import UsageError
from joulemark.figures import Figure, Kind, ratio
from joulemark.footprint import Equivalent, Footprint, Place, Spread
from joulemark.footprint.equivalents import LATEST
from joulemark.readings import Machine, power_figure
from joulemark.records import Run, energies_per_trial, energy_per_unit, phase_energy
from joulemark.records.net import net_energy_per_unit, rest_power
from joulemark.reports.data import Document, FigureData, figure_data
from joulemark.reports.fronts import on_front
from joulemark.reports.tokens import TokenEnergy, token_energy
from joulemark.stats import Judgement, Verdict, judge, summarise

__all__ = ["PER", "BenchReport", "Entry", "Results", "RowData", "collect", "from_runs", "tokens_by_model"]

CHARGE = footprint.SMARTPHONE_CHARGE[LATEST]
CAR = footprint.PETROL_CAR[LATEST]
SHARE_OF_RIGHT = {"accuracy", "exact match"}
"""Quality metrics that are the share of right answers."""
LOWER_IS_BETTER = {"word error rate", "WER", "perplexity"}
PER = 1000
"""The study's customary unit: energy per 1,000 inferences."""


@dataclass(frozen=True, slots=True)
class OverGrids:
    """Carbon (g) and distance by car (m), each from lowest to highest, over the grids of a `Spread`."""

    carbon_g: tuple[float, float]
    car_distance_m: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One run, with everything that is said about it.

    Attributes:
        run: its record.
        energy: joules per 1,000 inferences.
        net: the same above what the machine draws at rest; None if it was not looked at in rest.
        per_correct: joules per right answer, where the task tells how many are right; None elsewhere.
        front: whether no other of its task is as good in energy, time and quality and better in one of them (the
            Pareto front).
        power: mean power in the query phase, in watts.
        idle_power: mean power before the run, in watts, if it was looked at.
        load: energy of loading the model once, in joules.
        duration_s: mean seconds per inference, and their standard deviation over trials.
        verdict: what the repetition says, and why.
        ranked: whether it covers as much as the fullest of them; only those are ranked, for what covers less takes
            less on paper.
        note: why it has no figure or no rank, or that its run was cut off; empty if there is nothing to say.
        times_best: how many times the energy of the task's best, with its own interval; None where it may not be
            said.
        times_least: likewise over all tasks.
        charges: smartphone charges of the same energy.
        footprint: carbon and equivalents, if a place was given.
        over_grids: carbon in grams and distance by car in metres if no place was given: from the low end of the
            energy on a clean grid to its high end on a dirty one.
    """

    run: Run
    energy: Figure
    power: Figure
    idle_power: Figure | None
    load: Figure | None
    duration_s: tuple[float, float]
    verdict: Verdict
    verdict_reason: str
    charges: Figure
    net: Figure | None = None
    per_correct: Figure | None = None
    front: bool = False
    note: str = ""
    ranked: bool = True
    footprint: Footprint | None = None
    over_grids: OverGrids | None = None
    times_best: Figure | None = None
    times_least: Figure | None = None

    @property
    def title(self) -> str:
        """Model and the settings that tell it from others."""
        return self.run.workload.model_title

    @property
    def settings(self) -> str:
        """All settings, in short."""
        return _in_short(self.run.workload.settings)

    @property
    def chosen(self) -> str:
        """The settings that tell it from others of its suite, in short."""
        return _in_short(self.run.workload.chosen)


def _in_short(settings: Mapping[str, object]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in settings.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Entries by task, each task's cheapest first, failed ones last; the place, or the range over grids."""

    entries: tuple[Entry, ...]
    place: Place | None
    grids: Spread

    def tasks(self) -> dict[str, tuple[Entry, ...]]:
        """Entries by task, in the order in which tasks first appear."""
        names = dict.fromkeys(e.run.workload.task for e in self.entries)
        return {name: tuple(e for e in self.entries if e.run.workload.task == name) for name in names}

    def ranked(self) -> tuple[Entry, ...]:
        """All entries that may be ranked, cheapest first."""
        return tuple(sorted((e for e in self.entries if e.ranked), key=lambda e: e.energy.value))

    def machines(self) -> tuple[Machine, ...]:
        """The machines of the runs, each once."""
        return tuple(dict.fromkeys(e.run.machine for e in self.entries))


def collect(runs: Sequence[Run], place: Place | None = None) -> Results:
    """Work out everything that reports say about some runs.

    Raises:
        UsageError: if there are no runs.
    """
    if not runs:
        raise UsageError("There are no runs to report on.")
    entries = _with_rank([_entry(run, place) for run in runs])
    least = min((e for e in entries if e.ranked), key=lambda e: e.energy.value, default=None)
    result: list[Entry] = []
    for name in dict.fromkeys(e.run.workload.task for e in entries):
        group = sorted((e for e in entries if e.run.workload.task == name), key=_order)
        best = group[0] if group[0].ranked else None
        fronts = on_front([_coordinates(e) for e in group])
        result += [
            replace(e, times_best=_times(e, best), times_least=_times(e, least), front=front and e.ranked)
            for e, front in zip(group, fronts, strict=True)
        ]
    return Results(entries=tuple(result), place=place, grids=footprint.spread_over_grids())


def _coordinates(entry: Entry) -> tuple[float, float, float]:
    """Energy, time, and quality with its sign turned: the lower the better. What has no rank beats none."""
    if not entry.ranked:
        return (math.inf, math.inf, math.inf)
    quality = entry.run.quality
    worse = 0.0 if quality is None else quality.value if quality.metric in LOWER_IS_BETTER else -quality.value
    return (entry.energy.value, entry.duration_s[0], worse)


def _with_rank(entries: Sequence[Entry]) -> list[Entry]:
    """Rank only what covers as much as the fullest: a missing reading never makes a model look good."""
    whole = [e for e in entries if e.energy.available and not e.energy.evidence.missing]
    fullest = max(
        (e.energy.boundary for e in whole or entries if e.energy.available),
        key=lambda boundary: len(boundary.components),
        default=None,
    )

    def ranked(entry: Entry) -> bool:
        same = entry.energy.available and entry.energy.boundary == fullest
        return same and (not whole or not entry.energy.evidence.missing)

    return [replace(e, ranked=ranked(e)) for e in entries]


def _order(entry: Entry) -> tuple[bool, bool, float]:
    """Ranked ones by energy, then those that cover less, then those without a figure."""
    known = entry.energy.available
    return not entry.ranked, not known, entry.energy.value if known else math.inf


def _entry(run: Run, place: Place | None) -> Entry:
    energy = replace(energy_per_unit(run) * PER, unit="J")
    trials = [t for t in run.trials if t.units]
    seconds = [t.window.duration_s / t.units for t in trials]
    summary = summarise(seconds) if seconds else None
    net, judgement = net_energy_per_unit(run), _verdict(run, energy)
    return Entry(
        run=run,
        energy=energy,
        power=power_figure(energy, summary.mean * PER) if summary else replace(energy, unit="W"),
        idle_power=rest_power(run),
        net=None if net is None else replace(net * PER, unit="J"),
        per_correct=_per_correct(run, energy),
        load=phase_energy(run, "load"),
        duration_s=(summary.mean, summary.sd) if summary else (math.nan, math.nan),
        verdict=judgement.verdict,
        verdict_reason=judgement.reason,
        note=_note(run, energy),
        charges=footprint.charges(energy),
        footprint=footprint.of(energy, place) if place is not None and energy.available else None,
        over_grids=_over_grids(energy) if place is None and energy.available else None,
    )


def _per_correct(run: Run, energy: Figure) -> Figure | None:
    """Energy per right answer, in joules: what all answers took, shared among those that are right."""
    quality = run.quality
    if quality is None or quality.metric not in SHARE_OF_RIGHT or not energy.available or not quality.value > 0:
        return None
    return replace(energy / (PER * quality.value), unit="J")


def _verdict(run: Run, energy: Figure) -> Judgement:
    if not energy.available:
        return Judgement(Verdict.FAILED, run.failure or "no figure")
    trials = [t for t in run.trials if t.units]
    return judge(
        energies_per_trial(run),
        [t.window.duration_s for t in trials],
        blocks=[t.block for t in trials],
        foreign_cpu=[t.foreign_cpu for t in trials],
        clocks_mhz=[t.clock_mhz for t in trials],
        throttled=[t.throttled for t in trials],
    )


def _over_grids(energy: Figure) -> OverGrids:
    grids = footprint.spread_over_grids()
    clean, dirty = (footprint.of(energy, at) for at in (grids.low, grids.high))
    return OverGrids(
        carbon_g=(clean.carbon.low, dirty.carbon.high),
        car_distance_m=(clean.car_distance.low, dirty.car_distance.high),
    )


def tokens_by_model(entries: Sequence[Entry]) -> dict[str, TokenEnergy]:
    """Fit the energy of tokens read and written for each model of a task that was measured at several lengths.

    Models whose runs cannot tell the two apart are left out.
    """
    groups: dict[tuple[str, str, str], list[Run]] = {}
    for entry in entries:
        w = entry.run.workload
        if entry.energy.available and any(trial.tokens_out for trial in entry.run.trials):
            groups.setdefault((w.model, w.backend, w.precision), []).append(entry.run)
    fits = {model: token_energy(runs) for (model, _, _), runs in groups.items() if len(runs) > 1}
    return {model: tokens for model, tokens in fits.items() if tokens.decode.available}


def _times(entry: Entry, best: Entry | None) -> Figure | None:
    return ratio(entry.energy, best.energy) if best is not None and entry.ranked else None


def _note(run: Run, energy: Figure) -> str:
    """Why there is no figure, what a figure does not cover, or that the run was cut off."""
    missing = "; ".join(f"{p.name}: {p.reason}" for p in energy.evidence.missing)
    if not energy.available:
        return run.failure or missing.removeprefix("run: ")
    notes = [f"not ranked, without {missing}"] if missing else []
    if run.status in {"running", "interrupted"}:
        notes.append(f"cut off after {len(run.trials)} trials")
    return "; ".join(notes)


class RowData(Document, frozen=True):
    """One workload of a benchmark report; energies are per 1,000 inferences."""

    task: str
    model: str
    model_title: str
    settings: dict[str, int | float | str | bool]
    unit: str
    rank: int | None
    energy: FigureData
    times_best: FigureData | None
    times_least: FigureData | None
    net: FigureData | None
    per_correct: FigureData | None
    front: bool
    power: FigureData
    idle_power: FigureData | None
    load: FigureData | None
    duration_s: float | None
    duration_sd_s: float | None
    trials: int
    verdict: str
    verdict_reason: str
    status: str
    note: str
    quality_metric: str | None
    quality: float | None
    carbon_g: FigureData | None
    carbon_range_g: tuple[float, float] | None
    smartphone_charges: FigureData
    car_distance_m: FigureData | None
    car_distance_range_m: tuple[float, float] | None


class TokenData(Document, frozen=True):
    """What tokens cost, fitted over the runs of one model and task: J a request, a token read, a token written."""

    task: str
    model: str
    request: FigureData
    prefill: FigureData
    decode: FigureData
    trials: int
    residual: float


class BenchReport(Document, frozen=True):
    """What ``joulemark bench``, ``show`` and ``report`` print with ``--json``.

    Attributes:
        suite: its name.
        per: number of inferences that energies stand for.
        place: the grid that carbon is reckoned for, or null: then `carbon_range_g` spans `grids`.
        grids: the grids that ranges run over, in words.
        factors: editions of the factors behind charges and distances.
        rows: within each task the cheapest first.
        tokens: energy of tokens, where a model was measured at several lengths.
    """

    suite: str
    per: int
    place: str | None
    grids: str
    factors: tuple[str, ...]
    evidence: str
    rows: tuple[RowData, ...]
    tokens: tuple[TokenData, ...] = ()


def from_runs(runs: Sequence[Run], place: Place | None = None) -> BenchReport:
    """Build the report of some runs; raises as `collect`."""
    results = collect(runs, place)
    ranks = {
        e.run.id: position
        for group in results.tasks().values()
        for position, e in enumerate((e for e in group if e.ranked), start=1)
    }
    return BenchReport(
        suite=runs[0].suite,
        per=PER,
        place=None if place is None else describe_place(place),
        grids=describe_spread(results.grids),
        factors=tuple(describe_factor(f) for f in (CHARGE, CAR)),
        evidence=evidence_of(results),
        rows=tuple(_row(e, ranks.get(e.run.id)) for e in results.entries),
        tokens=tuple(
            TokenData(
                task=name,
                model=model,
                request=figure_data(tokens.request),
                prefill=figure_data(tokens.prefill),
                decode=figure_data(tokens.decode),
                trials=tokens.trials,
                residual=tokens.residual,
            )
            for name, group in results.tasks().items()
            for model, tokens in tokens_by_model(group).items()
        ),
    )


def evidence_of(results: Results) -> str:
    """Give the evidence of all figures together: one kind, or which kinds there are."""
    kinds = {e.energy.evidence.kind for e in results.entries if e.energy.available}
    return " and ".join(kind for kind in Kind if kind in kinds) or "unavailable"


def _row(entry: Entry, rank: int | None) -> RowData:
    def data(figure: Figure | None, family: str | None = None) -> FigureData | None:
        return None if figure is None else figure_data(figure, family)

    def known(value: float) -> float | None:
        return None if math.isnan(value) else value

    run, priced, ranges = entry.run, entry.footprint, entry.over_grids
    return RowData(
        task=run.workload.task,
        model=run.workload.model,
        model_title=run.workload.model_title,
        settings=run.workload.settings,
        unit=run.workload.unit,
        rank=rank,
        energy=figure_data(entry.energy, "Wh"),
        times_best=data(entry.times_best),
        times_least=data(entry.times_least),
        net=data(entry.net, "Wh"),
        per_correct=data(entry.per_correct),
        front=entry.front,
        power=figure_data(entry.power),
        idle_power=data(entry.idle_power),
        load=data(entry.load),
        duration_s=known(entry.duration_s[0]),
        duration_sd_s=known(entry.duration_s[1]),
        trials=len(run.trials),
        verdict=str(entry.verdict),
        verdict_reason=entry.verdict_reason,
        status=run.status,
        note=entry.note,
        quality_metric=None if run.quality is None else run.quality.metric,
        quality=None if run.quality is None else run.quality.value,
        carbon_g=data(priced.carbon if priced else None),
        carbon_range_g=ranges.carbon_g if ranges else None,
        smartphone_charges=figure_data(entry.charges),
        car_distance_m=data(priced.car_distance if priced else None),
        car_distance_range_m=ranges.car_distance_m if ranges else None,
    )


def describe_place(place: Place) -> str:
    """Name a place with its intensity and year."""
    year = "your own factor" if place.year is None else str(place.year)
    return f"{place.name}, {place.g_per_kwh:.0f} gCO2e/kWh ({year})"


def describe_spread(spread: Spread) -> str:
    """Name the grids that a range runs over."""
    return (
        f"{describe_place(spread.low)} to {describe_place(spread.high)}, the 5th and 95th percentile of "
        f"{spread.countries} countries"
    )


def describe_factor(factor: Equivalent) -> str:
    """Name a factor with its edition."""
    return f"{factor.name}: {factor.formula} ({factor.authority}, edition {factor.edition})"
