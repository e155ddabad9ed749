"""The NVIDIA sensor on a simulated driver, behind the real ``nvidia-ml-py``."""

from __future__ import annotations

import ctypes
import json
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pynvml
import pytest

from joulemark.boundary import Component
from joulemark.errors import PermissionDenied, SensorError, SensorUnavailable
from joulemark.meter import Meter
from joulemark.sensors import Domain
from joulemark.sensors.nvml import NvmlSensor
from joulemark.sensors.seam import PartialSensor
from joulemark.testing import SimulatedClock
from tests.simulated import FakeNvml, fake_nvml, nvml_library

__all__ = ["fake_nvml", "nvml_library"]


class Timed:
    """The sensor, with the driver's clock set to the time of each reading."""

    def __init__(self, driver: FakeNvml) -> None:
        self._driver = driver
        self._sensor = NvmlSensor()
        self.name, self.domains = self._sensor.name, self._sensor.domains

    def read(self, now_ns: int) -> Mapping[str, int | SensorError]:
        self._driver.set_now(now_ns / 1e9)
        return self._sensor.read(now_ns)

    def read_domain(self, name: str, now_ns: int) -> int | SensorError:
        self._driver.set_now(now_ns / 1e9)
        return self._sensor.read_domain(name, now_ns)

    def close(self) -> None:
        """Nothing to do: the driver is shut down with its fixture."""


class Bench:
    """A meter and a driver on one clock."""

    def __init__(self, driver: FakeNvml) -> None:
        self._clock = SimulatedClock()
        self.meter = Meter([Timed(driver)], clock_ns=self._clock)
        self.advance = self._clock.advance


def sinusoid_j(power_w: float, swing_w: float, period_s: float, t: float) -> float:
    return power_w * t + swing_w * period_s / (2 * math.pi) * (1 - math.cos(2 * math.pi * t / period_s))


def test_several_gpus_are_each_right_and_add_up(fake_nvml: FakeNvml) -> None:
    fake_nvml.install(100, 200, 300, swing_w=60, period_s=7)
    bench = Bench(fake_nvml)
    bench.advance(0.53)

    with bench.meter.measure() as window:
        bench.advance(5)

    truths_j = [sinusoid_j(p, 60, 7, 5.53) - sinusoid_j(p, 60, 7, 0.53) for p in (100, 200, 300)]
    found = {energy.domain: energy for energy in window.record.energies}
    for i, truth_j in enumerate(truths_j):
        energy = found[f"gpu-{i}"]
        assert energy.energy_j is not None
        assert energy.edges_j is not None
        assert abs(energy.energy_j - truth_j) < 3 * energy.edges_j < 0.03 * truth_j
    assert window.energy.value == pytest.approx(math.fsum(window.domains[name].value for name in found), abs=1e-9)


def test_a_window_shorter_than_an_update_has_its_share_and_says_how_little_it_knows(fake_nvml: FakeNvml) -> None:
    fake_nvml.install(100)
    bench = Bench(fake_nvml)
    bench.advance(1.07)

    with bench.meter.measure() as window:
        bench.advance(0.05)  # over one update of the counter, which moves by 10 J where 5 J flowed

    assert window.energy.value == pytest.approx(5, rel=0.1)
    assert window.energy.low < 4.7 < 5.3 < window.energy.high


def test_gpus_are_named_and_so_is_the_driver(fake_nvml: FakeNvml) -> None:
    fake_nvml.install(300)
    with Meter([NvmlSensor()]) as meter:
        machine = meter.machine()

    assert machine.gpus == ("Simulated GPU 300 W",)
    assert machine.gpu_driver == "nvml 580.65-simulated"


def test_a_gpu_without_a_counter_is_sampled_as_a_gauge(fake_nvml: FakeNvml) -> None:
    fake_nvml.install(250, swing_w=100, period_s=4, faults="no-counter", gauge_s="0.1,0.1")
    bench = Bench(fake_nvml)

    with bench.meter.measure() as window:
        bench.advance(6)

    assert bench.meter.domains[0].name == "gpu-0"
    assert bench.meter.domains[0].parameters["reading"] == "field 186, instant"
    assert window.energy.value == pytest.approx(sinusoid_j(250, 100, 4, 6), rel=5e-3)


