"""A process of its own that reads the sensors, so that no workload can starve them and no sensor can hold it up.

It is not a child of the measured program (which may wait for its children), has a session of its own (so that Ctrl-C
does not reach it), holds none of the program's descriptors, and ends with the program however that ends. Both talk
through shared memory; a named pipe, which the program opens anew each time, wakes the process up.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import struct
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from joulemark.errors import SensorUnavailable
from joulemark.meter.follow import NEVER_NS, is_quick
from joulemark.meter.hosts import name_hanging, renew_after_fork, unsettled
from joulemark.meter.launch import Launched, birth, remove_folder
from joulemark.meter.ring import Asked, RingReader, RingWriter
from joulemark.meter.timeline import Timeline
from joulemark.meter.tracker import Tracker
from joulemark.readings import Refusal
from joulemark.sensors.seam import Domain, Sensor

if TYPE_CHECKING:
    from joulemark.sensors.discovery import Places

__all__ = ["DISCOVERY_S", "Found", "ProcessHost", "order", "serve"]

DISCOVERY_S = 10.0
"""Time that sensors have to answer for the first time; drivers of many GPUs take some seconds."""
_STARTED = b"joulemark"
_LENGTH = struct.Struct("@Q")
_LOOK_NS = 2_000_000
_WATCH_S = 1.0
_SELDOM_S = 5.0
"""Where the system tells when the program ends, there is little else to look for."""
_TOGETHER_S = 0.002
"""Edges that follow each other within this time wake the process up once."""


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
        self._program = os.getpid()
        self._sampler = 0
        self._discovered = self._ended = False
        self._asked_ns = self._looked_ns = 0
        self._reader: RingReader | None = None
        self._numbered: list[Timeline] = []
        self._first: list[int] = []
        self.forked()
        renew_after_fork(self)

    def forked(self) -> None:
        """Let go of locks that another thread may have held when the process was forked."""
        self._lock = threading.Lock()
        self._asking = threading.Lock()
        if self._reader is not None:
            self._reader.forked()

    def discover(self) -> None:
        """Wait for what the process found; it has found nothing if it does not answer in time.

        Raises:
            OSError: if it did not even start: then this program may look for sensors itself.
        """
        self._discovered = True
        data = b"".join(_parts(self._launched.pipe))
        _bury(self._launched.pid)
        try:
            if not data.startswith(_STARTED):
                raise ChildProcessError("the sampling process did not start")
            self._sampler, self.found, self.refused = pickle.loads(_content(data))  # noqa: S301 - our own process
            if any(found.followed for found in self.found):
                self._meet()
        except OSError:
            self.close()
            raise
        except (EOFError, pickle.UnpicklingError):
            self.close()
            nothing = "the process that reads sensors did not say what it found: a driver ended it, or does not answer"
            self.refused = (Refusal(sensor="sampling process", reason=nothing),)

    def _meet(self) -> None:
        followed = [(domain, found.followed[0].name) for found in self.found for domain in found.followed]
        names = [domain.name for domain, _ in followed]
        self._first = [names.index(first) for _, first in followed]  # where a sensor notes that it is being read
        self._numbered = [Timeline(domain) for domain, _ in followed]
        self._reader = RingReader(Path(self._launched.folder))
        for name in ("order", "ring"):  # both have what they need: nothing is left behind if both are killed
            Path(self._launched.folder, name).unlink(missing_ok=True)
        self.timelines = {timeline.domain.name: timeline for timeline in self._numbered}

    def opened(self) -> None:
        """A window was opened."""
        self._ask(Asked(opened=1))

    def closed(self) -> None:
        """A window was closed."""
        self._ask(Asked(closed=1))

    def _ask(self, more: Asked) -> None:
        if self._reader is None:
            return
        if os.getpid() != self._program:  # a forked child: what its parent has open is its parent's to close
            more = Asked(edges=1)
        with self._asking:
            self._reader.ask(more)
        self._wake()

    def _wake(self) -> None:
        # Without a descriptor to spare, or while the process hangs, it notices later.
        with contextlib.suppress(OSError):
            asked_ns = time.monotonic_ns()
            pipe = os.open(f"{self._launched.folder}/wake", os.O_WRONLY | os.O_NONBLOCK)
            try:
                os.write(pipe, b".")
                self._asked_ns = asked_ns
            finally:
                os.close(pipe)

    @property
    def ended(self) -> bool:
        """Whether the process has ended, though it is needed: a quick look, for every window that is opened."""
        now_ns = time.monotonic_ns()
        if self._reader is None or self._ended or now_ns - self._looked_ns < _WATCH_S * 1e9:
            return self._ended
        self._looked_ns = now_ns
        self._look()
        return self._ended

    def _look(self) -> None:
        self._ended = birth(self._sampler) is None
        if self._ended:
            remove_folder(self._launched.folder)

    def _silent_s(self, now_ns: int) -> float:
        """How long the process has owed an answer."""
        answered = self._reader is None or self._reader.alive_ns >= self._asked_ns
        return 0.0 if answered else (now_ns - self._asked_ns) / 1e9

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
            self._look()  # before the last entries are taken
            for number, point, reason in self._reader.entries():
                timeline = self._numbered[number]
                if point is not None:
                    timeline.add(point)
                elif reason is not None:
                    timeline.reasons.append(reason)
            for number, timeline in enumerate(self._numbered):
                self._judge(number, timeline, now_ns)

    def _judge(self, number: int, timeline: Timeline, now_ns: int) -> None:
        assert self._reader is not None  # noqa: S101 - it is asked where there is one
        timeline.error = self._reader.error(number)
        lost = timeline.points[-1].breaks - len(timeline.reasons) if timeline.points else 0
        timeline.reasons += [SensorUnavailable("its reason is no longer on record")] * lost
        name, silent_s = timeline.domain.name, self._silent_s(now_ns)
        if self._ended:
            timeline.error = SensorUnavailable(f"{name}: the process that read it has ended")
        elif silent_s > _WATCH_S:
            timeline.error = SensorUnavailable(
                f"{name}: the process that reads it has been silent for {silent_s:.1f} s"
            )
        else:
            busy_since_ns = self._reader.busy_since_ns(self._first[number])
            name_hanging(self.timelines, [timeline.domain], busy_since_ns, now_ns)

    def cost(self) -> tuple[int, int]:
        """How often sensors were read, and the CPU time of the sampling process, in nanoseconds."""
        return (0, 0) if self._reader is None else self._reader.cost()

    def close(self) -> None:
        """End the process."""
        if not self._discovered:
            with contextlib.suppress(OSError):
                os.close(self._launched.pipe)
            _bury(self._launched.pid)
        with contextlib.suppress(OSError):
            pipe = os.open(f"{self._launched.folder}/wake", os.O_WRONLY | os.O_NONBLOCK)
            remove_folder(self._launched.folder)  # which it looks for when it wakes up
            os.write(pipe, b".")
            os.close(pipe)
        remove_folder(self._launched.folder)


def _parts(pipe: int) -> Iterator[bytes]:
    """Give what comes out of a pipe until the answer is complete, nothing more will come, or the time is over."""
    so_far, deadline = b"", time.monotonic() + DISCOVERY_S + 2
    poll = select.poll()  # `select.select` takes no descriptor beyond 1023
    poll.register(pipe, select.POLLIN)
    with contextlib.suppress(OSError):  # somebody may have closed it
        while (left_s := deadline - time.monotonic()) > 0 and poll.poll(left_s * 1e3):
            part = os.read(pipe, 1 << 16)
            yield part
            so_far += part
            if not part or _content(so_far):
                break
    with contextlib.suppress(OSError):
        os.close(pipe)


def _content(data: bytes) -> bytes:
    """Give the pickle in an answer if all of it is there; the pipe's end may be open in a forked child for long."""
    start = len(_STARTED) + _LENGTH.size
    if len(data) < start:
        return b""
    end = start + _LENGTH.unpack_from(data, len(_STARTED))[0]
    return data[start:end] if len(data) >= end else b""


