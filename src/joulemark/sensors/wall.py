"""Logs of wall meters as people have them (CSV), and the offset of their clocks."""

from __future__ import annotations

import bisect
import csv
import itertools
import math
import operator
import re
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from joulemark.errors import UnknownName, UsageError
from joulemark.units import JOULES_PER_WH

__all__ = ["ClockOffset", "WallLog", "clock_offset"]

SHORTEST_STEPS = 5
"""A log may leave out so many of its own steps before that is a gap (assumption of ours)."""
LONGEST_STEP_S = 5.0
"""A log that is sparser cannot show when the load changed (assumption of ours)."""


# ---- logs of wall meters ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WallLog:
    """Power over time, as a wall meter has logged it.

    Attributes:
        times_s: seconds since 1970 by the logger's clock, rising.
        powers_w: watts at these times; between two of them power is taken to run straight.
        source: what errors call it.
    """

    times_s: tuple[float, ...]
    powers_w: tuple[float, ...]
    source: str = "the log"

    def __post_init__(self) -> None:
        if len(self.times_s) != len(self.powers_w) or len(self.times_s) < 2:
            raise UsageError(f"{self.source} has {len(self.times_s)} readings; at least two are needed.")

    @classmethod
    def read(cls, path: Path, *, time_column: str = "", power_column: str = "") -> WallLog:
        """Read a CSV file whose first line names its columns.

        Commas, semicolons or tabs separate; decimal commas are understood. Times are ISO 8601 (local time without a
        zone), or seconds or milliseconds since 1970; a date and a time of day may stand in two columns. Power is in
        W, mW or kW, as its column says; without such a column a running total of energy is taken (Wh, kWh, mWh). Rows
        without a reading (empty, ``unavailable``) are gaps.

        Args:
            path: the file.
            time_column: name of the column of times; found by its name without it.
            power_column: name of the column of power or energy; found by its name without it. Watts, if it names no
                unit.

        Raises:
            UsageError: if it cannot be read; with the line, the column, the value, and what would be right.
        """
        table = _Table.open(path)
        clock = _time_columns(table, time_column)
        column, factor, is_energy = _reading_column(table, power_column)
        readings: list[tuple[float, float, int]] = []
        for line, row in table.rows:
            value = _number(table, line, column, row)
            if value is None:
                continue
            now_s = _moment_s(table, line, clock, row)
            if readings and now_s < readings[-1][0]:
                raise table.wrong(line, clock[0], row[clock[0]], "earlier than the line before; sort the log by time")
            readings.append((now_s, value * factor, line))
        points = _powers(table, column, readings) if is_energy else _distinct(readings)
        return cls(tuple(t for t, _ in points), tuple(p for _, p in points), path.name)

    @property
    def step_s(self) -> float:
        """Usual time between two readings, in seconds."""
        return statistics.median(b - a for a, b in itertools.pairwise(self.times_s))

    def means(self, windows: Sequence[tuple[float, float]]) -> list[float | None]:
        """Give the mean power in each window (start and end by the logger's clock), in watts; None where it has a gap.

        Power runs straight between readings, so that its integral is a sum of trapezoids.
        """
        longest_s = SHORTEST_STEPS * self.step_s
        energies_j, gaps = [0.0], [0]
        for (t0, p0), (t1, p1) in itertools.pairwise(zip(self.times_s, self.powers_w, strict=True)):
            energies_j.append(energies_j[-1] + (p0 + p1) / 2 * (t1 - t0))
            gaps.append(gaps[-1] + (t1 - t0 > longest_s))
        return [self._mean(start, end, energies_j, gaps) for start, end in windows]

    def _mean(self, start_s: float, end_s: float, energies_j: Sequence[float], gaps: Sequence[int]) -> float | None:
        if not self.times_s[0] <= start_s < end_s <= self.times_s[-1]:
            return None
        first = bisect.bisect_right(self.times_s, start_s) - 1
        last = bisect.bisect_left(self.times_s, end_s)
        if gaps[last] > gaps[first]:
            return None
        return (self._energy_j(end_s, energies_j) - self._energy_j(start_s, energies_j)) / (end_s - start_s)

    def _energy_j(self, now_s: float, energies_j: Sequence[float]) -> float:
        i = min(bisect.bisect_right(self.times_s, now_s), len(self.times_s) - 1) - 1
        span_s = now_s - self.times_s[i]
        slope = (self.powers_w[i + 1] - self.powers_w[i]) / (self.times_s[i + 1] - self.times_s[i])
        return energies_j[i] + span_s * (self.powers_w[i] + slope * span_s / 2)


