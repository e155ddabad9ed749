"""Measures the workloads of a plan in randomised blocks, and writes each trial to disk as it comes in.

A workload's trials are spread over blocks, each in a fresh worker process, and the blocks of all workloads come in a
random order, round after round: what drifts (temperature, clocks, the neighbours) hits all alike. A trial answers the
same items each time. Trials go on until the 95 % half-width of the mean is small enough, there are enough of them, or
the time is up. The protocol of one block is in `joulemark.bench.session`, the stopping rule in `joulemark.stats`.
"""

from __future__ import annotations

import dataclasses
import math
import random
import secrets
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from msgspec.structs import asdict, replace

from joulemark.bench.plan import Planned, Suite, SuiteProtocol, plan_suite
from joulemark.bench.session import Session
from joulemark.errors import JoulemarkError, MissingExtra, OutputNotWritable, UsageError, WorkloadFailed
from joulemark.figures import Figure
from joulemark.meter import Meter, Window, software_versions
from joulemark.readings import Instrument, Machine
from joulemark.records import (
    RUN_SCHEMA,
    Protocol,
    Run,
    Status,
    WorkloadRecord,
    energies_per_trial,
    energy_per_unit,
    load_run,
)
from joulemark.records.journal import Journal
from joulemark.records.traces import TraceWriter
from joulemark.stats import decide

__all__ = ["Progress", "check_folder", "enough", "expected_s", "run_plan"]

Report = Callable[["Progress"], None]
_OVERHEAD_S = 4.0  # what a block takes besides idle, warm-up and trials: start of the process, load


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
    """Give the seconds that so many workloads of a suite are expected to take, if no single trial outlasts them.

    A protocol that counts answers instead of seconds takes as long as its answers take: then this is a lower bound.
    """
    p = suite.rules
    queries_s = min(p.budget_s, p.max_trials * p.trial_s * 1.5)
    return workloads * (queries_s + p.blocks * (2 * p.idle_s + p.warm_up_s + _OVERHEAD_S))


