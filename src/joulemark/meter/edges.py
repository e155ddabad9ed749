"""Counters that are read at the edges of windows, by the program itself: quick, and as good as exact at any moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from joulemark.errors import SensorError
from joulemark.meter.follow import NEVER_NS, ReadingFollower, heartbeat_ns
from joulemark.meter.tracker import NOT_TOLD, read_sensor
from joulemark.sensors.seam import Domain, Sensor

__all__ = ["EdgeReader", "Mark"]


class Mark(NamedTuple):
    """Where a counter stood at one moment: microjoules since its first reading, breaks so far, or what is wrong."""

    total_uj: int
    breaks: int
    error: SensorError | None


class EdgeReader:
    """Reads sensors when it is told to, and often enough in between that no counter wraps unseen.

    Args:
        sensors: each with those of its domains that are read here.
        clock_ns: monotonic time in nanoseconds.
    """

    def __init__(self, sensors: Sequence[tuple[Sensor, tuple[Domain, ...]]], clock_ns: Callable[[], int]) -> None:
        self._sensors = tuple(sensors)
        self._clock_ns = clock_ns
        self._followers = {d.name: ReadingFollower(d) for _, domains in self._sensors for d in domains}
        self._lock = threading.Lock()
        self.readings = 0
        self.cost_ns = 0
        beats = (heartbeat_ns(d) for _, domains in self._sensors for d in domains)
        self.heartbeat_ns = min(beats, default=NEVER_NS)

    def read(self) -> tuple[int, Mapping[str, Mark]]:
        """Read everything once; give the time in nanoseconds and where each counter stands."""
        with self._lock:
            began_ns = time.thread_time_ns()
            now_ns = self._clock_ns()
            marks = {}
            for sensor, domains in self._sensors:
                before_ns = self._clock_ns()
                readings = read_sensor(sensor, before_ns, tuple(domain.name for domain in domains))
                after_ns = self._clock_ns()
                for domain in domains:
                    follower = self._followers[domain.name]
                    follower.feed(before_ns, after_ns, readings.get(domain.name, NOT_TOLD))
                    marks[domain.name] = Mark(follower.total_uj, len(follower.reasons), follower.error)
            self.readings += 1
            self.cost_ns += time.thread_time_ns() - began_ns
        return now_ns, marks

    def between(self, name: str, start: Mark, end: Mark) -> float | SensorError:
        """Give the energy of a domain between two marks, in joules, or why it is not known."""
        if start.error is not None:
            return start.error
        if end.error is not None:
            return end.error
        if end.breaks > start.breaks:
            return self._followers[name].reasons[start.breaks]
        return (end.total_uj - start.total_uj) / 1e6

    def forked(self) -> None:
        """Let go of a lock that another thread held when the process was forked."""
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the sensors, never while one is being read."""
        with self._lock:
            for sensor, _ in self._sensors:
                sensor.close()