def test_a_gpu_of_an_old_driver_that_lacks_the_function_is_sampled_too(
    fake_nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_nvml.install(250)

    def missing(handle: object) -> int:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetTotalEnergyConsumption", missing)

    assert NvmlSensor().read(0) == {"gpu-0": 250_000_000}


def test_a_lost_gpu_takes_no_other_with_it(fake_nvml: FakeNvml) -> None:
    fake_nvml.install(100, 200, faults="lost=0@2.5")
    bench = Bench(fake_nvml)

    with bench.meter.measure() as window:
        bench.advance(4)

    assert window.domains["gpu-1"].value == pytest.approx(800, rel=5e-3)
    assert "lost" in str(window.domains["gpu-0"])
    assert window.energy.value == window.domains["gpu-1"].value
    assert [(p.name, p.reason) for p in window.energy.evidence.missing] == [("gpu-0", "NVML: GPU is lost")]


def test_a_counter_that_was_away_and_came_back_has_lost_nothing(fake_nvml: FakeNvml) -> None:
    fake_nvml.install(100, faults="lost=0@1-2")
    bench = Bench(fake_nvml)

    with bench.meter.measure() as window:
        bench.advance(4)

    assert window.energy.value == pytest.approx(400, rel=5e-3)


def test_a_gauge_that_was_away_has_and_says_so(fake_nvml: FakeNvml) -> None:
    fake_nvml.install(100, faults="no-counter lost=0@1-3")
    bench = Bench(fake_nvml)

    with bench.meter.measure() as window:
        bench.advance(4)
    with bench.meter.measure() as later:
        bench.advance(1)

    assert not window.energy.available
    assert "lost" in str(window.energy)
    assert later.energy.value == pytest.approx(100, rel=1e-3)


def test_a_reset_counter_is_unavailable_and_never_an_energy(fake_nvml: FakeNvml) -> None:
    fake_nvml.install(100, faults="reset=0@12")
    bench = Bench(fake_nvml)
    bench.advance(10)

    with bench.meter.measure() as window:
        bench.advance(4)

    assert not window.energy.available
    assert "reset" in str(window.energy)


def test_no_permission_names_a_remedy(fake_nvml: FakeNvml) -> None:
    fake_nvml.install(100, faults="denied")

    with pytest.raises(PermissionDenied, match="Insufficient Permissions") as caught:
        NvmlSensor()

    assert "/dev/nvidia" in caught.value.remedy


def test_no_gpu_and_no_driver_are_told_apart(fake_nvml: FakeNvml) -> None:
    with pytest.raises(SensorUnavailable, match="Driver Not Loaded"):
        NvmlSensor()
    fake_nvml.install()
    with pytest.raises(SensorUnavailable, match="finds no GPU"):
        NvmlSensor()


def test_a_closed_sensor_reads_as_errors(fake_nvml: FakeNvml) -> None:
    fake_nvml.install(100)
    sensor = NvmlSensor()
    sensor.close()

    assert isinstance(sensor.read(0)["gpu-0"], SensorUnavailable)


WATCH = """
import json, time
from joulemark.meter import Meter
from joulemark.sensors import Domain
from joulemark.sensors.nvml import NvmlSensor
from joulemark.testing import SimulatedClock
with Meter([NvmlSensor()]) as meter:
    with meter.measure() as window:
        time.sleep(0.6)
print(json.dumps([window.energy.value, window.duration_s]))
"""


def test_a_process_of_its_own_finds_the_driver_by_name_and_measures_real_time(nvml_library: Path) -> None:
    """What a user's process does: the loader finds the library, and the clock is the real one."""
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": str(nvml_library.parent),
        "FAKE_NVML_POWER_W": "150,150",
        "FAKE_NVML_ORIGIN_NS": str(time.monotonic_ns()),
    }

    done = subprocess.run(
        [sys.executable, "-c", WATCH], env=environment, capture_output=True, text=True, check=True, timeout=30
    )

    energy_j, duration_s = json.loads(done.stdout)
    # Each edge is at most one update of 100 ms off, and as much again is for a busy machine.
    assert energy_j == pytest.approx(300 * duration_s, abs=300 * 0.2)


