"""The simulated machine: its truth is exact, and its devices show it as real ones do, faults included."""

from __future__ import annotations

import itertools
import math
import random
import re
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from joulemark.boundary import Component
from joulemark.errors import PermissionDenied, SensorError, SensorUnavailable
from joulemark.readings import Accuracy
from joulemark.sensors.seam import Domain, Sensor
from joulemark.testing import (
    TRACES,
    Denied,
    Fault,
    Garbage,
    Lost,
    Missing,
    Raises,
    Reset,
    SimulatedClock,
    SimulatedDevice,
    SimulatedMachine,
    SimulatedSensor,
    Slow,
    Stuck,
    Trace,
    bursts,
    constant,
    noise,
    presets,
    ramp,
    random_like,
    recorded,
    square,
    steps,
)

DOCS = Path(__file__).parents[2] / "docs" / "testing.md"

KINDS: dict[str, Trace] = {
    "constant": constant(100),
    "square": square(60, 400, 1.7),
    "square with a phase": square(60, 400, 1.7, duty=0.2, phase_s=0.3),
    "bursts": bursts(60, 400, 4.68, duty=0.25),
    "ramp": ramp(60, 400, 7.0, phase_s=2.0),
    "triangle": ramp(60, 400, 7.0, triangle=True),
    "steps": steps([(0.5, 50), (2.0, 300), (2.25, 0), (6.0, 120)]),
    "recorded": recorded([1.0, 2.5, 2.75, 9.0], [40, 300, 280, 60]),
    "noise": noise(200, 80, 0.1, seed=3),
    "a sum": square(10, 20, 1.7) + 2 * ramp(0, 50, 3.0),
    "a product": 1.5 * bursts(60, 400, 5.0),
    "shifted": recorded([0.0, 1.0], [0, 100]).shifted(3.0),
}
every_kind = pytest.mark.parametrize("trace", KINDS.values(), ids=KINDS.keys())

PRESETS: dict[str, Callable[..., SimulatedDevice]] = {
    "a100": presets.a100,
    "a100_gauge": presets.a100_gauge,
    "h100_average_gauge": presets.h100_average_gauge,
    "ideal_counter": presets.ideal_counter,
    "p100_gauge": presets.p100_gauge,
    "plug": presets.plug,
    "psys": presets.psys,
    "rapl_dram": presets.rapl_dram,
    "rapl_package": presets.rapl_package,
}
every_preset = pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS.keys())


def domain(
    name: str = "gpu-0", *, gauge: bool = False, wrap_uj: int | None = None, gain: float = 0.02, mix: float = 0.0
) -> Domain:
    return Domain(
        name=name,
        components=frozenset({Component(name.partition("-")[0])}),
        kind="measured",
        reading="gauge" if gauge else "counter",
        accuracy=Accuracy(gain=gain, mix=mix, period_s=0.1, resolution_j=1e-3),
        wrap_uj=wrap_uj,
    )


def shown(device: SimulatedDevice, now_s: float) -> int:
    reading = device.reading(round(now_s * 1e9))
    assert isinstance(reading, int)
    return reading


def values(device: SimulatedDevice, end_s: float, every_s: float) -> list[int]:
    return [shown(device, n * every_s) for n in range(round(end_s / every_s) + 1)]


# --- traces ---------------------------------------------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize(("start_s", "end_s"), [(0.0, 5.0), (1.234, 8.9), (-2.0, 3.0)])
def test_the_truth_is_the_integral_of_the_power(trace: Trace, start_s: float, end_s: float) -> None:
    cells = 20_000
    width_s = (end_s - start_s) / cells
    integral_j = math.fsum(trace.power_w(start_s + (n + 0.5) * width_s) for n in range(cells)) * width_s

    # A jump within a cell is missed by at most half of it; there are about 60 jumps of up to 600 W.
    assert trace.between_j(start_s, end_s) == pytest.approx(integral_j, abs=60 * 600 * width_s / 2)


@every_kind
def test_energy_counts_from_time_zero_and_adds_up(trace: Trace) -> None:
    assert trace.energy_j(0.0) == 0.0
    assert trace.between_j(0.7, 2.1) + trace.between_j(2.1, 6.3) == pytest.approx(trace.between_j(0.7, 6.3), abs=1e-9)


