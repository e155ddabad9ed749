"""Error budgets: every source of error by name, its size and its share of the variance."""

from __future__ import annotations

import math

import pytest

from joulemark.boundary import Boundary
from joulemark.budget import KINDS, Budget
from joulemark.figures import Error, Figure, Kind, Part, total

GPU = Boundary.of(["gpu"])


def figure(value: float, *errors: Error, unit: str = "J", name: str = "gpu-0") -> Figure:
    return Figure(value=value, unit=unit, boundary=GPU, errors=errors, parts=(Part(name, value, Kind.MEASURED),))


def lost(name: str = "gpu-1") -> Figure:
    return Figure.unavailable("J", GPU, [Part(name, math.nan, Kind.UNAVAILABLE, "GPU is lost")])


WHOLE = figure(
    1000.0,
    Error("edges of gpu-0 (s@0+1)", 10.0, additive=True),
    Error("gain of nvml 580.65:gpu-0 (s)", 20.0),
    Error("sampling of gpu-0 (s@0+1)", -5.0, additive=True),
)


def test_the_errors_are_listed_largest_first_with_their_shares_of_the_variance() -> None:
    lines = Budget(WHOLE).lines

    assert [line.kind for line in lines] == ["gain", "edges", "sampling"]
    assert [line.size for line in lines] == [20, 10, 5]
    assert [line.share for line in lines] == pytest.approx([400 / 525, 100 / 525, 25 / 525])


def test_the_shares_add_up_to_one_and_the_sizes_to_the_combined_uncertainty() -> None:
    """JCGM 100:2008, 5.1.2."""
    lines = Budget(WHOLE).lines

    assert math.fsum(line.share for line in lines) == pytest.approx(1)
    assert math.hypot(*(line.size for line in lines)) == pytest.approx(WHOLE.standard_uncertainty)


def test_what_two_parts_of_a_sum_share_is_one_line() -> None:
    shared = Error("gain of nvml 580.65:gpu-0 (s)", 20.0)
    one = figure(1000.0, shared, Error("edges of a", 3.0))
    other = figure(1000.0, shared, Error("edges of b", 4.0))

    lines = Budget(total([one, other])).lines

    assert [(line.source, line.size) for line in lines] == [(shared.source, 40), ("edges of b", 4), ("edges of a", 3)]


def test_an_error_of_no_known_kind_is_listed_as_another() -> None:
    (line,) = Budget(figure(10.0, Error("unheard-of trouble", 1.0))).lines

    assert (line.kind, line.share) == ("other", 1)


def test_it_prints_a_table_with_sizes_shares_and_what_the_kinds_mean() -> None:
    text = str(Budget(WHOLE))

    first, header, rule, *rows = text.splitlines()
    assert "95 % interval" in first
    assert header.split() == ["error", "standard", "uncertainty", "share", "of", "variance"]
    assert set(rule) == {"-"}
    assert rows[0].split() == ["gain", "of", "nvml", "580.65:gpu-0", "20.0", "J", "(2", "%)", "76", "%"]
    assert f"gain: {KINDS['gain']}" in rows
    assert f"edges: {KINDS['edges']}" in rows
    assert not any(row.startswith("mix:") for row in rows), "only what there is"


def test_what_the_figure_does_not_cover_is_said_with_its_reason() -> None:
    assert "not covered: gpu-1 (GPU is lost)" in str(Budget(total([WHOLE, lost()])))


def test_a_figure_that_is_unavailable_has_no_budget_but_its_reason() -> None:
    budget = Budget(lost())

    assert budget.lines == ()
    assert str(budget).startswith("No budget: unavailable (gpu-1: GPU is lost)")


@pytest.mark.parametrize("unit", ["W", "J/image", "1"])
def test_it_is_in_the_unit_of_its_figure(unit: str) -> None:
    text = str(Budget(figure(10.0, Error("edges of a", 1.0), unit=unit)))

    assert "(10 %)" in text
    assert unit == "1" or unit in text.splitlines()[3]


def test_a_figure_without_any_error_has_a_budget_without_lines() -> None:
    assert Budget(figure(10.0)).lines == ()
    assert str(Budget(figure(10.0)))
