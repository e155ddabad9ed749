"""Sensors of a whole machine, for the contract suite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from joulemark.sensors import Sensor
from joulemark.sensors.ipmi import IpmiSensor
from joulemark.sensors.plug import ShellyPlug, TasmotaPlug
from joulemark.sensors.redfish import RedfishSensor
from tests.contract.case import Case
from tests.simulated.ipmitool import FakeIpmitool
from tests.simulated.servers import Device, redfish, shelly_gen1, shelly_gen2, tasmota

__all__ = ["CASES"]


def _stands_still(seconds: float) -> None:
    """A gauge shows the same power all the time."""


def _ipmi(request: pytest.FixtureRequest, root: Path) -> Case:
    tool = FakeIpmitool(root)
    return Case(IpmiSensor(tool.command, dev=tool.dev), _stands_still, tool.fail)


def _served(
    build: Callable[[], Device], open_sensor: Callable[[str], Sensor]
) -> Callable[[pytest.FixtureRequest, Path], Case]:
    def case(request: pytest.FixtureRequest, root: Path) -> Case:
        device = build()
        serving = device.serving()
        serving.__enter__()
        request.addfinalizer(lambda: serving.__exit__(None, None, None))
        return Case(open_sensor(device.url), _stands_still, device.close)

    return case


def _redfish_sensor(url: str) -> Sensor:
    return RedfishSensor(url, "/redfish/v1/Chassis/1/Power", environ={})


CASES = {
    "ipmi": _ipmi,
    "redfish": _served(redfish, _redfish_sensor),
    "shelly-1": _served(shelly_gen1, ShellyPlug),
    "shelly-2": _served(shelly_gen2, ShellyPlug),
    "tasmota": _served(tasmota, TasmotaPlug),
}
