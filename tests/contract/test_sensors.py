"""One suite over every sensor: what the seam promises."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal

import pytest

from joulemark.boundary import Component
from joulemark.errors import SensorError, SensorUnavailable
from joulemark.meter.counter import counter_step_uj
from joulemark.readings import Accuracy
from joulemark.sensors import Domain, PartialSensor, ReplaySensor, Sensor
from joulemark.sensors.battery import BatterySensor
from joulemark.sensors.hwmon import HwmonSensor
from joulemark.sensors.load_models import CpuLoadModel, DramModel
from joulemark.sensors.nvml import NvmlSensor
from joulemark.sensors.rapl import RaplSensor
from joulemark.testing import Lost, SimulatedDevice, SimulatedSensor, constant, ramp, square
from tests.contract import cases_cpu, cases_gpu, cases_machine
from tests.contract.case import Case
from tests.simulated import FakeNvml, PowercapTree, Procfs, fake_nvml, nvml_library
from tests.simulated.hwmon import JETSON_NX, HwmonTree, PowerSupplyTree, fail, put

__all__ = ["fake_nvml", "nvml_library"]

MOST_MS = 5.0
MOST_ASKED_MS = 200.0
"""Where a process is started or another device is asked; such a sensor is no part of a window's edges."""
FAULT_S = 60.0

Build = Callable[[pytest.FixtureRequest, Path], Case]


def _nothing(seconds: float) -> None:
    """A model of time alone, a device with its own clock, or a gauge that stands still."""


def _cannot_fail() -> None:
    raise AssertionError("nothing of this sensor can fail")


def _rapl(request: pytest.FixtureRequest, root: Path) -> Case:
    tree = PowercapTree(root, range_uj=1_500_000_000)
    zones = {"package-0": 100.0, "package-0/core": 60.0, "package-0/dram": 10.0, "package-1": 80.0, "psys": 220.0}

    def fail() -> None:
        for zone in ("package-0", "package-0/core", "package-0/dram", "package-1", "psys"):
            tree.fail(zone)
        for zone in ("package-1/core", "package-1/dram"):
            tree.fail(zone)

    return Case(RaplSensor(root), lambda s: tree.flow({zone: p * s for zone, p in zones.items()}), fail)


def _nvml(words: str) -> Build:
    def build(request: pytest.FixtureRequest, root: Path) -> Case:
        driver: FakeNvml = request.getfixturevalue("fake_nvml")
        driver.install(100, 200, swing_w=50, period_s=3, faults=f"{words} lost=0@{FAULT_S} lost=1@{FAULT_S}".strip())
        case = Case(NvmlSensor(), _nothing, lambda: driver.set_now(FAULT_S))
        case.flow = lambda _: driver.set_now(case.now_s)
        return case

    return build


def _hwmon_counters(request: pytest.FixtureRequest, root: Path) -> Case:
    tree = HwmonTree(root)
    epyc = tree.epyc(77_000_000, 91_000_000)
    arc = tree.chip("i915", {"energy1_input": 5_000_000}, device="pci/0000:04:00.0", number="0x56a0")
    counters = {epyc / "energy3_input": 120.0, epyc / "energy4_input": 90.0, arc / "energy1_input": 150.0}

    def flow(seconds: float) -> None:
        for file, power_w in counters.items():
            put(file, int(file.read_text()) + round(power_w * seconds * 1e6))

    return Case(HwmonSensor(root), flow, lambda: _fail_all(counters))


def _hwmon_gauges(request: pytest.FixtureRequest, root: Path) -> Case:
    tree = HwmonTree(root)
    radeon = tree.chip("amdgpu", {"power1_average": 180_000_000}, device="pci/0000:03:00.0", number="0x744c")
    jetson = tree.chip("ina3221", {**JETSON_NX, "curr3_input": 2500})
    gauges = [radeon / "power1_average", *tree.grace().values(), *(jetson / f"in{n}_input" for n in (1, 2, 3))]
    return Case(HwmonSensor(root), _nothing, lambda: _fail_all(gauges))


