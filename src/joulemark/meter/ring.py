"""Points on their way from the sampling process to the measured program, through shared memory.

The file is a ring of entries of fixed size. The sampling process writes an entry and then moves the head on; the
program reads when it wants to know something. Neither waits for the other, no system call is made per entry, and
nothing breaks when the program closes descriptors that it does not know.
"""

from __future__ import annotations

import json
import mmap
import struct
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from joulemark import errors
from joulemark.errors import PermissionDenied, SensorError, SensorUnavailable
from joulemark.meter.follow import Point
from joulemark.sensors.seam import Domain

__all__ = ["Entry", "RingReader", "RingWriter"]

ENTRIES = 1 << 15
"""At 50 points a second more than ten minutes; pages that are not used take no memory."""
_HEAD = struct.Struct("<QQQQ")  # entries ever written, readings, CPU time of the process (ns), alive at (ns)
_SLOT = struct.Struct("<QQ")  # a domain's error (number of its message, 0 without), its sensor is busy since (ns)
_ENTRY = struct.Struct("<QqqqdIHH")  # its own number, time, unsure, energy, sampling, breaks, domain, kind
_SLOTS_AT = 64
_ENTRIES_AT = 8192
_MOST_DOMAINS = (_ENTRIES_AT - _SLOTS_AT) // _SLOT.size
_POINT, _BREAK = 0, 1


class Entry(NamedTuple):
    """An entry: a point of a domain, or the reason of a break before its next point."""

    domain: int
    point: Point | None
    reason: SensorError | None


class RingWriter:
    """The sampling process's end; a sink for trackers."""

    def __init__(self, folder: Path, domains: Sequence[Domain]) -> None:
        self._numbers = {domain.name: number for number, domain in enumerate(domains[:_MOST_DOMAINS])}
        size = _ENTRIES_AT + ENTRIES * _ENTRY.size
        with (folder / "ring").open("w+b") as file:
            file.truncate(size)
            self._memory = mmap.mmap(file.fileno(), size)
        self._messages = (folder / "messages").open("a", encoding="utf-8")
        self._message_count = 0
        self._known: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()
        self._head = 0

    def point(self, domain: Domain, point: Point) -> None:
        """Take a point of a domain's energy curve."""
        self._write(domain, point.time_ns, point.unsure_ns, point.energy_uj, point.sampling_uj2, point.breaks, _POINT)

    def broke(self, domain: Domain, reason: SensorError) -> None:
        """Take the reason of a break."""
        self._write(domain, 0, 0, self._message(reason), 0.0, 0, _BREAK)

    def failed(self, domain: Domain, error: SensorError | None) -> None:
        """Take why a domain cannot be read from now on, or None when it can again."""
        number = 0 if error is None else self._message(error)
        struct.pack_into("<Q", self._memory, self._slot(domain), number)

    def busy(self, domains: Sequence[Domain], since_ns: int) -> None:
        """Note when a reading began that is going on, or 0 when it is over."""
        for domain in domains:
            struct.pack_into("<Q", self._memory, self._slot(domain) + 8, since_ns)

    def alive(self, readings: int, cost_ns: int, now_ns: int) -> None:
        """Note what sampling has cost, and that it goes on."""
        with self._lock:
            _HEAD.pack_into(self._memory, 0, self._head, readings, cost_ns, now_ns)

    def _slot(self, domain: Domain) -> int:
        return _SLOTS_AT + self._numbers[domain.name] * _SLOT.size

    def _write(
        self, domain: Domain, time_ns: int, unsure_ns: int, energy: int, sampling: float, breaks: int, kind: int
    ) -> None:
        with self._lock:
            place = _ENTRIES_AT + self._head % ENTRIES * _ENTRY.size
            number = self._numbers[domain.name]
            _ENTRY.pack_into(
                self._memory, place, self._head, time_ns, unsure_ns, energy, sampling, breaks, number, kind
            )
            self._head += 1
            struct.pack_into("<Q", self._memory, 0, self._head)

    def _message(self, error: SensorError) -> int:
        """Give the number of an error's message, from 1; each is written once."""
        with self._lock:
            key = (type(error).__name__, str(error))
            if key not in self._known and self._message_count < 10_000:
                remedy = error.remedy if isinstance(error, PermissionDenied) else ""
                self._messages.write(json.dumps([*key, remedy]) + "\n")
                self._messages.flush()
                self._message_count += 1
                self._known[key] = self._message_count
            return self._known.get(key, self._message_count)


class RingReader:
    """The program's end."""

    def __init__(self, folder: Path) -> None:
        with (folder / "ring").open("rb") as file:
            self._memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._file = folder / "messages"
        self._messages: list[SensorError] = []
        self._read = 0

    def entries(self) -> Iterator[Entry]:
        """Give what was written since the last time; what the ring has gone over meanwhile is left out."""
        head = self._header()[0]
        self._read = max(self._read, head - ENTRIES + 1)
        while self._read < head:
            place = _ENTRIES_AT + self._read % ENTRIES * _ENTRY.size
            number, time_ns, unsure_ns, energy, sampling, breaks, domain, kind = _ENTRY.unpack_from(self._memory, place)
            if number < self._read:
                return  # not there yet
            self._read += 1
            if number > self._read - 1:
                continue  # gone over while it was read
            if kind == _POINT:
                yield Entry(domain, Point(time_ns, unsure_ns, energy, sampling, breaks), None)
            else:
                yield Entry(domain, None, self.message(energy))

    def state(self, number: int) -> tuple[SensorError | None, int]:
        """Give a domain's error, and since when its sensor is being read, in nanoseconds; 0 if it is not."""
        message, busy_since_ns = _SLOT.unpack_from(self._memory, _SLOTS_AT + number * _SLOT.size)
        return (self.message(message) if message else None), busy_since_ns

    def cost(self) -> tuple[int, int]:
        """How often sensors were read, and the CPU time of the sampling process, in nanoseconds."""
        _, readings, cost_ns, _ = self._header()
        return readings, cost_ns

    @property
    def alive_ns(self) -> int:
        """When the sampling process last said that it goes on."""
        return self._header()[3]

    def _header(self) -> tuple[int, int, int, int]:
        head, readings, cost_ns, alive_ns = _HEAD.unpack_from(self._memory, 0)
        return head, readings, cost_ns, alive_ns

    def message(self, number: int) -> SensorError:
        """Give an error by its number."""
        if number > len(self._messages):
            try:
                lines = self._file.read_text(encoding="utf-8").splitlines()
            except OSError:
                lines = []
            self._messages = [_error(*json.loads(line)) for line in lines]
        if 0 < number <= len(self._messages):
            return self._messages[number - 1]
        return SensorUnavailable("its reason was not written down")


def _error(kind: str, text: str, remedy: str) -> SensorError:
    found = getattr(errors, kind, SensorUnavailable)
    if found is PermissionDenied:
        return PermissionDenied(text, remedy=remedy)
    return found(text) if isinstance(found, type) and issubclass(found, SensorError) else SensorUnavailable(text)
