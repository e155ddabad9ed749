"""Followers: ticks are found, points tell when they were, and nothing that went wrong is taken for energy."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from joulemark.boundary import Component
from joulemark.errors import AbsurdReading, CounterReset, SensorError, SensorUnavailable
from joulemark.meter.follow import Follower, GaugeFollower, Point, ReadingFollower, TickFollower, follower
from joulemark.readings import Accuracy
from joulemark.sensors import Domain
from joulemark.testing import (
    Fault,
    Garbage,
    Lost,
    Reset,
    SimulatedDevice,
    Stuck,
    Trace,
    constant,
    noise,
    square,
    steps,
)

POWER_W = 100.0
TAKES_NS = 20_000
"""How long a reading takes here."""


def domain(
    period_s: float,
    reading: Literal["counter", "gauge"] = "counter",
    *,
    wrap_uj: int | None = None,
    window_s: float | None = None,
) -> Domain:
    return Domain(
        name="gpu-0",
        components=frozenset({Component.GPU}),
        kind="measured",
        reading=reading,
        accuracy=Accuracy(gain=0.0, period_s=period_s),
        wrap_uj=wrap_uj,
        window_s=window_s,
    )


def counter(period_s: float = 0.1, *, stated_s: float | None = None, **details: Any) -> SimulatedDevice:
    wrap_uj = details.pop("wrap_uj", None)
    shown = domain(stated_s or period_s, wrap_uj=wrap_uj)
    return SimulatedDevice(shown, constant(POWER_W), period_s=period_s, **{"phase_s": 0.4 * period_s, **details})


def gauge(trace: Trace, period_s: float = 0.02, **details: Any) -> SimulatedDevice:
    shown = domain(period_s, "gauge", window_s=details.get("window_s"))
    return SimulatedDevice.as_stated(shown, trace, **{"phase_s": 0.35 * period_s, **details})


@dataclass
class Course:
    """A device that is followed: read when its follower asks for it."""

    device: SimulatedDevice
    now_s: float = 1.0
    points: list[Point] = field(default_factory=list)
    reads: int = 0
    one: Follower = field(init=False)

    def __post_init__(self) -> None:
        self.one = follower(self.device.domain)
        self._began_ns = self.device.updated_ns(round(self.now_s * 1e9))

    def follow(self, seconds: float) -> Sequence[Point]:
        """Read for some time; give the points that came of it."""
        now_ns, before = round(self.now_s * 1e9), len(self.points)
        self.now_s += seconds
        while now_ns < self.now_s * 1e9:
            shown = self.device.reading(now_ns + TAKES_NS // 2)
            assert shown is not None
            self.points += self.one.feed(now_ns, now_ns + TAKES_NS, shown)
            self.reads += 1
            wait_ns = TAKES_NS if self.one.error is None else self.one.period_ns  # as a tracker does at least
            now_ns = max(self.one.due_ns(), now_ns + wait_ns)
        return self.points[before:]

    def error(self) -> SensorError | None:
        return self.one.error

    def pause(self, seconds: float) -> None:
        self.one.pause()
        self.now_s += seconds

    def off_ns(self, point: Point) -> float:
        """How far a counter's point is from the moment at which that much energy had flowed."""
        return point.time_ns - (self._began_ns + point.energy_uj / POWER_W * 1e3)


def test_what_is_updated_often_is_read_and_what_is_not_is_followed() -> None:
    assert isinstance(follower(domain(0.0)), ReadingFollower)
    assert isinstance(follower(domain(1e-3)), ReadingFollower)
    assert isinstance(follower(domain(0.02)), TickFollower)
    assert isinstance(follower(domain(0.02, "gauge")), GaugeFollower)
    assert isinstance(follower(domain(0.0, "gauge")), GaugeFollower)


# Ticks


@pytest.mark.parametrize("stated_s", [0.02, 0.05, 0.1])
@pytest.mark.parametrize("times", [0.5, 0.93, 1.0, 1.0004, 1.3, 1.9])
def test_the_period_of_a_counter_is_learned_whatever_is_stated(stated_s: float, times: float) -> None:
    course = Course(counter(stated_s * times, stated_s=stated_s))
    assert course.one.period_ns == round(stated_s * 1e9)

    course.follow(200 * stated_s)

    assert course.one.period_ns == pytest.approx(stated_s * times * 1e9, rel=1e-3)
    assert course.one.steady
    assert course.one.error is None


