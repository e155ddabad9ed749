from __future__ import annotations

import math

import pytest

from joulemark.boundary import Boundary
from joulemark.errors import UsageError
from joulemark.figures import Error, Figure, Kind, NotComparable, Part, difference, product, ratio, total

CPU = Boundary.of(["cpu"])


def energy(value: float, *errors: Error, boundary: Boundary = CPU, kind: Kind = Kind.MEASURED) -> Figure:
    return Figure(value=value, unit="J", boundary=boundary, errors=errors, parts=(Part("cpu", value, kind),))


def test_a_ratio_of_two_models_on_one_machine_is_far_surer_than_either_value() -> None:
    shared, own = 0.4, 0.02
    a = energy(310, Error("power model", 310 * shared), Error("a", 310 * own))
    b = energy(100, Error("power model", 100 * shared), Error("b", 100 * own))
    times = ratio(a, b)
    assert times.value == pytest.approx(3.1)
    assert a.high / a.value > 2.1, "the value is known to a factor of two"
    assert times.high / times.value < 1.06, "the ratio to some per cent"


def test_errors_of_one_sensor_add_up_linearly_in_a_sum() -> None:
    one = energy(100, Error("gain", 10))
    both = total([one, one])
    assert both.standard_uncertainty == pytest.approx(20), "not 14.1, as if they were independent"
    apart = total([one, energy(100, Error("another gain", 10))])
    assert apart.standard_uncertainty == pytest.approx(math.hypot(10, 10))


def test_a_difference_of_what_errs_together_is_sure() -> None:
    gross, idle = energy(100, Error("gain", 20)), energy(40, Error("gain", 8))
    net = difference(gross, idle)
    assert net.value == 60
    assert net.standard_uncertainty == pytest.approx(12)
    assert difference(gross, gross).low == difference(gross, gross).high == 0


def test_a_difference_may_be_negative_and_its_interval_is_linear() -> None:
    net = difference(energy(10, Error("a", 0.3)), energy(12, Error("b", 0.4)))
    assert net.value == -2
    assert net.low == pytest.approx(-2 - 1.96 * 0.5, abs=0.01)
    assert net.high == pytest.approx(-2 + 1.96 * 0.5, abs=0.01)


def test_a_wide_part_beside_a_sure_one_leaves_the_sure_one_as_the_floor() -> None:
    """A GPU known to 1 % and a processor known to a factor of three: the sum is never below the GPU."""
    gpu = energy(100, Error("gpu", 0.5), boundary=Boundary.of(["gpu"]))
    both = gpu + energy(20, Error("model", 12))
    assert both.low == pytest.approx(100 + 20 * math.exp(-1.96 * 0.6), rel=0.01)
    assert both.high == pytest.approx(100 + 20 * math.exp(1.96 * 0.6), rel=0.01)


def test_an_energy_is_never_negative() -> None:
    wide = energy(10, Error("model", 8))
    assert 0 < wide.low < 10 < wide.high


def test_one_multiplicative_error_is_exact() -> None:
    sd = 0.5
    figure = energy(10, Error("model", 10 * sd))
    assert figure.high == pytest.approx(10 * math.exp(1.959964 * sd))
    assert figure.low == pytest.approx(10 * math.exp(-1.959964 * sd))


def test_few_repetitions_widen_by_student_s_t() -> None:
    three = energy(1000, Error("repetition", 1, dof=2))
    assert (three.high - three.value) == pytest.approx(4.303, abs=0.02)


def test_a_product_adds_relative_errors_and_keeps_the_parts() -> None:
    carbon = product(
        energy(100, Error("gain", 3)),
        Figure(value=2, unit="g/J", boundary=Boundary.of([]), errors=(Error("grid", 0.08),)),
        "g",
    )
    assert carbon.unit == "g"
    assert carbon.standard_uncertainty / carbon.value == pytest.approx(math.hypot(0.03, 0.04))
    assert sum(p.value for p in carbon.parts) == pytest.approx(carbon.value)


def test_a_sum_keeps_its_parts_and_their_evidence() -> None:
    dram = energy(30, boundary=Boundary.of(["dram"]), kind=Kind.MODELLED)
    both = energy(70) + dram
    assert both.value == 100
    assert both.evidence.shares == {Kind.MEASURED: pytest.approx(0.7), Kind.MODELLED: pytest.approx(0.3)}
    assert both.evidence.kind is Kind.MODELLED, "a sum is called by its weakest part"
    assert str(both.evidence) == "70 % measured, 30 % modelled"
    assert both.boundary == Boundary.of(["cpu", "dram"])


def test_what_failed_is_missing_from_the_sum_and_is_named() -> None:
    gone = Figure.unavailable(
        "J", Boundary.of(["gpu"]), [Part("gpu-0", math.nan, Kind.UNAVAILABLE, "fell off the bus")]
    )
    both = total([energy(70), gone])
    assert both.value == 70
    assert both.boundary == CPU, "the boundary no longer claims the GPU"
    assert [(p.name, p.reason) for p in both.evidence.missing] == [("gpu-0", "fell off the bus")]
    assert "gpu-0 (fell off the bus)" in str(both.evidence)


def test_nothing_but_failures_is_unavailable_and_never_zero() -> None:
    gone = Figure.unavailable("J", CPU, [Part("cpu-0", math.nan, Kind.UNAVAILABLE, "no permission")])
    nothing = total([gone, gone])
    assert not nothing.available
    assert math.isnan(nothing.value)
    assert math.isnan(nothing.low)
    assert str(nothing).startswith("unavailable (cpu-0: no permission")
    assert nothing.evidence.kind is Kind.UNAVAILABLE
    assert not ratio(energy(1), gone).available


def test_different_boundaries_are_not_compared_and_the_message_says_what_would_help() -> None:
    other = energy(1, boundary=Boundary.of(["cpu", "dram"]))
    with pytest.raises(NotComparable, match="only the second counts memory: leave it out of that one or add it"):
        ratio(energy(1), other)
    with pytest.raises(UsageError, match="different units: J and W"):
        ratio(energy(1), Figure(value=1, unit="W", boundary=CPU))
    with pytest.raises(UsageError, match="different units"):
        total([energy(1), Figure(value=1, unit="W", boundary=CPU)])


def test_phases_do_not_add() -> None:
    with pytest.raises(NotComparable, match="phases"):
        total([energy(1, boundary=Boundary.of(["cpu"], phases=("load",))), energy(1)])


@pytest.mark.parametrize(
    ("figure", "text"),
    [
        (energy(41_300, Error("a", 1264)), "41.3 kJ ± 6 %"),
        (energy(3100, Error("a", 3100 * 0.41)), "3.1 kJ (1.4 to 6.9)"),
        (energy(5), "5.00 J ± <0.1 %"),
    ],
)
def test_how_figures_are_printed(figure: Figure, text: str) -> None:
    assert str(figure) == text


def test_boundaries_print_what_they_cover() -> None:
    text = str(Boundary.of(["gpu", "psu_loss"], phases=("query",)))
    assert text == "GPU, power-supply losses; all devices; idle included; query phase"
