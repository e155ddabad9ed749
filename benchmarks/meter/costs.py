"""What the meter costs, in real time: each figure from fresh processes, several of them, with its spread.

The program under test sees a simulated GPU through the real ``nvidia-ml-py`` and two RAPL packages on disk. Other
programs on the machine disturb these figures, and nothing else does: run them alone.
"""

from __future__ import annotations

import importlib.metadata
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.meter.simulated import COUNTER, GAUGE, environment

__all__ = ["Bench", "Edges", "Size", "Spread", "core_size"]

PROBES = Path(__file__).parent / "probes"
NOT_OURS = {"pip", "setuptools", "wheel"}
FULL_CORE = {"joulemark", "nvidia-ml-py", "psutil", "rich", "typer"}


@dataclass(frozen=True, slots=True)
class Spread:
    """Several measurements of one thing, in its unit."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Build from any order."""
        return cls(tuple(sorted(values)))

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        """The least."""
        return self.values[0]

    @property
    def high(self) -> float:
        """The most."""
        return self.values[-1]


@dataclass(frozen=True, slots=True)
class Edges:
    """Seconds that opening and closing a window takes together; one value a process."""

    median: Spread
    p99: Spread
    worst: Spread


@dataclass(frozen=True, slots=True)
class Size:
    """What an installation takes."""

    bytes: int
    distributions: int


@dataclass(frozen=True, slots=True)
class Bench:
    """Runs probes.

    Attributes:
        driver: folder of the simulated NVIDIA driver.
        sysfs: root of the powercap tree.
        repeats: fresh processes for each figure.
    """

    driver: Path
    sysfs: Path
    repeats: int

    def imports(self) -> Spread:
        """Seconds that ``import joulemark`` adds to a Python that starts and ends; pairs, taken in turns."""
        pairs = 4 * self.repeats
        return Spread.of(self._lasts("import joulemark") - self._lasts("pass") for _ in range(pairs))

    def _lasts(self, code: str) -> float:
        began_s = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, env=environment(self.driver, COUNTER))
        return time.perf_counter() - began_s

    def first_windows(self) -> tuple[Spread, Spread]:
        """Seconds from the first line of a program until its first window is open.

        Returns:
            Of `joulemark.measure` over this machine and the simulated GPU, and of `Meter` over the simulated GPU and
            the two simulated packages.
        """
        default = [self._probe("first_window.py", COUNTER)["open_s"] for _ in range(self.repeats)]
        placed = [self._probe("first_window.py", COUNTER, self.sysfs)["open_s"] for _ in range(self.repeats)]
        return Spread.of(default), Spread.of(placed)

    def edges(self, windows: int = 1000) -> Edges:
        """Seconds to open and to close a window: one GPU counter and two RAPL packages."""
        both = []
        for _ in range(self.repeats):
            found = self._probe("edges.py", COUNTER, self.sysfs, windows)
            both.append(Spread.of(map(sum, zip(found["open_s"], found["close_s"], strict=True))))
        return Edges(
            median=Spread.of(one.median for one in both),
            p99=Spread.of(one.values[math.ceil(0.99 * windows) - 1] for one in both),
            worst=Spread.of(one.high for one in both),
        )

    def running(self, seconds: float) -> Mapping[str, tuple[Spread, Spread]]:
        """Part of one processor, and bytes over a bare Python, while a window is open: program and sampling process."""
        kinds: Mapping[str, tuple[Mapping[str, str], tuple[str, ...]]] = {
            "counters only": (COUNTER, ("nvml", "rapl")),
            "default settings, counters": (COUNTER, ()),
            "default settings, gauge of 20 ms": (GAUGE, ()),
        }
        repeats = max(2, self.repeats // 3)
        found = {}
        for kind, (gpu, sensors) in kinds.items():
            runs = [self._probe("running.py", gpu, self.sysfs, seconds, *sensors) for _ in range(repeats)]
            bare = statistics.median(
                self._probe("running.py", gpu, self.sysfs, 0.2, "bare")["pss_bytes"] for _ in range(repeats)
            )
            found[kind] = (
                Spread.of((run["program_s"] + run["helper_s"]) / run["seconds"] for run in runs),
                Spread.of(run["pss_bytes"] - bare for run in runs),
            )
        return found

    def windows(self, lengths: Mapping[float, int]) -> Mapping[float, Sequence[Mapping[str, Any]]]:
        """Relative errors of windows in real time, by their length in seconds; `lengths` says how many of each."""
        return {length_s: self._probe("windows.py", COUNTER, length_s, times) for length_s, times in lengths.items()}

    def _probe(self, name: str, gpu: Mapping[str, str], *arguments: object) -> Any:
        done = subprocess.run(
            [sys.executable, PROBES / name, *map(str, arguments)],
            env=environment(self.driver, gpu),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{name} failed:\n{done.stderr}")
        return json.loads(done.stdout)


def core_size() -> Size | None:
    """Give what this environment holds, if it holds the core of Joulemark and nothing else (``make benchmark``)."""
    own = [d for d in importlib.metadata.distributions() if d.name.lower() not in NOT_OURS]
    names = {d.name.lower() for d in own}
    if not names >= FULL_CORE or _has_extras(names):
        return None
    files = (Path(str(file.locate())) for d in own for file in d.files or ())
    return Size(sum(path.stat().st_size for path in files if path.exists()), len(names))


def _has_extras(names: Iterable[str]) -> bool:
    return bool({"pytest", "numpy", "torch"} & set(names))
