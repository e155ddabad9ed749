"""The meter: which sensors are read, where, and what of them counts."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Self, TypeAlias

from joulemark.boundary import Component
from joulemark.errors import PermissionDenied, SensorError, SensorUnavailable, UnknownName, UsageError
from joulemark.meter.edges import EdgeReader, Mark
from joulemark.meter.follow import NEVER_NS, is_quick
from joulemark.meter.hosts import Host, SchedulingClock, SimulatedHost, ThreadHost
from joulemark.meter.launch import Launched, launch
from joulemark.meter.process import DISCOVERY_S, ProcessHost, order
from joulemark.meter.timeline import Edge
from joulemark.meter.window import Window
from joulemark.readings import DomainEnergy, DomainRecord, Instrument, Machine, Refusal
from joulemark.sensors.seam import Domain, Sensor
from joulemark.units import format_duration

if TYPE_CHECKING:
    from joulemark.attribution import Policy
    from joulemark.meter.cpu_time import CpuTime, Scope
    from joulemark.sensors.discovery import Places

__all__ = ["Devices", "Meter", "default_meter"]

Devices: TypeAlias = "Literal['visible', 'all'] | Sequence[str]"
RESET_WATCH_S = 1.0
"""How often counters that wrap are read while windows are open: a reset passes for a wrap only if the counter stood so
near its end that this time's energy could have taken it there."""
LONGEST_REST_S = 3600.0
RESTS = 100
"""So many windows at rest are remembered."""
SETTLE_S = 10.0
"""How often windows that nobody has asked for are worked out, so that what they need is still on record."""