@pytest.mark.parametrize(("frequency_hz", "duty"), [(5.0, 0.25), (20.0, 0.30), (4.68, 0.25), (1 / 1.7, 0.5)])
@pytest.mark.parametrize("t_s", [0.3, 86_400.123, 1_000_000.03, 1_234_567.891])
def test_the_truth_of_a_million_seconds_is_as_exact_as_floats_are(frequency_hz: float, duty: float, t_s: float) -> None:
    period, high = Fraction(1 / frequency_hz), Fraction(duty * (1 / frequency_hz))
    whole, into = divmod(Fraction(t_s), period)
    exact_j = whole * (340 * high + 60 * period) + 340 * min(into, high) + 60 * into

    assert bursts(60, 400, frequency_hz, duty).energy_j(t_s) == pytest.approx(float(exact_j), rel=1e-15, abs=1e-9)


def test_each_kind_of_trace_has_the_power_that_it_says() -> None:
    wave = square(60, 400, 2.0, duty=0.25, phase_s=1.0)
    assert [wave.power_w(t) for t in (0.9, 1.0, 1.4, 1.5, 2.9, 3.0)] == [60, 400, 400, 60, 60, 400]

    saw, triangle = ramp(0, 100, 4.0), ramp(0, 100, 4.0, triangle=True)
    assert [saw.power_w(t) for t in (0, 1, 3, 4, 5)] == [0, 25, 75, 0, 25]
    assert [triangle.power_w(t) for t in (0, 1, 2, 3, 4)] == [0, 50, 100, 50, 0]

    stairs = steps([(1.0, 10), (2.0, 30)])
    assert [stairs.power_w(t) for t in (0, 1, 1.9, 2, 99)] == [10, 10, 10, 30, 30]

    line = recorded([1.0, 3.0], [10, 30])
    assert [line.power_w(t) for t in (0, 1, 2, 3, 99)] == [10, 10, 20, 30, 30]


def test_noise_holds_each_draw_and_follows_from_its_seed() -> None:
    def powers_w(trace: Trace, into_s: float) -> list[float]:
        return [trace.power_w(0.5 * n + into_s) for n in range(2000)]

    draws = powers_w(noise(200, 20, 0.5, seed=1), 0.1)

    assert draws == powers_w(noise(200, 20, 0.5, seed=1), 0.4)
    assert draws != powers_w(noise(200, 20, 0.5, seed=2), 0.1)
    assert statistics.mean(draws) == pytest.approx(200, abs=4 * 20 / math.sqrt(2000))
    assert statistics.stdev(draws) == pytest.approx(20, rel=0.1)
    assert min(powers_w(noise(10, 50, 0.5), 0.0)) == 0.0


def test_a_trace_can_be_somebodys_own() -> None:
    class Growing(Trace):
        def power_w(self, t_s: float) -> float:
            return 2 * t_s

        def energy_j(self, t_s: float) -> float:
            return t_s**2

    both = Growing().shifted(1.0) + constant(5)

    assert both.power_w(4.0) == 11
    assert both.between_j(1.0, 4.0) == pytest.approx(9 + 15)


