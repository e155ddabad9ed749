"""GPU sensors for the contract suite: NVIDIA with parts, AMD, Apple silicon."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from joulemark.sensors.amd import AmdSmiSensor
from joulemark.sensors.apple import AppleSensor
from joulemark.sensors.nvml import NvmlSensor
from tests.contract.case import Case
from tests.simulated import FakeNvml
from tests.simulated.amdsmi import FakeAmdSmi, FakeCard
from tests.simulated.apple import FakeZeusAppleSilicon

__all__ = ["CASES"]

FAULT_S = 60.0
IO_ERROR = (12, "AMDSMI_STATUS_IO - I/O Error")


def _nothing(seconds: float) -> None:
    """The device has a clock of its own."""


def _nvml_module(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    """A Grace Hopper: a counter, its memory and the module that contains it."""
    driver: FakeNvml = request.getfixturevalue("fake_nvml")
    driver.install(
        300,
        swing_w=50,
        period_s=3,
        faults=f"lost=0@{FAULT_S}",
        chip="9.0",
        name="NVIDIA GH200 480GB",
        limit_w="450,1000",
        memory_w="60",
        module_w="550",
    )
    case = Case(NvmlSensor({}), _nothing, lambda: driver.set_now(FAULT_S))
    case.flow = lambda _: driver.set_now(case.now_s)
    return case


def _nvml_part_time(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    """A board without a counter, whose gauge shows 25 of every 100 ms."""
    driver: FakeNvml = request.getfixturevalue("fake_nvml")
    driver.install(
        300,
        swing_w=50,
        period_s=3,
        faults=f"no-counter lost=0@{FAULT_S}",
        chip="8.0",
        gauge_s="0.1,0.025",
    )
    case = Case(NvmlSensor({}), _nothing, lambda: driver.set_now(FAULT_S))
    case.flow = lambda _: driver.set_now(case.now_s)
    return case


def _amd(tmp_path: Path, *cards: FakeCard) -> Case:
    smi = FakeAmdSmi(list(cards))
    (tmp_path / "module" / "amdgpu").mkdir(parents=True)

    def flow(seconds: float) -> None:
        smi.now_s += seconds

    def fail() -> None:
        for card in smi.cards:
            card.error = IO_ERROR

    return Case(AmdSmiSensor(tmp_path, {}, importer=lambda name: smi), flow, fail)


def _amd_counter(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    return _amd(tmp_path, FakeCard(500), FakeCard(120))


def _amd_gauge(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    return _amd(tmp_path, FakeCard(250, model="AMD Radeon RX 7900 XTX", chip="gfx1100"))


def _apple(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    package = FakeZeusAppleSilicon()

    def flow(seconds: float) -> None:
        package.now_s += seconds

    def fail() -> None:
        package.error = RuntimeError("Failed to convert CFString to std::string")

    sensor = AppleSensor(("darwin", "arm64"), importer=lambda name: package, chip=lambda: "Apple M1 Max")
    return Case(sensor, flow, fail)


CASES: dict[str, Callable[[pytest.FixtureRequest, Path], Case]] = {
    "nvml-module": _nvml_module,
    "nvml-part-time": _nvml_part_time,
    "amd-counter": _amd_counter,
    "amd-gauge": _amd_gauge,
    "apple": _apple,
}
