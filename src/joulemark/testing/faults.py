"""What can go wrong with a simulated device. All times are seconds on the clock that the sensor is read by."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from joulemark.errors import PermissionDenied, SensorError, SensorUnavailable

__all__ = ["Denied", "Fault", "Garbage", "Lost", "Missing", "Raises", "Reset", "Slow", "Stuck"]

Shown = int | SensorError | None
"""What stands in a reading for one domain; None: the domain is left out."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A stretch of time in which a device does not behave; from `start_s` on, and before `end_s`.

    A fault of one's own overrides `shows`. Of several that hold at once, the one that a device names first shows.
    """

    start_s: float
    end_s: float = math.inf

    def holds(self, now_ns: int) -> bool:
        """Tell whether it is in force."""
        return _ns(self.start_s) <= now_ns < _ns(self.end_s)

    def shows(self, healthy: Callable[[int], int], now_ns: int) -> Shown:
        """Give what is read at `now_ns` in place of what the device would show; `healthy` tells that for any time."""
        return healthy(now_ns)


@dataclass(frozen=True, slots=True)
class Lost(Fault):
    """The device is gone: reads give `SensorUnavailable`."""

    reason: str = "the simulated device is lost"

    def shows(self, healthy: Callable[[int], int], now_ns: int) -> Shown:
        """Give the error."""
        return SensorUnavailable(self.reason)


@dataclass(frozen=True, slots=True)
class Denied(Fault):
    """The right to read is withdrawn: reads give `PermissionDenied` with its remedy."""

    reason: str = "the simulated device may not be read by this user"
    remedy: str = "sudo chmod a+r /simulated/device"

    def shows(self, healthy: Callable[[int], int], now_ns: int) -> Shown:
        """Give the error."""
        return PermissionDenied(self.reason, remedy=self.remedy)


@dataclass(frozen=True, slots=True)
class Stuck(Fault):
    """The device shows what it showed at `start_s`; a counter then jumps to where it should be."""

    def shows(self, healthy: Callable[[int], int], now_ns: int) -> Shown:
        """Give the old value."""
        return healthy(round(self.start_s * 1e9))


@dataclass(frozen=True, slots=True)
class Garbage(Fault):
    """The device shows an absurd `value`, in microjoules or microwatts; by default a 64-bit register full of ones."""

    value: int = 2**64 - 1

    def shows(self, healthy: Callable[[int], int], now_ns: int) -> Shown:
        """Give the absurd value."""
        return self.value


@dataclass(frozen=True, slots=True)
class Raises(Fault):
    """Reading raises `RuntimeError`, a promise broken, which takes the sensor's other domains with it."""

    message: str = "the simulated sensor breaks its promise"

    def shows(self, healthy: Callable[[int], int], now_ns: int) -> Shown:
        """Raise.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError(self.message)


@dataclass(frozen=True, slots=True)
class Missing(Fault):
    """The reading leaves the domain out, another promise broken."""

    def shows(self, healthy: Callable[[int], int], now_ns: int) -> Shown:
        """Give nothing."""
        return None


@dataclass(frozen=True, slots=True)
class Slow(Fault):
    """A read that begins in this time takes `takes_s` seconds, and holds up the devices read after it.

    Attributes:
        takes_s: how long the call takes.
        sampled: the part of the call after which the value is taken: 0 at its beginning, 1 (as behind a driver's lock)
            at its end.
    """

    takes_s: float = 2.0
    sampled: float = 1.0

    def __post_init__(self) -> None:
        if not self.takes_s >= 0:
            raise ValueError(f"takes_s is {self.takes_s}; it cannot be negative")
        if not 0 <= self.sampled <= 1:
            raise ValueError(f"sampled is {self.sampled}; it lies between 0 and 1")


@dataclass(frozen=True, slots=True)
class Reset:
    """A counter falls to 0 at a moment, as when a driver is loaded again. A gauge knows no such thing."""

    at_s: float

    def passed(self, now_ns: int) -> bool:
        """Tell whether it has happened."""
        return _ns(self.at_s) <= now_ns


def _ns(seconds: float) -> float:
    """Give whole nanoseconds, as clocks do; for ever stays for ever."""
    return round(seconds * 1e9) if math.isfinite(seconds) else seconds