@pytest.mark.parametrize(
    "build",
    [
        lambda: constant(-1),
        lambda: square(60, 400, 0.0),
        lambda: square(60, 400, 1.0, duty=1.0),
        lambda: square(-60, 400, 1.0),
        lambda: bursts(60, 400, 0.0),
        lambda: ramp(60, 400, -7.0),
        lambda: steps([]),
        lambda: steps([(1.0, 5), (1.0, 6)]),
        lambda: recorded([1.0], [5]),
        lambda: recorded([1.0, 2.0], [5]),
        lambda: noise(10, 1, 0.0),
        lambda: noise(10, -1, 1.0),
        lambda: noise(10, 1, 1.0, holds=0),
        lambda: constant(5) * -1,
        lambda: constant(math.nan),
    ],
)
def test_a_trace_that_cannot_be_is_refused(build: Callable[[], Trace]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        build()


def test_the_traces_that_tools_are_compared_on_lie_between_60_and_400_watts() -> None:
    means_w = {name: trace.between_j(0, 1190.0) / 1190.0 for name, trace in TRACES.items()}

    assert means_w["square 1.7 s"] == pytest.approx(230)
    assert means_w["bursts 5 Hz"] == pytest.approx(60 + 0.25 * 340)
    assert means_w["bursts 20 Hz"] == pytest.approx(60 + 0.30 * 340)
    assert means_w["bursts 5 Hz off"] == pytest.approx(means_w["bursts 5 Hz"], rel=1e-3)
    assert means_w["bursts 20 Hz off"] == pytest.approx(means_w["bursts 20 Hz"], rel=1e-3)
    assert means_w["ramp 7 s"] == pytest.approx(230)
    for trace in TRACES.values():
        assert all(60 <= trace.power_w(n * 0.0137) <= 400 for n in range(2000))


# --- counters -------------------------------------------------------------------------------------------------------


def test_a_counter_without_a_period_is_exact_at_each_read() -> None:
    device = SimulatedDevice(domain(), square(60, 400, 1.7))

    for now_s in (0.0, 0.123, 1.7, 33.3):
        assert shown(device, now_s) == round(square(60, 400, 1.7).energy_j(now_s) * 1e6)


def test_a_counter_moves_at_its_updates_and_nowhere_else() -> None:
    device = SimulatedDevice(domain(), ramp(60, 400, 7.0), period_s=0.1, phase_s=0.03)
    readings = values(device, 3.0, 0.001)

    moved_ms = [n for n, (one, other) in enumerate(itertools.pairwise(readings), 1) if other != one]

    assert moved_ms == list(range(30, 3000, 100))


def test_between_updates_of_a_counter_lies_exactly_the_energy_of_that_time() -> None:
    trace = bursts(60, 400, 4.68)
    device = SimulatedDevice(domain(), trace, period_s=0.1, phase_s=0.03)

    for n in range(30):  # the first one reaches back before time 0: the counter ran then as well
        step_uj = shown(device, 0.03 + 0.1 * n) - shown(device, 0.029 + 0.1 * n)
        assert step_uj == pytest.approx(trace.between_j(0.03 + 0.1 * (n - 1), 0.03 + 0.1 * n) * 1e6, abs=1)


@pytest.mark.parametrize("preset", ["a100", "ideal_counter", "rapl_package", "rapl_dram", "psys"])
@pytest.mark.parametrize("trace", TRACES.values(), ids=TRACES.keys())
def test_a_counter_never_falls_and_stays_within_an_update_and_a_step_of_the_truth(preset: str, trace: Trace) -> None:
    device = PRESETS[preset]("x-0", trace)
    readings = values(device, 10.0, 0.01)
    accuracy = device.domain.accuracy

    assert all(one <= other for one, other in itertools.pairwise(readings))
    for n, reading in enumerate(readings):
        behind_j = trace.energy_j(0.01 * n) - reading / 1e6
        assert -1e-6 <= behind_j <= 400 * accuracy.period_s + accuracy.resolution_j + 2e-6


def test_jitter_moves_updates_but_loses_no_energy() -> None:
    regular = SimulatedDevice(domain(), constant(100), period_s=0.1)
    jittered = replace(regular, jitter_s=0.02)
    at_ms = [n for n in range(1, 20_000) if jittered.updated_ns(n * 10**6) != jittered.updated_ns((n - 1) * 10**6)]
    gaps_ms = [other - one for one, other in itertools.pairwise(at_ms)]

    assert len(at_ms) == pytest.approx(200, abs=1)
    assert all(59 <= gap <= 141 for gap in gaps_ms)
    assert statistics.stdev(gaps_ms) == pytest.approx(20 * math.sqrt(2 / 3), rel=0.2)  # of uniform jitter, both ends
    assert shown(jittered, 19.96) - shown(jittered, 0.0) == pytest.approx(1996e6, abs=12e6)
    assert all(jittered.updated_ns(n * 10**7) <= n * 10**7 for n in range(500))


def test_a_counter_shows_whole_steps_rounded_down() -> None:
    nvml = SimulatedDevice(domain(), constant(10.00005), resolution=1e-3)
    rapl = SimulatedDevice(domain(), constant(10), resolution=61.035e-6)  # 100 µJ in 10 µs, 200 in 20, 300 in 30

    assert shown(nvml, 1.0) == 10_000_000
    assert shown(replace(nvml, trace=constant(10)), 0.1) == 1_000_000  # what floats lose is no step
    assert [shown(rapl, n * 1e-5) for n in range(4)] == [0, 61, 183, 244]


def test_a_counter_that_has_shown_its_range_starts_again_at_zero() -> None:
    device = SimulatedDevice(domain(wrap_uj=999), constant(1e-6), start_j=990e-6)

    assert [shown(device, t) for t in (0, 9, 10, 11, 1009, 1010)] == [990, 999, 0, 1, 999, 0]


def test_a_package_wraps_where_linux_says_it_does() -> None:
    assert presets.PACKAGE_WRAP_UJ == 262_143_328_850
    device = presets.rapl_package("cpu-0", constant(100), start_j=262_143.0)
    readings = values(device, 10.0, 0.001)
    falls = [n for n, (one, other) in enumerate(itertools.pairwise(readings)) if other < one]

    assert len(falls) == 1
    before, after = readings[falls[0]], readings[falls[0] + 1]
    assert before <= presets.PACKAGE_WRAP_UJ
    assert after + presets.PACKAGE_WRAP_UJ + 1 - before == pytest.approx(100_000, abs=125)  # 1 ms, two steps
    assert presets.rapl_dram("dram-0", constant(5)).domain.wrap_uj == 65_712_999_613


def test_a_counter_errs_by_its_gain_and_its_offset() -> None:
    device = SimulatedDevice(domain(), constant(100), gain=1.05, offset_w=3.0)

    assert shown(device, 10.0) == pytest.approx((105 + 3) * 10e6, abs=1)


def test_the_dies_of_one_socket_show_one_counter_and_count_once() -> None:
    die = presets.rapl_package("cpu-0", TRACES["square 1.7 s"], jitter_s=2e-4, seed=5)
    machine = SimulatedMachine([die, die.mirrored("cpu-0-die-1")], seed=7)

    for _ in range(200):
        machine.advance(0.0173)
        readings = machine.sensors[0].read(machine.clock())
        assert readings["cpu-0"] == readings["cpu-0-die-1"]
    assert machine.total_truth_j(0, 3.4) == pytest.approx(230 * 3.4)
    assert machine.truth_j("cpu-0-die-1", 0, 3.4) == pytest.approx(230 * 3.4)


# --- gauges ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trace", TRACES.values(), ids=TRACES.keys())
def test_a_gauge_that_averages_over_its_whole_period_misses_nothing(trace: Trace) -> None:
    device = presets.p100_gauge("gpu-0", trace)
    updates_w = [shown(device, 0.02 * n) / 1e6 for n in range(1, 501)]

    assert statistics.mean(updates_w) == pytest.approx(trace.between_j(0, 10.0) / 10.0, rel=1e-5)


def test_a_gauge_holds_its_value_until_its_next_update() -> None:
    device = presets.a100_gauge("gpu-0", ramp(60, 400, 7.0), phase_s=0.05)
    readings = values(device, 2.0, 0.001)

    moved_ms = [n for n, (one, other) in enumerate(itertools.pairwise(readings), 1) if other != one]

    assert moved_ms == list(range(50, 2001, 100))


def test_a_gauge_that_looks_away_sees_nothing_of_bursts_that_keep_step_with_it() -> None:
    locked = presets.a100_gauge("gpu-0", TRACES["bursts 5 Hz"])
    free = presets.a100_gauge("gpu-0", TRACES["bursts 5 Hz off"])

    def mean_w(device: SimulatedDevice) -> float:
        return statistics.mean(shown(device, 0.1 * n) / 1e6 for n in range(1, 1001))

    assert mean_w(locked) == 60.0  # of 145 W
    assert mean_w(free) == pytest.approx(145, rel=0.01)


def test_a_running_mean_lags_behind_a_step() -> None:
    device = presets.h100_average_gauge("gpu-0", steps([(0, 100), (5.0, 300)]))

    assert [shown(device, t) / 1e6 for t in (5.0, 5.1, 5.5, 6.0, 7.0)] == [100, 120, 200, 300, 300]


def test_a_gauge_without_a_window_shows_the_power_of_the_moment() -> None:
    trace = ramp(60, 400, 7.0)

    assert shown(SimulatedDevice(domain(gauge=True), trace), 3.5) == 230e6
    assert shown(SimulatedDevice(domain(gauge=True), trace, window_s=0, period_s=0.5), 3.9) == 230e6


def test_a_gauge_errs_by_gain_offset_noise_and_steps() -> None:
    device = SimulatedDevice(domain(gauge=True), constant(100), gain=1.05, offset_w=-2.0, period_s=0.1, resolution=0.5)
    noisy = replace(device, noise_w=3.0, resolution=1e-6)
    readings_w = [shown(noisy, 0.1 * n) / 1e6 for n in range(2000)]

    assert shown(device, 1.0) == 103e6
    assert shown(replace(device, trace=constant(100.3)), 1.0) == 103.5e6
    assert shown(replace(device, offset_w=-500.0), 1.0) == 0
    assert statistics.mean(readings_w) == pytest.approx(103, abs=4 * 3 / math.sqrt(2000))
    assert statistics.stdev(readings_w) == pytest.approx(3, rel=0.1)
    assert shown(noisy, 0.1) == shown(noisy, 0.19)


# --- what holds of all ----------------------------------------------------------------------------------------------


@every_preset
def test_every_preset_is_what_its_domain_states_and_says_who_says_so(preset: Callable[..., SimulatedDevice]) -> None:
    device = preset("x-0", constant(100))

    assert device.period_s == device.domain.accuracy.period_s > 0
    assert device.window_s == device.domain.window_s
    assert device.gain == 1.0
    assert 0 < device.domain.accuracy.gain < 0.2
    assert all(source.citation for source in device.domain.accuracy.sources)
    assert device.domain.accuracy.sources
    if device.domain.reading == "counter":
        assert device.resolution == device.domain.accuracy.resolution_j
    assert shown(device, 10.0) == pytest.approx(100e6 if device.domain.reading == "gauge" else 1000e6, rel=1e-6)


@every_preset
def test_what_a_device_shows_depends_on_time_and_seed_and_not_on_who_looks(
    preset: Callable[..., SimulatedDevice],
) -> None:
    def device(seed: int) -> SimulatedDevice:
        plain = preset("x-0", TRACES["square 1.7 s"], seed=seed)
        plain = replace(plain, jitter_s=0.3 * (plain.period_s or 0))
        return plain if plain.domain.reading == "counter" else replace(plain, noise_w=5.0)

    moments = [n * 0.0037 for n in range(400)]
    there = [shown(device(1), t) for t in moments]
    back = [shown(device(1), t) for t in reversed(moments)]

    assert there == back[::-1]
    assert there != [shown(device(2), t) for t in moments]


def test_the_seed_of_a_machine_changes_jitter_and_noise_of_its_devices() -> None:
    def readings(seed: int) -> list[object]:
        noisy = presets.p100_gauge("gpu-0", constant(100), noise_w=2.0)
        machine = SimulatedMachine([noisy, replace(noisy, domain=domain("gpu-1", gauge=True))], seed=seed)
        taken: list[object] = []
        for _ in range(20):
            machine.advance(0.02)
            taken.append(machine.sensors[0].read(machine.clock()))
        return taken

    assert readings(1) == readings(1)
    assert readings(1) != readings(2)
    assert any(r["gpu-0"] != r["gpu-1"] for r in readings(1) if isinstance(r, dict))


def test_devices_drawn_from_a_specification_err_as_it_says_and_hide_it() -> None:
    stated = domain(gain=0.05)
    rng = random.Random(1)
    drawn = [random_like(stated, constant(100), rng) for _ in range(2000)]
    logs = [math.log(device.gain) for device in drawn]
    phases = [device.phase_s for device in drawn]

    assert statistics.mean(logs) == pytest.approx(0, abs=4 * 0.05 / math.sqrt(2000))
    assert statistics.stdev(logs) == pytest.approx(0.05, rel=0.1)
    assert 0 <= min(phases) < 0.001
    assert 0.099 < max(phases) <= 0.1
    assert {(device.period_s, device.resolution) for device in drawn} == {(0.1, 1e-3)}
    assert all(device.domain == stated for device in drawn)
    assert SimulatedMachine.random_like(stated, constant(100), random.Random(1)) == drawn[0]


def test_a_drawn_model_errs_by_its_mix_as_well() -> None:
    model = replace(domain(gain=0.3, mix=0.4), kind="modelled")
    rng = random.Random(2)

    logs = [math.log(random_like(model, constant(100), rng).gain) for _ in range(2000)]

    assert statistics.stdev(logs) == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"gain": -1.0},
        {"period_s": -0.1},
        {"jitter_s": 0.05, "period_s": 0.1},
        {"jitter_s": 0.01},
        {"resolution": 1e-9},
        {"noise_w": 1.0},
    ],
)
def test_a_device_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SimulatedDevice(domain(), constant(100), **wrong)  # type: ignore[arg-type]


