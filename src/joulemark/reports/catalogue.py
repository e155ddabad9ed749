"""Published figures and one's own: plain data, and how a terminal shows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from joulemark.boundary import Boundary
from joulemark.catalogue import (
    CannotConvert,
    Catalogue,
    Claim,
    OwnFigure,
    effects,
    known_of,
    spread,
    to_boundary,
    write_boundary,
)
from joulemark.figures import Figure
from joulemark.reports.data import Document, FigureData, figure_data

__all__ = ["CatalogueReport", "catalogue_report", "catalogue_view", "summary_view", "table"]


class FigureRow(Document, frozen=True):
    """One figure, published or one's own.

    Attributes:
        id: tells it from others.
        own: whether it is of a run of one's own.
        figure: as published; `boundary` what it covers, in the words of ``--as``.
        converted: on the footing that was asked for; null with the reason in `refused`.
        date: of publication, or of the run.
        place: table, page or file.
    """

    id: str
    own: bool
    model: str
    task: str
    figure: FigureData
    boundary: str
    settings: dict[str, str]
    date: str
    origin: str
    place: str
    citation: str
    licence: str
    note: str = ""
    converted: FigureData | None = None
    refused: str = ""


class StepData(Document, frozen=True):
    """One step between the highest and the lowest figure."""

    what: str
    kind: str
    factor: float
    low: float
    high: float
    evidence: str


class SpreadData(Document, frozen=True):
    """Why figures of one model lie apart: factors by kind multiply to `factor`, shares (of its logarithm) add to 1."""

    most: str
    least: str
    factor: float
    steps: tuple[StepData, ...]
    factors: dict[str, float]
    shares: dict[str, float]


class EffectData(Document, frozen=True):
    """What one change of a setting does, over `n` pairs: energy before over energy after."""

    task: str
    setting: str
    before: str
    after: str
    factor: float
    low: float
    high: float
    n: int


class OriginData(Document, frozen=True):
    """Where figures come from."""

    id: str
    title: str
    citation: str
    licence: str


class CatalogueReport(Document, frozen=True):
    """What ``joulemark catalogue --json`` prints.

    Attributes:
        footing: the boundary that was asked for with ``--as``; empty without it.
        figures: all that were asked for, published ones and one's own, by task and the highest first.
        spread: of one model and task, what lies between the highest and the lowest.
        effects: of settings, from pairs that differ in one.
        origins: where the published ones come from.
    """

    footing: str
    figures: tuple[FigureRow, ...]
    spread: SpreadData | None
    effects: tuple[EffectData, ...]
    origins: tuple[OriginData, ...]


def catalogue_report(
    chosen: Catalogue,
    own: Sequence[OwnFigure] = (),
    target: Boundary | None = None,
    pue: Figure | None = None,
) -> CatalogueReport:
    """Put claims and one's own figures into one table, told apart; on one footing if there is a target."""
    rows = sorted(_rows(chosen, own, target, pue), key=lambda row: _order(row, asked=target is not None))
    return CatalogueReport(
        footing="" if target is None else write_boundary(target),
        figures=tuple(rows),
        spread=_spread(chosen),
        effects=tuple(
            EffectData(
                task=e.task,
                setting=e.setting,
                before=e.before,
                after=e.after,
                factor=e.factor,
                low=e.low,
                high=e.high,
                n=e.n,
            )
            for e in effects(chosen.claims)
        ),
        origins=tuple(
            OriginData(id=o.id, title=o.title, citation=o.citation, licence=o.licence) for o in chosen.origins
        ),
    )


def _order(row: FigureRow, *, asked: bool) -> tuple[str, bool, bool, float]:
    """By task; what could not be brought to the footing after what could, what has no figure last."""
    shown = row.converted or row.figure
    return row.task, asked and row.converted is None, shown.value is None, -(shown.value or 0.0)


def _rows(
    chosen: Catalogue, own: Sequence[OwnFigure], target: Boundary | None, pue: Figure | None
) -> Iterator[FigureRow]:
    for claim in chosen.claims:
        converted, refused = _convert(claim, target, pue)
        yield FigureRow(
            id=claim.id,
            own=False,
            model=claim.model,
            task=claim.task,
            figure=figure_data(claim.figure, _family(claim.figure)),
            boundary=write_boundary(claim.covers),
            settings={k: v for k, v in claim.settings.items() if v and (k, v) != ("devices", "1")},
            date=claim.date,
            origin=claim.origin.id,
            place=claim.place,
            citation=claim.origin.citation,
            licence=claim.origin.licence,
            note=claim.note,
            converted=None if converted is None else figure_data(converted, "Wh"),
            refused=refused,
        )
    for mine in own:
        run = mine.run
        converted, refused = _convert(mine, target, pue)
        yield FigureRow(
            id=run.id,
            own=True,
            model=run.workload.model,
            task=run.workload.task,
            figure=figure_data(mine.figure, "Wh"),
            boundary=write_boundary(mine.figure.boundary),
            settings={k: str(v) for k, v in run.workload.chosen.items()},
            date=run.created[:10],
            origin="own run",
            place=run.suite,
            citation=run.machine.processor,
            licence="",
            converted=None if converted is None else figure_data(converted, "Wh"),
            refused=refused,
        )


def _family(figure: Figure) -> str:
    return "Wh" if figure.unit.startswith("J") else "g"


def _convert(what: Claim | OwnFigure, target: Boundary | None, pue: Figure | None) -> tuple[Figure | None, str]:
    """The figure on the footing, or why it cannot be brought there."""
    if target is None:
        return None, ""
    if isinstance(what, Claim):
        figure, known = what.figure, known_of(what, pue)
    else:
        figure, known = what.figure, replace(what.known, pue=pue)
    if not figure.available:
        return None, "it has no figure"
    try:
        return to_boundary(figure, target, known), ""
    except CannotConvert as error:
        return None, f"needs {error.needed}"


