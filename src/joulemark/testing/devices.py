"""Simulated devices: what a counter or a gauge shows of a trace, given how such devices are built."""

from __future__ import annotations

import math
import random
import statistics
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

from joulemark.errors import SensorError
from joulemark.sensors.seam import Domain
from joulemark.testing.faults import Fault, Reset, Slow
from joulemark.testing.traces import Trace

__all__ = ["SimulatedDevice", "random_like"]

_NORMAL = statistics.NormalDist()


@dataclass(frozen=True, slots=True)
class SimulatedDevice:
    """What a device shows of the power that it truly draws.

    What it shows is a function of time alone, however often and in whatever order it is read. What its `domain` states
    and how it behaves are two things, so that a device may betray its specification; see `as_stated` and `drawn`.

    Attributes:
        domain: what a sensor says of it: name, components, counter or gauge, `wrap_uj`, stated accuracy.
        trace: the power that it truly draws.
        gain: it shows this times the truth,
        offset_w: and this much more, in watts.
        period_s: time between updates, in seconds; None or 0: it is exact at each read.
        window_s: of a gauge: each value is the mean over this time before its update, in seconds; None: over a whole
            period; 0: the power at that moment; longer than the period: a running mean.
        phase_s: a moment at which it is updated, in seconds.
        jitter_s: each update comes up to so much earlier or later, in seconds; less than half the period.
        resolution: step of what it shows, in joules (counter, rounded down) or watts (gauge, rounded to the nearest).
            The default is the unit of the seam, one microjoule or microwatt.
        noise_w: of a gauge: standard deviation of what is added to each update, in watts.
        start_j: of a counter: about what it shows at time 0, in joules.
        faults: what goes wrong, and when.
        mirrors: another device whose counter this one shows; `trace` is then that device's. See `mirrored`.
        seed: jitter and noise follow from it and from the domain's name.
    """

    domain: Domain
    trace: Trace
    _: KW_ONLY
    gain: float = 1.0
    offset_w: float = 0.0
    period_s: float | None = None
    window_s: float | None = None
    phase_s: float = 0.0
    jitter_s: float = 0.0
    resolution: float = 1e-6
    noise_w: float = 0.0
    start_j: float = 0.0
    faults: Sequence[Fault | Reset] = ()
    mirrors: SimulatedDevice | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("gain", "period_s", "window_s", "jitter_s", "noise_w", "start_j"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ValueError(f"{name} is {value}; it cannot be negative")
        if not self.resolution >= 1e-6:
            raise ValueError(f"resolution is {self.resolution}; readings are whole microjoules or microwatts")
        if self.jitter_s and not self.jitter_s < (self.period_s or 0.0) / 2:
            raise ValueError(f"jitter_s is {self.jitter_s}; it is less than half of period_s, or updates change places")
        if self.noise_w and self.domain.reading == "counter":
            raise ValueError("a counter has no noise_w; add a noise trace to its power")

    @classmethod
    def as_stated(cls, domain: Domain, trace: Trace, **details: Any) -> SimulatedDevice:
        """Give a device that is updated, averages and counts as its domain states; `details` say otherwise."""
        stated: dict[str, Any] = {"period_s": domain.accuracy.period_s, "window_s": domain.window_s}
        if domain.accuracy.resolution_j and domain.reading == "counter":
            stated["resolution"] = domain.accuracy.resolution_j
        return cls(domain, trace, **{**stated, **details})

    def drawn(self, rng: random.Random) -> SimulatedDevice:
        """Give one of the many devices that have this one's specification: gain, phase and seed are drawn.

        The gain is log-normal with the standard uncertainty that the domain states, as `joulemark.figures` takes it to
        be; of a model, with its `mix` as well: one trace is one workload. The phase is anywhere in the period.
        """
        accuracy = self.domain.accuracy
        spread = math.hypot(accuracy.gain, accuracy.mix) if self.domain.kind == "modelled" else accuracy.gain
        return replace(
            self,
            gain=self.gain * math.exp(rng.gauss(0.0, spread)),
            phase_s=rng.uniform(0.0, self.period_s or 0.0),
            seed=rng.getrandbits(32),
        )

    def mirrored(self, name: str, **details: Any) -> SimulatedDevice:
        """Give another domain that shows this very counter, such as another die of one socket.

        It does not enter the machine's total; `details` are faults of its own.
        """
        return replace(self, domain=replace(self.domain, name=name), mirrors=self, **{"faults": (), **details})

    def reseeded(self, seed: int) -> SimulatedDevice:
        """Give the same device with jitter and noise of another seed; 0 leaves them as they are."""
        mirrors = None if self.mirrors is None else self.mirrors.reseeded(seed)
        return replace(self, seed=self.seed + 1_000_003 * seed, mirrors=mirrors)

    def truth_j(self, start_s: float, end_s: float) -> float:
        """Give the energy that it truly drew from one time to another, in joules."""
        return self.trace.between_j(start_s, end_s)

    def updated_ns(self, now_ns: int) -> int:
        """Give the time of the last update at or before `now_ns`."""
        period_ns = round((self.period_s or 0.0) * 1e9)
        if period_ns == 0:
            return now_ns
        latest = (now_ns - round(self.phase_s * 1e9)) // period_ns
        return next(t for t in self._updates_ns(latest + 1, period_ns) if t <= now_ns)

    def slow(self, now_ns: int) -> Slow | None:
        """Give the fault that makes a read slow that begins at `now_ns`; None if none does."""
        return next((f for f in self.faults if isinstance(f, Slow) and f.holds(now_ns)), None)

    def reading(self, now_ns: int) -> int | SensorError | None:
        """Give what is read at `now_ns`: microjoules or microwatts, an error, or None where the domain is left out.

        Raises:
            RuntimeError: where `joulemark.testing.Raises` holds.
        """
        for fault in self.faults:
            if isinstance(fault, Fault) and not isinstance(fault, Slow) and fault.holds(now_ns):
                return fault.shows(self.healthy, now_ns)
        return self.healthy(now_ns)

    def healthy(self, now_ns: int) -> int:
        """Give what it shows at `now_ns` when nothing but a reset goes wrong, in microjoules or microwatts."""
        if self.mirrors is not None:
            return self.mirrors.healthy(now_ns)
        if self.domain.reading == "counter":
            return self._counter_uj(now_ns)
        return self._gauge_uw(now_ns)

    def _counter_uj(self, now_ns: int) -> int:
        updated_s = self.updated_ns(now_ns) / 1e9
        reset_s = max((f.at_s for f in self.faults if isinstance(f, Reset) and f.passed(now_ns)), default=None)
        if reset_s is None:
            # It ran before time 0 as well: what it shows first is its last update before that.
            since_s, start_j = self.updated_ns(0) / 1e9, self.start_j
        else:
            since_s, start_j, updated_s = reset_s, 0.0, max(updated_s, reset_s)
        energy_j = self.gain * self.trace.between_j(since_s, updated_s) + self.offset_w * (updated_s - since_s)
        # Whole microjoules first: 0.1 s of 10 W are 1 J and no hair less, which rounding down would make a step.
        step_uj = self.resolution * 1e6
        steps = int(round((start_j + energy_j) * 1e6) // step_uj)
        if self.domain.wrap_uj is not None:
            steps %= round(self.domain.wrap_uj / step_uj) + 1
        return int(steps * step_uj)

    def _gauge_uw(self, now_ns: int) -> int:
        updated_ns = self.updated_ns(now_ns)
        updated_s = updated_ns / 1e9
        window_s = (self.period_s or 0.0) if self.window_s is None else self.window_s
        if window_s > 0:
            power_w = self.trace.between_j(updated_s - window_s, updated_s) / window_s
        else:
            power_w = self.trace.power_w(updated_s)
        shown_w = self.gain * power_w + self.offset_w
        if self.noise_w:
            shown_w += self.noise_w * _NORMAL.inv_cdf(self._uniform("noise", updated_ns))
        # Drivers give unsigned numbers.
        return round(max(0, round(shown_w / self.resolution)) * self.resolution * 1e6)

    def _updates_ns(self, latest: int, period_ns: int) -> Iterator[int]:
        """Give the times of updates, by their number, latest first."""
        phase_ns = round(self.phase_s * 1e9)
        while True:
            early = 2 * self._uniform("jitter", latest) - 1 if self.jitter_s else 0.0
            yield phase_ns + latest * period_ns + round(early * self.jitter_s * 1e9)
            latest -= 1

    def _uniform(self, stream: str, number: int) -> float:
        """Draw from (0, 1), the same for the same number: SplitMix64 (Steele, Lea, Flood, doi:10.1145/2714064.2660195).

        No state, so a reading does not depend on which others were taken.
        """
        seed = zlib.crc32(f"{self.seed} {self.domain.name} {stream}".encode())
        z = (seed + (number + 1) * 0x9E3779B97F4A7C15) % 2**64
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        return ((z ^ z >> 31) // 2**11 + 0.5) / 2**53


def random_like(domain: Domain, trace: Trace, rng: random.Random, **details: Any) -> SimulatedDevice:
    """Give a device that behaves as `domain` states, with a gain and a phase drawn from what it states.

    The domain does not tell which were drawn: whoever reads it knows the specification and no more.
    """
    return SimulatedDevice.as_stated(domain, trace, **details).drawn(rng)