@every_preset
def test_a_read_costs_next_to_nothing(preset: Callable[..., SimulatedDevice]) -> None:
    sensor = SimulatedSensor([preset("x-0", TRACES["bursts 20 Hz"])])

    def batch_us() -> float:
        start_ns = time.perf_counter_ns()
        for n in range(200):
            sensor.read(10**15 + n * 7_919_113)
        return (time.perf_counter_ns() - start_ns) / 200 / 1e3

    assert min(batch_us() for _ in range(5)) < 50


# --- faults ---------------------------------------------------------------------------------------------------------


def faulty(*faults: Fault | Reset, **details: float) -> SimulatedDevice:
    return SimulatedDevice(domain(), constant(100), faults=faults, **details)  # type: ignore[arg-type]


def test_a_lost_device_is_unavailable_while_it_is_lost() -> None:
    device = faulty(Lost(1.0, 2.0, "GPU is lost"))

    assert isinstance(device.reading(1_000_000_000), SensorUnavailable)
    assert str(device.reading(1_999_999_999)) == "GPU is lost"
    assert shown(device, 0.999) == 99.9e6
    assert shown(device, 2.0) == 200e6
    assert isinstance(faulty(Lost(1.0)).reading(10**18), SensorUnavailable)


def test_a_denied_device_says_what_would_help() -> None:
    error = faulty(Denied(1.0)).reading(10**9)

    assert isinstance(error, PermissionDenied)
    assert error.remedy