@dataclass(frozen=True, slots=True)
class _Table:
    """The rows of a CSV file by their line numbers."""

    path: Path
    header: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]
    delimiter: str

    @classmethod
    def open(cls, path: Path) -> _Table:
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
            raise UsageError(f"Cannot read the log {path}: {reason}.") from error
        lines = text.splitlines()
        first = next((line for line in lines if line.strip()), "")
        delimiter = max(";\t,", key=first.count)
        try:
            rows = [(n, tuple(row)) for n, row in enumerate(csv.reader(lines, delimiter=delimiter), 1) if any(row)]
        except csv.Error as error:
            raise UsageError(f"Cannot read the log {path}: {error}.") from error
        header = tuple(name.strip() for name in rows[0][1]) if rows else ()
        if len(header) < 2 or any(re.fullmatch(r"[-+\d.,:TZ ]+", name) for name in header):
            raise UsageError(
                f"{path}, line 1: it must name at least two columns, such as time,power_w; found {first[:80]!r}."
            )
        for line, row in rows[1:]:
            if len(row) != len(header):
                raise UsageError(
                    f"{path}, line {line}: {len(row)} values for {len(header)} columns; "
                    "put numbers that hold the separator in quotation marks."
                )
        return cls(path, header, tuple(rows[1:]), delimiter)

    def column(self, name: str) -> int:
        if name not in self.header:
            raise UnknownName(f"column of {self.path.name}", name, self.header)
        return self.header.index(name)

    def wrong(self, line: int, column: int, value: str, advice: str) -> UsageError:
        return UsageError(f"{self.path}, line {line}, column {self.header[column]!r}: {value!r} is {advice}.")


_TIME_WORDS = {"timestamp", "datetime", "time", "date", "epoch", "unix", "ts", "zeit", "datum", "ora", "data"}
_TIME_OF_DAY = re.compile(r"\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?(Z|[+-]\d{2}:?\d{2})?")
_POWER_UNITS = {"mw": 1e-3, "w": 1.0, "watt": 1.0, "watts": 1.0, "kw": 1e3}
_ENERGY_UNITS = {"mwh": 1e-3 * JOULES_PER_WH, "wh": JOULES_PER_WH, "kwh": 1e3 * JOULES_PER_WH, "j": 1.0, "kj": 1e3}
# Mega or milli? Taking one for the other is wrong by a factor of 10^9.
_UNCLEAR_UNITS = {"MW", "MWh", "MJ", "mJ", "mj"}
_POWER_WORDS = {"power", "apower", "leistung", "potenza", "puissance", "p"}
_ENERGY_WORDS = {"energy", "aenergy", "energie", "energia"}
# Neither the power of the moment nor real power.
_OTHER_WORDS = {"apparent", "reactive", "factor", "va", "var", "limit", "max", "maximum", "min", "minimum", "returned"}
_NO_READING = {"", "nan", "null", "none", "unavailable", "unknown", "-"}


def _words(name: str) -> list[str]:
    return re.findall(r"[A-Za-z]+", name)


def _time_columns(table: _Table, name: str) -> tuple[int, ...]:
    """Find the column of times, or those of date and time of day."""
    if name:
        return (table.column(name),)
    named = [
        i
        for i, title in enumerate(table.header)
        if {word.lower() for word in _words(title)} & _TIME_WORDS and _meaning(title) is None
    ]
    if not named:
        raise UsageError(
            f"{table.path}, line 1: no column is called time, timestamp or date, but {', '.join(table.header)}; "
            "say which one holds the time (--time-column)."
        )
    of_day = [i for i in named if table.rows and _TIME_OF_DAY.fullmatch(table.rows[0][1][i].strip())]
    others = [i for i in named if i not in of_day]
    return (others[0], of_day[0]) if of_day and others else (named[0],)


