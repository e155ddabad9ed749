"""The perf_event sensor on a simulated kernel: what is counted, once, and what is said where nothing may be."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from joulemark.boundary import Component
from joulemark.errors import PermissionDenied, SensorError, SensorUnavailable
from joulemark.sensors.perf import PerfSensor, open_event
from tests.simulated.perf import INTEL_EVENTS, PowerPmu

MakePmu = Callable[..., PowerPmu]


@pytest.fixture
def make_pmu(tmp_path: Path) -> Iterator[MakePmu]:
    made: list[PowerPmu] = []

    def make(**settings: object) -> PowerPmu:
        made.append(PowerPmu(tmp_path, **settings))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for pmu in made:
        pmu.close()


@pytest.fixture
def pmu(make_pmu: MakePmu) -> PowerPmu:
    return make_pmu()


def sensor_on(pmu: PowerPmu) -> PerfSensor:
    return PerfSensor(pmu.sysfs, pmu.procfs, opener=pmu.open_event)


def energy_uj(sensor: PerfSensor, name: str) -> int:
    reading = sensor.read(0)[name]
    assert isinstance(reading, int), reading
    return reading


def between_j(sensor: PerfSensor, name: str, before_uj: int) -> float:
    """Give the energy since a reading, as the meter does: modulo the range."""
    domain = next(d for d in sensor.domains if d.name == name)
    assert domain.wrap_uj is not None
    return (energy_uj(sensor, name) - before_uj) % (domain.wrap_uj + 1) / 1e6


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def test_it_names_each_event_by_what_it_covers(pmu: PowerPmu) -> None:
    domains = {d.name: d for d in sensor_on(pmu).domains}

    parts = {"cpu-0", "cpu-0/core", "cpu-0/uncore", "dram-0", "psys"}
    assert set(domains) == parts | {"cpu-1", "cpu-1/core", "cpu-1/uncore", "dram-1", "psys-1"}
    assert domains["cpu-1/core"].parent == domains["cpu-1/uncore"].parent == "cpu-1"
    assert domains["dram-0"].parent is None  # memory lies beside its package, not in it
    assert domains["dram-0"].components == {Component.DRAM}
    assert domains["psys"].container
    assert domains["psys-1"].container
    assert not domains["cpu-0"].container


def test_counts_of_the_kernel_become_joules_of_their_own_socket(pmu: PowerPmu) -> None:
    sensor = sensor_on(pmu)

    pmu.flow("energy-pkg", 100.5, cpu=0)
    pmu.flow("energy-pkg", 40.25, cpu=3)
    pmu.flow("energy-ram", 7.5, cpu=2)

    assert energy_uj(sensor, "cpu-0") == 100_500_000
    assert energy_uj(sensor, "cpu-1") == 40_250_000
    assert energy_uj(sensor, "dram-0") == 0
    assert energy_uj(sensor, "dram-1") == 7_500_000


def test_one_domain_can_be_read_alone(pmu: PowerPmu) -> None:
    sensor = sensor_on(pmu)
    pmu.flow("energy-ram", 7.5, cpu=2)

    assert sensor.read_domain("dram-1", 0) == sensor.read(0)["dram-1"] == 7_500_000


def test_many_steps_lose_nothing_to_rounding(pmu: PowerPmu) -> None:
    sensor = sensor_on(pmu)

    for _ in range(200):
        pmu.flow("energy-pkg", 3 * 2**-14)  # three steps: 183.10546875 µJ
        energy_uj(sensor, "cpu-0")

    assert energy_uj(sensor, "cpu-0") == int(200 * 3 * 1e6 / 2**14)


@pytest.mark.parametrize("unit", [14, 16])
def test_the_wrap_of_the_hardware_is_not_seen(make_pmu: MakePmu, unit: int) -> None:
    pmu = make_pmu(unit=unit)
    pmu.flow("energy-pkg", 2.0 ** (32 - unit) - 10)
    sensor = sensor_on(pmu)
    before_uj = energy_uj(sensor, "cpu-0")

    pmu.flow("energy-pkg", 25)

    assert between_j(sensor, "cpu-0", before_uj) == pytest.approx(25)


def test_a_sum_that_the_kernel_let_fall_for_want_of_readings_is_whole_again(make_pmu: MakePmu) -> None:
    pmu = make_pmu(unit=16)
    sensor = sensor_on(pmu)
    pmu.flow("energy-pkg", 5)
    before_uj = energy_uj(sensor, "cpu-0")

    pmu.flow("energy-pkg", 40_000)  # 400 W for 100 s: more than 2^31 steps of 2^-16 J, and the timer takes 164 s

    assert between_j(sensor, "cpu-0", before_uj) == pytest.approx(40_000)
    pmu.tick()
    pmu.flow("energy-pkg", 1_000)
    assert between_j(sensor, "cpu-0", before_uj) == pytest.approx(41_000)


def test_readings_stay_within_the_stated_range(make_pmu: MakePmu) -> None:
    pmu = make_pmu(unit=14)
    sensor = sensor_on(pmu)

    for _ in range(5):
        pmu.flow("energy-pkg", 30_000)
        reading_uj = energy_uj(sensor, "cpu-0")

        assert 0 <= reading_uj <= (sensor.domains[0].wrap_uj or 0)
    assert reading_uj == (150_000 % 2**16) * 10**6


def test_dies_of_intel_are_added_and_dies_of_amd_show_their_socket_once(tmp_path: Path) -> None:
    dies = {0: (0, 0), 1: (0, 1), 2: (1, 0), 3: (1, 1)}
    intel = PowerPmu(tmp_path / "intel", places=dies, cpumask="0-3", events={"energy-pkg": 2, "energy-psys": 5})
    amd = PowerPmu(
        tmp_path / "amd", places=dies, cpumask="0-3", events={"energy-pkg": 2}, vendor="AuthenticAMD", family=25
    )

    names = [d.name for d in sensor_on(intel).domains if not d.container]
    assert names == ["cpu-0-die-0", "cpu-0-die-1", "cpu-1-die-0", "cpu-1-die-1"]
    assert len({d.name for d in sensor_on(intel).domains}) == 8
    assert [d.name for d in sensor_on(amd).domains] == ["cpu-0", "cpu-1"]
    intel.close()
    amd.close()


def test_a_platform_that_is_counted_in_joules_says_so(make_pmu: MakePmu) -> None:
    sapphire_rapids = 0x8F

    domains = {d.name: d for d in sensor_on(make_pmu(model=sapphire_rapids)).domains}

    assert domains["psys"].accuracy.resolution_j == 1.0
    assert domains["cpu-0"].accuracy.resolution_j < 1e-4


def test_the_pmu_of_the_same_name_that_counts_something_else_is_left_alone(make_pmu: MakePmu) -> None:
    pmu = make_pmu(events={}, vendor="AuthenticAMD", family=21)
    pmu.describe("power-pwr", "event=0x01", unit="mWatts", scale="1.000000e-3")

    with pytest.raises(SensorUnavailable, match="no energy events"):
        sensor_on(pmu)


@pytest.mark.parametrize(("unit", "scale"), [("mJoules", "1e-3"), ("Joules", "many"), ("Joules", "0"), ("", "1e-3")])
def test_an_unknown_unit_is_never_taken_for_joules(pmu: PowerPmu, unit: str, scale: str) -> None:
    pmu.describe("energy-ram", "event=0x03", unit=unit, scale=scale)
    sensor = sensor_on(pmu)
    pmu.flow("energy-pkg", 10)

    assert isinstance(sensor.read(0)["dram-0"], SensorUnavailable)
    assert energy_uj(sensor, "cpu-0") == 10_000_000


def test_paranoia_names_the_two_commands_that_end_it(pmu: PowerPmu) -> None:
    pmu.refusal = OSError(errno.EACCES, "Permission denied")
    before = descriptors()

    with pytest.raises(PermissionDenied, match="perf_event_paranoid") as caught:
        sensor_on(pmu)

    assert "sudo sysctl kernel.perf_event_paranoid=0" in caught.value.remedy
    assert f"sudo setcap cap_perfmon=ep {os.path.realpath(sys.executable)}" in caught.value.remedy
    assert descriptors() == before


def test_the_filter_of_a_container_is_told_from_paranoia(pmu: PowerPmu) -> None:
    pmu.refusal = OSError(errno.EPERM, "Operation not permitted")

    with pytest.raises(PermissionDenied, match="container") as caught:
        sensor_on(pmu)

    assert "--cap-add PERFMON" in caught.value.remedy


def test_one_event_that_does_not_open_does_not_take_the_others_with_it(pmu: PowerPmu) -> None:
    pmu.refusal, pmu.refused = OSError(errno.EINVAL, "Invalid argument"), {INTEL_EVENTS["energy-gpu"]}

    readings = sensor_on(pmu).read(0)

    assert isinstance(readings["cpu-0/uncore"], SensorUnavailable)
    assert "Invalid argument" in str(readings["cpu-0/uncore"])
    assert readings["cpu-0"] == 0


def test_a_kernel_without_perf_event_is_named(pmu: PowerPmu) -> None:
    pmu.refusal = OSError(errno.ENOSYS, "Function not implemented")

    with pytest.raises(SensorUnavailable, match="Function not implemented"):
        sensor_on(pmu)


def test_a_machine_without_the_pmu_says_what_may_be_the_cause(tmp_path: Path) -> None:
    with pytest.raises(SensorUnavailable, match=r"virtual machine.*modprobe rapl"):
        PerfSensor(tmp_path, tmp_path)


def test_an_event_that_stopped_counting_is_no_zero(pmu: PowerPmu) -> None:
    sensor = sensor_on(pmu)
    pmu.stop_counting()

    assert all(isinstance(reading, SensorUnavailable) for reading in sensor.read(0).values())


def test_a_descriptor_that_the_program_closed_and_uses_for_something_else_is_left_alone(pmu: PowerPmu) -> None:
    sensor = sensor_on(pmu)
    receiving, sending = os.pipe2(os.O_NONBLOCK)
    try:
        for descriptor in pmu.handed_out:
            os.dup2(receiving, descriptor)
        os.write(sending, b"not for you, nor for anyone else")

        assert all(isinstance(reading, SensorError) for reading in sensor.read(0).values())
        sensor.close()

        assert os.read(receiving, 99) == b"not for you, nor for anyone else"
        assert os.readlink(f"/proc/self/fd/{pmu.handed_out[0]}").startswith("pipe:")
    finally:
        for descriptor in (receiving, sending, *pmu.handed_out):
            os.close(descriptor)


def test_closing_gives_every_descriptor_back(pmu: PowerPmu) -> None:
    before = descriptors()
    sensor = sensor_on(pmu)

    sensor.close()
    sensor.close()
    pmu.close()

    assert descriptors() == before
    assert all(isinstance(reading, SensorUnavailable) for reading in sensor.read(0).values())


def test_the_kernel_itself_opens_a_counter_that_rises_and_refuses_one_that_is_not_there() -> None:
    software, cpu_clock = 1, 0  # PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK
    cpu = min(os.sched_getaffinity(0))
    try:
        descriptor = open_event(software, cpu_clock, cpu)
    except OSError as error:
        pytest.skip(f"this kernel or user may not count for the whole system: {error}")
    try:
        assert os.readlink(f"/proc/self/fd/{descriptor}") == "anon_inode:[perf_event]"
        assert not os.get_inheritable(descriptor)
        first, second = (int.from_bytes(os.read(descriptor, 8), sys.byteorder) for _ in range(2))
        assert 0 < first < second
    finally:
        os.close(descriptor)
    with pytest.raises(OSError, match=os.strerror(errno.ENOENT)):
        open_event(software, 9999, cpu)