@pytest.mark.parametrize("period_s", [0.02, 0.03, 0.05, 0.1])
@pytest.mark.parametrize("phase", [0.0, 0.21, 0.5, 0.86])
def test_points_bracket_the_ticks_and_come_to_be_sure_of_them(period_s: float, phase: float) -> None:
    course = Course(counter(period_s, phase_s=phase * period_s))

    points = course.follow(100 * period_s)

    assert all(abs(course.off_ns(point)) <= point.unsure_ns + TAKES_NS for point in points)
    assert max(point.unsure_ns for point in points[40:]) < 1e6
    steps_uj = [b.energy_uj - a.energy_uj for a, b in itertools.pairwise(points)]
    assert steps_uj == [round(POWER_W * period_s * 1e6)] * len(steps_uj), "each tick is there, once"


def test_what_was_shown_before_the_first_tick_had_been_shown_for_a_period() -> None:
    course = Course(counter(0.1, phase_s=0.07))

    first, *_ = course.follow(1)

    assert first.energy_uj == 0
    assert abs(first.time_ns - 0.97e9) <= first.unsure_ns


def test_a_learned_counter_takes_hardly_more_readings_than_it_has_ticks() -> None:
    course = Course(counter(0.1))
    course.follow(5)
    course.reads = 0

    ticks = len(course.follow(10))

    assert ticks == pytest.approx(100, abs=1)
    assert course.reads <= 1.7 * ticks


@pytest.mark.parametrize("seed", range(8))
def test_ticks_are_found_again_after_pauses_of_any_length(seed: int) -> None:
    draw = random.Random(seed)
    period_s = draw.choice([0.02, 0.05, 0.1])
    course = Course(counter(period_s * draw.choice([0.9, 1.0, 1.0003, 1.15]), stated_s=period_s))
    for _ in range(12):
        found = course.follow(draw.uniform(0.3, 3))
        assert found or len(course.points) == 0
        course.pause(10 ** draw.uniform(-1, 4))

    assert all(abs(course.off_ns(point)) <= point.unsure_ns + TAKES_NS for point in course.points)
    assert course.one.reasons == []


@pytest.mark.parametrize("hours", [1, 5, 24])
def test_a_grid_that_was_lost_in_hours_of_pause_is_found_again_within_a_few_ticks(hours: float) -> None:
    course = Course(counter(0.1))
    course.follow(5)
    course.pause(hours * 3600)

    points = course.follow(1)

    assert len(points) >= 5
    assert all(abs(course.off_ns(point)) <= point.unsure_ns + TAKES_NS for point in points)
    # Nothing is lost: a counter goes on while nobody looks.
    assert (points[-1].energy_uj - course.points[0].energy_uj) / 1e6 == pytest.approx(
        POWER_W * (hours * 3600 + 6), 1e-3
    )


@pytest.mark.parametrize("jitter", [0.01, 0.03, 0.1])
@pytest.mark.parametrize("period_s", [0.02, 0.05, 0.1])
def test_jitter_is_learned_and_the_brackets_are_as_wide_as_it_is(period_s: float, jitter: float) -> None:
    outside = total = 0
    for seed in range(6):
        course = Course(counter(period_s, jitter_s=jitter * period_s, seed=seed))
        for _ in range(4):
            course.follow(60 * period_s)
            course.pause(5.3)
        later = course.points[20:]
        total += len(later)
        # What is said to be uniform within the bracket may be off by the jitter that was not seen yet.
        outside += sum(abs(course.off_ns(p)) > 2 * p.unsure_ns + TAKES_NS for p in later)
        assert course.one.period_ns == pytest.approx(period_s * 1e9, rel=2 * jitter)

    assert total > 500
    assert outside < 0.05 * total


def test_a_counter_that_ticks_faster_than_it_is_read_has_a_point_at_each_reading() -> None:
    course = Course(counter(0.0001, stated_s=0.02))

    course.follow(1)
    points = course.follow(1)

    assert len(points) == pytest.approx(50, abs=2)
    assert all(abs(course.off_ns(point)) <= point.unsure_ns for point in points)
    assert course.one.steady


# What goes wrong with counters


def test_a_counter_that_stalls_has_no_points_meanwhile_and_has_lost_nothing() -> None:
    course = Course(counter(faults=[Stuck(5.0, 7.0)]))

    points = course.follow(9)

    assert not [p for p in points if 5.1e9 < p.time_ns < 6.9e9]
    assert course.one.reasons == []
    assert all(abs(course.off_ns(point)) <= point.unsure_ns + TAKES_NS for point in points if point.time_ns < 5e9)
    late = [p for p in points if p.time_ns > 7.5e9]
    assert late
    assert all(abs(course.off_ns(point)) < 5e6 for point in late)