@pytest.mark.parametrize("wrap_uj", [None, 262_143_328_850])
def test_a_counter_that_is_reset_starts_again_at_zero(wrap_uj: int | None) -> None:
    device = replace(faulty(Reset(5.0), Reset(8.0), period_s=0.1, start_j=50.0), domain=domain(wrap_uj=wrap_uj))

    assert [shown(device, t) / 1e6 for t in (4.9, 5.0, 5.05, 6.0, 8.0, 8.1)] == pytest.approx([540, 0, 0, 100, 0, 10])


def test_a_counter_reset_between_updates_shows_zero_until_the_next_one() -> None:
    device = faulty(Reset(5.03), period_s=0.1)

    assert [shown(device, t) / 1e6 for t in (5.02, 5.03, 5.09, 5.1)] == pytest.approx([500, 0, 0, 7])


def test_a_stuck_device_shows_its_old_value_and_a_counter_then_catches_up() -> None:
    counter = faulty(Stuck(1.0, 3.0))
    gauge = SimulatedDevice(domain(gauge=True), ramp(0, 70, 7.0), faults=[Stuck(1.0, 3.0)])

    assert [shown(counter, t) / 1e6 for t in (0.5, 1.0, 2.0, 2.99, 3.0)] == [50, 100, 100, 100, 300]
    assert [shown(gauge, t) / 1e6 for t in (1.0, 2.9, 3.0)] == [10, 10, 30]


