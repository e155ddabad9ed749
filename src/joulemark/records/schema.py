"""The record types. Their JSON schemas are printed by ``joulemark schema run`` and ``joulemark schema measurement``.

History of the formats:
    joulemark/run/1, joulemark/measurement/1    first published (0.1.0)

A change that an old reader would misunderstand raises the number; files of every earlier number still load.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from joulemark.readings import DomainRecord, Instrument, Machine, Refusal, WindowRecord

__all__ = [
    "MEASUREMENT_SCHEMA",
    "RUN_SCHEMA",
    "Latency",
    "Measurement",
    "Protocol",
    "QualityRecord",
    "Run",
    "Status",
    "Trial",
    "WeightFile",
    "WorkloadRecord",
]

RUN_SCHEMA: Final = "joulemark/run/1"
MEASUREMENT_SCHEMA: Final = "joulemark/measurement/1"

Status = Literal["running", "complete", "interrupted", "failed"]
Seconds = Annotated[float, Meta(ge=0, description="seconds of monotonic time")]
Relative = Annotated[float, Meta(ge=0, description="standard uncertainty, as a fraction of the value")]
Count = Annotated[int, Meta(ge=0)]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class _Record(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all records: immutable, and strict about what a file may hold."""


class Latency(_Record, frozen=True):
    """How long requests took, in seconds: quantiles over `n` of them."""

    n: Count
    median_s: Seconds
    p95_s: Seconds
    p99_s: Seconds


class Trial(_Record, frozen=True):
    """One repetition of a workload.

    Attributes:
        id: tells trials apart; empty in files from before 0.3.
        block: which of the run's worker processes it was measured in, from 1; 0 in files from before 0.3.
        window: its time and energy.
        units: units of work that were answered validly.
        invalid: answers that were no answers; their energy is in the window, they are not in `units`.
        invalid_reason: why the first of them was none.
        tokens_in: tokens read, where the model reads tokens.
        tokens_out: tokens written, where it writes them.
        tokens_cached: those of `tokens_in` that a server took out of a cache.
        tokens_reasoning: those of `tokens_out` that were reasoning.
        cpu_s: CPU time of the worker process in the window.
        foreign_cpu: part of the machine's processors that other programs took meanwhile.
        clock_mhz: clock of the device, or of the processors, when it was over.
        throttled: what held the device's clock down, in the driver's words; empty if nothing did, None if not known.
        latency: from a request to the whole answer, where requests overlap.
        first_token: from a request to its first token, where answers are streamed.
    """

    window: WindowRecord
    units: Count
    invalid: Count = 0
    invalid_reason: str = ""
    tokens_in: Count | None = None
    tokens_out: Count | None = None
    cpu_s: Seconds | None = None
    id: str = ""
    block: Count = 0
    tokens_cached: Count | None = None
    tokens_reasoning: Count | None = None
    foreign_cpu: Relative | None = None
    clock_mhz: float | None = None
    throttled: str | None = None
    latency: Latency | None = None
    first_token: Latency | None = None


class WeightFile(_Record, frozen=True):
    """A file of a model, pinned."""

    role: str
    origin: str
    sha256: Sha256
    size_bytes: Count


class WorkloadRecord(_Record, frozen=True):
    """Task x model x backend x settings x inputs.

    Attributes:
        task_title: the task's name for people.
        unit: unit of work, in the singular.
        model_title: the model's name for people.
        model_note: what a reader of its figures must know of it.
        settings: all settings that were in force; `chosen` are those that the suite's line set itself.
        items: how many of the inputs a trial answers: the first ones, in whole passes.
        weights: its pinned files.
        precision: number format of the weights.
        twin: whether its weights are random: the architecture of the model, and nothing that it has learned.
        parameters: number of weights, where known.
        inputs: id of the inputs.
        inputs_sha256: hash of the inputs' contents.
        key: short text that tells this workload from the others of its suite.
    """

    key: str
    task: str
    task_title: str
    unit: str
    model: str
    model_title: str
    backend: str
    settings: dict[str, int | float | str | bool]
    inputs: str
    inputs_sha256: Sha256
    items: Count
    chosen: dict[str, int | float | str | bool] = {}
    model_note: str = ""
    parameters: Count | None = None
    precision: str = ""
    licence: str = ""
    weights: tuple[WeightFile, ...] = ()
    twin: bool = False