def _spread(chosen: Catalogue) -> SpreadData | None:
    """Only of one model in one task is there something to take apart."""
    if len({(c.model, c.task) for c in chosen.claims}) != 1:
        return None
    found = spread(chosen.claims)
    if found is None:
        return None
    kinds = ("boundary", "settings", "left")
    steps = (
        StepData(
            what=s.what,
            kind=s.kind,
            factor=s.factor.value,
            low=s.factor.low,
            high=s.factor.high,
            evidence=s.evidence,
        )
        for s in found.steps
    )
    return SpreadData(
        most=found.most.id,
        least=found.least.id,
        factor=found.factor,
        steps=tuple(steps),
        factors={kind: found.part(kind) for kind in kinds},
        shares={kind: found.share(kind) for kind in kinds},
    )


def table(*columns: str, right: Sequence[str] = ()) -> Table:
    """Make an empty table; on a narrow terminal its cells wrap, and no column vanishes."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    for title in columns:
        made.add_column(title, justify="right" if title in right else "left", overflow="fold")
    return made


def summary_view(chosen: Catalogue) -> RenderableType:
    """Show what there is by task."""
    made = table("task", "figures", "sources", "lowest", "highest", right=("figures", "sources", "lowest", "highest"))
    for task in sorted(chosen.tasks):
        claims = [c for c in chosen.claims if c.task == task]
        figures = [c.figure for c in claims if c.family == "J"] or [c.figure for c in claims]
        low, high = min(figures, key=lambda f: f.value), max(figures, key=lambda f: f.value)
        sources = str(len({c.origin.id for c in claims}))
        made.add_row(task, str(len(claims)), sources, low.format(_family(low)), high.format(_family(high)))
    models, origins = len(chosen.models), len(chosen.origins)
    counted = f"\n{len(chosen.claims)} figures of {models} models from {origins} sources. "
    return Group(made, Text(counted + "Show them with --task or --model; --json gives all."))


def catalogue_view(report: CatalogueReport) -> RenderableType:
    """Show figures by task, the highest first."""
    models = {row.model for row in report.figures}
    alone = len(models) == 1
    published, on_footing = "as published (95 %)", f"as {report.footing}"
    columns = ["" if alone else "model", published, "boundary", *([on_footing] if report.footing else [])]
    made = table(*columns, "settings", "evidence", "source", right=(published, on_footing))
    task = ""
    for row in report.figures:
        if row.task != task:
            task = row.task
            made.add_row(Text(task, style="bold"))
        made.add_row(*_cells(row, named=not alone, footing=bool(report.footing)))
    parts: list[RenderableType] = [made]
    if alone:
        parts.insert(0, Text(f"{models.pop()}\n", style="bold"))
    if any(row.own for row in report.figures):
        parts.append(Text("\n* an own run; all others are claims, as published."))
    if report.spread is not None:
        parts.append(_spread_view(report.spread))
    if report.effects:
        parts.append(_effects_view(report.effects))
    for o in report.origins:
        parts.append(Text(f"\n{o.id}: {o.title}. {o.citation}. Licence: {o.licence}.", style="dim"))
    return Group(*parts)


_SELF_EXPLAINING = ("hardware", "precision", "resolution")


def _cells(row: FigureRow, *, named: bool, footing: bool) -> Iterator[str]:
    name = row.model if named else ""
    yield f"* {name}" if row.own else name
    yield row.figure.text
    yield row.boundary
    if footing:
        yield row.converted.text if row.converted is not None else row.refused
    settings = (v if k in _SELF_EXPLAINING else f"{k.replace('_', ' ')} {v}" for k, v in row.settings.items())
    yield ", ".join(settings)
    yield ", ".join(f"{100 * share:.0f} % {kind}" for kind, share in row.figure.shares.items()) or row.figure.evidence
    yield f"{row.origin}, {row.place}, {row.date}"


def _spread_view(found: SpreadData) -> RenderableType:
    made = table("step", "times", "kind", "rests on", right=("times",))
    for step in found.steps:
        made.add_row(step.what, f"{step.factor:.3g} ({step.low:.2g} to {step.high:.2g})", step.kind, step.evidence)
    words = {"boundary": "by what is counted", "settings": "by settings, told apart", "left": "left, not told apart"}
    shares = "; ".join(
        f"{found.factors[kind]:.3g} times ({100 * found.shares[kind]:.0f} %) {said}" for kind, said in words.items()
    )
    return Group(
        Text(f"\nWhy these figures lie {found.factor:.3g} times apart: from {found.most} to {found.least}\n"),
        made,
        Text(f"\n{shares}. Shares are of the logarithm."),
    )


def _effects_view(found: Sequence[EffectData]) -> RenderableType:
    """Of each setting the widest changes: from the first value, or where there are most pairs."""
    made = table("task", "setting", "change", "energy before over after", "pairs", right=("pairs",))
    first: dict[tuple[str, str], str] = {}
    for effect in found:
        if effect.before == first.setdefault((effect.task, effect.setting), effect.before):
            span = f"{effect.factor:.3g}" + (f" ({effect.low:.3g} to {effect.high:.3g})" if effect.n > 1 else "")
            made.add_row(effect.task, effect.setting, f"{effect.before} to {effect.after}", span, str(effect.n))
    return Group(Text("\nWhat settings do, from pairs of one source that differ in one of them\n"), made)
