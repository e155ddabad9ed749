"""The AMD sensor on a stand-in for the package ``amdsmi``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from joulemark.errors import PermissionDenied, SensorError, SensorUnavailable
from joulemark.sensors.amd import AmdSmiSensor
from joulemark.sensors.seam import PartialSensor
from tests.simulated.amdsmi import DRIVER_NOT_LOADED, NO_PERM, FakeAmdSmi, FakeCard

RADEON: dict[str, Any] = {"model": "AMD Radeon RX 7900 XTX", "chip": "gfx1100", "max_power_cap_uw": 402_000_000}
MI250: dict[str, Any] = {"model": "AMD Instinct MI250X", "chip": "gfx90a"}

Open = Callable[..., AmdSmiSensor]


@pytest.fixture
def sensor(tmp_path: Path) -> Open:
    """Open the sensor on a package, with the driver loaded."""
    (tmp_path / "module" / "amdgpu").mkdir(parents=True)

    def opened(smi: FakeAmdSmi, **environ: str) -> AmdSmiSensor:
        return AmdSmiSensor(tmp_path, environ, importer=lambda name: smi)

    return opened


def test_the_counter_is_in_steps_of_2_to_the_minus_16_joules_although_the_package_rounds_it(sensor: Open) -> None:
    smi = FakeAmdSmi([FakeCard(power_w=500)])
    opened = sensor(smi)
    assert (opened.domains[0].name, opened.domains[0].reading) == ("gpu-amd-0", "counter")

    before = opened.read(0)["gpu-amd-0"]
    smi.now_s = 1000
    after = opened.read(0)["gpu-amd-0"]

    assert isinstance(before, int)
    assert isinstance(after, int)
    assert after - before == 500_000_000_000  # by 15.3 µJ a step it would be 501.35 kJ
    assert opened.name == "amdsmi 7.0.2"
    assert isinstance(opened, PartialSensor)
    assert opened.read_domain("gpu-amd-0", 0) == after


def test_a_counter_under_its_older_name_is_the_same(sensor: Open) -> None:
    smi = FakeAmdSmi([FakeCard(power_w=500)], accumulator="power", now_s=2)

    assert sensor(smi).read(0) == {"gpu-amd-0": 1_000_000_000}


@pytest.mark.parametrize(
    "card",
    [
        FakeCard(power_w=300, **RADEON),  # 32 bits of an undocumented unit
        FakeCard(power_w=300, model="AMD Instinct MI100", chip="gfx908"),  # a counter that stands still
        FakeCard(power_w=300, counter=False),
    ],
)
def test_where_the_counter_is_not_to_be_trusted_power_is_sampled(sensor: Open, card: FakeCard) -> None:
    opened = sensor(FakeAmdSmi([card]))

    assert opened.domains[0].reading == "gauge"
    assert opened.read(0) == {"gpu-amd-0": 300_000_000}


@pytest.mark.parametrize("shown", ["N/A", 0, 0xFFFF, 0xFFFFFFFF, 2**64 - 1])
def test_a_power_that_is_not_told_is_an_error_and_never_zero(sensor: Open, shown: object) -> None:
    cards = [FakeCard(power_w=300, **RADEON), FakeCard(shown=shown, **RADEON)]

    readings = sensor(FakeAmdSmi(cards)).read(0)

    assert readings["gpu-amd-0"] == 300_000_000
    assert isinstance(readings["gpu-amd-1"], SensorUnavailable)
    assert "no power" in str(readings["gpu-amd-1"])


def test_the_first_die_of_a_card_stands_for_both(sensor: Open) -> None:
    cards = [FakeCard(500, **MI250), FakeCard(shown=0, **MI250), FakeCard(400, **MI250), FakeCard(shown=0, **MI250)]
    opened = sensor(FakeAmdSmi(cards, now_s=10), ROCR_VISIBLE_DEVICES="3")

    assert opened.read(0) == {"gpu-amd-0": 5_000_000_000, "gpu-amd-2": 4_000_000_000}
    assert [d.parameters["stands_also_for"] for d in opened.domains] == ["gpu-amd-1", "gpu-amd-3"]
    assert [d.visible for d in opened.domains] == [False, True]


def test_partitions_without_a_power_of_their_own_are_the_card_before_them(sensor: Open) -> None:
    cards = [FakeCard(600), FakeCard(shown="N/A"), FakeCard(shown="N/A")]
    opened = sensor(FakeAmdSmi(cards, now_s=1))

    assert opened.read(0) == {"gpu-amd-0": 600_000_000}
    assert opened.domains[0].parameters["stands_also_for"] == "gpu-amd-1, gpu-amd-2"


def test_a_card_that_fails_is_not_taken_for_a_part_of_the_one_before_it(sensor: Open) -> None:
    cards = [FakeCard(500), FakeCard(500, error=NO_PERM)]
    readings = sensor(FakeAmdSmi(cards)).read(0)

    assert isinstance(readings["gpu-amd-0"], int)
    assert isinstance(readings["gpu-amd-1"], PermissionDenied)


def test_a_processor_with_a_gpu_in_it_is_left_to_the_sensors_of_processors(sensor: Open) -> None:
    radeon = FakeCard(200, **RADEON)
    apus = [FakeCard(30, model="AMD Radeon Graphics", chip="gfx1150", metrics_format=3), FakeCard(model="MI300A")]

    assert sensor(FakeAmdSmi([*apus, radeon])).read(0) == {"gpu-amd-2": 200_000_000}
    with pytest.raises(SensorUnavailable, match="only processors"):
        sensor(FakeAmdSmi(apus))


def test_the_highest_power_is_known_from_the_cap(sensor: Open) -> None:
    assert sensor(FakeAmdSmi([FakeCard(max_power_cap_uw=750_000_000)])).domains[0].max_power_w == 1500
    assert sensor(FakeAmdSmi([FakeCard(max_power_cap_uw=0)])).domains[0].max_power_w == 2000


def test_a_card_that_fails_later_is_named_and_takes_no_other_with_it(sensor: Open) -> None:
    smi = FakeAmdSmi([FakeCard(500), FakeCard(400)], now_s=1)
    opened = sensor(smi)
    smi.cards[0].error = (12, "AMDSMI_STATUS_IO - I/O Error")

    readings = opened.read(0)

    assert str(readings["gpu-amd-0"]) == "AMD SMI: Error code: 12 | AMDSMI_STATUS_IO - I/O Error"
    assert readings["gpu-amd-1"] == 400_000_000


def test_hip_counts_in_its_own_order(sensor: Open) -> None:
    cards = [FakeCard(hip_id=1, uuid="GPU-aa"), FakeCard(hip_id=0, uuid="GPU-bb")]

    opened = sensor(FakeAmdSmi(cards), HIP_VISIBLE_DEVICES="0")
    assert [d.visible for d in opened.domains] == [False, True]
    assert "visible" not in opened.domains[0].parameters
    opened = sensor(FakeAmdSmi(cards), ROCR_VISIBLE_DEVICES="GPU-a")
    assert [d.visible for d in opened.domains] == [True, False]


def test_where_the_package_does_not_tell_that_order_the_domains_say_that_it_is_unsure(sensor: Open) -> None:
    cards = [FakeCard(), FakeCard()]

    assert "unsure" in str(sensor(FakeAmdSmi(cards), HIP_VISIBLE_DEVICES="0").domains[0].parameters["visible"])
    assert "visible" not in sensor(FakeAmdSmi(cards)).domains[0].parameters


def test_without_the_driver_nothing_is_imported(tmp_path: Path) -> None:
    def importer(name: str) -> object:
        raise AssertionError("imported")

    with pytest.raises(SensorUnavailable, match="amdgpu"):
        AmdSmiSensor(tmp_path, {}, importer=importer)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ModuleNotFoundError("No module named 'amdsmi'"), "pip install amdsmi"),
        (KeyError("libamd_smi.so"), "libamd_smi.so"),  # what 7.0 does without its library
        (AttributeError("undefined symbol: amdsmi_get_gpu_vram_info"), "another version"),
        (OSError("cannot open"), "cannot open"),
    ],
)
def test_a_package_that_cannot_be_imported_is_named_and_prints_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], error: Exception, reason: str
) -> None:
    (tmp_path / "module" / "amdgpu").mkdir(parents=True)

    def importer(name: str) -> object:
        print("Unable to find libamd_smi.so library try installing amd-smi-lib from your package manager")
        raise error

    with pytest.raises(SensorUnavailable, match=reason):
        AmdSmiSensor(tmp_path, {}, importer=importer)
    assert capfd.readouterr() == ("", "")


def test_no_gpu_no_driver_and_no_permission_are_told_apart(sensor: Open) -> None:
    with pytest.raises(SensorUnavailable, match="finds no GPU"):
        sensor(FakeAmdSmi([]))
    with pytest.raises(SensorUnavailable, match="Driver not loaded"):
        sensor(FakeAmdSmi([FakeCard()], init_error=DRIVER_NOT_LOADED))
    with pytest.raises(PermissionDenied) as caught:
        sensor(FakeAmdSmi([FakeCard(error=NO_PERM)]))
    assert "usermod -aG render" in caught.value.remedy


def test_a_closed_sensor_reads_as_errors_and_closes_again(sensor: Open) -> None:
    smi = FakeAmdSmi([FakeCard()])
    opened = sensor(smi)
    opened.close()
    opened.close()

    assert not smi.open
    assert isinstance(opened.read(0)["gpu-amd-0"], SensorError)