def _bury(pid: int) -> None:
    """Wait for the process that was started: it has left the sampling to its own child, or is stuck and is ended."""
    with contextlib.suppress(OSError):  # the program may have waited for it
        deadline = time.monotonic() + 0.2
        while os.waitpid(pid, os.WNOHANG)[0] == 0:
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.001)


def order(
    places: Places | None = None, only: Sequence[str] | None = None, urls: Sequence[str] = ()
) -> dict[str, object]:
    """Say what a sampling process is to do.

    Args:
        places: where sensors are looked for; this machine without it.
        only: names of the entry points to try; all without it.
        urls: whole-machine meters to read besides, see `joulemark.sensors.address.wall_sensor`.
    """
    where = [] if places is None else [str(places.sysfs), str(places.procfs), str(places.devfs)]
    asked = None if only is None else list(only)
    return {"places": where, "only": asked, "urls": list(urls), "deadline_s": DISCOVERY_S}


# The sampling process's side


def serve() -> None:
    """Run the sampling process; its second argument is the folder with its orders."""
    with contextlib.suppress(PermissionError):  # it leads a session already
        os.setsid()
    starter = os.getpid()
    if os.fork():
        os._exit(0)  # the program must not have a child that it does not know
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # What is said to all processes of a job is said to the program: it may still have to measure its own end.
        signal.signal(number, signal.SIG_IGN)
    answer = os.dup(1)
    os.dup2(2, 1)
    os.closerange(answer + 1, 1 << 16)
    folder = Path(sys.argv[2])
    try:
        told: dict[str, Any] = eval((folder / "order").read_text(encoding="utf-8"))  # noqa: S307 - our own program's
        while os.getppid() == starter:
            time.sleep(0.0002)
        if os.getppid() != told["parent"] or _can_tell_what_it_waits_for(told["parent"]):
            _Sampling(folder, told).run(answer)
    finally:
        remove_folder(str(folder))
        os._exit(0)  # a driver that hangs, or ends badly, holds nothing up


