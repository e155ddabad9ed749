"""Counter against gauge: where a device shows both, they must agree on a machine that does nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from joulemark.sensors.seam import GaugedSensor, Sensor

__all__ = ["CrossCheck", "cross_check", "watch_gauges"]

AGREE = 0.15
"""How far counter and gauge may be apart on a machine at rest, relative to the counter: three times the ±5 % that
boards differ by (Yang et al., SC'24), so that what is found is a fault and not a board."""
EVERY_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossCheck:
    """What a device's counter and its gauge said of the same time, in watts."""

    domain: str
    counter_w: float
    gauge_w: float

    @property
    def agree(self) -> bool:
        """Whether they are the same as far as can be told."""
        return abs(self.counter_w - self.gauge_w) <= AGREE * self.counter_w


def watch_gauges(
    sensors: Sequence[Sensor], seconds: float, sleep: Callable[[float], None] = time.sleep
) -> Mapping[str, float]:
    """Give the mean power that gauges show over some time, in watts, for every domain that has a counter as well."""
    gauged = [(s, d.name) for s in sensors if isinstance(s, GaugedSensor) for d in s.domains if d.reading == "counter"]
    shown: dict[str, list[float]] = {name: [] for _, name in gauged}
    for _ in range(max(1, round(seconds / EVERY_S))):
        for sensor, name in gauged:
            power_uw = sensor.power_uw(name)
            if isinstance(power_uw, int):
                shown[name].append(power_uw / 1e6)
        sleep(EVERY_S)
    return {name: math.fsum(powers) / len(powers) for name, powers in shown.items() if powers}


def cross_check(counters_w: Mapping[str, float], gauges_w: Mapping[str, float]) -> tuple[CrossCheck, ...]:
    """Hold the powers of counters against those of gauges, both in watts by domain; NaN is no power."""
    return tuple(
        CrossCheck(domain=name, counter_w=counters_w[name], gauge_w=power_w)
        for name, power_w in gauges_w.items()
        if name in counters_w and not math.isnan(counters_w[name])
    )
