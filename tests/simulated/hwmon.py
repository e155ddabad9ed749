"""``class/hwmon`` and ``class/power_supply`` as Linux lays them out, whose power a test sets."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.simulated.powercap import FAILING, WRITE_ONLY

__all__ = [
    "GRACE",
    "JETSON_NX",
    "HwmonTree",
    "PowerSupplyTree",
    "deny",
    "fail",
    "put",
]


def _rail(number: int, label: str, voltage_mv: int, current_ma: int) -> dict[str, str | int]:
    return {
        f"in{number}_label": label,
        f"in{number}_input": voltage_mv,
        f"in{number}_enable": 1,
        f"curr{number}_input": current_ma,
    }


GRACE = {"Module": 560_000_000, "Grace": 250_000_000, "CPU": 190_000_000, "SysIO": 20_000_000}
"""Microwatts by what a meter of a Grace Hopper module calls itself."""

JETSON_NX: Mapping[str, str | int] = {
    **_rail(1, "VDD_IN", 5000, 4000),
    **_rail(2, "VDD_CPU_GPU_CV", 5000, 2400),
    **_rail(3, "VDD_SOC", 4960, 500),
    "in4_input": 20_000,  # shunt voltage of the first rail, in µV
    "in7_label": "sum of shunt voltages",
    "in7_input": 34_500,
    "update_interval": 20,
}
"""Attributes of the INA3221 of an Orin NX: 20 W for the module, 12 W and 2.48 W on two rails (mV and mA)."""


class HwmonTree:
    """``class/hwmon`` under a root of the test's own.

    Args:
        root: where ``/sys`` is to be.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._chips = 0

    def chip(
        self,
        driver: str,
        attributes: Mapping[str, str | int],
        *,
        device: str = "platform/chip",
        number: str = "",
        with_device: bool = False,
    ) -> Path:
        """Add a chip and give the folder of its attributes.

        Args:
            driver: its name.
            attributes: files and what they hold.
            device: where the device is under ``devices``.
            number: PCI device number, of a device that has one.
            with_device: whether its attributes are beside the device's own, as with the older interface.
        """
        home = self.root / "devices" / device
        folder = home / "hwmon" / f"hwmon{self._chips}"
        self._chips += 1
        folder.mkdir(parents=True)
        (folder / "device").symlink_to(home)
        (folder / "uevent").write_text("")
        if number:
            put(home / "device", number)
        listed = self.root / "class" / "hwmon"
        listed.mkdir(parents=True, exist_ok=True)
        (listed / folder.name).symlink_to(folder)
        place = home if with_device else folder
        for name, value in {"name": driver, **attributes}.items():
            put(place / name, value)
        return place

    def epyc(self, *sockets_uj: int, cores: int = 2) -> Path:
        """Add the chip of ``amd_energy``: cores first, then what it takes for sockets."""
        labels = [f"Ecore{core:03}" for core in range(cores)] + [f"Esocket{s}" for s in range(len(sockets_uj))]
        values = [1_000_000 + core for core in range(cores)] + list(sockets_uj)
        attributes: dict[str, str | int] = {}
        for number, (label, value) in enumerate(zip(labels, values, strict=True), start=1):
            attributes |= {f"energy{number}_label": label, f"energy{number}_input": value}
        return self.chip("amd_energy", attributes, device="platform/amd_energy.0")

    def grace(self, socket: int = 0, *, with_device: bool = True) -> dict[str, Path]:
        """Add the four meters of a Grace Hopper module; give the file of each."""
        files = {}
        for number, (kind, power_uw) in enumerate(GRACE.items()):
            attributes: dict[str, str | int] = {
                "power1_average": power_uw,
                "power1_average_interval": 50,
                "power1_accuracy": "100.0%",
                "power1_is_battery": 0,
                "power1_oem_info": f"{kind} Power Socket {socket}",
            }
            device = f"LNXSYSTM:00/ACPI000D:{socket}{number}"
            place = self.chip("power_meter", attributes, device=device, with_device=with_device)
            files[kind] = place / "power1_average"
        return files


class PowerSupplyTree:
    """``class/power_supply`` of a laptop on its battery: 12 W, and the mains not connected.

    Args:
        root: where ``/sys`` is to be.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.battery = self.supply(
            "BAT0", type="Battery", status="Discharging", power_now=12_000_000, voltage_now=11_400_000
        )
        self.mains = self.supply("AC", type="Mains", online=0)

    def supply(self, name: str, **files: str | int) -> Path:
        """Add a supply and give its folder."""
        folder = self.root / "class" / "power_supply" / name
        folder.mkdir(parents=True)
        for file, value in files.items():
            put(folder / file, value)
        return folder


def put(file: Path, value: str | int) -> None:
    """Let a file hold a value, at once, so that nothing is ever written through a link."""
    new = file.with_name("new")
    new.write_text(f"{value}\n")
    new.replace(file)


def fail(file: Path) -> None:
    """Let the reads of a file fail with EIO."""
    _link(file, FAILING)


def deny(file: Path) -> None:
    """Take the right to read a file away."""
    if os.geteuid():
        file.chmod(0)
    else:  # root reads what it likes, but for this
        _link(file, WRITE_ONLY)
    with pytest.raises(PermissionError):
        file.read_bytes()


def _link(file: Path, target: Path) -> None:
    new = file.with_name("new")
    new.symlink_to(target)
    new.replace(file)
