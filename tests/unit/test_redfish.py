"""The management controller of a server, over the network: what it shows, and to whom the password goes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from joulemark.errors import PermissionDenied, SensorError, SensorUnavailable, UsageError
from joulemark.sensors.address import wall_sensor
from joulemark.sensors.redfish import PASSWORD, USER, RedfishSensor
from tests.simulated.servers import Device, redfish

CHASSIS = "/redfish/v1/Chassis/1"
WAYS = ("Power", "EnvironmentMetrics", "PowerSubsystem")
SECRET = {USER: "reader", PASSWORD: "swordfish"}


@pytest.fixture
def controller() -> Iterator[Device]:
    with redfish().serving() as device:
        yield device


def sensor(
    device: Device, path: str = f"{CHASSIS}/Power", environ: Mapping[str, str] | None = None, timeout_s: float = 2.0
) -> RedfishSensor:
    return RedfishSensor(device.url, path, environ=environ or {}, timeout_s=timeout_s)


@pytest.mark.parametrize("asked", [*(f"/{way}" for way in WAYS), "", "/"])
@pytest.mark.parametrize("shown", WAYS)
def test_power_is_found_wherever_the_controller_shows_it(shown: str, asked: str) -> None:
    with redfish(shown).serving() as device:
        opened = sensor(device, CHASSIS + asked)
        assert opened.read(0) == {"machine": 350_000_000}

        device.power_w = 412.5
        assert opened.read(0) == {"machine": 412_500_000}


def test_the_password_comes_from_the_environment_and_goes_nowhere_else(controller: Device) -> None:
    controller.secret = ("reader", "swordfish")
    with pytest.raises(PermissionDenied, match="wants a name and a password") as caught:
        sensor(controller)
    assert USER in caught.value.remedy

    opened = sensor(controller, environ=SECRET)
    assert opened.read(0) == {"machine": 350_000_000}

    for fault in ("", "401", "404", "500", "garbage", "elsewhere", "no-http"):
        controller.fault = fault
        assert "swordfish" not in f"{opened.read(0)}{opened.name}{opened.domains}"
        assert "127.0.0.1" not in f"{opened.read(0)}{opened.name}{opened.domains}"


def test_a_controller_that_sends_to_another_host_is_not_followed(controller: Device) -> None:
    opened = sensor(controller, environ=SECRET)
    controller.fault = "elsewhere"

    assert "another address" in str(opened.read(0)["machine"])

    with redfish("PowerSubsystem").serving() as device:
        usual = device.documents
        device.documents = lambda: {
            **usual(),
            f"{CHASSIS}/PowerSubsystem": {"PowerSupplies": {"@odata.id": "http://evil.example/"}},
        }
        with pytest.raises(SensorUnavailable, match="PowerSupplies leads to another address"):
            sensor(device)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("401", "name and a password"),
        ("404", "no such resource"),
        ("503", "HTTP 503"),
        ("garbage", "no JSON"),
        ("no-http", "no answer that is HTTP"),
        ("slow", "did not answer within 0.2 s"),
        ("trickle", "did not answer within 0.2 s"),
    ],
)
def test_every_fault_of_the_controller_has_a_name(controller: Device, fault: str, reason: str) -> None:
    opened = sensor(controller, timeout_s=0.2)
    controller.fault = fault

    reading = opened.read(0)["machine"]

    assert isinstance(reading, SensorError)
    assert reason in str(reading)


def test_a_controller_that_is_switched_off_is_named(controller: Device) -> None:
    opened = sensor(controller)
    controller.close()

    assert "cannot be reached: Connection refused" in str(opened.read(0)["machine"])


@pytest.mark.parametrize("shown", [None, "lots", True, 0, -5, float("nan")])
def test_what_is_no_power_is_never_taken_for_one(controller: Device, shown: object) -> None:
    opened = sensor(controller)
    controller.documents = lambda: {f"{CHASSIS}/Power": {"PowerControl": [{"PowerConsumedWatts": shown}]}}

    assert isinstance(opened.read(0)["machine"], SensorUnavailable)


def test_a_chassis_without_power_says_what_was_looked_for() -> None:
    with redfish("none of them").serving() as device:
        device.documents = lambda: {f"{CHASSIS}/Power": {"PowerControl": []}}
        with pytest.raises(SensorUnavailable, match=r"Power: it has no PowerControl.*EnvironmentMetrics: .*404"):
            sensor(device)


def test_a_path_that_is_none_of_redfish_is_refused(controller: Device) -> None:
    with pytest.raises(UsageError, match="/redfish/v1/Chassis/1/Power"):
        sensor(controller, "/index.html")
    assert not controller.asked


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate that nobody has signed, with its key, as controllers have it."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("certificate")
    files = ["-keyout", str(folder / "key"), "-out", str(folder / "cert")]
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    subprocess.run([openssl, "req", *kind, "-subj", "/CN=bmc", *files], check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_text((folder / "key").read_text() + (folder / "cert").read_text())
    return both


def test_a_certificate_is_checked_unless_the_user_says_otherwise(certificate: Path) -> None:
    with redfish().serving(certificate) as device:
        with pytest.raises(SensorUnavailable, match=r"cannot be verified .*insecure=1"):
            wall_sensor(f"redfish://{device.host}{CHASSIS}/Power")
        assert not device.asked

        opened = wall_sensor(f"redfish://{device.host}{CHASSIS}/Power?insecure=1")
        assert opened.read(0) == {"machine": 350_000_000}
