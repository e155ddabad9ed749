from __future__ import annotations

import pytest

from joulemark.errors import BadQuantity
from joulemark.units import format_duration, format_number, format_quantity, parse_energy


@pytest.mark.parametrize(
    ("text", "joules"),
    [("2.9kWh", 10_440_000), ("350 J", 350), ("1mWh", 3.6), ("1e3 kJ", 1e6), (" .5 Wh ", 1800), ("2TWh", 7.2e15)],
)
def test_energies_that_people_type(text: str, joules: float) -> None:
    assert parse_energy(text) == pytest.approx(joules, rel=1e-12)


@pytest.mark.parametrize("text", ["2.9", "2.9 kwh", "kWh", "2,9kWh", "1 kg", "1 mj", "", "nan J", "1e400 J"])
def test_an_unknown_unit_is_never_taken_for_a_known_one(text: str) -> None:
    with pytest.raises(BadQuantity) as caught:
        parse_energy(text)
    assert repr(text) in str(caught.value), "the message names the value"


def test_one_millijoule_is_not_a_thousand_watt_hours() -> None:
    assert parse_energy("1mJ") == 1e-3


@pytest.mark.parametrize(
    ("value", "family", "text"),
    [
        (41_300, "J", "41.3 kJ"),
        (0.0094, "J", "9.40 mJ"),
        (999.9, "J", "1.00 kJ"),
        (10_440_000, "Wh", "2.90 kWh"),
        (1594, "g", "1.59 kg"),
        (6527, "m", "6.53 km"),
        (0, "J", "0 J"),
        (float("nan"), "J", "unavailable"),
    ],
)
def test_quantities_in_their_best_scale(value: float, family: str, text: str) -> None:
    assert format_quantity(value, family) == text


@pytest.mark.parametrize(
    ("value", "text"), [(1234567, "1,230,000"), (0.001234, "0.00123"), (9.999, "10.0"), (2.5e12, "2.50e+12"), (0, "0")]
)
def test_numbers(value: float, text: str) -> None:
    assert format_number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.35, "350 ms"), (12, "12.0 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
