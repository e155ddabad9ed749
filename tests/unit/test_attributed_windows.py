"""Windows whose energy is split by CPU time, and what is known of the power at the wall."""

from __future__ import annotations

import math
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from joulemark.errors import SensorUnavailable, UnknownName, UsageError
from joulemark.figures import Kind, NotComparable, ratio
from joulemark.meter import Meter
from joulemark.meter.calibration import Calibration, calibration_path, save
from joulemark.records import load_measurement, measurement_energy
from joulemark.sensors.cross_check import cross_check, watch_gauges
from joulemark.sensors.nvml import NvmlSensor
from joulemark.testing import SimulatedClock, SimulatedSensor
from tests.simulated import FakeNvml, fake_nvml, nvml_library

__all__ = ["fake_nvml", "nvml_library"]

BURN = "import time\nend = time.monotonic() + {}\nwhile time.monotonic() < end: pass"


@pytest.fixture
def another_program() -> None:
    """Something else that keeps a processor busy, not a child of this process's."""
    code = f"import os, sys\nif os.fork(): os._exit(0)\nos.setsid()\n{BURN.format(6)}"
    subprocess.run([sys.executable, "-c", code], check=True)
    time.sleep(0.2)


def burn(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def test_a_process_answers_for_its_part_of_the_processors_energy(another_program: None) -> None:
    """The other program is busy as well: this one has a part of the energy, and its boundary says whose."""
    clock = SimulatedClock()
    sensor = SimulatedSensor.constant({"cpu-0": 100.0, "gpu-0": 300.0}, gain=0.02)
    with Meter([sensor], clock_ns=clock, attribution="process") as meter:
        with meter.measure() as window:
            burn(1.0)
            clock.advance(1.0)
        share = window.record.share

    assert share is not None
    assert 0.15 < share.of_busy < 0.95
    assert window.energy.value == pytest.approx(100 * share.of_busy + 300, rel=1e-9)
    assert window.energy.boundary.attribution == "process"
    assert "part of" in str(window.energy.boundary)
    assert {line.kind for line in window.budget().lines} >= {"gain", "attribution"}


def test_energy_of_the_machine_and_of_a_process_on_it_are_not_compared() -> None:
    clock = SimulatedClock()
    windows = []
    for attribution in ("machine", "process"):
        sensor = SimulatedSensor.constant({"cpu-0": 100.0})
        with Meter([sensor], clock_ns=clock, attribution=attribution).measure() as window:
            burn(0.1)
            clock.advance(0.1)
        windows.append(window)
    with pytest.raises(NotComparable, match="energy of"):
        ratio(windows[0].energy, windows[1].energy)


def test_the_share_comes_back_from_a_file(tmp_path: Path) -> None:
    clock = SimulatedClock()
    with Meter([SimulatedSensor.constant({"cpu-0": 100.0})], clock_ns=clock, attribution="process") as meter:
        with meter.measure() as window:
            burn(0.2)
            clock.advance(0.2)
        window.save(tmp_path / "w.json")

    (loaded,) = measurement_energy(load_measurement(tmp_path / "w.json"))

    assert loaded.value == pytest.approx(window.energy.value)
    assert loaded.boundary == window.energy.boundary


def test_a_window_too_short_to_be_split_is_unavailable_and_not_zero() -> None:
    clock = SimulatedClock()
    meter = Meter([SimulatedSensor.constant({"cpu-0": 100.0, "gpu-0": 50.0})], clock_ns=clock, attribution="process")
    for _ in range(20):  # a step of the counters may fall into any one window
        with meter.measure() as window:
            clock.advance(0.001)
        if window.record.share is None:
            break
    else:
        pytest.fail("twenty empty windows in a row were split")

    assert window.energy.value == pytest.approx(0.05), "the GPU alone"
    assert [part.name for part in window.energy.evidence.missing] == ["cpu-0"]
    assert "too short to be split" in window.energy.evidence.missing[0].reason


def test_idle_energy_is_stated_apart(another_program: None) -> None:
    clock = SimulatedClock()
    sensor = SimulatedSensor.constant({"cpu-0": 100.0})
    with Meter([sensor], clock_ns=clock, attribution="process") as meter:
        with meter.measure("work") as window:
            burn(0.3)
            clock.advance(0.3)
        # The same power at rest: nothing is above idle.
        rest = meter.rest(1.0)
        split = window.attributed(rest, idle="by-time")
    share = window.record.share
    assert share is not None
    assert split.active.value == pytest.approx(0.0, abs=1e-9)
    assert split.idle_part.value == pytest.approx(30.0 * share.of_busy * share.busy_of_capacity)


def test_there_is_nothing_to_attribute_without_a_policy() -> None:
    clock = SimulatedClock()
    meter = Meter([SimulatedSensor.constant({"cpu-0": 100.0})], clock_ns=clock)
    rest = meter.rest(1.0)
    with meter.measure() as window:
        clock.advance(1)
    with pytest.raises(UsageError, match='attribution="process"'):
        window.attributed(rest)
    with pytest.raises(UnknownName, match="proces"):
        Meter([], attribution="proces")  # type: ignore[arg-type]


# The wall


@pytest.fixture
def calibrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Calibration:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    calibration = Calibration(
        processor=Meter([]).machine().processor,
        sensors=("simulated 1",),
        domains=("cpu-0", "gpu-0"),
        created="2026-01-02T03:04:05+00:00",
        base_w=40.0,
        slope=1.1,
        base_variance=1.0,
        slope_variance=1e-4,
        covariance=0.0,
        residual_w=2.0,
        correlation_s=5.0,
        low_w=100.0,
        high_w=500.0,
        points=200,
        coverage=0.83,
        coverage_low=0.80,
        coverage_high=0.86,
        wall_gain=0.01,
        offset_s=-3.0,
        offset_uncertainty_s=0.2,
    )
    save(calibration, calibration_path())
    return calibration


def test_a_calibrated_machine_knows_its_energy_at_the_wall(calibrated: Calibration) -> None:
    clock = SimulatedClock()
    with Meter([SimulatedSensor.constant({"cpu-0": 100.0, "gpu-0": 300.0})], clock_ns=clock).measure() as window:
        clock.advance(10)

    wall = window.wall_energy

    assert wall.value == pytest.approx(40 * 10 + 1.1 * 4000)
    assert wall.low < wall.value < wall.high
    assert wall.evidence.kind is Kind.MEASURED
    assert "psu_loss" in {str(c) for c in wall.boundary.components}
    assert re.search(r"83 % \(80 to 86\) of the power at the wall .*2026-01-02", str(window.budget()))


@pytest.mark.parametrize(
    ("powers_w", "reason"),
    [
        ({"cpu-0": 100.0}, "other sensors"),
        ({"cpu-0": 100.0, "gpu-0": 900.0}, "says nothing of"),
    ],
)
def test_beyond_its_calibration_the_wall_is_unknown(
    calibrated: Calibration, powers_w: dict[str, float], reason: str
) -> None:
    clock = SimulatedClock()
    with Meter([SimulatedSensor.constant(powers_w)], clock_ns=clock).measure() as window:
        clock.advance(10)
    assert not window.wall_energy.available
    assert reason in str(window.wall_energy)


def test_without_a_calibration_the_budget_says_what_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    clock = SimulatedClock()
    with Meter([SimulatedSensor.constant({"cpu-0": 100.0})], clock_ns=clock).measure() as window:
        clock.advance(10)
    assert "joulemark calibrate" in str(window.budget())
    calibration_path().parent.mkdir(parents=True)
    calibration_path().write_text("{ cut off")
    assert "cannot be read" in str(window.budget())


# Counter against gauge, and processes


def test_a_counter_and_a_gauge_of_one_board_are_held_against_each_other(fake_nvml: FakeNvml) -> None:
    fake_nvml.install(300, 200)
    gauges_w = watch_gauges([NvmlSensor()], 0.1, sleep=lambda _: None)

    right, wrong, gone = cross_check({"gpu-0": 305.0, "gpu-1": 150.0}, gauges_w), gauges_w, {"gpu-0": math.nan}

    assert gauges_w == {"gpu-0": pytest.approx(300), "gpu-1": pytest.approx(200)}
    assert [check.agree for check in right] == [True, False]
    assert not cross_check(gone, wrong)


def test_shares_of_a_gpu_need_a_driver(fake_nvml: FakeNvml) -> None:
    clock = SimulatedClock()
    with Meter([], clock_ns=clock).measure() as window:
        clock.advance(1)
    with pytest.raises(SensorUnavailable, match="NVML"):
        window.gpu_shares()
