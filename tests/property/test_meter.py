"""The meter's algebra for any course of power, any wraps and any failures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from joulemark.boundary import Component
from joulemark.errors import CounterReset, SensorError, SensorUnavailable
from joulemark.meter import Meter, Window
from joulemark.meter.accumulator import MAX_GAUGE_GAP_S, Accumulator, counter_step_uj
from joulemark.readings import Accuracy
from joulemark.sensors import Domain, FakeSensor, ReplaySensor
from tests.simulated import Clock

MOST_W = 1000.0


def domain(name: str = "cpu-0", *, gauge: bool = False, wrap_uj: int | None = None) -> Domain:
    return Domain(
        name=name,
        components=frozenset({Component(name.partition("-")[0])}),
        kind="measured",
        reading="gauge" if gauge else "counter",
        accuracy=Accuracy(gain=0.0),
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
    # No longer than a gauge may stay unread, and never no energy at all: a counter that does not move is stuck.
    ms = draw(st.integers(1, int(MAX_GAUGE_GAP_S * 1000)))
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


@given(courses, ranges_uj, st.integers(0, 10**12))
def test_energy_over_any_number_of_wraps_is_exact_or_unavailable(
    course: list[Step], wrap_uj: int, start_uj: int
) -> None:
    accumulator = Accumulator(domain(wrap_uj=wrap_uj))
    readings = readings_of(course, start_uj, wrap_uj)
    accumulator.update(*readings[0])
    start = accumulator.mark()
    for now_ns, reading in readings[1:]:
        accumulator.update(now_ns, reading)

    found = accumulator.between(start, accumulator.mark())

    may_have_wrapped_twice = any(MOST_W * s.ms * 1000 >= wrap_uj + 1 for s in course)
    if may_have_wrapped_twice:
        assert isinstance(found, CounterReset)
    else:
        assert found == sum(s.energy_uj for s in course) / 1e6


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.floats(0, 10_000), st.none() | st.integers(1_000, 10**12))
def test_no_two_readings_give_a_negative_energy_or_more_than_a_range(
    before_uj: int, after_uj: int, elapsed_s: float, wrap_uj: int | None
) -> None:
    if wrap_uj is not None:
        before_uj, after_uj = before_uj % (wrap_uj + 1), after_uj % (wrap_uj + 1)
    try:
        step_uj = counter_step_uj(before_uj, after_uj, elapsed_s, domain(wrap_uj=wrap_uj))
    except CounterReset:
        assert after_uj < before_uj or (wrap_uj is not None and MOST_W * elapsed_s * 1e6 >= wrap_uj + 1)
        return
    assert step_uj >= 0
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
    accumulator = Accumulator(domain(wrap_uj=wrap_uj))
    marks = []
    for now_ns, reading in shown:
        accumulator.update(now_ns, reading)
        marks.append(accumulator.mark())

    assert isinstance(accumulator.between(marks[0], marks[-1]), CounterReset)
    assert accumulator.between(marks[0], marks[reset_at - 1]) == sum(s.energy_uj for s in course[: reset_at - 1]) / 1e6
    assert accumulator.between(marks[reset_at], marks[-1]) == sum(s.energy_uj for s in course[reset_at:]) / 1e6


failures = st.lists(st.booleans(), min_size=31, max_size=31)


@given(courses, failures, st.booleans())
def test_failed_reads_are_never_a_zero_and_never_a_wrap(course: list[Step], failed: list[bool], gauge: bool) -> None:
    """Exact from one good edge to another for a counter; a gauge, which counts nothing, needs all in between."""
    accumulator = Accumulator(domain(gauge=gauge))
    error = SensorUnavailable("EIO")
    times_ns = [t for t, _ in readings_of(course, 0, None)]
    readings = [100_000_000] * len(times_ns) if gauge else [r for _, r in readings_of(course, 0, None)]
    marks = []
    for now_ns, reading, fails in zip(times_ns, readings, failed, strict=False):
        accumulator.update(now_ns, error if fails else reading)
        marks.append(accumulator.mark())

    for first in range(len(marks)):
        for last in range(first, len(marks)):
            found = accumulator.between(marks[first], marks[last])
            bad = [failed[i] for i in range(first, last + 1)]
            if bad[0] or bad[-1] or (gauge and any(bad)):
                assert found is error
            elif gauge:
                assert found == pytest.approx(100 * (times_ns[last] - times_ns[first]) / 1e9, abs=1e-6 * len(marks))
            else:
                assert found == (readings[last] - readings[first]) / 1e6


@given(courses, courses, st.booleans())
def test_adjacent_windows_add_up_to_the_one_around_them(course: list[Step], other: list[Step], gauge: bool) -> None:
    """Conservation, to the microjoule, in time and over domains."""
    shown = [domain("cpu-0"), domain("dram-0", wrap_uj=10**10), domain("gpu-0", gauge=gauge)]
    times_ns = [t for t, _ in readings_of(course, 0, None)]
    second = [other[i % len(other)] for i in range(len(course))]
    scaled = [Step(s.ms, min(s.energy_uj, o.energy_uj)) for s, o in zip(course, second, strict=True)]
    by_domain: dict[str, list[int]] = {
        "cpu-0": [r for _, r in readings_of(course, 17, None)],
        "dram-0": [r for _, r in readings_of(scaled, 10**10 - 5, 10**10)],
        "gpu-0": [o.energy_uj % 10**9 for o in (second[0], *second)]
        if gauge
        else [r for _, r in readings_of(second, 0, None)],
    }
    sensor = ReplaySensor(shown, [(t, {n: by_domain[n][i] for n in by_domain}) for i, t in enumerate(times_ns)])
    clock = Clock()
    meter = Meter([sensor], clock_ns=clock)
    parts: list[Window] = []
    with meter.measure() as whole:
        for step in course:
            with meter.measure() as part:
                clock.advance(step.ms / 1e3)
            parts.append(part)

    for name in by_domain:
        summed_j = math.fsum(p.domains[name].value for p in parts)
        assert whole.domains[name].value == pytest.approx(summed_j, abs=1e-6)
        assert all(p.domains[name].value >= 0 for p in parts)
    assert whole.energy.value == pytest.approx(math.fsum(p.energy.value for p in parts), abs=1e-6)
    assert whole.energy.value == pytest.approx(math.fsum(d.value for d in whole.domains.values()), abs=1e-6)
    assert whole.duration_s == pytest.approx(math.fsum(p.duration_s for p in parts), abs=1e-9)


moments = st.lists(st.integers(0, 10_000), min_size=2, max_size=2, unique=True).map(sorted)


@given(st.lists(moments, min_size=1, max_size=8), st.floats(0.001, 900))
def test_every_window_has_the_energy_of_its_own_time_however_they_overlap(
    spans_ms: list[list[int]], power_w: float
) -> None:
    clock = Clock()
    meter = Meter([FakeSensor.constant({"gpu-0": power_w})], clock_ns=clock)
    windows = [meter.measure(str(span)) for span in spans_ms]
    for moment_ms in sorted({edge for span in spans_ms for edge in span}):
        clock.advance(moment_ms / 1e3 - clock.now_s)
        for window, (start_ms, end_ms) in zip(windows, spans_ms, strict=True):
            if moment_ms == start_ms:
                window.start()
            elif moment_ms == end_ms:
                window.stop()

    for window, (start_ms, end_ms) in zip(windows, spans_ms, strict=True):
        assert window.energy.value == pytest.approx(power_w * (end_ms - start_ms) / 1e3, abs=1e-6)


@given(st.lists(st.integers(0, 10**12) | st.just(SensorUnavailable("gone")), min_size=1, max_size=20), st.booleans())
def test_whatever_a_sensor_shows_a_window_is_energy_or_a_reason(readings: list[int | SensorError], gauge: bool) -> None:
    accumulator = Accumulator(domain(gauge=gauge, wrap_uj=None if gauge else 262_143_328_850))
    marks = []
    for i, reading in enumerate(readings):
        accumulator.update(i * 10**9, reading)
        marks.append(accumulator.mark())

    found = accumulator.between(marks[0], marks[-1])

    assert isinstance(found, SensorError) or found >= 0
    assert not isinstance(found, SensorError) or str(found)
