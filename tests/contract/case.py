"""What the contract suite needs of a sensor: the device under it, and the time there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from joulemark.errors import SensorError
from joulemark.sensors import Sensor

__all__ = ["Case"]


@dataclass
class Case:
    """A sensor, the device under it, and the time there."""

    sensor: Sensor
    flow: Callable[[float], None]  # seconds go by on the device
    fail: Callable[[], None]  # from now on it cannot be read
    now_s: float = 0.0

    def advance(self, seconds: float) -> None:
        self.now_s += seconds
        self.flow(seconds)

    def read(self) -> dict[str, int | SensorError]:
        return dict(self.sensor.read(round(self.now_s * 1e9)))

    def energies_uj(self) -> dict[str, int]:
        readings = self.read()
        assert not [r for r in readings.values() if isinstance(r, SensorError)]
        return {name: r for name, r in readings.items() if isinstance(r, int)}
