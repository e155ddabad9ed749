"""From a suite, which people write, to a plan in which every name, file and hash has been checked."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from joulemark.errors import MissingExtra, UnknownName, UsageError, WeightsError
from joulemark.records.schema import WeightFile, WorkloadRecord
from joulemark.workloads.backends import backend_for
from joulemark.workloads.inputs import inputs_sha256
from joulemark.workloads.models import Model, model, models
from joulemark.workloads.seam import Settings, Task
from joulemark.workloads.tasks import task
from joulemark.workloads.weights import sha256_of, size_of

__all__ = ["Planned", "Suite", "SuiteProtocol", "SuiteWorkload", "load_suite", "plan", "suite_names"]

_SUITES = Path(__file__).with_name("suites")
_Positive = Annotated[float, Meta(gt=0)]


class SuiteProtocol(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the workloads of a suite are measured; times in seconds. See `joulemark.records.Protocol`."""

    trial_s: _Positive = 2.0
    min_trials: Annotated[int, Meta(ge=1)] = 6
    max_trials: Annotated[int, Meta(ge=1)] = 20
    precision: Annotated[float, Meta(gt=0, lt=1)] = 0.02
    budget_s: _Positive = 30.0
    idle_s: Annotated[float, Meta(ge=0)] = 3.0
    warm_up_s: Annotated[float, Meta(ge=0)] = 2.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_trials < self.min_trials:
            raise ValueError(f"max_trials ({self.max_trials}) is below min_trials ({self.min_trials})")