def _reading_column(table: _Table, name: str) -> tuple[int, float, bool]:
    """Find what holds power or energy: its column, the factor to watts or joules, and whether it is energy."""
    found: dict[bool, list[tuple[int, float]]] = {False: [], True: []}
    for i, title in enumerate(table.header):
        if not name or title == name:
            meaning = _meaning(title) or ((1.0, False) if name else None)
            if meaning is not None:
                found[meaning[1]].append((i, meaning[0]))
    if name and (unit := _strange_unit(table.header[table.column(name)])):
        raise UsageError(
            f"{table.path}, line 1, column {name!r}: the unit {unit!r} is none of W, mW, kW, J, kJ, Wh, mWh and kWh; "
            "rename the column, or convert it."
        )
    for is_energy in (False, True):
        if len(found[is_energy]) > 1:
            titles = ", ".join(repr(table.header[i]) for i, _ in found[is_energy])
            raise UsageError(f"{table.path}, line 1: power may be in any of {titles}; say in which (--power-column).")
        if found[is_energy]:
            column, factor = found[is_energy][0]
            return column, factor, is_energy
    raise UsageError(
        f"{table.path}, line 1: no column holds power (W, mW, kW) or energy (Wh, kWh), by its name: "
        f"{', '.join(table.header)}; say which one does (--power-column)."
    )


def _strange_unit(title: str) -> str:
    """Give the unit that a column has, where it is none that is known: an unknown one is never taken for another."""
    bracketed = re.search(r"[(\[]([^)\]]*)[)\]]", title)
    if bracketed and bracketed[1].strip().lower() not in {*_POWER_UNITS, *_ENERGY_UNITS}:
        return bracketed[1]
    return next((word for word in _words(title) if word in _UNCLEAR_UNITS), "")


def _meaning(title: str) -> tuple[float, bool] | None:
    """Read the name of a column: the factor to watts or joules, and whether it is energy; None where it is neither."""
    words = {word.lower() for word in _words(title)}
    if words & _OTHER_WORDS or _strange_unit(title):
        return None
    for unit, factor in _ENERGY_UNITS.items():
        if unit in words:
            return factor, True
    if words & _ENERGY_WORDS:
        return JOULES_PER_WH, True
    for unit, factor in _POWER_UNITS.items():
        if unit in words:
            return factor, False
    return (1.0, False) if words & _POWER_WORDS else None


def _number(table: _Table, line: int, column: int, row: Sequence[str]) -> float | None:
    """Read a number of at least 0, with a decimal point or comma; None where there is no reading."""
    text = row[column].strip().replace("\u00a0", "").replace(" ", "")
    if text.lower() in _NO_READING:
        return None
    right = "no number of at least 0; write it as 123.4 or 123,4, without a unit"
    plain = text
    if "," in text and "." in text:  # the last one is the decimal sign, the other one groups thousands
        groups, decimal = sorted(".,", key=text.rindex)
        plain = text.replace(groups, "").replace(decimal, ".")
    elif "," in text:
        if table.delimiter == "," and re.fullmatch(r"\d{1,3}(,\d{3})+", text):
            raise table.wrong(line, column, row[column], "either thousands or a decimal comma; write it without commas")
        plain = text.replace(",", ".")
    try:
        value = float(plain)
    except ValueError:
        raise table.wrong(line, column, row[column], right) from None
    if not (math.isfinite(value) and value >= 0):
        raise table.wrong(line, column, row[column], right)
    return value


_SECONDS_FROM = 1e9
_MILLISECONDS_FROM = 1e12
"""Seconds since 1970 are between these from 2001 to the year 33658; more are milliseconds."""


def _moment_s(table: _Table, line: int, clock: Sequence[int], row: Sequence[str]) -> float:
    """Read a time, in seconds since 1970."""
    text = " ".join(row[i].strip() for i in clock)
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        pass
    else:
        if _SECONDS_FROM <= number < _MILLISECONDS_FROM:
            return number
        if _MILLISECONDS_FROM <= number < 1e3 * _MILLISECONDS_FROM:
            return number / 1e3
    try:
        # Without a zone it is the local time of this machine.
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        advice = (
            "no time; write 2026-03-29T14:05:00, with or without a zone (+02:00, Z), "
            "or seconds or milliseconds since 1970"
        )
        raise table.wrong(line, clock[0], text, advice) from None


def _distinct(readings: Sequence[tuple[float, float, int]]) -> list[tuple[float, float]]:
    """Give one power a time: the mean where a logger with whole seconds has written two in one."""
    groups = itertools.groupby(readings, key=operator.itemgetter(0))
    return [(now_s, statistics.fmean(power_w for _, power_w, _ in group)) for now_s, group in groups]


