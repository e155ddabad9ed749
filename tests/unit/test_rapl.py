"""The powercap sensor on a recorded tree: what is counted, once, and what is said where nothing can be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from joulemark.boundary import Component
from joulemark.errors import PermissionDenied, SensorError, SensorUnavailable
from joulemark.meter import Meter, Window
from joulemark.sensors.rapl import RaplSensor
from joulemark.testing import SimulatedClock
from tests.simulated import RANGE_UJ, PowercapTree


def measure(tree: PowercapTree, *flows_j: dict[str, float], each_s: float = 1.0) -> Window:
    """Measure a window in which these energies flow, one after the other."""
    clock = SimulatedClock()
    meter = Meter([RaplSensor(tree.root)], clock_ns=clock)
    with meter.measure() as window:
        for flow_j in flows_j:
            tree.flow(flow_j)
            clock.advance(each_s)
    return window


def test_it_names_each_zone_by_what_it_holds(tmp_path: Path) -> None:
    PowercapTree(tmp_path)

    domains = {d.name: d for d in RaplSensor(tmp_path).domains}

    assert set(domains) == {"cpu-0", "cpu-0/core", "dram-0", "cpu-1", "cpu-1/core", "dram-1", "psys"}
    assert domains["cpu-0/core"].parent == "cpu-0"
    assert domains["dram-0"].parent is None  # memory lies beside its package, not in it
    assert domains["dram-0"].components == {Component.DRAM}
    assert domains["psys"].container
    assert {d.wrap_uj for d in domains.values()} == {RANGE_UJ}


def test_psys_and_cores_are_shown_but_never_added_to_the_packages(tmp_path: Path) -> None:
    tree = PowercapTree(tmp_path)

    window = measure(
        tree,
        {
            "package-0": 100,
            "package-0/core": 70,
            "package-0/dram": 12,
            "package-1": 40,
            "package-1/core": 5,
            "package-1/dram": 8,
            "psys": 230,
        },
    )

    assert window.energy.value == pytest.approx(100 + 12 + 40 + 8, abs=1e-9)
    assert window.domains["psys"].value == pytest.approx(230)
    assert window.domains["cpu-0/core"].value == pytest.approx(70)
    assert window.energy.boundary.components == {Component.CPU, Component.DRAM}


def test_psys_alone_is_not_passed_off_as_a_total(tmp_path: Path) -> None:
    tree = PowercapTree(tmp_path, packages=(), mmio=False)

    window = measure(tree, {"psys": 100})

    assert window.domains["psys"].value == pytest.approx(100)
    assert not window.energy.available


def test_a_socket_that_the_memory_mapped_twin_shows_again_is_counted_once(tmp_path: Path) -> None:
    tree = PowercapTree(tmp_path, packages=("package-0",), psys=False, mmio=True)
    assert (tmp_path / "class/powercap/intel-rapl-mmio:0/energy_uj").exists()

    window = measure(tree, {"package-0": 50, "package-0/dram": 5})

    assert window.energy.value == pytest.approx(55)


def test_a_sub_zone_listed_both_in_its_package_and_beside_it_is_read_once(tmp_path: Path) -> None:
    PowercapTree(tmp_path, packages=("package-0",), psys=False, mmio=False)
    listed = tmp_path / "class/powercap"
    assert (listed / "intel-rapl:0/intel-rapl:0:1/energy_uj").exists()
    assert (listed / "intel-rapl:0:1/energy_uj").exists()

    assert [d.name for d in RaplSensor(tmp_path).domains] == ["cpu-0", "cpu-0/core", "dram-0"]


def test_sub_zones_listed_only_beside_their_package_are_found(tmp_path: Path) -> None:
    tree = PowercapTree(tmp_path / "whole", packages=("package-0",), psys=False, mmio=False)
    listed = tmp_path / "class/powercap"
    listed.mkdir(parents=True)
    for name in ("intel-rapl:0", "intel-rapl:0:0", "intel-rapl:0:1"):
        (listed / name).mkdir()
        for file in ("name", "energy_uj", "max_energy_range_uj"):
            (listed / name / file).symlink_to(tree.root / "class/powercap" / name / file)

    assert [d.name for d in RaplSensor(tmp_path).domains] == ["cpu-0", "cpu-0/core", "dram-0"]


def test_dies_that_show_their_sockets_one_counter_are_counted_once(tmp_path: Path) -> None:
    titles = [f"package-0-die-{die}" for die in range(4)]
    tree = PowercapTree(tmp_path, packages=titles, psys=False, mmio=False)
    for title in titles:
        tree.show(title, 77_000_000)

    window = measure(tree, dict.fromkeys(titles, 100.0))

    assert window.energy.value == pytest.approx(100)


def test_dies_with_counters_of_their_own_are_added(tmp_path: Path) -> None:
    titles = ["package-0-die-0", "package-0-die-1", "package-1-die-0"]
    tree = PowercapTree(tmp_path, packages=titles, psys=False, mmio=False)
    for title, shown_uj in zip(titles, (77_000_000, 91_000_000, 77_000_000), strict=True):
        tree.show(title, shown_uj)

    window = measure(tree, dict.fromkeys(titles, 100.0))

    assert window.energy.value == pytest.approx(300)


def test_a_window_over_a_wrap_and_one_that_ends_just_after_it_are_exact(tmp_path: Path) -> None:
    tree = PowercapTree(tmp_path, packages=("package-0",), psys=False, mmio=False)
    tree.show("package-0", RANGE_UJ - 1_000_000)

    window = measure(tree, {"package-0": 1.000001})

    assert tree.root.joinpath("class/powercap/intel-rapl:0/energy_uj").read_text() == "0\n"
    assert window.energy.value == pytest.approx(1.000001, abs=1e-9)


def test_a_failed_read_is_neither_a_zero_nor_a_wrap(tmp_path: Path) -> None:
    tree = PowercapTree(tmp_path, psys=False, mmio=False)
    clock = SimulatedClock()
    meter = Meter([RaplSensor(tmp_path)], clock_ns=clock)
    with meter.measure() as window:
        tree.flow({"package-0": 500, "package-1": 300})
        clock.advance(10)
        tree.fail("package-0")

    assert not window.domains["cpu-0"].available
    assert "Input/output error" in str(window.domains["cpu-0"])
    assert window.energy.value == pytest.approx(300)
    # The memory's counters did not move at all: stuck, and no zero either.
    assert [p.name for p in window.energy.evidence.missing] == ["cpu-0", "dram-0", "dram-1"]


def test_a_read_that_fails_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    tree = PowercapTree(tmp_path, packages=("package-0",), psys=False, mmio=False)
    clock = SimulatedClock()
    meter = Meter([RaplSensor(tmp_path)], clock_ns=clock)
    with meter.measure() as whole:
        clock.advance(1)
        tree.fail("package-0")
        with meter.measure() as inner:
            clock.advance(1)
        tree.flow({"package-0": 800})
        clock.advance(1)

    assert not inner.domains["cpu-0"].available
    assert whole.domains["cpu-0"].value == pytest.approx(800)


def test_permission_denied_names_a_remedy(tmp_path: Path) -> None:
    PowercapTree(tmp_path).deny()

    with pytest.raises(PermissionDenied, match="root only") as caught:
        RaplSensor(tmp_path)

    assert "chmod" in caught.value.remedy
    assert "powercap" in caught.value.remedy


@pytest.mark.parametrize("name", ["energy_uj", "max_energy_range_uj"])
def test_a_file_without_a_number_is_named(tmp_path: Path, name: str) -> None:
    tree = PowercapTree(tmp_path, packages=("package-0",), psys=False, mmio=False)
    (tree.root / "class/powercap/intel-rapl:0" / name).write_text("\n")

    try:
        found: object = RaplSensor(tmp_path).read(0)["cpu-0"]
    except SensorError as error:
        found = error

    assert isinstance(found, SensorUnavailable)
    assert name in str(found)


def test_a_machine_without_powercap_says_what_may_be_the_cause(tmp_path: Path) -> None:
    with pytest.raises(SensorUnavailable, match="virtual machine"):
        RaplSensor(tmp_path)
