"""Windows: what they add up, what they refuse to add up, and what they say of it."""

from __future__ import annotations

import asyncio
import itertools
import math
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from joulemark.boundary import Component
from joulemark.errors import SensorError, SensorUnavailable, UnknownName, UsageError
from joulemark.figures import Kind, NotComparable, ratio
from joulemark.meter import Meter, Window
from joulemark.readings import Accuracy
from joulemark.records import load_measurement
from joulemark.sensors import Domain, Places, ReplaySensor, Sensor
from joulemark.sensors.nvml import NvmlSensor
from joulemark.testing import (
    Denied,
    Lost,
    Missing,
    Raises,
    Reset,
    SimulatedClock,
    SimulatedDevice,
    SimulatedSensor,
    Slow,
    Stuck,
    Trace,
    constant,
    presets,
    ramp,
    square,
    steps,
)
from tests.simulated import FakeNvml, PowercapTree, fake_nvml, nvml_library
from tests.simulated.servers import shelly_gen2

__all__ = ["fake_nvml", "nvml_library"]

SAMPLER = "joulemark-sampler"


def domain(name: str = "cpu-0", *, gauge: bool = False, wrap_uj: int | None = None, period_s: float = 0.0) -> Domain:
    return Domain(
        name=name,
        components=frozenset({Component(name.partition("-")[0])}),
        kind="measured",
        reading="gauge" if gauge else "counter",
        accuracy=Accuracy(gain=0.0, period_s=period_s),
        wrap_uj=wrap_uj,
    )


def sensor(shown: Domain, power: float | Trace = 100.0, **details: Any) -> SimulatedSensor:
    """A sensor of one device that behaves as it states."""
    trace = power if isinstance(power, Trace) else constant(power)
    return SimulatedSensor([SimulatedDevice.as_stated(shown, trace, **details)])


def gauge(power: float | Trace = 100.0, **details: Any) -> SimulatedSensor:
    """A GPU that shows its mean power every 20 ms."""
    return sensor(domain("gpu-0", gauge=True, period_s=0.02), power, **details)


def ticking(power: float | Trace = 100.0, **details: Any) -> SimulatedSensor:
    """A GPU whose counter moves every 100 ms."""
    return sensor(domain("gpu-0", period_s=0.1), power, **{"phase_s": 0.033, **details})


def replay(shown: Domain, *readings: tuple[float, int | SensorError]) -> ReplaySensor:
    return ReplaySensor([shown], [(round(t * 1e9), {shown.name: r}) for t, r in readings])


def one_window(seen: Sensor, start_s: float, end_s: float, *, reads_s: tuple[float, ...] = ()) -> Window:
    """Measure from one time to another, with other windows' edges in between."""
    clock = SimulatedClock()
    if isinstance(seen, SimulatedSensor):
        seen.clock = clock
    meter = Meter([seen], clock_ns=clock)
    clock.advance(start_s)
    with meter.measure() as window:
        for moment_s in reads_s:
            clock.advance(moment_s - clock.now_s)
            with meter.measure():
                pass
        clock.advance(end_s - clock.now_s)
    return window


def samplers() -> int:
    return sum(thread.name == SAMPLER for thread in threading.enumerate())


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end, "it did not come about within 10 s"
        time.sleep(0.005)


# Windows


def test_windows_nest_and_overlap() -> None:
    clock = SimulatedClock()
    meter = Meter([sensor(domain())], clock_ns=clock)
    first, second, inner = meter.measure("first"), meter.measure("second"), meter.measure("inner")

    first.start()  # 0 s
    clock.advance(1)
    second.start()  # 1 s
    clock.advance(1)
    with inner:  # 2 s to 3 s
        clock.advance(1)
    first.stop()  # 3 s
    clock.advance(4)
    second.stop()  # 7 s

    assert (first.energy.value, second.energy.value, inner.energy.value) == pytest.approx((300, 600, 100))
    assert (first.duration_s, second.duration_s, inner.duration_s) == (3, 6, 1)
    assert second.record.start_s == 1
    assert second.power.value == pytest.approx(100)
    assert second.power.unit == "W"


