"""Shared memory between the sampling process and the program: what is written is read, and nothing is waited for."""

from __future__ import annotations

from pathlib import Path

import pytest

from joulemark.boundary import Component
from joulemark.errors import AbsurdReading, CounterReset, PermissionDenied, SensorError, SensorUnavailable
from joulemark.meter.follow import Point
from joulemark.meter.ring import BYTES, ENTRIES, MESSAGES, Asked, RingReader, RingWriter
from joulemark.readings import Accuracy
from joulemark.sensors import Domain


def domain(name: str) -> Domain:
    return Domain(
        name=name,
        components=frozenset({Component.GPU}),
        kind="measured",
        reading="counter",
        accuracy=Accuracy(gain=0.0, period_s=0.1),
    )


GPUS = (domain("gpu-0"), domain("gpu-1"))
Ends = tuple[RingWriter, RingReader]


@pytest.fixture
def ends(tmp_path: Path) -> Ends:
    with (tmp_path / "ring").open("wb") as file:
        file.truncate(BYTES)
    return RingWriter(tmp_path, GPUS), RingReader(tmp_path)


def point(number: int, *, breaks: int = 0) -> Point:
    return Point(number * 100_000_000, 250_000, number * 20_000_000, number * 0.5, breaks)


def test_what_is_written_is_read_once_in_its_order(ends: Ends) -> None:
    writer, reader = ends
    reset = CounterReset("gpu-1: it was reset")
    writer.point(GPUS[0], point(1))
    writer.point(GPUS[1], point(2))
    writer.broke(GPUS[1], reset)
    writer.point(GPUS[1], point(3, breaks=1))

    first, second, broke, third = reader.entries()

    assert (first.domain, first.point) == (0, point(1))
    assert (second.domain, second.point) == (1, point(2))
    assert (broke.domain, broke.point, str(broke.reason)) == (1, None, str(reset))
    assert (third.domain, third.point) == (1, point(3, breaks=1))
    assert list(reader.entries()) == []


def test_numbers_beyond_32_bits_and_below_zero_come_through(ends: Ends) -> None:
    writer, reader = ends
    far = Point(2**62, 10**12, -(2**40), 1e30, 2**31)

    writer.point(GPUS[0], far)

    assert [entry.point for entry in reader.entries()] == [far]


def test_a_reader_that_comes_late_or_now_and_then_misses_nothing_that_is_still_there(ends: Ends) -> None:
    writer, reader = ends
    found = []
    for number in range(3 * ENTRIES):
        writer.point(GPUS[0], point(number))
        if number % 10_000 == 0:
            found += [entry.point for entry in reader.entries()]
    found += [entry.point for entry in reader.entries()]

    assert found == [point(number) for number in range(3 * ENTRIES)]


def test_entries_that_were_gone_over_are_left_out_and_the_latest_are_there(ends: Ends) -> None:
    writer, reader = ends
    for number in range(2 * ENTRIES + 5):
        writer.point(GPUS[0], point(number))

    found = [entry.point for entry in reader.entries()]

    assert found[-1] == point(2 * ENTRIES + 4)
    assert len(found) == ENTRIES - 1
    assert found == [point(number) for number in range(ENTRIES + 6, 2 * ENTRIES + 5)]


def test_entries_that_are_gone_over_while_they_are_read_are_left_out(ends: Ends) -> None:
    writer, reader = ends
    for number in range(ENTRIES):
        writer.point(GPUS[0], point(number))
    entries = reader.entries()
    assert next(entries).point == point(1)

    for number in range(ENTRIES, ENTRIES + 100):  # meanwhile
        writer.point(GPUS[0], point(number))

    found = [entry.point for entry in entries]
    assert found == [point(number) for number in range(100, ENTRIES)]
    assert [entry.point for entry in reader.entries()] == [point(number) for number in range(ENTRIES, ENTRIES + 100)]


