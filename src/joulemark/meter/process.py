"""A process of its own that reads the sensors, so that no workload can starve them and no sensor can hold it up.

It is not a child of the measured program (which may wait for its children), has a session of its own (so that Ctrl-C
does not reach it), holds none of the program's descriptors, and ends with the program however that ends. The program
talks to it through a named pipe that it opens anew each time, and hears from it through shared memory.
"""

from __future__ import annotations

import ast
import contextlib
import os
import pickle
import select
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from joulemark.errors import SensorUnavailable
from joulemark.meter.hosts import name_hanging, unsettled
from joulemark.meter.launch import Launched, remove_folder
from joulemark.meter.ring import RingReader, RingWriter
from joulemark.meter.timeline import Timeline
from joulemark.meter.tracker import NEVER_NS, Tracker
from joulemark.readings import Refusal
from joulemark.sensors.seam import Domain, Sensor

if TYPE_CHECKING:
    from joulemark.sensors.discovery import Places

__all__ = ["Found", "ProcessHost", "order", "serve"]

DISCOVERY_S = 10.0
"""Time that sensors have to answer for the first time; drivers of many GPUs take some seconds."""
_OPENED, _CLOSED, _END = b"o", b"c", b"e"
_LOOK_NS = 2_000_000
_WATCH_S = 1.0


@dataclass(frozen=True, slots=True)
class Found:
    """A sensor that the sampling process uses.

    Attributes:
        point: name of its entry point.
        name: the sensor's name.
        domains: what it sees.
        followed: those of them that the sampling process follows; the others are read by the program itself.
    """

    point: str
    name: str
    domains: tuple[Domain, ...]
    followed: tuple[Domain, ...]


# The program's side


