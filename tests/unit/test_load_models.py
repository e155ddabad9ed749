"""The models that stand in where no sensor is: exact in what they count, honest in what they assume."""

from __future__ import annotations

import math
import statistics
from pathlib import Path

import pytest

from joulemark.boundary import Component
from joulemark.errors import SensorUnavailable
from joulemark.meter import Meter, Window
from joulemark.sensors.load_models import (
    BETWEEN_WORKLOADS,
    DRAM_HIGH_W_PER_GB,
    DRAM_LOW_W_PER_GB,
    PROCESSOR_FAMILIES,
    WITHIN_FAMILY,
    CpuLoadModel,
    DramModel,
    between_families,
    processor_family,
)
from joulemark.testing import SimulatedClock
from tests.simulated import Procfs

CASCADE_LAKE = PROCESSOR_FAMILIES["Cascade Lake"]


def measure(procfs: Procfs, *steps: tuple[float, dict[str, float]]) -> Window:
    """Measure a window in which time and CPU time pass, in seconds."""
    clock = SimulatedClock()
    meter = Meter([CpuLoadModel(procfs.root)], clock_ns=clock)
    with meter.measure() as window:
        for seconds, spent_s in steps:
            clock.advance(seconds)
            procfs.spend(**spent_s)
    return window


def test_energy_is_the_closed_form_of_time_and_busy_time(tmp_path: Path) -> None:
    procfs = Procfs(tmp_path, threads=4)

    window = measure(procfs, (10.0, {"user": 6, "nice": 1, "system": 3, "irq": 0.5, "softirq": 1.5, "idle": 28}))

    expected_j = 4 * CASCADE_LAKE.min_w * 10 + (CASCADE_LAKE.max_w - CASCADE_LAKE.min_w) * 12
    assert window.energy.value == pytest.approx(expected_j, abs=1e-6)


def test_full_load_draws_the_full_power_of_every_thread(tmp_path: Path) -> None:
    window = measure(Procfs(tmp_path, threads=4), (10.0, {"user": 40}))

    assert window.energy.value == pytest.approx(4 * CASCADE_LAKE.max_w * 10, abs=1e-6)


@pytest.mark.parametrize("idle", ["idle", "iowait", "steal"])
def test_waiting_and_stolen_time_is_not_busy(tmp_path: Path, idle: str) -> None:
    window = measure(Procfs(tmp_path, threads=4), (10.0, {idle: 40}))

    assert window.energy.value == pytest.approx(4 * CASCADE_LAKE.min_w * 10, abs=1e-6)


def test_it_is_linear_and_forgets_nothing_between_readings(tmp_path: Path) -> None:
    """However the busy time is spread over the window, the energy is the same: it counts, it does not sample."""
    at_once = measure(Procfs(tmp_path / "a"), (9.0, {"user": 12}))
    spread = measure(Procfs(tmp_path / "b"), (1.0, {"user": 3}), (7.0, {}), (1.0, {"system": 9}))
    twice = measure(Procfs(tmp_path / "c"), (18.0, {"user": 24}))

    assert spread.energy.value == pytest.approx(at_once.energy.value, abs=1e-6)
    assert twice.energy.value == pytest.approx(2 * at_once.energy.value, abs=2e-6)


def test_it_covers_the_server_without_its_memory_and_says_that_it_is_a_model(tmp_path: Path) -> None:
    window = measure(Procfs(tmp_path), (10.0, {"user": 6}))

    assert window.energy.boundary.components == {Component.CPU, Component.BOARD, Component.PSU_LOSS}
    assert window.energy.evidence.kind == "modelled"
    # 30 % within a family and 15 % between workloads: a factor of about two each way.
    assert 1.8 < window.energy.high / window.energy.value < 2.1
    assert window.energy.sources


@pytest.mark.parametrize(
    ("processor", "family", "choice"),
    [
        (("GenuineIntel", 6, 85, 4), "Skylake", "of its family"),
        (("GenuineIntel", 6, 85, 5), "Cascade Lake", "of its family"),
        (("GenuineIntel", 6, 85, 7), "Cascade Lake", "of its family"),
        (("GenuineIntel", 6, 94, 3), "Skylake", "of its family"),
        (("GenuineIntel", 6, 45, 7), "Sandy Bridge", "of its family"),
        (("GenuineIntel", 6, 62, 4), "Ivy Bridge", "of its family"),
        (("GenuineIntel", 6, 63, 2), "Haswell", "of its family"),
        (("GenuineIntel", 6, 79, 1), "Broadwell", "of its family"),
        (("GenuineIntel", 6, 158, 10), "Coffee Lake", "of its family"),
        (("AuthenticAMD", 23, 1, 2), "EPYC 1st generation", "of its family"),  # Naples
        (("AuthenticAMD", 23, 49, 0), "EPYC 2nd generation", "of its family"),  # Rome
        (("AuthenticAMD", 25, 1, 1), "EPYC 2nd generation", "by analogy"),  # Milan
        (("AuthenticAMD", 26, 2, 1), "EPYC 2nd generation", "by analogy"),  # Turin
        (("GenuineIntel", 6, 143, 8), "unknown processor", "not in the table"),  # Sapphire Rapids
        (("GenuineIntel", 15, 85, 4), "unknown processor", "not in the table"),  # another family's model 85
        (("AuthenticAMD", 21, 2, 0), "unknown processor", "not in the table"),
        (("", -1, -1, -1), "unknown processor", "not in the table"),
    ],
)
def test_the_family_is_found_from_what_cpuinfo_says(
    processor: tuple[str, int, int, int], family: str, choice: str
) -> None:
    found, _, how = processor_family(*processor)

    assert found.name == family
    assert choice in how


