"""``joulemark catalogue``: published figures and one's own, on one footing if asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from joulemark.cli.output import Json, Save, console, print_json, to_json, writable, write_text

if TYPE_CHECKING:
    from joulemark.catalogue import Catalogue, OwnFigure

__all__ = ["With", "register"]

EPILOG = (
    "Examples: `joulemark catalogue --task image-generation` · "
    "`joulemark catalogue --model stabilityai/stable-diffusion-xl-base-1.0 --as gpu-active,net`"
)

With = Annotated[
    list[Path] | None,
    typer.Option("--with", metavar="FILE", help="A file of claims of your own, added to those that ship."),
]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(epilog=EPILOG)(catalogue)


def catalogue(
    task: Annotated[str | None, typer.Option(help="Only this task, such as image-generation or training.")] = None,
    model: Annotated[str | None, typer.Option(help="Only this model, with or without its publisher.")] = None,
    footing: Annotated[
        str | None,
        typer.Option(
            "--as", metavar="BOUNDARY", help="Bring all to one boundary: gpu-active, gpu-all, node, node+facility ..."
        ),
    ] = None,
    pue: Annotated[
        float | None, typer.Option(help="PUE to reckon a facility with; a published range without it.")
    ] = None,
    results: Annotated[
        list[Path] | None, typer.Option("--results", metavar="DIR", help="Show runs of your own beside them.")
    ] = None,
    extra: With = None,
    json: Json = False,
    save: Save = None,
) -> None:
    """Show published figures, each with its boundary, interval and source; on one footing with --as."""
    from joulemark.catalogue import load_catalogue, pue_of, read_boundary
    from joulemark.reports.catalogue import catalogue_report, catalogue_view, summary_view

    writable(save)
    target = read_boundary(footing) if footing is not None else None
    known_pue = pue_of(pue) if pue is not None else None
    own = _own(results or (), task, model)
    chosen = _chosen(load_catalogue(extra or ()), task, model, own)
    if save is None and not json and task is None and model is None and not own and target is None:
        console().print(summary_view(chosen))
        return
    report = catalogue_report(chosen, own, target, known_pue)
    if save is not None:
        write_text(save, to_json(report).decode())
    if json:
        print_json(report)
    else:
        console().print(catalogue_view(report))


def _own(folders: Sequence[Path], task: str | None, model: str | None) -> tuple[OwnFigure, ...]:
    if not folders:
        return ()
    from joulemark.catalogue import own_figures
    from joulemark.records import load_runs

    short = None if model is None else model.casefold().rpartition("/")[2]
    runs = [run for folder in folders for run in load_runs(folder)]
    return own_figures(
        run
        for run in runs
        if task in (None, run.workload.task)
        and short in (None, run.workload.model.casefold().rpartition("/")[2], run.workload.model_title.casefold())
    )


def _chosen(whole: Catalogue, task: str | None, model: str | None, own: Sequence[OwnFigure]) -> Catalogue:
    """The claims asked for; that there are none is no error where there are runs of one's own."""
    from joulemark.errors import UnknownName

    try:
        return whole.select(task=task, model=model)
    except UnknownName:
        if not own:
            raise
        return type(whole)(())
