"""Footprints: carbon is energy times a factor, and knows what it shares."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulemark import footprint
from joulemark.boundary import Boundary
from joulemark.errors import UnknownName, UsageError
from joulemark.figures import Error, Figure, Kind, Part, Source, difference, ratio, total
from joulemark.footprint import Place, grids

GPU = Boundary.of(["gpu"])

energies_j = st.floats(1e-3, 1e15)
relative = st.floats(0, 0.5)
places = st.sampled_from(grids())


def measured(value: float, doubt: float, sensor: str = "sensor", unit: str = "J") -> Figure:
    return Figure(
        value=value,
        unit=unit,
        boundary=GPU,
        errors=(Error(sensor, doubt * value),),
        parts=(Part("gpu-0", value, Kind.MEASURED),),
        sources=(Source(name=sensor, citation="data sheet"),),
    )


def test_a_kilowatt_hour_in_france_and_in_poland() -> None:
    kwh = measured(3.6e6, 0.01)
    assert footprint.of(kwh, "France").carbon.value == pytest.approx(56.039)
    assert footprint.of(kwh, "POL").carbon.value == pytest.approx(661.926)
    assert footprint.of(kwh, "350g/kWh").carbon.value == pytest.approx(350)


def test_a_footprint_says_everything_that_it_rests_on() -> None:
    found = footprint.of(measured(3.6e6, 0.01), "fra", charge_edition="2023", car_edition="2021")
    assert (found.place.code, found.year) == ("FRA", 2023)
    assert (found.charge_factor.edition, found.car_factor.edition) == ("2023", "2021")
    names = [source.name for source in found.sources]
    assert len(names) == len(set(names)) == 4
    assert names[0] == "sensor"
    assert found.energy.evidence.kind is Kind.MEASURED
    assert found.carbon.evidence.kind is Kind.ASSUMED
    assert found.carbon.boundary == found.car_distance.boundary == found.energy.boundary


def test_units_of_work_go_through() -> None:
    found = footprint.of(measured(10.0, 0.01, unit="J/image"), "USA")
    assert [f.unit for f in (found.carbon, found.charges, found.car_distance)] == [
        "g/image",
        "charges/image",
        "m/image",
    ]


def test_no_place_no_edition_and_no_energy_is_guessed() -> None:
    with pytest.raises(UnknownName):
        footprint.of(measured(1.0, 0.01), "Atlantis")
    with pytest.raises(UnknownName):
        footprint.of(measured(1.0, 0.01), "FRA", car_edition="2022")
    with pytest.raises(UsageError):
        footprint.of(measured(1.0, 0.01, unit="W"), "FRA")


def test_a_missing_part_stays_missing_and_an_unavailable_energy_has_no_carbon() -> None:
    gone = Figure.unavailable("J", GPU, (Part("gpu-1", float("nan"), Kind.UNAVAILABLE, "no permission"),))
    partial = footprint.of(total((measured(3.6e6, 0.01), gone)), "FRA").carbon
    assert partial.value == pytest.approx(56.039)
    assert [part.reason for part in partial.evidence.missing] == ["no permission"]
    assert not footprint.of(gone, "FRA").carbon.available


@given(energies_j, relative, places)
def test_twice_the_energy_has_twice_the_footprint(energy_j: float, doubt: float, at: Place) -> None:
    one, two = (footprint.of(measured(factor * energy_j, doubt), at) for factor in (1, 2))
    for name in ("carbon", "charges", "car_distance"):
        single, double = getattr(one, name), getattr(two, name)
        for part in ("value", "low", "high"):
            assert getattr(double, part) == pytest.approx(2 * getattr(single, part), rel=1e-9)


@given(energies_j, relative, places)
def test_intervals_are_in_order_positive_and_no_narrower_than_the_energys(
    energy_j: float, doubt: float, at: Place
) -> None:
    energy = measured(energy_j, doubt)
    found = footprint.of(energy, at)
    for figure in (found.carbon, found.charges, found.car_distance):
        assert 0 < figure.low <= figure.value <= figure.high
    assert found.carbon.high / found.carbon.value >= energy.high / energy.value
    assert found.carbon.high > found.carbon.value  # a grid average is never exact


@given(energies_j, energies_j, relative, relative, places)
def test_the_ratio_of_two_models_is_that_of_their_energy_wherever_they_run(
    a_j: float, b_j: float, a_doubt: float, b_doubt: float, at: Place
) -> None:
    a, b = measured(a_j, a_doubt, "run a"), measured(b_j, b_doubt, "run b")
    energy = ratio(a, b)
    carbon = ratio(footprint.of(a, at).carbon, footprint.of(b, at).carbon)
    assert carbon.value == pytest.approx(energy.value, rel=1e-9)
    assert carbon.standard_uncertainty == pytest.approx(energy.standard_uncertainty, rel=1e-6, abs=1e-9 * energy.value)


def test_the_grid_does_not_cancel_between_two_places() -> None:
    model = measured(3.6e6, 0.01)
    found = ratio(footprint.of(model, "POL").carbon, footprint.of(model, "FRA").carbon)
    assert found.standard_uncertainty / found.value > 0.25


def test_in_a_sum_over_one_grid_its_error_does_not_average_out() -> None:
    runs = [footprint.of(measured(3.6e6, 0.0, f"run {i}"), "FRA").carbon for i in range(100)]
    single, whole = runs[0], total(runs)
    assert whole.high / whole.value == pytest.approx(single.high / single.value)


def test_the_carbon_of_a_saving_may_be_negative() -> None:
    saving = difference(measured(1e6, 0.01, "new"), measured(2e6, 0.01, "old"))
    found = footprint.of(saving, "FRA").carbon
    assert found.signed
    assert found.low < found.value < found.high < 0


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, joulemark.footprint as f; f.grids(); "
        "sys.exit(', '.join({'numpy', 'msgspec', 'pandas', 'joulemark.meter'} & set(sys.modules)) or None)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
