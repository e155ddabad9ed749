"""Error budgets: what makes a figure unsure, and by how much (JCGM 100:2008, 8, "Summary of procedure")."""

from __future__ import annotations

from dataclasses import dataclass

from joulemark.figures import Error, Figure
from joulemark.units import format_number, format_quantity

__all__ = ["Budget", "Line"]

KINDS = {
    "gain": "sensor: its gain, shared by all of its readings",
    "mix": "model or gauge: what it cannot see of this workload",
    "edges": "edges of the window, between two updates",
    "quantisation": "smallest step of the reading",
    "sampling": "gaps between readings",
    "repetition": "spread of repetitions",
    "attribution": "attribution to this program",
    "idle": "idle power and its drift",
}
_KIND_OF = {"worth": "attribution", "CPU": "attribution", "drift": "idle", "unseen": "idle"}
"""First words of error sources whose kind has another name."""


@dataclass(frozen=True, slots=True)
class Line:
    """One source of error.

    Attributes:
        kind: a key of `KINDS`, or ``other``.
        source: its full name; figures that have one of the same name err together.
        size: standard uncertainty in the figure's unit.
        share: part of the figure's variance.
    """

    kind: str
    source: str
    size: float
    share: float


@dataclass(frozen=True, slots=True)
class Budget:
    """The errors of a figure, largest first; `print` gives a table.

    Attributes:
        figure: whose.
        coverage: what is known of the power that no sensor sees, in words.
    """

    figure: Figure
    coverage: str = ""

    @property
    def lines(self) -> tuple[Line, ...]:
        """Every source of error."""
        whole = sum(error.size**2 for error in self.figure.errors)
        lines = (_line(error, whole) for error in self.figure.errors)
        return tuple(sorted(lines, key=lambda line: -line.share))

    def __str__(self) -> str:
        figure = self.figure
        if not figure.available:
            return f"No budget: {figure}"
        family = figure.unit if figure.unit in {"J", "W"} else None
        rows = [("error", "standard uncertainty", "share of variance")]
        for line in self.lines:
            size = format_quantity(line.size, family) if family else f"{format_number(line.size)} {figure.unit}"
            relative = f"{100 * line.size / abs(figure.value):.2g} %" if figure.value else "-"
            rows.append((_short(line.source), f"{size} ({relative})", f"{100 * line.share:.0f} %"))
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        table.insert(1, "-" * len(table[0]))
        kinds = [f"{kind}: {KINDS[kind]}" for kind in KINDS if any(line.kind == kind for line in self.lines)]
        missing = [f"not covered: {part.name} ({part.reason})" for part in figure.evidence.missing]
        said = [self.coverage] if self.coverage else []
        return "\n".join([f"{figure}, 95 % interval; {figure.boundary}", *table, *kinds, *missing, *said])


def _line(error: Error, whole: float) -> Line:
    first = error.source.partition(" ")[0]
    kind = _KIND_OF.get(first, first)
    return Line(kind if kind in KINDS else "other", error.source, abs(error.size), error.size**2 / whole)


def _short(source: str) -> str:
    """Leave out what only tells errors of one kind apart."""
    return source.partition(" (")[0]