def test_a_stalled_counter_is_looked_at_more_and_more_seldom() -> None:
    course = Course(counter(faults=[Stuck(5.0, 50.0)]))
    course.follow(4)
    course.reads = 0

    course.follow(40)

    assert course.reads < 2 * 400


@pytest.mark.parametrize("wrap_uj", [None, 99_999_999_999])
def test_a_reset_is_a_break_with_its_reason_and_what_follows_starts_anew(wrap_uj: int | None) -> None:
    course = Course(counter(start_j=5000.0, wrap_uj=wrap_uj, faults=[Reset(5.03)]))

    points = course.follow(9)

    assert [type(reason) for reason in course.one.reasons] == [CounterReset]
    assert {p.breaks for p in points if p.time_ns < 5e9} == {0}
    after = [p for p in points if p.breaks == 1]
    assert len(after) > 30
    assert course.one.error is None
    for a, b in itertools.pairwise(after):
        assert (b.energy_uj - a.energy_uj) / 1e6 == pytest.approx(10, rel=1e-6)


def test_wraps_are_counted_through() -> None:
    course = Course(counter(wrap_uj=999_999_999))  # 1 kJ: every ten seconds

    points = course.follow(35)

    assert points[-1].energy_uj == pytest.approx(35 * POWER_W * 1e6, rel=0.01)
    assert all(abs(course.off_ns(point)) <= point.unsure_ns + TAKES_NS for point in points)
    assert course.one.reasons == []


def test_a_counter_that_may_have_wrapped_unseen_breaks() -> None:
    course = Course(counter(wrap_uj=999_999_999))
    course.follow(5)
    course.pause(60)

    course.follow(2)

    assert "more than one wrap" in str(course.one.reasons[0])


def test_garbage_that_is_shown_for_a_moment_costs_nothing() -> None:
    course = Course(counter(faults=[Garbage(4.95, 5.12)]))
    course.follow(3)
    course.points.clear()

    points = course.follow(4)

    assert course.one.reasons == []
    assert course.one.error is None
    assert (points[-1].energy_uj - points[0].energy_uj) / 1e6 == pytest.approx(
        POWER_W * (points[-1].time_ns - points[0].time_ns) / 1e9, rel=2e-3
    )