class Meter:
    """Reads the sensors of this machine, and gives windows over them.

    Quick counters are read at the edges of windows by the program itself. All others are read by a process of its own,
    which the program cannot starve and whose sensors cannot hold the program up; sensors that are given as objects are
    read in threads.

    Args:
        sensors: names of sensors as ``joulemark doctor`` lists them and URLs of wall meters (``shelly://192.168.1.7``),
            or `Sensor` objects; all that this machine has without it.
        devices: which GPUs count: those that this process may use (``CUDA_VISIBLE_DEVICES``), all, or the domains
            that are named (``["gpu-0"]``). The others are shown, and not added.
        attribution: whose energy counts: everything that runs on the machine, or of the processors and what belongs to
            them the part of this process and its children (``process``) or of its control group (``cgroup``), by CPU
            time. GPUs count as a whole.
        idle_s: how long the machine is watched at rest, now, before anything is measured, in seconds; then `Window.net`
            and ``print(window)`` tell the energy above that too. `rest` does so again at any time.
        synchronise: whether accelerator work that is under way is waited for at the edges of a window, through the
            frameworks that the program has already loaded.
        clock_ns: monotonic time in nanoseconds.
        places: where sensors are looked for; this machine without it.
        launched: a sampling process that was started ahead, see `default_meter`.

    Raises:
        UsageError: if two sensors name the same domain, a URL names no meter, `devices` a GPU that there is not, or
            `idle_s` is no duration.
        SensorUnavailable: if a sensor that was asked for by name or URL cannot be read; likewise `PermissionDenied`.
    """

    def __init__(
        self,
        sensors: Sequence[Sensor | str] | None = None,
        *,
        devices: Devices = "visible",
        attribution: Policy = "machine",
        idle_s: float = 0.0,
        synchronise: bool = True,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        places: Places | None = None,
        launched: Launched | None = None,
    ) -> None:
        if not 0 <= idle_s <= LONGEST_REST_S:
            raise UsageError(f"idle_s={idle_s!r} is out of range; give 0 to {LONGEST_REST_S:g} seconds.")
        self.refused: tuple[Refusal, ...] = ()
        self.session = os.urandom(4).hex()
        self._synchronise = synchronise
        self._cpu_scope = _scope_of(attribution)
        self._clock_ns = clock_ns
        self._places = places
        self._only, self._urls, given = _asked_for(sensors)
        self._host, self._edges, seen = self._found(launched) if given is None else self._given(given)
        self._refuse_missing()
        names = [domain.name for _, domain in seen]
        if len(set(names)) < len(names):
            raise UsageError("Two sensors name the same domain; give the meter only one of them.")
        selected = _selected(devices, [domain for _, domain in seen])
        self.domains = tuple(_domain_record(name, domain, domain.name in selected) for name, domain in seen)
        self._seen = {domain.name: domain for _, domain in seen}
        self._titles = seen
        self._origin_ns = clock_ns()
        self._count = 0
        self._pending: weakref.WeakSet[Window] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._anew = threading.Lock()
        self._next_anew_ns, self._times_anew = 0, 0
        self._beating = False
        self._ended = threading.Event()
        self._pid = os.getpid()
        self._rests: deque[Window] = deque(maxlen=RESTS)
        _meters.add(self)
        if idle_s:
            self.rest(idle_s)

    def _refuse_missing(self) -> None:
        """Raise the reason why a sensor that was asked for by name is not there."""
        asked = {*(self._only or ()), *(url.partition("://")[0] for url in self._urls)}
        for refusal in self.refused:
            if refusal.sensor in asked:
                self._host.close()
                if refusal.remedy:
                    raise PermissionDenied(f"{refusal.sensor}: {refusal.reason}", remedy=refusal.remedy)
                raise SensorUnavailable(f"{refusal.sensor}: {refusal.reason}")

    def _found(self, launched: Launched | None) -> tuple[Host, EdgeReader, list[tuple[str, Domain]]]:
        """Look for sensors in a process of its own; in this one if there can be none."""
        if self._clock_ns is not time.monotonic_ns:
            return self._found_here()
        from joulemark.sensors.discovery import Places, made

        places = self._places or Places()
        try:
            host = ProcessHost(launched or launch(order(self._places, self._only, self._urls)))
            host.discover()
        except OSError:
            return self._found_here()
        self.refused = host.refused
        prompt: list[tuple[Sensor, tuple[Domain, ...]]] = []
        seen = []
        for found in host.found:
            seen += [(found.name, domain) for domain in found.domains]
            mine = tuple(domain for domain in found.domains if domain not in found.followed)
            if mine:
                try:
                    prompt.append((made(found.point, places), mine))
                except SensorError as error:
                    self.refused += (Refusal(sensor=found.point, reason=str(error)),)
                    seen = [(name, domain) for name, domain in seen if domain not in mine]
        return host, EdgeReader(prompt, self._clock_ns), seen

    def _found_here(self) -> tuple[Host, EdgeReader, list[tuple[str, Domain]]]:
        from joulemark.sensors.discovery import discover

        found = discover(self._places, only=self._only, urls=self._urls, deadline_s=DISCOVERY_S)
        self.refused = found.refused
        return self._given(found.sensors)

    def _given(self, sensors: Sequence[Sensor]) -> tuple[Host, EdgeReader, list[tuple[str, Domain]]]:
        prompt, followed = [], []
        for sensor in sensors:
            quick = tuple(d for d in sensor.domains if is_quick(d))
            slow = tuple(d for d in sensor.domains if not is_quick(d))
            if quick:
                prompt.append((sensor, quick))
            if slow:
                followed.append((sensor, slow))
        host: Host
        if isinstance(self._clock_ns, SchedulingClock):
            host = SimulatedHost(followed, self._clock_ns)
        else:
            host = ThreadHost(followed, self._clock_ns)
        seen = [(sensor.name, domain) for sensor in sensors for domain in sensor.domains]
        return host, EdgeReader(prompt, self._clock_ns), seen

    def measure(self, label: str = "") -> Window:
        """Give a window to be used in a ``with`` statement, as a decorator, or with its `start` and `stop`."""
        return Window(self, label)

    def rest(self, seconds: float) -> Window:
        """Measure the machine at rest: wait that long and give the window, which `Window.net` will use.

        Raises:
            UsageError: if `seconds` is not more than 0.
        """
        if not seconds > 0:
            raise UsageError(f"A rest of {seconds:g} s is none; give more than 0 seconds.")
        with self.measure("idle") as window:
            if isinstance(self._clock_ns, SchedulingClock):
                self._clock_ns.sleep_until(self._clock_ns() + round(seconds * 1e9))
            else:
                time.sleep(seconds)
        self._rests.append(window)
        return window

    def _rests_around(self, window: Window) -> tuple[Window | None, Window | None]:
        """Give the last rest before a window and the first one after it, as far as there are any."""
        start_ns, end_ns = window._times_ns
        before = [rest for rest in self._rests if rest._times_ns[1] <= start_ns]
        after = [rest for rest in self._rests if rest._times_ns[0] >= end_ns]
        return (before[-1] if before else None, after[0] if after else None)

    @property
    def instrument(self) -> Instrument:
        """What measuring itself has cost so far: readings, and the CPU seconds that they took."""
        readings, cost_ns = self._host.cost()
        return Instrument(readings=readings + self._edges.readings, cpu_s=(cost_ns + self._edges.cost_ns) / 1e9)

    def machine(self, *, identify: bool = False) -> Machine:
        """Describe the machine for a record."""
        from joulemark.sensors.machine import describe_machine

        gpus = [(s, d) for s, d in self._titles if Component.GPU in d.components and not d.container and not d.parent]
        return describe_machine(
            gpus=tuple(str(d.parameters.get("model", d.name)) for _, d in gpus),
            gpu_driver=gpus[0][0] if gpus else "",
            identify=identify,
        )

    def close(self) -> None:
        """Stop sampling and close the sensors; windows that are closed can still be asked."""
        if self._ended.is_set():
            return
        for window in list(self._pending):
            window._work_out()
        self._ended.set()
        if self._pid == os.getpid():
            self._host.close()
        self._edges.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What windows use

    def _opened(self, window: Window) -> tuple[int, Mapping[str, Mark], Host, int, tuple[str, ...]]:
        """Open a window: when that was, where the counters stood, who follows the rest, its number, and notes."""
        notes = self._synchronised()
        if not self._beating:
            self._start_beating()
        if self._pid != os.getpid() or self._host.ended:
            with self._anew:
                self._sample_anew()
        now_ns, marks = self._edges.read()
        self._host.opened()
        with self._lock:
            self._count += 1
            number = self._count
        self._pending.add(window)
        return now_ns, marks, self._host, number, notes

    def _closed(self, host: Host) -> tuple[int, Mapping[str, Mark], tuple[str, ...]]:
        notes = self._synchronised()
        now_ns, marks = self._edges.read()
        host.closed()
        return now_ns, marks, notes

    def _synchronised(self) -> tuple[str, ...]:
        if not self._synchronise:
            return ()
        from joulemark.meter.synchronise import synchronise

        return synchronise()

    def _energies(
        self,
        host: Host,
        times_ns: tuple[int, int],
        marks: tuple[Mapping[str, Mark], Mapping[str, Mark]],
        edges: tuple[Mapping[str, Edge | SensorError], Mapping[str, Edge | SensorError]],
    ) -> tuple[DomainEnergy, ...]:
        """Give the energy of each domain between two moments."""
        found = []
        for name, domain in self._seen.items():
            if name in marks[0]:
                energy = self._edges.between(name, marks[0][name], marks[1][name])
                own = energy if isinstance(energy, SensorError) else DomainEnergy(domain=name, energy_j=energy)
            elif name in host.timelines:
                own = _stretch(host, name, edges[0].get(name), edges[1].get(name))
            else:
                own = SensorUnavailable(f"{name}: it is not there any more")
            if isinstance(own, DomainEnergy) and own.energy_j == 0 and domain.kind == "measured":
                # Nothing draws no energy: the window is shorter than an update, or the counter is stuck.
                period = f" (it is updated every {domain.accuracy.period_s:g} s)" if domain.accuracy.period_s else ""
                lasted = format_duration((times_ns[1] - times_ns[0]) / 1e9)
                own = SensorUnavailable(f"the counter did not move in {lasted}{period}")
            found.append(DomainEnergy(domain=name, unavailable=str(own)) if isinstance(own, SensorError) else own)
        return tuple(found)

    def _cpu_time(self) -> CpuTime | SensorError | None:
        """Read how much CPU time the scope has had, where it is asked for."""
        if self._cpu_scope is None or isinstance(self._cpu_scope, SensorError):
            return self._cpu_scope
        try:
            return self._cpu_scope.read()
        except SensorError as error:
            return error

    # Between edges

    def _start_beating(self) -> None:
        with self._lock:
            if self._beating:
                return
            self._beating = True
        interval_ns = round(SETTLE_S * 1e9)
        if self._edges.heartbeat_ns < NEVER_NS:
            interval_ns = min(self._edges.heartbeat_ns, round(RESET_WATCH_S * 1e9))
        if isinstance(self._clock_ns, SchedulingClock):
            _beat_on(self._clock_ns, weakref.ref(self), interval_ns)
        elif interval_ns < SETTLE_S * 1e9 or self._host.timelines:
            with contextlib.suppress(RuntimeError):  # no thread can be started any more: the program is about to end
                threading.Thread(
                    target=_beat,
                    args=(weakref.ref(self), self._ended, interval_ns / 1e9),
                    name="joulemark",
                    daemon=True,
                ).start()

    def _beat(self) -> None:
        """Keep counters from wrapping unseen, and work out what nobody has asked for yet."""
        if self._edges.heartbeat_ns < NEVER_NS and any(not window._closed for window in list(self._pending)):
            self._edges.read()
        settled_ns = self._clock_ns() - round(SETTLE_S * 1e9)
        for window in list(self._pending):
            window._note(settled_ns)

    # Forks

    def _forked(self) -> None:
        """Be ready for windows in a forked child: its threads are gone, and another thread may have held a lock."""
        self._lock, self._anew = threading.Lock(), threading.Lock()
        self._edges.forked()
        self._beating = False

    def _sample_anew(self) -> None:
        """Follow the sensors again: in a forked process, or after the end of the process that did."""
        if self._pid != os.getpid():
            self._pid, self._times_anew = os.getpid(), 0
            if isinstance(self._host, ThreadHost):
                self._host = self._host.again()
                return
        elif not self._host.ended or self._clock_ns() < self._next_anew_ns:
            return
        # A driver that ends its process again and again is tried more and more seldom.
        self._next_anew_ns = self._clock_ns() + (1_000_000_000 << self._times_anew)
        self._times_anew = min(self._times_anew + 1, 10)
        if isinstance(self._host, ProcessHost):
            with contextlib.suppress(OSError):
                host = ProcessHost(launch(order(self._places, self._only, self._urls)))
                host.discover()
                self._host = host


