"""The hwmon sensor on trees as Linux lays them out: what each channel means, and what is never counted twice."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from joulemark.boundary import Component
from joulemark.errors import CounterReset, PermissionDenied, SensorError, SensorUnavailable
from joulemark.meter import Meter, Window
from joulemark.meter.counter import counter_step_uj
from joulemark.sensors import Domain, Places, discover, discovery
from joulemark.sensors.hwmon import HwmonSensor
from joulemark.sensors.rapl import RaplSensor
from joulemark.testing import SimulatedClock
from tests.simulated import PowercapTree, Procfs
from tests.simulated.hwmon import GRACE, JETSON_NX, HwmonTree, deny, fail, put

RADEON: dict[str, str | int] = {
    "power1_average": 180_000_000,
    "power1_cap": 300_000_000,
    "in0_label": "vddgfx",
    "in0_input": 900,
}


def domains(root: Path) -> dict[str, Domain]:
    return {domain.name: domain for domain in HwmonSensor(root).domains}


def measure(root: Path, *, seconds: float = 1.0, add_uj: dict[Path, int] | None = None) -> Window:
    """Measure a window in which gauges stand still, and counters that are renewed each millisecond advance."""
    clock = SimulatedClock()
    meter = Meter([HwmonSensor(root)], clock_ns=clock)
    with meter.measure() as window:
        for file, energy_uj in (add_uj or {}).items():
            put(file, int(file.read_text()) + energy_uj)
        clock.advance(seconds)
    return window


def measure_ticking(root: Path, powers_w: dict[Path, float]) -> Window:
    """Measure ten seconds in which counters tick ten times a second."""
    clock = SimulatedClock()
    meter = Meter([HwmonSensor(root)], clock_ns=clock)

    def tick() -> None:
        for file, power_w in powers_w.items():
            put(file, int(file.read_text()) + round(power_w * 0.1 * 1e6))
        clock.schedule(clock() + 100_000_000, tick)

    clock.schedule(70_000_000, tick)
    clock.advance(0.5)
    with meter.measure() as window:
        clock.advance(10)
    return window


def test_an_epycs_sockets_are_counted_and_its_cores_are_not(tmp_path: Path) -> None:
    chip = HwmonTree(tmp_path).epyc(77_000_000, 91_000_000)

    window = measure(
        tmp_path,
        add_uj={chip / "energy1_input": 9, chip / "energy3_input": 120_000_000, chip / "energy4_input": 80_000_000},
    )

    assert set(window.domains) == {"cpu-0", "cpu-1"}
    assert window.energy.value == pytest.approx(200)
    assert window.energy.boundary.components == {Component.CPU}


def test_one_sockets_counter_shown_for_each_of_its_four_numa_nodes_is_counted_once(tmp_path: Path) -> None:
    chip = HwmonTree(tmp_path).epyc(77_000_000, 77_000_000, 77_000_000, 77_000_000)

    window = measure(tmp_path, add_uj={chip / f"energy{n}_input": 100_000_000 for n in (3, 4, 5, 6)})

    assert window.energy.value == pytest.approx(100)


def test_where_powercap_shows_the_sockets_hwmon_does_not_show_them_again(tmp_path: Path) -> None:
    tree = HwmonTree(tmp_path)
    tree.epyc(77_000_000)
    tree.chip("amdgpu", RADEON, device="pci/0000:03:00.0", number="0x744c")
    PowercapTree(tmp_path, packages=("package-0",), psys=False, mmio=False)

    Meter([RaplSensor(tmp_path), HwmonSensor(tmp_path)])  # which refuses two domains of one name

    assert set(domains(tmp_path)) == {"gpu-amd-0"}


def test_an_intel_card_is_read_once_as_a_whole(tmp_path: Path) -> None:
    tree = HwmonTree(tmp_path)
    old = tree.chip("i915", {"energy1_input": 5_000_000, "power1_max": 1}, device="pci/0000:04:00.0", number="0x56a0")
    tree.chip("i915_gt0", {"energy1_input": 4_000_000}, device="pci/0000:04:00.0/gt0")
    new = tree.chip(
        "xe",
        {
            "energy1_label": "card",
            "energy1_input": 8_000_000,
            "energy2_label": "pkg",
            "energy2_input": 6_000_000,
        },
        device="pci/0000:05:00.0",
        number="0xe20b",
    )

    window = measure_ticking(
        tmp_path, {old / "energy1_input": 30, new / "energy1_input": 50, new / "energy2_input": 40}
    )

    assert {name: figure.value for name, figure in window.domains.items()} == pytest.approx(
        {"gpu-i915-0": 300, "gpu-xe-0": 500}, rel=3e-3
    )
    assert domains(tmp_path)["gpu-xe-0"].parameters["model"] == "Intel GPU 0xe20b"


def test_an_xe_card_that_shows_only_its_package_is_read_there(tmp_path: Path) -> None:
    chip = HwmonTree(tmp_path).chip("xe", {"energy2_label": "pkg", "energy2_input": 6_000_000})

    assert measure_ticking(tmp_path, {chip / "energy2_input": 7}).energy.value == pytest.approx(70, rel=3e-3)


def test_an_intel_counter_left_unread_for_longer_than_its_register_lasts_is_not_believed(tmp_path: Path) -> None:
    """The driver extends 32 bits when it is read: 262 kJ at 1000 W are 4.4 minutes, and what wrapped unseen is lost."""
    HwmonTree(tmp_path).chip("i915", {"energy1_input": 0})
    domain = domains(tmp_path)["gpu-i915-0"]

    assert counter_step_uj(10**6, 10**6 + 250_000 * 10**6, 255, domain) == 250_000 * 10**6
    with pytest.raises(CounterReset, match="more than one wrap"):
        counter_step_uj(10**6, 10**6 + 10_000 * 10**6, 265, domain)
    # Beyond 32 bits the shown counter goes on: that is no wrap.
    assert counter_step_uj(262_144 * 10**6 - 5, 262_144 * 10**6 + 5, 1, domain) == 10


@pytest.mark.parametrize("file", ["power1_average", "power1_input"])
def test_a_radeon_shows_its_average_or_else_its_instantaneous_power(tmp_path: Path, file: str) -> None:
    HwmonTree(tmp_path).chip("amdgpu", {file: 180_000_000}, number="0x744c")

    window = measure(tmp_path, seconds=0.5)

    assert window.energy.value == pytest.approx(90)
    assert window.energy.boundary.components == {Component.GPU}


def test_an_apu_whose_power_includes_the_processor_is_never_added_to_it(tmp_path: Path) -> None:
    tree = HwmonTree(tmp_path)
    tree.chip("amdgpu", RADEON | {"in1_label": "vddnb"}, device="pci/0000:c1:00.0", number="0x15bf")
    tree.chip("amdgpu", {"power1_input": 400_000_000}, device="pci/0000:01:00.0", number="0x74a0")
    tree.chip("amdgpu", RADEON, device="pci/0000:03:00.0", number="0x744c")

    window = measure(tmp_path)

    assert {name: figure.value for name, figure in window.domains.items()} == {
        "apu-0": 400,
        "gpu-amd-0": 180,
        "apu-1": 180,
    }
    assert window.energy.value == pytest.approx(180)


def test_cards_are_numbered_by_their_place_on_the_bus_whatever_the_order_of_their_drivers(tmp_path: Path) -> None:
    tree = HwmonTree(tmp_path)
    tree.chip("amdgpu", RADEON, device="pci/0000:83:00.0", number="0x73bf")
    tree.chip("amdgpu", RADEON, device="pci/0000:03:00.0", number="0x744c")

    assert [d.parameters["model"] for d in HwmonSensor(tmp_path).domains] == ["AMD GPU 0x744c", "AMD GPU 0x73bf"]


@pytest.mark.parametrize("with_device", [True, False], ids=["older interface", "newer interface"])
def test_a_grace_socket_is_counted_with_its_memory_and_its_rails_and_its_module_are_not(
    tmp_path: Path, with_device: bool
) -> None:
    HwmonTree(tmp_path).grace(with_device=with_device)

    window = measure(tmp_path)

    assert {name: figure.value for name, figure in window.domains.items()} == {
        "cpu-0": 250,
        "cpu-0/cores": 190,
        "cpu-0/sysio": 20,
        "module-0": 560,
    }
    assert window.energy.value == GRACE["Grace"] / 1e6
    assert window.energy.boundary.components == {Component.CPU, Component.DRAM}
    assert domains(tmp_path)["cpu-0"].accuracy.period_s == 0.05


@pytest.mark.parametrize(("stated", "width"), [("98.5%", 0.05), ("85.0%", 0.15), ("0.0%", 0.10)])
def test_a_plain_power_meter_is_the_whole_machine_shown_but_never_added(
    tmp_path: Path, stated: str, width: float
) -> None:
    HwmonTree(tmp_path).chip(
        "power_meter",
        {"power1_average": 420_000_000, "power1_average_interval": 1000, "power1_accuracy": stated},
        with_device=True,
    )

    window = measure(tmp_path)

    assert window.domains["machine"].value == pytest.approx(420)
    assert not window.energy.available
    assert domains(tmp_path)["machine"].accuracy.gain == pytest.approx(width / 1.96)
    assert domains(tmp_path)["machine"].accuracy.period_s == 1


def test_the_meter_of_a_battery_is_not_the_machines(tmp_path: Path) -> None:
    HwmonTree(tmp_path).chip("power_meter", {"power1_average": 1, "power1_is_battery": 1})

    with pytest.raises(SensorUnavailable, match="no hwmon driver"):
        HwmonSensor(tmp_path)


def test_a_jetsons_rails_are_volts_times_amperes_and_the_module_contains_them(tmp_path: Path) -> None:
    HwmonTree(tmp_path).chip("ina3221", JETSON_NX)

    window = measure(tmp_path)

    assert {name: round(figure.value, 6) for name, figure in window.domains.items()} == {
        "machine": 20.0,
        "rail-cpu-gpu": 12.0,
        "rail-soc": 2.48,
    }
    assert window.energy.value == pytest.approx(14.48)
    assert domains(tmp_path)["rail-soc"].accuracy.period_s == 0.02


def test_a_rail_that_is_switched_off_or_has_no_known_meaning_is_left_out(tmp_path: Path) -> None:
    HwmonTree(tmp_path).chip("ina3221", {**JETSON_NX, "in3_enable": 0, "in2_label": "VIN_SYS_5V0"})

    assert set(domains(tmp_path)) == {"machine"}


def test_a_channel_that_fails_or_vanishes_takes_only_its_own_domain(tmp_path: Path) -> None:
    tree = HwmonTree(tmp_path)
    chips = [tree.chip("amdgpu", RADEON, device=f"pci/0000:0{bus}:00.0", number=f"0x744{bus}") for bus in range(1, 5)]
    sensor = HwmonSensor(tmp_path)
    fail(chips[0] / "power1_average")
    (chips[1] / "power1_average").unlink()
    put(chips[2] / "power1_average", "")

    readings = sensor.read(0)

    assert isinstance(readings["gpu-amd-0"], SensorUnavailable)
    assert "Input/output error" in str(readings["gpu-amd-0"])
    assert "No such file" in str(readings["gpu-amd-1"])
    assert "holds no number" in str(readings["gpu-amd-2"])
    assert readings["gpu-amd-3"] == 180_000_000


def test_a_right_taken_away_is_named_with_its_remedy(tmp_path: Path) -> None:
    chip = HwmonTree(tmp_path).chip("i915", {"energy1_input": 5})
    sensor = HwmonSensor(tmp_path)
    deny(chip / "energy1_input")

    error = sensor.read(0)["gpu-i915-0"]

    assert isinstance(error, PermissionDenied)
    assert error.remedy.startswith("sudo chmod a+r")
    with pytest.raises(PermissionDenied, match="root only"):
        HwmonSensor(tmp_path)


def test_what_may_not_be_read_leaves_room_for_a_model_and_the_rest_is_used(tmp_path: Path) -> None:
    tree = HwmonTree(tmp_path)
    epyc = tree.epyc(77_000_000)
    tree.chip("amdgpu", RADEON, device="pci/0000:03:00.0", number="0x744c")
    deny(epyc / "energy3_input")

    assert set(domains(tmp_path)) == {"gpu-amd-0"}
    assert HwmonSensor(tmp_path).name == "hwmon amdgpu"


def test_a_suspended_card_stays_as_a_domain_that_cannot_be_read_now(tmp_path: Path) -> None:
    tree = HwmonTree(tmp_path)
    asleep = tree.chip("amdgpu", RADEON, device="pci/0000:03:00.0", number="0x744c")
    tree.chip("amdgpu", RADEON, device="pci/0000:04:00.0", number="0x744c")
    fail(asleep / "power1_average")

    sensor = HwmonSensor(tmp_path)

    assert isinstance(sensor.read(0)["gpu-amd-0"], SensorError)
    put(asleep / "power1_average", 15_000_000)
    assert sensor.read(1)["gpu-amd-0"] == 15_000_000


def test_a_machine_whose_drivers_show_only_temperatures_has_no_such_sensor(tmp_path: Path) -> None:
    HwmonTree(tmp_path).chip("k10temp", {"temp1_label": "Tctl", "temp1_input": 45_000})

    with pytest.raises(SensorUnavailable, match="no hwmon driver"):
        HwmonSensor(tmp_path)


def second_hwmon(places: Places) -> HwmonSensor:
    """A plug-in that shows what is shown already."""
    return HwmonSensor(places.sysfs)


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    values = {name: f"joulemark.sensors.discovery:{name}" for name in ("cpu_load", "dram_size", "hwmon", "rapl")}
    values["second"] = f"{__name__}:second_hwmon"
    points = [EntryPoint(name.replace("_", "-"), value, discovery.GROUP) for name, value in values.items()]
    monkeypatch.setattr(discovery, "entry_points", lambda group: points)
    return Places(sysfs=tmp_path / "sys", procfs=Procfs(tmp_path / "proc").root)


def test_of_two_sensors_for_one_thing_the_first_is_used_and_the_other_is_refused(places: Places) -> None:
    HwmonTree(places.sysfs).epyc(77_000_000)

    found = discover(places)

    assert [sensor.name for sensor in found.sensors] == ["hwmon amd_energy", "dram size model 1"]
    assert {r.sensor: r.reason for r in found.refused}["second"] == "not needed: cpu-0 is measured by hwmon"
    Meter(found.sensors)


def test_a_socket_is_one_thing_whether_it_is_shown_whole_or_by_its_dies(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RAPL names a multi-die socket ``cpu-0-die-0``; another sensor's ``cpu-0`` is the same."""
    HwmonTree(places.sysfs).epyc(77_000_000)
    hwmon = HwmonSensor(places.sysfs)
    PowercapTree(places.sysfs, packages=("package-0-die-0",), psys=False, mmio=False)
    monkeypatch.setattr("joulemark.sensors.hwmon.HwmonSensor", lambda sysfs: hwmon)

    found = discover(places, only=["hwmon", "rapl"])

    assert [sensor.name for sensor in found.sensors] == ["rapl powercap"]
    assert "cpu-0 is measured by rapl" in found.refused[0].reason


def test_a_machine_with_a_power_meter_alone_keeps_its_models(places: Places) -> None:
    HwmonTree(places.sysfs).chip("power_meter", {"power1_average": 420_000_000})

    found = discover(places, only=["hwmon", "cpu-load", "dram-size"])

    assert {sensor.name for sensor in found.sensors} == {"hwmon power_meter", "cpu load model 1", "dram size model 1"}


def test_a_card_of_another_maker_is_used_beside_the_processors_counters(places: Places) -> None:
    HwmonTree(places.sysfs).chip("amdgpu", RADEON, number="0x744c")
    PowercapTree(places.sysfs)

    found = discover(places, only=["hwmon", "rapl"])

    assert [sensor.name for sensor in found.sensors] == ["rapl powercap", "hwmon amdgpu"]
