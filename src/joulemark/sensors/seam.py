"""The one seam of the sensor family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from joulemark.boundary import Component
from joulemark.errors import SensorError
from joulemark.readings import Accuracy

__all__ = ["Domain", "GaugedSensor", "PartialSensor", "Sensor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """One thing that a sensor sees: a node in the machine's containment tree.

    Attributes:
        name: unique on the machine: ``cpu-0``, ``dram-0``, ``gpu-0`` ...
        components: what it covers.
        kind: whether the sensor measures it or models it.
        reading: ``counter``: `Sensor.read` gives microjoules since some moment, never falling but for a wrap;
            ``gauge``: it gives microwatts.
        accuracy: what is known of its errors.
        wrap_uj: a counter that has shown `wrap_uj` starts again at 0; None if it does not wrap.
        max_power_w: no more than this can flow: a window that may have wrapped twice and a reading that nothing can
            draw are recognised by it.
        window_s: of a gauge: each of its readings is the mean over this time; None if over its whole update period.
            Where it is shorter than the period, the gauge looks away in between.
        visible: whether programs of this process may use the device (``CUDA_VISIBLE_DEVICES`` and its like).
        parent: the domain that contains this one.
        container: a sum over other domains (psys, wall): shown, never added to what it contains.
        parameters: of a model, with units in their names.
    """

    name: str
    components: frozenset[Component]
    kind: Literal["measured", "modelled"]
    reading: Literal["counter", "gauge"]
    accuracy: Accuracy
    wrap_uj: int | None = None
    max_power_w: float = 1000.0
    window_s: float | None = None
    visible: bool = True
    parent: str | None = None
    container: bool = False
    parameters: Mapping[str, float | str] = field(default_factory=dict)


@runtime_checkable
class Sensor(Protocol):
    """Reads one or more domains. Never controls anything.

    Attributes:
        name: the sensor and its version or driver, such as ``nvml 580.65``.
        domains: what it sees; fixed for its lifetime.
    """

    @property
    def name(self) -> str:
        """The sensor and its version or driver."""

    @property
    def domains(self) -> tuple[Domain, ...]:
        """What it sees."""

    def read(self, now_ns: int) -> Mapping[str, int | SensorError]:
        """Read every domain once.

        Args:
            now_ns: monotonic time of the reading, in nanoseconds, given by the caller.

        Returns:
            For each domain microjoules (counter) or microwatts (gauge), or the error that stands in its place: one
            domain that fails does not take the others with it.
        """

    def close(self) -> None:
        """Give back what the sensor holds; harmless when called twice."""


@runtime_checkable
class PartialSensor(Sensor, Protocol):
    """A sensor whose domains can be read one by one, each at its own time, which costs less where there are many."""

    def read_domain(self, name: str, now_ns: int) -> int | SensorError:
        """Read one domain, as `read` does."""


@runtime_checkable
class GaugedSensor(Sensor, Protocol):
    """A sensor of counters whose devices show their power as well, so that one can be held against the other."""

    def power_uw(self, name: str) -> int | SensorError:
        """Give the power of a domain in microwatts, from its gauge."""
