"""A sensor with a known truth, wraps, resets and faults, for tests and for trying things out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from joulemark.errors import SensorError, SensorUnavailable
from joulemark.readings import Accuracy
from joulemark.sensors.seam import Domain

__all__ = ["FakeDomain", "FakeSensor", "Fault"]


@dataclass(frozen=True, slots=True)
class Fault:
    """A stretch of time, in seconds, in which reads fail with `error`."""

    start_s: float
    end_s: float
    error: SensorError = field(default_factory=lambda: SensorUnavailable("the fake sensor is switched off"))


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeDomain:
    """A domain and its truth.

    Attributes:
        domain: what the sensor shows.
        energy_j: true energy in joules from time 0 to the given time in seconds; for a gauge its derivative is
            taken over 1 ms.
        gain: the sensor shows this times the truth.
        resets_s: moments at which a counter falls back to 0.
        faults: when reads fail.
    """

    domain: Domain
    energy_j: Callable[[float], float]
    gain: float = 1.0
    resets_s: Sequence[float] = ()
    faults: Sequence[Fault] = ()

    def reading(self, now_s: float) -> int | SensorError:
        """Give what the sensor shows at a time, in seconds."""
        for fault in self.faults:
            if fault.start_s <= now_s < fault.end_s:
                return fault.error
        if self.domain.reading == "gauge":
            power_w = (self.energy_j(now_s) - self.energy_j(now_s - 1e-3)) / 1e-3
            return round(self.gain * power_w * 1e6)
        if self.domain.accuracy.period_s > 0:
            now_s -= now_s % self.domain.accuracy.period_s
        since_s = max((t for t in self.resets_s if t <= now_s), default=0.0)
        shown_uj = round(self.gain * (self.energy_j(now_s) - self.energy_j(since_s)) * 1e6)
        wrap_uj = self.domain.wrap_uj
        return shown_uj if wrap_uj is None else shown_uj % (wrap_uj + 1)


class FakeSensor:
    """A public test double that behaves like a real sensor."""

    def __init__(self, domains: Sequence[FakeDomain], *, name: str = "fake 1") -> None:
        self.name = name
        self._fakes = tuple(domains)
        self.domains = tuple(fake.domain for fake in self._fakes)
        self.closed = False

    @classmethod
    def constant(
        cls, powers_w: Mapping[str, float], *, components: Mapping[str, str] | None = None, gain: float = 0.0
    ) -> FakeSensor:
        """Build measured counters of constant power, such as ``{"gpu-0": 300.0}``.

        The component is the domain's name up to the dash unless `components` says otherwise.
        """
        from joulemark.boundary import Component

        def domain(name: str) -> Domain:
            component = Component((components or {}).get(name, name.partition("-")[0]))
            return Domain(
                name=name,
                components=frozenset({component}),
                kind="measured",
                reading="counter",
                accuracy=Accuracy(gain=gain),
            )

        def energy(power_w: float) -> Callable[[float], float]:
            return lambda t: power_w * t

        return cls([FakeDomain(domain=domain(n), energy_j=energy(p)) for n, p in powers_w.items()])

    def read(self, now_ns: int) -> Mapping[str, int | SensorError]:
        """Give what each domain shows at `now_ns`."""
        return {fake.domain.name: fake.reading(now_ns / 1e9) for fake in self._fakes}

    def close(self) -> None:
        """Note that it was closed."""
        self.closed = True
