"""Where no sensor is: power models for processors and memory, with cited coefficients and an honest width.

Both are linear in time and in busy time, so that their energy between two readings is exact whatever happened in
between: they count, they do not sample.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from joulemark.boundary import Component
from joulemark.errors import SensorError, SensorUnavailable
from joulemark.figures import Source
from joulemark.readings import Accuracy
from joulemark.sensors.seam import Domain

__all__ = [
    "PROCESSOR_FAMILIES",
    "CpuLoadModel",
    "DramModel",
    "ProcessorFamily",
    "cpu_facts",
    "memory_bytes",
    "processor_family",
]

CCF = Source(
    name="Cloud Carbon Footprint coefficients",
    citation="cloud-carbon-footprint, packages/aws/src/domain/AwsFootprintEstimationConstants.ts: watts a vCPU at 0 % "
    "and 100 % load, from SPECpower_ssj2008 by processor family; whole server without memory",
    licence="Apache-2.0",
)


@dataclass(frozen=True, slots=True)
class ProcessorFamily:
    """Watts a hardware thread at no load and at full load, whole server without its memory (CCF)."""

    name: str
    min_w: float
    max_w: float


PROCESSOR_FAMILIES: Mapping[str, ProcessorFamily] = {
    family.name: family
    for family in (
        ProcessorFamily("Sandy Bridge", 2.17, 8.58),
        ProcessorFamily("Ivy Bridge", 3.04, 8.25),
        ProcessorFamily("Haswell", 1.00, 4.74),
        ProcessorFamily("Broadwell", 0.71, 3.69),
        ProcessorFamily("Skylake", 0.65, 4.26),
        ProcessorFamily("Cascade Lake", 0.64, 3.97),
        ProcessorFamily("Coffee Lake", 1.14, 5.42),
        ProcessorFamily("EPYC 1st generation", 0.82, 2.55),
        ProcessorFamily("EPYC 2nd generation", 0.47, 1.69),
    )
}

# Family and model numbers: Linux arch/x86/include/asm/intel-family.h, and AMD's revision guides.
_INTEL_MODELS = {
    **dict.fromkeys((42, 45), "Sandy Bridge"),
    **dict.fromkeys((58, 62), "Ivy Bridge"),
    **dict.fromkeys((60, 63, 69, 70), "Haswell"),
    **dict.fromkeys((61, 71, 79, 86), "Broadwell"),
    **dict.fromkeys((78, 85, 94), "Skylake"),
    **dict.fromkeys((142, 158), "Coffee Lake"),
}
_CASCADE_LAKE_STEPPINGS = range(5, 8)  # model 85: up to 4 Skylake-SP, 5 to 7 Cascade Lake

# Log standard deviations. Within a family: our assumption from published hold-out errors of "several tens of per
# cent" for utilisation models away from the machine they were fitted to (docs/method.md, "Load models"). Between
# workloads on one machine: about 10 % where they were fitted, 15 % for what SPECpower does not exercise.
WITHIN_FAMILY = 0.30
BETWEEN_WORKLOADS = 0.15


def between_families() -> float:
    """Give the log standard deviation of full-load power between the families of the table (computed, not stored)."""
    import statistics  # which takes longer to load than all sensors together

    return statistics.stdev(math.log(family.max_w) for family in PROCESSOR_FAMILIES.values())


def processor_family(
    vendor: str, family: int, model: int, stepping: int, name: str = "EPYC"
) -> tuple[ProcessorFamily, float, str]:
    """Find the coefficients for a processor.

    Returns:
        The coefficients, the log standard deviation of the power that they give, and how they were chosen:
        ``of its family``, ``by analogy`` (a later generation of the same line), or ``processor not in the table``
        (the table's geometric mean, as wide as the table).
    """
    if vendor == "GenuineIntel" and family == 6 and model in _INTEL_MODELS:
        name = _INTEL_MODELS[model]
        if model == 85 and stepping in _CASCADE_LAKE_STEPPINGS:
            name = "Cascade Lake"
        return PROCESSOR_FAMILIES[name], WITHIN_FAMILY, "of its family"
    if vendor == "AuthenticAMD" and family == 23 and "EPYC" in name:
        name = "EPYC 1st generation" if model < 48 else "EPYC 2nd generation"
        return PROCESSOR_FAMILIES[name], WITHIN_FAMILY, "of its family"
    if vendor == "AuthenticAMD" and family > 23 and "EPYC" in name:
        # What one generation changes within a line, on top of what differs within a family.
        first, second = (PROCESSOR_FAMILIES[f"EPYC {n} generation"].max_w for n in ("1st", "2nd"))
        return (
            PROCESSOR_FAMILIES["EPYC 2nd generation"],
            math.hypot(WITHIN_FAMILY, math.log(first / second)),
            "by analogy with the 2nd generation of its line",
        )
    import statistics

    low, high = (
        statistics.geometric_mean(getattr(f, field) for f in PROCESSOR_FAMILIES.values())
        for field in ("min_w", "max_w")
    )
    unknown = ProcessorFamily("unknown processor", low, high)
    return (
        unknown,
        math.hypot(WITHIN_FAMILY, between_families()),
        "processor not in the table: its geometric mean",
    )


class CpuLoadModel:
    """Power of the processors and their share of the server, from load.

    ``P = n (min + (max - min) * load)`` over `n` hardware threads, so that
    ``E = n * min * time + (max - min) * busy time``, with busy time from ``/proc/stat`` (user, nice, system, irq,
    softirq; not idle, iowait or steal). SPECpower is measured at the wall: it covers board and power-supply losses.

    Raises:
        SensorUnavailable: where there is no ``/proc/stat``.
    """

    name = "cpu load model 1"

    def __init__(self, procfs: Path = Path("/proc")) -> None:
        self._stat = procfs / "stat"
        self._tick_s = 1 / os.sysconf("SC_CLK_TCK")
        facts = cpu_facts(procfs / "cpuinfo")
        family, gain, choice = processor_family(
            facts.get("vendor_id", ""),
            _integer(facts.get("cpu family")),
            _integer(facts.get("model")),
            _integer(facts.get("stepping")),
            facts.get("model name", ""),
        )
        self._threads = self._count()
        self._dynamic_w = family.max_w - family.min_w
        self._static_w = self._threads * family.min_w
        self._origin_ns: int | None = None
        self._origin_busy_s = 0.0
        accuracy = Accuracy(
            gain=gain, mix=BETWEEN_WORKLOADS, resolution_j=self._tick_s * self._dynamic_w, sources=(CCF,)
        )
        self.domains = (
            Domain(
                name="cpu",
                components=frozenset({Component.CPU, Component.BOARD, Component.PSU_LOSS}),
                kind="modelled",
                reading="counter",
                accuracy=accuracy,
                max_power_w=10 * self._threads * family.max_w,
                parameters={
                    "processor": facts.get("model name", "unknown"),
                    "family": family.name,
                    "choice": choice,
                    "threads": self._threads,
                    "min_w_per_thread": round(family.min_w, 4),
                    "max_w_per_thread": round(family.max_w, 4),
                },
            ),
        )

    def _lines(self) -> list[str]:
        try:
            return self._stat.read_text().splitlines()
        except OSError as error:
            raise SensorUnavailable(f"cannot read {self._stat}: {os.strerror(error.errno or 0)}") from error

    def _count(self) -> int:
        count = sum(line.startswith("cpu") and line[3:4].isdigit() for line in self._lines())
        if count == 0:
            raise SensorUnavailable(f"{self._stat} lists no processors")
        return count

    def _busy_s(self) -> float:
        for line in self._lines():
            if line.startswith("cpu "):
                try:
                    user, nice, system, _idle, _iowait, irq, softirq = (int(v) for v in line.split()[1:8])
                except ValueError as error:
                    raise SensorUnavailable(f"{self._stat} has a total line of another kind: {line!r}") from error
                return (user + nice + system + irq + softirq) * self._tick_s
        raise SensorUnavailable(f"{self._stat} has no total line")

    def read(self, now_ns: int) -> Mapping[str, int | SensorError]:
        """Give the modelled energy since the first reading, in microjoules."""
        try:
            busy_s = self._busy_s()
        except SensorUnavailable as error:
            return {"cpu": error}
        if self._origin_ns is None:
            self._origin_ns, self._origin_busy_s = now_ns, busy_s
        elapsed_s = (now_ns - self._origin_ns) / 1e9
        energy_j = self._static_w * elapsed_s + self._dynamic_w * (busy_s - self._origin_busy_s)
        return {"cpu": round(energy_j * 1e6)}

    def close(self) -> None:
        """Nothing is held open."""


# Watts a gigabyte, the lowest and the highest in use. The highest: Cloud Carbon Footprint. The lowest: CodeCarbon 3's
# 5 W a module, which gives as little as 42 W for 1,149 GB.
DRAM_LOW_W_PER_GB = 42 / 1149
DRAM_HIGH_W_PER_GB = 0.392
_DRAM_SOURCES = (
    Source(
        name="Cloud Carbon Footprint coefficients",
        citation="memory: 0.000392 kWh a GB-hour",
        licence="Apache-2.0",
    ),
    Source(name="CodeCarbon 3", citation="5 W a memory module: 42 to 160 W for 1,149 GB", licence="MIT"),
)


class DramModel:
    """Power of the memory from its size: constant, and known to a factor of three.

    The rules in use run from 0.037 to 0.392 W/GB for the same machine; the model takes their geometric mean and
    makes them the ends of its 95 % interval.

    Raises:
        SensorUnavailable: where the size of the memory cannot be read.
    """

    name = "dram size model 1"

    def __init__(self, procfs: Path = Path("/proc")) -> None:
        memory_gb = memory_bytes(procfs) / 1e9
        w_per_gb = math.sqrt(DRAM_LOW_W_PER_GB * DRAM_HIGH_W_PER_GB)
        self._power_w = memory_gb * w_per_gb
        self._origin_ns: int | None = None
        gain = math.log(DRAM_HIGH_W_PER_GB / DRAM_LOW_W_PER_GB) / 2 / 1.96
        self.domains = (
            Domain(
                name="dram",
                components=frozenset({Component.DRAM}),
                kind="modelled",
                reading="counter",
                accuracy=Accuracy(gain=gain, mix=BETWEEN_WORKLOADS, sources=_DRAM_SOURCES),
                parameters={"memory_gb": round(memory_gb, 2), "w_per_gb": round(w_per_gb, 4)},
            ),
        )

    def read(self, now_ns: int) -> Mapping[str, int | SensorError]:
        """Give the modelled energy since the first reading, in microjoules."""
        if self._origin_ns is None:
            self._origin_ns = now_ns
        return {"dram": round(self._power_w * (now_ns - self._origin_ns) / 1e3)}

    def close(self) -> None:
        """Nothing is held open."""


def memory_bytes(procfs: Path) -> int:
    """Read the size of the memory, in bytes.

    Raises:
        SensorUnavailable: where ``/proc/meminfo`` does not say.
    """
    try:
        for line in (procfs / "meminfo").read_text().splitlines():
            if line.startswith("MemTotal:"):
                return int(line.split()[1]) * 1024
    except OSError as error:
        raise SensorUnavailable(f"cannot read {procfs / 'meminfo'}: {os.strerror(error.errno or 0)}") from error
    raise SensorUnavailable(f"{procfs / 'meminfo'} does not tell the size of the memory")


def cpu_facts(path: Path) -> dict[str, str]:
    """Read the first processor's entry of ``cpuinfo``; empty where there is none."""
    try:
        first = path.read_text().split("\n\n", 1)[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _integer(text: str | None) -> int:
    return int(text) if text and text.isdigit() else -1
