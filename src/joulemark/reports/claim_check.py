"""The answer of the claim check: plain data, and how a terminal shows it."""

from __future__ import annotations

from typing import Literal

from rich.console import Group, RenderableType
from rich.text import Text

from joulemark.catalogue import Claim, Judgement, Reading
from joulemark.reports.data import Document

__all__ = ["CheckReport", "check_report", "check_view"]


class QuantityData(Document, frozen=True):
    """What was read: `value` in J or g for one unit of `work`."""

    text: str
    written: str
    value: float
    unit: Literal["J", "g"]
    work: str
    marks: str


class SlipData(Document, frozen=True):
    """What was probably meant, and how it went wrong."""

    meant: str
    how: str


class ReadingData(Document, frozen=True):
    """One way to read the claim.

    Attributes:
        energy_j: joules per unit of work, lowest and highest (over grids, of a claim of carbon).
        expected_j: the band that about 95 % of published figures lie in; null if nothing is known.
    """

    quantity: QuantityData
    verdict: str
    task: str | None
    energy_j: tuple[float, float]
    expected_j: tuple[float, float] | None
    slips: tuple[SlipData, ...]


class EvidenceData(Document, frozen=True):
    """A published figure behind the answer."""

    id: str
    model: str
    task: str
    text: str
    boundary: str
    citation: str
    place: str


class CheckReport(Document, frozen=True):
    """What ``joulemark check --json`` prints.

    Attributes:
        quantity: as it is read in the first place.
        verdict: over all readings.
        suggestion: what was probably meant; empty if nothing else was.
        sentence: the answer in words.
        evidence: published figures behind it: lowest, nearest, highest.
        implications: what the claim would mean.
        readings: all ways to read it.
    """

    quantity: QuantityData
    verdict: Literal["plausible", "implausible", "slip", "ambiguous", "unknown"]
    suggestion: str
    sentence: str
    evidence: tuple[EvidenceData, ...]
    implications: tuple[str, ...]
    readings: tuple[ReadingData, ...]


def check_report(judgement: Judgement) -> CheckReport:
    """Give the plain data of an answer."""
    return CheckReport(
        quantity=_quantity(judgement.readings[0]),
        verdict=judgement.verdict.value,
        suggestion=judgement.suggestion,
        sentence=judgement.sentence,
        evidence=tuple(map(_evidence, judgement.evidence)),
        implications=judgement.implications,
        readings=tuple(map(_reading, judgement.readings)),
    )


def _quantity(reading: Reading) -> QuantityData:
    q = reading.quantity
    return QuantityData(text=q.text, written=q.write(), value=q.each, unit=q.family, work=q.work, marks=q.mark)


def _reading(reading: Reading) -> ReadingData:
    expected = reading.expectation
    return ReadingData(
        quantity=_quantity(reading),
        verdict=reading.verdict.value,
        task=reading.task,
        energy_j=reading.energy,
        expected_j=None if expected is None else (expected.low, expected.high),
        slips=tuple(SlipData(meant=s.meant, how=s.how) for s in reading.slips),
    )


def _evidence(claim: Claim) -> EvidenceData:
    return EvidenceData(
        id=claim.id,
        model=claim.model,
        task=claim.task,
        text=claim.figure.format("Wh"),
        boundary=claim.boundary,
        citation=claim.origin.citation,
        place=claim.place,
    )


_STYLE = {"plausible": "green", "slip": "bold red", "implausible": "bold red"}


def check_view(report: CheckReport) -> RenderableType:
    """Show verdict, sentence, what it would mean, and the figures behind it."""
    lines = [Text(report.verdict, style=_STYLE.get(report.verdict, "yellow")), Text(report.sentence)]
    if report.implications:
        lines.append(Text(f"As printed, {'; '.join(report.implications)}."))
    for e in report.evidence:
        lines.append(Text(f"  {e.model}: {e.text}, {e.boundary} ({e.citation}; {e.place})", style="dim"))
    return Group(*lines)
