"""How units and boundaries are written in the catalogue and on the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Literal

from joulemark.boundary import Boundary, Component
from joulemark.errors import BadQuantity, UnknownName
from joulemark.units import parse_energy

__all__ = ["NOT_STATED", "Unit", "read_boundary", "read_unit", "write_boundary"]

NOT_STATED = "not stated"

_NODE = frozenset({Component.GPU, Component.CPU, Component.DRAM})
_GROUPS: Mapping[str, frozenset[Component]] = MappingProxyType(
    {
        **{c.value: frozenset({c}) for c in Component},
        "node": _NODE,
        "machine": _NODE | {Component.BOARD, Component.PSU_LOSS},
    }
)
_MASS_G: Mapping[str, float] = MappingProxyType({"mg": 1e-3, "g": 1.0, "kg": 1e3, "t": 1e6, "kt": 1e9})
_UNIT = re.compile(r"(?P<symbol>[A-Za-zµ]+)(?:/(?P<count>\d+ )?(?P<work>[a-z]+))?")
_OPTIONS = ("active", "all", "net", "gross", "embodied")


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of the catalogue: `factor` times a number in it is joules (or grams) per one `work`.

    Attributes:
        family: ``J`` or ``g``.
        factor: to SI and to one unit of work.
        count: how many units of work the unit is for.
        work: unit of work in the singular; empty where the figure is for the whole.
    """

    family: Literal["J", "g"]
    factor: float
    count: int
    work: str


@lru_cache(maxsize=256)
def read_unit(text: str) -> Unit:
    """Read a unit such as ``kWh/1000 images``, ``J/image``, ``MWh`` or ``g/answer``.

    Raises:
        BadQuantity: if it is none of energy or mass, or of no work.
    """
    match = _UNIT.fullmatch(text)
    if match is None:
        raise BadQuantity(f"Unit {text!r} cannot be read; write for example kWh/1000 images, J/image or MWh.")
    count = int(match["count"] or 1)
    if count == 0:
        raise BadQuantity(f"Unit {text!r} is for no work at all; write for example kWh/1000 images.")
    work = (match["work"] or "").removesuffix("s")
    if match["symbol"] in _MASS_G:
        return Unit("g", _MASS_G[match["symbol"]] / count, count, work)
    return Unit("J", parse_energy(f"1{match['symbol']}") / count, count, work)


@lru_cache(maxsize=256)
def read_boundary(text: str) -> Boundary:
    """Read a boundary: components, then options, with commas or hyphens between.

    Components are joined by ``+``: ``gpu``, ``cpu``, ``dram``, ``board``, ``psu_loss``, ``facility``, ``network``;
    ``node`` is gpu+cpu+dram, ``machine`` the node with board and power supply. Options: ``active`` or ``all`` devices
    (all without it), ``gross`` or ``net`` of idle (gross without it), ``embodied``. Such as ``gpu-active,net``.

    Raises:
        UnknownName: if a word is none of these.
        BadQuantity: if there is nothing in it, or words contradict each other.
    """
    first, *options = re.split(r"\s*[,-]\s*", text.strip().casefold())
    components: frozenset[Component] = frozenset()
    for word in first.split("+"):
        if word.strip() not in _GROUPS:
            raise UnknownName("component of a boundary", word.strip() or text, _GROUPS)
        components |= _GROUPS[word.strip()]
    for option in options:
        if option not in _OPTIONS:
            raise UnknownName("option of a boundary", option, _OPTIONS)
    for pair in (("active", "all"), ("net", "gross")):
        if set(pair) <= set(options):
            raise BadQuantity(f"Boundary {text!r} says both {pair[0]} and {pair[1]}; say one of them.")
    return Boundary(
        components=components,
        devices="active" if "active" in options else "all",
        idle="net" if "net" in options else "gross",
        embodied="embodied" in options,
    )


def write_boundary(boundary: Boundary | None) -> str:
    """Write a boundary as `read_boundary` reads it, shortest first."""
    if boundary is None or not boundary.components:
        return NOT_STATED
    rest = set(boundary.components)
    words = []
    for group in ("machine", "node"):
        if _GROUPS[group] <= rest:
            words.append(group)
            rest -= _GROUPS[group]
    words += [c.value for c in Component if c in rest]
    options: list[str] = [boundary.devices]
    if boundary.idle == "net":
        options.append("net")
    if boundary.embodied:
        options.append("embodied")
    return f"{'+'.join(words)}-{','.join(options)}"
