"""Other tools beside the meter.

What the table quotes was measured in November 2026 with codecarbon 3.3.2, zeus 0.16.0, carbontracker 2.4.7, eco2ai
0.3.12, perun 1.0.0, pyJoules 0.5.1, jpwr 0.0.10 and landauer-gap 0.8.0, on the same traces and the same kinds of
sensor (docs/benchmarks.md). Here three of them are run anew, over the simulated driver and in real time.
"""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.meter.costs import PROBES
from benchmarks.meter.simulated import COUNTER, environment
from benchmarks.meter.table import Row

__all__ = ["TOOLS", "rows"]

TOOLS = ("landauer-gap", "pyJoules", "codecarbon")


def rows(python: Path, driver: Path, lengths: Mapping[float, int]) -> list[Row]:
    """Give the errors of other tools, by length of window in seconds; `lengths` says how many of each.

    Args:
        python: that has the tools; one that it has not is left out.
        driver: folder of the simulated NVIDIA driver.
        lengths: by length in seconds.
    """
    smi = driver / "nvidia-smi"  # codecarbon looks for a GPU only where there is this program
    smi.write_text("#!/bin/sh\nexit 0\n")
    smi.chmod(0o755)
    return [row for tool in TOOLS for row in _of(tool, python, driver, lengths)]


def _of(tool: str, python: Path, driver: Path, lengths: Mapping[float, int]) -> Iterator[Row]:
    own = environment(driver, COUNTER)
    own["PATH"] = f"{driver}:{own['PATH']}"
    for length_s, times in lengths.items():
        done = subprocess.run(
            [python, PROBES / "peer_windows.py", tool, str(length_s), str(times)],
            env=own,
            capture_output=True,
            text=True,
            check=False,
        )
        what = f"in real time, counter 100 ms, a sine of 1.7 s: {length_s:g} s: {tool}"
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            yield Row(what, "", f"failed: {reason}")
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        if all(window["error"] == -1 for window in found["windows"]):
            yield Row(what, "", "0 J: it asks for more than the simulated driver has")
            continue
        errors = sorted(100 * abs(window["error"]) for window in found["windows"])
        edges_s = statistics.median(window["edges_s"] for window in found["windows"])
        yield Row(
            what,
            "",
            f"median {statistics.median(errors):.3g} %, worst {errors[-1]:.3g} % of {len(errors)}; "
            f"open and close {1e3 * edges_s:.3g} ms, the first open after {1e3 * found['first_s']:.3g} ms",
        )
