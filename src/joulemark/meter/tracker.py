"""Trackers: when a sensor is read, and where what it shows goes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol, TypeGuard

from joulemark.errors import SensorError, SensorUnavailable
from joulemark.meter.follow import NEVER_NS, Follower, Point, follower
from joulemark.sensors.seam import Domain, PartialSensor, Sensor

__all__ = ["Sink", "Tracker", "patience_ns", "read_sensor"]

HANGS_NS = 1_000_000_000
"""A call of a sensor that takes longer than this, beyond its period, is not waited for."""
LONGEST_WAIT_S = 1.0
"""A sensor that is updated more seldom is not waited for: its curve is continued to the edge, as sure as that is."""
CLOSELY_TICKS = 25
"""Ticks after a window's edge that are all followed: what is around an edge says how sure it is."""
ENDING_TICKS = 2
"""Ticks that are still followed when the last window has been closed."""
LEARNING_TICKS = 100
"""Ticks that are followed at most to learn their grid when no window is open any more."""
BURST_TICKS = 3
BURST_EVERY_NS = 20_000_000_000
"""Between edges a counter needs no reading; a few ticks are followed at times, to stay on their grid."""
PATIENCE_NS = 1_000_000_000
"""Longest time between two attempts to read a domain that fails."""


class Sink(Protocol):
    """Takes what a tracker finds."""

    def point(self, domain: Domain, point: Point) -> None:
        """Take a point of a domain's energy curve."""

    def broke(self, domain: Domain, reason: SensorError) -> None:
        """Take the reason of a break, before the first point after it."""

    def failed(self, domain: Domain, error: SensorError | None) -> None:
        """Take why a domain cannot be read from now on, or None when it can again."""


