"""A sensor that shows again what another one showed: a recorded series of readings."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence

from joulemark.errors import SensorError, SensorUnavailable
from joulemark.sensors.seam import Domain

__all__ = ["ReplaySensor"]


class ReplaySensor:
    """Replays readings; between two of them it shows the earlier one, as a real sensor does between updates.

    Args:
        domains: what was recorded.
        readings: (monotonic nanoseconds, reading by domain), in the order of time.
        name: the sensor's name.
    """

    def __init__(
        self,
        domains: Sequence[Domain],
        readings: Sequence[tuple[int, Mapping[str, int | SensorError]]],
        *,
        name: str = "replay",
    ) -> None:
        self.name = name
        self.domains = tuple(domains)
        self._times = [time for time, _ in readings]
        self._values = [values for _, values in readings]
        if self._times != sorted(self._times):
            raise ValueError("readings must be in the order of time")

    def read(self, now_ns: int) -> Mapping[str, int | SensorError]:
        """Give the last recorded reading at or before `now_ns`."""
        index = bisect_right(self._times, now_ns) - 1
        if index < 0:
            error = SensorUnavailable("nothing was recorded yet at this time")
            return {domain.name: error for domain in self.domains}
        values = self._values[index]
        missing = SensorUnavailable("not in the recording at this time")
        return {domain.name: values.get(domain.name, missing) for domain in self.domains}

    def close(self) -> None:
        """Nothing to give back."""
