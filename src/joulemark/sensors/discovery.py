"""Which sensors this machine has, which are used, and why the others are not."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from joulemark.boundary import Component
from joulemark.errors import JoulemarkError, PermissionDenied, SensorError, SensorUnavailable
from joulemark.readings import Refusal
from joulemark.sensors.points import Point, entry_points
from joulemark.sensors.seam import Domain, PartialSensor, Sensor

__all__ = ["Discovery", "Places", "discover", "made"]

GROUP = "joulemark.sensors"
PREFERRED = ("rapl", "perf", "nvml", "amd", "apple", "hwmon", "msr", "battery", "ipmi")
"""Of two sensors that show the same thing, the one that comes first here is used; plug-ins come after them."""
LAST = ("cpu-load", "dram-size")
"""Models of what nothing else covers; a plug-in goes first."""


STALLED_S = 0.5
"""A sensor that takes longer than this to be made is no longer waited for before the next one is tried."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where to look; a test gives a recorded tree."""

    sysfs: Path = Path("/sys")
    procfs: Path = Path("/proc")
    devfs: Path = Path("/dev")


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found.

    Attributes:
        sensors: those to be read. No part is measured twice, and no component both measured and modelled.
        refused: those that were looked for and are not used, each with its reason.
        points: for each sensor the name of its entry point, or its URL.
    """

    sensors: tuple[Sensor, ...]
    refused: tuple[Refusal, ...]
    points: tuple[str, ...] = ()

    def close(self) -> None:
        """Close every sensor."""
        for sensor in self.sensors:
            sensor.close()


def discover(
    places: Places | None = None,
    *,
    only: Iterable[str] | None = None,
    urls: Sequence[str] = (),
    deadline_s: float | None = None,
) -> Discovery:
    """Look for sensors, measured ones first, then models for what is left.

    Sensors register under the entry-point group ``joulemark.sensors`` as a callable that takes `Places` and gives a
    `Sensor` or raises a `SensorError`; the built-in ones register in the same way.

    Args:
        places: where to look; this machine without it.
        only: names of entry points to try; all without it.
        urls: whole-machine meters to read besides, before all others; see `joulemark.sensors.address.wall_sensor`.
        deadline_s: time that all of them have together; without it, each takes as long as it takes.
    """
    places = places or Places()
    wanted = None if only is None else set(only)
    points = sorted((p for p in entry_points(GROUP) if wanted is None or p.name in wanted), key=_preference)
    attempts = [_Attempt(url, _kind(url), partial(_wall, url)) for url in urls]
    attempts += [_Attempt(point.name, point.name, partial(_made, point, places)) for point in points]
    _run(attempts, deadline_s)
    return _without_double_cover(attempts)


def made(point: str, places: Places) -> Sensor:
    """Make one sensor.

    Args:
        point: the name of its entry point, or its URL, as `Discovery.points` has it.
        places: where to look.

    Raises:
        SensorError: if it cannot be read here (`SensorUnavailable` if there is none of that name).
        UsageError: if it is a URL that names no meter.
    """
    if "://" in point:
        return _wall(point)
    for registered in entry_points(GROUP):
        if registered.name == point:
            return _made(registered, places)
    raise SensorUnavailable(f"There is no sensor {point!r}.")


def _preference(point: Point) -> tuple[int, str]:
    ranks = {name: rank for rank, name in enumerate(PREFERRED)}
    ranks |= dict.fromkeys(LAST, len(PREFERRED) + 1)
    return ranks.get(point.name, len(PREFERRED)), point.name


def _kind(url: str) -> str:
    """Give what a URL is called in reasons, which end up in records: no address and no password."""
    return url.partition("://")[0] if "://" in url else "wall meter"


class _Attempt:
    """Tries to make one sensor; what goes wrong becomes its refusal.

    Args:
        point: the name of its entry point, or its URL.
        name: what reasons call it.
        make: makes it.
    """

    def __init__(self, point: str, name: str, make: Callable[[], Sensor]) -> None:
        self.point, self.name = point, name
        self.sensor: Sensor | None = None
        self.refusal: Refusal | None = None
        self._make = make
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._begun = threading.Lock()

    def claim(self) -> bool:
        """Tell the first who asks that nobody else has begun with it."""
        return self._begun.acquire(blocking=False)

    def over_within(self, seconds: float) -> bool:
        """Wait for some time; tell whether it is over."""
        return self._over.wait(max(0.0, seconds))

    def run(self) -> None:
        """Try; a sensor that comes after it was given up is closed again."""
        made = self._tried()
        with self._lock:
            late = self.refusal is not None
            if isinstance(made, Refusal):
                self.refusal = self.refusal or made
            elif not late:
                self.sensor = made
        self._over.set()
        if late and not isinstance(made, Refusal):
            made.close()

    def wait(self, until_s: float, reason: str) -> None:
        """Wait until it is over, or give it up for a reason."""
        self._over.wait(max(0.0, until_s - time.monotonic()))
        with self._lock:
            if self.sensor is None and self.refusal is None:
                self.refusal = Refusal(sensor=self.name, reason=reason)

    def _tried(self) -> Sensor | Refusal:
        try:
            return self._make()
        except JoulemarkError as error:
            remedy = error.remedy if isinstance(error, PermissionDenied) else ""
            return Refusal(sensor=self.name, reason=str(error).replace(self.point, self.name), remedy=remedy)
        except Exception as error:  # noqa: BLE001 - a plug-in is foreign code and may fail in any way; it is named
            return Refusal(sensor=self.name, reason=f"broken plug-in: {error!r}")


def _run(attempts: Sequence[_Attempt], deadline_s: float | None) -> None:
    """Make the sensors, each for as long as it takes, or where time is limited none for longer than that."""
    if deadline_s is None:
        for attempt in attempts:
            attempt.run()
        return
    # One after the other in one thread, which is quickest; those behind one that hangs get another thread.
    end_s = time.monotonic() + deadline_s
    waiting = list(attempts)
    while waiting:
        threading.Thread(target=_try_all, args=(tuple(waiting),), name="joulemark-discovery", daemon=True).start()
        while waiting and waiting[0].over_within(min(STALLED_S, end_s - time.monotonic())):
            waiting.pop(0)
        waiting = waiting[1:]
    for attempt in attempts:
        attempt.wait(end_s, f"it did not answer within {deadline_s:g} s")


def _try_all(attempts: Sequence[_Attempt]) -> None:
    for attempt in attempts:
        if attempt.claim():
            attempt.run()


def _made(point: Point, places: Places) -> Sensor:
    factory = point.load()
    sensor = factory(places) if callable(factory) else None
    if not isinstance(sensor, Sensor):
        raise TypeError(f"{point.value} gives no Sensor")
    return sensor


def _wall(url: str) -> Sensor:
    from joulemark.sensors.address import wall_sensor

    return wall_sensor(url)


def _without_double_cover(attempts: Sequence[_Attempt]) -> Discovery:
    """Leave out every domain that a sensor before it shows, and every model of something that is covered already."""
    refused = [attempt.refusal for attempt in attempts if attempt.refusal is not None]
    found = [(attempt, attempt.sensor) for attempt in attempts if attempt.sensor is not None]
    used: list[tuple[str, Sensor]] = []
    covered: dict[Component, str] = {}
    things: dict[str, str] = {}
    for attempt, sensor in found:
        if _models(sensor):
            continue
        twice = {thing: things[thing] for thing in map(_thing, sensor.domains) if thing in things}
        kept = tuple(domain for domain in sensor.domains if _thing(domain) not in twice)
        things |= {_thing(domain): f"measured by {attempt.name}" for domain in kept}
        covered |= dict.fromkeys(_counted(kept), f"measured by {attempt.name}")
        if twice:
            refused.append(_not_needed(attempt.name, twice))
        if kept:
            used.append((attempt.point, _selected(sensor, kept) if twice else sensor))
        else:
            sensor.close()
    for attempt, sensor in found:
        if not _models(sensor):
            continue
        components = set(_counted(sensor.domains))
        if already := {component.value: covered[component] for component in components & covered.keys()}:
            with contextlib.closing(sensor):
                refused.append(_not_needed(attempt.name, already))
        else:
            covered |= dict.fromkeys(components, f"modelled by {attempt.name}")
            used.append((attempt.point, sensor))
    return Discovery(tuple(s for _, s in used), tuple(refused), tuple(point for point, _ in used))


def _models(sensor: Sensor) -> bool:
    return any(domain.kind == "modelled" for domain in sensor.domains)


def _counted(domains: Iterable[Domain]) -> Iterator[Component]:
    """Give what these domains cover of the machine's total."""
    for domain in domains:
        if not domain.container and domain.parent is None:
            yield from domain.components


