"""Errors of another tool's windows in real time over the simulated driver, and how long its edges take.

Usage: peer_windows.py TOOL LENGTH_S TIMES, with a Python that has the tool. Each is used as its documentation shows.
"""

import json
import math
import os
import random
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

tool, length_s, times = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
power_w, swing_w, period_s = (float(os.environ[f"FAKE_NVML_{name}"]) for name in ("POWER_W", "SWING_W", "PERIOD_S"))
Edges = tuple[Callable[[], object], Callable[[], object], Callable[[], float]]


def flowed_j(at_ns: int) -> float:
    """Give what ``tests/simulated/nvml.c`` says has flowed by then, in joules."""
    turn = 2 * math.pi / period_s
    return power_w * at_ns / 1e9 + swing_w / turn * (1 - math.cos(turn * at_ns / 1e9))


def landauer_gap() -> Edges:
    """One phase of a session: https://pypi.org/project/landauer-gap/."""
    session = import_module("joules").Session(cpu=False)
    begun: list[str] = []
    ended: list[dict[str, Any]] = []
    return (
        lambda: begun.append(session.begin("window")),
        lambda: ended.append(session.end(begun[-1])),
        lambda: float(ended[-1]["energy_j"]),
    )


def pyjoules() -> Edges:
    """An energy meter with one device: https://pypi.org/project/pyJoules/."""
    gpu = import_module("pyJoules.device.nvidia_device").NvidiaGPUDomain(0)
    devices = import_module("pyJoules.device").DeviceFactory.create_devices([gpu])
    meter = import_module("pyJoules.energy_meter").EnergyMeter(devices)
    return lambda: meter.start(), lambda: meter.stop(), lambda: sum(meter.get_trace()[0].energy.values()) / 1e3


def codecarbon() -> Edges:
    """A tracker for each window: https://docs.codecarbon.io/."""
    tracker = import_module("codecarbon").OfflineEmissionsTracker
    trackers: list[Any] = []

    def start() -> None:
        trackers.append(tracker(country_iso_code="FRA", log_level="error", save_to_file=False))
        trackers[-1].start()

    return start, lambda: trackers[-1].stop(), lambda: trackers[-1]._total_gpu_energy.kWh * 3.6e6


began_s = time.perf_counter()
start, stop, energy_j = {"landauer-gap": landauer_gap, "pyJoules": pyjoules, "codecarbon": codecarbon}[tool]()
first_s = 0.0
found: list[dict[str, float]] = []
for _ in range(times):
    time.sleep(random.uniform(0.05, 1.0) if found else 0.0)  # noqa: S311 - no secret
    asked_s = time.perf_counter()
    start()
    opened_s = time.perf_counter()
    first_s = first_s or opened_s - began_s
    start_ns = time.monotonic_ns()
    time.sleep(length_s)
    end_ns = time.monotonic_ns()
    closes_s = time.perf_counter()
    stop()
    edges_s = opened_s - asked_s + time.perf_counter() - closes_s
    truth_j = flowed_j(end_ns) - flowed_j(start_ns)
    found.append({"error": energy_j() / truth_j - 1, "edges_s": edges_s})
print(json.dumps({"first_s": first_s, "windows": found}))