class Tracker:
    """Reads one sensor when its followers ask for it.

    Args:
        sensor: what is read.
        domains: those of its domains that are followed.
        sink: takes the points.
        clock_ns: monotonic time in nanoseconds.

    Attributes:
        busy_since_ns: when the reading began that is going on; 0 if none is.
    """

    def __init__(
        self, sensor: Sensor, domains: tuple[Domain, ...], sink: Sink, clock_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self.sensor = sensor
        self.domains = domains
        self.readings = 0
        self.cost_ns = 0
        self.busy_since_ns = 0
        self._sink = sink
        self._clock_ns = clock_ns
        self._followers = {domain.name: follower(domain) for domain in domains}
        self._errors: dict[str, SensorError | None] = dict.fromkeys(self._followers)
        self._broke: dict[str, int] = dict.fromkeys(self._followers, 0)
        self._failures: dict[str, int] = dict.fromkeys(self._followers, 0)
        self._due_ns: dict[str, int] = dict.fromkeys(self._followers, NEVER_NS)
        self._closely_until_ns: dict[str, int] = dict.fromkeys(self._followers, 0)
        self._until_ns: dict[str, int] = dict.fromkeys(self._followers, 0)
        self._closed_ns = 0
        self._open = 0
        self._lock = threading.Lock()  # between what is open and when is read next

    def opened(self) -> None:
        """Follow closely from now on: a window has been opened."""
        self.told(1, 0)

    def closed(self) -> None:
        """Follow closely for a while: a window has been closed."""
        self.told(0, 1)

    def told(self, opened: int, closed: int) -> None:
        """Take note that so many windows have been opened and closed by now; of none, an edge was taken elsewhere."""
        with self._lock:
            self._open = max(0, self._open + opened - closed)
            if closed or not opened:
                self._closed_ns = self._clock_ns()
            self._look_closely(CLOSELY_TICKS if opened else ENDING_TICKS)

    def _look_closely(self, ticks: int) -> None:
        now_ns = self._clock_ns()
        for name, one in self._followers.items():
            until_ns = now_ns + (ticks + 1) * one.period_ns
            if self._open == 0:  # only what the edges still need
                self._closely_until_ns[name] = until_ns
            else:
                self._closely_until_ns[name] = max(self._closely_until_ns[name], until_ns)
            self._due_ns[name] = now_ns

    def due_ns(self) -> int:
        """When the sensor wants to be read next; `NEVER_NS` if it need not be."""
        return min(self._due_ns.values(), default=NEVER_NS)

    def read(self) -> None:
        """Read what is due and pass on what it shows."""
        began_ns = time.thread_time_ns()
        before_ns = self.busy_since_ns = self._clock_ns()
        if is_partial(self.sensor):
            for name in [name for name, due_ns in self._due_ns.items() if due_ns <= before_ns]:
                before_ns = self._clock_ns()
                reading = _read_one(self.sensor, before_ns, name)
                self._take(name, before_ns, self._clock_ns(), reading)
        else:
            readings = read_sensor(self.sensor, before_ns, tuple(self._followers))
            after_ns = self._clock_ns()
            for name in self._followers:
                self._take(name, before_ns, after_ns, readings.get(name, NOT_TOLD))
        self.busy_since_ns = 0
        self.readings += 1
        self.cost_ns += time.thread_time_ns() - began_ns

    def _take(self, name: str, before_ns: int, after_ns: int, reading: int | SensorError) -> None:
        one = self._followers[name]
        points = one.feed(before_ns, after_ns, reading)
        if len(one.reasons) > self._broke[name]:
            for reason in one.reasons[self._broke[name] :]:
                self._sink.broke(one.domain, reason)
            self._broke[name] = len(one.reasons)
        for point in points:
            self._sink.point(one.domain, point)
            self._until_ns[name] = point.time_ns
        if one.error is not self._errors[name] or after_ns - before_ns > HANGS_NS:  # then it was taken for hanging
            self._errors[name] = one.error
            self._sink.failed(one.domain, one.error)
        self._failures[name] = 0 if one.error is None else self._failures[name] + 1
        with self._lock:
            self._due_ns[name] = self._next_ns(name, one, after_ns)

    def _complete(self, name: str, one: Follower, now_ns: int) -> bool:
        """Whether the last window's end lies before a point, or none will come."""
        if now_ns < self._closed_ns + LEARNING_TICKS * one.period_ns and not one.steady:
            return False
        return self._until_ns[name] > self._closed_ns or now_ns > self._closed_ns + patience_ns(one.domain)

    def _next_ns(self, name: str, one: Follower, now_ns: int) -> int:
        if self._open == 0 and now_ns > self._closely_until_ns[name] and self._complete(name, one, now_ns):
            one.pause()
            return NEVER_NS
        if self._failures[name]:
            wait_ns = max(one.period_ns, 20_000_000) << min(self._failures[name] - 1, 10)
            return now_ns + min(PATIENCE_NS, wait_ns)
        due_ns = one.due_ns()
        leisure = self._open > 0 and one.domain.reading == "counter" and due_ns > self._closely_until_ns[name]
        if not leisure:
            return max(due_ns, now_ns)
        if now_ns > self._closely_until_ns[name] + BURST_EVERY_NS - 1:
            self._closely_until_ns[name] = now_ns + BURST_TICKS * one.period_ns
            return now_ns
        return self._closely_until_ns[name] + BURST_EVERY_NS


def patience_ns(domain: Domain) -> int:
    """How long after a moment its energy may still be on the way, in nanoseconds."""
    return round(min(6 * domain.accuracy.period_s, LONGEST_WAIT_S) * 1e9) + HANGS_NS


_partial: dict[type, bool] = {}


def is_partial(sensor: Sensor) -> TypeGuard[PartialSensor]:
    """Whether the domains of a sensor can be read one by one; asking its protocol each time takes ten times as long."""
    kind = type(sensor)
    if kind not in _partial:
        _partial[kind] = isinstance(sensor, PartialSensor)
    return _partial[kind]


NOT_TOLD = SensorUnavailable("the sensor left this domain out of its reading")


def read_sensor(sensor: Sensor, now_ns: int, names: tuple[str, ...]) -> Mapping[str, int | SensorError]:
    """Read a sensor; one that breaks its promise not to raise takes only its own domains with it."""
    if is_partial(sensor):
        return {name: _read_one(sensor, now_ns, name) for name in names}
    try:
        readings: Mapping[str, object] = sensor.read(now_ns)
        return {name: _promised(sensor, readings[name]) for name in names if name in readings}
    except Exception as error:  # noqa: BLE001 - a plug-in is foreign code and must not end the user's job
        return dict.fromkeys(names, _broken(sensor, error))


def _read_one(sensor: PartialSensor, now_ns: int, name: str) -> int | SensorError:
    try:
        return _promised(sensor, sensor.read_domain(name, now_ns))
    except Exception as error:  # noqa: BLE001 - likewise
        return _broken(sensor, error)


def _broken(sensor: Sensor, error: Exception) -> SensorError:
    return SensorUnavailable(f"{sensor.name} failed: {type(error).__name__}: {error}")


def _promised(sensor: Sensor, reading: object) -> int | SensorError:
    if isinstance(reading, int | SensorError):
        return reading
    return SensorUnavailable(f"{sensor.name} gave {reading!r:.40} instead of a whole number")
