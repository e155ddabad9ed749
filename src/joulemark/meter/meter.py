"""Windows over the domains of a machine; they nest and overlap freely, from any thread."""

from __future__ import annotations

import contextlib
import functools
import inspect
import secrets
import threading
import time
import types
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, ParamSpec, Self, TypeVar, cast

from joulemark.boundary import Component
from joulemark.errors import SensorError, SensorUnavailable, UsageError
from joulemark.figures import Figure
from joulemark.meter.accumulator import Accumulator, Mark
from joulemark.readings import (
    DomainEnergy,
    DomainRecord,
    Instrument,
    Machine,
    Refusal,
    WindowRecord,
    domain_figure,
    energy_figure,
    power_figure,
)
from joulemark.records.schema import MEASUREMENT_SCHEMA, Measurement
from joulemark.sensors import Sensor, describe_machine, discover
from joulemark.sensors.seam import Domain
from joulemark.units import format_duration

__all__ = ["Meter", "Window", "default_meter", "software_versions"]

P = ParamSpec("P")
R = TypeVar("R")

GAUGE_INTERVAL_S = 0.1
WRAP_MARGIN = 3  # readings within the shortest time in which a counter can wrap
_NOT_TOLD = SensorUnavailable("the sensor left this domain out of its reading")


class Meter:
    """Reads sensors at the edges of windows, and in between only where a wrap or a gauge makes it necessary.

    Args:
        sensors: what to read; what `joulemark.sensors.discover` finds without it.
        clock_ns: monotonic time in nanoseconds.

    Raises:
        UsageError: if two sensors name the same domain.
    """

    def __init__(
        self, sensors: Sequence[Sensor] | None = None, *, clock_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self.refused: tuple[Refusal, ...] = ()
        if sensors is None:
            found = discover()
            sensors, self.refused = found.sensors, found.refused
        self.session = secrets.token_hex(4)
        self._sensors = tuple(sensors)
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._accumulators = {d.name: Accumulator(d) for s in self._sensors for d in s.domains}
        if len(self._accumulators) < sum(len(s.domains) for s in self._sensors):
            raise UsageError("Two sensors name the same domain; give the meter only one of them.")
        self.domains = tuple(_domain_record(s, d) for s in self._sensors for d in s.domains)
        self._origin_ns = clock_ns()
        self._windows = 0
        self._open = 0
        self._readings = 0
        self._cost_ns = 0
        self._interval_s = _sampling_interval_s(d for s in self._sensors for d in s.domains)
        self._idle = threading.Event()
        self._sampler: threading.Thread | None = None

    def measure(self, label: str = "") -> Window:
        """Give a window to be used in a ``with`` statement, or with its `start` and `stop`."""
        return Window(self, label)

    @property
    def instrument(self) -> Instrument:
        """What measuring itself has cost so far: readings, and CPU seconds of the threads that took them."""
        return Instrument(readings=self._readings, cpu_s=self._cost_ns / 1e9)

    def machine(self, *, identify: bool = False) -> Machine:
        """Describe the machine for a record."""
        gpus = [(s, d) for s in self._sensors for d in s.domains if Component.GPU in d.components and not d.container]
        return describe_machine(
            gpus=tuple(str(d.parameters.get("model", d.name)) for _, d in gpus),
            gpu_driver=gpus[0][0].name if gpus else "",
            identify=identify,
        )

    def close(self) -> None:
        """Stop sampling and close the sensors."""
        self._idle.set()
        with self._lock:  # never while the sampler is reading
            for sensor in self._sensors:
                sensor.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self) -> tuple[int, dict[str, Mark]]:
        """Read everything once; give the time in nanoseconds and where each domain stands."""
        with self._lock:
            before = time.thread_time_ns()
            now_ns = self._clock_ns()
            for sensor in self._sensors:
                readings = _read(sensor, now_ns)
                for domain in sensor.domains:
                    self._accumulators[domain.name].update(now_ns, readings.get(domain.name, _NOT_TOLD))
            marks = {name: a.mark() for name, a in self._accumulators.items()}
            self._readings += 1
            self._cost_ns += time.thread_time_ns() - before
        return now_ns, marks

    def _opened(self) -> tuple[int, dict[str, Mark], int]:
        taken = self._take()
        with self._lock:
            self._windows += 1
            self._open += 1
            number = self._windows
            if self._interval_s is not None and (self._sampler is None or not self._sampler.is_alive()):
                self._idle = threading.Event()
                self._sampler = threading.Thread(
                    target=self._sample,
                    args=(self._interval_s, self._idle),
                    name="joulemark-sampler",
                    daemon=True,
                )
                self._sampler.start()
        return (*taken, number)

    def _closed(self) -> tuple[int, dict[str, Mark]]:
        taken = self._take()
        with self._lock:
            self._open -= 1
            if self._open == 0:
                self._idle.set()
                self._sampler = None
        return taken

    def _sample(self, interval_s: float, idle: threading.Event) -> None:
        while not idle.wait(interval_s):
            self._take()

    def _window_record(
        self, label: str, start: tuple[int, dict[str, Mark]], end: tuple[int, dict[str, Mark]]
    ) -> WindowRecord:
        (start_ns, first), (end_ns, last) = start, end
        energies = []
        for name, accumulator in self._accumulators.items():
            energy = accumulator.between(first[name], last[name])
            domain = accumulator.domain
            if energy == 0 and domain.kind == "measured" and domain.reading == "counter":
                # Nothing draws no energy: the window is shorter than an update, or the counter is stuck.
                energy = SensorUnavailable(
                    f"the counter did not move in {format_duration((end_ns - start_ns) / 1e9)}"
                    + (f" (it is updated every {domain.accuracy.period_s:g} s)" if domain.accuracy.period_s else "")
                )
            if isinstance(energy, float):
                energies.append(DomainEnergy(domain=name, energy_j=energy))
            else:
                energies.append(DomainEnergy(domain=name, unavailable=str(energy)))
        return WindowRecord(
            label=label,
            start_s=(start_ns - self._origin_ns) / 1e9,
            duration_s=(end_ns - start_ns) / 1e9,
            energies=tuple(energies),
        )


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
        self._start: tuple[int, dict[str, Mark]] | None = None
        self._record: WindowRecord | None = None
        self._scope = ""

    def start(self) -> Self:
        """Open the window.

        Raises:
            UsageError: if it was opened before.
        """
        if self._start is not None:
            raise UsageError("This window was opened before; take a new one for each measurement.")
        now_ns, marks, number = self._meter._opened()
        self._start = (now_ns, marks)
        self._scope = f"{self._meter.session}/{number}"
        return self

    def stop(self) -> Self:
        """Close the window; from now on its energy can be asked for.

        Raises:
            UsageError: if it is not open.
        """
        if self._start is None or self._record is not None:
            raise UsageError("This window is not open.")
        self._record = self._meter._window_record(self.label, self._start, self._meter._closed())
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

    @property
    def record(self) -> WindowRecord:
        """Its raw readings.

        Raises:
            UsageError: if it is not closed yet.
        """
        if self._record is None:
            raise UsageError("This window is not closed yet; ask for its energy after the with block.")
        return self._record

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
        return Measurement(
            schema=MEASUREMENT_SCHEMA,
            id=secrets.token_hex(8),
            session=self._meter.session,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            label=self.label,
            machine=self._meter.machine(identify=identify),
            software=software_versions(),
            domains=self._meter.domains,
            windows=(*(window.record for window in before), self.record),
            refused=self._meter.refused,
            instrument=self._meter.instrument,
            exit_code=exit_code,
            command=tuple(command) if identify and command is not None else None,
        )

    def __str__(self) -> str:
        name = f"{self.label}: " if self.label else ""
        if self._record is None:
            return f"{name}{'open' if self._start else 'not opened yet'}"
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
        functools.update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if inspect.iscoroutinefunction(self._function):
            return cast("R", self._awaited(self._function(*args, **kwargs)))
        with self._measured():
            return self._function(*args, **kwargs)

    async def _awaited(self, call: Awaitable[Any]) -> Any:
        with self._measured():
            return await call

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """Bind as a method, as a plain function does."""
        return self if instance is None else types.MethodType(self, instance)

    @contextlib.contextmanager
    def _measured(self) -> Iterator[None]:
        window = self._meter.measure(self._label).start()
        try:
            yield
        finally:
            self.windows.append(window.stop())


