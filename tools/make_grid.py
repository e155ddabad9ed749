"""Make `src/joulemark/footprint/grid.csv` from the publisher's table of grid intensities.

    python tools/make_grid.py global_energy_mix.json > src/joulemark/footprint/grid.csv

It reads any of three files, all with data of Our World in Data and Ember:

- ``global_energy_mix.json`` as the Python package codecarbon ships it (``codecarbon/data/private_infra/``),
- ``owid-energy-data.csv`` of Our World in Data,
- a CSV file with the columns ``iso, country, year, carbon_intensity_g_per_kwh, total_generation_TWh``.

Of a country with several years the latest that has both numbers is taken.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HEADER = """\
# Grid intensities: grams of CO2 equivalent per kilowatt-hour generated, one place a row.
#
# Source: Ember and Energy Institute, processed by Our World in Data ("Carbon intensity of electricity
#   generation"), as in the data of the Python package codecarbon 3.3.2. Changed by tools/make_grid.py: places
#   left out, World and European Union added, rounding uncertainty added.
# Licence: CC-BY-4.0 (https://creativecommons.org/licenses/by/4.0/).
# Boundary: life cycle (with upstream methane, supply chain and manufacturing; all gases, over 100 years);
#   average, not marginal; location-based; as generated: without imports and without losses in the grid.
# year: of the row; for World and European Union the year in which most of their electricity was generated.
# rounding_g_per_kwh: standard uncertainty from the publisher's rounding of emissions to 0.01 Mt and of
#   generation to 0.01 TWh, each spread evenly over its step (JCGM 100:2008, 4.3.7); large for small places.
# World, European Union: means of the rows above, weighted by generation.
# Left out: places whose emissions round to zero, as no grid's life cycle does (the Central African Republic).
"""

STEP_MT = STEP_TWH = 0.01
COLUMNS = ("iso3", "name", "g_per_kwh", "year", "rounding_g_per_kwh")
SPELLINGS = (
    ("iso", "country", "year", "carbon_intensity_g_per_kwh", "total_generation_TWh"),
    ("iso_code", "country", "year", "carbon_intensity_elec", "electricity_generation"),
    ("iso_code", "country_name", "year", "carbon_intensity", "total_TWh"),
)
_MEMBERS = """
    AUT BEL BGR HRV CYP CZE DNK EST FIN FRA DEU GRC HUN IRL ITA LVA LTU LUX MLT NLD POL PRT ROU SVK SVN ESP
    SWE
"""
EUROPEAN_UNION = frozenset(_MEMBERS.split())


@dataclass(frozen=True, slots=True)
class Row:
    """One place: intensity in g/kWh, generation in TWh of the year."""

    iso3: str
    name: str
    year: int
    g_per_kwh: float
    generation_twh: float

    @property
    def emissions_mt(self) -> float:
        """Emissions of the year: 1 g/kWh of 1 TWh is 1000 t."""
        return self.g_per_kwh * self.generation_twh / 1000

    @property
    def rounding(self) -> float:
        """Standard uncertainty from rounding, in g/kWh (a rectangle of width `step` has step / sqrt(12))."""
        relative = math.hypot(STEP_MT / self.emissions_mt, STEP_TWH / self.generation_twh) / math.sqrt(12)
        return self.g_per_kwh * relative


def read(path: Path) -> list[Row]:
    """Read the publisher's file and give the latest row of every country, by code.

    Raises:
        SystemExit: if the file has none of the known forms.
    """
    text = path.read_text(encoding="utf-8-sig")
    records: Iterable[Mapping[str, object]]
    if path.suffix == ".json":
        records = list(json.loads(text).values())
    else:
        records = list(csv.DictReader(io.StringIO(text)))
    latest: dict[str, Row] = {}
    for row in _rows(records, path):
        if row.iso3 not in latest or row.year > latest[row.iso3].year:
            latest[row.iso3] = row
    return [latest[code] for code in sorted(latest)]


def _rows(records: Iterable[Mapping[str, object]], path: Path) -> Iterator[Row]:
    for record in records:
        columns = next((c for c in SPELLINGS if set(c) <= set(record)), None)
        if columns is None:
            raise SystemExit(f"{path} has none of the known sets of columns: {SPELLINGS}")
        iso, name, year, intensity, generation = (str(record[column] or "") for column in columns)
        # Groups of countries have no code, or one like OWID_WRL; a missing number is an empty field.
        if len(iso) == 3 and intensity and generation and float(intensity) > 0 and float(generation) > 0:
            yield Row(iso, name, int(year), float(intensity), float(generation))


def mean(iso3: str, name: str, rows: Sequence[Row]) -> Row:
    """Give the mean of `rows` weighted by generation, in the year in which most of it was generated."""
    generation = math.fsum(row.generation_twh for row in rows)
    emissions = math.fsum(row.emissions_mt for row in rows)
    by_year: dict[int, float] = {}
    for row in rows:
        by_year[row.year] = by_year.get(row.year, 0.0) + row.generation_twh
    year = max(by_year, key=lambda y: by_year[y])
    return Row(iso3, name, year, 1000 * emissions / generation, generation)


def table(rows: Sequence[Row]) -> str:
    """Write the text of grid.csv."""
    members = [row for row in rows if row.iso3 in EUROPEAN_UNION]
    if len(members) != len(EUROPEAN_UNION):
        raise SystemExit(f"missing of the European Union: {EUROPEAN_UNION - {row.iso3 for row in members}}")
    whole = (*rows, mean("WLD", "World", rows), mean("EUE", "European Union", members))
    out = io.StringIO()
    out.write(HEADER)
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in whole:
        writer.writerow((row.iso3, row.name, f"{row.g_per_kwh:.6g}", row.year, f"{row.rounding:.2g}"))
    return out.getvalue()


def main() -> None:
    """Print the table that is made from the file named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="one of the three files named above")
    sys.stdout.write(table(read(parser.parse_args().path)))


if __name__ == "__main__":
    main()
