"""A laptop's whole power while it runs on its battery (``/sys/class/power_supply``)."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path

from joulemark.boundary import Component
from joulemark.errors import PermissionDenied, SensorError, SensorUnavailable
from joulemark.figures import Source
from joulemark.readings import Accuracy
from joulemark.sensors.seam import Domain

__all__ = ["BatterySensor"]

_SOURCE = Source(
    name="Linux kernel, Documentation/ABI/testing/sysfs-class-power",
    citation="power_now in µW, else current_now in µA times voltage_now in µV; the width of ±10 % and updates every "
    "second (the ACPI driver's cache_time) are assumptions of ours: firmware differs, and states neither",
)
_ACCURACY = Accuracy(gain=0.10 / 1.96, period_s=1.0, sources=(_SOURCE,))


class BatterySensor:
    """Reads what flows out of the batteries: one gauge, ``battery``, of the whole machine with its screen.

    It is a container, shown and never added to what it feeds. It says something only while the machine runs on its
    battery alone: with the mains connected, or while a battery charges, every reading is the reason instead.

    Raises:
        SensorUnavailable: if there is no battery, or if the machine does not run on it now. A gauge that has nothing
            to say is not worth ten readings a second.
        PermissionDenied: if the battery may not be read by this user.
    """

    name = "battery power_supply"

    def __init__(self, sysfs: Path = Path("/sys")) -> None:
        root = sysfs / "class" / "power_supply"
        # "Device": the battery of a mouse or a headset, or its charger.
        supplies = [s for s in sorted(root.glob("*")) if _described(s, "scope") != "Device"]
        self._batteries = [s for s in supplies if _described(s, "type") == "Battery"]
        self._chargers = [s for s in supplies if _described(s, "type") in {"Mains", "USB", "Wireless"}]
        if not self._batteries:
            raise SensorUnavailable(f"no battery in {root}")
        self.domains = (
            Domain(
                name="battery",
                components=frozenset({Component.CPU, Component.DRAM, Component.BOARD}),
                kind="measured",
                reading="gauge",
                accuracy=_ACCURACY,
                container=True,
            ),
        )
        reading = self.read(0)["battery"]
        if isinstance(reading, SensorError):
            raise reading

    def read(self, now_ns: int) -> Mapping[str, int | SensorError]:
        """Read the power that the batteries give, in microwatts, or the reason why it is not the machine's."""
        try:
            return {"battery": self._power_uw()}
        except SensorError as error:
            return {"battery": error}

    def close(self) -> None:
        """Nothing is held open."""

    def _power_uw(self) -> int:
        for charger in self._chargers:
            # Where the charger is too weak, or held back, batteries help: their share is not the machine's power.
            if (charger / "online").exists() and _text(charger / "online") != "0":
                raise SensorUnavailable(f"the machine runs on {charger.name}, not on its battery alone")
        status = {battery: _text(battery / "status") for battery in self._batteries}
        giving = [battery for battery, is_now in status.items() if is_now == "Discharging"]
        # Two batteries are emptied one after the other; the second is "Not charging" or "Unknown" meanwhile.
        if not giving or "Charging" in status.values():
            states = ", ".join(f"{battery.name} is {is_now!r}" for battery, is_now in status.items())
            raise SensorUnavailable(f"the machine does not run on its battery: {states}")
        return sum(_battery_uw(battery) for battery in giving)


def _battery_uw(battery: Path) -> int:
    # Discharging is negative by the kernel's documentation and positive with most drivers.
    if (battery / "power_now").exists():
        return abs(_number(battery / "power_now"))
    return abs(_number(battery / "current_now") * _number(battery / "voltage_now")) // 10**6


def _described(supply: Path, what: str) -> str:
    return _text(supply / what) if (supply / what).exists() else ""


def _number(path: Path) -> int:
    text = _text(path)
    try:
        return int(text)
    except ValueError as error:
        raise SensorUnavailable(f"{path} holds no number: {text!r}") from error


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except PermissionError as error:
        raise PermissionDenied(
            f"{path} may be read by root only", remedy=f"sudo chmod a+r {path}  # until the next boot"
        ) from error
    except OSError as error:
        raise SensorUnavailable(f"{path}: {os.strerror(error.errno or errno.EIO)}") from error
