"""Metering plugs: what they show, and every fault by its name."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from joulemark.boundary import Component
from joulemark.errors import PermissionDenied, SensorUnavailable
from joulemark.sensors.address import wall_sensor
from joulemark.sensors.plug import ShellyPlug, TasmotaPlug
from tests.simulated.servers import Device, shelly_gen1, shelly_gen2, shelly_meter, tasmota

SHELLYS = {"SHPLG-S": shelly_gen1, "PlusPlugS": shelly_gen2, "PlugPMG3": shelly_meter}


@pytest.mark.parametrize("model", SHELLYS)
def test_a_shelly_of_any_generation_shows_the_machine_at_the_wall(model: str) -> None:
    with SHELLYS[model]().serving() as device:
        sensor = wall_sensor(f"shelly://{device.host}")

        assert sensor.read(0) == {"machine": 123_400_000}
        assert sensor.name == f"shelly {model}"
        assert sensor.domains[0].container
        assert Component.PSU_LOSS in sensor.domains[0].components
        assert "A4CF12BA0F5F" not in str(sensor.domains)


def test_tasmota_shows_the_machine_at_the_wall_and_one_of_several_channels() -> None:
    with tasmota().serving() as device:
        sensor = wall_sensor(f"tasmota://{device.host}")
        assert sensor.read(0) == {"machine": 123_400_000}

        device.documents = lambda: {"/cm?cmnd=Status%208": {"StatusSNS": {"ENERGY": {"Power": [7, 60.5]}}}}
        assert wall_sensor(f"tasmota://{device.host}?channel=1").read(0) == {"machine": 60_500_000}
        with pytest.raises(SensorUnavailable, match="has no 2"):
            TasmotaPlug(device.url, channel=2)


def test_nothing_is_ever_switched() -> None:
    for build in (*SHELLYS.values(), tasmota):
        with build().serving() as device:
            kind = TasmotaPlug if build is tasmota else ShellyPlug
            kind(device.url).read(0)
            assert all("Set" not in path and "turn" not in path and "Power%20" not in path for path in device.asked)


@pytest.mark.parametrize("build", [shelly_gen1, shelly_gen2, tasmota])
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("401", "protected by a password"),
        ("404", "no such resource"),
        ("500", "HTTP 500"),
        ("garbage", "no JSON"),
        ("no-http", "no answer that is HTTP"),
        ("slow", "did not answer within 0.1 s"),
    ],
)
def test_every_fault_of_a_plug_has_a_name(build: Callable[[], Device], fault: str, reason: str) -> None:
    with build().serving() as device:
        kind = TasmotaPlug if build is tasmota else ShellyPlug
        sensor = kind(device.url, timeout_s=0.1)
        device.fault = fault

        assert reason in str(sensor.read(0)["machine"])


def test_a_plug_with_nothing_behind_it_is_not_this_machines() -> None:
    with shelly_gen2().serving() as device:
        device.power_w = 0.0
        with pytest.raises(SensorUnavailable, match="0 W, which no running machine draws"):
            ShellyPlug(device.url)


def test_a_plug_that_doubts_itself_is_not_believed() -> None:
    with shelly_gen1().serving() as device:
        sensor = ShellyPlug(device.url)
        device.documents = lambda: {"/status": {"meters": [{"power": 30.0, "is_valid": False}]}}
        assert "not valid" in str(sensor.read(0)["machine"])
    with shelly_gen2().serving() as device:
        sensor = ShellyPlug(device.url)
        device.documents = lambda: {"/rpc/Switch.GetStatus?id=0": {"apower": 30.0, "errors": ["power_meter_failure"]}}
        assert "power_meter_failure" in str(sensor.read(0)["machine"])


def test_a_shelly_without_a_meter_and_something_else_altogether_are_told_apart() -> None:
    with shelly_gen2().serving() as device:
        device.documents = lambda: {
            "/shelly": {"gen": 2, "app": "Plus1"},
            "/rpc/Switch.GetStatus?id=0": {"output": True},
        }
        with pytest.raises(SensorUnavailable, match="no power meter"):
            ShellyPlug(device.url)
        device.documents = lambda: {"/shelly": ["printer"]}
        with pytest.raises(SensorUnavailable, match="is no Shelly"):
            ShellyPlug(device.url)


def test_tasmota_says_ok_where_it_wants_a_password() -> None:
    with tasmota().serving() as device:
        device.documents = lambda: {"/cm?cmnd=Status%208": {"WARNING": "Need user=<username>&password=<password>"}}
        with pytest.raises(PermissionDenied, match="protected by a password"):
            TasmotaPlug(device.url)