def test_a_window_is_opened_once_closed_once_and_asked_afterwards() -> None:
    window = Meter([SimulatedSensor.constant({"cpu-0": 10.0})]).measure("work")
    with pytest.raises(UsageError, match="not open"):
        window.stop()
    assert str(window) == "work: not opened yet"
    window.start()
    assert str(window) == "work: open"
    with pytest.raises(UsageError, match="opened before"):
        window.start()
    with pytest.raises(UsageError, match="not closed yet"):
        _ = window.energy
    with pytest.raises(UsageError, match="not closed yet"):
        window.budget()
    window.stop()
    with pytest.raises(UsageError, match="not open"):
        window.stop()


def test_a_window_around_work_that_fails_is_closed_and_lets_the_error_through() -> None:
    clock = SimulatedClock()
    meter = Meter([SimulatedSensor.constant({"cpu-0": 10.0})], clock_ns=clock)
    window = meter.measure()

    def fail() -> None:
        with window:
            clock.advance(2)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert window.energy.value == pytest.approx(20)


def test_two_sensors_of_one_domain_are_refused() -> None:
    with pytest.raises(UsageError, match="same domain"):
        Meter([SimulatedSensor.constant({"cpu-0": 1.0}), SimulatedSensor.constant({"cpu-0": 2.0}, gain=0.1)])


def test_a_machine_without_any_sensor_has_no_energy_rather_than_none() -> None:
    with Meter([]) as meter, meter.measure() as window:
        pass

    assert not window.energy.available
    assert "no sensor and no model" in str(window.energy)


def test_only_an_antichain_is_added() -> None:
    clock = SimulatedClock()

    def zone(name: str, power_w: float, *, parent: str | None = None, container: bool = False) -> SimulatedDevice:
        shown = replace(domain("cpu-0"), name=name, parent=parent, container=container)
        return SimulatedDevice(shown, constant(power_w))

    seen = SimulatedSensor(
        [
            zone("psys", 190, container=True),
            zone("cpu-0", 100),
            zone("cpu-0/core", 60, parent="cpu-0"),
            zone("cpu-1", 50),
        ]
    )
    with Meter([seen], clock_ns=clock).measure() as window:
        clock.advance(10)

    assert window.energy.value == pytest.approx(1500)
    assert window.domains["psys"].value == pytest.approx(1900)


def test_a_saved_window_says_the_same_when_it_is_loaded(tmp_path: Path) -> None:
    clock = SimulatedClock()
    sensors = [SimulatedSensor.constant({"cpu-0": 10.0}, gain=0.1), ticking(), sensor(domain("dram-0", period_s=0.1))]
    meter = Meter(sensors, clock_ns=clock)
    with meter.measure("work") as window:
        clock.advance(3)
    window.save(tmp_path / "work.json")

    loaded = load_measurement(tmp_path / "work.json")

    assert loaded.windows == (window.record,)
    assert loaded.label == "work"
    assert loaded.instrument is not None


def test_windows_that_nobody_asks_for_are_worked_out_before_they_are_forgotten() -> None:
    clock = SimulatedClock()
    meter = Meter([gauge()], clock_ns=clock)
    with meter.measure() as long:
        with meter.measure() as short:
            clock.advance(5)
        clock.advance(120)  # 6,000 updates, more than are kept

    assert short.energy.value == pytest.approx(500, rel=1e-3)
    assert long.energy.value == pytest.approx(12_500, rel=1e-3)


def test_a_closed_window_can_be_asked_after_its_meter_was_closed() -> None:
    clock = SimulatedClock()
    with Meter([ticking()], clock_ns=clock) as meter, meter.measure() as window:
        clock.advance(5)

    assert window.energy.value == pytest.approx(500, rel=3e-3)


# Counters


def test_one_wrap_is_exact() -> None:
    window = one_window(sensor(domain(wrap_uj=9_999_999_999)), 99, 102)  # 9.9 kJ, wraps at 10 kJ

    assert window.energy.value == pytest.approx(300, abs=1e-9)


@pytest.mark.parametrize("after_uj", [0, 1, 15, 1_000])
def test_a_reading_just_after_a_wrap_is_right(after_uj: int) -> None:
    """Others are a whole range short here: they count wraps beside the reading, and the count comes late."""
    range_uj = 262_143_328_850
    window = one_window(
        replay(domain(wrap_uj=range_uj), (0, range_uj - 500_000_000), (10, after_uj)), start_s=0, end_s=10
    )

    assert window.energy.value == pytest.approx((500_000_001 + after_uj) / 1e6, abs=1e-9)


