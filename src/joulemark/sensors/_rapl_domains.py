"""What powercap, perf_event and the model-specific registers have in common: they show the same RAPL counters."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Literal, Protocol

from joulemark.boundary import Component
from joulemark.errors import SensorError, SensorUnavailable
from joulemark.figures import Source
from joulemark.readings import Accuracy
from joulemark.sensors.seam import Domain

__all__ = [
    "DRAM_ACCURACY",
    "PACKAGE_ACCURACY",
    "HeldFile",
    "Kind",
    "model_of",
    "one_cpu_a_die",
    "rapl_domain",
    "same_counter",
    "text",
]

Kind = Literal["package", "core", "uncore", "dram", "psys"]
"""What a RAPL counter covers, as powercap calls it."""

_KHAN = Source(
    name="RAPL in Action",
    citation="Khan et al., ACM TOMPECS 3(2):9 (2018), doi:10.1145/3177754: high correlation with wall power; "
    "the width of ±5 % is an assumption of ours, no board-level figure is published",
)
_DESROCHERS = Source(
    name="A validation of DRAM RAPL power measurements",
    citation="Desrochers, Paradis, Weaver, MEMSYS 2016, doi:10.1145/2989081.2989088: right trend, constant offset "
    "that differs between systems; the width of ±20 % is an assumption of ours",
)
# Standard uncertainties are the stated 95 % widths over 1.96. RAPL counters are updated about every millisecond
# (Intel SDM volume 3B, 16.10.1: "approximately every 1 ms"), in steps of 15.3 or 61 µJ.
PACKAGE_ACCURACY = Accuracy(gain=0.05 / 1.96, period_s=1e-3, resolution_j=6.1e-5, sources=(_KHAN,))
DRAM_ACCURACY = Accuracy(gain=0.20 / 1.96, period_s=1e-3, resolution_j=6.1e-5, sources=(_DESROCHERS,))

_COMPONENTS: dict[Kind, tuple[Component, ...]] = {
    "package": (Component.CPU,),
    "core": (Component.CPU,),
    "uncore": (Component.CPU,),
    "dram": (Component.DRAM,),
    "psys": (Component.CPU, Component.DRAM, Component.BOARD),
}


def rapl_domain(kind: Kind, place: str, *, wrap_uj: int, resolution_j: float | None = None) -> Domain:
    """Describe a RAPL counter.

    Args:
        kind: what it covers. Cores and the uncore lie in their package, memory beside it, and psys holds all of them.
        place: the socket, or the die in it: ``0``, ``0-die-1``.
        wrap_uj: largest value of the counter, in microjoules.
        resolution_j: its step, where that is known, in joules.
    """
    package = f"cpu-{place}"
    names = {
        "package": package,
        "dram": f"dram-{place}",
        # As Linux names the zones: one for the whole platform, and one for each further socket that shows its own.
        "psys": "psys" if place in {"0", "0-die-0"} else f"psys-{place}",
    }
    accuracy = DRAM_ACCURACY if kind == "dram" else PACKAGE_ACCURACY
    return Domain(
        name=names.get(kind, f"{package}/{kind}"),
        components=frozenset(_COMPONENTS[kind]),
        kind="measured",
        reading="counter",
        accuracy=accuracy if resolution_j is None else replace(accuracy, resolution_j=resolution_j),
        wrap_uj=wrap_uj,
        parent=package if kind in {"core", "uncore"} else None,
        container=kind == "psys",
    )


class Counter(Protocol):
    """A domain that can be read."""

    @property
    def domain(self) -> Domain:
        """What it covers."""

    def read(self) -> int | SensorError:
        """Read it, in microjoules."""


def same_counter(one: Counter, other: Counter) -> bool:
    """Tell whether two dies of one socket show the same counter.

    Linux names a zone for every die (``package-0-die-1``). On multi-die Intel processors each die has a counter of
    its own; on AMD ones all of them show their socket's, and their sum would be several times too much. A reading
    between two readings of the other die lies between them only if both are one counter: on two counters of 2^32
    steps that would be a coincidence of about one in a million.
    """
    socket, die, _ = one.domain.name.partition("-die-")
    if not die or not other.domain.name.startswith(f"{socket}-die-"):
        return False
    before, between, after = one.read(), other.read(), one.read()
    if isinstance(before, SensorError) or isinstance(between, SensorError) or isinstance(after, SensorError):
        return False
    span_uj = (one.domain.wrap_uj or 0) + 1
    return (between - before) % span_uj <= (after - before) % span_uj


def one_cpu_a_die(sysfs: Path, cpus: Iterable[int], *, vendor: str) -> dict[str, int]:
    """Choose the first of these processors on every die that has counters of its own, by the die's place.

    Args:
        sysfs: where ``/sys`` is.
        cpus: numbers of online processors.
        vendor: ``vendor_id`` of ``/proc/cpuinfo``. AMD and Hygon have one counter a socket, however many dies; Intel
            has one a die (Linux, arch/x86/events/rapl.c, "RAPL Package energy counter scope").

    Returns:
        Numbers of processors by place: ``0``, ``1``; where a socket has several dies ``0-die-0``, ``0-die-1``.
    """
    chosen: dict[tuple[int, int], int] = {}
    for cpu in sorted(cpus):
        topology = sysfs / "devices" / "system" / "cpu" / f"cpu{cpu}" / "topology"
        die = 0 if vendor in {"AuthenticAMD", "HygonGenuine"} else _number(topology / "die_id")
        chosen.setdefault((_number(topology / "physical_package_id"), die), cpu)
    sockets = {socket for socket, _ in chosen}
    if len(sockets) == len(chosen):
        return {str(socket): cpu for (socket, _), cpu in sorted(chosen.items())}
    return {f"{socket}-die-{die}": cpu for (socket, die), cpu in sorted(chosen.items())}


def _number(path: Path) -> int:
    """Read an identifier; 0 where there is none: before Linux 5.2 (die_id), or -1 where firmware tells nothing."""
    try:
        return max(int(path.read_bytes()), 0)
    except (OSError, ValueError):
        return 0


def model_of(facts: dict[str, str]) -> tuple[str, int, int]:
    """Give vendor, family and model of a processor; -1 for a number that its facts do not hold."""
    family, model = (facts.get(key, "") for key in ("cpu family", "model"))
    return (
        facts.get("vendor_id", ""),
        int(family) if family.isdigit() else -1,
        int(model) if model.isdigit() else -1,
    )


class HeldFile:
    """A file that stays open, and that no other file is taken for.

    A program that becomes a daemon closes every file descriptor, and the next file that it opens gets the number of
    an old one. Reading there would take bytes out of somebody's socket. The kernel's name of the descriptor tells:
    ``anon_inode:[perf_event]``, ``/dev/cpu/0/msr``. It costs about 4 µs a reading.

    Args:
        descriptor: of the open file; it is closed with `close`.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        try:
            self._title = os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError as error:
            os.close(descriptor)
            raise SensorUnavailable(f"/proc/self/fd tells nothing: {os.strerror(error.errno or 0)}") from error

    def fileno(self) -> int:
        """Give the descriptor.

        Raises:
            SensorUnavailable: if it has been closed, or is another file by now.
        """
        if not self._is_ours():
            raise SensorUnavailable(f"{self._title} was closed")
        return self._descriptor

    def close(self) -> None:
        """Close the file, if it still is this one."""
        if self._is_ours():
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
        self._descriptor = -1

    def _is_ours(self) -> bool:
        try:
            return os.readlink(f"/proc/self/fd/{self._descriptor}") == self._title
        except OSError:
            return False


def text(path: Path) -> str:
    """Read a description.

    Raises:
        SensorUnavailable: if it cannot be read.
    """
    try:
        return path.read_text().strip()
    except OSError as error:
        raise SensorUnavailable(f"cannot read {path}: {os.strerror(error.errno or 0)}") from error
