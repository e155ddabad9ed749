"""From a suite, which people write, to a plan in which every name, file and hash has been checked."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from joulemark.errors import MissingExtra, UnknownName, UsageError, WeightsError
from joulemark.records.schema import WeightFile, WorkloadRecord
from joulemark.workloads.asked import GENERAL, asked_items, batch_size, protocol_settings
from joulemark.workloads.backends import backend_class
from joulemark.workloads.models import Model, models, resolve
from joulemark.workloads.seam import Settings, Task
from joulemark.workloads.tasks import task
from joulemark.workloads.weights import sha256_of, size_of

__all__ = [
    "PROTOCOLS",
    "Planned",
    "Suite",
    "SuiteProtocol",
    "SuiteWorkload",
    "load_suite",
    "plan_suite",
    "suite_names",
]

_SUITES = Path(__file__).with_name("suites")
_Positive = Annotated[float, Meta(gt=0)]
Setting = int | float | str | bool


class SuiteProtocol(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the workloads of a suite are measured; times in seconds. See `joulemark.records.Protocol`."""

    name: str = "joulemark"
    blocks: Annotated[int, Meta(ge=1, le=100)] = 4
    units: Annotated[int, Meta(ge=1)] | None = None
    trial_s: _Positive = 2.0
    min_trials: Annotated[int, Meta(ge=1)] = 16
    max_trials: Annotated[int, Meta(ge=1)] = 60
    precision: Annotated[float, Meta(gt=0, lt=1)] = 0.02
    budget_s: _Positive = 120.0
    idle_s: Annotated[float, Meta(ge=0)] = 3.0
    warm_up_s: Annotated[float, Meta(ge=0)] = 2.0
    answer_s: _Positive = 3600.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_trials < self.min_trials:
            raise ValueError(f"max_trials ({self.max_trials}) is below min_trials ({self.min_trials})")


PROTOCOLS: Mapping[str, SuiteProtocol] = {
    "joulemark": SuiteProtocol(),
    # Luccioni et al. 2024 (FAccT, doi:10.1145/3630106.3658542): 1,000 inferences, ten times, one at a time, no warm-up.
    "study": SuiteProtocol(
        name="study", blocks=1, units=1000, min_trials=10, max_trials=10, warm_up_s=0.0, budget_s=1e9, answer_s=1e6
    ),
    # AI Energy Score (github.com/huggingface/AIEnergyScore): 1,000 queries, ten runs averaged, batch size 1.
    "ai-energy-score": SuiteProtocol(
        name="ai-energy-score", blocks=1, units=1000, min_trials=10, max_trials=10, budget_s=1e9, answer_s=1e6
    ),
}
"""Protocols by name: our own, and those whose figures ours are to be laid beside."""

PROTOCOL_SETTINGS: Mapping[str, Mapping[str, int | float | str | bool]] = {
    "study": {"shaping": "study", "batch_size": 1},
    "ai-energy-score": {"batch_size": 1},
}
"""Settings that a protocol brings; a suite's own come after them."""