class _Sampling:
    def __init__(self, folder: Path, told: Mapping[str, Any]) -> None:
        self._folder = folder
        self._told = told
        self._program: int = told["parent"]
        self._trackers: list[Tracker] = []
        self._bells: list[_Bell] = []

    def run(self, answer: int) -> None:
        os.write(answer, _STARTED)
        found, refused = self._discover()
        used = tuple(f for f, _ in found)
        followed = [(sensor, f.followed) for f, sensor in found if f.followed]
        wake = os.open(self._folder / "wake", os.O_RDWR)  # for writing too, so that it never ends
        ring = RingWriter(self._folder, [domain for _, domains in followed for domain in domains])
        ring.alive(0, 0, time.monotonic_ns())
        content = pickle.dumps((os.getpid(), used, refused))
        os.write(answer, _LENGTH.pack(len(content)) + content)
        os.close(answer)
        if not followed:
            return
        for sensor, domains in followed:
            tracker = Tracker(sensor, domains, ring)
            bell = _Bell()
            self._trackers.append(tracker)
            self._bells.append(bell)
            threading.Thread(target=_follow, args=(tracker, bell, ring), daemon=True).start()
        self._listen(wake, ring)

    def _discover(self) -> tuple[list[tuple[Found, Sensor]], tuple[Refusal, ...]]:
        from joulemark.sensors.discovery import Places, discover

        told = self._told
        places = Places(*map(Path, told["places"]))
        found = discover(places, only=told["only"], urls=told["urls"], deadline_s=told.get("deadline_s", DISCOVERY_S))
        kept = []
        for point, sensor in zip(found.points, found.sensors, strict=True):
            followed = tuple(d for d in sensor.domains if not is_quick(d))
            kept.append((Found(point, sensor.name, tuple(sensor.domains), followed), sensor))
        return kept, found.refused

    def _listen(self, wake: int, ring: RingWriter) -> None:
        """Pass on what the program asks for, as long as it lives."""
        before = Asked()
        heard, watch_s = [wake], _WATCH_S
        if os.getppid() != self._program:
            with contextlib.suppress(AttributeError, OSError):  # Linux 5.3 and later: readable when the program ends
                heard.append(os.pidfd_open(self._program))
                watch_s = _SELDOM_S
        while self._needed():
            ready, _, _ = select.select(heard, [], [], watch_s)
            if wake in ready:
                os.read(wake, 1 << 16)
            asked = ring.asked()
            if asked != before:
                for tracker, bell in zip(self._trackers, self._bells, strict=True):
                    tracker.told(asked.opened - before.opened, asked.closed - before.closed)
                    bell.ring()
                before = asked
            readings = sum(tracker.readings for tracker in self._trackers)
            ring.alive(readings, time.process_time_ns(), time.monotonic_ns())
            if ready:
                time.sleep(_TOGETHER_S)

    def _needed(self) -> bool:
        if birth(self._program) != self._told["birth"] or not os.path.exists(self._folder):
            return False
        return os.getppid() != self._program or not _waits_for_the_last(self._program)


class _Bell:
    """Wakes one thread up; a `threading.Condition` does so too, for twice the work."""

    def __init__(self) -> None:
        self._silent = threading.Lock()
        self._silent.acquire()

    def ring(self) -> None:
        """Wake the thread up, now or when it next waits."""
        with contextlib.suppress(RuntimeError):  # it has been rung
            self._silent.release()

    def wait(self, wait_ns: int) -> None:
        """Wait so long, or until it is rung."""
        self._silent.acquire(timeout=-1 if wait_ns > NEVER_NS // 2 else wait_ns / 1e9)


def _follow(tracker: Tracker, bell: _Bell, ring: RingWriter) -> None:
    first = tracker.domains[0]
    while True:
        while (wait_ns := tracker.due_ns() - time.monotonic_ns()) > 0:
            bell.wait(wait_ns)
        ring.busy(first, time.monotonic_ns())
        tracker.read()
        ring.busy(first, 0)


def _waits_for_the_last(program: int) -> bool:
    """Whether a program whose child we are waits for its children, and has no other.

    In a container the program may be its first process, to which the kernel gives all orphans. It does not know of us:
    one that waits until it has no child any more (``os.wait``) would wait for ever.
    """
    tasks = Path(f"/proc/{program}/task")
    with contextlib.suppress(OSError):
        if any((task / "wchan").read_text() == "do_wait" for task in tasks.iterdir()):
            return _children(program) <= {os.getpid()}
    return False


def _can_tell_what_it_waits_for(program: int) -> bool:
    return os.access(f"/proc/{program}/wchan", os.R_OK)


def _children(program: int) -> set[int]:
    found = set()
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            parent = (place / "stat").read_bytes().rpartition(b")")[2].split()[1]
            if int(parent) == program:
                found.add(int(place.name))
    return found
