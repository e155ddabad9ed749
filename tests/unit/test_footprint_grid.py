"""Places: found by what people call them, never guessed, and priced with their year and their doubt."""

from __future__ import annotations

import csv
import importlib.util
import math
import os
import statistics
import sys
from pathlib import Path
from types import ModuleType

import pytest

from joulemark.errors import BadQuantity, UnknownName
from joulemark.figures import Kind, ratio
from joulemark.footprint import Place, grids, intensity, place, spread_over_grids
from joulemark.footprint.grid import RELATIVE_UNCERTAINTY

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("known", grids(), ids=lambda p: p.code)
def test_every_place_is_found_by_code_and_by_name_in_any_case(known: Place) -> None:
    for text in (known.code, known.code.lower(), known.name, known.name.upper(), f"  {known.name} "):
        assert place(text) == known


def test_names_and_codes_are_unique_and_every_row_has_its_own_year() -> None:
    names = [text for known in grids() for text in (known.code.casefold(), known.name.casefold())]
    assert len(names) == len(set(names))
    assert {known.year for known in grids()} <= set(range(2009, 2025))
    assert place("France").year == 2023
    assert place("Sierra Leone").year == 2022


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("uk", "GBR"),
        ("Türkiye", "TUR"),
        ("turkiye", "TUR"),
        ("Côte d'Ivoire", "CIV"),
        ("Réunion", "REU"),
        ("EU", "EUE"),
    ],
)
def test_other_common_names_and_accents_are_understood(text: str, code: str) -> None:
    assert place(text).code == code


def test_an_unknown_place_is_an_error_that_names_near_ones_by_name_and_by_code() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'France'"):
        place("Frnace")
    with pytest.raises(UnknownName) as caught:
        place("POK")
    assert "POL" in caught.value.near
    assert "350g/kWh" in str(caught.value)


@pytest.mark.parametrize("text", ["", "XYZ", "Atlantis", "U"])
def test_nothing_stands_in_for_an_unknown_place(text: str) -> None:
    with pytest.raises(UnknownName):
        place(text)


def test_a_place_whose_published_emissions_round_to_zero_is_not_priced_at_zero() -> None:
    with pytest.raises(UnknownName):
        place("Central African Republic")
    assert all(known.intensity_g_per_j > 0 for known in grids())


@pytest.mark.parametrize(
    ("text", "g_per_kwh"),
    [
        ("350g/kWh", 350),
        (" 350.5 g/kWh ", 350.5),
        ("0.35 kg/kWh", 350),
        ("350kg/MWh", 350),
        ("0.35t/MWh", 350),
        ("350 gCO2e/kWh", 350),
        ("350 g CO2eq/kWh", 350),
        ("3.5e2 g CO2/kWh", 350),
    ],
)
def test_a_factor_of_ones_own_is_taken_as_given(text: str, g_per_kwh: float) -> None:
    figure = intensity(text)
    assert figure.value * 3.6e6 == pytest.approx(g_per_kwh, rel=1e-12)
    assert figure.errors == ()
    assert figure.evidence.kind is Kind.ASSUMED
    assert "given by the user" in figure.sources[0].citation
    assert place(text).year is None


@pytest.mark.parametrize(
    "text",
    [
        "350",
        "350 g",
        "350 W",
        "350g/MWh",
        "350G/kWh",
        "350,5g/kWh",
        "0g/kWh",
        "-350g/kWh",
        "1e999g/kWh",
        "12 France",
    ],
)
def test_a_factor_that_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(BadQuantity, match="Grid intensity"):
        place(text)


def test_the_intensity_states_unit_year_licence_boundary_and_its_assumed_doubt() -> None:
    figure = intensity("FRA")
    assert figure.unit == "g/J"
    assert figure.value * 3.6e6 == pytest.approx(56.039)
    assert figure.evidence.kind is Kind.ASSUMED
    (source,) = figure.sources
    assert source.licence == "CC-BY-4.0"
    for said in ("2023", "life cycle", "average", "location-based", "Ember", "Our World in Data"):
        assert said in source.citation
    assert figure.standard_uncertainty / figure.value == pytest.approx(RELATIVE_UNCERTAINTY, rel=1e-4)


def test_where_little_is_generated_rounding_adds_to_the_doubt() -> None:
    # Saint Helena: 0.01 Mt from 0.01 TWh, so each is uniform over ±50 % and u = 1/sqrt(12) of it.
    figure = intensity("SHN")
    expected = math.hypot(RELATIVE_UNCERTAINTY, math.sqrt(2 / 12))
    assert figure.standard_uncertainty / figure.value == pytest.approx(expected, rel=0.01)


