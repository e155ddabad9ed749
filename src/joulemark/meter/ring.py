"""What the sampling process and the measured program tell each other, in shared memory.

=========  ==========================================================================================================
head       entries ever written, readings, CPU time of the sampling process, and when it last said that it goes on
asked      by the program: windows ever opened and closed, and edges that forked children took
slots      for each domain its error, and since when its sensor is being read
messages   the texts of errors, by number; the oldest make room for new ones
entries    points of the energy curves and the reasons of breaks, a ring as well
=========  ==========================================================================================================

Neither waits for the other, no system call is made per entry, and nothing breaks when the program closes descriptors
that it does not know. All of the memory is there from the start: none can be missing later.
"""

from __future__ import annotations

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

__all__ = ["Asked", "Entry", "RingReader", "RingWriter"]

ENTRIES = 1 << 15
"""At 50 points a second more than ten minutes."""
MESSAGES = 256
# Native sizes: each field is written and read at once.
_HEAD = struct.Struct("@QQQQ")
_ASKED = struct.Struct("@QQQ")
_NUMBER = struct.Struct("@Q")
_SLOT = struct.Struct("@QQ")  # number of the message, 0 without; since when, in ns
_ENTRY = struct.Struct("@QqqqdIHH")  # its own number, time, unsure, energy, sampling, breaks, domain, kind
_MESSAGE = struct.Struct("@QH")  # its own number, length; the text follows
_MESSAGE_BYTES = 512
_ASKED_AT = 64
_SLOTS_AT = 128
_MESSAGES_AT = 8192
_ENTRIES_AT = _MESSAGES_AT + MESSAGES * _MESSAGE_BYTES
BYTES = _ENTRIES_AT + ENTRIES * _ENTRY.size
_POINT, _BREAK = 0, 1
_APART = "\0"


class Entry(NamedTuple):
    """An entry: a point of a domain, or the reason of a break before its next point."""

    domain: int
    point: Point | None
    reason: SensorError | None


class Asked(NamedTuple):
    """How many windows the program has opened and closed so far, and how many edges its forked children have taken."""

    opened: int = 0
    closed: int = 0
    edges: int = 0


def _mapped(folder: Path) -> mmap.mmap:
    with (folder / "ring").open("r+b") as file:
        return mmap.mmap(file.fileno(), BYTES)


class RingWriter:
    """The sampling process's end; a sink for trackers."""

    def __init__(self, folder: Path, domains: Sequence[Domain]) -> None:
        self._slots = {d.name: range(_SLOTS_AT, _MESSAGES_AT, _SLOT.size)[n] for n, d in enumerate(domains)}
        self._numbers = {domain.name: number for number, domain in enumerate(domains)}
        self._memory = _mapped(folder)
        self._message_count = 0
        self._known: dict[str, int] = {}
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
        _NUMBER.pack_into(self._memory, self._slots[domain.name], number)

    def busy(self, domain: Domain, since_ns: int) -> None:
        """Note when a reading began that is going on, or 0 when it is over."""
        _NUMBER.pack_into(self._memory, self._slots[domain.name] + _NUMBER.size, since_ns)

    def alive(self, readings: int, cost_ns: int, now_ns: int) -> None:
        """Note what sampling has cost, and that it goes on."""
        with self._lock:
            _HEAD.pack_into(self._memory, 0, self._head, readings, cost_ns, now_ns)

    def asked(self) -> Asked:
        """Give what the program has asked for so far."""
        return Asked(*_ASKED.unpack_from(self._memory, _ASKED_AT))

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
        with self._lock:  # anew: no processor may show the new head before the entry
            _NUMBER.pack_into(self._memory, 0, self._head)

    def _message(self, error: SensorError) -> int:
        """Write a message down, unless it is there already, and give its number."""
        remedy = error.remedy if isinstance(error, PermissionDenied) else ""
        text = _APART.join((type(error).__name__, remedy, str(error)))
        with self._lock:
            number = self._known.get(text, 0)
            if number > self._message_count - MESSAGES and number:
                return number
            if len(self._known) >= MESSAGES:
                self._known.clear()
            self._message_count += 1
            self._known[text] = self._message_count
            data = text.encode()[: _MESSAGE_BYTES - _MESSAGE.size]
            place = _MESSAGES_AT + self._message_count % MESSAGES * _MESSAGE_BYTES
            _MESSAGE.pack_into(self._memory, place, self._message_count, len(data))
            self._memory[place + _MESSAGE.size : place + _MESSAGE.size + len(data)] = data
            return self._message_count


class RingReader:
    """The program's end."""

    def __init__(self, folder: Path) -> None:
        self._memory = _mapped(folder)
        self._read = 0
        self.forked()

    def forked(self) -> None:
        """Let go of a lock that another thread may have held when the process was forked."""
        self._lock = threading.Lock()

    def ask(self, more: Asked) -> None:
        """Tell that so many more windows were opened and closed, or edges taken; one thread at a time."""
        so_far = _ASKED.unpack_from(self._memory, _ASKED_AT)
        _ASKED.pack_into(self._memory, _ASKED_AT, *(old + new for old, new in zip(so_far, more, strict=True)))

    def entries(self) -> Iterator[Entry]:
        """Give what was written since the last time; what the ring has gone over meanwhile is left out."""
        with self._lock:
            head = self._header()[0]
        with self._lock:  # anew: no processor may have looked at the entries before the head
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

    def error(self, number: int) -> SensorError | None:
        """Give a domain's error."""
        message = self._slot(number)[0]
        return self.message(message) if message else None

    def busy_since_ns(self, number: int) -> int:
        """Since when a domain is being read, in nanoseconds; 0 if it is not."""
        return self._slot(number)[1]

    def _slot(self, number: int) -> tuple[int, int]:
        message, busy_since_ns = _SLOT.unpack_from(self._memory, _SLOTS_AT + number * _SLOT.size)
        return message, busy_since_ns

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
        place = _MESSAGES_AT + number % MESSAGES * _MESSAGE_BYTES
        found, length = _MESSAGE.unpack_from(self._memory, place)
        parts = self._memory[place + _MESSAGE.size : place + _MESSAGE.size + length].decode(errors="replace")
        kind, _, rest = parts.partition(_APART)
        remedy, _, text = rest.partition(_APART)
        if found != number or not text:
            return SensorUnavailable("its reason is no longer on record")
        return _error(kind, text, remedy)


def _error(kind: str, text: str, remedy: str) -> SensorError:
    found = getattr(errors, kind, SensorUnavailable)
    if found is PermissionDenied:
        return PermissionDenied(text, remedy=remedy)
    return found(text) if isinstance(found, type) and issubclass(found, SensorError) else SensorUnavailable(text)