class ProcessHost:
    """Runs trackers in a process of its own.

    Args:
        launched: the process, which was just started (`order` says what it is told).

    Attributes:
        found: the sensors that are used, once `discover` has returned.
        refused: those that are not.
    """

    def __init__(self, launched: Launched) -> None:
        self.timelines: Mapping[str, Timeline] = {}
        self.found: tuple[Found, ...] = ()
        self.refused: tuple[Refusal, ...] = ()
        self._launched = launched
        self._reader: RingReader | None = None
        self._numbered: list[Timeline] = []
        self._lock = threading.Lock()

    def discover(self) -> None:
        """Wait for what the process found; it has found nothing if it does not answer in time."""
        pipe = self._launched.pipe
        data, deadline = b"", time.monotonic() + DISCOVERY_S + 2
        while (left := deadline - time.monotonic()) > 0 and select.select([pipe], [], [], left)[0]:
            part = os.read(pipe, 1 << 16)
            if not part:
                break
            data += part
        os.close(pipe)
        # The process that was started has left the sampling to its own child; the program may have waited for it.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._launched.pid, 0)
        try:
            self.found, self.refused = pickle.loads(data)  # noqa: S301 - our own process wrote it
        except (EOFError, pickle.UnpicklingError):
            nothing = "the process that reads sensors did not say what it found"
            self.refused = (Refusal(sensor="sampling process", reason=nothing),)
            return
        followed = [domain for found in self.found for domain in found.followed]
        if followed:
            self._numbered = [Timeline(domain) for domain in followed]
            self.timelines = {timeline.domain.name: timeline for timeline in self._numbered}
            self._reader = RingReader(Path(self._launched.folder))

    def opened(self) -> None:
        """A window was opened."""
        self._tell(_OPENED)

    def closed(self) -> None:
        """A window was closed."""
        self._tell(_CLOSED)

    def _tell(self, word: bytes) -> None:
        if not self.timelines:
            return
        try:
            pipe = os.open(f"{self._launched.folder}/wake", os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return  # it has ended; its domains will be unavailable
        try:
            os.write(pipe, word)
        except OSError:
            pass  # it does not read: it hangs, and will be named
        finally:
            os.close(pipe)

    def settle(self, time_ns: int) -> None:
        """Wait until every curve that will reach beyond `time_ns` does; a sensor that hangs is named."""
        wait_ns = _LOOK_NS
        while True:
            now_ns = time.monotonic_ns()
            self._drain(now_ns)
            if unsettled(self.timelines, time_ns, now_ns) <= 0:
                return
            time.sleep(wait_ns / 1e9)
            wait_ns = min(2 * wait_ns, 20_000_000)

    def _drain(self, now_ns: int) -> None:
        if self._reader is None:
            return
        with self._lock:
            for number, point, reason in self._reader.entries():
                timeline = self._numbered[number]
                if point is not None:
                    timeline.add(point)
                elif reason is not None:
                    timeline.reasons.append(reason)
            silent_ns = now_ns - self._reader.alive_ns
            for number, timeline in enumerate(self._numbered):
                timeline.error, busy_since_ns = self._reader.state(number)
                name_hanging(self.timelines, [timeline.domain], busy_since_ns, now_ns)
                if silent_ns > 4e9 * _WATCH_S:
                    timeline.error = SensorUnavailable(
                        f"{timeline.domain.name}: the process that reads it has been silent for {silent_ns / 1e9:.1f} s"
                    )

    def cost(self) -> tuple[int, int]:
        """How often sensors were read, and the CPU time of the sampling process, in nanoseconds."""
        return (0, 0) if self._reader is None else self._reader.cost()

    def close(self) -> None:
        """End the process."""
        self._tell(_END)
        remove_folder(self._launched.folder)


def order(
    places: Places | None = None, only: Sequence[str] | None = None, urls: Sequence[str] = ()
) -> dict[str, object]:
    """Say what a sampling process is to do.

    Args:
        places: where sensors are looked for; this machine without it.
        only: names of the entry points to try; all without it.
        urls: whole-machine meters to read besides, see `joulemark.sensors.whole.wall_sensor`.
    """
    where = [] if places is None else [str(places.sysfs), str(places.procfs), str(places.devfs)]
    return {"places": where, "only": None if only is None else list(only), "urls": list(urls)}


# The sampling process's side


def serve() -> None:
    """Run the sampling process; its second argument is the folder with its orders."""
    os.setsid()
    if os.fork():
        os._exit(0)  # the program must not have a child that it does not know
    folder = sys.argv[2]
    told: dict[str, Any] = ast.literal_eval(Path(folder, "order").read_text(encoding="utf-8"))
    answer = os.dup(1)
    os.dup2(2, 1)
    os.closerange(answer + 1, 1 << 16)
    try:
        _Sampling(Path(folder), told).run(answer)
    finally:
        remove_folder(folder)


class _Sampling:
    def __init__(self, folder: Path, told: Mapping[str, Any]) -> None:
        self._folder = folder
        self._told = told
        self._trackers: list[Tracker] = []
        self._wakes: list[threading.Condition] = []

    def run(self, answer: int) -> None:
        found = self._discover()
        used = tuple(f for f, _ in found[0])
        followed = [(sensor, f.followed) for f, sensor in found[0] if f.followed]
        wake = os.open(self._folder / "wake", os.O_RDWR)  # for writing too, so that it never ends
        ring = RingWriter(self._folder, [domain for _, domains in followed for domain in domains])
        ring.alive(0, 0, time.monotonic_ns())
        os.write(answer, pickle.dumps((used, found[1])))
        os.close(answer)
        if not followed:
            return
        for sensor, domains in followed:
            tracker = Tracker(sensor, domains, ring)
            lock = threading.Condition()
            self._trackers.append(tracker)
            self._wakes.append(lock)
            threading.Thread(target=self._follow, args=(tracker, lock, ring), daemon=True).start()
        self._listen(wake, ring)

    def _discover(self) -> tuple[list[tuple[Found, Sensor]], tuple[Refusal, ...]]:
        from joulemark.meter.follow import ReadingFollower, follower
        from joulemark.sensors.discovery import Places, discover

        told = self._told
        places = Places(*map(Path, told["places"]))
        found = discover(places, only=told["only"], urls=told["urls"], deadline_s=DISCOVERY_S)
        kept = []
        for point, sensor in zip(found.points, found.sensors, strict=True):
            followed = tuple(d for d in sensor.domains if not isinstance(follower(d), ReadingFollower))
            kept.append((Found(point, sensor.name, tuple(sensor.domains), followed), sensor))
        return kept, found.refused

    def _follow(self, tracker: Tracker, lock: threading.Condition, ring: RingWriter) -> None:
        while True:
            with lock:
                while (wait_ns := tracker.due_ns() - time.monotonic_ns()) > 0:
                    lock.wait(None if wait_ns > NEVER_NS // 2 else wait_ns / 1e9)
            ring.busy(tracker.domains, time.monotonic_ns())
            tracker.read()
            ring.busy(tracker.domains, 0)

    def _listen(self, wake: int, ring: RingWriter) -> None:
        """Pass on what the program says, as long as it lives."""
        parent = self._told["parent"]
        born = _birth(parent)
        while _birth(parent) == born and self._folder.exists():
            ready, _, _ = select.select([wake], [], [], _WATCH_S)
            words = os.read(wake, 4096) if ready else b""
            if _END in words:
                return
            for tracker, lock in zip(self._trackers, self._wakes, strict=True):
                with lock:
                    tracker.told(words.count(_OPENED), words.count(_CLOSED))
                    if words:
                        lock.notify()
            readings = sum(tracker.readings for tracker in self._trackers)
            ring.alive(readings, time.process_time_ns(), time.monotonic_ns())


def _birth(pid: int) -> str | None:
    """Tell a process from a later one of the same number; None if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass
    return "" if not Path("/proc/self").exists() else None