def test_garbage_is_a_number_that_no_device_can_have_reached() -> None:
    device = faulty(Garbage(1.0, 1.5), Garbage(2.0, 2.5, 12))

    assert [shown(device, t) for t in (0.5, 1.2, 1.7, 2.2)] == [50_000_000, 2**64 - 1, 170_000_000, 12]


def test_a_sensor_that_raises_does_so_for_all_of_its_domains() -> None:
    good = SimulatedDevice(domain("cpu-0"), constant(10))
    sensor = SimulatedSensor([good, faulty(Raises(1.0, 2.0, "driver bug"))])

    with pytest.raises(RuntimeError, match="driver bug"):
        sensor.read(1_500_000_000)
    assert sensor.read(2_000_000_000) == {"cpu-0": 20_000_000, "gpu-0": 200_000_000}


def test_a_missing_domain_is_not_in_the_reading() -> None:
    good = SimulatedDevice(domain("cpu-0"), constant(10))
    sensor = SimulatedSensor([good, faulty(Missing(1.0, 2.0))])

    assert set(sensor.read(1_500_000_000)) == {"cpu-0"}
    assert set(sensor.read(2_000_000_000)) == {"cpu-0", "gpu-0"}


def test_a_slow_read_takes_its_time_and_holds_up_the_devices_after_it() -> None:
    other = SimulatedDevice(domain("gpu-1"), constant(100))
    machine = SimulatedMachine([faulty(Slow(1.0, 2.0, 0.5)), other])
    machine.advance(1.0)

    readings = machine.sensors[0].read(machine.clock())

    assert machine.clock.now_s == 1.5
    assert readings == {"gpu-0": 150_000_000, "gpu-1": 150_000_000}
    machine.advance(1.0)
    machine.sensors[0].read(machine.clock())
    assert machine.clock.now_s == 2.5


