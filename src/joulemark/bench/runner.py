"""Measures the workloads of a plan, one after the other, and writes each trial to disk as it comes in.

The protocol of one workload (docs/method.md, "Protocol"): idle, load, warm-up, trials, idle. A trial answers the same
items each time. Trials go on until the 95 % half-width of the mean is small enough, there are enough of them, or the
time is up.
"""

from __future__ import annotations

import math
import random
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from joulemark.bench.plan import Planned, Suite, plan
from joulemark.bench.process import WorkerProcess
from joulemark.errors import MissingExtra, OutputNotWritable, UsageError, WorkloadFailed
from joulemark.figures import Figure
from joulemark.meter import Meter
from joulemark.meter.meter import _software
from joulemark.records import (
    RUN_SCHEMA,
    Instrument,
    Protocol,
    QualityRecord,
    Run,
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
    """Give the seconds that so many workloads of a suite are expected to take at most."""
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
    runs: dict[str, Run] = {}
    with nullcontext(meter) if meter is not None else Meter() as the_meter:
        for done, index in enumerate(order):
            planned = workloads[index]
            runs[planned.record.key] = _Measurement(
                planned=planned,
                suite=suite,
                path=out / planned.file_name,
                meter=the_meter,
                position=done,
                identify=identify,
                report=report,
                total=len(order),
            ).run(resume=resume)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measurement:
    """One workload on its way from plan to record."""

    planned: Planned
    suite: Suite
    path: Path
    meter: Meter
    position: int
    total: int
    identify: bool
    report: Report

    def say(self, phase: str, spent_s: float, estimate: Figure | None) -> None:
        """Report a step of this workload, `spent_s` seconds after its beginning."""
        remaining_s = max(expected_s(self.suite, self.total - self.position) - spent_s, 0.0)
        self.report(Progress(self.position, self.total, self.planned.record.key, phase, remaining_s, estimate))

    def run(self, *, resume: bool) -> Run:
        run = self._earlier() if resume else None
        if run is not None and run.status == "complete":
            self.say("already measured", 0.0, energy_per_unit(run))
            return run
        run = run or self._new()
        before = self.meter.instrument
        try:
            run = self._measured(run)
        except (WorkloadFailed, MissingExtra) as error:
            run = self._written(replace(load_run(self.path), status="failed", failure=str(error)))
        except KeyboardInterrupt:
            if self.path.exists():
                self._written(replace(load_run(self.path), status="interrupted"))
            raise
        after = self.meter.instrument
        cost = Instrument(readings=after.readings - before.readings, cpu_s=after.cpu_s - before.cpu_s)
        return self._written(replace(run, instrument=cost))

    def _earlier(self) -> Run | None:
        """Give the record that an earlier call left, if it is of the same workload on the same machine."""
        if not self.path.exists():
            return None
        run = load_run(self.path)
        if run.workload != self.planned.record:
            raise UsageError(
                f"{self.path} is of another workload (settings, inputs or weights differ); choose another folder."
            )
        if run.machine != self.meter.machine(identify=self.identify) or run.domains != self.meter.domains:
            raise UsageError(
                f"{self.path} was measured on another machine or with other sensors; choose another folder."
            )
        return None if run.status == "failed" else run

    def _new(self) -> Run:
        p = self.suite.protocol
        return Run(
            schema=RUN_SCHEMA,
            id=secrets.token_hex(8),
            session=self.meter.session,
            suite=self.suite.name,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            status="running",
            machine=self.meter.machine(identify=self.identify),
            software=_software(),
            workload=self.planned.record,
            protocol=Protocol(
                trial_s=p.trial_s,
                min_trials=p.min_trials,
                max_trials=p.max_trials,
                precision=p.precision,
                budget_s=p.budget_s,
                idle_s=p.idle_s,
                warm_up_s=p.warm_up_s,
                seed=p.seed,
                position=self.position,
            ),
            domains=self.meter.domains,
            refused=self.meter.refused,
        )

    def _written(self, run: Run) -> Run:
        save(run, self.path)
        return run

    def _measured(self, run: Run) -> Run:
        began = time.monotonic()
        p = run.protocol

        def spent_s() -> float:
            return time.monotonic() - began

        run = self._written(replace(run, status="running", failure=None))
        self.say("idle", 0.0, None)
        run = self._with_phase(run, "idle-before", self._idle)
        record = run.workload
        with WorkerProcess() as worker:
            worker.ask("open", model=record.model, task=record.task, settings=record.settings)
            self.say("load", spent_s(), None)
            software: Mapping[str, str] = {}

            def load() -> None:
                nonlocal software
                software = worker.ask("load")["software"]

            run = self._with_phase(run, "load", load)
            run = self._written(replace(run, software={**run.software, **software}))
            self.say("warm-up", spent_s(), None)
            count = 1

            def warm_up() -> None:
                nonlocal count
                count = _warm_up(worker, p)

            run = self._with_phase(run, "warm-up", warm_up)
            query_began = time.monotonic()
            while not _enough(run, time.monotonic() - query_began):
                run = self._trial(run, worker, count)
                self.say(f"trial {len(run.trials)}", spent_s(), energy_per_unit(run) if _valid(run) else None)
                _refuse_wrong(run)
            worker.ask("close")
        self.say("idle", spent_s(), energy_per_unit(run))
        run = self._with_phase(run, "idle-after", self._idle)
        return replace(run, status="complete")

    def _idle(self) -> None:
        time.sleep(self.suite.protocol.idle_s)

    def _with_phase(self, run: Run, phase: str, work: Callable[[], None]) -> Run:
        with self.meter.measure(phase) as window:
            work()
        return self._written(replace(run, phases={**run.phases, phase: window.record}))

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


def _warm_up(worker: WorkerProcess, protocol: Protocol) -> int:
    """Answer until the least time has passed and give the number of items that fills a trial.

    The rate is taken from the second half of the warm-up: the first answers are slower.
    """
    began = time.monotonic()
    count, rate = 1, 0.0
    while True:
        start = time.monotonic()
        worker.ask("run", count=count)
        taken_s = time.monotonic() - start
        rate = count / taken_s
        left_s = protocol.warm_up_s - (time.monotonic() - began)
        if left_s <= 0:
            break
        # Twice as many as before, but no more than what is left of the time.
        count = max(1, min(2 * count, math.ceil(rate * left_s)))
    return max(1, math.ceil(rate * protocol.trial_s))


def _enough(run: Run, spent_s: float) -> bool:
    p = run.protocol
    if len(run.trials) < p.min_trials:
        return False
    if len(run.trials) >= p.max_trials or spent_s >= p.budget_s:
        return True
    return summarise(energies_per_trial(run)).relative_half_width <= p.precision


def _valid(run: Run) -> bool:
    return all(trial.units for trial in run.trials)


def _refuse_wrong(run: Run) -> None:
    """A model whose answers are no answers has no energy figure."""
    last = run.trials[-1]
    if last.invalid:
        raise WorkloadFailed(
            f"{last.invalid} of {last.invalid + last.units} answers were no answers; the first: {last.invalid_reason}"
        )
