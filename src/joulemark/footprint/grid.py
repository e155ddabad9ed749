"""How much carbon dioxide equivalent a joule of electricity stands for, by place.

The intensities of ``grid.csv`` are life-cycle, average and location-based, each of its own year; the header
of the file says where they come from. No place is ever guessed: an unknown one is an error.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from joulemark.errors import BadQuantity, UnknownName
from joulemark.figures import Error, Figure, Kind, Part, Source
from joulemark.footprint.convert import NO_COMPONENTS
from joulemark.units import JOULES_PER_KWH

__all__ = ["RELATIVE_UNCERTAINTY", "Place", "Spread", "grids", "intensity", "place", "spread_over_grids"]

RELATIVE_UNCERTAINTY = 0.21
"""Relative standard uncertainty of a country's intensity: our assumption, for the publisher states none.

It is the root mean square of ln(a / b) over the 46 countries of 100 g/kWh and more that both this table (a)
and that of Green Algorithms (b, mostly of 2020, from national and international sources) hold: a spread of
method, boundary, trade between countries, and years. The same publisher's later values, as EcoLogits has them
(49 countries), differ from these by 0.11. Below 100 g/kWh the two tables differ by up to a factor of 200,
because one counts the life cycle and the other the chimney; that is a difference of boundary and no
uncertainty.
"""

MOST_G_PER_KWH = 10_000
"""Several times the highest of the table; more is a slip of the pen."""

AGGREGATES = frozenset({"WLD", "EUE"})

_CITATION = (
    "Ember and Energy Institute, processed by Our World in Data: Carbon intensity of electricity generation, "
    "{year}; life cycle, average, location-based, generation of {name}"
)
# What starts like a number is a factor: no place does.
_OWN = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*)")
_UNITS_G_PER_J: Mapping[str, float] = MappingProxyType(
    {
        "g/kWh": 1 / JOULES_PER_KWH,
        "kg/kWh": 1e3 / JOULES_PER_KWH,
        "kg/MWh": 1 / JOULES_PER_KWH,
        "t/MWh": 1e3 / JOULES_PER_KWH,
    }
)
_HINT = "A country's name or three-letter code (ISO 3166) or your own factor, such as 350g/kWh, will do."
# Other names that people write for places of the table.
_ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "Cabo Verde": "CPV",
        "Czech Republic": "CZE",
        "EU": "EUE",
        "Great Britain": "GBR",
        "Ivory Coast": "CIV",
        "Macau": "MAC",
        "Republic of Korea": "KOR",
        "Russian Federation": "RUS",
        "Timor-Leste": "TLS",
        "Türkiye": "TUR",
        "UK": "GBR",
        "United States of America": "USA",
        "US": "USA",
        "Viet Nam": "VNM",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where electricity is taken from.

    Attributes:
        code: ISO 3166-1 alpha-3; ``WLD`` and ``EUE`` for World and European Union; empty for a user's factor.
        name: as the publisher writes it, or the factor as the user wrote it.
        intensity_g_per_j: grams of CO2 equivalent a joule generated.
        year: the year that the intensity is of; None for a user's factor.
        rounding_g_per_j: standard uncertainty from the publisher's rounding, in g/J.
    """

    code: str
    name: str
    intensity_g_per_j: float
    year: int | None
    rounding_g_per_j: float = 0.0

    @property
    def g_per_kwh(self) -> float:
        """The intensity in grams a kilowatt-hour, for screens."""
        return self.intensity_g_per_j * JOULES_PER_KWH

    def __str__(self) -> str:
        return self.name if self.year is None else f"{self.name} ({self.year})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """What grids there are, for a reader who has not said which one is used.

    Attributes:
        low: the 5th percentile of countries by intensity, every country counting the same.
        median: the 50th.
        high: the 95th.
        examples: well-known places, lowest first.
        countries: how many countries there are.
    """

    low: Place
    median: Place
    high: Place
    examples: tuple[Place, ...]
    countries: int


def place(text: str) -> Place:
    """Find the place that is meant by a code (``FRA``), a name (``france``) or a factor (``350g/kWh``).

    Case and accents do not matter in codes and names. A factor may be in g/kWh, kg/kWh, kg/MWh or t/MWh.

    Raises:
        UnknownName: if there is no such place, with the nearest ones that there are; none is taken instead.
        BadQuantity: if it starts like a number and is no positive factor with a known unit.
    """
    if match := _OWN.fullmatch(text.strip()):
        return _own_factor(text.strip(), *match.groups())
    found = _index().get(_fold(text))
    if found is None:
        names = tuple(name for known in grids() for name in (known.code, known.name))
        raise UnknownName("place", text, (*names, *_ALIASES), hint=_HINT)
    return found


def intensity(where: Place | str) -> Figure:
    """Give the grid intensity of a place, in g/J, with its year in the source.

    A country's has two errors: `RELATIVE_UNCERTAINTY`, and the publisher's rounding where little is
    generated. All that is priced in one place shares them. A user's factor is taken as it was given, without
    error.

    Raises:
        UnknownName: see `place`.
        BadQuantity: see `place`.
    """
    at = place(where) if isinstance(where, str) else where
    value = at.intensity_g_per_j
    if at.year is None:
        errors: tuple[Error, ...] = ()
        source = Source(name="own grid intensity", citation=f"{at.name}, given by the user; taken as exact")
    else:
        errors = (
            Error(f"grid intensity of {at.name}", RELATIVE_UNCERTAINTY * value),
            Error(f"rounding of the grid intensity of {at.name}", at.rounding_g_per_j),
        )
        citation = _CITATION.format(year=at.year, name=at.name)
        source = Source(name=f"grid intensity of {at}", citation=citation, licence="CC-BY-4.0")
    return Figure(
        value=value,
        unit="g/J",
        boundary=NO_COMPONENTS,
        errors=errors,
        parts=(Part(source.name, value, Kind.ASSUMED),),
        sources=(source,),
    )


@cache
def grids() -> tuple[Place, ...]:
    """Give every place of the table: countries by code, then the World and the European Union."""
    return tuple(_read_table())


@cache
def spread_over_grids() -> Spread:
    """Say how far apart the grids of the world are: percentiles over countries, and examples.

    Percentiles are nearest ranks, so that each is a place with a name. Every country counts the same: this is
    a statement about places, not about where most electricity is generated.
    """
    countries = sorted((p for p in grids() if p.code not in AGGREGATES), key=lambda p: p.intensity_g_per_j)
    low, median, high = (countries[round(q * (len(countries) - 1))] for q in (0.05, 0.50, 0.95))
    examples = sorted(map(place, ("NOR", "FRA", "WLD", "POL", "IND")), key=lambda p: p.intensity_g_per_j)
    return Spread(low=low, median=median, high=high, examples=tuple(examples), countries=len(countries))


def _own_factor(text: str, number: str, unit: str) -> Place:
    # What the grams are of may be said: g CO2e/kWh.
    bare = re.sub(r"\s*CO2(?:eq|e)?\s*(?=/)", "", unit, flags=re.IGNORECASE)
    if bare not in _UNITS_G_PER_J:
        problem = f"has the unit {unit!r}" if unit else "has no unit"
        raise BadQuantity(f"Grid intensity {text!r} {problem}; known: {', '.join(_UNITS_G_PER_J)}.")
    value = float(number) * _UNITS_G_PER_J[bare]
    if value * JOULES_PER_KWH > MOST_G_PER_KWH:
        raise BadQuantity(f"Grid intensity {text!r} is beyond all electricity: more than {MOST_G_PER_KWH:,} g/kWh.")
    if not 0 < value < math.inf:
        raise BadQuantity(
            f"Grid intensity {text!r} is not above zero and finite. Over its life cycle no electricity is "
            "free of emissions: even that of wind and sun has some grams a kilowatt-hour."
        )
    return Place(code="", name=text, intensity_g_per_j=value, year=None)


def _fold(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.strip())
    return "".join(c for c in decomposed if not unicodedata.combining(c)).casefold()


@cache
def _index() -> Mapping[str, Place]:
    by_code = {known.code: known for known in grids()}
    index = {_fold(alias): by_code[code] for alias, code in _ALIASES.items()}
    for known in grids():
        index |= {_fold(known.name): known, _fold(known.code): known}
    return MappingProxyType(index)


def _read_table() -> Iterator[Place]:
    import csv
    from importlib.resources import files

    text = (files("joulemark.footprint") / "grid.csv").read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    for row in csv.DictReader(lines):
        yield Place(
            code=row["iso3"],
            name=row["name"],
            intensity_g_per_j=float(row["g_per_kwh"]) / JOULES_PER_KWH,
            year=int(row["year"]),
            rounding_g_per_j=float(row["rounding_g_per_kwh"]) / JOULES_PER_KWH,
        )