def test_a_slow_read_may_have_its_value_from_the_beginning_of_the_call() -> None:
    machine = SimulatedMachine([faulty(Slow(0.0, takes_s=2.0, sampled=0.0))])

    assert machine.sensors[0].read(machine.clock()) == {"gpu-0": 0}
    assert machine.clock.now_s == 2.0


def test_with_a_real_clock_a_slow_read_takes_real_time() -> None:
    sensor = SimulatedSensor([faulty(Slow(0.0, takes_s=0.02))], clock=time.monotonic_ns)
    start_s = time.monotonic()

    sensor.read(10**9)

    assert time.monotonic() - start_s >= 0.02


def test_of_several_faults_the_first_one_named_shows() -> None:
    device = faulty(Lost(1.0, 2.0), Garbage(0.0, 3.0, 7))

    assert isinstance(device.reading(1_500_000_000), SensorUnavailable)
    assert shown(device, 0.5) == 7


def test_a_slow_device_may_be_lost_by_the_time_it_answers() -> None:
    sensor = SimulatedSensor([faulty(Slow(0.0, takes_s=1.0), Lost(0.5))], clock=SimulatedClock())

    assert isinstance(sensor.read(0)["gpu-0"], SensorUnavailable)


def test_a_fault_can_be_somebodys_own() -> None:
    class Doubled(Fault):
        def shows(self, healthy: Callable[[int], int], now_ns: int) -> int | SensorError | None:
            return 2 * healthy(now_ns)

    assert shown(faulty(Doubled(1.0)), 2.0) == 400_000_000


def test_a_die_may_have_faults_of_its_own_but_shares_resets() -> None:
    socket = faulty(Reset(5.0), Lost(1.0, 2.0))
    die = socket.mirrored("cpu-0-die-1", faults=(Stuck(6.0),))

    assert shown(die, 1.5) == 150_000_000
    assert [shown(die, t) / 1e6 for t in (5.0, 6.0, 9.0)] == [0, 100, 100]


def test_a_slow_fault_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="takes_s"):
        Slow(0.0, takes_s=-1.0)
    with pytest.raises(ValueError, match="sampled"):
        Slow(0.0, sampled=1.5)


# --- clock ----------------------------------------------------------------------------------------------------------


def test_what_is_scheduled_runs_in_order_of_time_with_the_clock_standing_there() -> None:
    clock = SimulatedClock()
    ran: list[tuple[str, float]] = []

    def note(name: str) -> Callable[[], None]:
        return lambda: ran.append((name, clock.now_s))

    for at_s, name in [(0.3, "late"), (0.1, "early"), (0.2, "first"), (0.2, "second"), (9.0, "never")]:
        clock.schedule(round(at_s * 1e9), note(name))
    clock.advance(0.15)
    assert ran == [("early", 0.1)]
    clock.advance(0.85)

    assert ran == [("early", 0.1), ("first", 0.2), ("second", 0.2), ("late", 0.3)]
    assert clock.now_s == 1.0


