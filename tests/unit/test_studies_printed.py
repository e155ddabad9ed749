"""Printed numbers and the verdict on a computed one."""

from __future__ import annotations

import pytest

from joulemark.errors import BadQuantity
from joulemark.studies.printed import Printed


@pytest.mark.parametrize(
    ("text", "value", "verdict"),
    [
        ("2.907", 2.907177, "same"),
        ("2.907", 2.9074999, "same"),
        ("2.907", 2.9079, "within one unit"),
        ("2.907", 2.9090, "different"),
        ("0.01", 0.0154, "within one unit"),
        ("0.02", 0.0269, "within one unit"),
        ("8.08", 8.090, "within one unit"),
        ("1,594", 1566.96, "different"),
        ("592,570,000", 592_570_000.3, "same"),
        ("7.3e-5", 7.334e-5, "same"),
        ("1.0e-4", 1.043e-4, "same"),
        ("7.5", 7.53, "same"),
    ],
)
def test_verdicts(text: str, value: float, verdict: str) -> None:
    assert Printed.read(text).verdict(value) == verdict


def test_cutting_off_is_told_from_rounding() -> None:
    printed = Printed.read("0.0068")
    assert printed.cut_from(0.00688)
    assert not printed.rounds_from(0.00688)
    assert printed.prints(0.00688)
    assert (printed.low, printed.high) == pytest.approx((0.00675, 0.00685))


def test_round_figures_have_a_coarser_last_digit() -> None:
    assert Printed.read("100").verdict(104.8) == "different"
    assert Printed.read("100", step=10).verdict(104.8) == "same"
    assert Printed.read("100", step=10).digits == 2


def test_two_digits_more_than_printed_are_shown() -> None:
    assert Printed.read("2.907").show(2.907176641) == "2.90718"
    assert Printed.read("592,570,000").show(568377441.9) == "568,377,441.90"
    assert Printed.read("7.3e-5").show(7.33378e-5) == "7.334e-05"


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(BadQuantity, match="'n/a' is no number"):
        Printed.read("n/a")