def _fail_all(files: Iterable[Path]) -> None:
    for file in files:
        fail(file)


def _battery(request: pytest.FixtureRequest, root: Path) -> Case:
    tree = PowerSupplyTree(root)
    return Case(BatterySensor(root), _nothing, lambda: put(tree.mains / "online", 1))


def _cpu_load(request: pytest.FixtureRequest, root: Path) -> Case:
    procfs = Procfs(root)
    return Case(
        CpuLoadModel(root), lambda s: procfs.spend(user=1.5 * s, idle=2.5 * s), lambda: (root / "stat").unlink()
    )


def _dram_size(request: pytest.FixtureRequest, root: Path) -> Case:
    return Case(DramModel(Procfs(root).root), flow=_nothing, fail=_cannot_fail)


def _domain(
    name: str, component: Component, *, reading: Literal["counter", "gauge"] = "counter", wrap_uj: int | None = None
) -> Domain:
    return Domain(
        name=name,
        components=frozenset({component}),
        kind="measured",
        reading=reading,
        accuracy=Accuracy(gain=0.02, period_s=0.1),
        wrap_uj=wrap_uj,
    )


def _simulated(request: pytest.FixtureRequest, root: Path) -> Case:
    traced = [
        (_domain("cpu-0", Component.CPU, wrap_uj=1_500_000_000), constant(90)),
        (_domain("gpu-0", Component.GPU), ramp(0, 400, 7)),
        (_domain("gpu-1", Component.GPU, reading="gauge"), square(60, 400, 1.7)),
    ]
    devices = [SimulatedDevice.as_stated(domain, trace, faults=[Lost(FAULT_S)]) for domain, trace in traced]
    case = Case(SimulatedSensor(devices), _nothing, _nothing_yet)
    case.fail = lambda: setattr(case, "now_s", FAULT_S)
    return case


def _nothing_yet() -> None:
    raise AssertionError("set by its builder")


def _replay(request: pytest.FixtureRequest, root: Path) -> Case:
    domain = _domain("gpu-0", Component.GPU)
    error = SensorUnavailable("it was lost in the recording")
    readings = [(round(s * 1e9), {"gpu-0": round(s * 100e6)}) for s in range(int(FAULT_S))]
    case = Case(ReplaySensor([domain], [*readings, (round(FAULT_S * 1e9), {"gpu-0": error})]), _nothing, _nothing_yet)
    case.fail = lambda: setattr(case, "now_s", FAULT_S)
    return case


SHIPPED: Mapping[str, Build] = {
    "rapl": _rapl,
    **cases_cpu.CASES,
    "nvml-counter": _nvml(""),
    "nvml-gauge": _nvml("no-counter"),
    **cases_gpu.CASES,
    "hwmon-counters": _hwmon_counters,
    "hwmon-gauges": _hwmon_gauges,
    "battery": _battery,
    **cases_machine.CASES,
    "cpu-load": _cpu_load,
    "dram-size": _dram_size,
}
TEST_DOUBLES: Mapping[str, Build] = {"simulated": _simulated, "replay": _replay}
EVERY: Mapping[str, Build] = {**SHIPPED, **TEST_DOUBLES}


@pytest.fixture
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    return EVERY[request.param](request, tmp_path)


every_sensor = pytest.mark.parametrize("case", EVERY, indirect=True)
# The size of the memory is read once, so that this model has nothing left that could fail.
every_that_can_fail = pytest.mark.parametrize("case", [name for name in EVERY if name != "dram-size"], indirect=True)


@every_sensor
def test_it_is_a_sensor_whose_domains_have_unique_names_and_cover_something(case: Case) -> None:
    assert isinstance(case.sensor, Sensor)
    assert case.sensor.name
    names = [d.name for d in case.sensor.domains]
    assert names
    assert len(set(names)) == len(names)
    assert all(d.components for d in case.sensor.domains)
    assert all(d.parent is None or d.parent in names for d in case.sensor.domains)


