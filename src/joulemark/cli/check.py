"""``joulemark check CLAIM``: is a printed figure plausible, and what was probably meant."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from joulemark.cli.catalogue import With
from joulemark.cli.output import Json, Save, console, print_json, to_json, writable, write_text
from joulemark.cli.place import Where, chosen_place

__all__ = ["register"]

EPILOG = (
    'Examples: `joulemark check "2907 kWh per 1000 images"` · '
    '`joulemark check "0,3 Wh a domanda" --lang it` · `joulemark check "1.14 gCO2 per answer" --where FRA`'
)


class Marks(StrEnum):
    """Whose decimal and thousands marks are meant."""

    EN = "en"
    IT = "it"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(epilog=EPILOG)(check)


def check(
    claim: Annotated[
        str, typer.Argument(metavar="CLAIM", help="Number, unit and what for: '2.9 kWh per 1000 images'.")
    ],
    task: Annotated[str | None, typer.Option(help="What is done, such as image-generation, chat or training.")] = None,
    model: Annotated[str | None, typer.Option(help="By which model; its size, if known, narrows it down.")] = None,
    lang: Annotated[Marks | None, typer.Option(help="Whose decimal and thousands marks; both without it.")] = None,
    boundary: Annotated[
        str | None, typer.Option(help="What the claim counts, if known: gpu-active, node ... as `catalogue --as`.")
    ] = None,
    where: Where = None,
    extra: With = None,
    json: Json = False,
    save: Save = None,
) -> None:
    """Check a printed figure against published ones: plausible, off, or a slip of a mark or a unit."""
    from joulemark.catalogue import check as judge
    from joulemark.catalogue import load_catalogue, read_boundary
    from joulemark.reports.claim_check import check_report, check_view

    writable(save)
    judgement = judge(
        claim,
        load_catalogue(extra or ()),
        task=task,
        model=model,
        language=None if lang is None else lang.value,
        boundary=None if boundary is None else read_boundary(boundary),
        where=chosen_place(where),
    )
    report = check_report(judgement)
    if save is not None:
        write_text(save, to_json(report).decode())
    if json:
        print_json(report)
    else:
        console().print(check_view(report))
