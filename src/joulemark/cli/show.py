"""``joulemark show``: the table of what was measured."""

from __future__ import annotations

from pathlib import Path

import typer

from joulemark.cli.output import Json, Save, console, print_json, to_json, writable, write_text
from joulemark.cli.place import Where, chosen_place

__all__ = ["register"]

EPILOG = "Examples: `joulemark show results/quickstart` · `joulemark show results/quickstart --where FRA --json`"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(epilog=EPILOG)(show)


def show(
    results: Path = typer.Argument(help="A results folder, or one record."),
    where: Where = None,
    json: Json = False,
    save: Save = None,
) -> None:
    """Show the ranking of the runs in a folder, or of one record."""
    from joulemark.records import load_runs
    from joulemark.reports.benchmark import collect, from_runs
    from joulemark.reports.terminal import benchmark_view

    writable(save)
    place = chosen_place(where)
    runs = load_runs(results)
    if save is not None:
        write_text(save, to_json(from_runs(runs, place)).decode())
    if json:
        print_json(from_runs(runs, place))
    else:
        console().print(benchmark_view(collect(runs, place)))
