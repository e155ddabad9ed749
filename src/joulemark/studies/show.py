"""How cells are written, for terminal and page alike."""

from __future__ import annotations

import re
from collections.abc import Mapping

from joulemark.studies.report import Cell, Check, Column, Conclusion, Table, Under
from joulemark.units import format_number

__all__ = ["NOT_SURELY", "cell", "computed", "heading", "notes", "places", "printed", "stands", "under"]

ELSEWHERE = "outside tables"
NOT_SURELY = "not surely"
"""Note of a conclusion that holds, but whose interval reaches to where it does not."""


def cell(row: Mapping[str, Cell], column: Column) -> str:
    """Write a cell with its interval, in the unit of its column; nothing where there is no figure."""
    value = row.get(column.name)
    if value is None or isinstance(value, str):
        return value or ""
    low, high = row.get(f"{column.name}_low"), row.get(f"{column.name}_high")
    text = _number(value, column.unit)
    if isinstance(low, float) and isinstance(high, float):
        text += f" ({_number(low, column.unit, 2)} to {_number(high, column.unit, 2)})"
    return text


def _number(value: float, unit: str, digits: int = 3) -> str:
    if unit == "%":
        value *= 100
    if unit == "1" and value == round(value):
        return f"{value:,.0f}"
    return format_number(value, digits)


def heading(column: Column) -> str:
    """Give the heading of a column, with its unit."""
    name = column.name.replace("_", " ")
    return f"{name}, {column.unit}" if column.unit not in {"", "1"} else name


def printed(check: Check) -> str:
    """Give a printed figure with its unit."""
    return check.printed if check.unit in {"", "1"} else f"{check.printed} {check.unit}"


def computed(check: Check) -> str:
    """Give the computed figure with its interval."""
    if check.low is None or check.high is None:
        return check.text
    return f"{check.text} ({format_number(check.low, 2)} to {format_number(check.high, 2)})"


def places(checks: tuple[Check, ...]) -> dict[str, list[Check]]:
    """Group checks by the table that they are printed in; all figures outside tables are one group."""
    groups: dict[str, list[Check]] = {}
    for check in checks:
        place = check.place if re.fullmatch(r"Table \d+", check.place) else ELSEWHERE
        groups.setdefault(place, []).append(check)
    return {place: groups[place] for place in sorted(groups, key=lambda p: (p == ELSEWHERE, p))}


def under(judged: Under) -> str:
    """Say in a few words whether a conclusion holds under a boundary."""
    verdict = {True: "yes", False: "no", None: "unknown"}[judged.holds]
    if judged.holds and judged.value is None and judged.note:
        verdict += f", {judged.note}"
    if judged.value is not None:
        verdict += f", × {format_number(judged.value)}"
        if judged.low is not None and judged.high is not None:
            verdict += f" ({format_number(judged.low, 2)} to {format_number(judged.high, 2)})"
    return verdict


def stands(conclusion: Conclusion) -> str:
    """Say whether a conclusion stands under all boundaries, and what speaks against it."""
    if conclusion.stands is None:
        return "cannot be computed"
    if conclusion.stands:
        unsure = any(u.note == NOT_SURELY for u in conclusion.under)
        return "stands under all" + (", not surely: the interval reaches below" if unsure else "")
    against: dict[str, list[str]] = {}
    for judged in conclusion.under:
        if judged.holds is False:
            against.setdefault(judged.note, []).append(judged.boundary)
    # What one note explains is said once.
    reasons = (", ".join(names) + (f" ({note})" if note else "") for note, names in against.items())
    return "does not stand: " + "; ".join(reasons)


def notes(table: Table) -> str:
    """Give boundary, evidence and note of a table as one line."""
    parts = (
        f"Covers {table.boundary}." if table.boundary else "",
        f"Evidence: {table.evidence}." if table.evidence else "",
        table.note,
    )
    return " ".join(filter(None, parts))