def test_the_less_is_known_of_a_processor_the_wider_its_interval() -> None:
    gains = [
        processor_family(*who)[1]
        for who in (("GenuineIntel", 6, 85, 7), ("AuthenticAMD", 25, 1, 1), ("GenuineIntel", 6, 143, 8))
    ]

    assert gains[0] == WITHIN_FAMILY
    assert gains[0] < min(gains[1:])
    assert gains[1] == pytest.approx(math.hypot(0.30, math.log(2.55 / 1.69)))
    assert gains[2] == pytest.approx(math.hypot(0.30, between_families()))


def test_an_unknown_processor_gets_the_tables_geometric_mean_and_its_whole_spread() -> None:
    watts = [f.max_w for f in PROCESSOR_FAMILIES.values()]
    found, gain, _ = processor_family("", -1, -1, -1)

    assert found.max_w == pytest.approx(math.prod(watts) ** (1 / len(watts)))
    assert found.min_w < found.max_w
    # 95 % of the way from the least to the most thirsty family lies inside.
    assert found.max_w * math.exp(-1.96 * gain) < min(watts)
    assert found.max_w * math.exp(1.96 * gain) > max(watts)


def test_the_spread_between_families_is_that_of_the_table() -> None:
    """Recomputed by hand from Cloud Carbon Footprint's full-load column."""
    logs = [math.log(w) for w in (8.58, 8.25, 4.74, 3.69, 4.26, 3.97, 5.42, 2.55, 1.69)]
    mean = sum(logs) / 9
    expected = math.sqrt(sum((x - mean) ** 2 for x in logs) / 8)

    assert between_families() == pytest.approx(expected, rel=1e-12)
    assert between_families() == pytest.approx(statistics.stdev(logs))
    assert 0.5 < expected < 0.55


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("", "no processors"),
        ("cpu0 1 2 3 4 5 6 7\n", "no total line"),
        ("cpu  1 2\ncpu0 1 2 3 4 5 6 7\n", "another kind"),
        ("cpu  1 2 three 4 5 6 7\ncpu0 1 2 3 4 5 6 7\n", "another kind"),
    ],
)
def test_a_stat_file_of_another_shape_is_a_named_error(tmp_path: Path, broken: str, reason: str) -> None:
    procfs = Procfs(tmp_path)
    (procfs.root / "stat").write_text(broken)

    try:
        found: object = CpuLoadModel(procfs.root).read(0)["cpu"]
    except SensorUnavailable as error:
        found = error

    assert isinstance(found, SensorUnavailable)
    assert reason in str(found)


def test_without_proc_there_is_no_model(tmp_path: Path) -> None:
    for model in (CpuLoadModel, DramModel):
        with pytest.raises(SensorUnavailable, match="cannot read"):
            model(tmp_path)


def test_memory_draws_by_its_size_and_the_rules_in_use_are_the_ends_of_its_interval(tmp_path: Path) -> None:
    memory_kib = 1_149_000_000_000 // 1024
    clock = SimulatedClock()
    meter = Meter([DramModel(Procfs(tmp_path, memory_kib=memory_kib).root)], clock_ns=clock)

    with meter.measure() as window:
        clock.advance(10)

    gain_only = window.domains["dram"]
    memory_gb = memory_kib * 1024 / 1e9
    assert gain_only.value == pytest.approx(10 * memory_gb * math.sqrt(42 / 1149 * 0.392), rel=1e-6)
    domain = meter.domains[0]
    factor = math.exp(1.96 * domain.accuracy.gain)
    assert gain_only.value / factor == pytest.approx(10 * memory_gb * DRAM_LOW_W_PER_GB, rel=1e-4)
    assert gain_only.value * factor == pytest.approx(10 * memory_gb * DRAM_HIGH_W_PER_GB, rel=1e-4)
    assert domain.accuracy.mix == BETWEEN_WORKLOADS


def test_the_record_says_which_coefficients_were_taken(tmp_path: Path) -> None:
    domain = CpuLoadModel(Procfs(tmp_path, vendor="AuthenticAMD", family=23, model=49).root).domains[0]

    assert domain.parameters["family"] == "EPYC 2nd generation"
    assert domain.parameters["choice"] == "of its family"
    assert domain.parameters["threads"] == 4
    assert domain.parameters["max_w_per_thread"] == 1.69
