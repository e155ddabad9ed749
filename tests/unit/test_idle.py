"""Idle power and net energy: what drifts widens, what is shared cancels, and a busy rest is no rest."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from joulemark.boundary import Boundary
from joulemark.errors import UsageError
from joulemark.figures import Error, Figure, Kind, NotComparable, Part
from joulemark.idle import UNSEEN_DRIFT, idle_energy, idle_power, net

CPU = Boundary.of(["cpu"])
GAIN = "gain of rapl:cpu-0 (s)"


def power(watts: float, name: str, *, gain: float = 0.0, own: float = 0.0, boundary: Boundary = CPU) -> Figure:
    errors = (Error(GAIN, gain * watts), Error(f"edges of {name}", own * watts))
    return Figure(
        value=watts,
        unit="W",
        boundary=boundary,
        errors=tuple(e for e in errors if e.size > 0),
        parts=(Part("cpu-0", watts, Kind.MEASURED),),
    )


def energy(joules: float, *, gain: float = 0.0, own: float = 0.0, boundary: Boundary = CPU) -> Figure:
    return replace(power(joules, "work", gain=gain, own=own, boundary=boundary), unit="J")


def lost(unit: str, reason: str) -> Figure:
    return Figure.unavailable(unit, CPU, [Part("cpu-0", math.nan, Kind.UNAVAILABLE, reason)])


def test_idle_power_is_the_mean_of_before_and_after() -> None:
    idle = idle_power(power(40, "before"), power(44, "after"))

    assert idle.value == pytest.approx(42)
    assert idle.unit == "W"


def test_the_interval_of_idle_power_holds_both_readings() -> None:
    idle = idle_power(power(40, "before"), power(44, "after"))

    assert idle.standard_uncertainty == pytest.approx(2 / math.sqrt(3))
    assert idle.low < 40 < 44 < idle.high


def test_the_gain_of_one_sensor_stays_whole_in_the_mean_and_the_windows_own_errors_average() -> None:
    idle = idle_power(power(40, "before", gain=0.05, own=0.02), power(40, "after", gain=0.05, own=0.02))

    sizes = {e.source: e.size for e in idle.errors}
    assert sizes[GAIN] == pytest.approx(0.05 * 40)
    assert math.hypot(sizes["edges of before"], sizes["edges of after"]) == pytest.approx(0.02 * 40 / math.sqrt(2))


def test_a_mean_over_two_windows_has_each_domain_once() -> None:
    assert idle_power(power(40, "before"), power(44, "after")).parts == (Part("cpu-0", 42, Kind.MEASURED),)


@pytest.mark.parametrize("after", [None, lost("W", "gone")])
def test_a_drift_that_nobody_could_see_is_assumed_not_zero(after: Figure | None) -> None:
    idle = idle_power(power(40, "before"), after)

    assert idle.value == 40
    assert idle.standard_uncertainty == pytest.approx(40 * UNSEEN_DRIFT)


def test_one_window_at_rest_is_enough_on_either_side() -> None:
    assert idle_power(lost("W", "gone"), power(44, "after")).value == 44


def test_no_idle_window_at_all_is_unavailable() -> None:
    assert not idle_power(lost("W", "gone"), lost("W", "gone")).available


def test_windows_that_cover_different_things_have_no_mean() -> None:
    with pytest.raises(NotComparable, match="memory"):
        idle_power(power(40, "before"), power(44, "after", boundary=Boundary.of(["cpu", "dram"])))


def test_an_energy_is_no_idle_power() -> None:
    with pytest.raises(UsageError, match="in watts"):
        idle_power(energy(40))


def test_windows_before_and_after_may_be_phases_of_a_run() -> None:
    before = power(40, "before", boundary=Boundary.of(["cpu"], phases=("idle-before",)))
    after = power(44, "after", boundary=Boundary.of(["cpu"], phases=("idle-after",)))

    assert net(energy(1000), idle_power(before, after), 10).value == pytest.approx(580)


def test_idle_energy_is_power_times_time() -> None:
    rest = idle_energy(power(40, "before"), 2.5)
    assert (rest.value, rest.unit) == (100, "J")


def test_net_energy_is_what_is_drawn_above_rest_and_says_so() -> None:
    above = net(energy(1000), power(40, "idle"), 10)

    assert above.value == pytest.approx(600)
    assert above.unit == "J"
    assert above.boundary == replace(CPU, idle="net")


def test_net_energy_does_not_shrink_because_the_machine_is_busy_for_longer() -> None:
    """A load-weighted idle would vanish at full load; this one is drawn all the same."""
    assert net(energy(10_000), power(40, "idle"), 100).value == pytest.approx(6000)


def test_a_gain_that_both_share_cancels_in_part() -> None:
    above = net(energy(1000, gain=0.05), power(40, "idle", gain=0.05), 10)

    assert above.standard_uncertainty == pytest.approx(0.05 * 600)


def test_drift_of_the_idle_power_widens_the_net_energy_by_its_duration() -> None:
    above = net(energy(1000), idle_power(power(40, "before"), power(44, "after")), 10)

    assert above.value == pytest.approx(580)
    assert above.standard_uncertainty == pytest.approx(10 * 2 / math.sqrt(3))


def test_work_that_hardly_shows_is_nothing_plus_or_minus_something() -> None:
    above = net(energy(399, own=0.02), power(40, "idle", own=0.02), 10)

    assert above.value == pytest.approx(-1)
    assert above.low < 0 < above.high


def test_an_idle_window_busier_than_the_work_is_refused() -> None:
    with pytest.raises(UsageError, match=r"drew more at rest .* than at work .*Measure it again"):
        net(energy(300, own=0.01), power(40, "idle", own=0.01), 10)


def test_net_of_something_else_s_rest_is_refused() -> None:
    with pytest.raises(NotComparable, match="memory"):
        net(energy(1000), power(40, "idle", boundary=Boundary.of(["cpu", "dram"])), 10)


def test_what_could_not_be_measured_leaves_no_net_energy_and_is_named() -> None:
    above = net(energy(1000), lost("W", "sensor gone"), 10)

    assert not above.available
    assert [(p.name, p.reason) for p in above.evidence.missing] == [("idle cpu-0", "sensor gone")]
