"""How large the models of the catalogue are, and who says so."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

__all__ = ["Size", "sizes"]


class Size(Struct, frozen=True, kw_only=True):
    """A model's size, in parameters.

    Attributes:
        parameters: of the whole model; None where nobody says.
        active: those that a token passes through, where they are fewer.
        status: ``disclosed`` or ``inferred``.
        by: who says so; `citation`: where.
        base: the model that it was tuned from.
    """

    model: str
    parameters: Annotated[float, Meta(gt=0)] | None = None
    active: Annotated[float, Meta(gt=0)] | None = None
    status: Literal["disclosed", "inferred"]
    by: str
    citation: str
    base: str = ""

    @property
    def working(self) -> float:
        """Parameters that take part in an answer."""
        size = self.active or self.parameters
        assert size is not None  # noqa: S101 - a row has at least one of them, as a test says
        return size


@cache
def sizes() -> Mapping[str, Size]:
    """Give the size of every model that has a known one, by name."""
    text = (files("joulemark.catalogue") / "models.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    found = (msgspec.convert({k: v for k, v in row.items() if v}, Size, strict=False) for row in rows)
    return MappingProxyType({size.model: size for size in found})
