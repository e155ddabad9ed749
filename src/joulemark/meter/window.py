"""Windows over the domains of a machine; they nest and overlap freely, from any thread and task."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MethodType, TracebackType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Self, TypeVar, cast

from joulemark.boundary import Boundary, Component
from joulemark.errors import SensorError, SensorUnavailable, UsageError
from joulemark.figures import Error, Figure, Kind, Part
from joulemark.meter.edges import Mark
from joulemark.meter.follow import Point
from joulemark.meter.timeline import Edge
from joulemark.readings import WindowRecord, domain_figure, energy_figure, power_figure
from joulemark.units import format_duration

if TYPE_CHECKING:
    from joulemark.attribution import Attributed, IdlePolicy, Share
    from joulemark.budget import Budget
    from joulemark.meter.calibration import Calibration
    from joulemark.meter.cpu_time import CpuTime
    from joulemark.meter.hosts import Host
    from joulemark.meter.meter import Meter
    from joulemark.records.schema import Measurement

__all__ = ["Measured", "Window", "software_versions"]

P = ParamSpec("P")
R = TypeVar("R")


class Window:
    """A stretch of monotonic time whose energy is asked for; windows nest and overlap, in any thread and task.

    ::

        with jm.measure("epoch 1") as window:
            train()
        print(window)

        @jm.measure("step")          # also of coroutine functions
        def step(): ...
        step()
        print(step.windows[-1])      # one window a call
    """

    def __init__(self, meter: Meter, label: str = "") -> None:
        self._meter = meter
        self.label = label
        self.notes: tuple[str, ...] = ()
        self._host: Host | None = None
        self._times_ns: tuple[int, int] = (0, 0)
        self._start_marks: Mapping[str, Mark] = {}
        self._end_marks: Mapping[str, Mark] = {}
        self._start_edges: Mapping[str, Edge | SensorError] | None = None
        self._cpu_times: tuple[CpuTime | SensorError | None, CpuTime | SensorError | None] = (None, None)
        self._opened_us = 0
        self._closed = False
        self._record: WindowRecord | None = None
        self._scope = ""

    def start(self) -> Self:
        """Open the window.

        Raises:
            UsageError: if it was opened before.
        """
        if self._host is not None:
            raise UsageError("This window was opened before; take a new one for each measurement.")
        now_ns, self._start_marks, self._host, number, self.notes = self._meter._opened(self)
        self._times_ns = (now_ns, now_ns)
        self._opened_us = time.time_ns() // 1000  # of day: the driver stamps its samples of processes so
        self._cpu_times = (self._meter._cpu_time(), None)
        self._scope = f"{self._meter.session}/{number}"
        return self

    def stop(self) -> Self:
        """Close the window; from now on its energy can be asked for.

        Raises:
            UsageError: if it is not open.
        """
        if self._host is None or self._closed:
            raise UsageError("This window is not open.")
        now_ns, self._end_marks, notes = self._meter._closed(self._host)
        self._cpu_times = (self._cpu_times[0], self._meter._cpu_time())
        self._times_ns = (self._times_ns[0], now_ns)
        self.notes = tuple(dict.fromkeys((*self.notes, *notes)))
        self._closed = True
        return self

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __call__(self, function: Callable[P, R]) -> Measured[P, R]:
        """Decorate a function: each of its calls gets a window of its own, also those that overlap."""
        return Measured(self._meter, self.label or getattr(function, "__name__", ""), function)

    def _edges_at(self, time_ns: int) -> Mapping[str, Edge | SensorError]:
        assert self._host is not None  # noqa: S101 - only of windows that were opened
        return {name: timeline.edge(time_ns) for name, timeline in self._host.timelines.items()}

    def _note(self, settled_ns: int) -> None:
        """Work out what lies before a moment that is settled, before it is too old to be on record."""
        start_ns, end_ns = self._times_ns
        if self._closed:
            if end_ns < settled_ns:
                self._work_out()
        elif self._start_edges is None and self._host is not None and start_ns < settled_ns:
            self._host.settle(start_ns)
            self._start_edges = self._edges_at(start_ns)

    def _work_out(self) -> WindowRecord | None:
        if self._record is not None or self._host is None or not self._closed:
            return self._record
        start_ns, end_ns = self._times_ns
        self._host.settle(end_ns)
        start_edges = self._edges_at(start_ns) if self._start_edges is None else self._start_edges
        energies = self._meter._energies(
            self._host, self._times_ns, (self._start_marks, self._end_marks), (start_edges, self._edges_at(end_ns))
        )
        share = self._share()
        self._record = WindowRecord(
            label=self.label,
            start_s=(start_ns - self._meter._origin_ns) / 1e9,
            duration_s=(end_ns - start_ns) / 1e9,
            energies=energies,
            share=share if not isinstance(share, SensorError) else None,
            not_split=str(share) if isinstance(share, SensorError) else "",
        )
        self._meter._pending.discard(self)
        return self._record

    def _share(self) -> Share | SensorError | None:
        """Give the part of the CPU time that counts; None if all of it does."""
        before, after = self._cpu_times
        if before is None or after is None:
            return None
        if isinstance(before, SensorError):
            return before
        if isinstance(after, SensorError):
            return after
        from joulemark.meter.cpu_time import share

        try:
            found = share(before, after)
        except SensorError as error:
            return error
        if found.of_busy != found.of_busy:  # NaN: nothing was busy for a whole step of the counters
            return SensorUnavailable("no CPU time was counted in this window, which is too short to be split")
        return found

    @property
    def record(self) -> WindowRecord:
        """Its readings. A sensor that is updated seldom is waited for until its next update.

        Raises:
            UsageError: if it is not closed yet.
        """
        record = self._work_out()
        if record is None:
            raise UsageError("This window is not closed yet; ask for its energy after the with block.")
        return record

    def trace(self) -> Mapping[str, tuple[tuple[float, float], ...]]:
        """Give the course of power by domain: pairs of time since the window was opened, in s, and power, in W.

        Each power is the mean since the time before it, over the updates that the sensor showed. Of counters that are
        read at the edges only it is the mean of the window. A domain that could not be read is not there; of a window
        that is asked late only the last few thousand updates are.

        Raises:
            UsageError: if it is not closed yet.
        """
        found = {}
        start_ns, end_ns = self._times_ns
        for energy in self.record.energies:
            timeline = None if self._host is None else self._host.timelines.get(energy.domain)
            if energy.energy_j is None or not self.duration_s > 0:
                continue
            points = () if timeline is None else _course(list(timeline.points), start_ns, end_ns)
            found[energy.domain] = points or ((self.duration_s, energy.energy_j / self.duration_s),)
        return found

    def budget(self) -> Budget:
        """Say what makes its energy unsure, and by how much: print it.

        Raises:
            UsageError: if it is not closed yet.
        """
        from joulemark.budget import Budget

        found = self._calibration()
        if isinstance(found, str):
            return Budget(self.energy, coverage=f"power that no sensor sees (supply, fans, board): {found}")
        low, high = 100 * found.coverage_low, 100 * found.coverage_high
        return Budget(
            self.energy,
            coverage=f"these sensors saw {100 * found.coverage:.2g} % ({low:.2g} to {high:.2g}) of the power at the "
            f"wall when they were calibrated ({found.created[:10]})",
        )

    @property
    def wall_energy(self) -> Figure:
        """Energy at the wall, in joules, as far as ``joulemark calibrate`` has found how it follows from the sensors.

        Unavailable, with the reason, where that was not done for this machine and these domains, or the load was
        another one than was calibrated with.
        """
        boundary = Boundary.of((*(c for d in self._meter.domains for c in d.components), "board", "psu_loss"))
        found = self._calibration()
        seen = self.energy
        if not isinstance(found, str) and seen.available and not seen.evidence.missing:
            from joulemark.meter.calibration import wall_energy

            try:
                value_j, unsure_j = wall_energy(found, seen.value, self.duration_s)
            except UsageError as error:
                found = str(error)
            else:
                errors = (Error(f"calibration at the wall of {found.created} ({self._scope})", unsure_j),)
                parts = (Part("machine", value_j, seen.evidence.kind),)
                return Figure(value=value_j, unit="J", boundary=boundary, errors=errors, parts=parts)
        reason = found if isinstance(found, str) else f"not all sensors could be read: {seen.evidence}"
        return Figure.unavailable("J", boundary, [Part("machine", math.nan, Kind.UNAVAILABLE, reason)])

    def _calibration(self) -> Calibration | str:
        """Give the calibration that holds here, or why there is none."""
        from joulemark.errors import RecordError
        from joulemark.meter.calibration import calibration_path, load

        try:
            found = load(calibration_path())
        except RecordError as error:
            return str(error)
        if found is None:
            return "not known; see: joulemark calibrate"
        counted = [domain.name for domain in self._meter.domains if domain.counted]
        if not found.holds_for(processor=self._meter.machine().processor, domains=counted):
            return (
                f"not known; the calibration of {found.created[:10]} was made with other sensors or on another machine"
            )
        return found

    def attributed(
        self, before: Window | None = None, after: Window | None = None, *, idle: IdlePolicy = "none"
    ) -> Attributed:
        """Split the energy of the processors: this program's part above idle, and idle apart, in joules.

        The meter must have been made with ``attribution="process"`` or ``"cgroup"``.

        Args:
            before: a window at rest; without both, as `net` does.
            after: another one, after the work.
            idle: what of the idle energy is this program's: ``none``, or ``by-time``: as much as it took up of all the
                CPU time there was.

        Raises:
            UsageError: if the meter attributes to the whole machine, has not seen the machine at rest, or it drew more
                at rest than at work.
        """
        from joulemark.attribution import attribute
        from joulemark.idle import idle_power

        share = self.record.share
        if share is None:
            raise UsageError('There is nothing to attribute: make the meter with attribution="process" or "cgroup".')
        powers = [power_figure(w._processors(), w.duration_s) for w in self._rests(before, after)]
        return attribute(
            self._processors(),
            share,
            duration_s=self.duration_s,
            workload=self._scope,
            window=self._scope,
            idle_power=idle_power(*powers),
            idle=idle,
        )

    def gpu_shares(self, pids: Collection[int] | None = None) -> Mapping[str, float | SensorError]:
        """Give the share of each NVIDIA GPU's work in this window that some processes did, 0 to 1, by domain.

        It is their part of the SM utilisation that the driver saw since the window was opened: a key to the energy of
        a GPU that is shared, and a rough one. It is not applied to any figure. Ask right after the window was closed.

        Args:
            pids: the processes; this one without it.

        Raises:
            SensorUnavailable: if there is no NVIDIA driver.
        """
        from joulemark.sensors.nvml import NvmlSensor

        sensor = NvmlSensor()
        try:
            return sensor.shares({os.getpid()} if pids is None else pids, self._opened_us)
        finally:
            sensor.close()

    def _processors(self) -> Figure:
        """Energy of the whole machine but its GPUs, in joules."""
        domains = [d for d in self._meter.domains if Component.GPU not in d.components]
        whole = replace(self.record, share=None, not_split="")
        return energy_figure(whole, domains, session=self._meter.session, workload=self._scope)

    def net(self, before: Window | None = None, after: Window | None = None) -> Figure:
        """Give the energy above what the machine draws at rest, in joules.

        Args:
            before: a window at rest; without both, the meter's last one before this window (`Meter.rest`, ``idle_s``)
                and its first one after it.
            after: another one, after the work; how far both differ goes into the interval.

        Raises:
            UsageError: if the meter has not seen the machine at rest, or it drew more at rest than at work.
            NotComparable: if the windows do not cover the same.
        """
        from joulemark.idle import idle_power, net

        rests = [rest.power for rest in self._rests(before, after)]
        return net(self.energy, idle_power(*rests), self.duration_s)

    def _rests(self, before: Window | None, after: Window | None) -> tuple[Window, ...]:
        """Give the windows at rest that are to be used, one or two of them.

        Raises:
            UsageError: if there is none.
        """
        if before is None and after is None:
            before, after = self._meter._rests_around(self)
        found = tuple(window for window in (before, after) if window is not None)
        if not found:
            raise UsageError("The machine was not seen at rest: make the meter with idle_s=10, or call meter.rest(10).")
        return found

    @property
    def duration_s(self) -> float:
        """How long it was open, in seconds."""
        return self.record.duration_s

    @property
    def energy(self) -> Figure:
        """Energy over all counted domains, in joules, with its 95 % interval, evidence and boundary."""
        return energy_figure(self.record, self._meter.domains, session=self._meter.session, workload=self._scope)

    @property
    def power(self) -> Figure:
        """Mean power, in watts."""
        return power_figure(self.energy, self.duration_s)

    @property
    def domains(self) -> Mapping[str, Figure]:
        """Energy by domain, in joules; one that failed is there, unavailable, with its reason."""
        return {
            d.name: domain_figure(self.record, d, session=self._meter.session, workload=self._scope)
            for d in self._meter.domains
        }

    def save(self, path: str | Path, *, identify: bool = False) -> None:
        """Write it as a measurement record.

        Raises:
            OutputNotWritable: if that cannot be written.
        """
        from joulemark.records.files import save

        save(self.measurement(identify=identify), Path(path))

    def measurement(
        self,
        *,
        identify: bool = False,
        exit_code: int | None = None,
        command: Sequence[str] | None = None,
        before: Sequence[Window] = (),
    ) -> Measurement:
        """Give the measurement record of this window.

        Args:
            identify: whether the host's name and the command line go in.
            exit_code: of the command that was measured.
            command: its words.
            before: windows that belong to it and come first in the record, such as one at rest.
        """
        from datetime import UTC, datetime

        from joulemark.meter.ranks import job, node_id
        from joulemark.records.schema import MEASUREMENT_SCHEMA, Measurement

        rank = job()
        return Measurement(
            schema=MEASUREMENT_SCHEMA,
            id=os.urandom(8).hex(),
            session=self._meter.session,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            label=self.label,
            machine=self._meter.machine(identify=identify),
            software=software_versions(),
            domains=self._meter.domains,
            windows=(*(window.record for window in before), self.record),
            refused=self._meter.refused,
            instrument=self._meter.instrument,
            node=node_id(),
            local_rank=rank.local_rank if rank.source else None,
            exit_code=exit_code,
            command=tuple(command) if identify and command is not None else None,
        )

    def __str__(self) -> str:
        name = f"{self.label}: " if self.label else ""
        if not self._closed:
            return f"{name}{'open' if self._host is not None else 'not opened yet'}"
        counted = {d.name for d in self._meter.domains if d.counted}
        parts = [
            f"{domain} {figure.format()} {figure.evidence.kind if figure.available else ''}".strip()
            for domain, figure in self.domains.items()
            if domain in counted
        ]
        lasted = format_duration(self.duration_s)
        return f"{name}{self.energy.format()} in {lasted}{self._above_idle()}   {' · '.join(parts)}"

    def _above_idle(self) -> str:
        """Tell the energy above idle, where the meter has seen the machine at rest before."""
        if self._meter._rests_around(self)[0] is None:
            return ""
        try:
            net = self.net()
        except UsageError as error:
            return f" (net of idle not known: {error})"
        return f" ({net.format()} net of idle)" if net.available else " (net of idle not known)"


class Measured(Generic[P, R]):
    """A function whose calls are measured.

    Attributes:
        windows: the closed windows of its last calls, oldest first, at most `KEPT`.
    """

    KEPT = 1000

    def __init__(self, meter: Meter, label: str, function: Callable[P, R]) -> None:
        self._meter, self._label, self._function = meter, label, function
        self.windows: deque[Window] = deque(maxlen=self.KEPT)
        import functools

        functools.update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function in a window of its own; a coroutine function gives a coroutine."""
        import inspect

        if inspect.iscoroutinefunction(self._function):
            return cast("R", self._awaited(self._function(*args, **kwargs)))
        with self._measured():
            return self._function(*args, **kwargs)

    async def _awaited(self, call: Awaitable[Any]) -> Any:
        with self._measured():
            return await call

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """Bind as a method, as a plain function does."""
        return self if instance is None else MethodType(self, instance)

    @contextlib.contextmanager
    def _measured(self) -> Iterator[None]:
        window = self._meter.measure(self._label).start()
        try:
            yield
        finally:
            self.windows.append(window.stop())


def _course(points: Sequence[Point], start_ns: int, end_ns: int) -> tuple[tuple[float, float], ...]:
    """Give time in s and power in W between the points of a curve, as far as they lie in a stretch of time."""
    return tuple(
        ((min(after.time_ns, end_ns) - start_ns) / 1e9, (after.energy_uj - before.energy_uj) * 1e3 / elapsed_ns)
        for before, after in itertools.pairwise(points)
        if before.breaks == after.breaks
        and (elapsed_ns := after.time_ns - before.time_ns) > 0
        and before.time_ns < end_ns
        and after.time_ns > start_ns
    )


def software_versions() -> dict[str, str]:
    """Give the versions of Python and of Joulemark, for a record."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    with contextlib.suppress(PackageNotFoundError):
        found["joulemark"] = version("joulemark")
    return found
