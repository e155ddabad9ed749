from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulemark.boundary import Boundary
from joulemark.figures import Error, Figure, Kind, Part, product, ratio, total

POSITIVE = st.floats(1e-6, 1e12)
SOURCES = st.sampled_from(["gain", "mix", "own"])


@st.composite
def figures(draw: st.DrawFn) -> Figure:
    value = draw(POSITIVE)
    errors = draw(st.dictionaries(SOURCES, st.floats(0.001, 0.8), max_size=3))
    return Figure(
        value=value,
        unit="J",
        boundary=Boundary.of(["cpu"]),
        errors=tuple(Error(source, relative * value) for source, relative in errors.items()),
        parts=(Part("cpu", value, draw(st.sampled_from([Kind.MEASURED, Kind.MODELLED]))),),
    )


@given(figures())
def test_the_interval_holds_the_value_and_stays_positive(figure: Figure) -> None:
    assert 0 < figure.low <= figure.value <= figure.high


@given(figures(), st.floats(1e-3, 1e3))
def test_scaling_scales_everything(figure: Figure, factor: float) -> None:
    scaled = figure * factor
    assert scaled.low == pytest.approx(figure.low * factor)
    assert scaled.high == pytest.approx(figure.high * factor)


@given(st.lists(figures(), min_size=1, max_size=5))
def test_parts_add_up_to_the_sum(parts: list[Figure]) -> None:
    whole = total(parts)
    assert math.fsum(p.value for p in whole.parts) == pytest.approx(whole.value)
    assert math.fsum(whole.evidence.shares.values()) == pytest.approx(1)


@given(figures(), figures())
def test_a_sum_does_not_depend_on_the_order(a: Figure, b: Figure) -> None:
    one, other = a + b, b + a
    assert one.value == other.value
    assert one.standard_uncertainty == pytest.approx(other.standard_uncertainty)


@given(figures())
def test_a_figure_is_exactly_once_itself(figure: Figure) -> None:
    times = ratio(figure, figure)
    assert times.value == pytest.approx(1)
    assert times.high - times.low == pytest.approx(0, abs=1e-9)


@given(figures(), figures())
def test_a_common_factor_leaves_the_ratio_as_it_was(a: Figure, b: Figure) -> None:
    grid = Figure(value=3.0, unit="g/J", boundary=Boundary.of([]), errors=(Error("grid", 1.2),))
    energies, carbons = ratio(a, b), ratio(product(a, grid, "g"), product(b, grid, "g"))
    assert carbons.value == pytest.approx(energies.value)
    assert carbons.standard_uncertainty == pytest.approx(
        energies.standard_uncertainty, rel=1e-6, abs=1e-9 * energies.value
    )
