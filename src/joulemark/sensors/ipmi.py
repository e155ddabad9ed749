"""A server's whole power through its management controller: DCMI over IPMI, with ``ipmitool``."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from joulemark.errors import PermissionDenied, SensorError, SensorUnavailable
from joulemark.figures import Source
from joulemark.readings import Accuracy
from joulemark.sensors.whole import MACHINE, TIMEOUT_S, machine_domain, microwatts

__all__ = ["IpmiSensor"]

_SOURCE = Source(
    name="DCMI specification 1.5, Get Power Reading",
    citation="watts of the whole platform, in whole numbers; controllers take them from the power supplies, which "
    "measure their input (PMBus; Intel Server Board S1200V3RP Technical Product Specification, Node Manager); the "
    "width of ±10 % and updates every second are assumptions of ours: controllers differ, and state neither",
)
_ACCURACY = Accuracy(gain=0.10 / 1.96, period_s=1.0, sources=(_SOURCE,))
_MAX_POWER_W = 65_535.0  # the field has 16 bits (ipmitool, lib/ipmi_dcmi.c)

# Where ipmitool looks for the controller (src/plugins/open/open.c).
_DEVICES = ("ipmi0", "ipmi/0", "ipmidev/0")
_WHO = "the management controller (IPMI)"


class IpmiSensor:
    """Reads the power of this server: one gauge, ``machine``, a container, at the input of its power supplies.

    A reading starts a process and waits for the controller, some 10 to 100 ms: not a sensor for the edges of short
    windows.

    Args:
        command: what to call instead of ``ipmitool``.
        dev: where ``/dev`` is.
        timeout_s: how long a reading may take, in seconds.

    Raises:
        SensorUnavailable: if there is no controller or no ipmitool, or if the controller does not measure power.
        PermissionDenied: if there is one, but not for this user.
    """

    name = "ipmi dcmi"

    def __init__(self, command: str = "ipmitool", *, dev: Path = Path("/dev"), timeout_s: float = TIMEOUT_S) -> None:
        device = next((dev / name for name in _DEVICES if (dev / name).exists()), None)
        if device is None:
            raise SensorUnavailable(
                f"no management controller in {dev} (ipmi0): this machine has none, or the kernel module ipmi_devintf "
                "is not loaded"
            )
        import shutil  # loaded where there is something to ask

        program = shutil.which(command)
        if program is None:
            raise SensorUnavailable("there is a management controller, but no ipmitool to ask it; install ipmitool")
        if not os.access(device, os.R_OK | os.W_OK):
            raise _denied(device)
        self._words = (program, "dcmi", "power", "reading")
        self._device = device
        self._timeout_s = timeout_s
        self.domains = (machine_domain(_ACCURACY, max_power_w=_MAX_POWER_W),)
        reading = self.read(0)[MACHINE]
        if isinstance(reading, SensorError):
            raise reading

    def read(self, now_ns: int) -> Mapping[str, int | SensorError]:
        """Read the machine's power, in microwatts."""
        try:
            return {MACHINE: _power_uw(self._answer())}
        except SensorError as error:
            return {MACHINE: error}

    def close(self) -> None:
        """Nothing is held open."""

    def _answer(self) -> str:
        import subprocess

        try:
            done = subprocess.run(
                self._words,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=self._timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise SensorUnavailable(f"{_WHO} did not answer within {self._timeout_s:g} s") from error
        except OSError as error:
            raise SensorUnavailable(f"cannot start ipmitool: {error.strerror}") from error
        if done.returncode != 0:
            said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
            if "permission denied" in said.lower():
                raise _denied(self._device)
            raise SensorUnavailable(f"ipmitool: {said}")
        return done.stdout


def _power_uw(answer: str) -> int:
    """Read what ipmitool prints (lib/ipmi_dcmi.c, ipmi_dcmi_pwr_rd)."""
    power = re.search(r"Instantaneous power reading:\s*(\d+) Watts", answer)
    state = re.search(r"Power reading state is:\s*(\w+)", answer)
    if power is None:
        raise SensorUnavailable(f"ipmitool gives no power but {' '.join(answer.split())[:80]!r}")
    if state is not None and state[1] == "deactivated":
        raise SensorUnavailable(f"{_WHO} says that it does not measure power")
    return microwatts(int(power[1]), _WHO)


def _denied(device: Path) -> PermissionDenied:
    return PermissionDenied(
        f"{device} may be used by root only",
        remedy=f"sudo setfacl -m u:$USER:rw {device}  # until the next boot; it lets you control the server as well",
    )
