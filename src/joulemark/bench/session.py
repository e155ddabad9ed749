"""One block of a workload: a fresh worker process, and the trials that it is good for.

Idle (before the first), load, warm-up, trials, idle; each is in the journal, synced, before the next begins.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from joulemark.bench.interrupt import finish_first
from joulemark.bench.process import WorkerProcess
from joulemark.bench.surroundings import Surroundings
from joulemark.errors import WorkloadFailed
from joulemark.meter import Meter, Window
from joulemark.records import Latency, QualityRecord, Run, Trial, energies_per_trial, energy_per_unit
from joulemark.records.journal import Journal
from joulemark.stats import warmed_up

__all__ = ["Session", "phase_name", "refuse_wrong"]

LONGEST_WARM_UP = 10
"""A warm-up that has not ended after so many times its least length is ended; the verdict then sees a drift."""
SLOW_WARM_UP = 2
"""The same for models so slow that there are too few answers by then to tell (both: assumptions of ours)."""
FEW = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What a block needs.

    Attributes:
        ask: what the worker is told to open.
        journal: where its phases and trials go.
        meter: what they are measured with.
        block: its number, from 1.
        say: called with the name of each step.
        saw: called with each window that was closed, its phase, and the number of its trial or 0.
    """

    ask: dict[str, Any]
    journal: Journal
    meter: Meter
    block: int
    say: Callable[[str], None]
    saw: Callable[[Window, str, int], None] = lambda window, phase, trial: None

    @property
    def _run(self) -> Run:
        return self.journal.run

    def measure(self, trials: int, enough: Callable[[Run], bool]) -> None:
        """Load the model and measure so many trials, or until it is enough.

        Raises:
            WorkloadFailed: if the model fails, gives no valid answer, or no sensor covers it; likewise `MissingExtra`.
            KeyboardInterrupt: once the trial at hand is in the journal.
        """
        protocol = self._run.protocol
        refuse_wrong(self._run)
        if self.block == 1:  # later blocks have the rest after the one before
            self._phase("idle-before", self._idle)
        with WorkerProcess(protocol.answer_s) as worker:
            worker.ask("open", **self.ask)
            loaded: dict[str, Any] = {}
            self._phase("load", lambda: loaded.update(worker.ask("load")))
            self.journal.note(
                software={**self._run.software, **loaded["software"]},
                loaded=loaded["facts"],
                workload=replace(
                    self._run.workload, parameters=self._run.workload.parameters or loaded["parameters"] or None
                ),
            )
            count = self._warmed(worker)
            for _ in range(trials):
                self._trial(worker, count)
                refuse_wrong(self._run)
                if enough(self._run):
                    break
        self._phase("idle-after", self._idle)

    def _idle(self) -> None:
        time.sleep(self._run.protocol.idle_s)

    def _phase(self, name: str, work: Callable[[], object]) -> None:
        self.say(name)
        with self.meter.measure(name) as window:
            work()
        self.journal.append_phase(phase_name(name, self.block), window.record)
        self.saw(window, phase_name(name, self.block), 0)

    def _warmed(self, worker: WorkerProcess) -> int:
        """Warm up, and give the number of answers of a trial: as before in this run, or whole passes over the items."""
        protocol, items = self._run.protocol, self._run.workload.items
        fixed = self._run.trials[0].units if self._run.trials else protocol.units
        if fixed is not None and protocol.warm_up_s == 0:
            return fixed
        rate = 0.0

        def warm_up() -> None:
            nonlocal rate
            rate = _warm_up(worker, protocol.warm_up_s)

        self._phase("warm-up", warm_up)
        return fixed or items * max(1, math.ceil(rate * protocol.trial_s / items))

    def _trial(self, worker: WorkerProcess, count: int) -> None:
        number = len(self._run.trials) + 1
        surroundings = Surroundings(self._run.domains)
        with finish_first():
            surroundings.begin()
            with self.meter.measure(f"trial {number}") as window:
                ran = worker.ask("run", count=count)
            foreign_cpu = None if ran["elsewhere"] else surroundings.foreign_cpu(ran["cpu_s"])
            checked = worker.ask("check")
            quality = checked.pop("quality")
            latency, first_token = (checked.pop(name) for name in ("latency", "first_token"))
            self.journal.append_trial(
                Trial(
                    id=f"{self._run.workload.key}/{number}",
                    block=self.block,
                    window=window.record,
                    cpu_s=ran["cpu_s"],
                    foreign_cpu=foreign_cpu,
                    clock_mhz=surroundings.clock_mhz(),
                    throttled=surroundings.throttled(),
                    latency=None if latency is None else Latency(**latency),
                    first_token=None if first_token is None else Latency(**first_token),
                    **checked,
                )
            )
            if quality is not None:
                self.journal.note(quality=QualityRecord(**quality))
            self.saw(window, "query", number)
        self.say(f"trial {number}")


def phase_name(name: str, block: int) -> str:
    """Name a phase in a record: later blocks have their number behind it."""
    return name if block == 1 else f"{name} {block}"


def _warm_up(worker: WorkerProcess, least_s: float) -> float:
    """Answer until the times of answers have settled and the least time has passed; give answers per second.

    The rate is that of the last and longest stretch: the first answers are slower.
    """
    began = time.monotonic()
    durations_s: list[float] = []
    count, longest, rate = 1, 0, 0.0
    while True:
        start = time.monotonic()
        ran = worker.ask("run", count=count)
        if count >= longest:
            longest, rate = count, count / (time.monotonic() - start)
        durations_s += ran["durations_s"]
        spent_s = time.monotonic() - began
        longest_s = (SLOW_WARM_UP if len(durations_s) < FEW else LONGEST_WARM_UP) * least_s
        if spent_s >= longest_s or (spent_s >= least_s and warmed_up(durations_s)):
            return rate
        # Twice as many as before, but no more than what is left of the time.
        left_s = least_s - spent_s if spent_s < least_s else least_s / 2
        count = max(1, min(2 * count, math.ceil(rate * left_s)))


def refuse_wrong(run: Run) -> None:
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
