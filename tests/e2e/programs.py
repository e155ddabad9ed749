"""Programs that measure a simulated GPU, each in a process of its own, with a sampling process beside it.

The driver is ``tests/simulated/nvml.c``: a GPU's power follows a sine, and its energy is known in closed form at every
moment of ``CLOCK_MONOTONIC``, which both processes share.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

POWER_W, SWING_W, PERIOD_S = 200.0, 80.0, 0.7
BEGIN = """
import contextlib, ctypes, json, math, os, signal, subprocess, sys, threading, time
import joulemark as jm
from joulemark.meter import launch, process

ORIGIN_NS = int(os.environ["FAKE_NVML_ORIGIN_NS"])
POWER_W, SWING_W, PERIOD_S = 200.0, 80.0, 0.7


def until(seconds):
    '''Sleep until so many seconds after the origin, at which faults are set.'''
    time.sleep(max(0.0, seconds - (time.monotonic_ns() - ORIGIN_NS) / 1e9))


def truth_j(window):
    start_s, end_s = ((t - ORIGIN_NS) / 1e9 for t in window._times_ns)
    turn = 2 * math.pi / PERIOD_S
    swing_j = SWING_W / turn * (math.cos(turn * start_s) - math.cos(turn * end_s))
    return POWER_W * (end_s - start_s) + swing_j


def told(window, name="gpu-0"):
    '''What a window says of a GPU, and how many joules that is off.'''
    figure = window.domains[name]
    if not figure.available:
        return {"reason": figure.evidence.missing[0].reason}
    # The simulated counter has no gain error: only where the edges lie is unsure.
    edges_j = next(e.edges_j for e in window.record.energies if e.domain == name)
    off_j = figure.value - truth_j(window)
    return {"joules": figure.value, "off_j": off_j, "edges_j": edges_j, "seconds": window.duration_s}


def sampler(meter):
    return getattr(meter._host, "_sampler", 0)


def gone(pid, seconds=3.0):
    '''Whether a process ends within some time.'''
    end = time.monotonic() + seconds
    while launch.birth(pid) is not None and time.monotonic() < end:
        time.sleep(0.02)
    return launch.birth(pid) is None


def say(**what):
    print(json.dumps(what))


"""


class Program:
    """A program that measures.

    Args:
        code: what comes after `BEGIN`.
        library: the simulated driver, None for a machine without one.
        faults: see ``nvml.c``; its seconds count from now.
        powers_w: of the GPUs.
        environment: further variables.
    """

    def __init__(
        self,
        code: str,
        library: Path | None = None,
        *,
        faults: str = "",
        powers_w: str = f"{POWER_W:g},{POWER_W:g}",
        **environment: str,
    ) -> None:
        variables = {
            **os.environ,
            "FAKE_NVML_POWER_W": powers_w,
            "FAKE_NVML_SWING_W": str(SWING_W),
            "FAKE_NVML_PERIOD_S": str(PERIOD_S),
            "FAKE_NVML_ORIGIN_NS": str(time.monotonic_ns()),
            "FAKE_NVML_FAULTS": faults,
            **environment,
        }
        if library is not None:
            variables["LD_LIBRARY_PATH"] = str(library.parent)
        self.process = subprocess.Popen(
            [sys.executable, "-c", BEGIN + code],
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def line(self) -> dict[str, Any]:
        """Wait for the next line that the program says."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        return dict(json.loads(line))

    def result(self, exit_code: int = 0) -> dict[str, Any]:
        """Wait for its end; it says one more line, and prints nothing that it was not told to."""
        out, err = self.process.communicate(timeout=30)
        assert (self.process.returncode, err) == (exit_code, ""), out + err
        lines = out.splitlines()
        assert len(lines) == 1, out
        return dict(json.loads(lines[0]))


def result(code: str, library: Path | None = None, **settings: Any) -> dict[str, Any]:
    """Run a program and give the one line that it says."""
    return Program(code, library, **settings).result()


def right(told: dict[str, Any]) -> bool:
    """Whether a figure is off by no more than its edges make unsure: 3 standard uncertainties, and 2 mJ of rounding."""
    return "off_j" in told and abs(told["off_j"]) <= 3 * told["edges_j"] + 2e-3
