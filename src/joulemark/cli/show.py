"""``joulemark show``: the table of what was measured."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from joulemark.cli.output import Json, Save, console, to_json, writable, write_text
from joulemark.cli.place import Where, chosen_place
from joulemark.errors import RecordError, UsageError

if TYPE_CHECKING:
    from joulemark.reports.benchmark import BenchReport

__all__ = ["Format", "register"]

EPILOG = (
    "Examples: `joulemark show results/quickstart` · `joulemark show results/quickstart --where FRA --json` · "
    "`joulemark show results/quickstart --format latex --save table.tex`"
)


class Format(StrEnum):
    """How it is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    MARKDOWN = "markdown"
    LATEX = "latex"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(epilog=EPILOG)(show)


def show(
    results: Path = typer.Argument(help="A results folder, one record, or the journal of a run that has not ended."),
    where: Where = None,
    format: Format | None = typer.Option(
        None, help="How to print it; csv has a line a quantity, in SI units.", show_default="table"
    ),
    json: Json = False,
    save: Save = None,
) -> None:
    """Show the ranking of the runs in a folder, or of one record.

    With --save the file has the chosen format, JSON with a table on the screen. Records that cannot be read are left
    out and named; the exit code is then 4.
    """
    from joulemark.records.files import Folder, load_run, read_folder
    from joulemark.reports.benchmark import collect, from_runs
    from joulemark.reports.terminal import benchmark_view

    if json and format not in {None, Format.JSON}:
        raise UsageError(f"Choose one of --json and --format {format}.")
    chosen = Format.JSON if json else format or Format.TABLE
    writable(save)
    place = chosen_place(where)
    folder = read_folder(results) if results.is_dir() else Folder((load_run(results),))
    left_out = " ".join(one.reason for one in folder.left_out)
    if not folder.runs:
        raise RecordError(left_out or f"{results} holds no run records.")
    report = from_runs(folder.runs, place)
    if save is not None:
        write_text(save, rendered(report, Format.JSON if chosen is Format.TABLE else chosen))
    if chosen is Format.TABLE:
        console().print(benchmark_view(collect(folder.runs, place)))
    else:
        typer.echo(rendered(report, chosen).encode(), nl=False)
    if left_out:
        raise RecordError(f"Left out: {left_out}")


def rendered(report: BenchReport, chosen: Format) -> str:
    """Give a report as text."""
    from joulemark.reports import tables

    if chosen is Format.CSV:
        return tables.to_csv(report)
    if chosen is Format.MARKDOWN:
        return tables.to_markdown(report)
    if chosen is Format.LATEX:
        return tables.to_latex(report)
    return to_json(report).decode()
