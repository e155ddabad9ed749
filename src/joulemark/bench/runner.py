"""Measures the workloads of a plan, one after the other, and writes each trial to disk as it comes in.

The protocol of one workload (docs/method.md, "Protocol"): idle, load, warm-up, trials, idle. A trial answers the same
items each time. Trials go on until the 95 % half-width of the mean is small enough, there are enough of them, or the
time is up.
"""

from __future__ import annotations

import dataclasses
import math
import random
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import asdict, replace

from joulemark.bench.plan import Planned, Suite, plan
from joulemark.bench.process import WorkerProcess
from joulemark.errors import MissingExtra, OutputNotWritable, UsageError, WorkloadFailed
from joulemark.figures import Figure
from joulemark.meter import Meter, software_versions
from joulemark.readings import DomainRecord, Instrument, Machine
from joulemark.records import (
    RUN_SCHEMA,
    Protocol,
    QualityRecord,
    Run,
    Status,
    Trial,
    energies_per_trial,
    energy_per_unit,
    load_run,
    save,
)
from joulemark.stats import summarise

__all__ = ["Progress", "run_plan"]

Report = Callable[["Progress"], None]
_OVERHEAD_S = 4.0  # what a workload takes besides idle, warm-up and trials: start of the process, load


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the benchmark stands.

    Attributes:
        done: workloads finished.
        total: workloads in all.
        key: the workload at hand.
        phase: what happens to it now.
        remaining_s: expected seconds to the end.
        estimate: energy per unit so far, once there are trials.
    """

    done: int
    total: int
    key: str
    phase: str
    remaining_s: float
    estimate: Figure | None = None

    def __str__(self) -> str:
        text = f"[{self.done + 1}/{self.total}] {self.key}: {self.phase}"
        if self.estimate is not None:
            text += f", {self.estimate.format()}"
        return f"{text}; {math.ceil(self.remaining_s)} s left"


def expected_s(suite: Suite, workloads: int) -> float:
    """Give the seconds that so many workloads of a suite are expected to take, if no single trial outlasts them."""
    p = suite.protocol
    return workloads * (p.budget_s + 2 * p.idle_s + 2 * p.warm_up_s + _OVERHEAD_S)


def run_plan(
    suite: Suite,
    out: Path,
    *,
    resume: bool = False,
    report: Report = lambda progress: None,
    meter: Meter | None = None,
    identify: bool = False,
) -> tuple[Run, ...]:
    """Measure a suite.

    A model that fails gets a record that says so and no figure; the others go on.

    Args:
        suite: what to measure.
        out: results folder.
        resume: keep the finished records that are there already, go on with those that were cut off.
        report: called at each step.
        meter: what to measure with; all sensors of this machine without it.
        identify: whether records name the host.

    Returns:
        The runs, in the order of the suite.

    Raises:
        UsageError: if `out` already holds records of this suite and `resume` is not set.
        OutputNotWritable: if the results cannot be written.
        WeightsError: see `joulemark.bench.plan.plan`.
        KeyboardInterrupt: passed on once the record of the workload at hand is written, as ``interrupted``.
    """
    workloads = plan(suite)
    _check_folder(out, workloads, resume=resume)
    order = list(range(len(workloads)))
    random.Random(suite.protocol.seed).shuffle(order)  # noqa: S311 - an order, not a secret
    with nullcontext(meter) if meter is not None else Meter() as the_meter:
        machine = the_meter.machine(identify=identify)
        earlier = _earlier(out, workloads, suite, machine, the_meter.domains) if resume else {}
        runs: dict[str, Run] = {}
        for position, index in enumerate(order):
            planned = workloads[index]
            key = planned.record.key
            runs[key] = _Measurement(
                planned=planned,
                suite=suite,
                path=out / planned.file_name,
                meter=the_meter,
                machine=machine,
                position=position,
                total=len(order),
                report=report,
            ).run(earlier.get(key))
    return tuple(runs[p.record.key] for p in workloads)


def _check_folder(out: Path, workloads: tuple[Planned, ...], *, resume: bool) -> None:
    there = [p.file_name for p in workloads if (out / p.file_name).exists()]
    if there and not resume:
        raise UsageError(
            f"{out} already holds {len(there)} of this suite's {len(workloads)} records, such as {there[0]}. "
            "Go on with them (--resume), or choose another folder (--out)."
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / f".probe-{secrets.token_hex(4)}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise OutputNotWritable(
            f"Cannot write into {out}: {error.strerror or error}. Choose another folder with --out."
        ) from error


def _earlier(
    out: Path, workloads: tuple[Planned, ...], suite: Suite, machine: Machine, domains: tuple[DomainRecord, ...]
) -> dict[str, Run]:
    """Read what earlier calls left, before anything is measured; failed runs are left out, to be measured again.

    Raises:
        UsageError: if a record is of another workload, protocol or machine; going on would mix what does not belong
            together.
        RecordError: if one cannot be read.
    """
    found = {}
    for planned in workloads:
        path = out / planned.file_name
        if not path.exists():
            continue
        run = load_run(path)
        if run.status == "failed":
            continue
        protocol = _protocol(suite, run.protocol.position)
        differing = [
            what
            for what, same in (
                ("workload (settings, inputs or weights)", run.workload == planned.record),
                ("protocol", run.protocol == protocol),
                (
                    "machine",
                    dataclasses.replace(run.machine, hostname=None) == dataclasses.replace(machine, hostname=None),
                ),
                ("set of sensors", run.domains == domains),
            )
            if not same
        ]
        if differing:
            raise UsageError(
                f"{path} was measured with another {' and another '.join(differing)}; it cannot be gone on with. "
                "Choose another folder with --out."
            )
        found[planned.record.key] = run
    return found


def _anonymous(machine: Machine) -> Machine:
    return dataclasses.replace(machine, hostname=None)


def _protocol(suite: Suite, position: int) -> Protocol:
    return Protocol(position=position, **asdict(suite.protocol))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measurement:
    """One workload on its way from plan to record."""

    planned: Planned
    suite: Suite
    path: Path
    meter: Meter
    machine: Machine
    position: int
    total: int
    report: Report

    def say(self, phase: str, spent_s: float, estimate: Figure | None) -> None:
        """Report a step of this workload, `spent_s` seconds after its beginning."""
        remaining_s = max(expected_s(self.suite, self.total - self.position) - spent_s, 0.0)
        self.report(Progress(self.position, self.total, self.planned.record.key, phase, remaining_s, estimate))

    def run(self, earlier: Run | None) -> Run:
        """Measure it, or go on with what an earlier call left."""
        if earlier is not None and earlier.status == "complete":
            self.say("already measured", 0.0, energy_per_unit(earlier))
            return earlier
        run = earlier or self._new()
        spent = run.instrument or Instrument(readings=0, cpu_s=0.0)
        before = self.meter.instrument

        def ended(run: Run, status: Status, failure: str | None = None) -> Run:
            now = self.meter.instrument
            cost = Instrument(
                readings=spent.readings + now.readings - before.readings,
                cpu_s=spent.cpu_s + now.cpu_s - before.cpu_s,
            )
            return self._written(replace(run, status=status, failure=failure, instrument=cost))

        try:
            return ended(self._measured(run), "complete")
        except (WorkloadFailed, MissingExtra) as error:
            return ended(load_run(self.path), "failed", _without_home(str(error)))
        except KeyboardInterrupt:
            if self.path.exists():
                ended(load_run(self.path), "interrupted")
            raise

    def _new(self) -> Run:
        return Run(
            schema=RUN_SCHEMA,
            id=secrets.token_hex(8),
            session=self.meter.session,
            suite=self.suite.name,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            status="running",
            machine=self.machine,
            software=software_versions(),
            workload=self.planned.record,
            protocol=_protocol(self.suite, self.position),
            domains=self.meter.domains,
            refused=self.meter.refused,
        )

    def _written(self, run: Run) -> Run:
        save(run, self.path)
        return run

    def _measured(self, run: Run) -> Run:
        began = time.monotonic()

        def spent_s() -> float:
            return time.monotonic() - began

        run = self._written(replace(run, status="running", failure=None))
        _refuse_wrong(run)
        self.say("idle", 0.0, None)
        run = self._with_phase(run, "idle-before", self._idle)
        record = run.workload
        with WorkerProcess() as worker:
            worker.ask("open", model=record.model, task=record.task, settings=record.settings, items=record.items)
            self.say("load", spent_s(), None)
            software: Mapping[str, str] = {}

            def load() -> None:
                nonlocal software
                software = worker.ask("load")["software"]

            run = self._with_phase(run, "load", load)
            run = self._written(replace(run, software={**run.software, **software}))
            self.say("warm-up", spent_s(), None)
            count = record.items

            def warm_up() -> None:
                nonlocal count
                count = _warm_up(worker, run.protocol, record.items)

            run = self._with_phase(run, "warm-up", warm_up)
            if run.trials:  # gone on with: the same work as before
                count = run.trials[0].units
            query_began = time.monotonic()
            while not _enough(run, time.monotonic() - query_began):
                run = self._trial(run, worker, count)
                _refuse_wrong(run)
                self.say(f"trial {len(run.trials)}", spent_s(), energy_per_unit(run))
        self.say("idle", spent_s(), energy_per_unit(run))
        return self._with_phase(run, "idle-after", self._idle)

    def _idle(self) -> None:
        time.sleep(self.suite.protocol.idle_s)

    def _with_phase(self, run: Run, phase: str, work: Callable[[], None]) -> Run:
        """Measure a phase; a run that is gone on with keeps the window of its first time."""
        with self.meter.measure(phase) as window:
            work()
        return self._written(replace(run, phases={phase: window.record, **run.phases}))

    def _trial(self, run: Run, worker: WorkerProcess, count: int) -> Run:
        with self.meter.measure(f"trial {len(run.trials) + 1}") as window:
            ran = worker.ask("run", count=count)
        checked = worker.ask("check")
        trial = Trial(
            window=window.record,
            units=checked["units"],
            invalid=checked["invalid"],
            invalid_reason=checked["invalid_reason"],
            tokens_in=checked["tokens_in"],
            tokens_out=checked["tokens_out"],
            cpu_s=ran["cpu_s"],
        )
        quality = checked["quality"]
        return self._written(
            replace(
                run,
                trials=(*run.trials, trial),
                quality=None if quality is None else QualityRecord(**quality),
            )
        )


def _warm_up(worker: WorkerProcess, protocol: Protocol, items: int) -> int:
    """Answer until the least time has passed and give the number of answers of a trial: whole passes over the items.

    The rate is that of the last and longest stretch: the first answers are slower.
    """
    began = time.monotonic()
    count, longest, rate = 1, 0, 0.0
    while True:
        start = time.monotonic()
        worker.ask("run", count=count)
        if count >= longest:
            longest, rate = count, count / (time.monotonic() - start)
        left_s = protocol.warm_up_s - (time.monotonic() - began)
        if left_s <= 0:
            return items * max(1, math.ceil(rate * protocol.trial_s / items))
        # Twice as many as before, but no more than what is left of the time.
        count = max(1, min(2 * count, math.ceil(rate * left_s)))


def _enough(run: Run, spent_s: float) -> bool:
    p = run.protocol
    if len(run.trials) < p.min_trials:
        return False
    if len(run.trials) >= p.max_trials or spent_s >= p.budget_s:
        return True
    return summarise(energies_per_trial(run)).relative_half_width <= p.precision


def _without_home(text: str) -> str:
    """Take the user's name out of paths in a library's message: records do not tell who measured."""
    return text.replace(str(Path.home()), "~")


def _refuse_wrong(run: Run) -> None:
    """A model whose answers are no answers has no energy figure, and neither has one that no sensor covered.

    Raises:
        WorkloadFailed: with the reason.
    """
    for trial in run.trials:
        if trial.invalid:
            raise WorkloadFailed(
                f"{trial.invalid} of {trial.invalid + trial.units} answers were no answers; "
                f"the first: {trial.invalid_reason}"
            )
    if run.trials and not energies_per_trial(run):
        lost = "; ".join(f"{part.name}: {part.reason}" for part in energy_per_unit(run).evidence.missing)
        raise WorkloadFailed(f"No sensor could be read in all trials ({lost}).")