class Protocol(_Record, frozen=True):
    """How it was measured: see docs/method.md.

    Attributes:
        name: ``joulemark``, or whose protocol was followed: ``study``, ``ai-energy-score``.
        blocks: least number of worker processes over which the trials are spread; 1 in files from before 0.3.
        units: answers a trial; as many as `trial_s` takes without it.
        trial_s: shortest trial that was aimed at.
        min_trials: trials before the stopping rule may stop.
        max_trials: trials at which it stops in any case.
        precision: relative 95 % half-width of the mean at which it stops.
        budget_s: time for the query phase at which it stops.
        idle_s: length of the idle windows before and after.
        warm_up_s: least length of the warm-up.
        seed: seed of the order of workloads.
        position: place of this workload in that order, from 0.
        answer_s: longest time that the worker may take for a trial; a model that takes longer has failed.
    """

    trial_s: Seconds
    min_trials: Count
    max_trials: Count
    precision: Relative
    budget_s: Seconds
    idle_s: Seconds
    warm_up_s: Seconds
    seed: int
    position: Count = 0
    name: str = "joulemark"
    blocks: Annotated[int, Meta(ge=1)] = 1
    units: Annotated[int, Meta(ge=1)] | None = None
    answer_s: Annotated[float, Meta(gt=0)] | None = None


class QualityRecord(_Record, frozen=True):
    """A quality metric over the answers of the run."""

    metric: str
    value: float
    n: Count


class Run(_Record, frozen=True):
    """All trials of one workload on one machine, with what is needed to repeat it.

    Attributes:
        schema: ``joulemark/run/1``.
        id: random, tells runs apart.
        session: random, shared by the runs of one suite call on one machine; their sensors err together.
        created: UTC, ISO 8601.
        status: ``running`` until the last trial is in; a file with that status was cut off and can be resumed.
        failure: why there is no figure, if it failed.
        phases: windows of the other phases: ``idle-before``, ``load``, ``warm-up``, ``idle-after``; those of the second
            block and later ones with its number, such as ``load 2``.
        notes: what a reader of its figures must know besides.
        loaded: what the backend says that it loaded, defaults and the hub's commit among them.
    """

    schema: Literal["joulemark/run/1"]
    id: str
    session: str
    suite: str
    created: str
    status: Status
    machine: Machine
    software: dict[str, str]
    workload: WorkloadRecord
    protocol: Protocol
    domains: tuple[DomainRecord, ...]
    refused: tuple[Refusal, ...] = ()
    phases: dict[str, WindowRecord] = {}
    trials: tuple[Trial, ...] = ()
    quality: QualityRecord | None = None
    instrument: Instrument | None = None
    failure: str | None = None
    notes: tuple[str, ...] = ()
    loaded: dict[str, int | float | str | bool] = {}


class Measurement(_Record, frozen=True):
    """What ``joulemark measure --save`` and ``Window.save`` write: windows over any work.

    Attributes:
        label: what was measured, in the user's words.
        exit_code: of the command, where there was one.
        command: the command line, only with ``--identify`` (arguments can hold prompts and names).
        node: tells the machine from others until its next boot, and names nobody (`joulemark.meter.ranks.node_id`).
        local_rank: of the process among those of its job on that machine; None outside of a job.
    """

    schema: Literal["joulemark/measurement/1"]
    id: str
    session: str
    created: str
    label: str
    machine: Machine
    software: dict[str, str]
    domains: tuple[DomainRecord, ...]
    windows: tuple[WindowRecord, ...]
    refused: tuple[Refusal, ...] = ()
    instrument: Instrument | None = None
    exit_code: int | None = None
    command: tuple[str, ...] | None = None
    node: Sha256 | None = None
    local_rank: Count | None = None
