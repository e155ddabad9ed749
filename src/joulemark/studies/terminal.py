"""A reproduction in the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from joulemark.studies import show
from joulemark.studies.report import Check, Reproduction, Table

__all__ = ["reproduction_view"]

_STYLES = {
    "same": "green",
    "within one unit": "green",
    "holds": "green",
    "different": "yellow",
    "does not hold": "yellow",
    "cannot be computed": "dim",
}


def reproduction_view(report: Reproduction) -> RenderableType:
    """Show the result first, then every figure, then the audit."""
    parts: list[RenderableType] = [
        Text(report.title, style="bold"),
        Text(f"{report.citation}; licence of the data: {report.licence}", style="dim"),
        *(Text(line, style="dim") for line in report.data),
        Text(""),
        *(Text(line) for line in report.answer),
    ]
    for place, checks in show.places(report.checks).items():
        parts += [Text(""), Text(f"Printed and computed: {place}", style="bold"), _indented(_checks(checks))]
    if report.findings:
        parts += [Text(""), Text("Printed figures that are not what they say", style="bold")]
        for number, finding in enumerate(report.findings, start=1):
            parts.append(Text(f"{number:3}. {finding.subject} ({finding.place})"))
            parts.append(_indented(Text(f"printed: {finding.printed}\nfound:   {finding.found}"), 5))
            if finding.how:
                parts.append(_indented(Text(finding.how, style="dim"), 5))
    if report.conclusions:
        parts += [Text(""), Text("Which conclusions stand", style="bold"), *_conclusions(report)]
    for section in report.sections:
        parts += [Text(""), Text(section.title, style="bold")]
        parts += [_indented(Text(line)) for line in section.text]
        for table in section.tables:
            parts += [Text(""), *_table(table)]
    parts += [Text(""), Text("Method", style="bold"), *(_indented(Text(line, style="dim")) for line in report.method)]
    return Group(*parts)


def _grid(*columns: tuple[str, bool]) -> Grid:
    grid = Grid(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    for title, right in columns:
        grid.add_column(title, justify="right" if right else "left", overflow="fold")
    return grid


def _indented(what: RenderableType, by: int = 2) -> Padding:
    return Padding(what, (0, 0, 0, by))


def _checks(checks: list[Check]) -> Grid:
    grid = _grid(("what", False), ("printed", True), ("computed (95 %)", True), ("verdict", False))
    for check in checks:
        # Why a figure differs is told among the findings.
        why = f": {check.why}" if check.why and check.verdict in {"within one unit", "cannot be computed"} else ""
        style = _STYLES[check.verdict]
        grid.add_row(check.says, show.printed(check), show.computed(check), Text(f"{check.verdict}{why}", style=style))
    return grid


def _conclusions(report: Reproduction) -> list[RenderableType]:
    parts: list[RenderableType] = []
    for conclusion in report.conclusions:
        style = {True: "green", False: "yellow", None: "dim"}[conclusion.stands]
        parts.append(_indented(Text(f"{conclusion.says} ({conclusion.place})")))
        parts.append(_indented(Text(show.stands(conclusion), style=style), 4))
        judged = " · ".join(f"{u.boundary}: {show.under(u)}" for u in conclusion.under)
        parts.append(_indented(Text(judged, style="dim"), 4))
    return parts


def _table(table: Table) -> list[RenderableType]:
    if table.long:
        return [_indented(Text(f"{table.title}: {len(table.rows):,} rows, with --json or --html", style="dim"))]
    columns = [c for c in table.columns if any(show.cell(row, c) for row in table.rows)]
    grid = _grid(*((show.heading(column), bool(column.unit)) for column in columns))
    for row in table.rows:
        grid.add_row(*(show.cell(row, column) for column in columns))
    parts: list[RenderableType] = [_indented(Text(table.title)), _indented(grid)]
    if notes := show.notes(table):
        parts.append(_indented(Text(notes, style="dim")))
    return parts