def only(sensor: NvmlSensor, name: str = "gpu-0") -> Domain:
    return next(domain for domain in sensor.domains if domain.name == name)


@pytest.mark.parametrize(
    ("chip", "period_s", "window_s", "architecture"),
    [
        ("6.0", 0.02, 0.01, "Pascal"),
        ("7.0", 0.02, 0.01, "Volta"),
        ("7.5", 0.1, 0.1, "Turing"),
        ("8.0", 0.1, 0.025, "Ampere"),  # A100
        ("8.6", 0.1, 0.1, "Ampere"),  # RTX 3090
        ("9.0", 0.1, 0.025, "Hopper"),
        ("10.0", 0.1, 0.025, "Blackwell"),  # not measured by anybody: as the worst of those that are
    ],
)
def test_a_gauge_says_how_its_board_samples(
    fake_nvml: FakeNvml, chip: str, period_s: float, window_s: float, architecture: str
) -> None:
    fake_nvml.install(300, faults="no-counter", chip=chip)
    domain = only(NvmlSensor())

    assert (domain.accuracy.period_s, domain.window_s) == (period_s, window_s)
    assert domain.parameters["architecture"] == architecture
    assert domain.parameters["reading"] == "field 186, instant"
    looks_away = window_s < period_s
    assert domain.accuracy.mix == pytest.approx(math.log(1 / 0.3) / 1.96 if looks_away else 0)
    assert any("Assumption" in s.name for s in domain.accuracy.sources) == (architecture == "Blackwell")


def test_a_grace_hopper_looks_away_most(fake_nvml: FakeNvml) -> None:
    fake_nvml.install(300, faults="no-counter", chip="9.0", name="NVIDIA GH200 480GB")

    assert only(NvmlSensor()).window_s == 0.020


def test_a_counter_never_looks_away(fake_nvml: FakeNvml) -> None:
    fake_nvml.install(300, chip="9.0")
    domain = only(NvmlSensor())

    assert domain.reading == "counter"
    assert domain.parameters["reading"] == "energy counter"
    assert (domain.accuracy.mix, domain.window_s) == (0, None)


@pytest.mark.parametrize(
    ("faults", "chip", "title", "window_s"),
    [
        ("no-counter", "9.0", "field 186, instant", 0.025),
        ("no-counter no-instant", "9.0", "field 185, average", 1.0),
        ("no-counter no-fields", "9.0", "nvmlDeviceGetPowerUsage", 1.0),
        ("no-counter no-fields", "8.0", "nvmlDeviceGetPowerUsage", 0.025),  # GA100: of the moment
        ("no-counter no-fields", "6.0", "nvmlDeviceGetPowerUsage", 0.01),
        ("no-counter no-fields", "99.0", "nvmlDeviceGetPowerUsage", 0.025),  # unknown: taken for the worse
    ],
)
def test_of_the_ways_to_read_power_the_one_that_lags_least_is_taken(
    fake_nvml: FakeNvml, faults: str, chip: str, title: str, window_s: float
) -> None:
    fake_nvml.install(250, faults=faults, chip=chip)
    sensor = NvmlSensor()

    assert (only(sensor).parameters["reading"], only(sensor).window_s) == (title, window_s)
    assert sensor.read(0) == {"gpu-0": 250_000_000}


def test_a_part_time_gauge_shows_the_mean_of_its_window_and_not_of_its_period(fake_nvml: FakeNvml) -> None:
    fake_nvml.install(200, swing_w=100, period_s=0.1, faults="no-counter", chip="8.0", gauge_s="0.1,0.025", now_s=5.03)
    sensor = NvmlSensor()

    # The last quarter of each turn, from 3/2 pi to 2 pi: locked to the sensor's grid, it is 64 W too low for ever.
    expected_w = 200 - 100 * 2 / math.pi
    assert sensor.read(0)["gpu-0"] == pytest.approx(expected_w * 1e6, rel=1e-4)
    assert abs(expected_w / 200 - 1) < 1.96 * only(sensor).accuracy.mix


