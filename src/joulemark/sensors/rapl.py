"""CPU and DRAM energy through Linux powercap (``/sys/class/powercap/intel-rapl*``, AMD through the same)."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from joulemark.boundary import Component
from joulemark.errors import PermissionDenied, SensorError, SensorUnavailable
from joulemark.figures import Source
from joulemark.readings import Accuracy
from joulemark.sensors.seam import Domain

__all__ = ["RaplSensor"]

REMEDY = "sudo chmod -R a+r /sys/class/powercap/intel-rapl:*  # until the next boot"

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
_PACKAGE = Accuracy(gain=0.05 / 1.96, period_s=1e-3, resolution_j=6.1e-5, sources=(_KHAN,))
_DRAM = Accuracy(gain=0.20 / 1.96, period_s=1e-3, resolution_j=6.1e-5, sources=(_DESROCHERS,))


@dataclass(frozen=True, slots=True)
class _Zone:
    domain: Domain
    energy_file: Path


class RaplSensor:
    """Reads the powercap zones of every package once.

    Each zone is one counter in microjoules that wraps at ``max_energy_range_uj``. The memory-mapped twins
    (``intel-rapl-mmio``) show the same packages again and are left out, and so are the dies of a socket that has
    only one counter for all of them.

    Raises:
        SensorUnavailable: if there is no such zone.
        PermissionDenied: if the counters are there but may not be read (Linux 5.10 and later: root only).
    """

    name = "rapl powercap"

    def __init__(self, sysfs: Path = Path("/sys")) -> None:
        root = sysfs / "class" / "powercap"
        zones: list[_Zone] = []
        for folder in sorted(root.glob("intel-rapl:*")):
            if folder.name.count(":") != 1:
                continue
            found = _package_zones(root, folder)
            if not any(_same_counter(earlier, found[0]) for earlier in zones if found):
                zones += found
        if not zones:
            raise SensorUnavailable(
                f"no RAPL zones in {root}: no Intel or AMD processor that has them, a virtual machine, "
                "or the kernel module intel_rapl_common is not loaded"
            )
        self._zones = tuple(zones)
        self.domains = tuple(zone.domain for zone in zones)
        errors = [value for value in self.read(0).values() if isinstance(value, SensorError)]
        for error in errors:
            if isinstance(error, PermissionDenied) or len(errors) == len(zones):
                raise error

    def read(self, now_ns: int) -> Mapping[str, int | SensorError]:
        """Read every zone, in microjoules."""
        return {zone.domain.name: _read_uj(zone.energy_file) for zone in self._zones}

    def close(self) -> None:
        """Nothing is held open."""


def _package_zones(root: Path, folder: Path) -> list[_Zone]:
    title = _text(folder / "name")
    if title == "psys":
        return [_zone(folder, "psys", Component.CPU, Component.DRAM, Component.BOARD, container=True)]
    if not title.startswith("package-"):
        return []
    number = title.removeprefix("package-")
    package = f"cpu-{number}"
    zones = [_zone(folder, package, Component.CPU)]
    # Sub-zones appear both inside their package's folder and beside it, under the same name.
    for sub in sorted({p.name for p in (*folder.glob(f"{folder.name}:*"), *root.glob(f"{folder.name}:*"))}):
        place = folder / sub if (folder / sub).is_dir() else root / sub
        kind = _text(place / "name")
        if kind == "dram":
            zones.append(_zone(place, f"dram-{number}", Component.DRAM))
        elif kind in {"core", "uncore"}:
            zones.append(_zone(place, f"{package}/{kind}", Component.CPU, parent=package))
    return zones


def _same_counter(one: _Zone, other: _Zone) -> bool:
    """Tell whether two dies of one socket show the same counter.

    Linux names a zone for every die (``package-0-die-1``). On multi-die Intel processors each die has a counter of
    its own; on AMD ones all of them show their socket's, and their sum would be several times too much. A reading
    between two readings of the other die lies between them only if both are one counter: on two counters of 2^32
    steps that would be a coincidence of about one in a million.
    """
    socket, die, _ = one.domain.name.partition("-die-")
    if not die or not other.domain.name.startswith(f"{socket}-die-"):
        return False
    before, between, after = (_read_uj(zone.energy_file) for zone in (one, other, one))
    if isinstance(before, SensorError) or isinstance(between, SensorError) or isinstance(after, SensorError):
        return False
    span_uj = (one.domain.wrap_uj or 0) + 1
    return (between - before) % span_uj <= (after - before) % span_uj


def _zone(folder: Path, name: str, *components: Component, parent: str | None = None, container: bool = False) -> _Zone:
    is_dram = components == (Component.DRAM,)
    reading: Literal["counter"] = "counter"
    domain = Domain(
        name=name,
        components=frozenset(components),
        kind="measured",
        reading=reading,
        accuracy=_DRAM if is_dram else _PACKAGE,
        wrap_uj=_range_uj(folder / "max_energy_range_uj"),
        parent=parent,
        container=container,
    )
    return _Zone(domain, folder / "energy_uj")


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError as error:
        raise SensorUnavailable(f"cannot read {path}: {os.strerror(error.errno or 0)}") from error


def _range_uj(path: Path) -> int:
    text = _text(path)
    if not text.isdigit():
        raise SensorUnavailable(f"{path} holds no number: {text!r}")
    return int(text)


def _read_uj(path: Path) -> int | SensorError:
    try:
        return int(path.read_bytes())
    except PermissionError:
        return PermissionDenied(f"{path} may be read by root only", remedy=REMEDY)
    except OSError as error:
        return SensorUnavailable(f"{path}: {os.strerror(error.errno or errno.EIO)}")
    except ValueError:
        return SensorUnavailable(f"{path} holds no number")
