"""Which sensors this machine has, which are used, and why the others are not."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from joulemark.boundary import Component
from joulemark.errors import JoulemarkError, PermissionDenied
from joulemark.readings import Refusal
from joulemark.sensors.seam import Domain, Sensor

__all__ = ["Discovery", "Places", "discover"]

GROUP = "joulemark.sensors"


@dataclass(frozen=True, slots=True)
class Places:
    """Where to look; a test gives a recorded tree."""

    sysfs: Path = Path("/sys")
    procfs: Path = Path("/proc")


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found.

    Attributes:
        sensors: those to be read. No part is measured twice, and no component both measured and modelled.
        refused: those that were looked for and are not used, each with its reason.
    """

    sensors: tuple[Sensor, ...]
    refused: tuple[Refusal, ...]

    def close(self) -> None:
        """Close every sensor."""
        for sensor in self.sensors:
            sensor.close()


SensorFactory = Callable[[Places], Sensor]


def discover(places: Places | None = None, *, only: Iterable[str] | None = None) -> Discovery:
    """Look for sensors, measured ones first, then models for what is left.

    Sensors register under the entry-point group ``joulemark.sensors`` as a callable that takes `Places` and gives a
    `Sensor` or raises a `SensorError`; the built-in ones register in the same way.

    Args:
        places: where to look; this machine without it.
        only: names of entry points to try; all without it.
    """
    places = places or Places()
    wanted = None if only is None else set(only)
    found: list[tuple[str, Sensor]] = []
    refused: list[Refusal] = []
    for point in sorted(entry_points(group=GROUP), key=lambda p: p.name):
        if wanted is not None and point.name not in wanted:
            continue
        try:
            found.append((point.name, _made(point, places)))
        except JoulemarkError as error:
            remedy = error.remedy if isinstance(error, PermissionDenied) else ""
            refused.append(Refusal(sensor=point.name, reason=str(error), remedy=remedy))
        except Exception as error:  # noqa: BLE001 - a plug-in is foreign code and may fail in any way; it is named
            refused.append(Refusal(sensor=point.name, reason=f"broken plug-in: {error!r}"))
    return _without_double_cover(found, refused)


def _made(point: EntryPoint, places: Places) -> Sensor:
    factory: SensorFactory = point.load()
    sensor = factory(places)
    if not isinstance(sensor, Sensor):
        raise TypeError(f"{point.value} gives no Sensor")
    return sensor


def _without_double_cover(found: list[tuple[str, Sensor]], refused: list[Refusal]) -> Discovery:
    """Drop every sensor that measures what one before it does, and every model of something that is measured."""
    things: dict[str, str] = {}
    measured: dict[Component, str] = {}
    twice: dict[str, dict[str, str]] = {}
    for name, sensor in found:
        mine = {_thing(domain) for domain in sensor.domains if domain.kind == "measured"}
        if again := mine & things.keys():
            twice[name] = {thing: things[thing] for thing in again}
            continue
        things.update(dict.fromkeys(mine, name))
        for domain in sensor.domains:
            if domain.kind == "measured" and not domain.container and domain.parent is None:
                measured.update(dict.fromkeys(domain.components, name))
    used: list[Sensor] = []
    for name, sensor in found:
        covered = twice.get(name) or {
            component.value: measured[component]
            for domain in sensor.domains
            if domain.kind == "modelled"
            for component in domain.components
            if component in measured
        }
        if not covered:
            used.append(sensor)
            continue
        with contextlib.closing(sensor):
            by = ", ".join(f"{what} is measured by {who}" for what, who in sorted(covered.items()))
            refused.append(Refusal(sensor=name, reason=f"not needed: {by}"))
    return Discovery(tuple(used), tuple(refused))


def _thing(domain: Domain) -> str:
    """Name what a domain lies in: one die or part of a socket (``cpu-0-die-1``, ``cpu-0/core``) is ``cpu-0``."""
    numbered = re.match(r"[a-z]+-\d+", domain.name)
    return numbered[0] if numbered else domain.name


def rapl(places: Places) -> Sensor:
    """Entry point of the powercap sensor."""
    from joulemark.sensors.rapl import RaplSensor

    return RaplSensor(places.sysfs)


def nvml(places: Places) -> Sensor:
    """Entry point of the NVIDIA sensor."""
    from joulemark.sensors.nvml import NvmlSensor

    return NvmlSensor()


def hwmon(places: Places) -> Sensor:
    """Entry point of the sensor of Linux hwmon drivers."""
    from joulemark.sensors.hwmon import HwmonSensor

    return HwmonSensor(places.sysfs)


def battery(places: Places) -> Sensor:
    """Entry point of the battery's sensor."""
    from joulemark.sensors.battery import BatterySensor

    return BatterySensor(places.sysfs)


def cpu_load(places: Places) -> Sensor:
    """Entry point of the processor's load model."""
    from joulemark.sensors.load_models import CpuLoadModel

    return CpuLoadModel(places.procfs)


def dram_size(places: Places) -> Sensor:
    """Entry point of the memory's size model."""
    from joulemark.sensors.load_models import DramModel

    return DramModel(places.procfs)
