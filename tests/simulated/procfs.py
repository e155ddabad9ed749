"""A ``/proc`` of recorded files: ``cpuinfo``, ``meminfo``, ``stat``."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["Procfs"]

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Procfs:
    """A machine's processors and memory, whose time a test lets pass.

    Args:
        root: where ``/proc`` is to be.
        vendor, family, model, stepping: what ``cpuinfo`` says of the processor.
        flags: its flags; ``hypervisor`` on a virtual machine.
        threads: number of hardware threads.
        memory_kib: size of the memory.
    """

    def __init__(
        self,
        root: Path,
        *,
        vendor: str = "GenuineIntel",
        family: int = 6,
        model: int = 85,
        stepping: int = 7,
        flags: str = "fpu vme",
        threads: int = 4,
        memory_kib: int = 16_000_000,
    ) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = root
        self._threads = threads
        self._ticks = [0.0] * 10  # user nice system idle iowait irq softirq steal guest guest_nice
        entry = (
            f"vendor_id\t: {vendor}\ncpu family\t: {family}\nmodel\t\t: {model}\n"
            f"model name\t: AMD EPYC or other, model {model}\nstepping\t: {stepping}\nflags\t\t: {flags}\n"
        )
        (root / "cpuinfo").write_text("\n".join(f"processor\t: {i}\n{entry}" for i in range(threads)))
        (root / "meminfo").write_text(f"MemTotal:       {memory_kib} kB\nMemFree:        {memory_kib // 2} kB\n")
        self.spend()

    def spend(
        self,
        *,
        user: float = 0,
        nice: float = 0,
        system: float = 0,
        idle: float = 0,
        iowait: float = 0,
        irq: float = 0,
        softirq: float = 0,
        steal: float = 0,
    ) -> None:
        """Let CPU time pass, in seconds summed over all processors."""
        for place, seconds in enumerate((user, nice, system, idle, iowait, irq, softirq, steal)):
            self._ticks[place] += seconds / TICK_S
        whole = " ".join(str(round(t)) for t in self._ticks)
        each = " ".join(str(round(t / self._threads)) for t in self._ticks)
        lines = [f"cpu  {whole}", *(f"cpu{i} {each}" for i in range(self._threads)), "intr 1 2 3", "ctxt 12345"]
        (self.root / "stat").write_text("\n".join(lines) + "\n")
