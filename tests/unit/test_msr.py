"""The sensor of the processor's registers: units, ranges and what is counted once."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from joulemark.boundary import Component
from joulemark.errors import PermissionDenied, SensorError, SensorUnavailable
from joulemark.sensors.msr import MsrSensor
from tests.simulated.hwmon import deny
from tests.simulated.msr import AMD_PACKAGE, AMD_UNITS, INTEL_REGISTERS, INTEL_UNITS, MsrDevices, topology
from tests.simulated.procfs import Procfs

TWO_SOCKETS = {0: (0, 0), 1: (0, 0), 2: (1, 0), 3: (1, 0)}
CASCADE_LAKE, COFFEE_LAKE, SAPPHIRE_RAPIDS, BROADWELL_D, BAY_TRAIL = 0x55, 0x9E, 0x8F, 0x56, 0x37


@dataclass
class Computer:
    """A machine whose registers a test sets."""

    root: Path
    registers: MsrDevices

    def sensor(self) -> MsrSensor:
        return MsrSensor(self.root / "dev", self.root / "sys", self.root / "proc", read_at=self.registers.read_at)


def intel(
    root: Path,
    *,
    model: int = COFFEE_LAKE,
    unit: int = 14,
    places: Mapping[int, tuple[int, int]] = TWO_SOCKETS,
    counters: Mapping[str, int] = INTEL_REGISTERS,
) -> Computer:
    """Build a machine of Intel whose every counter stands at 1000 steps."""
    Procfs(root / "proc", model=model)
    topology(root / "sys", places)
    devices = MsrDevices(root / "dev", *places)
    devices.put(INTEL_UNITS, 0xA0003 | unit << 8, *places)
    for register in counters.values():
        devices.put(register, 1000, *places)
    return Computer(root, devices)


def amd(root: Path, *, family: int = 25, vendor: str = "AuthenticAMD") -> Computer:
    """Build a machine of two sockets with two dies each."""
    places = {0: (0, 0), 1: (0, 1), 2: (1, 0), 3: (1, 1)}
    Procfs(root / "proc", vendor=vendor, family=family, model=17)
    topology(root / "sys", places)
    devices = MsrDevices(root / "dev", *places)
    devices.put(AMD_UNITS, 0xA1003, *places)
    devices.put(AMD_PACKAGE, 5_000_000, 0, 1)
    devices.put(AMD_PACKAGE, 9_000_000, 2, 3)
    return Computer(root, devices)


def energy_uj(sensor: MsrSensor, name: str) -> int:
    reading = sensor.read(0)[name]
    assert isinstance(reading, int), reading
    return reading


def test_it_names_each_register_by_what_it_covers(tmp_path: Path) -> None:
    domains = {d.name: d for d in intel(tmp_path).sensor().domains}

    parts = {"cpu-0", "cpu-0/core", "cpu-0/uncore", "dram-0", "psys"}
    assert set(domains) == parts | {"cpu-1", "cpu-1/core", "cpu-1/uncore", "dram-1", "psys-1"}
    assert domains["cpu-0/core"].parent == "cpu-0"
    assert domains["dram-0"].parent is None  # memory lies beside its package, not in it
    assert domains["dram-0"].components == {Component.DRAM}
    assert domains["psys"].container


def test_each_socket_is_read_on_one_of_its_processors(tmp_path: Path) -> None:
    computer = intel(tmp_path)
    sensor = computer.sensor()
    computer.registers.read_with.clear()

    sensor.read(0)

    assert computer.registers.read_with == {0, 2}


def test_one_domain_can_be_read_alone(tmp_path: Path) -> None:
    computer = intel(tmp_path)
    sensor = computer.sensor()
    computer.registers.put(INTEL_REGISTERS["dram"], 2**15, 2)

    assert sensor.read_domain("dram-1", 0) == sensor.read(0)["dram-1"] == 2_000_000


@pytest.mark.parametrize(("unit", "range_j"), [(14, 262_144), (16, 65_536), (10, 4_194_304)])
def test_steps_and_range_follow_the_unit_that_the_processor_states(tmp_path: Path, unit: int, range_j: int) -> None:
    computer = intel(tmp_path, unit=unit)
    sensor = computer.sensor()
    computer.registers.put(INTEL_REGISTERS["package"], 3 * 2**unit, 0)

    assert energy_uj(sensor, "cpu-0") == 3_000_000
    assert sensor.domains[0].wrap_uj == range_j * 10**6 - 1
    assert sensor.domains[0].accuracy.resolution_j == pytest.approx(2.0**-unit)


@pytest.mark.parametrize("model", [0x3F, 0x4F, CASCADE_LAKE, 0x6A, 0x6C, 0x57, 0x85])
def test_memory_of_servers_counts_in_steps_of_its_own(tmp_path: Path, model: int) -> None:
    computer = intel(tmp_path, model=model, unit=14)
    sensor = computer.sensor()
    for register in INTEL_REGISTERS.values():
        computer.registers.put(register, 2**20, 0)

    assert energy_uj(sensor, "cpu-0") == 64_000_000
    assert energy_uj(sensor, "dram-0") == 16_000_000


def test_memory_of_other_processors_follows_the_stated_unit(tmp_path: Path) -> None:
    computer = intel(tmp_path, model=SAPPHIRE_RAPIDS)
    sensor = computer.sensor()
    computer.registers.put(INTEL_REGISTERS["dram"], 2**20, 0)

    assert energy_uj(sensor, "dram-0") == 64_000_000


def test_a_platform_counted_in_joules_is_not_taken_for_one_in_microjoules(tmp_path: Path) -> None:
    computer = intel(tmp_path, model=SAPPHIRE_RAPIDS)
    sensor = computer.sensor()
    computer.registers.put(INTEL_REGISTERS["psys"], 4321, 0)

    assert energy_uj(sensor, "psys") == 4_321_000_000
    assert {d.name: d.accuracy.resolution_j for d in sensor.domains}["psys"] == 1.0


def test_memory_whose_unit_the_kernel_itself_disagrees_about_is_left_out(tmp_path: Path) -> None:
    names = [d.name for d in intel(tmp_path, model=BROADWELL_D).sensor().domains]

    assert "dram-0" not in names
    assert "cpu-0" in names


def test_small_atoms_count_in_powers_of_two_microjoules(tmp_path: Path) -> None:
    computer = intel(tmp_path, model=BAY_TRAIL, unit=5)
    sensor = computer.sensor()
    computer.registers.put(INTEL_REGISTERS["package"], 1_000_000, 0)

    assert energy_uj(sensor, "cpu-0") == 32_000_000
    assert sensor.domains[0].wrap_uj == 2**32 * 32 - 1


def test_a_wrap_is_as_long_as_the_stated_range(tmp_path: Path) -> None:
    computer = intel(tmp_path)
    computer.registers.put(INTEL_REGISTERS["package"], 2**32 - 2**14, 0)
    sensor = computer.sensor()
    before_uj = energy_uj(sensor, "cpu-0")

    computer.registers.flow(INTEL_REGISTERS["package"], 3 * 2**14, 0)

    span_uj = (sensor.domains[0].wrap_uj or 0) + 1
    assert energy_uj(sensor, "cpu-0") == 2_000_000
    assert (energy_uj(sensor, "cpu-0") - before_uj) % span_uj == 3_000_000


def test_what_is_above_the_counter_in_its_register_does_not_count(tmp_path: Path) -> None:
    computer = intel(tmp_path)
    sensor = computer.sensor()
    computer.registers.put(INTEL_REGISTERS["package"], 0xDEAD_BEEF << 32 | 2**14, 0)

    assert energy_uj(sensor, "cpu-0") == 1_000_000


def test_registers_that_are_empty_or_not_there_are_no_domains(tmp_path: Path) -> None:
    computer = intel(tmp_path, counters={"package": 0x611, "core": 0x639})
    computer.registers.put(INTEL_REGISTERS["core"], 0, 0, 1, 2, 3)

    assert [d.name for d in computer.sensor().domains] == ["cpu-0", "cpu-1"]


@pytest.mark.parametrize(("vendor", "family"), [("AuthenticAMD", 23), ("AuthenticAMD", 26), ("HygonGenuine", 24)])
def test_dies_of_amd_show_their_sockets_one_counter_once(tmp_path: Path, vendor: str, family: int) -> None:
    computer = amd(tmp_path, vendor=vendor, family=family)
    sensor = computer.sensor()

    assert [d.name for d in sensor.domains] == ["cpu-0", "cpu-1"]
    assert sensor.domains[0].wrap_uj == 2**16 * 10**6 - 1
    computer.registers.put(AMD_PACKAGE, 2**20, 2, 3)
    assert energy_uj(sensor, "cpu-1") == 16_000_000


DIES = {0: (0, 0), 1: (0, 1), 2: (0, 1)}


def test_dies_of_intel_with_counters_of_their_own_are_all_there(tmp_path: Path) -> None:
    computer = intel(tmp_path, places=DIES, counters={"package": 0x611})
    computer.registers.put(INTEL_REGISTERS["package"], 7_000_000, 1, 2)

    assert [d.name for d in computer.sensor().domains] == ["cpu-0-die-0", "cpu-0-die-1"]


def test_dies_of_intel_that_show_one_counter_are_there_once(tmp_path: Path) -> None:
    computer = intel(tmp_path, places=DIES, counters={"package": 0x611, "psys": 0x64D})

    assert [d.name for d in computer.sensor().domains] == ["cpu-0-die-0", "psys"]


def test_a_read_that_fails_is_an_error_and_no_zero_and_may_come_back(tmp_path: Path) -> None:
    computer = intel(tmp_path)
    sensor = computer.sensor()
    before = sensor.read(0)
    computer.registers.failing = True

    for name, error in sensor.read(0).items():
        assert isinstance(error, SensorUnavailable)
        assert str(error).startswith(f"{name}: register 0x6")

    computer.registers.failing = False
    assert sensor.read(0) == before


def test_without_the_kernel_module_the_command_that_loads_it_is_named(tmp_path: Path) -> None:
    computer = intel(tmp_path)
    computer.registers.path(0).unlink()

    with pytest.raises(SensorUnavailable, match="sudo modprobe msr"):
        computer.sensor()


def test_permission_denied_names_the_group_and_the_capability(tmp_path: Path) -> None:
    computer = intel(tmp_path)
    deny(computer.registers.path(2))
    before = set(os.listdir("/proc/self/fd"))

    with pytest.raises(PermissionDenied, match="CAP_SYS_RAWIO") as caught:
        computer.sensor()

    assert "sudo chgrp msr /dev/cpu/*/msr" in caught.value.remedy
    assert f"sudo setcap cap_sys_rawio=ep {os.path.realpath(sys.executable)}" in caught.value.remedy
    assert set(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("register", [INTEL_UNITS, INTEL_REGISTERS["package"]])
def test_a_virtual_machine_that_shows_zeros_has_no_sensor(tmp_path: Path, register: int) -> None:
    computer = intel(tmp_path)
    computer.registers.put(register, 0, *TWO_SOCKETS)

    with pytest.raises(SensorUnavailable, match="virtual machine"):
        computer.sensor()


@pytest.mark.parametrize(("vendor", "family"), [("AuthenticAMD", 21), ("CentaurHauls", 6), ("GenuineIntel", 15)])
def test_a_processor_whose_registers_are_not_known_is_not_guessed_at(tmp_path: Path, vendor: str, family: int) -> None:
    computer = intel(tmp_path)
    Procfs(tmp_path / "proc", vendor=vendor, family=family)

    with pytest.raises(SensorUnavailable, match=f"{vendor}, {family}"):
        computer.sensor()


def test_a_machine_of_another_kind_is_not_guessed_at(tmp_path: Path) -> None:
    with pytest.raises(SensorUnavailable, match="unknown processor"):
        MsrSensor(tmp_path, tmp_path, tmp_path)


def test_a_descriptor_that_the_program_closed_and_uses_for_something_else_is_left_alone(tmp_path: Path) -> None:
    sensor = intel(tmp_path).sensor()
    other = tmp_path / "other"
    other.write_bytes(bytes(8 * 4096))
    ours = [int(d) for d in os.listdir("/proc/self/fd") if _leads_to_registers(int(d), tmp_path)]
    assert len(ours) == 2
    file = os.open(other, os.O_RDONLY)
    try:
        for descriptor in ours:
            os.dup2(file, descriptor)

        assert all(isinstance(reading, SensorError) for reading in sensor.read(0).values())
        sensor.close()

        assert os.readlink(f"/proc/self/fd/{ours[0]}") == str(other)
    finally:
        for descriptor in (file, *ours):
            os.close(descriptor)


def _leads_to_registers(descriptor: int, root: Path) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}").startswith(str(root / "dev"))
    except OSError:
        return False


def test_after_closing_every_reading_is_an_error(tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    sensor = intel(tmp_path).sensor()

    sensor.close()
    sensor.close()

    assert set(os.listdir("/proc/self/fd")) == before
    assert all(isinstance(reading, SensorUnavailable) for reading in sensor.read(0).values())
