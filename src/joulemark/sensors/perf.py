"""CPU and DRAM energy through the ``power`` PMU of Linux perf_event (Intel, AMD, Hygon)."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import struct
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from joulemark.errors import PermissionDenied, SensorError, SensorUnavailable
from joulemark.sensors._rapl_domains import HeldFile, Kind, model_of, one_cpu_a_die, rapl_domain, text
from joulemark.sensors.load_models import cpu_facts
from joulemark.sensors.seam import Domain

__all__ = ["OpenEvent", "PerfSensor", "open_event"]

OpenEvent = Callable[[int, int, int], int]
"""Opens a counter: type of the PMU, event in it, number of the processor; gives a descriptor or raises OSError."""

# Events of the PMU (Linux, arch/x86/events/rapl.c and drivers/powercap/intel_rapl_common.c), as powercap calls them.
_EVENTS: Mapping[str, Kind] = {
    "energy-pkg": "package",
    "energy-cores": "core",
    "energy-gpu": "uncore",
    "energy-ram": "dram",
    "energy-psys": "psys",
}

# The kernel adds a counter of 32 bits up to one of 64, at every reading and by a timer that is made for 200 W
# (rapl_timer_ms). It takes the difference for a signed number: if more than 2^31 steps go by in between, the sum falls
# by 2^32 steps. The PMU over TPMI does not unwrap at all. Both errors are multiples of 2^32 times 2^-16 J, and modulo
# that they vanish: 2^-16 J is the default step of Intel (SDM volume 3B, MSR_RAPL_POWER_UNIT) and that of AMD (Linux,
# Documentation/hwmon/amd_energy.rst), the others are larger powers of two, and that none is smaller is an assumption
# of ours. As the range of the counter it also makes the meter read often enough, and doubt a window where it did not.
_SPAN_UJ = 2**32 * 10**6 // 2**16

# Sapphire and Emerald Rapids count the whole platform in joules (rapl.c, RAPL_UNIT_QUIRK_INTEL_SPR).
_PSYS_IN_JOULES = {("GenuineIntel", 6, 0x8F), ("GenuineIntel", 6, 0xCF)}


# perf_event_open(2) by machine: arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h.
_SYSCALL_NUMBERS = {"x86_64": 298, "aarch64": 241}
_ATTR_SIZE_VER0 = 64  # bytes of struct perf_event_attr in its first version (include/uapi/linux/perf_event.h)
_CLOSE_ON_EXEC = 8  # PERF_FLAG_FD_CLOEXEC


def open_event(kind: int, config: int, cpu: int) -> int:
    """Open a counter of all that happens on one processor, through perf_event_open(2).

    Args:
        kind: type of the PMU, from its folder in sysfs.
        config: the event in it.
        cpu: number of the processor.

    Returns:
        A file descriptor; each reading is 8 bytes, a number of 64 bits in the order of the machine.

    Raises:
        OSError: if the kernel refuses: EACCES (perf_event_paranoid), EPERM (a container's filter), ENOSYS ...
    """
    import ctypes  # 3 ms, and needed once

    number = _SYSCALL_NUMBERS.get(os.uname().machine)
    if number is None or struct.calcsize("P") != 8:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    # Type, size and event. Nothing may be excluded (PERF_PMU_CAP_NO_EXCLUDE), nothing is sampled: the rest is zero.
    attributes = struct.pack("=IIQ48x", kind, _ATTR_SIZE_VER0, config)
    call = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long
    call.argtypes = (ctypes.c_long, ctypes.c_char_p, *[ctypes.c_int] * 3, ctypes.c_ulong)
    all_processes = no_group = -1
    descriptor = int(call(number, attributes, all_processes, cpu, no_group, _CLOSE_ON_EXEC))
    if descriptor < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return descriptor


@dataclass(frozen=True, slots=True)
class _Event:
    """An open counter, or why it could not be opened; `scale_uj` is its unit in microjoules, as a ratio."""

    domain: Domain
    counter: HeldFile | SensorError
    scale_uj: tuple[int, int] = (0, 1)

    def read(self) -> int | SensorError:
        if isinstance(self.counter, SensorError):
            return self.counter
        try:
            count = os.read(self.counter.fileno(), 8)
        except SensorError as error:
            return SensorUnavailable(f"{self.domain.name}: {error}")
        except OSError as error:
            return SensorUnavailable(f"{self.domain.name}: perf_event: {os.strerror(error.errno or errno.EIO)}")
        if len(count) != 8:  # perf_event_open(2): end of file for an event in error state
            return SensorUnavailable(f"{self.domain.name}: perf_event has stopped counting")
        numerator, denominator = self.scale_uj
        return int.from_bytes(count, sys.byteorder, signed=True) * numerator // denominator % _SPAN_UJ


class PerfSensor:
    """Reads the energy events of every package: the RAPL counters again, for whoever may use perf_event.

    Readings are microjoules since the sensor was made, modulo 2^16 J. Per core there is a PMU ``power_core`` on AMD
    (``energy-core``); it is left alone, because a reading wakes every core, and cores lie in their package.

    Args:
        sysfs, procfs: where ``/sys`` and ``/proc`` are.
        opener: opens a counter; another one in tests.

    Raises:
        SensorUnavailable: if there is no such PMU, or none of its events can be opened.
        PermissionDenied: if this user may not count for the whole system.
    """

    name = "rapl perf_event"

    def __init__(
        self, sysfs: Path = Path("/sys"), procfs: Path = Path("/proc"), *, opener: OpenEvent = open_event
    ) -> None:
        self._events = {event.domain.name: event for event in _open_all(sysfs, cpu_facts(procfs / "cpuinfo"), opener)}
        self.domains = tuple(event.domain for event in self._events.values())
        errors = [event.counter for event in self._events.values() if isinstance(event.counter, SensorError)]
        for error in errors:
            if isinstance(error, PermissionDenied) or len(errors) == len(self._events):
                self.close()
                raise error

    def read(self, now_ns: int) -> Mapping[str, int | SensorError]:
        """Read every event, in microjoules."""
        return {name: event.read() for name, event in self._events.items()}

    def read_domain(self, name: str, now_ns: int) -> int | SensorError:
        """Read one event, in microjoules."""
        return self._events[name].read()

    def close(self) -> None:
        """Close every counter."""
        for event in self._events.values():
            if isinstance(event.counter, HeldFile):
                event.counter.close()


def _open_all(sysfs: Path, facts: dict[str, str], opener: OpenEvent) -> list[_Event]:
    pmu = sysfs / "bus" / "event_source" / "devices" / "power"
    kinds = {kind: name for name, kind in _EVENTS.items() if (pmu / "events" / name).exists()}
    if "package" not in kinds:  # the PMU of AMD's family 15h has the same name, and events that are watts
        raise SensorUnavailable(
            f"no energy events in {pmu}: no Intel or AMD processor that has them, a virtual machine, or the kernel "
            "module rapl is not loaded (sudo modprobe rapl)"
        )
    number, cpus = _numbers(pmu / "type"), _numbers(pmu / "cpumask")
    if len(number) != 1 or not cpus:
        raise SensorUnavailable(f"{pmu} tells neither its type nor the processors to read it on")
    processor = model_of(facts)
    events: list[_Event] = []
    for place, cpu in one_cpu_a_die(sysfs, cpus, vendor=processor[0]).items():
        for kind, name in kinds.items():
            step_j = 1.0 if kind == "psys" and processor in _PSYS_IN_JOULES else None
            domain = rapl_domain(kind, place, wrap_uj=_SPAN_UJ - 1, resolution_j=step_j)
            events.append(_opened(domain, pmu / "events" / name, partial(opener, number[0]), cpu))
    return events


def _opened(domain: Domain, file: Path, opener: Callable[[int, int], int], cpu: int) -> _Event:
    try:
        event, scale_uj = _event_number(file), _scale_uj(file)
        return _Event(domain, HeldFile(opener(event, cpu)), scale_uj)
    except SensorError as error:
        return _Event(domain, error)
    except OSError as error:
        return _Event(domain, _refused(domain, error))


def _event_number(file: Path) -> int:
    stated = text(file)
    number = re.fullmatch(r"event=(0x[0-9a-f]+)", stated)
    if number is None:
        raise SensorUnavailable(f"{file} is no event that is known: {stated!r}")
    return int(number[1], 16)


def _scale_uj(file: Path) -> tuple[int, int]:
    """Read the unit of an event, in microjoules, as a ratio: the kernel's 2^-32 J is no decimal number."""
    unit, stated = text(file.with_name(f"{file.name}.unit")), text(file.with_name(f"{file.name}.scale"))
    with contextlib.suppress(ValueError):
        if unit == "Joules" and 0 < float(stated) <= 1:
            numerator, denominator = float(stated).as_integer_ratio()
            return numerator * 10**6, denominator
    raise SensorUnavailable(f"{file} counts in {stated!r} {unit!r}, not in joules")


def _numbers(file: Path) -> list[int]:
    """Read a list of the kernel: ``0,28`` or ``0-3``."""
    numbers: list[int] = []
    for part in text(file).split(","):
        bounds = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        if bounds is not None:
            numbers += range(int(bounds[1]), int(bounds[2] or bounds[1]) + 1)
    return numbers


def _refused(domain: Domain, error: OSError) -> SensorError:
    if error.errno == errno.EACCES:
        return PermissionDenied(
            "perf_event counts for the whole system only with kernel.perf_event_paranoid at 0 or lower, or with the "
            "capability CAP_PERFMON (Linux 5.8 and later)",
            remedy="sudo sysctl kernel.perf_event_paranoid=0  # until the next boot; or for this Python alone: "
            f"sudo setcap cap_perfmon=ep {os.path.realpath(sys.executable)}",
        )
    if error.errno == errno.EPERM:
        return PermissionDenied(
            "perf_event_open is forbidden here: the system-call filter of a container does that",
            remedy="docker run --cap-add PERFMON ...  # on the host also: sudo sysctl kernel.perf_event_paranoid=0",
        )
    return SensorUnavailable(f"{domain.name}: perf_event: {os.strerror(error.errno or errno.EIO)}")