def test_a_counter_that_wraps_often_is_read_often_enough_while_time_goes_by() -> None:
    wrapping = domain(wrap_uj=999_999_999)  # 1,000 J: at the most that can flow, 1,000 W, one second

    window = one_window(sensor(wrapping, 900.0), 0, 60)

    assert window.energy.value == pytest.approx(54_000)


def test_a_window_that_may_have_wrapped_twice_while_nobody_could_read_is_unavailable() -> None:
    clock = SimulatedClock()
    meter = Meter([sensor(domain(wrap_uj=999_999_999), 900.0)], clock_ns=clock)
    with meter.measure() as window:
        clock.spend(3)  # stopped, as by SIGSTOP: nothing runs meanwhile
    with meter.measure() as after:
        clock.advance(3)

    assert not window.energy.available
    assert "more than one wrap" in str(window.energy)
    assert after.energy.value == pytest.approx(2700)


def test_a_wrapping_counter_is_read_each_second_while_a_window_is_open() -> None:
    """Three times in the shortest time that a wrap takes would do for wraps, but let more resets pass for one."""
    package = sensor(domain(wrap_uj=262_143_328_850))  # 262 s at 1,000 W
    memory = sensor(domain("dram-0", wrap_uj=65_532_610_987))  # 66 s: a third of it is 22 s
    clock = SimulatedClock()
    meter = Meter([package, memory], clock_ns=clock)

    with meter.measure():
        clock.advance(660)

    assert package.reads == memory.reads
    assert 650 <= memory.reads <= 670
    clock.advance(1000)
    assert memory.reads <= 670, "and not when none is"


def test_a_counter_without_a_wrap_is_read_at_the_edges_and_never_in_between() -> None:
    seen = sensor(domain())

    one_window(seen, 0, 10_000)

    assert seen.reads == 2


@pytest.mark.parametrize("wrap_uj", [None, 262_143_328_850])
def test_a_reset_is_unavailable_and_never_an_energy(wrap_uj: int | None) -> None:
    window = one_window(sensor(domain(wrap_uj=wrap_uj), faults=[Reset(1005.0)]), 1000, 1010)

    assert not window.energy.available
    assert "was reset" in str(window.energy)


@pytest.mark.parametrize(
    "seen", [sensor(domain(), faults=[Reset(5.0)]), ticking(faults=[Reset(5.0)])], ids=["", "tick"]
)
def test_a_reset_in_one_window_leaves_the_others_alone(seen: SimulatedSensor) -> None:
    clock = SimulatedClock()
    meter = Meter([seen], clock_ns=clock)
    windows = []
    with meter.measure() as whole:
        for _ in range(3):
            with meter.measure() as window:
                clock.advance(3)
            windows.append(window)

    assert [w.energy.available for w in windows] == [True, False, True]
    assert windows[2].energy.value == pytest.approx(300, rel=5e-3)
    assert not whole.energy.available
    assert "reset" in str(whole.energy)


@pytest.mark.parametrize(("start_s", "end_s"), [(1.5, 4.0), (0.0, 1.5)], ids=["at opening", "at closing"])
@pytest.mark.parametrize("wrap_uj", [None, 262_143_328_850])
def test_a_failed_read_at_an_edge_is_unavailable(start_s: float, end_s: float, wrap_uj: int | None) -> None:
    window = one_window(sensor(domain(wrap_uj=wrap_uj), faults=[Lost(1.0, 2.0, "EIO")]), start_s, end_s)

    energy = window.record.energies[0]
    assert energy.energy_j is None
    assert energy.unavailable == "EIO"


def test_a_failed_read_in_the_middle_of_a_counters_window_loses_nothing() -> None:
    seen = sensor(domain(wrap_uj=262_143_328_850), faults=[Lost(1.0, 2.0)])

    window = one_window(seen, 0, 4, reads_s=(0.5, 1.2, 1.4, 1.8, 3.0))

    assert window.energy.value == pytest.approx(400, abs=1e-9)


def test_a_counter_away_for_longer_than_a_wrap_may_take_is_unavailable() -> None:
    seen = sensor(domain(wrap_uj=999_999_999), 300.0, faults=[Lost(0.5, 2.5)])

    assert "more than one wrap" in str(one_window(seen, 0, 4).energy)


def test_a_counter_that_does_not_move_is_stuck_and_not_zero() -> None:
    stuck = one_window(sensor(domain(), faults=[Stuck(0.0)]), 1, 61)

    assert not stuck.energy.available
    assert "did not move in 1 min 00 s" in stuck.energy.evidence.missing[0].reason