def _not_needed(name: str, covered: Mapping[str, str]) -> Refusal:
    by = ", ".join(f"{what} is {how}" for what, how in sorted(covered.items()))
    return Refusal(sensor=name, reason=f"not needed: {by}")


def _thing(domain: Domain) -> str:
    """Name what a domain lies in: one die or part of a socket (``cpu-0-die-1``, ``cpu-0/core``) is ``cpu-0``.

    All cards of AMD are one thing: `HwmonSensor` counts them in another way than AMD SMI, which counts partitions and
    dies as well, so that the same number need not be the same card.
    """
    if domain.name.startswith("gpu-amd-"):
        return "gpu-amd"
    numbered = re.match(r"[a-z-]+-\d+", domain.name)
    return numbered[0] if numbered else domain.name.partition("/")[0]


def _selected(sensor: Sensor, domains: tuple[Domain, ...]) -> Sensor:
    return _PartlySelected(sensor, domains) if isinstance(sensor, PartialSensor) else _Selected(sensor, domains)


class _Selected:
    """Some domains of a sensor, which is read as a whole."""

    def __init__(self, sensor: Sensor, domains: tuple[Domain, ...]) -> None:
        self.name = sensor.name
        self.domains = domains
        self._sensor = sensor

    def read(self, now_ns: int) -> Mapping[str, int | SensorError]:
        """Read all and give these; one that the sensor leaves out stays left out."""
        readings = self._sensor.read(now_ns)
        return {domain.name: readings[domain.name] for domain in self.domains if domain.name in readings}

    def close(self) -> None:
        """Close the sensor."""
        self._sensor.close()


