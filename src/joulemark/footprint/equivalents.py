"""Smartphone charges and kilometres by car: what joules and grams look like in things people know.

Each factor is one edition of the US EPA's Greenhouse Gas Equivalencies Calculator, which has changed them
more than once: a printed equivalent says which edition it is of. The factors are conventions to translate
with. They are taken as exact, and the interval of an equivalent is that of the energy or the carbon that went
in.

Charges go by energy, and not by the carbon of a charge, which depends on the grid that the telephone hangs
on; distance goes by carbon.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from joulemark.errors import UnknownName
from joulemark.figures import Figure, Kind, Part, Source
from joulemark.footprint.convert import NO_COMPONENTS, convert
from joulemark.units import JOULES_PER_KWH, METRES_PER_MILE

__all__ = ["LATEST", "PETROL_CAR", "SMARTPHONE_CHARGE", "Equivalent", "car_distance", "charges"]

LATEST = "2024"

_EPA = "US Environmental Protection Agency (EPA)"
_CALCULATOR = "EPA, Greenhouse Gas Equivalencies Calculator, Calculations and References"
_LUCCIONI = "Luccioni, Jernite and Strubell, Power Hungry Processing, ACM FAccT 2024, doi:10.1145/3630106.3658542"


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivalent:
    """One factor in one edition.

    Attributes:
        name: what it is a factor for.
        authority: who publishes it.
        edition: its key here: the year of the edition, or the last year for which an older value held.
        holds: the years of the calculator that have this value, in words.
        formula: how it comes about, as published.
        citation: where it can be read.
        value: the factor, in `unit`.
        unit: ``charges/J`` or ``m/g``.
    """

    name: str
    authority: str
    edition: str
    holds: str
    formula: str
    citation: str
    value: float
    unit: str

    @property
    def figure(self) -> Figure:
        """The factor as a figure: assumed, and without error because it is a convention."""
        source = Source(name=f"{self.name}, {self.authority}, edition {self.edition}", citation=self.citation)
        return Figure(
            value=self.value,
            unit=self.unit,
            boundary=NO_COMPONENTS,
            parts=(Part(self.name, self.value, Kind.ASSUMED),),
            sources=(source,),
        )


def _by_edition(*equivalents: Equivalent) -> Mapping[str, Equivalent]:
    return MappingProxyType({equivalent.edition: equivalent for equivalent in equivalents})


def _charge(*, kwh: float, edition: str, holds: str, formula: str, citation: str) -> Equivalent:
    return Equivalent(
        name="smartphone charge",
        authority=_EPA,
        edition=edition,
        holds=holds,
        formula=formula,
        citation=citation,
        value=1 / (kwh * JOULES_PER_KWH),
        unit="charges/J",
    )


def _car(*, g_per_mile: float, edition: str, holds: str, formula: str, citation: str) -> Equivalent:
    return Equivalent(
        name="average petrol car",
        authority=_EPA,
        edition=edition,
        holds=holds,
        formula=formula,
        citation=citation,
        value=METRES_PER_MILE / g_per_mile,
        unit="m/g",
    )


SMARTPHONE_CHARGE: Mapping[str, Equivalent] = _by_edition(
    _charge(
        kwh=0.022,
        edition="2024",
        holds="2024 on",
        formula="0.022 kWh a charge",
        citation=f"{_CALCULATOR}, 2024; as quoted in {_LUCCIONI}, section 4.1",
    ),
    _charge(
        kwh=0.012,
        edition="2023",
        holds="up to 2023",
        formula="14.46 Wh in 24 h - 22 h x 0.13 W of upkeep = 11.6 Wh, printed as 0.012 kWh a charge",
        citation=f"{_CALCULATOR}, editions up to 2023; as quoted in {_LUCCIONI}, footnote 5",
    ),
)
"""Energy of charging a smartphone once, by edition."""

PETROL_CAR: Mapping[str, Equivalent] = _by_edition(
    _car(
        g_per_mile=393,
        edition="2024",
        holds="2024 on",
        formula="4.29 t CO2e a vehicle and year / 10,917 miles = 3.93e-4 t CO2e a mile",
        citation=f"{_CALCULATOR}, 2024 on; vehicle-year and miles as on the page of August 2026",
    ),
    _car(
        g_per_mile=390,
        edition="2023",
        holds="2023",
        formula="3.90e-4 t CO2e a mile",
        citation=f"{_CALCULATOR}, 2023; fits 1,594 g as 4.1 miles in {_LUCCIONI}, section 4.1",
    ),
    _car(
        g_per_mile=403,
        edition="2021",
        holds="2019 to 2021",
        formula="4.03e-4 t CO2e a mile",
        citation=f"{_CALCULATOR}, editions of 2019 to 2021",
    ),
)
"""Emissions of an average gasoline-powered passenger vehicle on US roads, by edition."""


def charges(energy: Figure, edition: str = LATEST) -> Figure:
    """Say how many smartphones the energy would charge once.

    Args:
        energy: in J, or J a unit of work.
        edition: a key of `SMARTPHONE_CHARGE`.

    Returns:
        A figure in charges, or charges a unit of work.

    Raises:
        UnknownName: if there is no such edition.
        UsageError: if the figure is no energy.
    """
    return convert(energy, _edition(SMARTPHONE_CHARGE, edition).figure)


def car_distance(carbon: Figure, edition: str = LATEST) -> Figure:
    """Say how far an average petrol car drives while it emits as much.

    Args:
        carbon: in g of CO2 equivalent, or g a unit of work.
        edition: a key of `PETROL_CAR`.

    Returns:
        A figure in m, or m a unit of work.

    Raises:
        UnknownName: if there is no such edition.
        UsageError: if the figure is no mass.
    """
    return convert(carbon, _edition(PETROL_CAR, edition).figure)


def _edition(editions: Mapping[str, Equivalent], edition: str) -> Equivalent:
    if edition not in editions:
        name = next(iter(editions.values())).name
        raise UnknownName(f"edition of the {name}", edition, editions)
    return editions[edition]
