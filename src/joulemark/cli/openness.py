"""``joulemark openness [MODEL]``: what is published about models, and what the rest does to their footprint."""

from __future__ import annotations

from typing import Annotated

import typer

from joulemark.cli.catalogue import With
from joulemark.cli.output import Json, Save, console, print_json, to_json, writable, write_text

__all__ = ["register"]

EPILOG = "Examples: `joulemark openness bigscience/bloom` · `joulemark openness --json`"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(epilog=EPILOG)(openness)


def openness(
    model: Annotated[str | None, typer.Argument(help="A model of the catalogue; all of them without it.")] = None,
    extra: With = None,
    json: Json = False,
    save: Save = None,
) -> None:
    """Show what is published about a model, by whom, and how far what is not stretches the interval."""
    from joulemark.catalogue import load_catalogue, sheet, sheets
    from joulemark.reports.openness import openness_report, openness_view, sheet_view

    writable(save)
    whole = load_catalogue(extra or ())
    report = openness_report((sheet(model, whole),) if model is not None else sheets(whole))
    if save is not None:
        write_text(save, to_json(report).decode())
    if json:
        print_json(report)
    else:
        console().print(sheet_view(report.sheets[0]) if model is not None else openness_view(report.sheets))
