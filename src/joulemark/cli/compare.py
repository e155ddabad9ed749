"""``joulemark compare BEFORE AFTER``: a regression gate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from joulemark.cli.output import Json, Save, a_share, console, print_json, to_json, writable, write_text
from joulemark.errors import Regression

__all__ = ["register"]

EPILOG = "Examples: `joulemark compare results/main results/branch` · `joulemark compare a b --fail-above 5%`"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(epilog=EPILOG)(compare)


def compare(
    before: Path = typer.Argument(help="Results folder or record, earlier."),
    after: Path = typer.Argument(help="Results folder or record, later."),
    fail_above: Annotated[
        str | None,
        typer.Option(help="Exit code 9 if a workload surely takes over this share (5%) more, or has lost its figure."),
    ] = None,
    json: Json = False,
    save: Save = None,
) -> None:
    """Compare two sets of runs, workload by workload: errors that both share cancel.

    Other work or another boundary is not compared; another machine, driver or library is, with a warning.
    """
    from rich.text import Text

    from joulemark.records import load_runs
    from joulemark.reports import comparison
    from joulemark.reports.terminal import compare_view

    writable(save)
    limit = None if fail_above is None else a_share("--fail-above", fail_above)
    document = comparison.compare(load_runs(before), load_runs(after), limit)
    if save is not None:
        write_text(save, to_json(document).decode())
    if json:
        print_json(document)
    else:
        screen = console()
        screen.print(compare_view(document))
        for pair in document.pairs:
            for warning in pair.warnings:
                screen.print(Text(f"{pair.key}: {warning}", style="yellow"))
    if document.failed:
        raise Regression(
            f"{len(document.failed)} of the workloads take over {fail_above} more, lost their figure, or are gone: "
            f"{', '.join(document.failed)}."
        )
