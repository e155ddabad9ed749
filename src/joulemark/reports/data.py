"""What programs read: the structures of ``--json``, published by ``joulemark schema``."""

from __future__ import annotations

import math
from typing import Annotated

from msgspec import Meta, Struct

from joulemark.figures import Figure
from joulemark.readings import DomainRecord, Machine, Refusal
from joulemark.records.schema import WorkloadRecord

__all__ = ["DoctorReport", "Document", "FigureData", "MeasureReport", "PartData", "PlanReport", "figure_data"]


class Document(Struct, frozen=True, kw_only=True):
    """Base of the structures that verbs print with ``--json``."""


class PartData(Document, frozen=True):
    """What one domain contributes; `value` is null where it is unavailable, with the reason."""

    name: str
    kind: str
    value: float | None = None
    reason: str = ""


class FigureData(Document, frozen=True):
    """A figure as it leaves the program: value, unit, 95 % interval, evidence, boundary, sources.

    All three numbers are null where it is unavailable; never zero for a failure.
    """

    value: float | None
    low: float | None
    high: float | None
    unit: str
    evidence: Annotated[str, Meta(description="the weakest kind that the figure holds")]
    shares: dict[str, float]
    boundary: str
    parts: tuple[PartData, ...]
    sources: tuple[str, ...]
    text: Annotated[str, Meta(description="as it is printed")]


def figure_data(figure: Figure, family: str | None = None) -> FigureData:
    """Give the plain data of a figure; `family` chooses the unit family of the printed text."""

    def known(value: float) -> float | None:
        return None if math.isnan(value) else value

    evidence = figure.evidence
    return FigureData(
        value=known(figure.value),
        low=known(figure.low),
        high=known(figure.high),
        unit=figure.unit,
        evidence=str(evidence.kind),
        shares={str(kind): share for kind, share in evidence.shares.items()},
        boundary=str(figure.boundary),
        parts=tuple(
            PartData(name=p.name, kind=str(p.kind), value=known(p.value), reason=p.reason) for p in figure.parts
        ),
        sources=tuple(f"{s.name}: {s.citation}" + (f" ({s.licence})" if s.licence else "") for s in figure.sources),
        text=figure.format(family),
    )


class CrossCheckData(Document, frozen=True):
    """What a device's counter and its gauge said of the same time, in watts, and whether they agree."""

    domain: str
    counter_w: float
    gauge_w: float
    agree: bool


class DoctorReport(Document, frozen=True):
    """What ``joulemark doctor --json`` prints.

    Attributes:
        machine: what machine this is.
        domains: what is read, by which sensor, how surely.
        refused: what was looked for and is not used, why, and what would change that.
        evidence: what figures of this machine will be: measured, modelled, or both.
        idle_power: mean power over the second that the doctor waited.
        cross_checks: where a device has a counter and a gauge: what both said of that second, in watts.
    """

    machine: Machine
    domains: tuple[DomainRecord, ...]
    refused: tuple[Refusal, ...]
    evidence: str
    idle_power: FigureData
    cross_checks: tuple[CrossCheckData, ...] = ()


class MeasureReport(Document, frozen=True):
    """What ``joulemark measure --json`` prints.

    `idle_power` and `net_energy` (energy without what the machine drew at rest) only with ``--idle``.
    """

    label: str
    duration_s: float
    energy: FigureData
    power: FigureData
    domains: dict[str, FigureData]
    exit_code: int | None
    instrument_cpu_s: float
    idle_power: FigureData | None = None
    net_energy: FigureData | None = None


class PlanReport(Document, frozen=True):
    """What ``joulemark bench --dry-run --json`` prints.

    Attributes:
        suite: its name.
        workloads: what would be measured.
        expected_s: how long that would take, in seconds.
        folder: where the records would go.
    """

    suite: str
    workloads: tuple[WorkloadRecord, ...]
    expected_s: float
    folder: str