def _scope_of(policy: Policy) -> Scope | SensorError | None:
    if policy == "machine":
        return None
    from joulemark.meter.cpu_time import Cgroup, ProcessTree

    if policy not in {"process", "cgroup"}:
        raise UnknownName("attribution", policy, ["machine", "process", "cgroup"])
    try:
        return ProcessTree() if policy == "process" else Cgroup()
    except SensorError as error:
        return error


def _asked_for(
    sensors: Sequence[Sensor | str] | None,
) -> tuple[tuple[str, ...] | None, tuple[str, ...], tuple[Sensor, ...] | None]:
    """Tell names, URLs and objects apart."""
    if sensors is None:
        return None, (), None
    names = [sensor for sensor in sensors if isinstance(sensor, str)]
    objects = tuple(sensor for sensor in sensors if not isinstance(sensor, str))
    if names and objects:
        raise UsageError("Give the meter names of sensors or sensor objects, not both.")
    if not names:
        return None, (), objects
    urls = tuple(name for name in names if "://" in name)
    if urls:
        from joulemark.sensors.address import wall_address

        for url in urls:
            wall_address(url)
    only = tuple(name for name in names if "://" not in name)
    if only:
        from joulemark.sensors.discovery import GROUP
        from joulemark.sensors.points import entry_points

        known = [point.name for point in entry_points(GROUP)]
        for name in only:
            if name not in known:
                raise UnknownName("sensor", name, known, hint="See: joulemark doctor")
    return (only or None), urls, None


