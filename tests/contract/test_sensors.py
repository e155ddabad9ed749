"""One suite over every sensor: what the seam promises."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from joulemark.boundary import Component
from joulemark.errors import SensorError, SensorUnavailable
from joulemark.meter.accumulator import counter_step_uj
from joulemark.readings import Accuracy
from joulemark.sensors import Domain, FakeDomain, FakeSensor, Fault, ReplaySensor, Sensor
from joulemark.sensors.battery import BatterySensor
from joulemark.sensors.hwmon import HwmonSensor
from joulemark.sensors.load_models import CpuLoadModel, DramModel
from joulemark.sensors.nvml import NvmlSensor
from joulemark.sensors.rapl import RaplSensor
from tests.simulated import FakeNvml, PowercapTree, Procfs, fake_nvml, nvml_library
from tests.simulated.hwmon import JETSON_NX, HwmonTree, PowerSupplyTree, fail, put

__all__ = ["fake_nvml", "nvml_library"]

MOST_MS = 5.0
FAULT_S = 60.0
SHIPPED = (
    "rapl",
    "nvml-counter",
    "nvml-gauge",
    "hwmon-counters",
    "hwmon-gauges",
    "battery",
    "cpu-load",
    "dram-size",
)
TEST_DOUBLES = ("fake", "replay")
# The size of the memory is read once, so that this model has nothing left that could fail.
CAN_FAIL = tuple(name for name in (*SHIPPED, *TEST_DOUBLES) if name != "dram-size")


@dataclass
class Case:
    """A sensor, the device under it, and the time there."""

    sensor: Sensor
    flow: Callable[[float], None]  # seconds go by on the device
    fail: Callable[[], None]  # from now on it cannot be read
    now_s: float = 0.0

    def advance(self, seconds: float) -> None:
        self.now_s += seconds
        self.flow(seconds)

    def read(self) -> dict[str, int | SensorError]:
        return dict(self.sensor.read(round(self.now_s * 1e9)))

    def energies_uj(self) -> dict[str, int]:
        readings = self.read()
        assert not [r for r in readings.values() if isinstance(r, SensorError)]
        return {name: r for name, r in readings.items() if isinstance(r, int)}


@pytest.fixture
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    build: Callable[[], Case] = {
        "rapl": lambda: _rapl(tmp_path),
        "nvml-counter": lambda: _nvml(request.getfixturevalue("fake_nvml"), ""),
        "nvml-gauge": lambda: _nvml(request.getfixturevalue("fake_nvml"), "no-counter"),
        "hwmon-counters": lambda: _hwmon_counters(tmp_path),
        "hwmon-gauges": lambda: _hwmon_gauges(tmp_path),
        "battery": lambda: _battery(tmp_path),
        "cpu-load": lambda: _cpu_load(tmp_path),
        "dram-size": lambda: Case(DramModel(Procfs(tmp_path).root), flow=_nothing, fail=_cannot_fail),
        "fake": _fake,
        "replay": _replay,
    }[request.param]
    return build()


def _nothing(seconds: float) -> None:
    """A model of time alone, a device with its own clock, or a gauge that stands still."""


def _cannot_fail() -> None:
    raise AssertionError("nothing of this sensor can fail")


def _rapl(root: Path) -> Case:
    tree = PowercapTree(root, range_uj=1_500_000_000)
    zones = {"package-0": 100.0, "package-0/core": 60.0, "package-0/dram": 10.0, "package-1": 80.0, "psys": 220.0}

    def fail() -> None:
        for zone in ("package-0", "package-0/core", "package-0/dram", "package-1", "psys"):
            tree.fail(zone)
        for zone in ("package-1/core", "package-1/dram"):
            tree.fail(zone)

    return Case(RaplSensor(root), lambda s: tree.flow({zone: p * s for zone, p in zones.items()}), fail)


def _nvml(driver: FakeNvml, words: str) -> Case:
    driver.install(100, 200, swing_w=50, period_s=3, faults=f"{words} lost=0@{FAULT_S} lost=1@{FAULT_S}".strip())
    case = Case(NvmlSensor(), _nothing, lambda: driver.set_now(FAULT_S))
    case.flow = lambda _: driver.set_now(case.now_s)
    return case


def _hwmon_counters(root: Path) -> Case:
    tree = HwmonTree(root)
    epyc = tree.epyc(77_000_000, 91_000_000)
    arc = tree.chip("i915", {"energy1_input": 5_000_000}, device="pci/0000:04:00.0", number="0x56a0")
    counters = {epyc / "energy3_input": 120.0, epyc / "energy4_input": 90.0, arc / "energy1_input": 150.0}

    def flow(seconds: float) -> None:
        for file, power_w in counters.items():
            put(file, int(file.read_text()) + round(power_w * seconds * 1e6))

    return Case(HwmonSensor(root), flow, lambda: _fail_all(counters))


def _hwmon_gauges(root: Path) -> Case:
    tree = HwmonTree(root)
    radeon = tree.chip("amdgpu", {"power1_average": 180_000_000}, device="pci/0000:03:00.0", number="0x744c")
    jetson = tree.chip("ina3221", {**JETSON_NX, "curr3_input": 2500})
    gauges = [radeon / "power1_average", *tree.grace().values(), *(jetson / f"in{n}_input" for n in (1, 2, 3))]
    return Case(HwmonSensor(root), _nothing, lambda: _fail_all(gauges))


def _fail_all(files: Iterable[Path]) -> None:
    for file in files:
        fail(file)


def _battery(root: Path) -> Case:
    tree = PowerSupplyTree(root)
    return Case(BatterySensor(root), _nothing, lambda: put(tree.mains / "online", 1))


def _cpu_load(root: Path) -> Case:
    procfs = Procfs(root)
    return Case(
        CpuLoadModel(root), lambda s: procfs.spend(user=1.5 * s, idle=2.5 * s), lambda: (root / "stat").unlink()
    )


def _domain(name: str, component: Component, wrap_uj: int | None = None) -> Domain:
    return Domain(
        name=name,
        components=frozenset({component}),
        kind="measured",
        reading="counter",
        accuracy=Accuracy(gain=0.02),
        wrap_uj=wrap_uj,
    )


def _fake() -> Case:
    sensor = FakeSensor(
        [
            FakeDomain(
                domain=_domain("cpu-0", Component.CPU, 1_500_000_000),
                energy_j=lambda t: 90.0 * t,
                faults=[Fault(FAULT_S, 1e9)],
            ),
            FakeDomain(domain=_domain("gpu-0", Component.GPU), energy_j=lambda t: t**2, faults=[Fault(FAULT_S, 1e9)]),
        ]
    )
    case = Case(sensor, _nothing, _nothing_yet)
    case.fail = lambda: setattr(case, "now_s", FAULT_S)
    return case


def _nothing_yet() -> None:
    raise AssertionError("set by its builder")


def _replay() -> Case:
    domain = _domain("gpu-0", Component.GPU)
    error = SensorUnavailable("it was lost in the recording")
    readings = [(round(s * 1e9), {"gpu-0": round(s * 100e6)}) for s in range(int(FAULT_S))]
    case = Case(ReplaySensor([domain], [*readings, (round(FAULT_S * 1e9), {"gpu-0": error})]), _nothing, _nothing_yet)
    case.fail = lambda: setattr(case, "now_s", FAULT_S)
    return case


every_sensor = pytest.mark.parametrize("case", [*SHIPPED, *TEST_DOUBLES], indirect=True)


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


@pytest.mark.parametrize("case", CAN_FAIL, indirect=True)
def test_a_read_after_a_fault_gives_an_error_for_each_domain_and_raises_nothing(case: Case) -> None:
    case.energies_uj()
    case.fail()

    readings = case.read()

    assert set(readings) == {d.name for d in case.sensor.domains}
    for error in readings.values():
        assert isinstance(error, SensorError)
        assert str(error)


@every_sensor
def test_closing_twice_is_harmless(case: Case) -> None:
    case.read()
    case.sensor.close()
    case.sensor.close()


@every_sensor
def test_a_reading_takes_no_more_than_a_few_milliseconds(case: Case) -> None:
    def timed_ms() -> float:
        start_ns = time.perf_counter_ns()
        case.read()
        return (time.perf_counter_ns() - start_ns) / 1e6

    assert statistics.median(timed_ms() for _ in range(15)) < MOST_MS
