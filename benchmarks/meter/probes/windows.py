"""Errors of windows in real time over the simulated driver. Usage: windows.py LENGTH_S TIMES"""

import json
import math
import os
import random
import sys
import time

import joulemark as jm

length_s, times = float(sys.argv[1]), int(sys.argv[2])
power_w, swing_w, period_s = (float(os.environ[f"FAKE_NVML_{name}"]) for name in ("POWER_W", "SWING_W", "PERIOD_S"))


def flowed_j(at_ns: int) -> float:
    """Give what ``tests/simulated/nvml.c`` says has flowed by then, in joules."""
    turn = 2 * math.pi / period_s
    return power_w * at_ns / 1e9 + swing_w / turn * (1 - math.cos(turn * at_ns / 1e9))


meter = jm.Meter(["nvml"])
found = []
for _ in range(times):
    time.sleep(random.uniform(0.05, 1.0))  # noqa: S311 - no secret
    with meter.measure() as window:
        start_ns = time.monotonic_ns()
        time.sleep(length_s)
        end_ns = time.monotonic_ns()
    truth_j = flowed_j(end_ns) - flowed_j(start_ns)
    energy = window.energy
    found.append(
        {
            "error": energy.value / truth_j - 1 if energy.available else None,
            "held": energy.low <= truth_j <= energy.high,
        }
    )
print(json.dumps(found))