class SuiteWorkload(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of a suite: one workload, or all combinations of the tasks, models, backends and settings in it.

    Attributes:
        task: what is asked; several make a workload each.
        model: who answers; likewise. A name, an id of the hub, a folder, a file, a function: see
            `joulemark.workloads.models.resolve`.
        backend: who runs it, where the name does not tell; likewise.
        settings: of the task and the backend.
        sweep: settings with the values that each is to have in turn; every combination is a workload.
        inputs: a data set instead of the task's own inputs, see `joulemark.workloads.datasets`.
        items: how many of the inputs a trial answers, the first ones, in whole passes; all without it. It is part of
            the workload, not found from the machine's speed, so that everyone measures the same work.
        line: of the suite file; set when it is read.
    """

    task: str | tuple[str, ...]
    model: str | tuple[str, ...]
    backend: str | tuple[str, ...] = ""
    settings: dict[str, Setting] = {}
    sweep: dict[str, Annotated[tuple[Setting, ...], Meta(min_length=1)]] = {}
    inputs: str = ""
    items: Annotated[int, Meta(ge=1)] | None = None
    line: int = 0

    def each(self) -> Iterator[SuiteWorkload]:
        """Give its combinations, one workload each."""
        for task_name, model_name, backend in itertools.product(*map(_several, (self.task, self.model, self.backend))):
            for values in itertools.product(*self.sweep.values()):
                settings = {**self.settings, **dict(zip(self.sweep, values, strict=True))}
                yield msgspec.structs.replace(
                    self, task=task_name, model=model_name, backend=backend, settings=settings, sweep={}
                )


def _several(names: str | tuple[str, ...]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names


class Suite(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A list of workloads and how to measure them; `settings` hold for all that do not set their own.

    `protocol` is one of ours, or the name of one of `PROTOCOLS`.
    """

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    workloads: Annotated[tuple[SuiteWorkload, ...], Meta(min_length=1)]
    title: str = ""
    protocol: SuiteProtocol | str = SuiteProtocol()
    settings: dict[str, Setting] = {}

    def __post_init__(self) -> None:
        if isinstance(self.protocol, str) and self.protocol not in PROTOCOLS:
            raise ValueError(f"unknown protocol {self.protocol!r}; known: {', '.join(PROTOCOLS)}")

    @property
    def rules(self) -> SuiteProtocol:
        """The protocol itself."""
        return PROTOCOLS[self.protocol] if isinstance(self.protocol, str) else self.protocol

    @property
    def each(self) -> tuple[SuiteWorkload, ...]:
        """Every workload, sweeps taken apart."""
        return tuple(one for workload in self.workloads for one in workload.each())

    def only(self, *, tasks_wanted: Collection[str] = (), models_wanted: Collection[str] = ()) -> Suite:
        """Give the part of the suite with these tasks and models; everything where nothing is asked for.

        Raises:
            UnknownName: if the suite has no such task or model.
        """
        here = {
            "task": {str(w.task) for w in self.each},
            "model": {str(w.model) for w in self.each},
        }
        for kind, wanted in (("task", tasks_wanted), ("model", models_wanted)):
            for name in wanted:
                if name not in here[kind]:
                    raise UnknownName(kind, name, sorted(here[kind]), hint=f"The suite is {self.name!r}.")
        chosen = tuple(
            w
            for w in self.each
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
        text = path.read_text(encoding="utf-8")
        return _with_lines(msgspec.convert(yaml.safe_load(text), Suite), yaml.compose(text))
    except FileNotFoundError as error:
        raise UsageError(f"There is no suite file {path}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"Cannot read the suite {path}: {error}.") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is no YAML: {error}") from error
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$")
        line = _line(yaml.compose(text), place.removesuffix("`"))
        raise UsageError(
            f"{path}, line {line}: {message} (at {place.removesuffix('`').lstrip('.') or 'the top'})."
        ) from error


def _with_lines(suite: Suite, document: Any) -> Suite:
    lines = (_line(document, f".workloads[{n}]") for n in range(len(suite.workloads)))
    workloads = (msgspec.structs.replace(w, line=line) for w, line in zip(suite.workloads, lines, strict=True))
    return msgspec.structs.replace(suite, workloads=tuple(workloads))


def _line(node: Any, place: str) -> int:
    """Give the line of a place such as ``.workloads[2].task`` in a YAML document, or of what it should lie in."""
    line = 1 if node is None else node.start_mark.line + 1
    for name, index in re.findall(r"\.([^.\[\]]+)|\[(\d+)\]", place):
        if index and isinstance(getattr(node, "value", None), list) and int(index) < len(node.value):
            node = node.value[int(index)]
        else:
            pairs = node.value if isinstance(getattr(node, "value", None), list) else []
            found = [pair for pair in pairs if isinstance(pair, tuple) and pair[0].value == name]
            if not found:
                break
            line, node = found[0][0].start_mark.line + 1, found[0][1]
            continue
        line = node.start_mark.line + 1
    return int(line)


@dataclass(frozen=True, slots=True)
class Planned:
    """A workload that can be measured: names known, settings whole, weights in place.

    Attributes:
        record: it, as it goes into the run.
        ask: what the worker is told to open it.
        notes: what a reader of its figures must know.
    """

    record: WorkloadRecord
    ask: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def file_name(self) -> str:
        """Name of its record in the results folder."""
        return f"{self.record.key}.json"


def plan_suite(suite: Suite) -> tuple[Planned, ...]:
    """Check every workload of a suite before anything is measured.

    Raises:
        UsageError: if a task, a model or a backend does not exist, a model cannot do its task, a setting has a wrong
            value, or a workload is listed twice; the message names the line.
        MissingExtra: if a model's runtime is not installed.
        WeightsError: if weights are missing or are others than those pinned; all of them are named.
    """
    planned: list[Planned] = []
    faults: list[WeightsError] = []
    common = {**PROTOCOL_SETTINGS.get(suite.rules.name, {}), **suite.settings}
    for position, workload in enumerate(suite.each):
        where = f"line {workload.line}" if workload.line else f"workload {position + 1}"
        try:
            planned.append(_planned(workload, common, suite.rules.name))
        except WeightsError as error:
            faults.append(error)
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from error
    if faults:
        messages = list(dict.fromkeys(str(error) for error in faults))
        raise type(faults[0])("\n".join(messages)) from faults[0]
    keys = [p.record.key for p in planned]
    for key in keys:
        if keys.count(key) > 1:
            raise UsageError(f"The suite {suite.name!r} lists the workload {key!r} twice.")
    return tuple(planned)


def _planned(workload: SuiteWorkload, common: Settings, protocol: str) -> Planned:
    task_name, model_name, backend = str(workload.task), str(workload.model), str(workload.backend)
    the_task, the_model = task(task_name), resolve(model_name, task_name, backend)
    if the_task.name not in the_model.tasks:
        able = sorted(m.name for m in models().values() if the_task.name in m.tasks)
        raise UsageError(
            f"The model {the_model.name!r} cannot do the task {the_task.name!r}, only "
            f"{', '.join(the_model.tasks) or 'none'}. Models for it: {', '.join(able) or 'none'}."
        )
    known = {*backend_class(the_model.backend).accepts, *the_task.defaults}
    theirs = protocol_settings(protocol, the_task.name, {**common, **workload.settings})
    theirs = {name: value for name, value in theirs.items() if name in known}
    settings = {**the_task.defaults, **theirs, **common, **the_model.implied, **workload.settings}
    asked = asked_items(the_task, workload.inputs, settings)
    available = len(asked.items)
    if workload.items is not None and workload.items > available:
        raise UsageError(f"items is {workload.items}, but there are only {available} inputs ({asked.name}).")
    located = the_model.locate()
    _check_backend(the_task, the_model, settings, located)
    twin = settings.get("weights") == "random"
    record = WorkloadRecord(
        key=_key(workload, the_model.name),
        task=the_task.name,
        task_title=the_task.title,
        unit=the_task.unit,
        model=the_model.name,
        model_title=f"{the_model.title}, random weights" if twin else the_model.title,
        model_note=the_model.note,
        backend=the_model.backend,
        settings=settings,
        chosen=workload.settings,
        inputs=asked.name,
        inputs_sha256=asked.sha256,
        items=workload.items or available,
        parameters=the_model.parameters or None,
        precision=the_model.precision or str(settings.get("dtype", "")),
        licence=the_model.licence,
        twin=twin,
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
    ask = {
        "model": model_name,
        "backend": backend,
        "task": the_task.name,
        "settings": settings,
        "inputs": workload.inputs,
        "items": record.items,
    }
    return Planned(record, ask, _notes(model_name, twin=twin))


def _notes(model_name: str, *, twin: bool) -> tuple[str, ...]:
    if not twin:
        return ()
    from joulemark.workloads.twins import twin_note

    return (twin_note(model_name),)


def _check_backend(the_task: Task, the_model: Model, settings: Settings, files: Mapping[str, Path]) -> None:
    """Find a runtime that is not installed, a setting that the backend does not know, or a value that it refuses.

    Building a backend loads nothing; a backend checks the values of its settings when it is built.
    """
    backend = backend_class(the_model.backend)
    for runtime in backend.distributions[:1]:
        try:
            distribution(runtime)
        except PackageNotFoundError as error:
            raise MissingExtra(runtime, the_model.extra, f"The model {the_model.name!r}") from error
    for name in settings:
        if name not in {*backend.accepts, *the_task.defaults, *GENERAL}:
            raise UnknownName("setting", name, sorted({*backend.accepts, *GENERAL}))
    batch_size(settings)
    backend(files, the_task.name, settings)


def _key(workload: SuiteWorkload, model_name: str) -> str:
    """Short and readable where it can be, unique in any case: what has odd characters is hashed."""
    own = {**workload.settings, **({"inputs": workload.inputs} if workload.inputs else {})}
    settings = ",".join(f"{name}={_short(str(value))}" for name, value in sorted(own.items()))
    if len(settings) > 100:
        settings = hashlib.sha256(settings.encode()).hexdigest()[:12]
    slug = re.sub(r"[^A-Za-z0-9._+-]+", "_", model_name)
    if slug != model_name and "/" not in model_name:
        slug += "-" + hashlib.sha256(model_name.encode()).hexdigest()[:6]
    return "--".join(filter(None, [str(workload.task), slug, str(workload.backend), settings]))


def _short(value: str) -> str:
    return value if re.fullmatch(r"[A-Za-z0-9._+-]{1,40}", value) else hashlib.sha256(value.encode()).hexdigest()[:6]
