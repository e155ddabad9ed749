"""What is published about models: plain data, and how a terminal shows it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from joulemark.catalogue import Sheet
from joulemark.reports.catalogue import table
from joulemark.reports.data import Document

__all__ = ["OpennessReport", "openness_report", "openness_view", "sheet_view"]


class FactData(Document, frozen=True):
    """One fact that a footprint needs: `disclosed`, `inferred` or `unknown`, by whom, and what not knowing it does."""

    name: str
    status: str
    value: str
    by: str
    citation: str
    effect: str


class SheetData(Document, frozen=True):
    """What is published about one model.

    Attributes:
        disclosed: how many of its facts are.
        factor: 95 % factor, either way, to which the carbon of one request is known; null if no request has a figure.
        widths: what stretches that interval, each alone.
    """

    model: str
    task: str | None
    disclosed: int
    inferred: int
    unknown: int
    factor: float | None
    widths: dict[str, float]
    facts: tuple[FactData, ...]


class OpennessReport(Document, frozen=True):
    """What ``joulemark openness --json`` prints: a sheet a model, the most open first."""

    sheets: tuple[SheetData, ...]


def openness_report(sheets: Sequence[Sheet]) -> OpennessReport:
    """Give the plain data of sheets."""
    return OpennessReport(sheets=tuple(map(_data, sheets)))


def _data(found: Sheet) -> SheetData:
    return SheetData(
        model=found.model,
        task=found.task,
        disclosed=len(found.named("disclosed")),
        inferred=len(found.named("inferred")),
        unknown=len(found.named("unknown")),
        factor=found.factor,
        widths=dict(found.widths),
        facts=tuple(
            FactData(name=f.name, status=f.status, value=f.value, by=f.by, citation=f.citation, effect=f.effect)
            for f in found.facts
        ),
    )


_STYLE = {"disclosed": "green", "inferred": "yellow", "unknown": "red"}


def sheet_view(found: SheetData) -> RenderableType:
    """Show one model's facts, and how far its carbon is known."""
    heading = f"{found.model}: {found.disclosed} of {len(found.facts)} facts disclosed, {found.inferred} inferred\n"
    made = table("fact", "", "what is known, or what not knowing it does", "by", "where")
    for fact in found.facts:
        status = Text(fact.status, style=_STYLE[fact.status])
        made.add_row(fact.name, status, fact.value or fact.effect, fact.by, fact.citation)
    if found.factor is None:
        closing = "No figure of a request is published: of its carbon nothing can be said but by task."
    else:
        apart = ", ".join(f"{name} ×/÷ {width:.2g}" for name, width in found.widths.items())
        closing = f"The carbon of one request ({found.task}) is known to ×/÷ {found.factor:.2g} at 95 %: {apart}."
    return Group(Text(heading, style="bold"), made, Text(f"\n{closing}"))


def openness_view(found: Sequence[SheetData]) -> RenderableType:
    """Show a line a model, the most open first."""
    numbers = ("disclosed", "inferred", "unknown")
    made = table("model", *numbers, "carbon of a request known to", "unknown facts", right=numbers)
    for row in found:
        unknown = ", ".join(f.name for f in row.facts if f.status == "unknown")
        factor = "-" if row.factor is None else f"×/÷ {row.factor:.2g}"
        made.add_row(row.model, str(row.disclosed), str(row.inferred), str(row.unknown), factor, unknown)
    mean = sum(row.disclosed for row in found) / len(found)
    closing = (
        f"\nOf the {len(found[0].facts)} facts that a footprint needs, {mean:.1f} are disclosed in the mean over "
        f"{len(found)} models. Unknown means: to this catalogue; docs/catalogue.md says how to add what is published."
    )
    return Group(made, Text(closing))