def test_a_ticking_counter_that_gets_stuck_is_named_and_not_zero() -> None:
    clock = SimulatedClock()
    meter = Meter([ticking(faults=[Stuck(10.0)])], clock_ns=clock)
    with meter.measure() as before:
        clock.advance(5)
    clock.advance(10)
    with meter.measure() as stuck:
        clock.advance(5)

    assert before.energy.value == pytest.approx(500, rel=5e-3)
    assert not stuck.energy.available
    assert "nothing new for" in str(stuck.energy)


def test_a_domain_that_the_sensor_leaves_out_is_unavailable_and_not_zero() -> None:
    """The seam's promise broken: the others are read as before."""
    clock = SimulatedClock()
    shown = [domain("cpu-0"), domain("dram-0", period_s=0.1), domain("gpu-0"), domain("gpu-1", period_s=0.1)]
    faults = {"cpu-0": [Missing(0.0)], "dram-0": [Missing(0.0)]}
    seen = SimulatedSensor(
        [SimulatedDevice.as_stated(d, constant(100.0), phase_s=0.04, faults=faults.get(d.name, ())) for d in shown]
    )
    with Meter([seen], clock_ns=clock).measure() as window:
        clock.advance(10)

    assert "left this domain out" in str(window.domains["cpu-0"])
    assert "left this domain out" in str(window.domains["dram-0"])
    assert window.domains["gpu-0"].value == pytest.approx(1000)
    assert window.domains["gpu-1"].value == pytest.approx(1000, rel=3e-3)


# Counters that tick seldom


def test_a_window_between_two_ticks_has_its_share_and_an_interval_that_holds_what_may_have_flowed() -> None:
    """10 ms on a counter that moves every 100 ms: by itself it shows 0 J or 10 J while 1 J flows."""
    window = one_window(ticking(), 1.05, 1.06)

    assert window.energy.value == pytest.approx(1, rel=1e-3)
    assert window.energy.low < 0.9 < 1.1 < window.energy.high


def test_a_window_is_closed_without_waiting_and_its_energy_waits_for_the_next_tick() -> None:
    clock = SimulatedClock()
    meter = Meter([ticking(phase_s=0.09)], clock_ns=clock)
    with meter.measure() as window:
        clock.advance(3)
    assert clock.now_s == 3

    assert window.energy.value == pytest.approx(300, rel=5e-3)
    assert 3.09 <= clock.now_s < 3.3


def test_quick_and_slow_domains_cover_the_same_time() -> None:
    clock = SimulatedClock()
    load = square(60, 400, 1.7)
    sensors = [sensor(domain(), load), ticking(load)]
    meter = Meter(sensors, clock_ns=clock)
    with meter.measure() as window:
        clock.advance(1.7 * 20)

    assert window.domains["gpu-0"].value == pytest.approx(window.domains["cpu-0"].value, rel=3e-3)


def test_a_sensor_whose_call_takes_two_seconds_is_named_or_right_and_never_absurd() -> None:
    slow = ticking(faults=[Slow(2.0, 4.0, takes_s=2.0)])

    energy = one_window(slow, 0, 10).energy

    assert not energy.available or energy.low < 1000 < energy.high


def test_a_sensor_that_hangs_is_named_and_the_windows_energy_does_not_hang_with_it() -> None:
    seen = ticking(faults=[Slow(0.0, takes_s=30.0)])
    seen.clock = time.monotonic_ns  # sleeps in its own thread
    with Meter([seen, SimulatedSensor.constant({"cpu-0": 50.0})]) as meter:
        began_s = time.monotonic()
        with meter.measure() as window:
            pass
        reason = window.domains["gpu-0"].evidence.missing[0].reason
        took_s = time.monotonic() - began_s

    assert "gpu-0: the sensor has not answered for" in reason
    assert window.energy.available
    assert took_s < 5


# Gauges


def test_a_gauge_is_integrated_over_its_own_updates() -> None:
    window = one_window(gauge(ramp(0, 400, 8.0), phase_s=0.007), 0.5, 4.5)

    assert window.energy.value == pytest.approx(50 / 2 * (4.5**2 - 0.5**2), rel=3e-3)


def test_bursts_that_a_gauge_averages_over_are_not_lost() -> None:
    load = square(60, 400, 0.0834, duty=0.3)

    window = one_window(gauge(load, phase_s=0.007), 1, 11)

    assert window.energy.value == pytest.approx(load.between_j(1, 11), rel=5e-3)


