"""What the study's tables lack: spread, evidence, the working GPU, other boundaries, two intensities, conclusions."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

from joulemark.studies.power_hungry.boundaries import Bounded, IdleGpu
from joulemark.studies.power_hungry.checks import COMPONENT_NAMES, Checker, component_kind, logged_intensities
from joulemark.studies.power_hungry.claims import Claims, Stated
from joulemark.studies.power_hungry.logs import COMPONENTS
from joulemark.studies.power_hungry.readings import LOGGED, NothingToRead, Reading, Scope, Store
from joulemark.studies.printed import Printed
from joulemark.studies.report import Cell, Column, Conclusion, Section, Table, Under
from joulemark.studies.show import NOT_SURELY
from joulemark.studies.spread import components, mean_interval, median_interval, middle, ratio_interval
from joulemark.units import JOULES_PER_KWH, format_number

__all__ = ["Audit"]

PER = "kWh"
"""Of 1,000 queries, as the study has it."""
INTERVAL = "95 % intervals are of a mean over models like these (bootstrap of models)"


class Audit:
    """The audit of one set of logs under a set of boundaries."""

    def __init__(self, store: Store, claims: Claims, idle: IdleGpu, bounds: Sequence[Bounded]) -> None:
        self.store, self.claims, self.idle, self.bounds = store, claims, idle, tuple(bounds)
        self.tasks = [task.name for task in store.tasks if self._has(Reading(tasks=(task.name,)))]
        self.kinds = {part: component_kind(store, claims, part) for part in COMPONENTS}
        self._means: dict[tuple[Reading, int], list[float]] = {}

    def _has(self, reading: Reading) -> bool:
        try:
            return bool(self.store.select(reading))
        except NothingToRead:
            return False

    def sections(self) -> tuple[Section, ...]:
        """Give all sections."""
        return (
            Section(
                title="What the tables lack: spread, intervals, medians",
                text=self._spread_words(),
                tables=(self._spread(), self._multi_spread(), self._models()),
            ),
            Section(
                title="Measured, modelled, assumed",
                text=tuple(f"{COMPONENT_NAMES[part]}: {kind}; {words}." for part, (kind, words) in self.kinds.items()),
                tables=(self._evidence(),),
            ),
            Section(
                title="What the one working GPU drew",
                text=(f"Method: {self.idle.method}.",),
                tables=(self._working(),),
            ),
            Section(
                title="The same runs under other boundaries",
                text=tuple(f"{b.scope.name}: {b.words}; {b.evidence}." for b in self.bounds),
                tables=(self._boundaries(), self._rankings(), self._ratios(), self._model_rankings()),
            ),
            Section(title="Carbon under two intensities", tables=(self._carbon(), self._pairs())),
        )

    # ------------------------------------------------------------------------------------------------- spread

    def _nested(self, reading: Reading) -> dict[str, dict[str, list[float]]]:
        nested: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for run in self.store.select(reading):
            nested[run.model][run.dataset].append(self.store.quantity(run, reading) / JOULES_PER_KWH)
        return {model: dict(of) for model, of in nested.items()}

    def _spread_words(self) -> tuple[str, ...]:
        shares = [components(self._nested(Reading(tasks=(task,)))).shares for task in self.tasks]
        if not shares:
            return ()
        models, repeats = [s[0] for s in shares], [s[2] for s in shares]
        return (
            "The printed standard deviations are over all runs of a task: models, data sets and repeats mixed. Told "
            f"apart, {format_number(100 * min(models))} to {format_number(100 * max(models))} % of the variance is "
            f"between models and at most {format_number(100 * max(repeats), 2)} % between repeats.",
        )

    def _spread_row(self, reading: Reading, first: Mapping[str, Cell]) -> dict[str, Cell]:
        nested = self._nested(reading)
        values = [v for of in nested.values() for runs in of.values() for v in runs]
        found = components(nested)
        shares = found.shares
        low, high = mean_interval([fmean([v for runs in of.values() for v in runs]) for of in nested.values()])
        row: dict[str, Cell] = {
            **first,
            "runs": float(len(values)),
            "mean": fmean(values),
            "mean_low": _known(low),
            "mean_high": _known(high),
            "median": middle(values),
        }
        low, high = median_interval([[v for runs in of.values() for v in runs] for of in nested.values()])
        row |= {
            "median_low": _known(low),
            "median_high": _known(high),
            "std": stdev(values) if len(values) > 1 else None,
            "between_models": _known(found.models),
            "between_datasets": _known(found.datasets),
            "between_repeats": _known(found.repeats),
            "share_models": shares[0],
            "share_datasets": shares[1],
            "share_repeats": shares[2],
            "note": f"variance between {' and '.join(found.truncated)} estimated below 0, taken as 0"
            if found.truncated
            else "",
        }
        return row

    def _spread(self) -> Table:
        return Table(
            name="spread",
            title="Energy of 1,000 queries by task",
            columns=(
                Column(name="task"),
                *_spread_columns(),
            ),
            rows=tuple(self._spread_row(Reading(tasks=(task,)), {"task": task}) for task in self.tasks),
            boundary=self.bounds[0].words,
            evidence=self.bounds[0].evidence,
            note=f"{INTERVAL}. Standard deviations between models, between data sets of a model and between repeats "
            "of a data set: nested analysis of variance; shares are of the sum of the three variances.",
        )

    def _multi_spread(self) -> Table:
        """For one model the data sets are what was drawn: they take the place of models."""
        rows: list[dict[str, Cell]] = []
        for family, models in self.claims.families.items():
            for model in models:
                reading = Reading(who="multi", models=(model,))
                if not self._has(reading):
                    continue
                values: dict[str, list[float]] = defaultdict(list)
                for run in self.store.select(reading):
                    values[run.dataset].append(self.store.quantity(run, reading) / JOULES_PER_KWH)
                every = [v for of in values.values() for v in of]
                low, high = mean_interval([fmean(of) for of in values.values()])
                found = components({name: {"": of} for name, of in values.items()})
                rows.append(
                    {
                        "model": model,
                        "family": family,
                        "runs": float(len(every)),
                        "mean": fmean(every),
                        "mean_low": _known(low),
                        "mean_high": _known(high),
                        "median": middle(every),
                        "std": stdev(every) if len(every) > 1 else None,
                        "between_datasets": _known(found.models),
                        "between_repeats": _known(found.repeats),
                    }
                )
        return Table(
            name="multi",
            title="Energy of 1,000 queries of the multi-purpose models, over the data sets of three tasks",
            columns=(
                Column(name="model"),
                Column(name="family"),
                Column(name="runs", unit="1"),
                Column(name="mean", unit=PER),
                Column(name="median", unit=PER),
                Column(name="std", unit=PER),
                Column(name="between_datasets", unit=PER),
                Column(name="between_repeats", unit=PER),
            ),
            rows=tuple(rows),
            boundary=self.bounds[0].words,
            evidence=self.bounds[0].evidence,
            note="95 % intervals are of a mean over data sets like these (bootstrap of data sets).",
        )

    def _models(self) -> Table:
        rows: list[dict[str, Cell]] = []
        for who, task in [("specific", t) for t in self.tasks] + [("multi", t) for t in self.tasks]:
            reading = Reading(who=who, tasks=(task,))
            if not self._has(reading):
                continue
            for model, values in sorted(self.store.by_model(reading).items()):
                runs = [v / JOULES_PER_KWH for v in values]
                one = Reading(who=who, tasks=(task,), models=(model,))
                row: dict[str, Cell] = {
                    "task": task,
                    "model": model,
                    "runs": float(len(runs)),
                    "mean": fmean(runs),
                    "std": stdev(runs) if len(runs) > 1 else None,
                    "duration": fmean(r.phases[self.store.query_phase].duration_s for r in self.store.select(one)),
                }
                for bound in self.bounds[1:]:
                    row[bound.scope.name] = self.store.value(one, bound.scope) / JOULES_PER_KWH
                rows.append(row)
        return Table(
            name="models",
            title="Energy of 1,000 queries of every model, by task",
            columns=(
                Column(name="task"),
                Column(name="model"),
                Column(name="runs", unit="1"),
                Column(name="mean", unit=PER),
                Column(name="std", unit=PER),
                Column(name="duration", unit="s"),
                *(Column(name=b.scope.name, unit=PER) for b in self.bounds[1:]),
            ),
            rows=tuple(rows),
            boundary=self.bounds[0].words,
            evidence=self.bounds[0].evidence,
            note="`mean` as logged, `std` over all its runs; the other columns under other boundaries.",
            long=True,
        )

    # ----------------------------------------------------------------------------------------------- evidence

    def _evidence(self) -> Table:
        rows: list[dict[str, Cell]] = []
        for task in self.tasks:
            whole = self.store.value(Reading(tasks=(task,)))
            row: dict[str, Cell] = {"task": task, "mean": whole / JOULES_PER_KWH}
            shares = {part: self.store.value(Reading(what=part, tasks=(task,))) / whole for part in self.kinds}
            row |= shares
            for wanted in ("measured", "modelled", "assumed"):
                row[wanted] = sum(shares[part] for part, (kind, _) in self.kinds.items() if kind == wanted)
            rows.append(row)
        return Table(
            name="evidence",
            title="Shares of each figure by how it came about",
            columns=(
                Column(name="task"),
                Column(name="mean", unit=PER),
                *(Column(name=part, unit="%") for part in COMPONENTS),
                *(Column(name=kind, unit="%") for kind in ("measured", "modelled", "assumed")),
            ),
            rows=tuple(rows),
            boundary=self.bounds[0].words,
            evidence="found from the logs: a measured power varies with the load, a constant is modelled or assumed",
        )

    def _working(self) -> Table:
        rows: list[dict[str, Cell]] = []
        bound = next(b for b in self.bounds if b.scope.name == "working GPU")
        for task in self.tasks:
            reading = Reading(tasks=(task,))
            runs = self.store.select(reading)
            seconds = sum(run.phases[self.store.query_phase].duration_s for run in runs)
            gpu, whole = (sum(self.store.quantity(r, Reading(what=w)) for r in runs) for w in ("gpu", "energy"))
            joules = [sum(self.store.quantity(run, reading, scope) for run in runs) for scope in bound.scopes]
            best, least, most = (*joules, *joules, *joules)[:3]
            rows.append(
                {
                    "task": task,
                    "reading": gpu / seconds,
                    "working": best / seconds,
                    "working_low": least / seconds,
                    "working_high": most / seconds,
                    "of_reading": best / gpu,
                    "of_figure": best / whole,
                    "of_figure_low": least / whole,
                    "of_figure_high": most / whole,
                }
            )
        return Table(
            name="working",
            title="Mean power in the query phase",
            columns=(
                Column(name="task"),
                Column(name="reading", unit="W"),
                Column(name="working", unit="W"),
                Column(name="of_reading", unit="%"),
                Column(name="of_figure", unit="%"),
            ),
            rows=tuple(rows),
            boundary=bound.words,
            evidence=bound.evidence,
            note="`reading` covers all GPUs; `of_figure` is the working GPU's share of what was printed. The range is "
            "that of the idle GPUs' draw.",
        )

    # --------------------------------------------------------------------------------------------- boundaries

    def groups(self, reading: Reading, scope: Scope) -> list[float]:
        """Give the means of models under a boundary, kept."""
        key = reading, id(scope)
        if key not in self._means:
            self._means[key] = self.store.groups(reading, scope)
        return self._means[key]

    def _boundaries(self) -> Table:
        rows: list[dict[str, Cell]] = []
        for task in self.tasks:
            row: dict[str, Cell] = {"task": task}
            for bound in self.bounds:
                reading = Reading(tasks=(task,))
                name = bound.scope.name
                row[name] = self.store.value(reading, bound.scope) / JOULES_PER_KWH
                ends = [mean_interval(self.groups(reading, scope)) for scope in bound.scopes]
                if not any(math.isnan(low) for low, _ in ends):
                    row[f"{name}_low"] = min(low for low, _ in ends) / JOULES_PER_KWH
                    row[f"{name}_high"] = max(high for _, high in ends) / JOULES_PER_KWH
            rows.append(row)
        return Table(
            name="boundaries",
            title="Mean energy of 1,000 queries under each boundary",
            columns=(Column(name="task"), *(Column(name=b.scope.name, unit=PER) for b in self.bounds)),
            rows=tuple(rows),
            note=f"{INTERVAL}, and hold the range of the idle GPUs' draw and of the PUE.",
        )

    def _rankings(self) -> Table:
        orders = {bound.scope.name: self._order(bound.scope) for bound in self.bounds}
        return Table(
            name="rankings",
            title="Rank of the tasks under each boundary",
            columns=(Column(name="task"), *(Column(name=name, unit="1") for name in orders)),
            rows=tuple(
                {"task": task, **{name: float(order.index(task) + 1) for name, order in orders.items()}}
                for task in self.tasks
            ),
            note="1 takes the least.",
        )

    def _ratios(self) -> Table:
        rows: list[dict[str, Cell]] = []
        for task in self.tasks:
            row: dict[str, Cell] = {"task": task}
            for bound in self.bounds:
                least = self.store.value(Reading(tasks=(self._order(bound.scope)[0],)), bound.scope)
                value = self.store.value(Reading(tasks=(task,)), bound.scope)
                row[bound.scope.name] = value / least if least > 0 else None
            rows.append(row)
        return Table(
            name="ratios",
            title="Ratio to the task that takes the least, under each boundary",
            columns=(Column(name="task"), *(Column(name=b.scope.name, unit="1") for b in self.bounds)),
            rows=tuple(rows),
            note="Intervals of the ratios that the study states are with its conclusions.",
        )

    def _order(self, scope: Scope) -> list[str]:
        return sorted(self.tasks, key=lambda task: self.store.value(Reading(tasks=(task,)), scope))

    def _model_rankings(self) -> Table:
        """How alike the order of models is: Kendall's tau and the pairs that change places."""
        rows: list[dict[str, Cell]] = []
        logged = self._model_means(LOGGED)
        for bound in self.bounds[1:]:
            means = self._model_means(bound.scope)
            pairs = list(itertools.combinations(logged, 2))
            swapped = sum((logged[a] - logged[b]) * (means[a] - means[b]) < 0 for a, b in pairs)
            rows.append(
                {
                    "boundary": bound.scope.name,
                    "models": float(len(logged)),
                    "pairs": float(len(pairs)),
                    "changed": float(swapped),
                    "tau": 1 - 2 * swapped / len(pairs) if pairs else None,
                }
            )
        return Table(
            name="model_rankings",
            title="Order of all task-specific models against the order as logged",
            columns=(
                Column(name="boundary"),
                Column(name="models", unit="1"),
                Column(name="pairs", unit="1"),
                Column(name="changed", unit="1"),
                Column(name="tau", unit="1"),
            ),
            rows=tuple(rows),
            note="`tau` is Kendall's (Biometrika 30, 1938): 1 for the same order, -1 for the reverse.",
        )

    def _model_means(self, scope: Scope) -> dict[tuple[str, str], float]:
        return {
            (task, model): mean
            for task in self.tasks
            for model, mean in self.store.model_means(Reading(tasks=(task,)), scope).items()
        }

    # ------------------------------------------------------------------------------------------------- carbon

    def _carbon(self) -> Table:
        stated = next(c.number.value for c in self.claims.claims if c.kind == "intensity")
        regions = logged_intensities(self.store)
        logged = max(regions.values(), key=lambda v: v[1])[0] if regions else math.nan
        rows: list[dict[str, Cell]] = []
        for task in self.tasks:
            grams = self.store.value(Reading(what="emissions", tasks=(task,)))
            means = self.store.groups(Reading(what="emissions", tasks=(task,)))
            low, high = mean_interval(means)
            energy = self.store.value(Reading(tasks=(task,))) / JOULES_PER_KWH
            rows.append(
                {
                    "task": task,
                    "logged": grams,
                    "logged_low": _known(low),
                    "logged_high": _known(high),
                    "stated": energy * stated,
                    "stated_low": _known(low / grams * energy * stated) if grams else None,
                    "stated_high": _known(high / grams * energy * stated) if grams else None,
                }
            )
        return Table(
            name="carbon",
            title=f"Emissions of 1,000 queries at the logs' {format_number(logged, 5)} and the text's "
            f"{format_number(stated, 4)} g/kWh",
            columns=(Column(name="task"), Column(name="logged", unit="g"), Column(name="stated", unit="g")),
            rows=tuple(rows),
            boundary=self.bounds[0].words,
            evidence="energy as logged; both intensities are assumptions about whose electricity it was",
            note=INTERVAL + ".",
        )

    def _pairs(self) -> Table:
        return Table(
            name="implied_intensity",
            title="Intensity that printed pairs of energy and emissions imply",
            columns=(
                Column(name="pair"),
                Column(name="place"),
                Column(name="least", unit="g/kWh"),
                Column(name="most", unit="g/kWh"),
                Column(name="fits"),
            ),
            rows=tuple(
                {"pair": words, "place": place, "least": low, "most": high, "fits": which}
                for words, place, low, high, which in Checker(self.store, self.claims).pairs()
            ),
            note="The range is what the rounding of the two printed figures leaves.",
        )

    # -------------------------------------------------------------------------------------------- conclusions

    def conclusions(self) -> tuple[Conclusion, ...]:
        """Say of each conclusion of the study under which boundaries it holds."""
        found = []
        for stated in self.claims.conclusions:
            under = tuple(self._under(stated, bound) for bound in self.bounds)
            known = [u.holds for u in under]
            stands = None if None in known else all(known)
            found.append(Conclusion(id=stated.id, place=stated.place, says=stated.says, stands=stands, under=under))
        return tuple(found)

    def _under(self, stated: Stated, bound: Bounded) -> Under:
        """Hold a conclusion to a boundary: with the best estimate, and at both ends of what is not known."""
        try:
            results = [self._judge(stated, scope) for scope in bound.scopes]
        except NothingToRead as error:
            return Under(boundary=bound.scope.name, holds=None, note=str(error))
        holds = [result.holds for result in results]
        best = results[0]
        note = best.note
        if len(set(holds)) > 1:
            note = "; ".join(filter(None, (note, "depends on what idle GPUs draw")))
        lows = [r.low for r in results if r.low is not None]
        highs = [r.high for r in results if r.high is not None]
        return Under(
            boundary=bound.scope.name,
            holds=all(holds),
            value=best.value,
            low=min(lows) if lows else None,
            high=max(highs) if highs else None,
            note=note,
        )

    def _judge(self, stated: Stated, scope: Scope) -> Under:
        if stated.kind == "parity":
            return self._judge_parity(stated, scope)
        if stated.of is not None and stated.by is not None:
            below_j = self.store.value(stated.by, scope)
            if below_j <= 0:
                raise NothingToRead(f"{_name(stated.by)} has no energy {scope.name}")
            value = self.store.value(stated.of, scope) / below_j
            above, below = self.groups(stated.of, scope), self.groups(stated.by, scope)
            centre = fmean(above) / fmean(below)
            low, high = (end / centre * value for end in ratio_interval(above, below))
            holds = value > stated.over
            return Under(
                boundary=scope.name,
                holds=holds,
                value=value,
                low=_known(low),
                high=_known(high),
                note=NOT_SURELY if holds and low <= stated.over else "",
            )
        if stated.ascending:
            values = [self.store.value(reading, scope) for reading in stated.ascending]
            wrong = [
                f"{_name(stated.ascending[i + 1])} below {_name(stated.ascending[i])}"
                for i in range(len(values) - 1)
                if values[i + 1] <= values[i]
            ]
            return Under(boundary=scope.name, holds=not wrong, note=", ".join(wrong))
        higher = {_name(reading): self.store.value(reading, scope) for reading in stated.higher}
        lower = {_name(reading): self.store.value(reading, scope) for reading in stated.lower}
        wrong = [f"{a} below {b}" for a in higher for b in lower if higher[a] <= lower[b]]
        if len(wrong) > 2:
            wrong = [*wrong[:2], f"and {len(wrong) - 2} more"]
        single = len(higher) == len(lower) == 1
        over = next(iter(higher.values())) / next(iter(lower.values())) if single else None
        return Under(boundary=scope.name, holds=not wrong, value=over, note=", ".join(wrong))

    def _judge_parity(self, stated: Stated, scope: Scope) -> Under:
        numbers = []
        for parity in self.claims.parities:
            whole = Printed.read(parity.training).value + Printed.read(parity.finetuning).value
            inference = self.store.value(Reading(who="multi", models=(parity.model,)), scope) / 1000
            numbers.append(whole * JOULES_PER_KWH / inference)
        least = min(numbers)
        note = f"{format_number(min(numbers))} to {format_number(max(numbers))} inferences"
        return Under(boundary=scope.name, holds=least > stated.over, note=note)


def _name(reading: Reading) -> str:
    return (reading.models or reading.tasks or ("all",))[0]


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _spread_columns() -> tuple[Column, ...]:
    return (
        Column(name="runs", unit="1"),
        Column(name="mean", unit=PER),
        Column(name="median", unit=PER),
        Column(name="std", unit=PER),
        Column(name="between_models", unit=PER),
        Column(name="between_datasets", unit=PER),
        Column(name="between_repeats", unit=PER),
        Column(name="share_models", unit="%"),
        Column(name="share_datasets", unit="%"),
        Column(name="share_repeats", unit="%"),
        Column(name="note"),
    )
