"""Hosts: where trackers run while windows are open, so that the measured program does not wait for them.

=================  ===================================================================================================
`ThreadHost`       threads of this program, one a sensor, so that a slow sensor keeps nobody else waiting
`SimulatedHost`    callbacks of a simulated clock, for tests
`ProcessHost`      a process of its own (`joulemark.meter.process`), which the measured program cannot starve
=================  ===================================================================================================
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from joulemark.errors import SensorError, SensorUnavailable
from joulemark.meter.follow import NEVER_NS, Point
from joulemark.meter.timeline import Timeline
from joulemark.meter.tracker import HANGS_NS, Tracker, patience_ns
from joulemark.sensors.seam import Domain, Sensor

__all__ = ["Host", "SchedulingClock", "SimulatedHost", "ThreadHost"]


LOOK_NS = 200_000_000
"""How often it is looked whether a sensor hangs that is waited for."""


class Host(Protocol):
    """Runs trackers."""

    @property
    def ended(self) -> bool:
        """Whether nobody reads the sensors any more, so that another host is needed."""

    @property
    def timelines(self) -> Mapping[str, Timeline]:
        """What they found, by domain."""

    def opened(self) -> None:
        """A window was opened."""

    def closed(self) -> None:
        """A window was closed."""

    def settle(self, time_ns: int) -> None:
        """Wait until every curve that will reach beyond `time_ns` does."""

    def cost(self) -> tuple[int, int]:
        """How often sensors were read, and the CPU time that took, in nanoseconds."""

    def close(self) -> None:
        """Stop, and close the sensors."""


class _Timelines:
    """A sink that keeps timelines in this process."""

    def __init__(self, domains: Sequence[Domain]) -> None:
        self.timelines = {domain.name: Timeline(domain) for domain in domains}
        self.news = threading.Condition()

    def point(self, domain: Domain, point: Point) -> None:
        with self.news:
            self.timelines[domain.name].add(point)
            self.news.notify_all()

    def broke(self, domain: Domain, reason: SensorError) -> None:
        self.timelines[domain.name].reasons.append(reason)

    def failed(self, domain: Domain, error: SensorError | None) -> None:
        with self.news:
            self.timelines[domain.name].error = error
            self.news.notify_all()

    def lost(self, domains: Sequence[Domain], reason: str) -> None:
        for domain in domains:
            self.failed(domain, SensorUnavailable(f"{domain.name}: {reason}"))


def unsettled(timelines: Mapping[str, Timeline], time_ns: int, now_ns: int) -> int:
    """How much longer it may be worth to wait for the energy at a moment, in nanoseconds; 0 if it is not."""
    waits = (
        time_ns + patience_ns(timeline.domain) - now_ns
        for timeline in timelines.values()
        if timeline.until_ns <= time_ns and timeline.error is None
    )
    return max(0, max(waits, default=0))


class ThreadHost:
    """Runs each tracker in a thread of its own, which ends with the program."""

    ended = False

    def __init__(
        self, sensors: Sequence[tuple[Sensor, tuple[Domain, ...]]], clock_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._clock_ns = clock_ns
        self._sensors = sensors
        self._sink = _Timelines([domain for _, domains in sensors for domain in domains])
        self.timelines = self._sink.timelines
        self.trackers = [Tracker(sensor, domains, self._sink, clock_ns) for sensor, domains in sensors]
        self._locks = [threading.Condition() for _ in self.trackers]
        self._stopped = False
        self._threads: list[threading.Thread] = []
        renew_after_fork(self)

    def opened(self) -> None:
        """A window was opened."""
        if not self._threads:
            self._start()
        self._tell(Tracker.opened)

    def _start(self) -> None:
        for index, tracker in enumerate(self.trackers):
            thread = threading.Thread(
                target=self._run, args=(tracker, self._locks[index]), name="joulemark-sampler", daemon=True
            )
            try:
                thread.start()
            except RuntimeError as error:  # too many threads, or the program is about to end
                self._sink.lost(tracker.domains, f"nobody can read it: {error}")
                continue
            self._threads.append(thread)

    def closed(self) -> None:
        """A window was closed."""
        self._tell(Tracker.closed)

    def _tell(self, what: Callable[[Tracker], None]) -> None:
        for tracker, lock in zip(self.trackers, self._locks, strict=True):
            with lock:
                what(tracker)
                lock.notify()

    def _run(self, tracker: Tracker, lock: threading.Condition) -> None:
        while True:
            with lock:
                while not self._stopped and (wait_ns := tracker.due_ns() - self._clock_ns()) > 0:
                    lock.wait(None if wait_ns > NEVER_NS // 2 else wait_ns / 1e9)
                if self._stopped:
                    tracker.sensor.close()
                    return
            tracker.read()

    def settle(self, time_ns: int) -> None:
        """Wait until every curve that will reach beyond `time_ns` does; a sensor that hangs is named."""
        with self._sink.news:
            while True:
                now_ns = self._clock_ns()
                for tracker in self.trackers:
                    name_hanging(self.timelines, tracker.domains, tracker.busy_since_ns, now_ns)
                wait_ns = unsettled(self.timelines, time_ns, now_ns)
                if wait_ns <= 0:
                    return
                self._sink.news.wait(min(wait_ns, LOOK_NS) / 1e9)

    def cost(self) -> tuple[int, int]:
        """How often sensors were read, and the CPU time that took, in nanoseconds."""
        return sum(t.readings for t in self.trackers), sum(t.cost_ns for t in self.trackers)

    def again(self) -> ThreadHost:
        """Give a host of the same sensors for a process that was forked, which has none of these threads."""
        return ThreadHost(self._sensors, self._clock_ns)

    def forked(self) -> None:
        """Take note that the threads are gone, and let go of the locks that they may have held."""
        self._sink.news = threading.Condition()
        self._locks = [threading.Condition() for _ in self.trackers]
        self._threads = []
        for tracker in self.trackers:
            tracker.busy_since_ns = 0
            self._sink.lost(tracker.domains, "the threads that read it did not come along when the process was forked")

    def close(self) -> None:
        """Stop the threads; each closes its sensor when it is not reading it."""
        self._stopped = True
        for lock in self._locks:
            with lock:
                lock.notify()
        if not self._threads:
            for tracker in self.trackers:
                tracker.sensor.close()
        for thread, tracker in zip(self._threads, self.trackers, strict=False):
            if not tracker.busy_since_ns:
                thread.join(timeout=1.0)


def name_hanging(timelines: Mapping[str, Timeline], domains: Sequence[Domain], since_ns: int, now_ns: int) -> None:
    """Note for domains whose sensor does not answer that it does not."""
    if since_ns and now_ns - since_ns > HANGS_NS:
        for domain in domains:
            timelines[domain.name].error = SensorUnavailable(
                f"{domain.name}: the sensor has not answered for {(now_ns - since_ns) / 1e9:.1f} s"
            )


@runtime_checkable
class SchedulingClock(Protocol):
    """A clock on which things can be scheduled, such as `joulemark.testing.SimulatedClock`."""

    def __call__(self) -> int:
        """Monotonic time in nanoseconds."""

    def schedule(self, at_ns: int, callback: Callable[[], object]) -> None:
        """Have something run at a time."""

    def sleep_until(self, at_ns: int) -> None:
        """Let time go by."""


class SimulatedHost:
    """Runs trackers on a simulated clock.

    Args:
        sensors: each with those of its domains that are followed.
        clock: theirs.
        latency_ns: time between a window's edge and the reading that it causes.
    """

    ended = False

    def __init__(
        self,
        sensors: Sequence[tuple[Sensor, tuple[Domain, ...]]],
        clock: SchedulingClock,
        latency_ns: int = 200_000,
    ) -> None:
        self._clock = clock
        self._latency_ns = latency_ns
        sink = _Timelines([domain for _, domains in sensors for domain in domains])
        self.timelines = sink.timelines
        self.trackers = [Tracker(sensor, domains, sink, clock) for sensor, domains in sensors]

    def opened(self) -> None:
        """A window was opened."""
        for tracker in self.trackers:
            tracker.opened()
            self._schedule(tracker, self._clock() + self._latency_ns)

    def closed(self) -> None:
        """A window was closed."""
        for tracker in self.trackers:
            tracker.closed()
            self._schedule(tracker, self._clock() + self._latency_ns)

    def _schedule(self, tracker: Tracker, at_ns: int) -> None:
        self._clock.schedule(at_ns, lambda: self._run(tracker))

    def _run(self, tracker: Tracker) -> None:
        if tracker.due_ns() <= self._clock():
            tracker.read()
            if tracker.due_ns() < NEVER_NS:
                self._schedule(tracker, max(tracker.due_ns(), self._clock() + 10_000))

    def settle(self, time_ns: int) -> None:
        """Let time go by until every curve that will reach beyond `time_ns` does."""
        while unsettled(self.timelines, time_ns, self._clock()) > 0:
            self._clock.sleep_until(self._clock() + 1_000_000)
        for tracker in self.trackers:
            name_hanging(self.timelines, tracker.domains, tracker.busy_since_ns, self._clock())

    def cost(self) -> tuple[int, int]:
        """How often sensors were read, and the CPU time that took, in nanoseconds."""
        return sum(t.readings for t in self.trackers), sum(t.cost_ns for t in self.trackers)

    def close(self) -> None:
        """Close the sensors."""
        for tracker in self.trackers:
            tracker.sensor.close()


class _Forked(Protocol):
    def forked(self) -> None: ...


_hosts: weakref.WeakSet[_Forked] = weakref.WeakSet()


def renew_after_fork(host: _Forked) -> None:
    """Have a host's `forked` called in every process that is forked from this one."""
    _hosts.add(host)


def _after_fork() -> None:
    for host in list(_hosts):
        host.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