def _selected(devices: Devices, domains: Sequence[Domain]) -> set[str]:
    """Give the names of the domains that count as far as `devices` goes.

    Raises:
        UnknownName: if it names a device that there is not.
    """
    if devices == "all":
        return {domain.name for domain in domains}
    if devices == "visible":
        return {domain.name for domain in domains if domain.visible}
    gpus = [domain.name for domain in domains if Component.GPU in domain.components]
    for name in devices:
        if name not in gpus:
            raise UnknownName("device", name, gpus, hint="See: joulemark doctor")
    return {domain.name for domain in domains if Component.GPU not in domain.components or domain.name in devices}


def _stretch(
    host: Host, name: str, start: Edge | SensorError | None, end: Edge | SensorError | None
) -> DomainEnergy | SensorError:
    if not isinstance(start, Edge):
        return start or SensorUnavailable(f"{name}: it was not followed when the window was opened")
    if not isinstance(end, Edge):
        return end or SensorUnavailable(f"{name}: it was not followed when the window was closed")
    stretch = host.timelines[name].stretch(start, end)
    if isinstance(stretch, SensorError):
        return stretch
    return DomainEnergy(domain=name, energy_j=stretch.energy_j, edges_j=stretch.edges_j, sampling_j=stretch.sampling_j)


