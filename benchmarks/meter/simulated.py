"""What the costs are measured on: a simulated NVIDIA driver and a powercap tree, for processes of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

__all__ = ["COUNTER", "GAUGE", "build_driver", "environment", "powercap"]

DRIVER = (Path(__file__).parents[2] / "tests" / "simulated" / "nvml.c", Path(__file__).with_name("peers.c"))
RANGE_UJ = 262_143_328_850
"""``max_energy_range_uj`` of a server's package: 2^32 - 1 steps of 61 µJ."""

COUNTER = {"POWER_W": "230", "SWING_W": "170", "PERIOD_S": "1.7", "CHIP": "8.0", "NAME": "NVIDIA A100-SXM4-40GB"}
"""A GPU with an energy counter that is updated every 100 ms, and 60 to 400 W as a sine of 1.7 s."""
GAUGE = {**COUNTER, "CHIP": "6.0", "NAME": "Tesla P100-PCIE-16GB", "GAUGE_S": "0.02,0.01", "FAULTS": "no-counter"}
"""A GPU that shows its power only: every 20 ms the mean of the last 10."""


def build_driver(folder: Path) -> Path:
    """Compile the driver of ``tests/simulated/nvml.c`` and what other tools ask of it; give the folder that it lies in.

    Raises:
        FileNotFoundError: if there is no C compiler.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise FileNotFoundError("no C compiler (cc or gcc) to build the simulated NVIDIA driver")
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", library, *DRIVER, "-lm"], check=True)
    return folder


def environment(driver: Path, gpu: Mapping[str, str]) -> dict[str, str]:
    """Give the environment of a process that is to see a GPU."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("FAKE_NVML", "CUDA_"))}
    return {**own, "LD_LIBRARY_PATH": str(driver), **{f"FAKE_NVML_{name}": value for name, value in gpu.items()}}


def powercap(sysfs: Path, packages: int = 2) -> Path:
    """Lay out ``class/powercap`` with packages and nothing else; give the root, for `Places`."""
    for number in range(packages):
        zone = sysfs / "class" / "powercap" / f"intel-rapl:{number}"
        zone.mkdir(parents=True)
        (zone / "name").write_text(f"package-{number}\n")
        (zone / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
        (zone / "energy_uj").write_text(f"{1_000_000 * (number + 1)}\n")
    return sysfs