def test_a_gauge_that_was_not_read_for_a_while_is_unavailable() -> None:
    lost = Lost(1.0, 3.0, "gone")

    gap = one_window(gauge(faults=[lost]), 0, 6)
    after = one_window(gauge(faults=[lost]), 3.1, 5)

    assert not gap.energy.available
    assert "gone" in str(gap.energy)
    assert after.energy.value == pytest.approx(190, rel=1e-3)


def test_a_gauge_that_nobody_could_read_is_unavailable_and_no_line_is_drawn_across() -> None:
    clock = SimulatedClock()
    meter = Meter([gauge()], clock_ns=clock)
    with meter.measure() as starved:
        clock.advance(1)
        clock.spend(3)
        clock.advance(1)

    assert not starved.energy.available
    assert "no power reading for 3.0 s" in str(starved.energy)


@pytest.mark.parametrize(("start_s", "end_s"), [(0.0, 1.5), (1.5, 6.0)], ids=["at closing", "at opening"])
def test_a_gauge_that_fails_at_an_edge_is_unavailable(start_s: float, end_s: float) -> None:
    assert not one_window(gauge(faults=[Lost(1.0, 4.0)]), start_s, end_s).energy.available


# What a total says that it does not cover


def test_a_sensor_that_dies_leaves_the_boundary_and_is_named() -> None:
    def machine() -> SimulatedSensor:
        dying = SimulatedDevice(domain("gpu-0"), constant(300.0), faults=[Lost(5.0, reason="GPU is lost")])
        return SimulatedSensor([SimulatedDevice(domain("cpu-0"), constant(50.0)), dying])

    before, during = one_window(machine(), 0, 4), one_window(machine(), 0, 10)

    assert before.energy.boundary.components == {Component.CPU, Component.GPU}
    assert during.energy.value == pytest.approx(500)
    assert during.energy.boundary.components == {Component.CPU}
    assert [(p.name, p.kind, p.reason) for p in during.energy.evidence.missing] == [
        ("gpu-0", Kind.UNAVAILABLE, "GPU is lost")
    ]
    assert "gpu-0" in str(during.energy.evidence)
    with pytest.raises(NotComparable, match="GPU"):
        ratio(before.energy, during.energy)


def test_a_total_that_lost_one_of_two_gpus_is_not_compared_with_a_whole_one() -> None:
    """A missing reading must not make a model look good: 100 J of one GPU against 400 J of two."""

    def machine() -> SimulatedSensor:
        dying = SimulatedDevice(domain("gpu-1"), constant(30.0), faults=[Lost(5.0)])
        return SimulatedSensor([SimulatedDevice(domain("gpu-0"), constant(10.0)), dying])

    whole, half = one_window(machine(), 0, 4), one_window(machine(), 0, 10)

    assert [p.name for p in half.energy.evidence.missing] == ["gpu-1"]
    with pytest.raises(NotComparable):
        ratio(whole.energy, half.energy)


@pytest.mark.parametrize("period_s", [0.0, 0.1], ids=["read at edges", "followed"])
def test_permission_that_is_withdrawn_is_a_reason_and_not_a_zero(period_s: float) -> None:
    window = one_window(sensor(domain(period_s=period_s), faults=[Denied(3.0)]), 0, 6)

    assert "may not be read" in str(window.energy)


@pytest.mark.parametrize("period_s", [0.0, 0.1], ids=["read at edges", "followed"])
def test_a_sensor_that_raises_takes_only_its_own_domains_with_it(period_s: float) -> None:
    clock = SimulatedClock()
    broken = sensor(domain("gpu-0", period_s=period_s), faults=[Raises(0.0, message="a stranger's mistake")])
    meter = Meter([SimulatedSensor.constant({"cpu-0": 10.0}), broken], clock_ns=clock)
    with meter.measure() as window:
        clock.advance(1)

    assert window.energy.value == pytest.approx(10)
    assert "a stranger's mistake" in window.energy.evidence.missing[0].reason


# Which sensors and which devices


def gpus(*visible: bool) -> SimulatedSensor:
    shown = [replace(domain(f"gpu-{i}"), visible=seen) for i, seen in enumerate(visible)]
    return SimulatedSensor(
        [*(SimulatedDevice(d, constant(100.0)) for d in shown), SimulatedDevice(domain("cpu-0"), constant(50.0))]
    )


