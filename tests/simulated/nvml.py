"""The simulated NVIDIA driver of ``nvml.c``, behind the real ``nvidia-ml-py``."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pynvml
import pytest

__all__ = ["FakeNvml", "fake_nvml", "nvml_library"]

SOURCE = Path(__file__).with_name("nvml.c")
SONAME = "libnvidia-ml.so.1"
OPTIONAL = {"GAUGE_S", "CHIP", "NAME", "LIMIT_W", "MEMORY_W", "MODULE_W", "PROCESSES", "BUSY_PERCENT", "CLOCK_MHZ"} | {
    "CLOCK_REASONS"
}


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled library, under the name that ``nvidia-ml-py`` looks for."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler (cc or gcc) to build the simulated NVIDIA driver")
    library = tmp_path_factory.mktemp("nvml") / SONAME
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", library, SOURCE, "-lm"], check=True)
    return library


class FakeNvml:
    """The simulated driver inside this process; settings count from the next ``nvmlInit`` on."""

    def __init__(self, library: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch) -> None:
        self._set_now_ns = library.fake_nvml_set_now_ns
        self._set_now_ns.argtypes = [ctypes.c_int64]
        self._monkeypatch = monkeypatch

    def install(
        self,
        *powers_w: float,
        faults: str = "",
        swing_w: float = 0.0,
        period_s: float = 1.0,
        now_s: float = 0.0,
        **settings: str,
    ) -> None:
        """Put in GPUs of these powers; ``nvml.c`` lists the faults and the further settings (``chip="9.0"``)."""
        settings |= {
            "power_w": ",".join(str(power_w) for power_w in powers_w),
            "faults": faults,
            "swing_w": str(swing_w),
            "period_s": str(period_s),
        }
        for name in OPTIONAL - {name.upper() for name in settings}:
            self._monkeypatch.delenv(f"FAKE_NVML_{name}", raising=False)
        for name, value in settings.items():
            self._monkeypatch.setenv(f"FAKE_NVML_{name.upper()}", value)
        self.set_now(now_s)

    def set_now(self, now_s: float) -> None:
        """Set the driver's clock, in seconds after its counters stood at 0."""
        self._set_now_ns(round(now_s * 1e9))


@pytest.fixture
def fake_nvml(nvml_library: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNvml]:
    """The simulated driver in place of this machine's; without `FakeNvml.install` it is not loaded."""
    library = ctypes.CDLL(str(nvml_library))
    monkeypatch.delenv("FAKE_NVML_POWER_W", raising=False)
    monkeypatch.setattr(pynvml, "nvmlLib", library)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    yield FakeNvml(library, monkeypatch)
    library.nvmlShutdown()
