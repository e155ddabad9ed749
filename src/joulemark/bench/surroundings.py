"""What else went on while a trial ran: other programs, and the clock of the device."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from joulemark.boundary import Component
from joulemark.readings import DomainRecord

__all__ = ["Surroundings"]

T = TypeVar("T")


class Surroundings:
    """Watches the machine around trials; reads nothing while they run.

    Args:
        domains: what the meter sees: with a GPU of NVIDIA among them the clock is that GPU's, else the processors'.
    """

    def __init__(self, domains: Sequence[DomainRecord]) -> None:
        seen = any(Component.GPU in d.components and d.sensor.startswith("nvml") and d.selected for d in domains)
        self._gpu = _Gpu(domains) if seen else None
        self._began = (0.0, 0.0)

    def begin(self) -> None:
        """Take note of where things stand, just before a trial."""
        self._began = (time.monotonic(), _busy_s())

    def foreign_cpu(self, worker_s: float) -> float | None:
        """Give the part of the processors that other programs took since `begin`, 0 to 1; None if it is not known.

        Args:
            worker_s: CPU time of the worker meanwhile, which is not foreign.
        """
        began_s, busy_s = self._began
        elapsed_s = time.monotonic() - began_s
        if not elapsed_s > 0 or busy_s != busy_s:
            return None
        foreign_s = _busy_s() - busy_s - worker_s
        return min(max(foreign_s / (elapsed_s * (os.cpu_count() or 1)), 0.0), 1.0)

    def clock_mhz(self) -> float | None:
        """Give the clock of the GPU's multiprocessors, or the mean of the processors', in MHz; None if not told."""
        if self._gpu is not None:
            return self._gpu.clock_mhz()
        import psutil

        with contextlib.suppress(OSError, NotImplementedError, AttributeError):
            found = psutil.cpu_freq()
            return None if found is None or not found.current > 0 else float(found.current)
        return None

    def throttled(self) -> str | None:
        """Say what holds the GPU's clock down, in the driver's words; empty if nothing does, None if it is not told."""
        return None if self._gpu is None else self._gpu.throttled()


def _busy_s() -> float:
    """CPU time of the whole machine since its start, in seconds; NaN where it does not tell."""
    import psutil

    try:
        times = psutil.cpu_times()
    except OSError:
        return float("nan")
    idle = times.idle + getattr(times, "iowait", 0.0)
    # Guests' time is in user time already (Linux, proc_stat(5)).
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    return float(sum(times) - guests - idle)


class _Gpu:
    """The first GPU that counts, through NVML."""

    def __init__(self, domains: Sequence[DomainRecord]) -> None:
        first = next(d.name for d in domains if d.name.startswith("gpu-") and d.selected)
        self._index = int(first.partition("-")[2].partition("/")[0]) if first[4:5].isdigit() else 0
        self._nvml: Any = None
        self._handle: Any = None

    def clock_mhz(self) -> float | None:
        return self._ask(lambda nvml, gpu: float(nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM)))

    def throttled(self) -> str | None:
        def reasons(nvml: Any, gpu: Any) -> str:
            # Idle and clocks that an application or the administrator has set are nobody's throttling (nvml.h,
            # nvmlClocksEventReasons).
            told = int(nvml.nvmlDeviceGetCurrentClocksEventReasons(gpu))
            names = {
                nvml.nvmlClocksEventReasonSwPowerCap: "power cap",
                nvml.nvmlClocksEventReasonHwSlowdown: "hardware slowdown",
                nvml.nvmlClocksEventReasonSwThermalSlowdown: "thermal slowdown",
                nvml.nvmlClocksEventReasonHwThermalSlowdown: "hardware thermal slowdown",
                nvml.nvmlClocksEventReasonHwPowerBrakeSlowdown: "power brake",
            }
            return ", ".join(name for bit, name in names.items() if told & bit)

        return self._ask(reasons)

    def _ask(self, question: Callable[[Any, Any], T]) -> T | None:
        import pynvml

        try:
            if self._nvml is None:
                pynvml.nvmlInit()
                self._nvml, self._handle = pynvml, pynvml.nvmlDeviceGetHandleByIndex(self._index)
            return question(self._nvml, self._handle)
        except pynvml.NVMLError:
            return None