class SuiteWorkload(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of a suite.

    `items` is how many of the task's inputs a trial answers, the first ones, in whole passes; all without it. It is
    part of the workload, not found from the machine's speed, so that everyone measures the same work.
    """

    task: str
    model: str
    settings: dict[str, int | float | str | bool] = {}
    items: Annotated[int, Meta(ge=1)] | None = None


class Suite(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A list of workloads and how to measure them; `settings` hold for all that do not set their own."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    workloads: Annotated[tuple[SuiteWorkload, ...], Meta(min_length=1)]
    title: str = ""
    protocol: SuiteProtocol = SuiteProtocol()
    settings: dict[str, int | float | str | bool] = {}

    def only(self, *, tasks_wanted: Collection[str] = (), models_wanted: Collection[str] = ()) -> Suite:
        """Give the part of the suite with these tasks and models; everything where nothing is asked for.

        Raises:
            UnknownName: if the suite has no such task or model.
        """
        here = {
            "task": {w.task for w in self.workloads},
            "model": {w.model for w in self.workloads},
        }
        for kind, wanted in (("task", tasks_wanted), ("model", models_wanted)):
            for name in wanted:
                if name not in here[kind]:
                    raise UnknownName(kind, name, sorted(here[kind]), hint=f"The suite is {self.name!r}.")
        chosen = tuple(
            w
            for w in self.workloads
            if (not tasks_wanted or w.task in tasks_wanted) and (not models_wanted or w.model in models_wanted)
        )
        if not chosen:
            raise UsageError(f"No workload of the suite {self.name!r} has both that task and that model.")
        return msgspec.structs.replace(self, workloads=chosen)


def suite_names() -> tuple[str, ...]:
    """Names of the suites that ship."""
    return tuple(sorted(path.stem for path in _SUITES.glob("*.yaml")))


def load_suite(suite: str | Path) -> Suite:
    """Read a suite that ships, by name, or a suite file.

    Raises:
        UnknownName: if there is neither a suite nor a file of that name.
        UsageError: if the file is no suite; the message names the field, the value and what would be right.
        MissingExtra: if PyYAML is not installed.
    """
    path = Path(suite)
    if path.suffix not in {".yaml", ".yml"}:
        if str(suite) not in suite_names():
            raise UnknownName("suite", str(suite), suite_names(), hint="A suite of your own ends in .yaml.")
        path = _SUITES / f"{suite}.yaml"
    try:
        import yaml
    except ImportError as error:
        raise MissingExtra("pyyaml", "bench", "Reading a suite") from error
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return msgspec.convert(content, Suite)
    except FileNotFoundError as error:
        raise UsageError(f"There is no suite file {path}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"Cannot read the suite {path}: {error}.") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is no YAML: {error}") from error
    except msgspec.ValidationError as error:
        raise UsageError(f"{path} is no suite: {error}") from error


@dataclass(frozen=True, slots=True)
class Planned:
    """A workload that can be measured: names known, settings whole, weights in place."""

    record: WorkloadRecord
    model: Model
    task: Task

    @property
    def file_name(self) -> str:
        """Name of its record in the results folder."""
        return f"{self.record.key}.json"


def plan(suite: Suite) -> tuple[Planned, ...]:
    """Check every workload of a suite before anything is measured.

    Raises:
        UnknownName: if a task or a model does not exist.
        UsageError: if a model cannot do its task, a setting has a wrong value, or a workload is listed twice.
        MissingExtra: if a model's runtime is not installed.
        WeightsError: if weights are missing or are others than those pinned; all of them are named.
    """
    planned: list[Planned] = []
    faults: list[WeightsError] = []
    for position, workload in enumerate(suite.workloads):
        try:
            planned.append(_planned(workload, suite.settings, f"workloads[{position}]"))
        except WeightsError as error:
            faults.append(error)
    if faults:
        messages = list(dict.fromkeys(str(error) for error in faults))
        raise type(faults[0])("\n".join(messages)) from faults[0]
    keys = [p.record.key for p in planned]
    for key in keys:
        if keys.count(key) > 1:
            raise UsageError(f"The suite {suite.name!r} lists the workload {key!r} twice.")
    return tuple(planned)


def _planned(workload: SuiteWorkload, common: Settings, where: str) -> Planned:
    the_task, the_model = task(workload.task), model(workload.model)
    if workload.task not in the_model.tasks:
        able = sorted(m.name for m in models().values() if workload.task in m.tasks)
        raise UsageError(
            f"{where}: the model {the_model.name!r} cannot do the task {workload.task!r}, only "
            f"{', '.join(the_model.tasks)}. Models for it: {', '.join(able) or 'none'}."
        )
    settings = {**the_task.defaults, **common, **workload.settings}
    available = len(the_task.items())
    if workload.items is not None and workload.items > available:
        raise UsageError(f"{where}: items is {workload.items}, but {the_task.name!r} has only {available} inputs.")
    located = the_model.locate()
    _check_backend(the_task, the_model, settings, located, where)
    record = WorkloadRecord(
        key=_key(workload),
        task=the_task.name,
        task_title=the_task.title,
        unit=the_task.unit,
        model=the_model.name,
        model_title=the_model.title,
        model_note=the_model.note,
        backend=the_model.backend,
        settings=settings,
        chosen=workload.settings,
        inputs=the_task.inputs,
        inputs_sha256=inputs_sha256(the_task),
        items=workload.items or available,
        parameters=the_model.parameters or None,
        precision=the_model.precision,
        licence=the_model.licence,
        weights=tuple(
            WeightFile(
                role=role,
                origin=the_model.files[role].origin,
                sha256=sha256_of(path),
                size_bytes=size_of(path),
            )
            for role, path in sorted(located.items())
        ),
    )
    return Planned(record, the_model, the_task)


def _check_backend(the_task: Task, the_model: Model, settings: Settings, files: Mapping[str, Path], where: str) -> None:
    """Find a runtime that is not installed, a setting that the backend does not know, or a value that it refuses.

    Building a backend loads nothing; a backend checks the values of its settings when it is built.
    """
    backend = backend_for(the_model)
    runtime = backend.distributions[0]
    try:
        distribution(runtime)
    except PackageNotFoundError as error:
        raise MissingExtra(runtime, the_model.extra, f"The model {the_model.name!r}") from error
    for name in settings:
        if name not in {*backend.accepts, *the_task.defaults}:
            raise UnknownName("setting", name, sorted(backend.accepts), hint=f"It stands in {where}.")
    try:
        backend(files, the_task.name, settings)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error


def _key(workload: SuiteWorkload) -> str:
    """Short and readable where it can be, unique in any case: settings with odd characters are hashed."""
    settings = ",".join(f"{name}={value}" for name, value in sorted(workload.settings.items()))
    if settings and not re.fullmatch(r"[A-Za-z0-9._=,+-]{1,60}", settings):
        settings = hashlib.sha256(settings.encode()).hexdigest()[:12]
    return "--".join(filter(None, [workload.task, workload.model, settings]))
