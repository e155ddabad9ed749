"""Stages 1 to 3: what the sensors of this GPU do, what measuring costs, and whether intervals hold."""

from __future__ import annotations

import bisect
import itertools
import json
import math
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.gpu.loads import Load
from joulemark import Meter

__all__ = ["cost", "intervals", "sensors"]

POLL_S = 0.001
STEPS = 10
"""Steps from rest to work and back for each source."""
STEP_S = 2.0
BURSTS_HZ = (5.0, 20.0)
STRETCH_S = 10.0


def sources() -> dict[str, Callable[[], float]]:
    """Give the ways in which NVML shows the first GPU: energy in J, powers in W; those that it refuses are left out."""
    import pynvml

    pynvml.nvmlInit()
    gpu = pynvml.nvmlDeviceGetHandleByIndex(0)

    def field(number: int) -> Callable[[], float]:
        def read() -> float:
            answer = pynvml.nvmlDeviceGetFieldValues(gpu, [number])[0]
            if answer.nvmlReturn != pynvml.NVML_SUCCESS:
                raise pynvml.NVMLError(answer.nvmlReturn)
            return float(answer.value.uiVal) / 1e3

        return read

    all_of_them: dict[str, Callable[[], float]] = {
        "counter": lambda: float(pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu)) / 1e3,
        "field 186, instant": field(pynvml.NVML_FI_DEV_POWER_INSTANT),
        "field 185, average": field(pynvml.NVML_FI_DEV_POWER_AVERAGE),
        "nvmlDeviceGetPowerUsage": lambda: float(pynvml.nvmlDeviceGetPowerUsage(gpu)) / 1e3,
    }
    found = {}
    for name, read in all_of_them.items():
        try:
            read()
        except pynvml.NVMLError:
            continue
        found[name] = read
    return found


class Poller:
    """Reads a source as often as it can in a thread, and notes when it changes."""

    def __init__(self, read: Callable[[], float]) -> None:
        self.times_s: list[float] = []
        self.values: list[float] = []
        self._read = read
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Poller:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(POLL_S):
            before = time.monotonic()
            value = self._read()
            self.times_s.append((before + time.monotonic()) / 2)
            self.values.append(value)

    def changes_s(self) -> list[float]:
        """When the value changed."""
        pairs = zip(self.values, self.values[1:], self.times_s[1:], strict=False)
        return [at_s for before, after, at_s in pairs if after != before]

    def integral(self, start_s: float, end_s: float) -> float:
        """Integrate a power between two moments, in J."""
        low, high = bisect.bisect_left(self.times_s, start_s), bisect.bisect_right(self.times_s, end_s)
        times, values = self.times_s[low:high], self.values[low:high]
        return sum(w * (b - a) for a, b, w in zip(times, times[1:], values, strict=False))


def spread(values: Sequence[float]) -> dict[str, float]:
    """Give median and quartiles."""
    if not values:
        return {}
    ordered = sorted(values)
    at = {name: ordered[min(len(ordered) - 1, int(part * len(ordered)))] for name, part in (("q1", 0.25), ("q3", 0.75))}
    return {"median": statistics.median(ordered), **at, "n": len(ordered)}


def sensors(load: Load, quick: bool) -> Mapping[str, Any]:
    """Update period and averaging window of each source from steps of load; counter against power."""
    doctor = subprocess.run(
        [sys.executable, "-m", "joulemark", "doctor", "--json"], capture_output=True, text=True, check=False
    )
    found: dict[str, Any] = {"doctor": json.loads(doctor.stdout or "null")}
    steps, step_s = (2, 1.0) if quick else (STEPS, STEP_S)
    for name, read in sources().items():
        with Poller(read) as poller:
            edges_s = []
            for _ in range(steps):
                time.sleep(step_s)
                edges_s.append(time.monotonic())
                load.work(step_s)
        changes = poller.changes_s()
        gaps = [b - a for a, b in itertools.pairwise(changes)]
        found[name] = {"reads": len(poller.values), "update_period_s": spread(gaps)}
        if name != "counter":
            found[name]["rise_s"] = spread([r for e in edges_s if (r := _rise_s(poller, e, step_s)) is not None])
    found["counter over power"] = _ratios(load, quick)
    return found