@pytest.mark.parametrize("case", SHIPPED, indirect=True)
def test_every_domain_says_how_far_it_errs_and_who_says_so(case: Case) -> None:
    for domain in case.sensor.domains:
        assert 0 < domain.accuracy.gain < 1, domain.name
        assert domain.accuracy.sources, domain.name
        assert all(s.name and s.citation for s in domain.accuracy.sources)


@every_sensor
def test_it_reads_every_domain_and_no_other_as_a_whole_number(case: Case) -> None:
    case.advance(1.0)

    readings = case.read()

    assert set(readings) == {d.name for d in case.sensor.domains}
    assert all(isinstance(r, int) and r >= 0 for r in readings.values()), readings


@every_sensor
def test_a_counter_falls_only_where_it_wraps_and_a_gauge_shows_watts(case: Case) -> None:
    before = case.energies_uj()
    wraps = 0
    for _ in range(20):
        case.advance(1.0)
        after = case.energies_uj()
        for domain in case.sensor.domains:
            if domain.reading == "gauge":
                assert 10e6 < after[domain.name] < domain.max_power_w * 1e6
                continue
            wraps += after[domain.name] < before[domain.name]
            if domain.wrap_uj is None:
                assert after[domain.name] >= before[domain.name]
            step_uj = counter_step_uj(before[domain.name], after[domain.name], 1.0, domain)
            assert 0 <= step_uj <= domain.max_power_w * 1e6
        before = after
    # 20 s at 80 W and more pass a range of 1,500 J: the sensors with one so short have wrapped, and no others.
    assert (wraps > 0) == any(d.wrap_uj is not None and d.wrap_uj <= 1_500_000_000 for d in case.sensor.domains)


@every_that_can_fail
def test_a_read_after_a_fault_gives_an_error_for_each_domain_and_raises_nothing(case: Case) -> None:
    case.energies_uj()
    case.fail()

    readings = case.read()

    assert set(readings) == {d.name for d in case.sensor.domains}
    for error in readings.values():
        assert isinstance(error, SensorError)
        assert str(error)


@every_sensor
def test_a_domain_that_can_be_read_alone_shows_what_it_shows_among_the_others(case: Case) -> None:
    case.advance(1.0)
    if not isinstance(case.sensor, PartialSensor):
        assert not hasattr(case.sensor, "read_domain")  # it has one, but not of this protocol
        return

    together = case.read()
    alone = {name: case.sensor.read_domain(name, round(case.now_s * 1e9)) for name in reversed(together)}

    assert alone == together


@every_that_can_fail
def test_a_domain_that_is_read_alone_gives_its_error_and_raises_nothing(case: Case) -> None:
    case.energies_uj()
    case.fail()
    if isinstance(case.sensor, PartialSensor):
        for name, error in case.read().items():
            alone = case.sensor.read_domain(name, round(case.now_s * 1e9))
            assert (type(alone), str(alone)) == (type(error), str(error))


@every_sensor
def test_closing_twice_is_harmless(case: Case) -> None:
    case.read()
    case.sensor.close()
    case.sensor.close()


@every_sensor
def test_a_reading_takes_no_more_than_a_few_milliseconds_unless_it_asks_another_device(
    case: Case, request: pytest.FixtureRequest
) -> None:
    def timed_ms() -> float:
        start_ns = time.perf_counter_ns()
        case.read()
        return (time.perf_counter_ns() - start_ns) / 1e6

    asks = request.node.callspec.params["case"] in cases_machine.CASES

    assert statistics.median(timed_ms() for _ in range(15)) < (MOST_ASKED_MS if asks else MOST_MS)
    if asks:
        assert all(d.reading == "gauge" and d.accuracy.period_s >= 1 for d in case.sensor.domains)
