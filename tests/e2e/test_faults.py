"""Sensors that fail while a program is measured: each ends in a figure or in a named reason, and costs it nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from joulemark.errors import OutputNotWritable
from tests.e2e.programs import result, right
from tests.simulated.nvml import SONAME, nvml_library
from tests.simulated.powercap import PowercapTree

__all__ = ["nvml_library"]

SOURCES = Path(__file__).parents[2] / "src" / "joulemark"
METER = "meter = jm.Meter(['nvml'])\nwith meter.measure(): pass\n"
MEASURED = (
    METER + "until(1.0)\n"
    "with meter.measure() as window: until(2.0)\n"
    "closed_s = time.monotonic()\n"
    "both = [told(window, name) for name in ('gpu-0', 'gpu-1')]\n"
    "waited_s = time.monotonic() - closed_s\n"
    "until(AGAIN_S)\n"
    "with meter.measure() as later: time.sleep(0.5)\n"
    "say(gpus=both, waited_s=waited_s, later=told(later), missing=[p.name for p in window.energy.evidence.missing])"
)


@pytest.mark.parametrize(
    ("fault", "reason", "later"),
    [
        ("lost=0@1.5", "GPU is lost", False),
        ("lost=0@1.5-2.4", "GPU is lost", True),
        ("withdrawn=0@1.5", "Insufficient Permissions", False),
        ("reset=0@1.5", r"the counter fell from \d+ to \d+ µJ; it was reset", True),
    ],
    ids=["lost", "lost for a while", "permission withdrawn", "counter reset"],
)
def test_a_gpu_that_fails_in_a_window_is_named_and_the_other_is_right(
    nvml_library: Path, fault: str, reason: str, later: bool
) -> None:
    said = result("AGAIN_S = 3.6\n" + MEASURED, nvml_library, faults=fault)
    failed, well = said["gpus"]
    assert re.search(reason, failed["reason"]), failed
    assert right(well)
    assert right(said["later"]) is later, said["later"]
    assert any("gpu-0" in name for name in said["missing"])
    assert said["waited_s"] < 1.8


def test_a_driver_that_hangs_in_a_window_holds_nothing_up_for_longer_than_was_stated(nvml_library: Path) -> None:
    said = result("AGAIN_S = 4.4\n" + MEASURED, nvml_library, faults="hang=0@1.5-4.0")
    # Both GPUs are read by one call after the other.
    assert all("has not answered for" in gpu["reason"] for gpu in said["gpus"])
    assert said["waited_s"] < 1.8  # six periods and a second
    assert right(said["later"])


def test_a_driver_whose_calls_are_slow_does_not_slow_the_program(nvml_library: Path) -> None:
    said = result(
        METER + "began_s = time.monotonic()\n"
        "windows = [meter.measure().start().stop() for _ in range(100)]\n"
        "took_s = time.monotonic() - began_s\n"
        "with meter.measure() as window: time.sleep(2)\n"
        "say(took_s=took_s, **told(window))",
        nvml_library,
        faults="slow=250",
        powers_w="200",
    )
    assert said["took_s"] < 0.1
    assert right(said) or said["reason"]


def test_a_sensor_read_by_a_thread_that_takes_two_seconds_once_recovers() -> None:
    said = result(
        "from joulemark.testing import SimulatedSensor, Slow, constant, presets\n"
        "now_s = time.monotonic()\n"
        "gpu = presets.ideal_counter('gpu-0', constant(200), faults=[Slow(now_s + 0.5, now_s + 0.6)])\n"
        "meter = jm.Meter([SimulatedSensor([gpu], clock=time.monotonic_ns)])\n"
        "with meter.measure() as window: time.sleep(0.8)\n"
        "closed_s = time.monotonic()\n"
        "slow = told(window)\n"
        "waited_s = time.monotonic() - closed_s\n"
        "time.sleep(1.5)\n"
        "with meter.measure() as later: time.sleep(0.5)\n"
        "say(slow=slow, waited_s=waited_s, later=later.domains['gpu-0'].value / later.duration_s)"
    )
    assert "has not answered for" in said["slow"].get("reason", "has not answered for")
    assert said["waited_s"] < 1.3
    assert said["later"] == pytest.approx(200, rel=0.02)


def test_a_counter_that_is_stuck_is_no_zero(nvml_library: Path) -> None:
    said = result(
        METER + "with meter.measure() as window: time.sleep(0.6)\nsay(**told(window))",
        nvml_library,
        powers_w="0",
        FAKE_NVML_SWING_W="0",
    )
    assert said["reason"] == "gpu-0: it has shown no update yet"


# No driver, or one that is none


ANY = (
    "process.DISCOVERY_S = 1.5\n"
    "began_s = time.monotonic()\n"
    "meter = jm.Meter()\n"
    "first_s = time.monotonic() - began_s\n"
    "refused = {r.sensor: r.reason for r in meter.refused}\n"
    "with meter.measure() as window: time.sleep(0.3)\n"
    "say(first_s=first_s, refused=refused, domains=[d.name for d in meter.domains], energy=window.energy.available)"
)


def _library(folder: Path, code: str) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler (cc or gcc) to build a broken NVIDIA driver")
    library = folder / SONAME
    subprocess.run([compiler, "-shared", "-fPIC", "-x", "c", "-", "-o", library], input=code, text=True, check=True)
    return library


def test_a_machine_without_a_driver_is_a_normal_case() -> None:
    said = result(ANY, None)
    assert "nvml" in said["refused"]
    assert said["domains"]


@pytest.mark.parametrize(
    ("code", "domains"),
    [
        ("int nothing;", True),
        ("#include <unistd.h>\nint nvmlInitWithFlags(unsigned f) { for (;;) pause(); }", True),
        ("int nvmlInitWithFlags(unsigned f) { return *(volatile int *)0; }", False),
        ("#include <stdlib.h>\nint nvmlInitWithFlags(unsigned f) { exit(3); }", False),
    ],
    ids=["is another library", "hangs", "crashes", "ends its process"],
)
def test_a_driver_that_is_none_is_named_and_leaves_the_program_alone(tmp_path: Path, code: str, domains: bool) -> None:
    said = result(ANY, _library(tmp_path, code))
    assert said["refused"].keys() & {"nvml", "sampling process"}
    assert bool(said["domains"]) is domains
    assert said["energy"] is domains
    assert said["first_s"] < 4.0


# The program's own faults


def test_an_exception_in_the_block_goes_on_and_leaves_the_figure(nvml_library: Path) -> None:
    said = result(
        METER + "try:\n"
        "    with meter.measure() as window:\n"
        "        time.sleep(0.4)\n"
        "        raise ValueError('mine')\n"
        "except ValueError as error: seen = str(error)\n"
        "say(seen=seen, **told(window))",
        nvml_library,
    )
    assert said["seen"] == "mine"
    assert right(said)


def test_a_full_disk_is_named_and_what_stood_there_stays(nvml_library: Path, tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    record.write_text("of before")
    said = result(
        "import resource\n" + METER + "with meter.measure() as window: time.sleep(0.3)\n"
        "window.record\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, -1))\n"
        f"try: window.save({str(record)!r})\n"
        "except jm.JoulemarkError as error: kind = type(error).__name__\n"
        "say(kind=kind, **told(window))",
        nvml_library,
    )
    assert said["kind"] == OutputNotWritable.__name__
    assert right(said)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["of before"]


def test_counters_that_vanish_from_sysfs_in_a_window_are_named(tmp_path: Path) -> None:
    PowercapTree(tmp_path, packages=("package-0",), psys=False, mmio=False)
    said = result(
        "import pathlib, shutil\n"
        "from joulemark.sensors.discovery import Places\n"
        f"tree = pathlib.Path({str(tmp_path)!r})\n"
        "meter = jm.Meter(['rapl'], places=Places(sysfs=tree))\n"
        "name = meter.domains[0].name\n"
        "with meter.measure() as window:\n"
        "    shutil.rmtree(tree / 'devices')\n"
        "figure = window.domains[name]\n"
        "say(reason=figure.evidence.missing[0].reason)"
    )
    assert "No such file or directory" in said["reason"]


def test_what_measures_reads_no_clock_but_the_monotonic_one() -> None:
    wall = re.compile(r"\btime\.time(_ns)?\(|\b(datetime|date)\.(now|today|utcnow)\(|\btime\.(local|gm)time\(")
    dated = {"window.py", "calibration.py"}  # they say of what day a record is, and to a driver since when
    reading = {
        path.name
        for part in ("meter", "sensors", "testing")
        for path in (SOURCES / part).rglob("*.py")
        if wall.search(path.read_text(encoding="utf-8"))
    }
    assert reading <= dated
