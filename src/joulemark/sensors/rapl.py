"""CPU and DRAM energy through Linux powercap (``/sys/class/powercap/intel-rapl*``, AMD through the same)."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from joulemark.errors import PermissionDenied, SensorError, SensorUnavailable
from joulemark.sensors._rapl_domains import DRAM_ACCURACY, PACKAGE_ACCURACY, Kind, rapl_domain, same_counter, text
from joulemark.sensors.seam import Domain

__all__ = ["DRAM_ACCURACY", "PACKAGE_ACCURACY", "RaplSensor"]

# udev(7): %p is the device's path below /sys. The mode is the kernel's, 0400 since Linux 5.10, and is set anew at each
# boot, before the event that this rule waits for.
_RULE = (
    'ACTION=="add|change", SUBSYSTEM=="powercap", KERNEL=="intel-rapl:*", '
    'RUN+="/bin/chgrp joulemark /sys%p/energy_uj", RUN+="/bin/chmod g+r /sys%p/energy_uj"'
)
REMEDY = (
    "sudo groupadd --system --force joulemark && sudo usermod -aG joulemark $USER && "
    f"echo '{_RULE}' | sudo tee /etc/udev/rules.d/70-joulemark-powercap.rules && "
    "sudo udevadm control --reload && sudo udevadm trigger --subsystem-match=powercap --action=add"
    "  # then log in again, see docs/hardware.md"
)
"""Lets a group read the counters, from every boot on: not everybody, for they tell something of what others compute
(CVE-2020-8694)."""

_SUB_ZONES: Mapping[str, Kind] = {"core": "core", "uncore": "uncore", "dram": "dram"}


@dataclass(frozen=True, slots=True)
class _Zone:
    domain: Domain
    energy_file: Path

    def read(self) -> int | SensorError:
        return _read_uj(self.energy_file)


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
            if not any(same_counter(earlier, found[0]) for earlier in zones if found):
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
        return {zone.domain.name: zone.read() for zone in self._zones}

    def close(self) -> None:
        """Nothing is held open."""


def _package_zones(root: Path, folder: Path) -> list[_Zone]:
    title = text(folder / "name")
    if title == "psys":
        return [_zone(folder, "psys", "0")]
    if not title.startswith("package-"):
        return []
    place = title.removeprefix("package-")
    zones = [_zone(folder, "package", place)]
    # Sub-zones appear both inside their package's folder and beside it, under the same name.
    for sub in sorted({p.name for p in (*folder.glob(f"{folder.name}:*"), *root.glob(f"{folder.name}:*"))}):
        home = folder / sub if (folder / sub).is_dir() else root / sub
        if kind := _SUB_ZONES.get(text(home / "name")):
            zones.append(_zone(home, kind, place))
    return zones


def _zone(folder: Path, kind: Kind, place: str) -> _Zone:
    domain = rapl_domain(kind, place, wrap_uj=_range_uj(folder / "max_energy_range_uj"))
    return _Zone(domain, folder / "energy_uj")


def _range_uj(path: Path) -> int:
    stated = text(path)
    if not stated.isdigit():
        raise SensorUnavailable(f"{path} holds no number: {stated!r}")
    return int(stated)


def _read_uj(path: Path) -> int | SensorError:
    try:
        return int(path.read_bytes())
    except PermissionError:
        return PermissionDenied(f"{path} may be read by root only", remedy=REMEDY)
    except OSError as error:
        return SensorUnavailable(f"{path}: {os.strerror(error.errno or errno.EIO)}")
    except ValueError:
        return SensorUnavailable(f"{path} holds no number")