def test_the_highest_power_is_known_from_the_limits(fake_nvml: FakeNvml) -> None:
    fake_nvml.install(300, limit_w="350,450")
    domain = only(NvmlSensor())

    assert domain.max_power_w == 900
    assert domain.parameters["power_limit_w"] == 350

    fake_nvml.install(300)
    assert "power_limit_w" not in only(NvmlSensor()).parameters


def test_no_power_and_no_counter_is_an_error_and_never_zero(fake_nvml: FakeNvml) -> None:
    fake_nvml.install(300, faults="no-counter no-power")
    with pytest.raises(SensorUnavailable, match="Not Supported"):
        NvmlSensor()

    fake_nvml.install(300, 200, faults="no-counter no-fields zero=0")
    readings = NvmlSensor().read(0)
    assert "0 W" in str(readings["gpu-0"])
    assert readings["gpu-1"] == 200_000_000


def test_memory_is_a_part_of_its_gpu_and_the_module_contains_it(fake_nvml: FakeNvml) -> None:
    fake_nvml.install(400, chip="9.0", name="NVIDIA GH200 480GB", memory_w="60", module_w="550")
    sensor = NvmlSensor()

    assert isinstance(sensor, PartialSensor)
    assert [d.name for d in sensor.domains] == ["gpu-0", "gpu-0/memory", "gpu-module-0"]
    memory, module = only(sensor, "gpu-0/memory"), only(sensor, "gpu-module-0")
    assert (memory.parent, memory.container, memory.parameters["reading"]) == ("gpu-0", False, "field 185, average")
    assert (module.parent, module.container) == (None, True)
    assert Component.CPU in module.components
    readings = sensor.read(0)
    assert (readings["gpu-0/memory"], readings["gpu-module-0"]) == (60_000_000, 550_000_000)
    assert {name: sensor.read_domain(name, 0) for name in readings} == readings


def test_parts_can_be_left_out_so_that_nothing_has_to_be_sampled(fake_nvml: FakeNvml) -> None:
    fake_nvml.install(400, memory_w="60")

    assert [d.name for d in NvmlSensor(parts=False).domains] == ["gpu-0"]


@pytest.mark.parametrize("settings", [{"faults": "same"}, {"memory_w": "401"}, {"module_w": "399"}])
def test_a_driver_that_does_not_know_scopes_is_not_believed(fake_nvml: FakeNvml, settings: dict[str, str]) -> None:
    fake_nvml.install(400, **settings)  # type: ignore[arg-type]

    assert [d.name for d in NvmlSensor().domains] == ["gpu-0"]


def test_counter_and_gauge_can_be_checked_by_each_other(fake_nvml: FakeNvml) -> None:
    fake_nvml.install(300, 100, faults="lost=1@5")
    sensor = NvmlSensor()
    before = sensor.read(0)["gpu-0"]
    fake_nvml.set_now(10)
    after = sensor.read(0)["gpu-0"]

    assert isinstance(before, int)
    assert isinstance(after, int)
    assert (after - before) / 10 == sensor.power_uw("gpu-0")
    assert "lost" in str(sensor.power_uw("gpu-1"))
    assert "no gpu-7" in str(sensor.power_uw("gpu-7"))


def test_mig_instances_cannot_be_told_apart_and_the_domain_says_so(fake_nvml: FakeNvml) -> None:
    fake_nvml.install(300, 300, faults="mig=1")
    sensor = NvmlSensor()

    assert only(sensor).parameters["mig"] == "disabled"
    assert "whole board" in str(only(sensor, "gpu-1").parameters["mig"])


@pytest.mark.parametrize(
    ("chosen", "visible"),
    [
        (None, [True, True]),
        ("1", [False, True]),
        ("GPU-a0", [True, False]),
        ("GPU-a", [False, False]),
        ("MIG-b1000000-0000-4000-8000-000000000000", [False, True]),
        ("MIG-GPU-a0000000-0000-4000-8000-000000000000/1/0", [True, False]),
        ("MIG-bf000000-0000-4000-8000-000000000000", [False, False]),
        ("", [False, False]),
    ],
)
def test_a_gpu_that_programs_may_not_use_is_measured_and_marked(
    fake_nvml: FakeNvml, chosen: str | None, visible: list[bool]
) -> None:
    fake_nvml.install(300, 300, memory_w="20")
    sensor = NvmlSensor({} if chosen is None else {"CUDA_VISIBLE_DEVICES": chosen})

    assert [only(sensor, name).visible for name in ("gpu-0", "gpu-1")] == visible
    assert [only(sensor, f"{name}/memory").visible for name in ("gpu-0", "gpu-1")] == visible
    assert not [reading for reading in sensor.read(0).values() if isinstance(reading, SensorError)]


