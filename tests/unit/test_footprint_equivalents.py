"""Equivalents: the published examples, edition by edition."""

from __future__ import annotations

import pytest

from joulemark.boundary import Boundary
from joulemark.errors import UnknownName, UsageError
from joulemark.figures import Error, Figure, Kind, Part
from joulemark.footprint import PETROL_CAR, SMARTPHONE_CHARGE, car_distance, charges

GPU = Boundary.of(["gpu"])


def measured(value: float, unit: str) -> Figure:
    return Figure(
        value=value,
        unit=unit,
        boundary=GPU,
        errors=(Error("sensor", 0.05 * value),),
        parts=(Part("gpu-0", value, Kind.MEASURED),),
    )


# The costliest image model of Luccioni et al. 2024: 11.49 kWh and 1,594 g for 1,000 images.
@pytest.mark.parametrize(("edition", "expected"), [("2023", 957.5), ("2024", 522.3)])
def test_charges_of_a_thousand_images(edition: str, expected: float) -> None:
    assert charges(measured(11.49 * 3.6e6, "J"), edition).value == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize(
    ("carbon_g", "edition", "expected_km"),
    [(1594, "2024", 6.5), (1567, "2024", 6.4), (1594, "2023", 6.6), (403_000, "2021", 1609.3)],
)
def test_kilometres_by_car(carbon_g: float, edition: str, expected_km: float) -> None:
    figure = car_distance(measured(carbon_g, "g"), edition)
    assert figure.unit == "m"
    assert figure.value / 1000 == pytest.approx(expected_km, abs=0.05)


def test_the_newest_edition_is_the_default_and_is_named_in_the_sources() -> None:
    energy, carbon = measured(1e6, "J"), measured(100, "g")
    assert charges(energy) == charges(energy, max(SMARTPHONE_CHARGE))
    assert car_distance(carbon) == car_distance(carbon, max(PETROL_CAR))
    assert "edition 2023" in charges(energy, "2023").sources[-1].name


def test_the_formulas_give_the_values() -> None:
    charge_wh = 14.46 - 22 * 0.13  # which the EPA prints as 0.012 kWh
    assert 1 / SMARTPHONE_CHARGE["2023"].value / 3600 == pytest.approx(charge_wh, abs=0.5)
    grams_a_mile = 4.29e6 / 10_917
    assert 1609.344 / PETROL_CAR["2024"].value == pytest.approx(grams_a_mile, rel=1e-3)


def test_work_units_boundary_and_interval_go_through_but_evidence_weakens() -> None:
    energy = measured(2.9 * 3600, "J/image")
    figure = charges(energy)
    assert figure.unit == "charges/image"
    assert figure.boundary == GPU
    assert figure.high / figure.value == pytest.approx(energy.high / energy.value)
    assert figure.low / figure.value == pytest.approx(energy.low / energy.value)
    assert energy.evidence.kind is Kind.MEASURED
    assert figure.evidence.kind is Kind.ASSUMED


def test_what_is_unavailable_stays_so_with_its_reason() -> None:
    missing = Figure.unavailable("J", GPU, (Part("gpu-0", float("nan"), Kind.UNAVAILABLE, "no permission"),))
    figure = charges(missing)
    assert not figure.available
    assert str(figure) == "unavailable (gpu-0: no permission)"


@pytest.mark.parametrize("edition", ["2022", "latest", ""])
def test_an_unknown_edition_is_an_error(edition: str) -> None:
    with pytest.raises(UnknownName, match="edition of the smartphone charge"):
        charges(measured(1, "J"), edition)
    with pytest.raises(UnknownName, match="edition of the average petrol car"):
        car_distance(measured(1, "g"), edition)


@pytest.mark.parametrize("unit", ["g", "W", "Wh", "kJ", "1"])
def test_only_joules_become_charges(unit: str) -> None:
    with pytest.raises(UsageError, match="cannot take one in"):
        charges(measured(1, unit))


def test_joules_do_not_become_kilometres() -> None:
    with pytest.raises(UsageError):
        car_distance(measured(1, "J"))