def _powers(table: _Table, column: int, readings: Sequence[tuple[float, float, int]]) -> list[tuple[float, float]]:
    """Turn a running total, in joules, into mean powers at the middle of each step."""
    points: list[tuple[float, float]] = []
    for (t0, e0, _), (t1, e1, line) in itertools.pairwise(readings):
        if e1 < e0:
            raise table.wrong(
                line, column, f"{e1 / JOULES_PER_WH:g} Wh", "less than before; cut the log where the meter was reset"
            )
        if t1 > t0:
            points.append(((t0 + t1) / 2, (e1 - e0) / (t1 - t0)))
    return points


# ---- clocks ----------------------------------------------------------------------------------------------------------

LEAST_CORRELATION = 0.5
STANDARD_ERRORS_APART = 3.0
PARABOLA_ERROR = 0.086
"""A parabola through three points of a triangle's tip, which the correlation of load steps is, misses the tip by at
most this part of their distance: max of |x - x / (2 - 2x)| for x up to 1/2, at x = 1 - 1/sqrt(2)."""


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """By how much a logger's clock is ahead of ours, in seconds.

    Attributes:
        seconds: what to take away from the logger's times.
        standard_uncertainty_s: of it.
        correlation: of both powers at this offset.
    """

    seconds: float
    standard_uncertainty_s: float
    correlation: float


def clock_offset(
    starts_s: Sequence[float],
    durations_s: Sequence[float],
    powers_w: Sequence[float],
    log: WallLog,
    *,
    max_offset_s: float = 600.0,
) -> ClockOffset:
    """Find by how much the logger's clock is ahead: the lag at which both powers go together best.

    Both are averaged over the cells of one grid; the best whole lag is refined by a parabola through it and its
    neighbours. Its standard uncertainty is that of a least-squares shift, sqrt(sum p'^2 e^2) / (b sum p'^2), with e
    the wall's power less the line of slope b through ours p (errors of their own at every step: White, Econometrica
    48(4):817-838, 1980, doi:10.2307/1912934), and the parabola's own error, taken as uniform.

    Args:
        starts_s: when our windows began, in seconds since 1970 by our clock.
        durations_s: how long they were.
        powers_w: mean power in each.
        log: the wall meter's.
        max_offset_s: largest offset that is looked for, either way.

    Raises:
        UsageError: if the log is too sparse, if the powers do not go together at any lag (correlation below 0.5), or
            if another lag fits as well within three standard errors (of Fisher's z).
    """
    if len(powers_w) < 10:
        raise UsageError(f"{len(powers_w)} windows are too few to find the clock offset; measure for longer.")
    if log.step_s > LONGEST_STEP_S:
        raise UsageError(
            f"{log.source} has a reading every {log.step_s:.3g} s; "
            f"let the meter log at least every {LONGEST_STEP_S:g} s."
        )
    step_s = statistics.median(durations_s)
    origin_s, ours = _gridded(starts_s, durations_s, powers_w, step_s)
    most = math.ceil(max_offset_s / step_s)
    cells = [(origin_s + i * step_s, origin_s + (i + 1) * step_s) for i in range(-most, len(ours) + most)]
    wall = log.means(cells)
    if not any(value is not None for value in wall):
        raise UsageError(
            f"{log.source} covers {_clock(log.times_s[0])} to {_clock(log.times_s[-1])}; measured was "
            f"{_clock(starts_s[0])} to {_clock(starts_s[-1] + durations_s[-1])}. "
            "Let the meter log while it is measured."
        )
    correlations = _correlations(ours, wall)
    best = max(range(len(correlations)), key=correlations.__getitem__)
    peak = correlations[best]
    if not peak >= LEAST_CORRELATION:
        raise UsageError(
            f"The wall meter and our sensors do not go together (correlation {max(peak, 0):.2f} at best): the load did "
            "not vary enough, the log is of another machine, or its clock is off by more than "
            f"{max_offset_s:.0f} s."
        )
    if best in {0, len(correlations) - 1} or not _alone(correlations, best, len(powers_w)):
        raise UsageError(
            f"The clock offset is not clear: {(best - most) * step_s:.0f} s fits, and others as well. The load "
            "repeated itself or did not vary enough; measure with phases of different length."
        )
    before, after = correlations[best - 1], correlations[best + 1]
    bend = before - 2 * peak + after
    shift = 0.5 * (before - after) / bend if bend < 0 else 0.0
    offset_s = (best - most + shift) * step_s
    moved = log.means([(start + offset_s, end + offset_s) for start, end in cells[most : most + len(ours)]])
    uncertainty_s = math.hypot(_shift_uncertainty_s(ours, moved, step_s), PARABOLA_ERROR * step_s / math.sqrt(3))
    return ClockOffset(offset_s, uncertainty_s, peak)