class _PartlySelected(_Selected):
    """Some domains of a sensor that can be read one by one: the others are left alone."""

    _sensor: PartialSensor

    def __init__(self, sensor: PartialSensor, domains: tuple[Domain, ...]) -> None:
        super().__init__(sensor, domains)

    def read(self, now_ns: int) -> Mapping[str, int | SensorError]:
        """Read these."""
        return {domain.name: self._sensor.read_domain(domain.name, now_ns) for domain in self.domains}

    def read_domain(self, name: str, now_ns: int) -> int | SensorError:
        """Read one of them."""
        return self._sensor.read_domain(name, now_ns)


def rapl(places: Places) -> Sensor:
    """Entry point of the powercap sensor."""
    from joulemark.sensors.rapl import RaplSensor

    return RaplSensor(places.sysfs)


def perf(places: Places) -> Sensor:
    """Entry point of the perf_event sensor."""
    from joulemark.sensors.perf import PerfSensor

    return PerfSensor(places.sysfs, places.procfs)


def msr(places: Places) -> Sensor:
    """Entry point of the sensor of the processor's registers."""
    from joulemark.sensors.msr import MsrSensor

    return MsrSensor(places.devfs, places.sysfs, places.procfs)


def nvml(places: Places) -> Sensor:
    """Entry point of the NVIDIA sensor."""
    from joulemark.sensors.nvml import NvmlSensor

    return NvmlSensor(procfs=places.procfs)


def amd(places: Places) -> Sensor:
    """Entry point of the AMD sensor."""
    from joulemark.sensors.amd import AmdSmiSensor

    return AmdSmiSensor(places.sysfs)


def apple(places: Places) -> Sensor:
    """Entry point of the sensor of Apple silicon."""
    from joulemark.sensors.apple import AppleSensor

    return AppleSensor()


def hwmon(places: Places) -> Sensor:
    """Entry point of the sensor of Linux hwmon drivers."""
    from joulemark.sensors.hwmon import HwmonSensor

    return HwmonSensor(places.sysfs)


def battery(places: Places) -> Sensor:
    """Entry point of the battery's sensor."""
    from joulemark.sensors.battery import BatterySensor

    return BatterySensor(places.sysfs)


def ipmi(places: Places) -> Sensor:
    """Entry point of the management controller's sensor."""
    from joulemark.sensors.ipmi import IpmiSensor

    return IpmiSensor(dev=places.devfs)


def cpu_load(places: Places) -> Sensor:
    """Entry point of the processor's load model."""
    from joulemark.sensors.load_models import CpuLoadModel

    return CpuLoadModel(places.procfs)


def dram_size(places: Places) -> Sensor:
    """Entry point of the memory's size model."""
    from joulemark.sensors.load_models import DramModel

    return DramModel(places.procfs)
