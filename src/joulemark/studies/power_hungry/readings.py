"""Asking the logs: what a reading means, and what else a printed figure might be.

A reading says which statistic of which quantity over which runs. What the printed words say is one reading; where its
value is not the printed one, `others` gives the readings nearest to it, and those that print the same are the answer
to "then what is it?".
"""

from __future__ import annotations

import itertools
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from joulemark.studies.power_hungry.logs import Logs, Phase, Run

if TYPE_CHECKING:
    from joulemark.studies.power_hungry.claims import TaskData

__all__ = ["LOGGED", "Change", "NothingToRead", "Reading", "Scope", "Store", "changed"]

EnergyOf = Callable[[Phase], float]
Change = Mapping[str, object]
"""Fields of a reading, replaced."""

_STATISTICS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "mean": statistics.fmean,
    "std": lambda values: statistics.stdev(values) if len(values) > 1 else float("nan"),
    "median": lambda values: float(statistics.median(values)),
    "min": min,
    "max": max,
    "sum": lambda values: float(sum(values)),
}
_PARTS = ("gpu", "gpu+cpu", "gpu+ram", "ram", "cpu", "cpu+ram")
_PHASES = {"query": "the query phase alone", "run": "with loading and transfer"}
_WORDS = {
    "mean": "mean",
    "std": "standard deviation",
    "median": "median",
    "min": "least",
    "max": "greatest",
    "sum": "sum",
}


class NothingToRead(Exception):
    """No run of these logs is what the reading asks for."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A statistic over runs; see the head of ``claims.toml``."""

    what: str = "energy"
    stat: str = "mean"
    over: str = "runs"
    tasks: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    who: str = "specific"
    phases: str = "query"
    run: str = ""


@dataclass(frozen=True, slots=True)
class Scope:
    """What of a phase counts as its energy: a boundary.

    Attributes:
        name: short.
        energy_j: energy of a phase in joules.
    """

    name: str
    energy_j: EnergyOf


LOGGED = Scope("as logged", lambda phase: phase.total_j)


