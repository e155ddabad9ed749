"""Tables for other programs: CSV, Markdown and LaTeX, from the plain data of a benchmark report.

Every row says value, unit, interval, boundary and evidence. What has no figure has no value either, but a reason.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from joulemark.reports.benchmark import BenchReport, RowData
from joulemark.reports.data import FigureData
from joulemark.reports.words import unit_plural
from joulemark.units import format_number, scale_for

__all__ = ["csv_cell", "to_csv", "to_latex", "to_markdown"]

_COLUMNS = (
    "suite",
    "task",
    "model",
    "settings",
    "quantity",
    "value",
    "unit",
    "low",
    "high",
    "boundary",
    "evidence",
    "rank",
    "trials",
    "verdict",
    "status",
    "note",
    "quality_metric",
    "quality",
)


def to_csv(report: BenchReport) -> str:
    """Give one line a quantity, in SI units: energy of so many inferences, power, load, carbon.

    Texts that a spreadsheet would take for a formula have an apostrophe in front, see `csv_cell`.
    """
    sheet = io.StringIO()
    writer = csv.writer(sheet, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row in report.rows:
        for quantity, figure in _quantities(row, report.per):
            what = (report.suite, row.task, row.model, _settings(row), quantity)
            how_much = (figure.value, figure.unit, figure.low, figure.high, figure.boundary, figure.evidence)
            besides = (row.rank, row.trials, row.verdict, row.status, row.note, row.quality_metric, row.quality)
            writer.writerow(map(csv_cell, (*what, *how_much, *besides)))
    return sheet.getvalue()


def csv_cell(value: Any) -> Any:
    """Give a value as it goes into a CSV file.

    A text that begins with ``= + - @``, a tab or a line break would be run as a formula by spreadsheets: it gets an
    apostrophe in front (OWASP, "CSV Injection"). Numbers stay numbers, None is an empty cell. Line breaks are all
    written as line feeds, for a lone carriage return would not be quoted.
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value).replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\n")) else text


def to_markdown(report: BenchReport) -> str:
    """Give a table in GitHub's Markdown, a line a workload."""
    scale = _scale(report)
    head = ("#", "task", "model", "energy of", "value", "unit", "low", "high", "boundary", "evidence", "verdict")
    lines = [head, tuple("---:" if name in {"#", "value", "low", "high"} else "---" for name in head)]
    for row in report.rows:
        line = _line(row, report.per, scale)
        verdict = f"{row.verdict}: {row.note}" if row.note else row.verdict
        cells = (line.rank, row.task, line.name, line.work, line.value, line.unit, line.low, line.high)
        lines.append(tuple(map(_markdown, (*cells, row.energy.boundary, row.energy.evidence, verdict))))
    rows = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return f"{rows}\nIntervals: 95 %. {_markdown(_suite(report))}\n"


def to_latex(report: BenchReport) -> str:
    """Give a table for LaTeX with the package booktabs, a line a workload; the boundary is in the caption."""
    scale = _scale(report)
    boundaries = list(dict.fromkeys(row.energy.boundary for row in report.rows if row.energy.value is not None))
    marks = {boundary: chr(ord("a") + at % 26) * (at // 26 + 1) for at, boundary in enumerate(boundaries)}
    several, notes = len(boundaries) > 1, any(row.note for row in report.rows)
    head = ["Task", "Model", "Energy of", "Value", "Unit", "Low", "High", "Evidence", "Verdict"]
    head += (["Boundary"] if several else []) + (["Note"] if notes else [])
    body = []
    for row in report.rows:
        line = _line(row, report.per, scale)
        cells = [row.task, line.name, line.work, line.value, line.unit, line.low, line.high]
        cells += [row.energy.evidence, row.verdict]
        cells += [marks.get(row.energy.boundary, "")] if several else []
        cells += [row.note] if notes else []
        body.append(cells)
    if several:
        covers = "; ".join(f"({mark}) {boundary}" for boundary, mark in marks.items())
    else:
        covers = boundaries[0] if boundaries else "nothing: there is no figure"
    caption = f"{_suite(report)} Intervals: 95 %. Boundary: {covers}."
    columns = "lllrlrrll" + ("l" if several else "") + ("p{5cm}" if notes else "")
    return "\n".join(
        (
            r"% needs \usepackage{booktabs}",
            r"\begin{table}",
            rf"  \caption{{{_latex(caption)}}}",
            rf"  \begin{{tabular}}{{{columns}}}",
            r"    \toprule",
            *(f"    {' & '.join(map(_latex, cells))} \\\\" for cells in (head,)),
            r"    \midrule",
            *(f"    {' & '.join(map(_latex, cells))} \\\\" for cells in body),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
            "",
        )
    )


def _quantities(row: RowData, per: int) -> Iterator[tuple[str, FigureData]]:
    named = (
        (f"energy of {_work(row, per)}", row.energy),
        (f"carbon of {_work(row, per)}", row.carbon_g),
        ("power", row.power),
        ("power at rest", row.idle_power),
        ("energy of loading", row.load),
        ("times the least of its task", row.times_best),
    )
    return ((name, figure) for name, figure in named if figure is not None)


@dataclass(frozen=True, slots=True)
class _Line:
    """The cells of a workload that are written alike in Markdown and LaTeX."""

    rank: str
    name: str
    work: str
    value: str
    unit: str
    low: str
    high: str


def _line(row: RowData, per: int, scale: tuple[float, str]) -> _Line:
    settings = _settings(row)
    factor, symbol = scale
    value, low, high = (
        "" if number is None else format_number(number / factor, 3)
        for number in (row.energy.value, row.energy.low, row.energy.high)
    )
    return _Line(
        rank="" if row.rank is None else str(row.rank),
        name=f"{row.model}, {settings}" if settings else row.model,
        work=_work(row, per),
        value=value or "no figure",
        unit=symbol if value else "",
        low=low,
        high=high,
    )


def _settings(row: RowData) -> str:
    return ", ".join(f"{name}={value}" for name, value in row.settings.items())


def _work(row: RowData, per: int) -> str:
    return f"{per:,} {unit_plural(row.unit)}"


def _scale(report: BenchReport) -> tuple[float, str]:
    """Choose one unit for the whole table, so that its numbers can be compared at a glance: (factor to J, symbol)."""
    values = [row.energy.value for row in report.rows if row.energy.value is not None]
    return scale_for(min(values), "Wh") if values else (3600.0, "Wh")


def _suite(report: BenchReport) -> str:
    return f"Energy by model, suite {report.suite}."


_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>()#|~$&!])")


def _markdown(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", _one_line(text))


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\char34{}",
    # After the \\ that ends a line these would be its arguments.
    "[": "{[}",
    "*": "{*}",
    **{sign: f"\\{sign}" for sign in "{}$&#%_"},
}


def _latex(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in _one_line(text))


def _one_line(text: str) -> str:
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
