"""The management controller of a server, through ipmitool: a power, or the reason why there is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from joulemark.boundary import Component
from joulemark.errors import PermissionDenied, SensorUnavailable
from joulemark.meter import Meter
from joulemark.sensors.ipmi import IpmiSensor
from joulemark.testing import SimulatedClock
from tests.simulated.ipmitool import FakeIpmitool


@pytest.fixture
def tool(tmp_path: Path) -> FakeIpmitool:
    return FakeIpmitool(tmp_path)


def sensor(tool: FakeIpmitool, timeout_s: float = 2.0) -> IpmiSensor:
    return IpmiSensor(tool.command, dev=tool.dev, timeout_s=timeout_s)


def test_a_server_shows_its_power_at_the_input_of_its_supplies_and_adds_it_to_nothing(tool: FakeIpmitool) -> None:
    clock = SimulatedClock()
    (domain,) = sensor(tool).domains

    with Meter([sensor(tool)], clock_ns=clock) as meter, meter.measure() as window:
        clock.advance(1.0)

    assert window.domains["machine"].value == pytest.approx(220)
    assert not window.energy.available
    assert domain.container
    assert Component.PSU_LOSS in domain.components


def test_a_controller_without_a_power_meter_says_so(tool: FakeIpmitool) -> None:
    tool.show(220, state="deactivated")
    with pytest.raises(SensorUnavailable, match="does not measure power"):
        sensor(tool)

    tool.show(0)
    with pytest.raises(SensorUnavailable, match="0 W, which no running machine draws"):
        sensor(tool)


def test_what_ipmitool_complains_of_is_said(tool: FakeIpmitool) -> None:
    tool.fail()
    with pytest.raises(SensorUnavailable, match=r"Invalid command \(c1\)"):
        sensor(tool)

    tool.fail("", code=3)
    with pytest.raises(SensorUnavailable, match="exit code 3"):
        sensor(tool)

    tool.run("echo power: lots")
    with pytest.raises(SensorUnavailable, match="no power but 'power: lots'"):
        sensor(tool)


def test_a_controller_that_hangs_costs_no_more_than_the_time_out(tool: FakeIpmitool) -> None:
    opened = sensor(tool, timeout_s=0.1)
    tool.run("exec sleep 5")

    assert "did not answer within 0.1 s" in str(opened.read(0)["machine"])


def test_a_script_that_vanishes_is_named(tool: FakeIpmitool) -> None:
    opened = sensor(tool)
    Path(tool.command).unlink()

    assert "cannot start ipmitool" in str(opened.read(0)["machine"])


def test_a_controller_that_this_user_may_not_use_is_told_with_the_command(
    tool: FakeIpmitool, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = sensor(tool)
    tool.fail("Could not open device at /dev/ipmi0: Permission denied")
    assert isinstance(opened.read(0)["machine"], PermissionDenied)

    access = os.access  # root may do anything
    monkeypatch.setattr(os, "access", lambda path, mode: path != tool.dev / "ipmi0" and access(path, mode))
    with pytest.raises(PermissionDenied, match="by root only") as caught:
        sensor(tool)
    assert f"rw {tool.dev / 'ipmi0'}" in caught.value.remedy


def test_a_machine_without_a_controller_or_without_ipmitool_is_told_so(tool: FakeIpmitool) -> None:
    with pytest.raises(SensorUnavailable, match="install ipmitool"):
        IpmiSensor("no-such-ipmitool", dev=tool.dev)

    (tool.dev / "ipmi0").unlink()
    with pytest.raises(SensorUnavailable, match="no management controller"):
        sensor(tool)
