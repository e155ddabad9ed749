"""``joulemark report``: the page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from joulemark.cli.output import Json, console, print_json, writable
from joulemark.cli.place import Where, chosen_place

__all__ = ["register"]

EPILOG = (
    "Examples: `joulemark report results/quickstart` · `joulemark report results/quickstart --where DEU --save de.html`"
)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(epilog=EPILOG)(report)


def report(
    results: Path = typer.Argument(help="A results folder, or one record."),
    save: Annotated[
        Path | None, typer.Option("--save", "-o", help="HTML file.", show_default="RESULTS/report.html")
    ] = None,
    where: Where = None,
    title: str = typer.Option("", help="Heading of the page."),
    json: Json = False,
) -> None:
    """Write the page that explains what was measured: one HTML file that needs no network."""
    from joulemark.records import load_runs
    from joulemark.reports import from_runs
    from joulemark.reports.html import write_report

    place = chosen_place(where)
    target = save or (results if results.is_dir() else results.parent) / "report.html"
    writable(target)
    runs = load_runs(results)
    write_report(runs, target, place, title=title)
    if json:
        print_json(from_runs(runs, place))
    else:
        console().print(f"Wrote {target}")