def test_two_places_do_not_share_their_errors() -> None:
    factor = ratio(intensity("POL"), intensity("FRA"))
    assert factor.standard_uncertainty / factor.value == pytest.approx(math.sqrt(2) * RELATIVE_UNCERTAINTY, rel=1e-4)


def test_the_spread_is_over_countries_and_in_order() -> None:
    spread = spread_over_grids()
    countries = [known for known in grids() if known.code not in {"WLD", "EUE"}]
    assert spread.countries == len(countries) == 212
    below = sum(known.intensity_g_per_j < spread.low.intensity_g_per_j for known in countries)
    above = sum(known.intensity_g_per_j > spread.high.intensity_g_per_j for known in countries)
    assert below / 212 == pytest.approx(0.05, abs=0.01)
    assert above / 212 == pytest.approx(0.05, abs=0.01)
    middle = statistics.median(known.intensity_g_per_j for known in countries)
    assert spread.median.intensity_g_per_j == pytest.approx(middle, rel=0.02)
    values = [known.intensity_g_per_j for known in spread.examples]
    assert values == sorted(values)


def test_the_world_lies_between_its_countries_and_near_what_ember_counts_by_month(publishers: Path) -> None:
    # Ember's months of June 2024 to May 2025: another compilation, the year after the table's.
    rows = _table(publishers / "ember_monthly_carbon-intensity-world.csv")
    monthly = statistics.fmean(float(row["emissions_intensity_gco2_per_kwh"]) for row in rows)
    assert place("World").g_per_kwh == pytest.approx(monthly, rel=0.03)


def test_the_table_is_the_publishers(publishers: Path) -> None:
    published = {row["iso"]: row for row in _table(publishers / "codecarbon_owid_ember_country_2023.csv")}
    ours = {known.code: known for known in grids() if known.code not in {"WLD", "EUE"}}
    assert set(published) - set(ours) == {"CAF"}
    for code, known in ours.items():
        row = published[code]
        assert (known.name, known.year) == (row["country"], int(row["year"]))
        assert known.g_per_kwh == pytest.approx(float(row["carbon_intensity_g_per_kwh"]), rel=1e-5)


def test_the_script_makes_the_table_from_the_publishers_file(publishers: Path) -> None:
    script = _script()
    made = script.table(script.read(publishers / "codecarbon_owid_ember_country_2023.csv"))
    assert made == (ROOT / "src/joulemark/footprint/grid.csv").read_text(encoding="utf-8")


def test_the_assumed_doubt_is_the_spread_between_the_sources(publishers: Path) -> None:
    green = {
        row[2]: float(row[4]) for row in _rows(publishers / "green_algorithms_CI_aggregated.csv") if row[5] == "Country"
    }
    renamed = {"Korea": "KOR", "Republic of Ireland": "IRL"}
    theirs = {place(renamed.get(name, name)).code: value for name, value in green.items()}
    logs = [
        math.log(known.g_per_kwh / theirs[known.code])
        for known in grids()
        if known.code in theirs and known.g_per_kwh >= 100
    ]
    assert len(logs) == 46
    assert math.sqrt(statistics.fmean(x**2 for x in logs)) == pytest.approx(RELATIVE_UNCERTAINTY, abs=0.005)


def test_the_script_takes_the_latest_year_and_no_groups_or_gaps(tmp_path: Path) -> None:
    # The columns of Our World in Data's energy data set, where a country has a row a year.
    path = tmp_path / "owid-energy-data.csv"
    path.write_text(
        "country,year,iso_code,electricity_generation,carbon_intensity_elec\n"
        "France,2022,FRA,467.9,85.0\nFrance,2023,FRA,514.11,56.039\nFrance,2024,FRA,,\n"
        "World,2023,OWID_WRL,29479.0,480.0\nAfrica,2023,,900.0,500.0\nNowhere,2023,NWH,0.15,0.0\n",
        encoding="utf-8",
    )
    (row,) = _script().read(path)
    assert (row.iso3, row.year, row.g_per_kwh) == ("FRA", 2023, 56.039)


@pytest.fixture
def publishers() -> Path:
    root = os.environ.get("JOULEMARK_TEST_DATA")
    if root is None:
        pytest.skip("JOULEMARK_TEST_DATA is not set: the publishers' tables are not part of the repository")
    return Path(root) / "factors"


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        return list(csv.DictReader(lines))


def _rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        return list(csv.reader(lines))


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_grid", ROOT / "tools/make_grid.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
