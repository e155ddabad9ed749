"""Counter algebra: the energy between two readings, or the reason why there is none."""

from __future__ import annotations

from joulemark.errors import AbsurdReading, CounterReset
from joulemark.sensors.seam import Domain

__all__ = ["counter_step_uj", "plausible_gauge_uw"]

GRACE_S = 1.0
"""A counter's update may lag behind the clock by this much: energy of that time more is still plausible."""


def counter_step_uj(before_uj: int, after_uj: int, elapsed_s: float, domain: Domain) -> int:
    """Give the energy between two readings of a counter, in microjoules.

    Raises:
        CounterReset: if the counter ran backwards and one wrap does not explain it, or if so much time has passed
            that it may have wrapped more than once. Neither is ever taken for energy.
        AbsurdReading: if more energy has passed than the device can draw.
    """
    most_uj = domain.max_power_w * elapsed_s * 1e6
    plausible_uj = most_uj + domain.max_power_w * (GRACE_S + domain.accuracy.period_s) * 1e6
    if domain.wrap_uj is None:
        if after_uj < before_uj:
            raise CounterReset(f"{domain.name}: the counter fell from {before_uj} to {after_uj} µJ; it was reset")
        step_uj = after_uj - before_uj
    else:
        span_uj = domain.wrap_uj + 1
        if most_uj >= span_uj:
            raise CounterReset(
                f"{domain.name}: {elapsed_s:.0f} s passed between two readings, enough for more than one wrap"
            )
        step_uj = (after_uj - before_uj) % span_uj
        if after_uj < before_uj and step_uj > plausible_uj:
            raise CounterReset(
                f"{domain.name}: the counter fell from {before_uj} to {after_uj} µJ, more than a wrap in "
                f"{elapsed_s:.2f} s explains; it was reset"
            )
    if step_uj > plausible_uj:
        raise AbsurdReading(
            f"{domain.name}: {step_uj / 1e6:.0f} J in {elapsed_s:.2f} s is more than {domain.max_power_w:.0f} W, "
            "the most that it can draw"
        )
    return step_uj


def plausible_gauge_uw(reading_uw: int, domain: Domain) -> int:
    """Give back a gauge's reading, in microwatts, if the device can draw it.

    Raises:
        AbsurdReading: if it is negative or more than the device can draw.
    """
    if not 0 <= reading_uw <= domain.max_power_w * 1e6:
        raise AbsurdReading(
            f"{domain.name}: {reading_uw / 1e6:.0f} W is not between 0 and {domain.max_power_w:.0f} W, the most that "
            "it can draw"
        )
    return reading_uw
