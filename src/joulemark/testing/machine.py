"""Simulated sensors, and a machine of them with a clock and a known truth."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from joulemark.boundary import Component
from joulemark.errors import SensorError
from joulemark.readings import Accuracy
from joulemark.sensors.seam import Domain
from joulemark.testing.clock import SimulatedClock
from joulemark.testing.devices import SimulatedDevice, random_like
from joulemark.testing.traces import constant

__all__ = ["SimulatedMachine", "SimulatedSensor"]


class SimulatedSensor:
    """A sensor over simulated devices; it has the seam of every sensor (`joulemark.sensors.seam.Sensor`).

    Args:
        devices: what it reads, in this order.
        name: as a sensor and its driver are named.
        clock: what slow reads move if it is a `SimulatedClock`; with any other, or none, they sleep in real time.

    Attributes:
        reads: how often it was read.
        closed: whether it was closed.
    """

    def __init__(
        self,
        devices: Sequence[SimulatedDevice],
        *,
        name: str = "simulated 1",
        clock: Callable[[], int] | None = None,
    ) -> None:
        self.name = name
        self.devices = tuple(devices)
        self.domains = tuple(device.domain for device in devices)
        self.clock = clock
        self.reads = 0
        self.closed = False

    @classmethod
    def constant(
        cls,
        powers_w: Mapping[str, float],
        *,
        components: Mapping[str, str] | None = None,
        gain: float = 0.0,
        name: str = "simulated 1",
    ) -> SimulatedSensor:
        """Build exact counters of constant power, such as ``{"gpu-0": 300.0}``.

        Args:
            powers_w: power by domain, in watts.
            components: what a domain covers, where it is not its name up to the dash.
            gain: standard uncertainty that the domains state; they show the truth all the same.
            name: of the sensor.
        """

        def device(domain: str, power_w: float) -> SimulatedDevice:
            component = Component((components or {}).get(domain, domain.partition("-")[0]))
            stated = Domain(
                name=domain,
                components=frozenset({component}),
                kind="measured",
                reading="counter",
                accuracy=Accuracy(gain=gain),
            )
            return SimulatedDevice(stated, constant(power_w))

        return cls([device(domain, power_w) for domain, power_w in powers_w.items()], name=name)

    def read(self, now_ns: int) -> Mapping[str, int | SensorError]:
        """Give what each device shows at `now_ns`; a slow one and those after it, when their turn comes.

        Raises:
            RuntimeError: where `joulemark.testing.Raises` holds, for the tests of whoever reads sensors.
        """
        self.reads += 1
        readings: dict[str, int | SensorError] = {}
        for device in self.devices:
            asked_ns = sampled_ns = now_ns
            slow = device.slow(asked_ns)
            if slow is not None:
                self._spend(slow.takes_s)
                sampled_ns = asked_ns + round(slow.sampled * slow.takes_s * 1e9)
                now_ns = asked_ns + round(slow.takes_s * 1e9)
            shown = device.reading(sampled_ns)
            if shown is not None:
                readings[device.domain.name] = shown
        return readings

    def close(self) -> None:
        """Note that it was closed."""
        self.closed = True

    def _spend(self, seconds: float) -> None:
        if isinstance(self.clock, SimulatedClock):
            self.clock.spend(seconds)
        else:
            time.sleep(seconds)


class SimulatedMachine:
    """Sensors, the clock that they are read by, and the truth about them.

    Args:
        devices: devices, which become one sensor, and sensors, which stay what they are.
        clock: a new one at time 0 unless it is given.
        seed: of jitter and noise of the devices that are given as such.

    Raises:
        ValueError: if two devices have one name.
    """

    random_like = staticmethod(random_like)

    def __init__(
        self,
        devices: Sequence[SimulatedDevice | SimulatedSensor],
        *,
        clock: SimulatedClock | None = None,
        seed: int = 0,
    ) -> None:
        self.clock = SimulatedClock() if clock is None else clock
        bare = [device.reseeded(seed) for device in devices if isinstance(device, SimulatedDevice)]
        given = [sensor for sensor in devices if isinstance(sensor, SimulatedSensor)]
        for sensor in given:
            if sensor.clock is None:
                sensor.clock = self.clock
        self.sensors = ((SimulatedSensor(bare, clock=self.clock),) if bare else ()) + tuple(given)
        self.devices = tuple(device for sensor in self.sensors for device in sensor.devices)
        self._by_name = {device.domain.name: device for device in self.devices}
        if len(self._by_name) < len(self.devices):
            raise ValueError("two devices have one name")

    def advance(self, seconds: float) -> None:
        """Let time go by, see `SimulatedClock.advance`."""
        self.clock.advance(seconds)

    def truth_j(self, domain: str | Domain, start_s: float, end_s: float) -> float:
        """Give the energy that one domain truly drew between two times, in joules.

        Raises:
            KeyError: if the machine has no such domain.
        """
        return self._by_name[domain if isinstance(domain, str) else domain.name].truth_j(start_s, end_s)

    def total_truth_j(self, start_s: float, end_s: float) -> float:
        """Give the energy that the machine truly drew, in joules: each joule once.

        Counted are the domains that lie in no other, contain no other, and mirror no other.
        """
        return sum(device.truth_j(start_s, end_s) for device in self.devices if _is_counted(device))


def _is_counted(device: SimulatedDevice) -> bool:
    return device.domain.parent is None and not device.domain.container and device.mirrors is None
