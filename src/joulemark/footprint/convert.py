"""Multiply a figure by a factor from a table."""

from __future__ import annotations

from dataclasses import replace

from joulemark.boundary import Boundary
from joulemark.errors import UsageError
from joulemark.figures import Figure, Kind, product

__all__ = ["NO_COMPONENTS", "convert"]

NO_COMPONENTS = Boundary(components=frozenset())
"""Boundary of a factor: it draws no power itself, and what it is multiplied with says what is counted."""


def convert(figure: Figure, factor: Figure) -> Figure:
    """Give `figure` times `factor`, such as joules an image times grams a joule: grams an image.

    The boundary and the parts are those of `figure`. Errors that several figures share by way of the factor
    cancel in their ratio. A product is as good as its weakest factor, so every part that is there becomes
    assumed; the figure that went in still says how much of it was measured.

    Raises:
        UsageError: if the figure is not in the unit that the factor is for.
    """
    to, _, per = factor.unit.partition("/")
    unit, slash, work = figure.unit.partition("/")
    if unit != per:
        raise UsageError(f"A factor in {factor.unit} is for figures in {per} and cannot take one in {figure.unit}.")
    unit = f"{to}{slash}{work}"
    if not figure.available:
        return Figure.unavailable(unit, figure.boundary, figure.parts)
    result = product(figure, factor, unit)
    parts = (p if p.kind is Kind.UNAVAILABLE else replace(p, kind=Kind.ASSUMED) for p in result.parts)
    return replace(result, parts=tuple(parts))
