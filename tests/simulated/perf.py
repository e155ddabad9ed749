"""The ``power`` PMU in ``/sys``, and a kernel that counts for it, whose energy a test lets flow."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.simulated.msr import topology
from tests.simulated.procfs import Procfs

__all__ = ["INTEL_EVENTS", "PowerPmu"]

INTEL_EVENTS = {"energy-cores": 1, "energy-pkg": 2, "energy-ram": 3, "energy-gpu": 4, "energy-psys": 5}
SCALE = "2.3283064365386962890625e-10"  # 2^-32 J

COPIES = 2000  # of a count in its file: so often it can be read before it changes


@dataclass
class _Hardware:
    """A counter of 32 bits."""

    steps: int = 0


@dataclass
class _Open:
    """An event: what it has counted, and the hardware's steps that are in it."""

    event: int
    cpu: int
    descriptor: int
    count: int
    seen: int


class PowerPmu:
    """A PMU of type 21, with files in place of the kernel's descriptors.

    Counts go up as in the kernel (``rapl_event_update``): by the difference of two readings of the hardware, taken for
    a signed number of 32 bits.

    Args:
        root: where ``/sys`` and ``/proc`` are to be (`sysfs`, `procfs`).
        events: names and numbers.
        places: socket and die of each processor.
        cpumask: processors to read it on; one a place without it.
        vendor, family, model: the processor.
        unit: the hardware counts in steps of 2^-unit J.
    """

    def __init__(
        self,
        root: Path,
        *,
        events: Mapping[str, int] = INTEL_EVENTS,
        places: Mapping[int, tuple[int, int]] | None = None,
        cpumask: str = "0,2",
        vendor: str = "GenuineIntel",
        family: int = 6,
        model: int = 85,
        unit: int = 14,
    ) -> None:
        self.sysfs, self.procfs = root / "sys", root / "proc"
        self._places = places or {0: (0, 0), 1: (0, 0), 2: (1, 0), 3: (1, 0)}
        self._unit = unit
        self._hardware: dict[tuple[int, int, int], _Hardware] = {}
        self._one_a_socket = vendor != "GenuineIntel"
        self._open: list[_Open] = []
        self.handed_out: list[int] = []  # descriptors
        self.refusal: OSError | None = None
        self.refused: set[int] | None = None  # events; all of them without it
        Procfs(self.procfs, vendor=vendor, family=family, model=model)
        topology(self.sysfs, self._places)
        self.folder = self.sysfs / "bus" / "event_source" / "devices" / "power"
        (self.folder / "events").mkdir(parents=True)
        (self.folder / "type").write_text("21\n")
        (self.folder / "cpumask").write_text(f"{cpumask}\n")
        for name, number in events.items():
            self.describe(name, f"event={number:#04x}")

    def describe(self, name: str, config: str, *, unit: str = "Joules", scale: str = SCALE) -> None:
        for suffix, value in {"": config, ".unit": unit, ".scale": scale}.items():
            (self.folder / "events" / f"{name}{suffix}").write_text(f"{value}\n")

    def open_event(self, kind: int, event: int, cpu: int) -> int:
        """Open a counter as `joulemark.sensors.perf.open_event` does."""
        assert kind == 21
        if self.refusal is not None and (self.refused is None or event in self.refused):
            raise self.refusal
        descriptor = os.memfd_create(f"perf_event {event} on {cpu}")
        self._open.append(_Open(event, cpu, os.dup(descriptor), 0, self._counter(event, cpu).steps))
        self._show(self._open[-1])
        self.handed_out.append(descriptor)
        return descriptor

    def flow(self, event: str, energy_j: float, *, cpu: int = 0) -> None:
        """Let energy flow where a processor is."""
        number = INTEL_EVENTS[event]
        self._fold(only_what_was_read=True)
        counter = self._counter(number, cpu)
        counter.steps = (counter.steps + round(energy_j * 2**self._unit)) % 2**32
        for it in self._open:
            self._show(it)

    def tick(self) -> None:
        """Let the kernel's timer run, which adds up the hardware's counters."""
        self._fold(only_what_was_read=False)

    def stop_counting(self) -> None:
        """Let every reading from now on be the end of the file."""
        for it in self._open:
            os.ftruncate(it.descriptor, 0)

    def close(self) -> None:
        for it in self._open:
            os.close(it.descriptor)
        self._open = []

    def _counter(self, event: int, cpu: int) -> _Hardware:
        socket, die = self._places[cpu]
        return self._hardware.setdefault((event, socket, 0 if self._one_a_socket else die), _Hardware())

    def _fold(self, *, only_what_was_read: bool) -> None:
        for it in self._open:
            if not only_what_was_read or os.lseek(it.descriptor, 0, os.SEEK_CUR) > 0:
                it.count, it.seen = self._sum(it), self._counter(it.event, it.cpu).steps

    def _sum(self, it: _Open) -> int:
        steps = (self._counter(it.event, it.cpu).steps - it.seen + 2**31) % 2**32 - 2**31
        return it.count + (steps << (32 - self._unit))

    def _show(self, it: _Open) -> None:
        count = self._sum(it).to_bytes(8, sys.byteorder, signed=True)
        os.ftruncate(it.descriptor, 0)
        os.pwrite(it.descriptor, count * COPIES, 0)
        os.lseek(it.descriptor, 0, os.SEEK_SET)
