"""The option ``--where``: for which grid carbon is reckoned. Nothing is assumed without it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from joulemark.footprint import Place

__all__ = ["Where", "chosen_place"]

Where = Annotated[
    str | None,
    typer.Option(
        help="Grid to reckon carbon for: a country (ITA, Italy) or your own factor (350g/kWh). "
        "Without it a range over grids is shown; no place is assumed."
    ),
]


def chosen_place(where: str | None) -> Place | None:
    """Find the place that was asked for.

    Raises:
        UnknownName: if there is none of that name.
    """
    if where is None:
        return None
    from joulemark.footprint import place

    return place(where)
