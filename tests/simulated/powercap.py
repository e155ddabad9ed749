"""A powercap tree as Linux lays it out, whose energy a test lets flow."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import pytest

__all__ = ["RANGE_UJ", "PowercapTree"]

RANGE_UJ = 262_143_328_850
"""``max_energy_range_uj`` of a server's package: 2^32 - 1 steps of 61 µJ."""

# Files of the kernel that nobody, not even root, gets to read: one is write-only, the other fails with EIO at 0.
WRITE_ONLY = Path("/proc/sys/vm/compact_memory")
FAILING = Path("/proc/self/mem")


class PowercapTree:
    """``class/powercap`` under a root of the test's own.

    The zones are folders under ``devices/virtual/powercap/<control type>``, sub-zones inside their package;
    ``class/powercap`` holds a link to every one of them, sub-zones beside packages.

    Args:
        root: where ``/sys`` is to be.
        packages: titles of the packages; each contains ``core`` and ``dram`` as sub-zones.
        psys: whether there is a zone of the whole platform.
        mmio: whether the memory-mapped twin shows the first package again.
        range_uj: largest value of every counter.
    """

    def __init__(
        self,
        root: Path,
        *,
        packages: Iterable[str] = ("package-0", "package-1"),
        psys: bool = True,
        mmio: bool = True,
        range_uj: int = RANGE_UJ,
    ) -> None:
        self.root = root
        self._range_uj = range_uj
        self._files: dict[str, list[Path]] = {}
        self._shown_uj: dict[str, int] = {}
        packages = tuple(packages)
        for number, title in enumerate(packages):
            self._package("intel-rapl", number, title)
        if psys:
            self._zone(("intel-rapl", f"intel-rapl:{len(packages)}"), "psys", "psys")
        if mmio:
            self._package("intel-rapl-mmio", 0, packages[0])

    def _package(self, control: str, number: int, title: str) -> None:
        name = f"{control}:{number}"
        self._zone((control, name), title, title)
        for sub, kind in enumerate(("core", "dram")):
            self._zone((control, name, f"{name}:{sub}"), kind, f"{title}/{kind}")

    def _zone(self, place: tuple[str, ...], title: str, key: str) -> None:
        folder = self.root.joinpath("devices", "virtual", "powercap", *place)
        folder.mkdir(parents=True)
        (folder / "name").write_text(f"{title}\n")
        (folder / "max_energy_range_uj").write_text(f"{self._range_uj}\n")
        listed = self.root / "class" / "powercap"
        listed.mkdir(parents=True, exist_ok=True)
        for link in (listed / place[0], listed / place[-1]):
            if not link.exists():
                link.symlink_to(folder if link.name == place[-1] else folder.parent)
        self._files.setdefault(key, []).append(folder / "energy_uj")
        self._shown_uj.setdefault(key, 0)
        self._write(key)

    def _write(self, key: str) -> None:
        for file in self._files[key]:
            _replace(file, lambda new: new.write_text(f"{self._shown_uj[key]}\n"))

    def flow(self, energies_j: Mapping[str, float]) -> None:
        """Let energy flow, in joules by zone (``package-0``, ``package-0/dram``, ``psys``); a counter wraps."""
        for key, energy_j in energies_j.items():
            self._shown_uj[key] = (self._shown_uj[key] + round(energy_j * 1e6)) % (self._range_uj + 1)
            self._write(key)

    def show(self, key: str, shown_uj: int) -> None:
        """Set a counter, in microjoules."""
        self._shown_uj[key] = shown_uj
        self._write(key)

    def deny(self) -> None:
        """Take the right to read every counter away, as Linux 5.10 and later do for all but root."""
        for file in self._all():
            if os.geteuid():
                file.chmod(0)
            else:  # root reads what it likes, but for this
                _replace(file, lambda new: new.symlink_to(WRITE_ONLY))
        with pytest.raises(PermissionError):
            next(self._all()).read_bytes()

    def fail(self, key: str) -> None:
        """Let the reads of one zone fail with EIO until energy flows again."""
        for file in self._files[key]:
            _replace(file, lambda new: new.symlink_to(FAILING))

    def _all(self) -> Iterator[Path]:
        return iter([file for files in self._files.values() for file in files])


def _replace(file: Path, make: Callable[[Path], object]) -> None:
    """Put a new file in an old one's place at once, so that nothing is ever written through a link."""
    new = file.with_name("new")
    make(new)
    new.replace(file)