class Store:
    """The logs, indexed as the study used them."""

    def __init__(self, logs: Logs, tasks: Sequence[TaskData], multi: Mapping[str, Sequence[str]], phase: str) -> None:
        self.logs, self.tasks, self.query_phase = logs, tuple(tasks), phase
        self.families = multi
        chosen = {model for of in multi.values() for model in of}
        by_dataset: dict[str, list[Run]] = defaultdict(list)
        for run in logs.runs:
            if run.dataset and phase in run.phases:
                by_dataset[run.dataset].append(run)
        self._kept: dict[tuple[str, str, str], float] = {}
        self._runs: dict[tuple[str, str], tuple[Run, ...]] = {}
        for task in tasks:
            self._runs["specific", task.name] = tuple(
                run for name in task.files for run in by_dataset[name] if run.model not in task.left_out
            )
            self._runs["multi", task.name] = tuple(
                run for name in task.multi_files for run in by_dataset[name] if run.model in chosen
            )

    def select(self, reading: Reading) -> tuple[Run, ...]:
        """Give the runs that a reading is over.

        Raises:
            NothingToRead: if there is none.
        """
        if reading.who == "all":
            found = self.logs.runs
        elif reading.who == "published":
            found = tuple(run for run in self.logs.runs if run.dataset)
        else:
            tasks = reading.tasks or tuple(task.name for task in self.tasks)
            found = tuple(run for task in tasks for run in self._runs[reading.who, task])
        if reading.models:
            found = tuple(run for run in found if run.model in reading.models)
        if reading.datasets:
            found = tuple(run for run in found if run.dataset in reading.datasets)
        if reading.run:
            found = tuple(run for run in found if run.id == reading.run)
        if not found:
            raise NothingToRead(f"these logs have no run of {_subject(reading)}")
        return found

    def quantity(self, run: Run, reading: Reading, scope: Scope = LOGGED) -> float:
        """Give energy in J, or emissions in g, of one run."""
        if scope is not LOGGED and reading.what == "energy":
            return sum(scope.energy_j(phase) for phase in self._phases(run, reading))
        key = run.id, reading.what, reading.phases
        if key not in self._kept:
            self._kept[key] = sum(_logged(phase, reading.what) for phase in self._phases(run, reading))
        return self._kept[key]

    def _phases(self, run: Run, reading: Reading) -> Iterable[Phase]:
        if reading.phases == "run":
            return run.phases.values()
        return (run.phases[self.query_phase],) if self.query_phase in run.phases else ()

    def by_model(self, reading: Reading, scope: Scope = LOGGED) -> dict[str, list[float]]:
        """Give the values of the runs of each model."""
        values: dict[str, list[float]] = defaultdict(list)
        for run in self.select(reading):
            values[run.model].append(self.quantity(run, reading, scope))
        return dict(values)

    def model_means(self, reading: Reading, scope: Scope = LOGGED) -> dict[str, float]:
        """Give the mean of each model."""
        return {model: statistics.fmean(values) for model, values in self.by_model(reading, scope).items()}

    def value(self, reading: Reading, scope: Scope = LOGGED) -> float:
        """Give the value of a reading, in J or g.

        Raises:
            NothingToRead: if no run is in it.
        """
        if reading.over == "models":
            values: Sequence[float] = list(self.model_means(reading, scope).values())
        else:
            values = [self.quantity(run, reading, scope) for run in self.select(reading)]
        return _STATISTICS[reading.stat](values)

    def groups(self, reading: Reading, scope: Scope = LOGGED) -> list[float]:
        """Give what errs apart in a mean: the means of models, or of data sets where there is one model."""
        means = list(self.model_means(reading, scope).values())
        if len(means) > 1:
            return means
        values: dict[str, list[float]] = defaultdict(list)
        for run in self.select(reading):
            values[run.dataset].append(self.quantity(run, reading, scope))
        return [statistics.fmean(of) for of in values.values()]

    def others(self, reading: Reading) -> Iterator[tuple[int, Change, str]]:
        """Give other readings near this one: how many fields differ, which, and in words."""
        single = self._single(reading)
        for name, value, words in single:
            yield 1, {name: value}, words
        if len(reading.models) == 1 and reading.who in {"specific", "multi"}:
            # A single run is one thing, whichever of its phases are counted.
            for run, (phases, words) in itertools.product(self.select(reading), _PHASES.items()):
                yield 1, {"run": run.id, "phases": phases}, f"one run ({run.dataset}, {run.id[:8]}), {words}"
        for (first, one, words), (second, two, more) in itertools.combinations(single, 2):
            if first != second and {first, second} != {"datasets", "tasks"}:
                yield 2, {first: one, second: two}, f"{words}, {more}"

    def _single(self, reading: Reading) -> list[tuple[str, object, str]]:
        found: list[tuple[str, object, str]] = []
        other = "run" if reading.phases == "query" else "query"
        found.append(("phases", other, _PHASES[other]))
        if reading.what == "energy":
            found += [("what", parts, f"energy of {parts} alone") for parts in _PARTS]
        if reading.who == "all":
            found.append(("who", "published", "the runs in published files alone"))
        if reading.stat != "sum":
            found += [
                ("stat", stat, f"the {_WORDS[stat]}")
                for stat in ("mean", "median", "min", "max")
                if stat != reading.stat
            ]
            if len(reading.models) != 1:
                over = "models" if reading.over == "runs" else "runs"
                found.append(("over", over, f"over {'means of models' if over == 'models' else 'single runs'}"))
        if reading.who == "multi" and not reading.models:
            found += [("models", tuple(of), f"the {name} models alone") for name, of in self.families.items()]
        if len(reading.tasks) == 1 and not reading.datasets:
            found += [
                ("tasks", (task.name,), f"{task.name} instead of {reading.tasks[0]}")
                for task in self.tasks
                if (task.name,) != reading.tasks and self._runs[reading.who, task.name] and not reading.models
            ]
        if reading.who in {"specific", "multi"} and reading.stat != "sum":
            runs = self.select(reading)
            datasets = sorted({run.dataset for run in runs})
            if len(datasets) > 1:
                found += [("datasets", (name,), f"{name} alone") for name in datasets]
        return found


def _logged(phase: Phase, what: str) -> float:
    if what == "emissions":
        return phase.emissions_g
    return phase.total_j if what == "energy" else sum(phase.parts_j[part] for part in what.split("+"))


def changed(reading: Reading, change: Change) -> Reading:
    """Give the reading with some fields replaced."""
    known = {field.name for field in fields(Reading)}
    return replace(reading, **{name: value for name, value in change.items() if name in known})  # type: ignore[arg-type]


def _subject(reading: Reading) -> str:
    names = reading.models or reading.datasets or reading.tasks
    return ", ".join(names) if names else "any kind"