@pytest.mark.parametrize("value", [2**64 - 1, -5])
def test_an_absurd_reading_is_an_error_while_it_is_shown(value: int) -> None:
    one = TickFollower(domain(0.1))
    for now_ns in range(0, 500_000_000, 10_000_000):
        one.feed(now_ns, now_ns, now_ns // 100_000_000 * 10_000_000)

    one.feed(500_000_000, 500_000_000, value)

    assert isinstance(one.error, AbsurdReading)
    one.feed(510_000_000, 510_000_000, 50_000_000)
    assert one.error is None


@dataclass(frozen=True, slots=True)
class Elsewhere(Fault):
    """The counter stands a gigajoule higher, and goes on from there."""

    def shows(self, healthy: Callable[[int], int], now_ns: int) -> int:
        return healthy(now_ns) + 10**15


def test_a_counter_that_stays_where_it_cannot_have_come_to_breaks_with_that_reason() -> None:
    course = Course(counter(faults=[Elsewhere(5.0)]))

    points = course.follow(9)

    assert [type(reason) for reason in course.one.reasons] == [AbsurdReading]
    assert "more than 1000 W" in str(course.one.reasons[0])
    assert [p for p in points if p.breaks == 1]
    assert points[-1].energy_uj < 10**9, "and it is not taken for energy"


@pytest.mark.parametrize("device", [counter(faults=[Lost(5.0, 7.0)]), counter(0.001, faults=[Lost(5.0, 7.0)])])
def test_a_failed_reading_is_an_error_until_it_can_be_read_again_and_loses_nothing(device: SimulatedDevice) -> None:
    course = Course(device)
    read = SensorUnavailable("the simulated device is lost")
    course.follow(4.5)
    course.one.feed(6_000_000_000, 6_000_000_000, read)
    assert course.error() is read
    course.now_s = 7.5

    points = course.follow(2)

    assert course.error() is None
    assert course.one.reasons == []
    assert all(abs(course.off_ns(point)) <= point.unsure_ns + 1e6 + TAKES_NS for point in points)


def test_a_quick_counter_asks_to_be_read_three_times_a_wrap() -> None:
    one = ReadingFollower(domain(1e-3, wrap_uj=262_143_328_850))
    one.feed(0, 10, 5)

    assert one.due_ns() == pytest.approx(262e9 / 3, rel=1e-3)
    assert ReadingFollower(domain(1e-3)).due_ns() > 1e18


# Gauges


@pytest.mark.parametrize("period_s", [0.02, 0.05, 0.1])
def test_each_update_of_a_gauge_is_added_once(period_s: float) -> None:
    trace = noise(200, 80, period_s, seed=5).shifted(0.35 * period_s)  # another power at each update
    course = Course(gauge(trace, period_s))
    course.follow(1)

    points = course.follow(200 * period_s)

    first, last = points[0], points[-1]
    updates = [course.device.updated_ns(p.time_ns + round(period_s * 5e8)) for p in (first, last)]
    assert len(points) - 1 == round((updates[1] - updates[0]) / period_s / 1e9)
    truth_j = trace.between_j(updates[0] / 1e9, updates[1] / 1e9)
    assert (last.energy_uj - first.energy_uj) / 1e6 == pytest.approx(truth_j, rel=1e-3)
    assert all(abs(p.time_ns - course.device.updated_ns(p.time_ns + round(period_s * 5e8))) < 2e6 for p in points)


def test_a_learned_gauge_is_read_about_once_an_update() -> None:
    course = Course(gauge(noise(200, 80, 0.02, seed=1).shifted(0.007)))
    course.follow(2)
    course.reads = 0

    course.follow(10)

    assert course.reads == pytest.approx(500, rel=0.15)


def test_updates_that_were_missed_widen_the_sampling_error_and_seen_ones_hardly_do() -> None:
    course = Course(gauge(square(60, 400, 0.9)))
    points = course.follow(5)
    seen_uj2 = points[-1].sampling_uj2

    course.now_s += 0.45  # nobody reads for 22 updates, in which the power jumps
    points = course.follow(0.5)
    missed_uj = (points[0].sampling_uj2 - seen_uj2) ** 0.5

    assert course.one.reasons == []
    # Half a gap of 0.45 s with 340 W more or less, spread uniformly.
    assert missed_uj / 1e6 == pytest.approx(340 * 0.45 / 12**0.5, rel=0.15)
    assert seen_uj2**0.5 / 1e6 < 0.01 * 5 * 230


def test_a_gauge_that_looks_away_says_what_that_may_hide() -> None:
    trace = square(60, 400, 1.0)
    whole = Course(gauge(trace, 0.1)).follow(5)[-1]
    part = Course(gauge(trace, 0.1, window_s=0.025)).follow(5)[-1]

    assert part.sampling_uj2 > 2 * whole.sampling_uj2


def test_a_constant_gauge_needs_no_grid() -> None:
    points = Course(gauge(constant(150))).follow(3)

    elapsed_s = (points[-1].time_ns - points[0].time_ns) / 1e9
    assert elapsed_s > 2.9
    assert (points[-1].energy_uj - points[0].energy_uj) / 1e6 == pytest.approx(150 * elapsed_s, rel=1e-6)


@pytest.mark.parametrize("times", [0.0, 0.1, 0.2, 0.5])
def test_a_gauge_that_is_quicker_than_it_states_is_followed_all_the_same(times: float) -> None:
    trace = noise(250, 20, 0.5, seed=2)
    device = SimulatedDevice(domain(0.1, "gauge"), trace, period_s=0.1 * times, window_s=0.1 * times)
    course = Course(device)

    points = course.follow(10)

    assert course.one.reasons == []
    energy_j = (points[-1].energy_uj - points[0].energy_uj) / 1e6
    truth_j = trace.between_j(points[0].time_ns / 1e9, points[-1].time_ns / 1e9)
    assert energy_j == pytest.approx(truth_j, rel=0.02)


def test_a_gauge_that_jumps_once_in_minutes_is_not_lost() -> None:
    trace = steps([(0.0, 100.0), (130.0, 300.0)])
    course = Course(gauge(trace, 0.1))

    points = course.follow(200)

    assert course.one.reasons == []
    energy_j = (points[-1].energy_uj - points[0].energy_uj) / 1e6
    truth_j = trace.between_j(points[0].time_ns / 1e9, points[-1].time_ns / 1e9)
    assert energy_j == pytest.approx(truth_j, rel=1e-3)


def test_a_pause_of_a_gauge_is_a_break() -> None:
    course = Course(gauge(constant(100)))
    course.follow(2)
    course.pause(5)

    points = course.follow(1)

    assert {p.breaks for p in points} == {1}
    assert "no window was open" in str(course.one.reasons[0])


@pytest.mark.parametrize(
    ("seen", "reason"),
    [(SensorUnavailable("GPU is lost"), "GPU is lost"), (None, "no power reading for 3.0 s")],
)
def test_a_gauge_that_was_silent_for_long_breaks_and_says_why(seen: SensorError | None, reason: str) -> None:
    course = Course(gauge(constant(100)))
    course.follow(2)
    if seen is not None:
        course.one.feed(3_100_000_000, 3_100_000_000, seen)
        assert course.error() is seen
    course.now_s += 3

    points = course.follow(1)

    assert points[-1].breaks == 1
    assert reason in str(course.one.reasons[0])
    assert course.error() is None


@pytest.mark.parametrize("value_uw", [-1, 1_000_000_001, 2**64 - 1])
def test_a_power_that_nothing_can_draw_is_an_error_and_no_energy(value_uw: int) -> None:
    one = GaugeFollower(domain(0.02, "gauge"))
    one.feed(0, 0, 100_000_000)

    assert one.feed(20_000_000, 20_000_000, value_uw) == ()
    assert isinstance(one.error, AbsurdReading)


def test_a_gap_in_a_gauge_is_unsure_even_if_the_power_is_the_same_on_both_sides() -> None:
    course = Course(gauge(square(60, 400, 0.9)))
    points = course.follow(5)
    seen_uj2 = points[-1].sampling_uj2

    course.now_s += 0.9  # a whole period of the load: nobody saw what it did
    points = course.follow(0.5)

    assert course.one.reasons == []
    assert (points[0].sampling_uj2 - seen_uj2) ** 0.5 / 1e6 > 10


def test_a_gauge_that_is_updated_more_often_than_it_states_is_followed_all_the_same() -> None:
    trace = square(100, 300, 0.7)
    device = SimulatedDevice(gauge(trace, 0.1).domain, trace, period_s=0.02, window_s=0.02)
    course = Course(device)
    course.follow(5)

    points = course.follow(5)

    assert course.one.reasons == []
    assert len(points) > 20
    elapsed_s = (points[-1].time_ns - points[0].time_ns) / 1e9
    truth_j = trace.between_j(points[0].time_ns / 1e9, points[-1].time_ns / 1e9)
    assert (points[-1].energy_uj - points[0].energy_uj) / 1e6 == pytest.approx(truth_j, abs=0.1 * 300), elapsed_s


def stuck(trace: Trace, start_s: float, end_s: float) -> tuple[float, float, float]:
    """Give what a gauge showed while it was stuck, the truth, and the standard uncertainty it stated, in joules."""
    device = SimulatedDevice(domain(0.02, "gauge"), trace, period_s=0.02, faults=[Stuck(start_s, end_s)])
    points = Course(device).follow(end_s + 2)
    first, last = (min(points, key=lambda p: abs(p.time_ns - at_s * 1e9)) for at_s in (start_s - 0.1, end_s + 0.1))
    truth_j = trace.between_j(first.time_ns / 1e9, last.time_ns / 1e9)
    unsure_uj = (last.sampling_uj2 - first.sampling_uj2) ** 0.5
    return (last.energy_uj - first.energy_uj) / 1e6, truth_j, unsure_uj / 1e6


@pytest.mark.parametrize("trace", [square(60, 400, 1.7), square(60, 400, 0.23)])
def test_a_gauge_that_shows_one_value_for_longer_than_ever_may_be_stuck(trace: Trace) -> None:
    energy_j, truth_j, unsure_j = stuck(trace, 6.3, 7.5)

    assert abs(energy_j - truth_j) > 50, "it was off by much"
    assert abs(energy_j - truth_j) <= 1.96 * unsure_j


def test_a_gauge_that_shows_one_value_for_no_longer_than_before_is_believed() -> None:
    points = Course(gauge(square(60, 400, 1.7))).follow(20)

    assert points[-1].sampling_uj2 ** 0.5 / 1e6 < 0.002 * points[-1].energy_uj / 1e6


def test_a_gauge_that_never_changed_for_a_while_gives_no_cause_for_doubt() -> None:
    """At rest a value stays; there is nothing to compare it with."""
    points = Course(gauge(constant(150))).follow(30)

    assert points[-1].sampling_uj2 == 0