@pytest.mark.parametrize(
    "error",
    [
        SensorError("broken"),
        SensorUnavailable("NVML: GPU is lost"),
        CounterReset("gpu-0: the counter fell from 5 to 3 µJ; it was reset"),
        AbsurdReading("9,999 J in 0.1 s"),
        PermissionDenied("only root may read it", remedy="sudo chmod a+r /dev/gpu"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_keep_their_kind_their_text_and_their_remedy(ends: Ends, error: SensorError) -> None:
    writer, reader = ends
    writer.failed(GPUS[1], error)

    found = reader.error(1)

    assert type(found) is type(error)
    assert str(found) == str(error)
    assert getattr(found, "remedy", None) == getattr(error, "remedy", None)
    assert reader.error(0) is None


def test_a_domain_that_can_be_read_again_has_no_error(ends: Ends) -> None:
    writer, reader = ends
    writer.failed(GPUS[0], SensorUnavailable("gone"))
    writer.failed(GPUS[0], None)

    assert reader.error(0) is None


def test_an_error_of_a_kind_that_is_not_known_here_is_one_of_a_sensor(ends: Ends) -> None:
    class Strange(SensorError):
        pass

    writer, reader = ends
    writer.failed(GPUS[0], Strange("who knows"))

    found = reader.error(0)
    assert type(found) is SensorUnavailable
    assert str(found) == "who knows"


def test_a_text_that_is_very_long_is_cut_and_not_lost(ends: Ends) -> None:
    writer, reader = ends
    writer.failed(GPUS[0], SensorUnavailable("µ" * 5000))

    found = reader.error(0)
    assert type(found) is SensorUnavailable
    assert str(found).startswith("µ" * 200)


def test_however_many_errors_there_were_the_latest_have_their_texts(ends: Ends) -> None:
    writer, reader = ends
    for number in range(3 * MESSAGES):
        writer.broke(GPUS[0], SensorUnavailable(f"for the {number}th time"))

    reasons = [str(entry.reason) for entry in reader.entries()]

    assert len(reasons) == 3 * MESSAGES
    assert reasons[-MESSAGES + 1 :] == [f"for the {number}th time" for number in range(2 * MESSAGES + 1, 3 * MESSAGES)]
    assert reasons[0] == "its reason is no longer on record"


def test_a_text_that_comes_again_and_again_takes_no_more_room(ends: Ends) -> None:
    writer, reader = ends
    writer.broke(GPUS[0], CounterReset("the first"))
    for _ in range(3 * MESSAGES):
        writer.failed(GPUS[1], SensorUnavailable("the same"))

    (entry,) = reader.entries()
    assert str(entry.reason) == "the first"


def test_a_sensor_that_is_being_read_is_busy_until_it_has_been(ends: Ends) -> None:
    writer, reader = ends
    writer.failed(GPUS[0], SensorUnavailable("gone"))
    writer.busy(GPUS[0], 123_456)
    assert (str(reader.error(0)), reader.busy_since_ns(0), reader.busy_since_ns(1)) == ("gone", 123_456, 0)

    writer.busy(GPUS[0], 0)
    assert reader.busy_since_ns(0) == 0


def test_what_sampling_costs_and_that_it_goes_on_is_told(ends: Ends) -> None:
    writer, reader = ends
    assert (reader.cost(), reader.alive_ns) == ((0, 0), 0)
    writer.point(GPUS[0], point(1))

    writer.alive(17, 5_000_000, 99)

    assert (reader.cost(), reader.alive_ns) == ((17, 5_000_000), 99)
    assert [entry.point for entry in reader.entries()] == [point(1)]


def test_what_the_program_asks_for_adds_up(ends: Ends) -> None:
    writer, reader = ends
    assert writer.asked() == Asked(0, 0, 0)
    reader.ask(Asked(opened=1))
    reader.ask(Asked(opened=2, closed=1))
    reader.ask(Asked(edges=4))

    assert writer.asked() == Asked(3, 1, 4)