@pytest.mark.parametrize(
    ("devices", "counted", "boundary"),
    [
        ("visible", {"gpu-1", "cpu-0"}, "active"),
        ("all", {"gpu-0", "gpu-1", "cpu-0"}, "all"),
        (["gpu-0"], {"gpu-0", "cpu-0"}, "active"),
        ([], {"cpu-0"}, "active"),
    ],
)
def test_the_devices_that_count_are_those_that_may_be_used_all_or_those_named(
    devices: Any, counted: set[str], boundary: str
) -> None:
    clock = SimulatedClock()
    meter = Meter([gpus(False, True)], devices=devices, clock_ns=clock)
    with meter.measure() as window:
        clock.advance(2)

    assert {d.name for d in meter.domains if d.counted} == counted
    assert window.energy.value == pytest.approx(100 + 200 * (len(counted) - 1))
    assert window.energy.boundary.devices == boundary
    assert set(window.domains) == {"gpu-0", "gpu-1", "cpu-0"}, "the others are shown"


@pytest.mark.parametrize(("chosen", "counted"), [("1", ["gpu-1"]), ("GPU-a0", ["gpu-0"]), ("", [])])
def test_gpus_that_cuda_hides_from_the_program_do_not_count(
    fake_nvml: FakeNvml, chosen: str, counted: list[str]
) -> None:
    fake_nvml.install(300, 300)
    with Meter([NvmlSensor({"CUDA_VISIBLE_DEVICES": chosen})]) as meter:
        assert [d.name for d in meter.domains if d.counted] == counted
        assert [d.name for d in meter.domains] == ["gpu-0", "gpu-1"]


def test_a_device_that_there_is_not_is_named_with_those_that_are_near() -> None:
    with pytest.raises(UnknownName, match=r"Unknown device 'gpu-O'. Did you mean 'gpu-[01]' or 'gpu-[01]'\?"):
        Meter([gpus(True, True)], devices=["gpu-O"])
    with pytest.raises(UnknownName, match="device 'cpu-0'"):
        Meter([gpus(True)], devices=["cpu-0"])


def test_sensors_can_be_asked_for_by_name(tmp_path: Path) -> None:
    tree = PowercapTree(tmp_path)
    clock = SimulatedClock()
    with Meter(["rapl"], places=Places(sysfs=tmp_path), clock_ns=clock) as meter, meter.measure() as window:
        tree.flow({"package-0": 30, "package-1": 12})
        clock.advance(1)

    assert {d.sensor for d in meter.domains} == {"rapl powercap"}
    assert window.energy.value == pytest.approx(42)


def test_a_sensor_that_was_asked_for_and_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SensorUnavailable, match=r"rapl: .*virtual machine"):
        Meter(["rapl"], places=Places(sysfs=tmp_path), clock_ns=SimulatedClock())


def test_a_name_that_no_sensor_has_is_an_error_with_those_that_are_near() -> None:
    with pytest.raises(UnknownName, match=r"Unknown sensor 'raplx'. Did you mean 'rapl'"):
        Meter(["raplx"], clock_ns=SimulatedClock())


def test_a_meter_of_the_whole_machine_can_be_asked_for_by_its_url() -> None:
    clock = SimulatedClock()
    with shelly_gen2().serving() as device:
        device.power_w = 200.0
        with Meter([f"shelly://{device.host}"], clock_ns=clock) as meter, meter.measure() as window:
            clock.advance(10)

        assert window.domains["machine"].value == pytest.approx(2000, rel=1e-3)
        assert device.host not in str(meter.domains)


def test_names_and_objects_are_not_mixed() -> None:
    with pytest.raises(UsageError, match="not both"):
        Meter(["rapl", gpus(True)])


# Rest, and what is above it


def test_energy_above_rest_is_what_was_drawn_more_than_before_and_after() -> None:
    clock = SimulatedClock()
    load = steps([(0.0, 40.0), (10.0, 100.0), (20.0, 44.0)])
    meter = Meter([sensor(domain(), load)], clock_ns=clock)
    before = meter.rest(10)
    with meter.measure("work") as work:
        clock.advance(10)
    after = meter.rest(10)

    net = work.net(before, after)

    assert (before.label, before.duration_s, clock.now_s) == ("idle", 10, 30)
    assert net.value == pytest.approx(1000 - 42 * 10)
    assert net.boundary.idle == "net"
    assert net.low < 1000 - 440 < 1000 - 400 < net.high
    assert work.net(before).value == pytest.approx(600)