def _domain_record(sensor: str, domain: Domain, selected: bool) -> DomainRecord:
    return DomainRecord(
        name=domain.name,
        components=tuple(sorted(domain.components)),
        sensor=sensor,
        kind=domain.kind,
        accuracy=domain.accuracy,
        # An antichain of the containment tree: nothing that lies in another domain, and no container beside its parts.
        counted=domain.parent is None and not domain.container and selected,
        selected=selected,
        parent=domain.parent,
        # Numbers as floats, as they come back from a file: an error is named after them and must keep its name.
        parameters={k: v if isinstance(v, str) else float(v) for k, v in domain.parameters.items()},
    )


def _beat(meter: weakref.ref[Meter], ended: threading.Event, interval_s: float) -> None:
    while not ended.wait(interval_s):
        alive = meter()
        if alive is None:
            return
        alive._beat()
        del alive


def _beat_on(clock: SchedulingClock, meter: weakref.ref[Meter], interval_ns: int) -> None:
    def beat() -> None:
        alive = meter()
        if alive is not None and not alive._ended.is_set():
            alive._beat()
            clock.schedule(clock() + interval_ns, beat)

    clock.schedule(clock() + interval_ns, beat)


_meters: weakref.WeakSet[Meter] = weakref.WeakSet()
_default: Meter | None = None
_default_lock = threading.Lock()


def default_meter(launched: Launched | None = None) -> Meter:
    """Give the meter that `joulemark.measure` uses: all sensors of this machine, made at its first use.

    Args:
        launched: a sampling process that was started while this module was still being loaded.
    """
    global _default
    with _default_lock:
        if _default is None:
            _default = Meter(launched=launched)
        elif launched is not None:  # two threads at once
            ProcessHost(launched).close()
        return _default


def _after_fork() -> None:
    global _default_lock
    _default_lock = threading.Lock()
    for meter in list(_meters):
        meter._forked()


@atexit.register
def _at_exit() -> None:
    for meter in list(_meters):
        if meter._pid == os.getpid():
            with contextlib.suppress(Exception):  # a sensor's own code; the program is to end as without us
                meter._host.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
