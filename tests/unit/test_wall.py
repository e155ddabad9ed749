"""Logs of wall meters as people have them, and the offset of their clocks."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from joulemark.errors import UnknownName, UsageError
from joulemark.sensors.wall import WallLog, clock_offset

NOON_S = datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp()


Write = Callable[[str], Path]
Power = Callable[[float], float]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str) -> Path:
        path = tmp_path / "plug.csv"
        path.write_text(text)
        return path

    return written


@pytest.mark.parametrize(
    "text",
    [
        "time,power\n2026-03-02T12:00:00Z,60.5\n2026-03-02T12:00:01Z,61.5\n",
        "Timestamp,Voltage (V),Power (W),Power factor,energy_wh\n"
        "2026-03-02 13:00:00+01:00,230,60.5,0.9,1\n2026-03-02 13:00:01+01:00,230,61.5,0.9,1\n",
        f"ts,apower\n{NOON_S},60.5\n{NOON_S + 1},61.5\n",
        f"epoch_ms,power_mw\n{NOON_S * 1000:.0f},60500\n{NOON_S * 1000 + 1000:.0f},61500\n",
        f"unix time;P (kW)\n{NOON_S:.0f};0,0605\n{NOON_S + 1:.0f};0,0615\n",
        'Date,Time of day,Leistung\n2026-03-02,12:00:00+00:00,"60,5"\n2026-03-02,12:00:01+00:00,"61,5"\n',
        "timestamp\tapparent power (VA)\tpower (W)\n2026-03-02T12:00:00Z\t80\t60.5\n2026-03-02T12:00:01Z\t80\t61.5\n",
        "\ufefftime;watts\r\n2026-03-02T12:00:00Z;60,5\r\n2026-03-02T12:00:01Z;61,5\r\n\r\n",
    ],
    ids=["plain", "many columns", "epoch", "milliseconds", "kilowatts", "date and time", "tabs", "spreadsheet"],
)
def test_a_log_is_understood_as_it_is(write: Write, text: str) -> None:
    log = WallLog.read(write(text))

    assert log.times_s == pytest.approx((NOON_S, NOON_S + 1), abs=1e-3)
    assert log.powers_w == pytest.approx((60.5, 61.5))


def test_a_time_without_a_zone_is_this_machines(write: Write) -> None:
    log = WallLog.read(write("time,power\n2026-03-02T12:00:00,60\n2026-03-02T12:00:01,61\n"))

    assert log.times_s[0] == datetime(2026, 3, 2, 12).astimezone().timestamp()


def test_a_running_total_of_energy_becomes_the_power_between_its_readings(write: Write) -> None:
    log = WallLog.read(write(f"time,total (Wh)\n{NOON_S},5\n{NOON_S + 36},6\n{NOON_S + 72},8\n"))

    assert log.times_s == (NOON_S + 18, NOON_S + 54)
    assert log.powers_w == pytest.approx((100, 200))


def test_thousands_are_told_from_decimals_and_what_may_be_either_is_refused(write: Write) -> None:
    log = WallLog.read(write(f"time;watts\n{NOON_S};1.234,5\n{NOON_S + 1};1,234.5\n"))
    assert log.powers_w == (1234.5, 1234.5)

    with pytest.raises(UsageError, match="'1,234' is either thousands or a decimal comma"):
        WallLog.read(write(f'time,watts\n{NOON_S},"1,234"\n{NOON_S + 1},60\n'))


def test_rows_without_a_reading_are_gaps_and_two_in_one_second_are_one(write: Write) -> None:
    rows = ["0,60", "1,unavailable", "2,", "3,70", "3,80"]
    log = WallLog.read(write("time,power\n" + "".join(f"{NOON_S + int(r[0])}{r[1:]}\n" for r in rows)))

    assert log.times_s == (NOON_S, NOON_S + 3)
    assert log.powers_w == (60, 75)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (["0,60", "1,12 W"], "line 3, column 'power': '12 W' is no number of at least 0; write it as 123.4"),
        (["0,60", "1,-3"], "line 3, column 'power': '-3' is no number of at least 0"),
        (["0,60", "1,inf"], "line 3, column 'power'"),
        (["0,60", "x,61"], "line 3, column 'time': .*x' is no time; write 2026-03-29T14:05:00"),
        (["1,60", "0,61"], "line 3, column 'time': .* is earlier than the line before; sort"),
        (["0,60", "1,61,62"], "line 3: 3 values for 2 columns"),
        (["0,60"], "1 readings; at least two"),
    ],
)
def test_a_wrong_value_is_named_with_its_place_and_what_would_be_right(
    write: Write, rows: list[str], reason: str
) -> None:
    text = "".join(f"{NOON_S + int(r[0]) if r[0].isdecimal() else r[0]}{r[1:]}\n" for r in rows)
    with pytest.raises(UsageError, match=reason):
        WallLog.read(write("time,power\n" + text))


@pytest.mark.parametrize("elapsed", ["0", "17", "3e15"])
def test_seconds_since_some_other_moment_are_no_time(write: Write, elapsed: str) -> None:
    with pytest.raises(UsageError, match=r"line 2, column 'time'.*since 1970"):
        WallLog.read(write(f"time,power\n{elapsed},60\n{elapsed},60\n"))


@pytest.mark.parametrize("unit", ["MW", "hp", "VA", "kcal"])
def test_an_unknown_unit_is_never_taken_for_watts_even_if_the_column_is_named(write: Write, unit: str) -> None:
    path = write(f"time,power ({unit})\n{NOON_S},60\n{NOON_S + 1},61\n")
    with pytest.raises(UsageError, match=f"the unit '{unit}' is none of W"):
        WallLog.read(path, power_column=f"power ({unit})")


def test_joules_are_not_taken_for_watt_hours(write: Write) -> None:
    log = WallLog.read(write(f"data.time,energy (J)\n{NOON_S},5\n{NOON_S + 1},65\n{NOON_S + 2},125\n"))

    assert log.powers_w == (60, 60)


def test_a_meter_that_was_reset_is_not_energy(write: Write) -> None:
    with pytest.raises(UsageError, match=r"line 3, column 'energy'.*cut the log"):
        WallLog.read(write(f"time,energy\n{NOON_S},5\n{NOON_S + 1},4\n"))


def test_columns_that_are_not_clear_are_asked_for(write: Write) -> None:
    path = write(f"moment,socket 1 (W),socket 2 (W),reading\n{NOON_S},60,5,7\n{NOON_S + 1},61,5,8\n")
    with pytest.raises(UsageError, match="no column is called time"):
        WallLog.read(path)
    with pytest.raises(UsageError, match=r"any of 'socket 1 \(W\)', 'socket 2 \(W\)'"):
        WallLog.read(path, time_column="moment")
    with pytest.raises(UnknownName, match="socket 1"):
        WallLog.read(path, time_column="moment", power_column="socket 1")

    assert WallLog.read(path, time_column="moment", power_column="socket 1 (W)").powers_w == (60, 61)
    assert WallLog.read(path, time_column="moment", power_column="reading").powers_w == (7, 8)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "line 1: it must name at least two columns"),
        ("1772452800,60\n1772452801,61\n", "line 1: it must name"),
        ("time,current\n1772452800,60\n", "no column holds power"),
        ("time,power (MW)\n1772452800,60\n", "no column holds power"),
        ("time,power (hp)\n1772452800,60\n", "no column holds power"),
        ("time,apparent power\n1772452800,60\n", "no column holds power"),
    ],
)
def test_a_file_without_power_by_time_is_refused(write: Write, text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        WallLog.read(write(text))


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        WallLog.read(tmp_path / "plug.csv")
    (tmp_path / "plug.xlsx").write_bytes(b"PK\x03\x04\xff\xfe")
    with pytest.raises(UsageError, match="no text in UTF-8"):
        WallLog.read(tmp_path / "plug.xlsx")


def test_the_mean_of_a_window_is_the_integral_over_it_and_nothing_across_a_gap() -> None:
    log = WallLog((0.0, 1.0, 2.0, 3.0, 20.0, 21.0), (0.0, 10.0, 10.0, 40.0, 40.0, 40.0))

    windows = [(0.0, 1.0), (0.5, 1.5), (0.0, 3.0), (2.0, 2.1), (3.0, 20.0), (2.5, 3.5), (20.0, 21.0), (-1.0, 1.0)]

    assert log.means(windows) == [
        pytest.approx(5),
        pytest.approx((0.5 * 7.5 + 0.5 * 10) / 1),
        pytest.approx((5 + 10 + 25) / 3),
        pytest.approx(11.5),
        None,
        None,
        pytest.approx(40),
        None,
    ]


def seen(seconds: int, power_w: Power, step_s: float = 1.0) -> tuple[list[float], list[float], list[float]]:
    starts_s = [NOON_S + i * step_s for i in range(seconds)]
    return starts_s, [step_s] * seconds, [power_w(i * step_s + step_s / 2) for i in range(seconds)]


def logged(power_w: Power, offset_s: float, start_s: float = -100.3, end_s: float = 400.0) -> WallLog:
    moments_s = [start_s + i for i in range(int(end_s - start_s))]
    return WallLog(tuple(NOON_S + t + offset_s for t in moments_s), tuple(power_w(t) for t in moments_s))


def ramps(now_s: float) -> float:
    """Smooth and never the same."""
    return 60 + 20 * math.sin(now_s / 7) + 15 * math.sin(now_s / 11.3) + 10 * math.sin(now_s / 23.1)


@pytest.mark.parametrize("offset_s", [-523.0, -37.4, -0.3, 0.0, 12.5, 240.8])
def test_the_offset_of_a_clock_is_found_within_a_part_of_a_reading(offset_s: float) -> None:
    found = clock_offset(*seen(300, ramps), logged(ramps, offset_s))

    assert found.seconds == pytest.approx(offset_s, abs=0.1)
    assert found.standard_uncertainty_s < 0.1
    assert found.correlation > 0.99


def test_a_load_that_repeats_itself_gives_no_offset() -> None:
    def square(now_s: float) -> float:
        return 60.0 + 40 * (now_s % 40 < 20)

    with pytest.raises(UsageError, match="not clear"):
        clock_offset(*seen(300, square), logged(square, 3.0, -400, 800))


def test_a_steady_load_and_another_machines_log_give_no_offset() -> None:
    noise = random.Random(1)
    others: tuple[Power, ...] = (lambda now_s: 60.0, lambda now_s: noise.gauss(60, 5))
    for other in others:
        with pytest.raises(UsageError, match=r"do not go together|not clear"):
            clock_offset(*seen(300, ramps), logged(other, 0.0))
    with pytest.raises(UsageError, match="do not go together"):
        clock_offset(*seen(300, lambda t: 60.0), logged(ramps, 0.0))


def test_a_log_of_another_time_or_too_sparse_is_refused() -> None:
    with pytest.raises(UsageError, match=r"covers 2026-03-02 .*; measured was 2026-03-02 12:00:00 UTC to"):
        clock_offset(*seen(300, ramps), logged(ramps, 7200.0))
    sparse = WallLog(tuple(NOON_S + 60.0 * i for i in range(10)), (60.0,) * 10)
    with pytest.raises(UsageError, match="a reading every 60 s"):
        clock_offset(*seen(300, ramps), sparse)
    with pytest.raises(UsageError, match="too few"):
        clock_offset(*seen(9, ramps), logged(ramps, 0.0))