def test_a_machine_busier_at_rest_than_at_work_is_refused() -> None:
    clock = SimulatedClock()
    meter = Meter([sensor(domain(), steps([(0.0, 200.0), (10.0, 100.0)]))], clock_ns=clock)
    before = meter.rest(10)
    with meter.measure() as work:
        clock.advance(10)

    with pytest.raises(UsageError, match="drew more at rest"):
        work.net(before)


def test_a_meter_remembers_when_it_saw_the_machine_at_rest() -> None:
    clock = SimulatedClock()
    load = steps([(0.0, 40.0), (10.0, 100.0), (20.0, 44.0), (30.0, 90.0), (40.0, 52.0)])
    meter = Meter([sensor(domain(), load)], clock_ns=clock, idle_s=10)
    with meter.measure("first") as first:
        clock.advance(10)
    meter.rest(10)
    with meter.measure("second") as second:
        clock.advance(10)
    meter.rest(10)

    assert first.net().value == pytest.approx(1000 - 42 * 10)
    assert second.net().value == pytest.approx(900 - 48 * 10)
    assert f"({first.net().format()} net of idle)" in str(first)
    assert first.energy.boundary.idle == "gross"


def test_the_trace_of_a_window_adds_up_to_its_energy() -> None:
    clock = SimulatedClock()
    load = steps([(0.0, 40.0), (10.0, 100.0), (15.0, 60.0)])
    meter = Meter([sensor(domain(), load)], clock_ns=clock)
    clock.advance(9)
    with meter.measure("work") as window:
        clock.advance(8)

    (course,) = window.trace().values()

    times, powers = zip(*course, strict=True)
    assert list(times) == sorted(times)
    assert times[-1] <= window.duration_s
    lengths = [after - before for before, after in itertools.pairwise((0.0, *times))]
    energy_j = sum(power * length for power, length in zip(powers, lengths, strict=True))
    assert energy_j == pytest.approx(window.energy.value, rel=0.02)


def test_net_of_idle_needs_a_rest() -> None:
    clock = SimulatedClock()
    meter = Meter([sensor(domain())], clock_ns=clock)
    with meter.measure() as window:
        clock.advance(1)

    with pytest.raises(UsageError, match="idle_s=10"):
        window.net()
    assert "net of idle" not in str(window)


@pytest.mark.parametrize("seconds", [-1.0, math.nan, 1e9])
def test_an_idle_time_out_of_range_is_refused(seconds: float) -> None:
    with pytest.raises(UsageError, match="idle_s"):
        Meter([sensor(domain())], clock_ns=SimulatedClock(), idle_s=seconds)


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan])
def test_a_rest_that_takes_no_time_is_none(seconds: float) -> None:
    with pytest.raises(UsageError, match="A rest of"):
        Meter([sensor(domain())], clock_ns=SimulatedClock()).rest(seconds)


def test_the_budget_of_a_window_names_what_makes_it_unsure() -> None:
    clock = SimulatedClock()
    machine = SimulatedSensor([presets.a100("gpu-0", square(60, 400, 1.7), phase_s=0.03)])
    with Meter([machine], clock_ns=clock).measure() as window:
        clock.advance(1)

    budget = window.budget()

    assert {line.kind for line in budget.lines} == {"gain", "edges", "quantisation"}
    assert sum(line.share for line in budget.lines) == pytest.approx(1)
    assert "gain of simulated 1:gpu-0" in str(budget)


# Notes


class Capturing(ModuleType):
    """A PyTorch that is capturing a CUDA graph at the first edge, and cannot be waited for."""

    def __init__(self) -> None:
        super().__init__("torch")
        self.asked = 0
        self.cuda = SimpleNamespace(is_initialized=lambda: True, is_current_stream_capturing=self._capturing)

    def _capturing(self) -> bool:
        self.asked += 1
        return True


@pytest.mark.parametrize("synchronise", [True, False])
def test_what_could_not_be_waited_for_at_an_edge_is_noted_once(
    monkeypatch: pytest.MonkeyPatch, synchronise: bool
) -> None:
    torch = Capturing()
    monkeypatch.setitem(sys.modules, "torch", torch)
    clock = SimulatedClock()
    with Meter([sensor(domain())], synchronise=synchronise, clock_ns=clock).measure() as window:
        clock.advance(1)

    expected = ("torch not synchronised: a CUDA graph is being captured",) if synchronise else ()
    assert window.notes == expected
    assert torch.asked == (2 if synchronise else 0)
    assert window.energy.value == pytest.approx(100)


