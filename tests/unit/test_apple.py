"""The sensor of Apple silicon on a stand-in for the package ``zeus_apple_silicon``."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from joulemark.boundary import Component
from joulemark.errors import SensorUnavailable
from joulemark.sensors.apple import AppleSensor
from tests.simulated.apple import M1_MAX_W, M5_MAX_W, FakeZeusAppleSilicon

MAC = ("darwin", "arm64")


def opened(package: object) -> AppleSensor:
    return AppleSensor(MAC, importer=lambda name: package, chip=lambda: "Apple M1 Max")


def test_each_part_of_the_chip_is_a_counter_in_microjoules() -> None:
    package = FakeZeusAppleSilicon()
    sensor = opened(package)
    package.now_s = 10

    assert sensor.read(0) == {
        "cpu-0": 200_000_000,
        "dram-0": 40_000_000,
        "gpu-0": 300_000_000,
        "gpu-0/sram": 10_000_000,
        "ane-0": 50_000_000,
    }


def test_what_apple_estimates_is_modelled_and_shared_by_chips_of_one_kind() -> None:
    sensor = opened(FakeZeusAppleSilicon())

    assert {(d.kind, d.reading, d.parameters["model"]) for d in sensor.domains} == {
        ("modelled", "counter", "Apple M1 Max")
    }


def test_nothing_is_counted_twice() -> None:
    counted = [d for d in opened(FakeZeusAppleSilicon()).domains if d.parent is None and not d.container]

    assert [d.name for d in counted] == ["cpu-0", "dram-0", "gpu-0", "ane-0"]
    assert {c for d in counted for c in d.components} == {Component.CPU, Component.DRAM, Component.GPU}


def test_what_a_chip_does_not_show_is_left_out_and_not_zero() -> None:
    assert "gpu-0/sram" not in opened(FakeZeusAppleSilicon(dict(M5_MAX_W))).read(0)
    with pytest.raises(SensorUnavailable, match="no energy"):
        opened(FakeZeusAppleSilicon({}))


def test_a_part_that_goes_is_an_error_of_its_own() -> None:
    package = FakeZeusAppleSilicon(now_s=1)
    sensor = opened(package)
    del package.powers_w["dram_mj"]

    readings = sensor.read(0)

    assert isinstance(readings["dram-0"], SensorUnavailable)
    assert readings["gpu-0"] == M1_MAX_W["gpu_mj"] * 1e6


@pytest.mark.parametrize("error", [RuntimeError("no CFString"), ValueError("Unsupported energy unit: XJ")])
def test_what_the_package_throws_is_named(error: Exception) -> None:
    package = FakeZeusAppleSilicon()
    sensor = opened(package)
    package.error = error

    assert {str(reading) for reading in sensor.read(0).values()} == {f"IOReport: {error}"}
    with pytest.raises(SensorUnavailable, match=str(error)):
        opened(package)


@pytest.mark.parametrize("system", [("linux", "aarch64"), ("darwin", "x86_64"), ("win32", "AMD64")])
def test_on_any_other_machine_nothing_is_imported(system: tuple[str, str]) -> None:
    def importer(name: str) -> object:
        raise AssertionError("imported")

    with pytest.raises(SensorUnavailable, match="no Mac"):
        AppleSensor(system, importer=importer)


def test_a_package_that_is_missing_or_too_old_says_how_to_get_it() -> None:
    def missing(name: str) -> object:
        raise ModuleNotFoundError(name)

    with pytest.raises(SensorUnavailable, match="pip install zeus-apple-silicon"):
        AppleSensor(MAC, importer=missing)
    older = SimpleNamespace(AppleEnergyMonitor=lambda: SimpleNamespace(begin_window=None, end_window=None))
    with pytest.raises(SensorUnavailable, match="--upgrade"):
        opened(older)


def test_without_the_tool_that_tells_the_chip_it_goes_without_its_name() -> None:
    """There is no sysctl of macOS where the tests run."""
    sensor = AppleSensor(MAC, importer=lambda name: FakeZeusAppleSilicon())

    assert str(sensor.domains[0].parameters["model"]).startswith("Apple")


def test_a_closed_sensor_reads_as_errors() -> None:
    sensor = opened(FakeZeusAppleSilicon())
    sensor.close()
    sensor.close()

    assert all(isinstance(reading, SensorUnavailable) for reading in sensor.read(0).values())
