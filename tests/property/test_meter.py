"""The meter's algebra for any course of power, any wraps, any failures and any nesting of windows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from joulemark.boundary import Component
from joulemark.errors import AbsurdReading, CounterReset, SensorError, SensorUnavailable
from joulemark.meter import Meter, Window
from joulemark.meter.counter import counter_step_uj
from joulemark.meter.edges import EdgeReader, Mark
from joulemark.meter.follow import Point, follower
from joulemark.readings import Accuracy
from joulemark.sensors import Domain, ReplaySensor
from joulemark.testing import (
    SimulatedClock,
    SimulatedDevice,
    SimulatedMachine,
    SimulatedSensor,
    Trace,
    recorded,
    square,
)

MOST_W = 1000.0


def domain(name: str = "cpu-0", *, gauge: bool = False, wrap_uj: int | None = None, period_s: float = 0.0) -> Domain:
    return Domain(
        name=name,
        components=frozenset({Component(name.partition("-")[0])}),
        kind="measured",
        reading="gauge" if gauge else "counter",
        accuracy=Accuracy(gain=0.0, period_s=period_s),
        wrap_uj=wrap_uj,
        max_power_w=MOST_W,
    )


@dataclass(frozen=True)
class Step:
    """A stretch of time in ms and the energy in it, in µJ: never more than the most that can flow."""

    ms: int
    energy_uj: int


@st.composite
def steps(draw: st.DrawFn) -> Step:
    # Never no energy at all: a counter that does not move is stuck.
    ms = draw(st.integers(1, 1000))
    return Step(ms, draw(st.integers(1, int(MOST_W * ms * 1000))))


courses = st.lists(steps(), min_size=1, max_size=30)
ranges_uj = st.integers(1_000_000, 20_000_000_000)


def readings_of(course: Sequence[Step], start_uj: int, wrap_uj: int | None) -> list[tuple[int, int]]:
    """The (nanoseconds, reading) that a counter shows along a course."""
    now_ns, total_uj = 0, start_uj
    found = [(0, total_uj if wrap_uj is None else total_uj % (wrap_uj + 1))]
    for step in course:
        now_ns += step.ms * 1_000_000
        total_uj += step.energy_uj
        found.append((now_ns, total_uj if wrap_uj is None else total_uj % (wrap_uj + 1)))
    return found


class Quick:
    """A counter that is read at edges: the marks of a series of readings, and the energy between two of them."""

    def __init__(self, shown: Domain, readings: Sequence[tuple[int, int | SensorError]]) -> None:
        clock = SimulatedClock()
        sensor = ReplaySensor([shown], [(time_ns, {shown.name: reading}) for time_ns, reading in readings])
        self._reader = EdgeReader([(sensor, (shown,))], clock)
        self._name = shown.name
        self.marks: list[Mark] = []
        for time_ns, _ in readings:
            clock.sleep_until(time_ns)
            self.marks.append(self._reader.read()[1][shown.name])

    def between(self, first: int, last: int) -> float | SensorError:
        return self._reader.between(self._name, self.marks[first], self.marks[last])


@given(courses, ranges_uj, st.integers(0, 10**12))
def test_energy_over_any_number_of_wraps_is_exact_or_unavailable(
    course: list[Step], wrap_uj: int, start_uj: int
) -> None:
    found = Quick(domain(wrap_uj=wrap_uj), readings_of(course, start_uj, wrap_uj)).between(0, -1)

    may_have_wrapped_twice = any(MOST_W * s.ms * 1000 >= wrap_uj + 1 for s in course)
    if may_have_wrapped_twice:
        assert isinstance(found, CounterReset)
    else:
        assert found == sum(s.energy_uj for s in course) / 1e6


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.floats(0, 10_000), st.none() | st.integers(1_000, 10**12))
def test_no_two_readings_give_a_negative_or_an_absurd_energy(
    before_uj: int, after_uj: int, elapsed_s: float, wrap_uj: int | None
) -> None:
    if wrap_uj is not None:
        before_uj, after_uj = before_uj % (wrap_uj + 1), after_uj % (wrap_uj + 1)
    most_uj = MOST_W * (elapsed_s + 1) * 1e6  # a counter's update may lag by a second
    try:
        step_uj = counter_step_uj(before_uj, after_uj, elapsed_s, domain(wrap_uj=wrap_uj))
    except CounterReset:
        assert after_uj < before_uj or (wrap_uj is not None and MOST_W * elapsed_s * 1e6 >= wrap_uj + 1)
        return
    except AbsurdReading:
        assert after_uj - before_uj > most_uj
        return
    assert 0 <= step_uj <= most_uj
    if wrap_uj is None:
        assert step_uj == after_uj - before_uj
    else:
        assert step_uj <= wrap_uj
        assert (before_uj + step_uj) % (wrap_uj + 1) == after_uj


@given(courses, st.integers(0, 10**12), st.data())
def test_a_counter_that_falls_to_zero_never_gives_an_energy_across_it(
    course: list[Step], start_uj: int, data: st.DataObject
) -> None:
    """A reset, on the range of a real package: the reading falls by far more than a wrap explains."""
    wrap_uj = 262_143_328_850
    reset_at = data.draw(st.integers(1, len(course)))
    readings = readings_of(course, start_uj % 10**11, wrap_uj)
    base = readings[reset_at - 1][1]
    # Where hardly anything was on the counter, what came after may hide the fall: no meter can tell.
    assume(base > readings[reset_at][1] - base)
    shown = [(t, r if i < reset_at else r - base) for i, (t, r) in enumerate(readings)]
    assume(all(r >= 0 for _, r in shown))
    quick = Quick(domain(wrap_uj=wrap_uj), shown)

    assert isinstance(quick.between(0, -1), CounterReset)
    assert quick.between(0, reset_at - 1) == sum(s.energy_uj for s in course[: reset_at - 1]) / 1e6
    assert quick.between(reset_at, -1) == sum(s.energy_uj for s in course[reset_at:]) / 1e6


failures = st.lists(st.booleans(), min_size=31, max_size=31)


@given(courses, failures)
def test_failed_reads_are_never_a_zero_and_never_a_wrap(course: list[Step], failed: list[bool]) -> None:
    """Exact from one good edge to another, whatever fails in between."""
    error = SensorUnavailable("EIO")
    good = readings_of(course, 0, None)
    quick = Quick(domain(), [(t, error if fails else r) for (t, r), fails in zip(good, failed, strict=False)])

    for (first, (_, before_uj)), (last, (_, after_uj)) in itertools.combinations(enumerate(good), 2):
        found = quick.between(first, last)
        if failed[first] or failed[last]:
            assert found is error
        else:
            assert found == (after_uj - before_uj) / 1e6


# Windows over any load


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    """A power between 1 W and 900 W that goes where it likes, by jumps or by slopes."""
    powers_w = st.floats(1.0, 900.0)
    if draw(st.booleans()):
        low_w, high_w = sorted((draw(powers_w), draw(powers_w)))
        return square(low_w, high_w, draw(st.floats(0.01, 5.0)), draw(st.floats(0.05, 0.95)))
    corners = draw(st.lists(st.tuples(st.floats(0.01, 3.0), powers_w), min_size=2, max_size=12))
    times_s = [math.fsum(gap_s for gap_s, _ in corners[: i + 1]) for i in range(len(corners))]
    return recorded(times_s, [power_w for _, power_w in corners])


KINDS = {
    "exact": domain("cpu-0"),
    "wrapping": domain("dram-0", wrap_uj=4_000_000_000, period_s=1e-3),
    "ticking": domain("gpu-0", period_s=0.1),
    "quick ticks": domain("gpu-1", period_s=0.02),
    "gauge": domain("gpu-2", gauge=True, period_s=0.02),
}


def machine(trace: Trace, phase: float, kinds: Mapping[str, Domain] = KINDS) -> SimulatedMachine:
    return SimulatedMachine(
        [
            SimulatedDevice.as_stated(d, trace, phase_s=phase * d.accuracy.period_s, start_j=3999.0)
            for d in kinds.values()
        ]
    )


@settings(max_examples=40)
@given(traces(), st.floats(0, 0.99), st.lists(st.integers(1, 1500), min_size=1, max_size=8))
def test_adjacent_windows_add_up_to_the_one_around_them(trace: Trace, phase: float, lengths_ms: list[int]) -> None:
    """Conservation, to the microjoule, in time and over domains."""
    simulated = machine(trace, phase)
    meter = Meter(simulated.sensors, clock_ns=simulated.clock)
    simulated.advance(1)
    parts: list[Window] = []
    with meter.measure() as whole:
        for length_ms in lengths_ms:
            with meter.measure() as part:
                simulated.advance(length_ms / 1e3)
            parts.append(part)

    for name, figure in whole.domains.items():
        values = [p.domains[name].value for p in parts if p.domains[name].available]
        assert all(value > 0 for value in values)
        # A part too short for a prompt counter to move has no figure, and the whole has less than a step more.
        missing = len(parts) - len(values)
        if figure.available:
            assert figure.value - math.fsum(values) == pytest.approx(0, abs=1e-6 * len(parts) + missing)
    assert whole.energy.value == pytest.approx(math.fsum(d.value for d in whole.domains.values()), abs=1e-6)
    assert whole.duration_s == pytest.approx(math.fsum(p.duration_s for p in parts), abs=1e-9)


moments = st.lists(st.integers(0, 10_000), min_size=2, max_size=2, unique=True).map(sorted)


def open_and_close(simulated: SimulatedMachine, meter: Meter, spans_ms: Sequence[Sequence[int]]) -> list[Window]:
    """Windows over these times, however they nest and overlap."""
    windows = [meter.measure(str(span)) for span in spans_ms]
    began_s = simulated.clock.now_s
    for moment_ms in sorted({edge for span in spans_ms for edge in span}):
        simulated.advance(began_s + moment_ms / 1e3 - simulated.clock.now_s)
        for window, (start_ms, end_ms) in zip(windows, spans_ms, strict=True):
            if moment_ms == start_ms:
                window.start()
            elif moment_ms == end_ms:
                window.stop()
    return windows


@given(st.lists(moments, min_size=1, max_size=8), st.floats(0.001, 900))
def test_every_window_has_the_energy_of_its_own_time_however_they_overlap(
    spans_ms: list[list[int]], power_w: float
) -> None:
    sensor = SimulatedSensor.constant({"gpu-0": power_w})
    simulated = SimulatedMachine([sensor])

    windows = open_and_close(simulated, Meter([sensor], clock_ns=simulated.clock), spans_ms)

    for window, (start_ms, end_ms) in zip(windows, spans_ms, strict=True):
        assert window.energy.value == pytest.approx(power_w * (end_ms - start_ms) / 1e3, abs=2e-6)


@settings(max_examples=40)
@given(traces(), st.floats(0, 0.99), st.lists(moments, min_size=2, max_size=6))
def test_a_window_has_no_more_energy_than_one_around_it_and_none_is_negative(
    trace: Trace, phase: float, spans_ms: list[list[int]]
) -> None:
    simulated = machine(trace, phase, {name: KINDS[name] for name in ("ticking", "quick ticks", "gauge")})
    meter = Meter(simulated.sensors, clock_ns=simulated.clock)

    windows = open_and_close(simulated, meter, spans_ms)

    energies = [{name: f.value for name, f in w.domains.items() if f.available} for w in windows]
    assert all(value > 0 for found in energies for value in found.values())
    for inner, (start_ms, end_ms) in zip(energies, spans_ms, strict=True):
        for outer, (first_ms, last_ms) in zip(energies, spans_ms, strict=True):
            if first_ms <= start_ms and end_ms <= last_ms:
                assert all(inner[name] <= outer[name] + 1e-6 for name in inner.keys() & outer.keys())


@settings(max_examples=40)
@given(traces(), st.floats(0, 0.99), st.integers(1, 3000))
def test_a_counter_is_never_off_by_more_than_the_ticks_at_its_edges(trace: Trace, phase: float, length_ms: int) -> None:
    simulated = machine(trace, phase, {"ticking": KINDS["ticking"]})
    meter = Meter(simulated.sensors, clock_ns=simulated.clock)
    simulated.advance(0.7)
    with meter.measure() as window:
        simulated.advance(length_ms / 1e3)

    start_s, end_s = 0.7, 0.7 + length_ms / 1e3
    truth_j = simulated.truth_j("gpu-0", start_s, end_s)
    edges_j = simulated.truth_j("gpu-0", start_s - 0.12, start_s + 0.12)
    edges_j += simulated.truth_j("gpu-0", end_s - 0.12, end_s + 0.12)
    assert abs(window.energy.value - truth_j) <= edges_j


shown = st.lists(
    st.integers(-(10**6), 10**12) | st.just(SensorUnavailable("gone")) | st.integers(0, 2**64 - 1),
    min_size=1,
    max_size=30,
)


@given(shown, st.booleans())
def test_whatever_a_sensor_shows_a_window_is_energy_or_a_reason(readings: list[int | SensorError], wraps: bool) -> None:
    quick = Quick(domain(wrap_uj=262_143_328_850 if wraps else None), [(i * 10**9, r) for i, r in enumerate(readings)])

    found = quick.between(0, -1)

    assert isinstance(found, SensorError) or found >= 0
    assert not isinstance(found, SensorError) or str(found)


@given(shown, st.lists(st.integers(1, 10**9), min_size=30, max_size=30), st.booleans())
def test_whatever_a_sensor_shows_its_curve_never_falls_and_its_breaks_have_reasons(
    readings: list[int | SensorError], gaps_ns: list[int], gauge: bool
) -> None:
    one = follower(domain("gpu-0", gauge=gauge, period_s=0.1))
    now_ns = 0
    points: list[Point] = []
    for reading, gap_ns in zip(readings, gaps_ns, strict=False):
        now_ns += gap_ns
        points += one.feed(now_ns, now_ns + 10_000, reading)
        assert one.due_ns() > now_ns

    assert all(a.energy_uj <= b.energy_uj for a, b in itertools.pairwise(points))
    assert all(point.unsure_ns >= 0 and point.sampling_uj2 >= 0 for point in points)
    assert all(point.breaks <= len(one.reasons) for point in points)
    assert all(str(reason) for reason in one.reasons)