# Threads, sampling, and what measuring costs


def test_a_sensor_is_sampled_while_a_window_is_open_and_not_longer() -> None:
    seen = gauge()
    seen.clock = time.monotonic_ns
    others = samplers()
    with Meter([seen]) as meter:
        assert samplers() == others
        with meter.measure() as outer:
            with meter.measure():
                assert samplers() == others + 1
            wait_until(lambda: seen.reads >= 10)  # the outer window is still open
        assert outer.energy.value == pytest.approx(100 * outer.duration_s, rel=0.2)

        def still() -> bool:
            reads = seen.reads
            time.sleep(0.1)
            return seen.reads == reads

        wait_until(still)
        reads = seen.reads
        with meter.measure() as again:
            wait_until(lambda: seen.reads > reads + 10)
        assert samplers() == others + 1
        assert again.energy.value == pytest.approx(100 * again.duration_s, rel=0.2)


def test_closing_the_meter_stops_the_sampler_and_closes_the_sensors() -> None:
    seen, others = gauge(), samplers()
    with Meter([seen]) as meter:
        meter.measure("left open").start()
        assert samplers() == others + 1

    wait_until(lambda: seen.closed)
    wait_until(lambda: samplers() <= others)
    meter.close()  # harmless


def test_a_thousand_windows_in_sixteen_threads_each_have_their_own_energy() -> None:
    meter = Meter([SimulatedSensor.constant({"cpu-0": 100.0})])
    windows: list[Window] = []

    def work(count: int) -> None:
        for _ in range(count):
            with meter.measure() as outer, meter.measure() as inner:
                time.sleep(1e-4)
            windows.extend((outer, inner))

    threads = [threading.Thread(target=work, args=(32,)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(windows) == 1024
    assert all(window.energy.value > 0 for window in windows)


def test_the_meter_says_what_measuring_cost() -> None:
    class Busy(SimulatedSensor):
        """Takes 20 ms of CPU time to read."""

        def read(self, now_ns: int) -> Mapping[str, int | SensorError]:
            end_ns = time.thread_time_ns() + 20_000_000
            while time.thread_time_ns() < end_ns:
                pass
            return super().read(now_ns)

    meter = Meter([Busy([SimulatedDevice(domain(), constant(100.0))])])
    with meter.measure():
        time.sleep(0.02)  # the window's own work is not the instrument's

    assert meter.instrument.readings == 2
    assert 0.040 <= meter.instrument.cpu_s < 0.055


# Decorated functions


def test_each_call_of_a_decorated_function_has_a_window() -> None:
    clock = SimulatedClock()
    meter = Meter([SimulatedSensor.constant({"cpu-0": 10.0})], clock_ns=clock)

    @meter.measure("step")
    def step(seconds: float) -> float:
        """Takes a while."""
        clock.advance(seconds)
        return seconds

    assert [step(1), step(2)] == [1, 2]
    assert [w.energy.value for w in step.windows] == [pytest.approx(10), pytest.approx(20)]
    assert step.__doc__ == "Takes a while."


def test_a_decorated_function_that_raises_is_measured_all_the_same() -> None:
    clock = SimulatedClock()
    meter = Meter([SimulatedSensor.constant({"cpu-0": 10.0})], clock_ns=clock)

    @meter.measure()
    def fails() -> None:
        clock.advance(1)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fails()
    assert fails.windows[0].label == "fails"
    assert fails.windows[0].energy.value == pytest.approx(10)


def test_coroutines_overlap_and_each_has_its_own_window() -> None:
    clock = SimulatedClock()
    meter = Meter([SimulatedSensor.constant({"cpu-0": 10.0})], clock_ns=clock)

    class Server:
        @meter.measure("request")
        async def answer(self, pauses: int) -> int:
            for _ in range(pauses):
                clock.advance(1)
                await asyncio.sleep(0)
            return pauses

    async def both() -> list[int]:
        server = Server()
        return list(await asyncio.gather(server.answer(1), server.answer(3)))

    assert asyncio.run(both()) == [1, 3]
    # The first is open while the second begins: 1 s of its own work and 1 s of the other's.
    assert [w.duration_s for w in Server.answer.windows] == [pytest.approx(2), pytest.approx(3)]
