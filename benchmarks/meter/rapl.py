"""Machines of several RAPL domains, through the real `RaplSensor` over a powercap tree on disk.

Each trial is a window of 10 s over one machine whose counters show the truth: what is off, the meter has put off.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.meter.trials import Outcome, of_figure
from joulemark import Meter
from joulemark.errors import SensorError
from joulemark.sensors.rapl import RaplSensor
from joulemark.testing import (
    Fault,
    Lost,
    Reset,
    SimulatedClock,
    SimulatedDevice,
    Trace,
    bursts,
    constant,
    presets,
    square,
)

__all__ = ["MACHINES", "PowercapMachine", "run_machine"]

LENGTH_S = 10.0
FAILING = Path("/proc/self/mem")
"""A file whose reads fail with EIO, for everybody (proc(5): nothing is mapped at 0)."""


@dataclass(frozen=True, slots=True)
class PowercapMachine:
    """What a powercap tree shows.

    Attributes:
        zones: traces by zone: ``intel-rapl:0``, a sub-zone ``intel-rapl:0:0``.
        titles: their names, such as ``package-0``.
        counted: the zones that make up the machine: each joule once.
        mirrors: zones that show another one's counter.
        range_uj: where the counters wrap.
        fault: see `run_machine`.
    """

    zones: Mapping[str, Trace]
    titles: Mapping[str, str]
    counted: tuple[str, ...]
    mirrors: Mapping[str, str] = field(default_factory=dict)
    range_uj: int = presets.PACKAGE_WRAP_UJ
    fault: str = ""


_ONE, _TWO, _MEMORY = square(20, 90, 0.4), bursts(30, 150, 4.68), constant(12)
_PACKAGES = {"intel-rapl:0": _ONE, "intel-rapl:1": _TWO}
_TITLES = {"intel-rapl:0": "package-0", "intel-rapl:1": "package-1"}
_TWO_PACKAGES = PowercapMachine(_PACKAGES, _TITLES, tuple(_PACKAGES))

MACHINES: Mapping[str, PowercapMachine] = {
    "psys, packages, cores and memory": PowercapMachine(
        zones={
            **_PACKAGES,
            "intel-rapl:0:0": 0.7 * _ONE,
            "intel-rapl:0:1": _MEMORY,
            "intel-rapl:2": _ONE + _TWO + _MEMORY + constant(25),
        },
        titles={**_TITLES, "intel-rapl:0:0": "core", "intel-rapl:0:1": "dram", "intel-rapl:2": "psys"},
        counted=("intel-rapl:0", "intel-rapl:1", "intel-rapl:0:1"),
    ),
    "dies that mirror their socket's counter": PowercapMachine(
        zones={"intel-rapl:0": _ONE, "intel-rapl:1": _ONE},
        titles={"intel-rapl:0": "package-0-die-0", "intel-rapl:1": "package-0-die-1"},
        counted=("intel-rapl:0",),
        mirrors={"intel-rapl:1": "intel-rapl:0"},
    ),
    "dies that have their own": PowercapMachine(
        zones=_PACKAGES,
        titles={"intel-rapl:0": "package-0-die-0", "intel-rapl:1": "package-0-die-1"},
        counted=tuple(_PACKAGES),
    ),
    "one wrap, 1 ms before the end": replace(_TWO_PACKAGES, fault="wrap"),
    "several wraps (a range of 200 J)": replace(_TWO_PACKAGES, range_uj=200_000_000),
    "reads that fail for a second": replace(_TWO_PACKAGES, fault="lost"),
    "reads that fail at the end": replace(_TWO_PACKAGES, fault="lost at the end"),
    "reset": replace(_TWO_PACKAGES, fault="reset"),
}


class _Tree:
    """A sensor that writes down what its devices show before it is read."""

    name = "rapl powercap, simulated"

    def __init__(self, sysfs: Path, machine: PowercapMachine, devices: Mapping[str, SimulatedDevice], now_ns: int):
        self._folders = {zone: sysfs / "class" / "powercap" / zone for zone in machine.zones}
        self._devices = devices
        for zone, folder in self._folders.items():
            folder.mkdir(parents=True)
            (folder / "name").write_text(machine.titles[zone])
            (folder / "max_energy_range_uj").write_text(str(machine.range_uj))
        self._write(now_ns)
        self._sensor = RaplSensor(sysfs)
        self.domains = self._sensor.domains

    def _write(self, now_ns: int) -> None:
        for zone, folder in self._folders.items():
            shown = self._devices[zone].reading(now_ns)
            file = folder / "energy_uj"
            file.unlink(missing_ok=True)
            if isinstance(shown, SensorError):
                file.symlink_to(FAILING)
            else:
                file.write_text(f"{shown}\n")

    def read(self, now_ns: int) -> Mapping[str, int | SensorError]:
        """Read the tree as it is at `now_ns`."""
        self._write(now_ns)
        return self._sensor.read(now_ns)

    def close(self) -> None:
        """Nothing is held open."""


def run_machine(machine: PowercapMachine, trials: int, seed: int = 0) -> tuple[Outcome, ...]:
    """Give the outcomes of windows over machines of one kind, whose counters stand anywhere."""
    rng = random.Random(f"{machine.titles} {machine.fault} {seed}")  # noqa: S311 - no secret
    return tuple(_trial(machine, rng) for _ in range(trials))


def _trial(machine: PowercapMachine, rng: random.Random) -> Outcome:
    clock = SimulatedClock(start_s=rng.uniform(0, 100))
    start_s, end_s = clock.now_s, clock.now_s + LENGTH_S
    devices = {zone: _device(machine, zone, trace, start_s, end_s, rng) for zone, trace in machine.zones.items()}
    devices |= {zone: devices[shown] for zone, shown in machine.mirrors.items()}
    with tempfile.TemporaryDirectory() as folder:
        tree = _Tree(Path(folder), machine, devices, clock())
        with Meter([tree], clock_ns=clock, synchronise=False) as meter:
            with meter.measure() as window:
                clock.advance(LENGTH_S)
            truth_j = sum(machine.zones[zone].between_j(start_s, end_s) for zone in machine.counted)
            missing = window.energy.evidence.missing
            if missing:
                return Outcome(fault="; ".join(part.reason for part in missing))
            return of_figure(window.energy, truth_j)


def _device(
    machine: PowercapMachine, zone: str, trace: Trace, start_s: float, end_s: float, rng: random.Random
) -> SimulatedDevice:
    device = presets.rapl_package(zone, trace, wrap_uj=machine.range_uj, phase_s=rng.uniform(0, 1e-3))
    start_j = rng.uniform(0.0, machine.range_uj / 1e6)
    if machine.fault == "wrap":
        start_j = machine.range_uj / 1e6 - trace.between_j(0.0, end_s - 1e-3)
    faults: Mapping[str, tuple[Fault | Reset, ...]] = {
        "lost": (Lost(start_s + 3, start_s + 4),),
        "lost at the end": (Lost(start_s + 9),),
        "reset": (Reset(start_s + 5),),
    }
    broken = faults.get(machine.fault, ()) if zone == "intel-rapl:0" else ()
    return replace(device, start_j=max(0.0, start_j), faults=broken)