def _rise_s(poller: Poller, edge_s: float, step_s: float) -> float | None:
    """Time from a step of load until 90 % of the step is shown: latency and averaging window together."""
    low = bisect.bisect_left(poller.times_s, edge_s - step_s / 2)
    at = bisect.bisect_left(poller.times_s, edge_s)
    high = bisect.bisect_right(poller.times_s, edge_s + step_s)
    rest, work = poller.values[low:at], poller.values[at:high]
    if not rest or not work:
        return None
    before, after = statistics.median(rest), statistics.median(work[len(work) // 2 :])
    if after - before < 0.2 * before:
        return None
    reached = (t for t, w in zip(poller.times_s[at:high], work, strict=True) if w >= before + 0.9 * (after - before))
    first = next(reached, None)
    return None if first is None else first - edge_s


def _ratios(load: Load, quick: bool) -> dict[str, Any]:
    """Energy by the counter over integrated power, at rest, at work and in bursts: mean and standard error."""
    found: dict[str, Any] = {}
    all_of_them = sources()
    if "counter" not in all_of_them:
        return found
    stretch_s, times = (1.0, 2) if quick else (STRETCH_S, 3)
    courses: dict[str, Callable[[], None]] = {
        "rest": lambda: time.sleep(stretch_s),
        "work": lambda: load.work(stretch_s),
        **{f"bursts of {hz:g} Hz": lambda hz=hz: _bursts(load, hz, stretch_s) for hz in BURSTS_HZ},  # type: ignore[misc]
    }
    for gauge in [name for name in all_of_them if name != "counter"]:
        for course, run in courses.items():
            ratios = []
            for _ in range(times):
                with Poller(all_of_them[gauge]) as poller:
                    time.sleep(0.2)
                    start_s, start_j = _tick(all_of_them["counter"])
                    run()
                    end_s, end_j = _tick(all_of_them["counter"])
                integrated = poller.integral(start_s, end_s)
                if integrated > 0:
                    ratios.append((end_j - start_j) / integrated)
            if ratios:
                error = statistics.stdev(ratios) / math.sqrt(len(ratios)) if len(ratios) > 1 else None
                found[f"{gauge}, {course}"] = {"ratio": statistics.mean(ratios), "standard_error": error}
    return found


def _tick(read: Callable[[], float]) -> tuple[float, float]:
    """Wait for the counter's next tick, and give when that was and what it then showed."""
    before = read()
    end = time.monotonic() + 1.0
    while (now := read()) == before and time.monotonic() < end:
        time.sleep(POLL_S / 2)
    return time.monotonic(), now


def _bursts(load: Load, hz: float, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        load.work(0.5 / hz)
        time.sleep(0.5 / hz)


def cost(load: Load, quick: bool) -> Mapping[str, Any]:
    """Time to open and to close a window, the sampler's share of a processor, and what it takes from small kernels."""
    times = 100 if quick else 1000
    with Meter() as meter:
        opens, closes = [], []
        for _ in range(times):
            window = meter.measure()
            began = time.perf_counter()
            window.start()
            opened = time.perf_counter()
            window.stop()
            opens.append(opened - began)
            closes.append(time.perf_counter() - opened)
            time.sleep(0.002)
        before, began = meter.instrument.cpu_s, time.monotonic()
        with meter.measure():
            load.work(2.0 if quick else 20.0)
        share = (meter.instrument.cpu_s - before) / (time.monotonic() - began)
        without, within = [], []
        for _ in range(3 if quick else 10):  # in turns, so that drift hits both
            without.append(load.kernels_per_s(0.5))
            with meter.measure():
                within.append(load.kernels_per_s(0.5))
    return {
        "open_s": {**spread(opens), "p99": sorted(opens)[int(0.99 * times) - 1]},
        "close_s": {**spread(closes), "p99": sorted(closes)[int(0.99 * times) - 1]},
        "sampler_cpu_share": share,
        "kernels_per_s": {"without": spread(without), "within": spread(within)},
    }


def intervals(load: Load, quick: bool) -> Mapping[str, Any]:
    """The same work again and again: how often does each window's own interval hold the mean of all?"""
    found = {}
    times = 5 if quick else 30
    with Meter() as meter:
        load.work(1.0 if quick else 10.0)  # warm
        began = time.monotonic()
        load.amount(10)
        each_s = (time.monotonic() - began) / 10
        for length_s in (0.1, 1.0) if quick else (0.1, 1.0, 10.0):
            count = max(1, round(length_s / each_s))
            figures = []
            for _ in range(times):
                with meter.measure() as window:
                    load.amount(count)
                figures.append(window.energy)
            known = [f for f in figures if f.available]
            mean = statistics.mean(f.value for f in known) if known else math.nan
            found[f"{length_s:g} s"] = {
                "windows": len(figures),
                "with a figure": len(known),
                "mean_j": mean,
                "spread": statistics.stdev(f.value for f in known) / mean if len(known) > 1 else None,
                "hold the mean": sum(f.low <= mean <= f.high for f in known),
                "half-width": statistics.median((f.high - f.low) / 2 / f.value for f in known) if known else None,
            }
    return found
