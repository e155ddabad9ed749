"""The targets, what was found, and one table of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from benchmarks.meter.costs import Bench, Size, Spread
from benchmarks.meter.trials import LOCKED, Cell, Outcome
from benchmarks.meter.verdicts import Verdict, verdict

__all__ = [
    "Row",
    "accuracy_rows",
    "as_markdown",
    "as_table",
    "cost_rows",
    "coverage_rows",
    "rapl_row",
    "real_time_rows",
]

Trials = Mapping[Cell, Sequence[Outcome]]
MB = 1e6


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        what: is measured.
        target: to reach; empty for what is only shown.
        found: here.
        reached: None where there is no target, or nothing was measured.
        peer: what the best other tool does, see `benchmarks.meter.peers`.
    """

    what: str
    target: str
    found: str
    reached: bool | None = None
    peer: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """Largest relative errors over the traces of `LOCKED`; None where none is set."""

    sensor: str
    length_s: float
    median: float | None
    worst: float | None
    peer: str

    @property
    def text(self) -> str:
        """Both in words."""
        named = (("median", self.median), ("worst", self.worst))
        return ", ".join(f"{name} ≤ {_percent(limit)}" for name, limit in named if limit is not None)

    def reached(self, found: Verdict) -> bool:
        """Whether all windows gave a figure, and none of it is larger."""
        return (
            found.named == 0
            and (self.median is None or found.median <= self.median)
            and (self.worst is None or found.worst <= self.worst)
        )


TARGETS = (
    Target("counter 100 ms", 10.0, 0.001, 0.01, "0.0, 0.4-1 %"),
    Target("counter 100 ms", 1.0, 0.002, 0.11, "0.0-0.6, 11-26 %"),
    Target("counter 100 ms", 0.1, 0.01, None, "0.4-2, 283 %; no interval"),
    Target("gauge 20 ms", 10.0, None, 0.008, "4-10, 47-176 %"),
    Target("gauge 20 ms", 1.0, None, 0.05, "6, 60-177 %"),
)


def accuracy_rows(trials: Trials) -> list[Row]:
    """Give the errors by sensor and length, of warm meters and of first windows."""
    rows = []
    for target in TARGETS:
        found = _over(trials, target.sensor, target.length_s, "warm")
        what = f"{target.sensor}, {target.length_s:g} s windows: error"
        rows.append(Row(what, target.text, _errors(found), target.reached(found), target.peer))
    for target in TARGETS:
        found = _over(trials, target.sensor, target.length_s, "first")
        if found.trials:
            rows.append(
                Row(
                    f"the same, first window of a new meter: {target.sensor}, {target.length_s:g} s", "", _errors(found)
                )
            )
    return rows


def _over(trials: Trials, sensor: str, length_s: float, state: str) -> Verdict:
    wanted = (sensor, length_s, state, "none")
    return verdict(
        outcome
        for cell, outcomes in trials.items()
        if (cell.sensor, cell.length_s, cell.state, cell.fault) == wanted and cell.trace in LOCKED
        for outcome in outcomes
    )


def _errors(found: Verdict) -> str:
    unnamed = f"; {found.named} of {found.trials} without a figure" if found.named else ""
    return (
        f"median {_percent(found.median)}, p95 {_percent(found.p95)}, worst {_percent(found.worst)}; "
        f"own half-width {_percent(found.wide)}{unnamed}"
    )


def coverage_rows(trials: Trials, again: Trials) -> list[Row]:
    """Give how many cells hold 95 %, and how many are not too wide.

    Args:
        trials: of every cell.
        again: further ones of those cells that came up short, drawn afresh.
    """
    found = {cell: verdict(outcomes) for cell, outcomes in trials.items()}
    figures = sum(v.figures for v in found.values())
    held = sum(v.held for v in found.values())
    short = [cell for cell, v in found.items() if not v.covers]
    failing = [cell for cell in short if not verdict(again[cell]).covers]
    wide = [cell for cell, v in found.items() if not v.narrow]
    grid = [v for cell, v in found.items() if cell.sensor == "gauge 25 of 100 ms" and cell.trace in LOCKED[1:3]]
    return [
        Row(
            "95 % intervals: cells (sensor, trace, length, fault) below 95 % at the 1 % level, twice",
            "0 cells",
            f"{len(failing)} of {len(found)} ({len(short)} at first look); "
            f"{_percent(held / figures)} of {figures} windows",
            not failing,
            "no intervals",
        ),
        Row(
            "... cells wider than 4 median errors and 1 %, specification left out",
            "0 cells",
            f"{len(wide)} of {len(found)}",
            not wide,
            "no intervals",
        ),
        Row(
            "power seen 25 of every 100 ms, bursts locked to the grid: windows whose interval holds the truth",
            "says that it cannot be exact: ≥ 95 %",
            _percent(sum(v.held for v in grid) / max(1, sum(v.figures for v in grid))),
            all(v.covers for v in grid),
            "60 % off, unsaid",
        ),
    ]


