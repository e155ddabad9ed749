"""Counter algebra: from raw readings to energy between two moments, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass

from joulemark.errors import CounterReset, SensorError, SensorUnavailable
from joulemark.sensors.seam import Domain

__all__ = ["MAX_GAUGE_GAP_S", "Accumulator", "Mark", "counter_step_uj"]

MAX_GAUGE_GAP_S = 1.0
"""Longest time between two readings of a gauge that a straight line may bridge: ten of the sampler's intervals."""


def counter_step_uj(before_uj: int, after_uj: int, elapsed_s: float, domain: Domain) -> int:
    """Give the energy between two readings of a counter, in microjoules.

    Raises:
        CounterReset: if the counter ran backwards and one wrap does not explain it, or if so much time has passed
            that it may have wrapped more than once. Neither is ever taken for energy.
    """
    most_uj = domain.max_power_w * elapsed_s * 1e6
    if domain.wrap_uj is None:
        if after_uj < before_uj:
            raise CounterReset(f"{domain.name}: the counter fell from {before_uj} to {after_uj} µJ; it was reset")
        return after_uj - before_uj
    span_uj = domain.wrap_uj + 1
    if most_uj >= span_uj:
        raise CounterReset(
            f"{domain.name}: {elapsed_s:.0f} s passed between two readings, enough for more than one wrap"
        )
    step_uj = (after_uj - before_uj) % span_uj
    # A second of grace: a counter's update may lag behind the clock.
    if after_uj < before_uj and step_uj > most_uj + domain.max_power_w * 1e6:
        raise CounterReset(
            f"{domain.name}: the counter fell from {before_uj} to {after_uj} µJ, more than a wrap in "
            f"{elapsed_s:.2f} s explains; it was reset"
        )
    return step_uj


@dataclass(frozen=True, slots=True)
class Mark:
    """Where an accumulator stood at one moment."""

    total_uj: int
    breaks: int
    error: SensorError | None


class Accumulator:
    """Adds up one domain from its readings.

    A counter that could not be read for a while has lost nothing if it comes back; a gauge has. A *break* is a
    moment across which no energy can be told: a reset, or a gap in a gauge's readings.
    """

    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self._total_uj = 0
        self._breaks: list[SensorError] = []
        self._error: SensorError | None = None
        self._last: tuple[int, int] | None = None  # (time in ns, reading)

    def update(self, now_ns: int, reading: int | SensorError) -> None:
        """Take in a reading or the error that stands in its place."""
        if isinstance(reading, SensorError):
            if self.domain.reading == "gauge" and self._last is not None:
                self._breaks.append(reading)
                self._last = None
            self._error = reading
            return
        self._error = None
        if self._last is not None:
            try:
                self._total_uj += self._step_uj(*self._last, now_ns, reading)
            except SensorError as broken:
                self._breaks.append(broken)
        self._last = (now_ns, reading)

    def _step_uj(self, before_ns: int, before: int, now_ns: int, reading: int) -> int:
        elapsed_s = (now_ns - before_ns) / 1e9
        if self.domain.reading == "gauge":
            if elapsed_s > MAX_GAUGE_GAP_S:
                raise SensorUnavailable(f"{self.domain.name}: no power reading for {elapsed_s:.1f} s")
            return round((before + reading) / 2 * elapsed_s)  # trapezoid of microwatts
        return counter_step_uj(before, reading, elapsed_s, self.domain)

    def mark(self) -> Mark:
        """Note where it stands now."""
        return Mark(self._total_uj, len(self._breaks), self._error)

    def between(self, start: Mark, end: Mark) -> float | SensorError:
        """Give the energy between two marks in joules, or why it is not known."""
        if start.error is not None:
            return start.error
        if end.error is not None:
            return end.error
        if end.breaks > start.breaks:
            return self._breaks[start.breaks]
        return (end.total_uj - start.total_uj) / 1e6
