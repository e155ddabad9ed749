"""``joulemark reproduce STUDY``: a published study rebuilt from its own data, and audited."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated

import typer

from joulemark.cli.output import Json, console, print_json, writable, write_text
from joulemark.errors import UnknownName

__all__ = ["STUDIES", "register"]

EPILOG = (
    "Examples: `joulemark reproduce power-hungry --data co2_inference` · "
    "`joulemark reproduce ml-energy --data ml_energy_v3 --html front.html`"
)

STUDIES = {
    "power-hungry": "joulemark.studies.power_hungry",
    "ai-energy-score": "joulemark.studies.ai_energy_score",
    "ml-energy": "joulemark.studies.ml_energy",
}
"""The modules by name; each has a function ``reproduce(data)``."""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(epilog=EPILOG)(reproduce)


def reproduce(
    study: str = typer.Argument(help=f"One of: {', '.join(STUDIES)}."),
    data: Path = typer.Option(..., "--data", help="The folder with the study's data, as its authors publish them."),
    html: Annotated[Path | None, typer.Option("--html", help="Also write a page to this file.")] = None,
    json: Json = False,
) -> None:
    """Rebuild a published study from its own data, beside what it printed, and audit it."""
    if study not in STUDIES:
        raise UnknownName("study", study, STUDIES)
    writable(html)
    report = importlib.import_module(STUDIES[study]).reproduce(data)
    if html is not None:
        from joulemark.studies.page import render

        write_text(html, render(report))
    if json:
        print_json(report)
        return
    from joulemark.studies.terminal import reproduction_view

    console().print(reproduction_view(report))