def test_indices_among_different_gpus_are_in_doubt_and_the_domains_say_so(fake_nvml: FakeNvml) -> None:
    fake_nvml.install(300, 200)

    assert "CUDA_DEVICE_ORDER" in str(only(NvmlSensor({"CUDA_VISIBLE_DEVICES": "0"})).parameters["visible"])
    fake_nvml.install(300, 200, name="one model")
    assert "visible" not in only(NvmlSensor({"CUDA_VISIBLE_DEVICES": "0"})).parameters


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A /proc of a process that is numbered as the machine numbers it."""
    return numbered(tmp_path / "host", "pid:[4026531836]")


def numbered(procfs: Path, namespace: str) -> Path:
    (procfs / "self" / "ns").mkdir(parents=True)
    (procfs / "self" / "ns" / "pid").symlink_to(namespace)
    return procfs


@pytest.mark.parametrize("faults", ["", "stale"])
def test_a_process_has_the_share_of_the_utilisation_that_the_driver_saw(
    fake_nvml: FakeNvml, host: Path, faults: str
) -> None:
    seen = "41:0:90@1 41:0:60@2 42:0:20@2 43:0:10@3 41:1:50@2"
    fake_nvml.install(300, 300, 300, faults=faults, processes=seen, now_s=4)
    sensor = NvmlSensor(procfs=host)

    shares = sensor.shares({41, 43}, since_us=1_500_000)

    assert shares["gpu-0"] == pytest.approx((60 + 10) / (60 + 20 + 10))
    assert shares["gpu-1"] == 1
    assert "no process work" in str(shares["gpu-2"])
    assert sensor.shares({99}, since_us=0)["gpu-0"] == 0  # others worked, and they did not


@pytest.mark.parametrize(
    ("faults", "reason"),
    [("mig", "MIG"), ("no-shares", "Insufficient Permissions"), ("lost=0@1", "lost"), ("no-wait", "no process work")],
)
def test_where_the_driver_does_not_tell_a_share_is_an_error(
    fake_nvml: FakeNvml, host: Path, faults: str, reason: str
) -> None:
    fake_nvml.install(300, faults=faults)
    sensor = NvmlSensor(procfs=host)
    fake_nvml.set_now(2)

    share = sensor.shares({41}, since_us=0)["gpu-0"]

    assert isinstance(share, SensorError)
    assert reason in str(share)


def test_in_a_container_with_process_numbers_of_its_own_nobody_has_a_share(fake_nvml: FakeNvml, tmp_path: Path) -> None:
    fake_nvml.install(300, processes="41:0:90@1", now_s=2)

    for procfs in (numbered(tmp_path / "inside", "pid:[4026532211]"), tmp_path / "none"):
        assert "--pid=host" in str(NvmlSensor(procfs=procfs).shares({41}, since_us=0)["gpu-0"])


def test_a_driver_that_does_not_match_its_library_is_named(fake_nvml: FakeNvml) -> None:
    fake_nvml.install(300, faults="init=18")

    with pytest.raises(SensorUnavailable, match="mismatch"):
        NvmlSensor()


def test_a_library_that_is_not_there_or_is_another_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    monkeypatch.setattr(pynvml, "nvmlLib", ctypes.CDLL(None))  # the C library: none of NVML's functions
    with pytest.raises(SensorUnavailable, match="Function Not Found"):
        NvmlSensor()

    monkeypatch.setattr(pynvml, "nvmlLib", None)
    monkeypatch.setattr(pynvml, "CDLL", missing_library)
    with pytest.raises(SensorUnavailable, match="Library Not Found"):
        NvmlSensor()


def missing_library(name: str) -> object:
    raise OSError(f"{name}: cannot open shared object file")


def test_all_gpus_lost_at_the_start_is_named_and_one_is_kept_as_its_error(fake_nvml: FakeNvml) -> None:
    fake_nvml.install(300, faults="lost")
    with pytest.raises(SensorUnavailable, match="lost"):
        NvmlSensor()

    fake_nvml.install(300, 200, faults="lost=0")
    sensor = NvmlSensor()
    assert "lost" in str(sensor.read(0)["gpu-0"])
    assert isinstance(sensor.read(0)["gpu-1"], int)


def test_a_counter_that_is_out_of_order_at_the_start_comes_back(fake_nvml: FakeNvml) -> None:
    fake_nvml.install(300, 200, faults="busy=0@0-5")
    sensor = NvmlSensor()
    assert "Timeout" in str(sensor.read(0)["gpu-0"])

    fake_nvml.set_now(6)

    assert sensor.read(0)["gpu-0"] == 1_800_000_000


def test_permission_that_is_withdrawn_is_an_error_of_that_domain(fake_nvml: FakeNvml) -> None:
    fake_nvml.install(300, 200, faults="withdrawn=0@5")
    sensor = NvmlSensor()
    fake_nvml.set_now(6)

    readings = sensor.read(0)

    assert isinstance(readings["gpu-0"], PermissionDenied)
    assert "/dev/nvidia" in readings["gpu-0"].remedy
    assert isinstance(readings["gpu-1"], int)


def test_a_slow_driver_slows_the_reading_and_spoils_nothing(fake_nvml: FakeNvml) -> None:
    fake_nvml.install(300, faults="slow=20")
    sensor = NvmlSensor(parts=False)

    start_s = time.perf_counter()
    assert isinstance(sensor.read(0)["gpu-0"], int)
    assert time.perf_counter() - start_s >= 0.02


def test_a_driver_that_hangs_holds_its_own_thread_and_no_other(fake_nvml: FakeNvml) -> None:
    """The sensor cannot end a call of the driver; whoever reads it does so where waiting harms nobody."""
    fake_nvml.install(300, faults="hang=0@5-6")
    sensor = NvmlSensor(parts=False)
    fake_nvml.set_now(5)
    readings: list[int | SensorError] = []
    reader = threading.Thread(target=lambda: readings.append(sensor.read(0)["gpu-0"]))

    reader.start()
    reader.join(0.1)
    assert not readings  # and this thread went on meanwhile
    fake_nvml.set_now(6)
    reader.join(10)

    assert readings == [1_800_000_000]


@pytest.mark.parametrize(
    ("settings", "power_w"),
    [
        ({"name": "NVIDIA A10G"}, 18 + 0.4 * (153 - 18)),
        ({"name": "GRID something", "limit_w": "300,300"}, 300 * 46 / 407 + 0.4 * 300 * (1 - 46 / 407)),
    ],
)
def test_a_gpu_that_shows_no_power_is_modelled_from_how_busy_it_is(
    fake_nvml: FakeNvml, settings: dict[str, Any], power_w: float
) -> None:
    fake_nvml.install(250, faults="no-counter no-power", busy_percent="40", **settings)
    sensor = NvmlSensor()

    (domain,) = sensor.domains

    assert sensor.read(0) == {"gpu-0": pytest.approx(power_w * 1e6, abs=1)}
    assert domain.kind == "modelled"
    assert domain.parameters["reading"] == "model of utilisation"
    assert 1.96 * math.hypot(domain.accuracy.gain, domain.accuracy.mix) > 1, "a factor of three to either side"
    with Meter([Timed(fake_nvml)], clock_ns=(clock := SimulatedClock())).measure() as window:
        clock.advance(10)
    assert window.energy.value == pytest.approx(10 * power_w, rel=1e-3)
    assert str(window.energy.evidence) == "modelled"


def test_a_gpu_of_which_nothing_is_known_is_not_modelled(fake_nvml: FakeNvml) -> None:
    """Neither a power nor a model nor a limit: a guess would be a default that nobody chose."""
    fake_nvml.install(250, faults="no-counter no-power", busy_percent="40", name="GRID something")
    with pytest.raises(SensorUnavailable, match="Not Supported"):
        NvmlSensor()