def run_plan(
    suite: Suite,
    out: Path,
    *,
    resume: bool = False,
    report: Report = lambda progress: None,
    meter: Meter | None = None,
    identify: bool = False,
    trace: bool | None = None,
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
        trace: whether the course of power is written beside each record (`joulemark.records.traces`); if pyarrow is
            installed without it.

    Returns:
        The runs, in the order of the suite.

    Raises:
        UsageError: if `out` already holds records of this suite and `resume` is not set.
        OutputNotWritable: if the results cannot be written.
        MissingExtra: if traces are asked for without pyarrow.
        WeightsError: see `joulemark.bench.plan.plan_suite`.
        KeyboardInterrupt: passed on once the trial at hand is in its journal.
    """
    workloads = plan_suite(suite)
    check_folder(out, workloads, resume=resume)
    if trace is None:
        trace = find_spec("pyarrow") is not None
    with nullcontext(meter) if meter is not None else Meter() as the_meter:
        machine = the_meter.machine(identify=identify)
        started = [
            _Workload(
                planned=planned,
                position=position,
                suite=suite,
                out=out,
                meter=the_meter,
                machine=machine,
                traced=trace,
            )
            for position, planned in enumerate(workloads)
        ]
        if resume:
            for one in started:
                one.take_up()
        _Schedule(suite, started, report).run()
    return tuple(one.result for one in started)


def check_folder(out: Path, workloads: tuple[Planned, ...], *, resume: bool) -> None:
    """Find out before anything is measured whether the results have a place.

    Raises:
        UsageError: if it holds records of this suite, and they are not to be gone on with.
        OutputNotWritable: if it cannot be written.
    """
    there = [p.file_name for p in workloads if (out / p.file_name).exists() or _journal_path(out, p).exists()]
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


def _journal_path(out: Path, planned: Planned) -> Path:
    return (out / planned.file_name).with_suffix(".jsonl")


def _protocol(rules: SuiteProtocol, position: int) -> Protocol:
    return Protocol(position=position, **asdict(rules))


def enough(run: Run) -> bool:
    """Whether a run has all the trials that its protocol asks for: the stopping rule (`joulemark.stats.decide`)."""
    p, values = run.protocol, energies_per_trial(run)
    blocks = {trial.block for trial in run.trials}
    if not values or (len(blocks) < p.blocks and len(values) < p.max_trials):
        return False  # the time is never up before all blocks: what differs from process to process would not be seen
    return decide(
        values,
        [trial.window.duration_s for trial in run.trials],
        blocks=[trial.block for trial in run.trials],
        precision=p.precision,
        min_trials=p.min_trials,
        max_trials=p.max_trials,
        max_s=p.budget_s,
        min_blocks=p.blocks,
    ).stop


@dataclass(slots=True, kw_only=True)
class _Workload:
    """One workload on its way from plan to record."""

    planned: Planned
    position: int
    suite: Suite
    out: Path
    meter: Meter
    machine: Machine
    traced: bool
    journal: Journal | None = None
    done: Run | None = None
    cost: Instrument = field(default_factory=lambda: Instrument(readings=0, cpu_s=0.0))

    @property
    def key(self) -> str:
        return self.planned.record.key

    @property
    def result(self) -> Run:
        assert self.done is not None  # noqa: S101 - the schedule is over
        return self.done

    @property
    def _path(self) -> Path:
        return self.out / self.planned.file_name

    def take_up(self) -> None:
        """Take up what an earlier call left; what failed is measured again.

        Raises:
            UsageError: if it is of another workload, protocol or machine; going on would mix what does not belong
                together.
            RecordError: if it cannot be read.
        """
        path = _journal_path(self.out, self.planned)
        if path.exists():
            journal = Journal.resume(path)
            self._check(journal.run, path)
            self._go_on(journal)
        elif self._path.exists():
            run = load_run(self._path)
            if run.status != "failed":
                self._check(run, self._path)
                self.done = run if run.status == "complete" else None
                if self.done is None:
                    self._go_on(Journal.create(path, run))

    def _go_on(self, journal: Journal) -> None:
        self.journal = journal
        self.cost = journal.run.instrument or self.cost
        if enough(journal.run):  # only its record was still to be written
            self._finish("complete")

    def _check(self, run: Run, path: Path) -> None:
        differing = [
            what
            for what, same in (
                ("workload (settings, inputs or weights)", _unsized(run.workload) == _unsized(self.planned.record)),
                ("protocol", run.protocol == _protocol(self.suite.rules, run.protocol.position)),
                ("machine", _anonymous(run.machine) == _anonymous(self.machine)),
                ("set of sensors", run.domains == self.meter.domains),
            )
            if not same
        ]
        if differing:
            raise UsageError(
                f"{path} was measured with another {' and another '.join(differing)}; it cannot be gone on with. "
                "Choose another folder with --out."
            )

    def block(self, say: Callable[[str], None]) -> None:
        """Measure one block of it.

        Raises:
            OutputNotWritable: if its trials cannot be written.
            KeyboardInterrupt: once the trial at hand is in the journal.
        """
        if self.journal is None:
            self.journal = Journal.create(_journal_path(self.out, self.planned), self._new())
        journal, before = self.journal, self.meter.instrument
        run = journal.run
        number = max((trial.block for trial in run.trials), default=0) + 1
        rules = self.suite.rules
        trace = TraceWriter(journal.path, run.id) if self.traced else None

        def saw(window: Window, phase: str, trial: int) -> None:
            if trace is not None:
                courses = window.trace().items()
                start_s = window.record.start_s
                trace.append(phase, trial, ((d, start_s + at_s, w) for d, course in courses for at_s, w in course))

        try:
            with trace or nullcontext():
                Session(
                    ask=dict(self.planned.ask), journal=journal, meter=self.meter, block=number, say=say, saw=saw
                ).measure(math.ceil(rules.min_trials / rules.blocks), enough)
        except (WorkloadFailed, MissingExtra) as error:
            self._spend(before)
            self._finish("failed", _without_home(str(error)))
        except KeyboardInterrupt:
            self._spend(before)
            self.interrupted()
            raise
        else:
            self._spend(before)
            if enough(journal.run):
                self._finish("complete")
            else:
                journal.note(instrument=self.cost)

    def interrupted(self) -> None:
        """Note that the work was broken off."""
        if self.journal is not None and self.done is None:
            self.journal.note(status="interrupted", instrument=self.cost)

    def _spend(self, before: Instrument) -> None:
        now, so_far = self.meter.instrument, self.cost
        self.cost = Instrument(
            readings=so_far.readings + now.readings - before.readings,
            cpu_s=so_far.cpu_s + now.cpu_s - before.cpu_s,
        )

    def _finish(self, status: Status, failure: str | None = None) -> None:
        assert self.journal is not None  # noqa: S101 - a block has been measured
        self.done = self.journal.finish(status, failure=failure, instrument=self.cost)

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
            protocol=_protocol(self.suite.rules, self.position),
            domains=self.meter.domains,
            refused=self.meter.refused,
            notes=self.planned.notes,
        )


class _Schedule:
    """Rounds of blocks in a random order, until every workload is done."""

    def __init__(self, suite: Suite, workloads: Sequence[_Workload], report: Report) -> None:
        self._suite = suite
        self._workloads = workloads
        self._report = report
        self._blocks: dict[str, int] = {}

    def run(self) -> None:
        """Measure all of them."""
        for one in self._workloads:
            if one.done is not None:
                self._say(one, "already measured", energy_per_unit(one.done))
        try:
            for round_number in range(10**9):
                pending = [one for one in self._workloads if one.done is None]
                if not pending:
                    return
                # An order, not a secret.
                random.Random(f"{self._suite.rules.seed}/{round_number}").shuffle(pending)  # noqa: S311
                for one in pending:
                    one.block(lambda phase, one=one: self._say(one, phase, None))  # type: ignore[misc]
                    self._blocks[one.key] = self._blocks.get(one.key, 0) + 1
        except (KeyboardInterrupt, JoulemarkError):
            for one in self._workloads:
                with suppress(OutputNotWritable):
                    one.interrupted()
            raise

    def _say(self, one: _Workload, phase: str, estimate: Figure | None) -> None:
        done = sum(w.done is not None for w in self._workloads)
        if estimate is None and one.journal is not None and one.journal.run.trials:
            estimate = energy_per_unit(one.journal.run)
        left_s = math.fsum(self._left_s(w) for w in self._workloads if w.done is None)
        self._report(Progress(done, len(self._workloads), one.key, phase, left_s, estimate))

    def _left_s(self, one: _Workload) -> float:
        """Expected seconds that a workload still takes."""
        whole_s = expected_s(self._suite, 1)
        if one.journal is None or not one.journal.run.trials:
            return whole_s
        part = len(one.journal.run.trials) / self._suite.rules.max_trials
        return max(whole_s * (1 - part), 0.0)


def _unsized(workload: WorkloadRecord) -> WorkloadRecord:
    """Without its number of parameters, which some models tell only once they are loaded."""
    return replace(workload, parameters=None)


def _anonymous(machine: Machine) -> Machine:
    return dataclasses.replace(machine, hostname=None)


def _without_home(text: str) -> str:
    """Take the user's name out of paths in a library's message: records do not tell who measured."""
    return text.replace(str(Path.home()), "~")