def _shift_uncertainty_s(ours: Sequence[float | None], wall: Sequence[float | None], step_s: float) -> float:
    """Give the standard uncertainty of a shift in time that was fitted by least squares, in seconds."""
    known = [(p, w) for p, w in zip(ours, wall, strict=True) if p is not None and w is not None]
    slope, base_w = statistics.linear_regression(*zip(*known, strict=True))
    squares = weighted = 0.0
    for before, p, after, w in zip(ours, ours[1:], ours[2:], wall[1:], strict=False):
        if before is not None and p is not None and after is not None and w is not None:
            change = ((after - before) / (2 * step_s)) ** 2
            squares += change
            weighted += change * (w - base_w - slope * p) ** 2
    return math.sqrt(weighted) / (slope * squares)


def _clock(now_s: float) -> str:
    return datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _gridded(
    starts_s: Sequence[float], durations_s: Sequence[float], powers_w: Sequence[float], step_s: float
) -> tuple[float, list[float | None]]:
    """Average windows over the cells of a regular grid; a cell of which less than half is covered is unknown."""
    origin_s = starts_s[0]
    cells = math.ceil((starts_s[-1] + durations_s[-1] - origin_s) / step_s)
    energies_j, covered_s = [0.0] * cells, [0.0] * cells
    for start_s, duration_s, power_w in zip(starts_s, durations_s, powers_w, strict=True):
        first = int((start_s - origin_s) / step_s)
        last = min(int((start_s + duration_s - origin_s) / step_s), cells - 1)
        for i in range(first, last + 1):
            edge_s = origin_s + i * step_s
            part_s = max(min(edge_s + step_s, start_s + duration_s) - max(edge_s, start_s), 0.0)
            energies_j[i] += power_w * part_s
            covered_s[i] += part_s
    return origin_s, [e / c if c > step_s / 2 else None for e, c in zip(energies_j, covered_s, strict=True)]


def _correlations(ours: Sequence[float | None], wall: Sequence[float | None]) -> list[float]:
    """Give Pearson's correlation at every lag, over what both know; -1 where that is less than half of ours."""
    y, w = _centred(ours)
    v, m = _centred(wall)
    yy, vv = [a * a for a in y], [a * a for a in v]
    known = sum(w)
    found = []
    for lag in range(len(wall) - len(ours) + 1):
        part = slice(lag, lag + len(ours))
        mask, values, squares = m[part], v[part], vv[part]
        n = _dot(w, mask)
        if n < known / 2:
            found.append(-1.0)
            continue
        mean_y, mean_v = _dot(y, mask) / n, _dot(w, values) / n
        spread = (_dot(yy, mask) / n - mean_y**2) * (_dot(w, squares) / n - mean_v**2)
        found.append((_dot(y, values) / n - mean_y * mean_v) / math.sqrt(spread) if spread > 1e-12 else -1.0)
    return found


def _centred(values: Sequence[float | None]) -> tuple[list[float], list[float]]:
    """Give the values about their mean, 0 where unknown, and 1 or 0 for known or not."""
    mean = statistics.fmean(value for value in values if value is not None)
    return [0.0 if v is None else v - mean for v in values], [0.0 if v is None else 1.0 for v in values]


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def _alone(correlations: Sequence[float], best: int, n: int) -> bool:
    """Tell whether no other lag fits as well: outside the hill around the best one, down to half its height."""
    peak = min(correlations[best], 1 - 1e-9)
    least = math.atanh(peak) - STANDARD_ERRORS_APART * math.sqrt(2 / (n - 3))
    return all(math.atanh(min(r, peak)) < least for r in _elsewhere(correlations, best) if r > -1)


def _elsewhere(correlations: Sequence[float], best: int) -> Iterator[float]:
    half = correlations[best] / 2
    left = next((i for i in range(best, -1, -1) if correlations[i] < half), 0)
    right = next((i for i in range(best, len(correlations)) if correlations[i] < half), len(correlations))
    yield from correlations[:left]
    yield from correlations[right:]