def rapl_row(machines: Mapping[str, Sequence[Outcome]]) -> Row:
    """Give the errors of RAPL machines of several domains."""
    found = verdict(outcome for outcomes in machines.values() for outcome in outcomes)
    parts = {name: verdict(outcomes) for name, outcomes in machines.items()}
    off = [f"{name}: {_percent(v.worst)}" for name, v in parts.items() if v.figures and v.worst > 0.005]
    known = [v.worst for v in parts.values() if v.figures and v.worst <= 0.005]
    text = f"worst {_percent(max(known))}; {found.named} of {found.trials} named a fault"
    return Row(
        "RAPL across wraps, resets, failed reads, psys, mirrored dies",
        "error ≤ 0.5 % or a named fault",
        "; ".join([text, *(f"but {one}" for one in off)]),
        not off,
        "525 x, -262 kJ, +150 %, 0",
    )


def cost_rows(bench: Bench, *, windows: int, seconds: float, size: Size | None) -> list[Row]:
    """Measure the costs.

    Args:
        bench: runs them.
        windows: to open and close.
        seconds: that a window is open whose cost in processor time is measured.
        size: of the installation, where it is the core alone.
    """
    imports = bench.imports()
    default, placed = bench.first_windows()
    edges = bench.edges(windows)
    running = bench.running(seconds)
    counters, usual, gauge = (running[k][0] for k in running)
    memory = Spread.of(value for _, spread in running.values() for value in spread.values)
    return [
        Row(
            "import joulemark, beyond bare Python",
            "≤ 15 ms",
            _ms(imports),
            imports.median <= 0.015,
            "0, 24, 142-1,800 ms",
        ),
        Row(
            f"open and close a window, one GPU counter and two RAPL packages: median of {windows}",
            "≤ 150 µs",
            _us(edges.median),
            edges.median.median <= 150e-6,
            "2.5-2.8, 16 ms",
        ),
        Row("... worst", "≤ 2 ms", f"{_us(edges.worst)}; p99 {_us(edges.p99)}", edges.worst.high <= 2e-3, "60 ms"),
        Row(
            "first window of a process, from `import` until it is open: jm.measure()",
            "≤ 100 ms",
            _ms(default),
            default.median <= 0.1,
            "29 ms, 0.7-4.7 s",
        ),
        Row("... Meter() with two RAPL packages as well", "≤ 100 ms", _ms(placed), placed.median <= 0.1, ""),
        Row(
            f"processor time while a window is open for {seconds:g} s: counters only",
            "≤ 0.02 % of a core",
            _share(counters),
            counters.median <= 2e-4,
            "0.01-0.15 %",
        ),
        Row("... default settings, counters", "≤ 0.3 %", _share(usual), usual.median <= 3e-3, ""),
        Row("... default settings, a gauge of 20 ms", "≤ 0.3 %", _share(gauge), gauge.median <= 3e-3, ""),
        Row(
            "memory over bare Python, sampling process included (PSS)",
            "≤ 25 MB",
            _spread(memory, 1 / MB, "MB"),
            memory.high <= 25 * MB,
            "6-235 MB",
        ),
        Row(
            "core install",
            "≤ 30 MB, ≤ 16 distributions",
            f"{size.bytes / MB:.1f} MB, {size.distributions} distributions" if size else "see make benchmark",
            size.bytes <= 30 * MB and size.distributions <= 16 if size else None,
            "3.4 MB, 1; 4-400 MB, 3-38",
        ),
    ]


def real_time_rows(found: Mapping[float, Sequence[Mapping[str, float]]]) -> list[Row]:
    """Give the errors of windows in real time, through the sampling process and nvidia-ml-py."""
    rows = []
    for length_s, windows in found.items():
        own = verdict(
            Outcome(error=w["error"], wide=0.0, held=bool(w["held"])) for w in windows if w["error"] is not None
        )
        named = len(windows) - own.trials
        text = (
            f"median {_percent(own.median)}, worst {_percent(own.worst)} of {own.trials}"
            + f"; {named} named" * bool(named)
        )
        rows.append(Row(f"in real time, counter 100 ms, a sine of 1.7 s: {length_s:g} s", "", text))
    return rows


def as_table(title: str, rows: Iterable[Row]) -> Table:
    """Lay the rows out."""
    table = Table(title=title, title_justify="left", show_lines=False)
    for heading in ("what", "target", "found", "", "best peer"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        mark = {True: "[green]reached[/]", False: "[red]not reached[/]", None: ""}[row.reached]
        table.add_row(row.what, row.target, row.found, mark, row.peer)
    return table


def as_markdown(rows: Iterable[Row]) -> str:
    """Write the rows as a table in Markdown."""
    mark = {True: "yes", False: "**no**", None: ""}
    lines = ["| what | target | found | reached | best peer |", "|---|---|---|---|---|"]
    lines += [f"| {row.what} | {row.target} | {row.found} | {mark[row.reached]} | {row.peer} |" for row in rows]
    return "\n".join(lines)


def _percent(part: float) -> str:
    percent = 100 * part
    return f"{percent:.3f} %" if percent < 0.1 else f"{percent:.3g} %"


def _spread(spread: Spread, factor: float, unit: str) -> str:
    low, middle, high = (f"{value * factor:.3g}" for value in (spread.low, spread.median, spread.high))
    return f"{middle} {unit} ({low} to {high})"


def _ms(spread: Spread) -> str:
    return _spread(spread, 1e3, "ms")


def _us(spread: Spread) -> str:
    return _spread(spread, 1e6, "µs")


def _share(spread: Spread) -> str:
    return _spread(spread, 100, "%")
