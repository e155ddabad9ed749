"""Windows over the domains of a machine; they nest and overlap freely, from any thread and task."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MethodType, TracebackType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Self, TypeVar, cast

from joulemark.errors import SensorError, UsageError
from joulemark.figures import Figure
from joulemark.meter.edges import Mark
from joulemark.meter.timeline import Edge
from joulemark.readings import WindowRecord, domain_figure, energy_figure, power_figure
from joulemark.units import format_duration

if TYPE_CHECKING:
    from joulemark.budget import Budget
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

    def _note(self) -> None:
        """Work out what can be worked out by now, before it is too old to be on record."""
        if self._closed:
            self._work_out()
        elif self._start_edges is None and self._host is not None:
            self._host.settle(self._times_ns[0])
            self._start_edges = self._edges_at(self._times_ns[0])

    def _work_out(self) -> WindowRecord | None:
        if self._record is not None or self._host is None or not self._closed:
            return self._record
        start_ns, end_ns = self._times_ns
        self._host.settle(end_ns)
        start_edges = self._edges_at(start_ns) if self._start_edges is None else self._start_edges
        self._record = WindowRecord(
            label=self.label,
            start_s=(start_ns - self._meter._origin_ns) / 1e9,
            duration_s=(end_ns - start_ns) / 1e9,
            energies=self._meter._energies(
                self._host, self._times_ns, (self._start_marks, self._end_marks), (start_edges, self._edges_at(end_ns))
            ),
        )
        self._meter._pending.discard(self)
        return self._record

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

    def budget(self) -> Budget:
        """Say what makes its energy unsure, and by how much: print it.

        Raises:
            UsageError: if it is not closed yet.
        """
        from joulemark.budget import Budget

        return Budget(self.energy)

    def net(self, before: Window, after: Window | None = None) -> Figure:
        """Give the energy above what the machine draws at rest, in joules.

        Args:
            before: a window at rest, see `Meter.rest`.
            after: another one, after the work; how far both differ goes into the interval.

        Raises:
            UsageError: if the machine at rest drew more than at work.
            NotComparable: if the windows do not cover the same.
        """
        from joulemark.meter.idle import idle_power, net

        rest = idle_power(before.power, None if after is None else after.power)
        return net(self.energy, rest, self.duration_s)

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
        return f"{name}{self.energy.format()} in {format_duration(self.duration_s)}   {' · '.join(parts)}"


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


def software_versions() -> dict[str, str]:
    """Give the versions of Python and of Joulemark, for a record."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    with contextlib.suppress(PackageNotFoundError):
        found["joulemark"] = version("joulemark")
    return found
