"""``/dev/cpu/*/msr`` and the topology of the processors in ``/sys``, whose energy a test lets flow."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["AMD_PACKAGE", "AMD_UNITS", "INTEL_REGISTERS", "INTEL_UNITS", "MsrDevices", "topology"]

INTEL_UNITS, AMD_UNITS, AMD_PACKAGE = 0x606, 0xC001_0299, 0xC001_029B
INTEL_REGISTERS = {"package": 0x611, "dram": 0x619, "core": 0x639, "uncore": 0x641, "psys": 0x64D}


def topology(sysfs: Path, places: Mapping[int, tuple[int, int]]) -> None:
    """Put each processor on its socket and die; others are there, but offline."""
    home = sysfs / "devices" / "system" / "cpu"
    for cpu, (socket, die) in places.items():
        folder = home / f"cpu{cpu}" / "topology"
        folder.mkdir(parents=True)
        (folder / "physical_package_id").write_text(f"{socket}\n")
        (folder / "die_id").write_text(f"{die}\n")
    (home / f"cpu{max(places) + 1}").mkdir()
    (home / "cpuidle").mkdir()


class MsrDevices:
    """The registers of every processor: a file each, with register n at byte 8 (n modulo 4096).

    The driver takes the number of a register for its place, and 8 bytes from there: `read_at` does so.

    Args:
        devfs: where ``/dev`` is to be.
        cpus: numbers of the processors.
    """

    def __init__(self, devfs: Path, *cpus: int) -> None:
        self._devfs = devfs
        self._known: set[int] = set()
        self.read_with: set[int] = set()  # processors that were asked
        self.failing = False
        for cpu in cpus:
            self.path(cpu).parent.mkdir(parents=True)
            self.path(cpu).write_bytes(bytes(8 * 4096))

    def path(self, cpu: int) -> Path:
        return self._devfs / "cpu" / str(cpu) / "msr"

    def put(self, register: int, value: int, *cpus: int) -> None:
        """Set a register of 64 bits on these processors."""
        self._known.add(register)
        for cpu in cpus:
            with self.path(cpu).open("r+b") as file:
                file.seek(self._place(register))
                file.write(value.to_bytes(8, "little"))

    def get(self, register: int, cpu: int) -> int:
        place = self._place(register)
        return int.from_bytes(self.path(cpu).read_bytes()[place : place + 8], "little")

    def flow(self, register: int, steps: int, *cpus: int) -> None:
        """Let a counter go on by so many steps on the processors that share it; after 2^32 it starts again."""
        self.put(register, (self.get(register, cpus[0]) + steps) % 2**32, *cpus)

    def read_at(self, descriptor: int, count: int, register: int) -> bytes:
        """Read as the driver does; EIO for a register that the processor does not have."""
        if self.failing or register not in self._known:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self.read_with.add(int(Path(os.readlink(f"/proc/self/fd/{descriptor}")).parent.name))
        return os.pread(descriptor, count, self._place(register))

    @staticmethod
    def _place(register: int) -> int:
        return 8 * (register % 4096)