def _read(sensor: Sensor, now_ns: int) -> Mapping[str, int | SensorError]:
    """Read a sensor; one that breaks its promise not to raise takes only its own domains with it."""
    try:
        return sensor.read(now_ns)
    except Exception as error:  # noqa: BLE001 - a plug-in is foreign code and must not end the user's job
        broken = SensorUnavailable(f"{sensor.name} failed: {type(error).__name__}: {error}")
        return {domain.name: broken for domain in sensor.domains}


def _domain_record(sensor: Sensor, domain: Domain) -> DomainRecord:
    return DomainRecord(
        name=domain.name,
        components=tuple(sorted(domain.components)),
        sensor=sensor.name,
        kind=domain.kind,
        accuracy=domain.accuracy,
        # An antichain of the containment tree: nothing that lies in another domain, and no container beside its parts.
        counted=domain.parent is None and not domain.container,
        parent=domain.parent,
        # Numbers as floats, as they come back from a file: an error is named after them and must keep its name.
        parameters={k: v if isinstance(v, str) else float(v) for k, v in domain.parameters.items()},
    )


def _sampling_interval_s(domains: Iterable[Domain]) -> float | None:
    """How often sensors must be read between edges, in seconds; None if they need not be."""
    intervals = []
    for domain in domains:
        if domain.reading == "gauge":
            intervals.append(GAUGE_INTERVAL_S)
        elif domain.wrap_uj is not None:
            intervals.append(domain.wrap_uj / 1e6 / domain.max_power_w / WRAP_MARGIN)
    return min(intervals, default=None)


def software_versions() -> dict[str, str]:
    """Give the versions of Python and of Joulemark, for a record."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    with contextlib.suppress(PackageNotFoundError):
        found["joulemark"] = version("joulemark")
    return found


_default: Meter | None = None
_default_lock = threading.Lock()


def default_meter() -> Meter:
    """Give the meter that `joulemark.measure` uses: all sensors of this machine, made at its first use."""
    global _default
    with _default_lock:
        if _default is None:
            _default = Meter()
        return _default
