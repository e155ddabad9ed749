"""A management controller and the program that asks it: a script in place of ``ipmitool``."""

from __future__ import annotations

import shlex
from pathlib import Path

__all__ = ["FakeIpmitool"]

# As ipmitool 1.8.18 prints it.
_ANSWER = """
    Instantaneous power reading:              {power_w:8d} Watts
    Minimum during sampling period:                  4 Watts
    Maximum during sampling period:                801 Watts
    Average power reading over sample period:      214 Watts
    IPMI timestamp:                           03/02/2026 12:00:11 UTC    Sampling period:       00000001 Seconds.
    Power reading state is:                   {state}

"""


class FakeIpmitool:
    """``/dev/ipmi0`` and an executable script.

    Args:
        root: where both are to be.
        power_w: what the controller shows.

    Attributes:
        command: the script.
        dev: in place of ``/dev``.
    """

    def __init__(self, root: Path, power_w: int = 220) -> None:
        self.dev = root / "dev"
        self.dev.mkdir()
        (self.dev / "ipmi0").touch()
        self.command = str(root / "ipmitool")
        self.show(power_w)

    def show(self, power_w: int, *, state: str = "activated") -> None:
        """Let the controller answer with a power, in watts."""
        answer = shlex.quote(_ANSWER.format(power_w=power_w, state=state))
        self.run(f'[ "$*" = "dcmi power reading" ] || exit 64\nprintf %s {answer}')

    def fail(self, message: str = "DCMI request failed because: Invalid command (c1)", code: int = 1) -> None:
        """Let it fail from now on."""
        self.run(f"echo {shlex.quote(message)} >&2\nexit {code}")

    def run(self, script: str) -> None:
        """Let it do something else."""
        new = Path(f"{self.command}.new")
        new.write_text(f"#!/bin/sh\n{script}\n")
        new.chmod(0o755)
        new.replace(self.command)
