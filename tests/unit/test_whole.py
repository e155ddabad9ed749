"""Meters of a whole machine: what counts as a power, and the addresses that name them."""

from __future__ import annotations

import pytest

from joulemark.boundary import Component
from joulemark.errors import SensorUnavailable, UnknownName, UsageError
from joulemark.readings import Accuracy
from joulemark.sensors.address import wall_sensor
from joulemark.sensors.whole import MACHINE, machine_domain, microwatts


def test_a_machine_at_the_wall_contains_everything_and_is_added_to_nothing() -> None:
    domain = machine_domain(Accuracy(gain=0.01), max_power_w=3680.0, model="a plug")

    assert domain.name == MACHINE
    assert domain.container
    assert {Component.CPU, Component.GPU, Component.PSU_LOSS} < domain.components
    assert Component.FACILITY not in domain.components


@pytest.mark.parametrize("shown", [None, "60", True, float("nan"), float("inf"), 0, -3.5])
def test_what_no_running_machine_draws_is_no_power(shown: object) -> None:
    with pytest.raises(SensorUnavailable, match="the plug"):
        microwatts(shown, "the plug")


def test_watts_become_whole_microwatts() -> None:
    assert microwatts(123.4, "the plug") == 123_400_000
    assert microwatts(60, "the plug") == 60_000_000


@pytest.mark.parametrize("url", ["kasa://10.0.0.1", "http://10.0.0.1", "10.0.0.1", ""])
def test_an_address_of_another_kind_is_refused_with_those_that_are_known(url: str) -> None:
    with pytest.raises(UnknownName, match=r"shelly.*tasmota.*redfish.*ipmi://local"):
        wall_sensor(url)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("shelly://", "names no host"),
        ("shelly://[10.0.0.1", "is no address"),
        ("shelly://10.0.0.1/status", "nothing may stand behind the host"),
        ("shelly://10.0.0.1?channel=one", "'one' is no number"),
        ("tasmota://10.0.0.1?user=x", "unknown option 'user'"),
        ("redfish://10.0.0.1/", "no path of Redfish"),
        ("ipmi://10.0.0.1", "write ipmi://local"),
    ],
)
def test_an_address_with_a_mistake_is_refused_and_says_what_would_be_right(url: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        wall_sensor(url)


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError, match="JOULEMARK_REDFISH_PASSWORD") as caught:
        wall_sensor("redfish://root:calvin@10.0.0.1/redfish/v1/Chassis/1")
    assert "calvin" not in str(caught.value)