def test_a_callback_may_schedule_itself_again() -> None:
    clock = SimulatedClock()
    at_ms: list[int] = []

    def tick() -> None:
        at_ms.append(clock() // 10**6)
        clock.schedule(clock() + 100_000_000, tick)

    clock.schedule(50_000_000, tick)
    clock.advance(0.5)

    assert at_ms == [50, 150, 250, 350, 450]


def test_a_callback_that_takes_time_makes_the_next_ones_late_and_drops_none() -> None:
    clock = SimulatedClock()
    at_s: list[float] = []

    def slow() -> None:
        clock.advance(1.0)

    clock.schedule(100_000_000, slow)
    clock.schedule(200_000_000, lambda: at_s.append(clock.now_s))
    clock.schedule(1_050_000_000, lambda: at_s.append(clock.now_s))
    clock.advance(0.5)

    assert at_s == [1.1, 1.1]
    assert clock.now_s == 1.1


def test_a_slow_call_runs_nothing_else_while_it_lasts() -> None:
    clock = SimulatedClock()
    at_s: list[float] = []
    clock.schedule(100_000_000, lambda: at_s.append(clock.now_s))

    clock.spend(0.5)
    assert at_s == []
    clock.advance(0.0)

    assert at_s == [0.5]


def test_a_clock_never_goes_back() -> None:
    clock = SimulatedClock(5.0)
    clock.sleep_until(4_000_000_000)

    assert clock() == 5_000_000_000
    with pytest.raises(ValueError, match="back"):
        clock.advance(-1.0)


def test_a_clock_may_move_with_every_look_at_it() -> None:
    clock = SimulatedClock(step_s=1e-6)

    assert [clock(), clock(), clock.now_ns] == [1000, 2000, 2000]


def test_what_a_callback_raises_comes_out_and_leaves_the_clock_usable() -> None:
    clock = SimulatedClock()
    at_s: list[float] = []
    clock.schedule(100_000_000, lambda: [][0])
    clock.schedule(200_000_000, lambda: at_s.append(clock.now_s))

    with pytest.raises(IndexError):
        clock.advance(1.0)
    clock.advance(0.9)

    assert at_s == [0.2]
    assert clock.now_s == 1.0


# --- sensors and machines -------------------------------------------------------------------------------------------


def test_it_is_a_sensor_like_any_other() -> None:
    sensor = SimulatedSensor.constant({"gpu-0": 300.0, "cpu-0": 50.0, "wall": 9.0}, components={"wall": "board"})

    assert isinstance(sensor, Sensor)
    assert [d.components for d in sensor.domains] == [{Component.GPU}, {Component.CPU}, {Component.BOARD}]
    assert sensor.read(2_000_000_000) == {"gpu-0": 600_000_000, "cpu-0": 100_000_000, "wall": 18_000_000}
    assert (sensor.reads, sensor.closed) == (1, False)
    sensor.close()
    sensor.close()
    assert sensor.closed
    assert SimulatedSensor.constant({"gpu-0": 1.0}, gain=0.1).domains[0].accuracy.gain == 0.1


def test_the_total_truth_counts_each_joule_once() -> None:
    package, memory, board = square(20, 100, 1.7), constant(8), constant(15)
    machine = SimulatedMachine(
        [
            presets.rapl_package("cpu-0", package),
            presets.rapl_package("cpu-0/core", 0.7 * package, parent="cpu-0"),
            presets.rapl_dram("dram-0", memory),
            presets.psys("psys", package + memory + board),
            SimulatedSensor([presets.a100("gpu-0", TRACES["ramp 7 s"])], name="nvml 1"),
        ]
    )

    assert machine.truth_j("psys", 0, 3.4) == pytest.approx((60 + 8 + 15) * 3.4)
    assert machine.truth_j(machine.devices[0].domain, 0, 3.4) == pytest.approx(60 * 3.4)
    assert machine.total_truth_j(0, 11.9) == pytest.approx((60 + 8) * 11.9 + TRACES["ramp 7 s"].energy_j(11.9))
    assert [sensor.name for sensor in machine.sensors] == ["simulated 1", "nvml 1"]
    assert all(sensor.clock is machine.clock for sensor in machine.sensors)


def test_two_devices_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="one name"):
        SimulatedMachine([faulty(), SimulatedSensor([faulty()])])


def test_a_machine_may_share_a_clock() -> None:
    clock = SimulatedClock(100.0)
    machine = SimulatedMachine([faulty()], clock=clock)
    machine.advance(1.0)

    assert clock.now_s == 101.0


# --- docs -----------------------------------------------------------------------------------------------------------

EXAMPLES = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_the_examples_of_the_docs_run(number: int) -> None:
    exec(compile(EXAMPLES[number], f"{DOCS.name}, example {number + 1}", "exec"), {})  # noqa: S102 - our own docs


def test_the_docs_name_every_fault_and_every_preset() -> None:
    text = DOCS.read_text()
    for name in ("Lost", "Denied", "Reset", "Stuck", "Slow", "Garbage", "Raises", "Missing", *PRESETS):
        assert f"`{name}" in text, name
    assert len(EXAMPLES) >= 3
