"""What a reproduction says, as plain data: the structure of ``reproduce --json``, and what the pages are made of."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

__all__ = ["Cell", "Check", "Column", "Conclusion", "Finding", "Reproduction", "Section", "Table", "Under"]

Cell = str | float | None
"""Of a table: words, a number in the unit of its column, or null where there is none (the row then says why)."""


class _Plain(Struct, frozen=True, kw_only=True):
    """Base of all."""


class Column(_Plain, frozen=True):
    """A column of a table; `unit` is empty for words, ``1`` for ratios."""

    name: str
    unit: str = ""


class Table(_Plain, frozen=True):
    """Figures that belong together.

    Attributes:
        name: short and stable, for programs.
        title: for people.
        columns: in the order to show them.
        rows: a value by column name; ``X_low`` and ``X_high`` are the ends of the 95 % interval of ``X``.
        boundary: what the figures cover.
        evidence: how they came about.
        note: how to read it.
        long: one of many rows, left out in the terminal.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[dict[str, Cell], ...]
    boundary: str = ""
    evidence: str = ""
    note: str = ""
    long: bool = False


class Check(_Plain, frozen=True):
    """A printed figure beside what the data give.

    Attributes:
        id: short and stable.
        place: where it is printed.
        says: what the printed words say that it is.
        printed: the figure as printed.
        unit: its unit.
        value: what the data give for what the words say, in `unit`; null if it is no number or cannot be computed.
        low: lower end of its 95 % interval, where it is a mean over models or a ratio of such.
        high: upper end.
        text: the value in words.
        verdict: ``same`` (to the last digit), ``within one unit`` of the last digit, ``different``; for bounds
            ``holds`` or ``does not hold``; ``cannot be computed`` from these data.
        why: where it is not the same: what would print the figure, as a search over other readings found it.
    """

    id: str
    place: str
    says: str
    printed: str
    unit: str
    verdict: Annotated[
        str, Meta(description="same | within one unit | different | holds | does not hold | cannot be computed")
    ]
    value: float | None = None
    low: float | None = None
    high: float | None = None
    text: str = ""
    why: str = ""


class Finding(_Plain, frozen=True):
    """A printed figure that is not what it says.

    Attributes:
        subject: what about.
        place: where it is printed.
        printed: what the study says.
        found: what its data say.
        how: how that was found out.
    """

    subject: str
    place: str
    printed: str
    found: str
    how: str


class Under(_Plain, frozen=True):
    """A conclusion under one boundary; `value` with its interval where it is a ratio."""

    boundary: str
    holds: bool | None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    note: str = ""


class Conclusion(_Plain, frozen=True):
    """A conclusion of the study under each boundary; `stands` if under all, null if it cannot be computed."""

    id: str
    place: str
    says: str
    stands: bool | None
    under: tuple[Under, ...]


class Section(_Plain, frozen=True):
    """A heading with words and tables."""

    title: str
    text: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()


class Reproduction(_Plain, frozen=True):
    """What ``joulemark reproduce STUDY --json`` prints.

    Attributes:
        study: its name on the command line.
        title: of the study.
        citation: where it was published.
        licence: of its data.
        data: what was read, in words.
        answer: the result, first, in sentences.
        checks: printed figures beside recomputed ones.
        sections: what the printed tables lack, and the audit.
        findings: printed figures that are not what they say.
        conclusions: which conclusions stand under which boundary.
        method: how it was computed, with sources.
    """

    study: str
    title: str
    citation: str
    licence: str
    data: tuple[str, ...]
    answer: tuple[str, ...]
    checks: tuple[Check, ...]
    sections: tuple[Section, ...]
    findings: tuple[Finding, ...] = ()
    conclusions: tuple[Conclusion, ...] = ()
    method: tuple[str, ...] = ()
