"""The processor's energy through perf_event and its registers, for the contract suite."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from joulemark.sensors.msr import MsrSensor
from joulemark.sensors.perf import PerfSensor
from tests.contract.case import Case
from tests.simulated.msr import AMD_PACKAGE, AMD_UNITS, INTEL_REGISTERS, INTEL_UNITS, MsrDevices, topology
from tests.simulated.perf import PowerPmu
from tests.simulated.procfs import Procfs

__all__ = ["CASES"]

SOCKETS = {0: (0, 0), 1: (0, 0), 2: (1, 0), 3: (1, 0)}
# A unit of 2^-22 J, so that 2^32 steps, 1,024 J, pass in the suite's 20 s. The domains' ranges are told by the sensor.
FINE_UNIT = 22


def _perf(request: pytest.FixtureRequest, root: Path) -> Case:
    pmu = PowerPmu(root)
    request.addfinalizer(pmu.close)
    powers_w = {"energy-pkg": 100.0, "energy-cores": 60.0, "energy-gpu": 5.0, "energy-ram": 10.0, "energy-psys": 220.0}

    def flow(seconds: float) -> None:
        for event, power_w in powers_w.items():
            for cpu in (0, 2):
                pmu.flow(event, power_w * seconds, cpu=cpu)

    sensor = PerfSensor(pmu.sysfs, pmu.procfs, opener=pmu.open_event)
    request.addfinalizer(sensor.close)
    return Case(sensor, flow, pmu.stop_counting)


def _intel(request: pytest.FixtureRequest, root: Path) -> Case:
    powers_w = {"package": 100.0, "core": 60.0, "uncore": 5.0, "dram": 10.0, "psys": 220.0}
    return _msr(request, root, {INTEL_REGISTERS[kind]: power_w for kind, power_w in powers_w.items()}, INTEL_UNITS)


def _amd(request: pytest.FixtureRequest, root: Path) -> Case:
    return _msr(request, root, {AMD_PACKAGE: 140.0}, AMD_UNITS, vendor="AuthenticAMD", family=25)


def _msr(
    request: pytest.FixtureRequest,
    root: Path,
    powers_w: Mapping[int, float],
    units: int,
    *,
    vendor: str = "GenuineIntel",
    family: int = 6,
) -> Case:
    Procfs(root / "proc", vendor=vendor, family=family, model=0x9E)
    topology(root / "sys", SOCKETS)
    devices = MsrDevices(root / "dev", *SOCKETS)
    devices.put(units, FINE_UNIT << 8, *SOCKETS)

    def flow(seconds: float) -> None:
        for register, power_w in powers_w.items():
            for cpus in ((0, 1), (2, 3)):
                devices.flow(register, round(power_w * seconds * 2**FINE_UNIT), *cpus)

    for register in powers_w:
        devices.put(register, 1, *SOCKETS)
    sensor = MsrSensor(root / "dev", root / "sys", root / "proc", read_at=devices.read_at)
    request.addfinalizer(sensor.close)
    return Case(sensor, flow, lambda: setattr(devices, "failing", True))


CASES: Mapping[str, Callable[[pytest.FixtureRequest, Path], Case]] = {
    "perf": _perf,
    "msr-intel": _intel,
    "msr-amd": _amd,
}
