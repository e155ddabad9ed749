"""The NVIDIA sensor on a simulated driver, behind the real ``nvidia-ml-py``."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pynvml
import pytest

from joulemark.errors import PermissionDenied, SensorUnavailable
from joulemark.meter import Meter
from joulemark.sensors.nvml import NvmlSensor
from tests.simulated import Clock, FakeNvml, fake_nvml, nvml_library

__all__ = ["fake_nvml", "nvml_library"]


class Bench:
    """A meter and a driver on one clock."""

    def __init__(self, driver: FakeNvml) -> None:
        self._driver = driver
        self.clock = Clock()
        self.meter = Meter([NvmlSensor()], clock_ns=self.clock)

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self._driver.set_now(self.clock.now_s)

    def sample(self, seconds: float, every_s: float = 0.1) -> None:
        """Let time pass and read now and then, as the sampler does."""
        for _ in range(round(seconds / every_s)):
            self.advance(every_s)
            with self.meter.measure():
                pass


def sinusoid_j(power_w: float, swing_w: float, period_s: float, t: float) -> float:
    return power_w * t + swing_w * period_s / (2 * math.pi) * (1 - math.cos(2 * math.pi * t / period_s))


def test_several_gpus_are_each_exact_and_add_up(fake_nvml: FakeNvml) -> None:
    fake_nvml.install(100, 200, 300, swing_w=60, period_s=7)
    bench = Bench(fake_nvml)
    bench.advance(0.5)

    with bench.meter.measure() as window:
        bench.advance(5)

    truths_j = [sinusoid_j(p, 60, 7, 5.5) - sinusoid_j(p, 60, 7, 0.5) for p in (100, 200, 300)]
    found_j = [window.domains[f"gpu-{i}"].value for i in range(3)]
    assert found_j == pytest.approx(truths_j, abs=2e-3)  # the counter is in millijoules
    assert window.energy.value == pytest.approx(math.fsum(found_j), abs=1e-9)


def test_a_window_between_two_updates_says_how_little_it_knows(fake_nvml: FakeNvml) -> None:
    fake_nvml.install(100)
    bench = Bench(fake_nvml)
    bench.advance(1.07)

    with bench.meter.measure() as window:
        bench.advance(0.05)  # over one update of the counter: it shows 10 J where 5 J flowed

    assert window.energy.value == pytest.approx(10)
    assert window.energy.low < 5.0 < window.energy.high


def test_gpus_are_named_and_so_is_the_driver(fake_nvml: FakeNvml) -> None:
    fake_nvml.install(300)
    machine = Meter([NvmlSensor()]).machine()

    assert machine.gpus == ("Simulated GPU 300 W",)
    assert machine.gpu_driver == "nvml 580.65-simulated"


def test_a_gpu_without_a_counter_is_sampled_as_a_gauge(fake_nvml: FakeNvml) -> None:
    fake_nvml.install(250, swing_w=100, period_s=4, faults="no-counter")
    bench = Bench(fake_nvml)

    with bench.meter.measure() as window:
        bench.sample(6)

    assert bench.meter.domains[0].name == "gpu-0"
    # Trapezoids of 100 ms on a period of 4 s: h^2 / 12 * (2 pi / 4)^2, 0.2 % of the swinging part.
    assert window.energy.value == pytest.approx(sinusoid_j(250, 100, 4, 6), rel=2e-3)


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

    assert window.domains["gpu-1"].value == pytest.approx(800)
    assert "lost" in str(window.domains["gpu-0"])
    assert window.energy.value == pytest.approx(800)
    assert [(p.name, p.reason) for p in window.energy.evidence.missing] == [("gpu-0", "NVML: GPU is lost")]


def test_a_counter_that_was_away_and_came_back_has_lost_nothing(fake_nvml: FakeNvml) -> None:
    fake_nvml.install(100, faults="lost=0@1-2")
    bench = Bench(fake_nvml)

    with bench.meter.measure() as window:
        bench.sample(4, every_s=0.5)

    assert window.energy.value == pytest.approx(400)


def test_a_gauge_that_was_away_has_and_says_so(fake_nvml: FakeNvml) -> None:
    fake_nvml.install(100, faults="no-counter lost=0@1-2")
    bench = Bench(fake_nvml)

    with bench.meter.measure() as window:
        bench.sample(4, every_s=0.5)
    with bench.meter.measure() as later:
        bench.sample(1)

    assert not window.energy.available
    assert "lost" in str(window.energy)
    assert later.energy.value == pytest.approx(100)


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
from joulemark.sensors.nvml import NvmlSensor
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
