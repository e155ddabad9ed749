"""What is looked for, what is used, and why the rest is not."""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import msgspec
import pytest

from joulemark.boundary import Component
from joulemark.errors import MissingExtra
from joulemark.meter import Meter
from joulemark.sensors import Discovery, Places, Sensor, describe_machine, discover, discovery
from tests.simulated import FakeNvml, PowercapTree, Procfs, fake_nvml, nvml_library

__all__ = ["fake_nvml", "nvml_library"]

BUILT_IN = {name: f"joulemark.sensors.discovery:{name.replace('-', '_')}" for name in ("cpu-load", "nvml", "rapl")}
BUILT_IN["dram-size"] = "joulemark.sensors.discovery:dram_size"

Register = Callable[..., None]


def not_callable_without_reason(places: Places) -> Sensor:
    raise KeyError("a mistake of its author")


def gives_nothing(places: Places) -> None:
    return None


def needs_an_extra(places: Places) -> Sensor:
    raise MissingExtra("pyamdgpuinfo", "amd", "Reading AMD GPUs")


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Register:
    """Register sensors in place of those that are installed."""

    def use(**values: str) -> None:
        points = [EntryPoint(n.replace("_", "-"), v, discovery.GROUP) for n, v in {**BUILT_IN, **values}.items()]
        monkeypatch.setattr(discovery, "entry_points", lambda group: points)

    use()
    return use


@pytest.fixture
def places(tmp_path: Path, register: Register, fake_nvml: FakeNvml) -> Places:
    """A machine without sensors, whose NVIDIA driver is not loaded."""
    return Places(sysfs=tmp_path / "sys", procfs=Procfs(tmp_path / "proc").root)


def used(found: Discovery) -> set[str]:
    return {s.name for s in found.sensors}


def reasons(found: Discovery) -> dict[str, str]:
    return {r.sensor: r.reason for r in found.refused}


def test_the_built_in_sensors_are_registered_as_a_plug_in_is() -> None:
    registered = {p.name: p.value for p in entry_points(group=discovery.GROUP)}
    assert registered.items() >= BUILT_IN.items()

    found = discover()  # on whatever machine this is: each is used, or refused with a reason
    found.close()

    assert len(found.sensors) + len(found.refused) == len(registered)
    assert all(refusal.reason for refusal in found.refused)


def test_a_machine_without_sensors_gets_models_and_is_told_why(places: Places) -> None:
    found = discover(places)

    assert used(found) == {"cpu load model 1", "dram size model 1"}
    assert reasons(found) == {
        "nvml": "NVML: Driver Not Loaded",
        "rapl": reasons(found)["rapl"],
    }
    assert "no RAPL zones" in reasons(found)["rapl"]


def test_what_is_measured_is_not_modelled_as_well(places: Places, fake_nvml: FakeNvml) -> None:
    PowercapTree(places.sysfs)
    fake_nvml.install(100, 200)

    found = discover(places)

    assert used(found) == {"nvml 580.65-simulated", "rapl powercap"}
    assert reasons(found) == {
        "cpu-load": "not needed: cpu is measured by rapl",
        "dram-size": "not needed: dram is measured by rapl",
    }


def test_memory_without_a_counter_is_modelled_beside_measured_packages(places: Places) -> None:
    tree = PowercapTree(places.sysfs, psys=False, mmio=False)
    for package in (0, 1):
        (tree.root / f"class/powercap/intel-rapl:{package}:1/name").write_text("uncore\n")

    found = discover(places)

    assert used(found) == {"rapl powercap", "dram size model 1"}


def test_psys_alone_keeps_no_model_out(places: Places) -> None:
    """Shown but never added, it would leave the machine without any processor in the total."""
    PowercapTree(places.sysfs, packages=(), mmio=False)

    assert used(discover(places)) == {"rapl powercap", "cpu load model 1", "dram size model 1"}


def test_where_permission_is_denied_the_load_model_takes_its_place_and_a_remedy_is_named(places: Places) -> None:
    PowercapTree(places.sysfs).deny()

    found = discover(places)

    assert used(found) == {"cpu load model 1", "dram size model 1"}
    refusal = next(r for r in found.refused if r.sensor == "rapl")
    assert "root only" in refusal.reason
    assert refusal.remedy.startswith("sudo chmod")


def test_no_component_is_covered_twice_on_any_machine(places: Places, fake_nvml: FakeNvml) -> None:
    tree = PowercapTree(places.sysfs)
    fake_nvml.install(100)
    for deny in (False, True):
        if deny:
            tree.deny()
        kinds: dict[Component, set[str]] = {}
        for domain in Meter(discover(places).sensors).domains:
            for component in domain.components if domain.counted else ():
                kinds.setdefault(Component(component), set()).add(domain.kind)
        assert all(len(k) == 1 for k in kinds.values()), kinds
        assert {Component.CPU, Component.DRAM, Component.GPU} <= set(kinds)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("joulemark_nobody_has_this:sensor", "broken plug-in: ModuleNotFoundError"),
        ("tests.unit.test_discovery:nobody", "broken plug-in: AttributeError"),
        ("tests.unit.test_discovery:not_callable_without_reason", "a mistake of its author"),
        ("tests.unit.test_discovery:gives_nothing", "gives no Sensor"),
        ("tests.unit.test_discovery:needs_an_extra", "pip install 'joulemark[amd]'"),
    ],
)
def test_a_broken_plug_in_is_named_and_skipped(places: Places, register: Register, value: str, reason: str) -> None:
    register(aaa_broken=value)

    found = discover(places)

    assert reason in reasons(found)["aaa-broken"]
    assert used(found) == {"cpu load model 1", "dram size model 1"}


def test_only_the_sensors_asked_for_are_tried(places: Places) -> None:
    found = discover(places, only=["dram-size"])

    assert used(found) == {"dram size model 1"}
    assert not found.refused


def test_a_sensor_that_is_not_needed_is_closed(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    from joulemark.sensors.load_models import CpuLoadModel

    PowercapTree(places.sysfs)
    closed = []
    monkeypatch.setattr(CpuLoadModel, "close", lambda self: closed.append(self.name))

    discover(places)

    assert closed == ["cpu load model 1"]


@pytest.mark.parametrize(("flags", "virtual"), [("fpu vme hypervisor lahf_lm", True), ("fpu vme", False)])
def test_a_virtual_machine_says_that_it_is_one(tmp_path: Path, flags: str, virtual: bool) -> None:
    assert describe_machine(Procfs(tmp_path, flags=flags).root).virtual is virtual


def test_the_machine_is_described_from_its_own_files(tmp_path: Path) -> None:
    machine = describe_machine(Procfs(tmp_path, model=63, memory_kib=1_000_000).root, gpus=("A GPU",))

    assert machine.processor == "AMD EPYC or other, model 63"
    assert machine.memory_bytes == 1_024_000_000
    assert machine.gpus == ("A GPU",)


def test_no_record_names_the_host_unless_it_was_asked_to(monkeypatch: pytest.MonkeyPatch, places: Places) -> None:
    monkeypatch.setattr(platform, "node", lambda: "the-secret-host")
    with Meter(discover(places).sensors) as meter, meter.measure("work") as window:
        pass

    silent = msgspec.json.encode(window.measurement(command=["train", "--key", "hidden"]))
    asked = msgspec.json.encode(window.measurement(identify=True, command=["train", "--key", "hidden"]))

    assert b"the-secret-host" not in silent
    assert b"hidden" not in silent
    assert b"the-secret-host" in asked
    assert b"hidden" in asked
