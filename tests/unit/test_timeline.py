"""The energy curve: exact at constant power, never falling, conserved, and unsure where it cannot be known."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any, Literal

import pytest

from joulemark.boundary import Component
from joulemark.errors import CounterReset, SensorUnavailable
from joulemark.meter import Meter
from joulemark.meter.follow import Point
from joulemark.meter.timeline import KEPT, UNSEEN, Edge, Stretch, Timeline
from joulemark.readings import Accuracy
from joulemark.sensors import Domain
from joulemark.testing import (
    SimulatedDevice,
    SimulatedMachine,
    Trace,
    bursts,
    constant,
    noise,
    presets,
    ramp,
    square,
    steps,
)

TICK_NS = 100_000_000


def domain(reading: Literal["counter", "gauge"] = "counter", **details: Any) -> Domain:
    return Domain(
        name="gpu-0",
        components=frozenset({Component.GPU}),
        kind="measured",
        reading=reading,
        accuracy=Accuracy(gain=0.0, period_s=TICK_NS / 1e9),
        **details,
    )


def line(trace: Trace, ticks: int, *, first: int = 0, unsure_ns: int = 250_000) -> Timeline:
    """The curve of a counter that ticks every 100 ms."""
    timeline = Timeline(domain())
    for tick in range(first, first + ticks):
        time_ns = tick * TICK_NS
        timeline.add(Point(time_ns, unsure_ns, round(trace.between_j(0, time_ns / 1e9) * 1e6)))
    return timeline


def edge(timeline: Timeline, seconds: float) -> Edge:
    found = timeline.edge(round(seconds * 1e9))
    assert isinstance(found, Edge), found
    return found


def stretch(timeline: Timeline, start_s: float, end_s: float) -> Stretch:
    found = timeline.stretch(edge(timeline, start_s), edge(timeline, end_s))
    assert isinstance(found, Stretch), found
    return found


# Between points


@pytest.mark.parametrize(("start_s", "end_s"), [(1.0, 4.0), (1.05, 4.0), (1.234, 3.777), (2.01, 2.02), (2.05, 2.15)])
def test_at_constant_power_any_window_is_exact_and_hardly_unsure(start_s: float, end_s: float) -> None:
    found = stretch(line(constant(200), 60), start_s, end_s)

    assert found.energy_j == pytest.approx(200 * (end_s - start_s), abs=1e-9)
    # A tick lies within ±0.25 ms, and its course is taken to vary by 0.6 % at least.
    assert found.edges_j <= math.hypot(200 * 0.25e-3, 20 * 0.006) * math.sqrt(2)
    assert found.sampling_j == 0


def test_at_a_tick_only_its_time_is_unsure() -> None:
    found = edge(line(square(60, 400, 0.33), 60), 3.0)

    assert found.within_uj == 0
    assert found.when_uj > 0


@pytest.mark.parametrize("trace", [constant(100), square(60, 400, 0.33), ramp(60, 400, 2.2), noise(200, 90, 0.03)])
def test_the_curve_never_falls(trace: Trace) -> None:
    timeline = line(trace, 40)

    energies_uj = [edge(timeline, ms / 1e3).energy_uj for ms in range(0, 3901, 7)]

    assert all(a <= b for a, b in itertools.pairwise(energies_uj))


@pytest.mark.parametrize("seed", range(5))
def test_adjacent_windows_add_up_to_the_whole(seed: int) -> None:
    draw = random.Random(seed)
    timeline = line(noise(200, 90, 0.03, seed=seed), 60)
    moments_s = sorted(draw.uniform(-0.1, 6.05) for _ in range(30))

    parts = [stretch(timeline, a, b).energy_j for a, b in itertools.pairwise(moments_s)]

    assert math.fsum(parts) == pytest.approx(stretch(timeline, moments_s[0], moments_s[-1]).energy_j, abs=1e-6)
    assert all(part >= 0 for part in parts)


def test_a_window_of_no_time_has_no_energy_and_no_doubt() -> None:
    found = stretch(line(square(60, 400, 0.33), 60), 2.03, 2.03)

    assert found.energy_j == 0
    assert found.edges_j <= 2 * edge(line(square(60, 400, 0.33), 60), 2.03).when_uj / 1e6


def test_within_one_tick_what_matters_is_the_part_of_it() -> None:
    """All of a tick is known, however unsure its halves are."""
    timeline = line(noise(200, 90, 0.02, seed=4), 60)
    half, all_but_nothing = stretch(timeline, 2.0, 2.05), stretch(timeline, 2.0, 2.0999)

    assert edge(timeline, 2.05).tick == edge(timeline, 2.0).tick
    assert half.edges_j > 3 * all_but_nothing.edges_j


def test_the_more_uneven_the_ticks_the_less_sure_an_edge_between_them() -> None:
    within_uj = [edge(line(noise(200, sd_w, 0.1, seed=3), 60), 3.05).within_uj for sd_w in (0, 10, 40)]

    assert within_uj[0] < within_uj[1] < within_uj[2]


def test_nothing_hides_more_than_the_energy_above_the_floor() -> None:
    """A tick at the lowest power ever seen has no room for bursts, whatever the ticks around it do."""
    timeline = line(square(60, 400, 1.0), 100)  # every tick of it is at 60 W or at 400 W

    assert edge(timeline, 5.75).within_uj < 0.05 * 60 * 0.1 * 1e6
    assert edge(timeline, 5.25).within_uj < 0.6 * 400 * 0.1 * 1e6


@pytest.mark.parametrize(
    ("trace", "length_s"),
    [(square(60, 400, 1.7), 1.0), (noise(200, 60, 0.05, seed=9), 0.3), (ramp(60, 400, 7.0), 1.0)],
    ids=["square", "noise", "ramp"],
)
def test_the_uncertainty_of_edges_covers_what_lies_between_ticks(trace: Trace, length_s: float) -> None:
    timeline, draw = line(trace, 400), random.Random(7)
    errors = []
    for _ in range(300):
        start_s = draw.uniform(3, 38)
        found = stretch(timeline, start_s, start_s + length_s)
        errors.append(abs(found.energy_j - trace.between_j(start_s, start_s + length_s)) / found.edges_j)

    assert sum(error < 1.96 for error in errors) >= 0.88 * len(errors)


# Beyond points


@pytest.mark.parametrize("beyond_s", [0.01, 0.05, 0.15])
def test_beyond_its_points_the_curve_goes_on_for_a_little_and_is_quite_unsure(beyond_s: float) -> None:
    timeline = line(constant(200), 21, first=20)
    after, before = edge(timeline, 4.0 + beyond_s), edge(timeline, 2.0 - beyond_s)

    assert after.energy_uj == pytest.approx(200e6 * (4.0 + beyond_s))
    assert before.energy_uj == pytest.approx(200e6 * (2.0 - beyond_s))
    assert after.within_uj == before.within_uj == pytest.approx(200e6 * beyond_s)
    assert after.tick is None


def test_far_beyond_its_points_nothing_is_known_and_the_reason_is_named() -> None:
    timeline = line(constant(200), 21, first=20)

    assert "no longer on record" in str(timeline.edge(1_000_000_000))
    assert "shown nothing new for 6.0 s" in str(timeline.edge(10_000_000_000))
    timeline.error = SensorUnavailable("gpu-0: GPU is lost")
    assert timeline.edge(10_000_000_000) is timeline.error
    assert isinstance(timeline.edge(3_000_000_000), Edge), "what was known before stays known"


def test_a_curve_without_points_has_not_been_read_or_says_why_it_cannot_be() -> None:
    timeline = Timeline(domain())
    assert "no update yet" in str(timeline.edge(0))
    assert timeline.until_ns == 0

    timeline.error = SensorUnavailable("gone")
    assert timeline.edge(0) is timeline.error


def test_a_lone_point_has_no_power_to_go_on_with() -> None:
    timeline = line(constant(200), 1, first=20)
    timeline.error = SensorUnavailable("gone")

    assert timeline.edge(1_990_000_000) is timeline.error
    assert timeline.edge(2_010_000_000) is timeline.error


def test_only_the_latest_points_are_kept() -> None:
    timeline = line(constant(200), KEPT + 100)

    assert len(timeline.points) == KEPT
    assert timeline.until_ns == (KEPT + 99) * TICK_NS
    assert "no longer on record" in str(timeline.edge(TICK_NS))


def test_a_point_that_is_not_later_than_the_last_is_left_out() -> None:
    timeline = line(constant(200), 10)
    timeline.add(Point(9 * TICK_NS, 0, 10**12))

    assert timeline.until_ns == 9 * TICK_NS
    assert edge(timeline, 0.9).energy_uj == 180e6


# Breaks


def broken() -> Timeline:
    """Twenty ticks, a reset, and twenty more."""
    timeline = Timeline(domain())
    for tick in range(20):
        timeline.add(Point(tick * TICK_NS, 250_000, tick * 20_000_000))
    timeline.reasons.append(CounterReset("gpu-0: it was reset"))
    for tick in range(30, 50):
        timeline.add(Point(tick * TICK_NS, 250_000, tick * 20_000_000, breaks=1))
    return timeline


def test_no_energy_is_told_across_a_break_but_its_reason() -> None:
    timeline = broken()

    assert timeline.stretch(edge(timeline, 1.0), edge(timeline, 4.0)) is timeline.reasons[0]
    assert stretch(timeline, 0.5, 1.5).energy_j == pytest.approx(200)
    assert stretch(timeline, 3.5, 4.5).energy_j == pytest.approx(200)


def test_an_edge_within_a_break_is_unavailable_with_its_reason() -> None:
    timeline = broken()

    assert timeline.edge(2_450_000_000) is timeline.reasons[0]
    # Near its ends the curves are continued, each on its own side.
    assert edge(timeline, 1.95).breaks == 0
    assert edge(timeline, 2.95).breaks == 1


def test_of_two_breaks_the_first_one_in_a_window_is_named() -> None:
    timeline = broken()
    timeline.reasons.append(CounterReset("gpu-0: again"))
    for tick in range(60, 80):
        timeline.add(Point(tick * TICK_NS, 250_000, tick * 20_000_000, breaks=2))

    assert str(timeline.stretch(edge(timeline, 1.0), edge(timeline, 7.0))) == "gpu-0: it was reset"
    assert str(timeline.stretch(edge(timeline, 4.0), edge(timeline, 7.0))) == "gpu-0: again"


# Gauges


def test_the_sampling_error_of_a_window_is_what_was_added_within_it() -> None:
    timeline = Timeline(domain("gauge"))
    for tick in range(41):
        timeline.add(Point(tick * TICK_NS, 0, tick * 20_000_000, sampling_uj2=tick * 4e12))

    found = stretch(timeline, 1.0, 3.5)

    assert found.sampling_j == pytest.approx(math.sqrt(25 * 4))
    assert stretch(timeline, 1.0, 1.05).sampling_j == pytest.approx(math.sqrt(2))


WINDOW_S = 1.0


def running_mean(trace: Trace, ticks: int, *, unsure_ns: int = 0) -> Timeline:
    """The curve of a gauge that shows the mean of the last second every 100 ms; each tick lies amid its second."""
    timeline = Timeline(domain("gauge", window_s=WINDOW_S))
    energy_j = 0.0
    for tick in range(ticks):
        shown_s = tick * TICK_NS / 1e9
        energy_j += trace.between_j(shown_s - WINDOW_S, shown_s) / WINDOW_S * TICK_NS / 1e9
        timeline.add(Point(tick * TICK_NS - 450_000_000, unsure_ns, round(energy_j * 1e6)))
    return timeline


RESTLESS = [square(60, 400, 1.7), bursts(60, 400, 4.68, 0.25), ramp(60, 400, 7.0), noise(200, 60, 0.3, seed=2)]
RESTLESS_IDS = ["square", "bursts", "ramp", "noise"]


@pytest.mark.parametrize("trace", RESTLESS, ids=RESTLESS_IDS)
@pytest.mark.parametrize("windows", [1, 3, 10])
def test_whole_windows_of_a_running_mean_are_exact_whatever_the_power_does(trace: Trace, windows: int) -> None:
    timeline = running_mean(trace, 300)

    for start_s in (5.0, 6.3, 9.9):  # at updates
        found = stretch(timeline, start_s, start_s + windows * WINDOW_S)
        assert found.energy_j == pytest.approx(trace.between_j(start_s, start_s + windows * WINDOW_S), abs=1e-4)
        assert found.edges_j < 0.01 * found.energy_j


def test_of_a_part_of_its_window_a_running_mean_tells_no_course_even_if_it_shows_one_value() -> None:
    """Bursts in step with the window leave nothing to see."""
    steady, busy = (running_mean(trace, 300) for trace in (constant(145), bursts(60, 400, 5.0, 0.25)))

    for timeline in (steady, busy):
        assert stretch(timeline, 10.0, 10.5).edges_j == pytest.approx(UNSEEN * 145 / 2, rel=0.02)
        assert stretch(timeline, 10.0, 15.5).edges_j == pytest.approx(UNSEEN * 145 / 2, rel=0.02)


def test_a_step_near_an_edge_of_a_running_mean_costs_no_more_than_it_may() -> None:
    """A step of 340 W at an edge is off by 340 W over an eighth of the window."""
    timeline = running_mean(steps([(0.0, 60.0), (20.0, 400.0)]), 400)

    for after_s in (-0.4, -0.1, 0.0, 0.2, 0.45):
        lags_j = [lag / 1e6 for lag in edge(timeline, 20.0 + after_s).lags_uj]
        off_j = 340 * (0.5 - abs(after_s)) ** 2 / 2
        assert min(abs(lag - off_j) for lag in lags_j) < 0.04 * 340 * 0.5, "one of both is right"
        assert max(lags_j) <= 340 / 8 * 1.01
    assert edge(timeline, 15.0).lags_uj == pytest.approx((0, 0), abs=10)


@pytest.mark.parametrize("trace", RESTLESS, ids=RESTLESS_IDS)
@pytest.mark.parametrize("length_s", [0.4, 1.0, 2.37, 10.0, 10.6])
def test_the_uncertainty_of_a_running_mean_covers_its_error(trace: Trace, length_s: float) -> None:
    timeline, draw = running_mean(trace, 400), random.Random(5)
    held = 0
    for _ in range(200):
        start_s = draw.uniform(3, 25)
        found, truth_j = stretch(timeline, start_s, start_s + length_s), trace.between_j(start_s, start_s + length_s)
        wide = 1.96 * found.edges_j / found.energy_j  # a figure's interval is one of factors
        held += abs(math.log(found.energy_j / truth_j)) <= wide + 1e-6

    assert held >= 0.88 * 200


def test_where_a_running_mean_shows_too_little_an_edge_is_anywhere_in_its_window() -> None:
    timeline = running_mean(constant(200), 3)

    assert stretch(timeline, -0.4, -0.3).edges_j >= 200 / math.sqrt(12)


# When ticks were


def test_ticks_that_are_all_late_shift_both_edges_alike() -> None:
    late_ns = 5_000_000
    steady, rising = (line(trace, 60, unsure_ns=late_ns) for trace in (constant(200), ramp(60, 400, 7.0)))

    assert stretch(steady, 2.05, 2.55).edges_j < 200 * 0.005 / 2
    assert stretch(rising, 2.05, 2.55).edges_j >= 340 / 7 * 0.5 * 0.005 / math.sqrt(3)
    far = stretch(steady, 2.05, 5.05).edges_j
    assert far == pytest.approx(200 * 0.005 * math.sqrt(2 / 3), rel=0.05), "their period is not known exactly"


def test_ticks_that_come_irregularly_count_at_each_edge() -> None:
    draw, timeline = random.Random(3), Timeline(domain())
    for tick in range(60):
        late_ns = round(draw.uniform(-5e6, 5e6))
        timeline.add(Point(tick * TICK_NS + late_ns, 5_000_000, tick * 20_000_000))

    assert stretch(timeline, 2.05, 2.55).edges_j > 200 * 0.005 / math.sqrt(3)


def test_few_ticks_tell_less_of_how_uneven_they_are() -> None:
    """Student's t: one degree of freedom is worth six times the width."""
    powers_w = [200.0, 202.0, 200.0]
    few, many = Timeline(domain()), Timeline(domain())
    for timeline, count in ((few, 3), (many, 30)):
        energy_uj = 0.0
        for tick in range(count + 1):
            timeline.add(Point(tick * TICK_NS, 0, round(energy_uj)))
            energy_uj += powers_w[tick % 2] * TICK_NS / 1e3

    assert edge(few, 0.15).within_uj > edge(many, 0.15).within_uj


# As the meter uses it


def sinusoid() -> Trace:
    class Sinusoid(Trace):
        """100 W, and 60 W more or less with a period of seven seconds."""

        def power_w(self, t_s: float) -> float:
            return 100 + 60 * math.sin(2 * math.pi / 7 * t_s)

        def energy_j(self, t_s: float) -> float:
            return 100 * t_s + 60 * 7 / (2 * math.pi) * (1 - math.cos(2 * math.pi / 7 * t_s))

    return Sinusoid()


@pytest.mark.parametrize("phase_s", [0.0, 0.03, 0.07])
def test_an_edge_is_as_sure_as_it_says_wherever_the_ticks_are(phase_s: float) -> None:
    gpu: SimulatedDevice = presets.a100("gpu-0", sinusoid(), phase_s=phase_s)
    machine = SimulatedMachine([gpu])
    meter = Meter(machine.sensors, clock_ns=machine.clock)
    machine.advance(0.5)
    with meter.measure() as window:
        machine.advance(5)

    energy = window.record.energies[0]
    assert energy.energy_j is not None
    assert energy.edges_j is not None
    assert abs(energy.energy_j - machine.truth_j("gpu-0", 0.5, 5.5)) < 3 * energy.edges_j
