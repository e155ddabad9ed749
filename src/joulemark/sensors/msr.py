"""CPU and DRAM energy through the processor's own registers (``/dev/cpu/*/msr``; Intel, AMD, Hygon)."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from joulemark.errors import PermissionDenied, SensorError, SensorUnavailable
from joulemark.sensors._rapl_domains import HeldFile, Kind, model_of, one_cpu_a_die, rapl_domain, same_counter
from joulemark.sensors.load_models import cpu_facts
from joulemark.sensors.seam import Domain

__all__ = ["MsrSensor", "ReadAt"]

ReadAt = Callable[[int, int, int], bytes]
"""Reads so many bytes of a descriptor at a place, as `os.pread`: registers are places in the file of a processor."""

_COUNTER_MASK = 0xFFFF_FFFF  # "only lower 32 bits of the MSR represent the energy counter" (Linux, rapl.c)
_STEPS = _COUNTER_MASK + 1


@dataclass(frozen=True, slots=True)
class _Layout:
    """Numbers of the registers: the one of the units, and one for each counter."""

    units: int
    counters: Mapping[Kind, int]


# Linux, arch/x86/include/asm/msr-index.h: MSR_RAPL_POWER_UNIT and MSR_*_ENERGY_STATUS.
_INTEL = _Layout(0x606, {"package": 0x611, "core": 0x639, "uncore": 0x641, "dram": 0x619, "psys": 0x64D})
# MSR_AMD_RAPL_POWER_UNIT and MSR_AMD_PKG_ENERGY_STATUS. MSR_AMD_CORE_ENERGY_STATUS, 0xC001029A, is one core's.
_AMD = _Layout(0xC001_0299, {"package": 0xC001_029B})

# Families that Linux reads so (drivers/powercap/intel_rapl_common.c, rapl_ids).
_LAYOUTS: Mapping[tuple[str, int], _Layout] = {
    ("GenuineIntel", 0x06): _INTEL,
    ("AuthenticAMD", 0x17): _AMD,
    ("AuthenticAMD", 0x19): _AMD,
    ("AuthenticAMD", 0x1A): _AMD,
    ("HygonGenuine", 0x18): _AMD,
}

# Models of Intel's family 6 (Linux, arch/x86/include/asm/intel-family.h) whose units are others than those that their
# register of units states (rapl.c, rapl_unit_quirk; intel_rapl_common.c, rapl_defaults).
# Memory in steps of 15.3 µJ, which is 2^-16 J: Haswell, Broadwell, Skylake (with Cascade and Cooper Lake) and Ice Lake
# servers, Knights Landing and Mill. ("Intel Xeon Processor E5-1600 and E5-2600 v3 Product Families, V2 of 2.
# Datasheet", September 2014, 330784-001.) Linux's powercap takes 15.300 µJ, 0.27 % more; its perf_event 2^-16 J, too.
_DRAM_2_16 = {0x3F, 0x4F, 0x55, 0x6A, 0x6C, 0x57, 0x85}
# Broadwell-D: perf_event takes 2^-16 J for its memory, powercap the stated unit, four times as much: left out.
_DRAM_UNSURE = {0x56}
# The platform in joules: Sapphire and Emerald Rapids.
_PSYS_IN_JOULES = {0x8F, 0xCF}
# Steps of 2^unit µJ and not of 2^-unit J: Silvermont and Airmont (intel_rapl_common.c, rapl_check_unit_atom).
_ATOMS = {0x37, 0x4A, 0x4C, 0x5A}


@dataclass(frozen=True, slots=True)
class _Register:
    """A counter; `step_uj` is what one of its steps means in microjoules, as a ratio."""

    domain: Domain
    device: HeldFile
    number: int
    step_uj: tuple[int, int]
    read_at: ReadAt

    def read(self) -> int | SensorError:
        try:
            steps = _read(self.device, self.number, self.read_at) & _COUNTER_MASK
        except SensorError as error:
            return SensorUnavailable(f"{self.domain.name}: {error}")
        return steps * self.step_uj[0] // self.step_uj[1]


class MsrSensor:
    """Reads the RAPL registers of every package: for machines whose kernel shows them in no better way.

    Each is a counter of 32 bits in steps that another register states; it wraps after 2^32 of them. Registers that
    are zero or not there are no domains, as in Linux (rapl_check_domain). AMD's registers of single cores are left
    alone: a reading wakes the core.

    Args:
        devfs, sysfs, procfs: where ``/dev``, ``/sys`` and ``/proc`` are.
        read_at: reads a register of an open device; another one in tests, where a register is no device's.

    Raises:
        SensorUnavailable: if the processor has no such registers, or the kernel module msr is not loaded.
        PermissionDenied: if this user may not read them.
    """

    name = "rapl msr"

    def __init__(
        self,
        devfs: Path = Path("/dev"),
        sysfs: Path = Path("/sys"),
        procfs: Path = Path("/proc"),
        *,
        read_at: ReadAt = os.pread,
    ) -> None:
        facts = cpu_facts(procfs / "cpuinfo")
        vendor, family, model = model_of(facts)
        layout = _LAYOUTS.get((vendor, family))
        if layout is None:
            title = facts.get("model name", "an unknown processor")
            raise SensorUnavailable(f"no energy registers are known of {title} ({vendor or 'no vendor'}, {family})")
        self._devices: list[HeldFile] = []
        registers: list[_Register] = []
        try:
            for place, cpu in one_cpu_a_die(sysfs, _online(sysfs), vendor=vendor).items():
                self._devices.append(_open(devfs / "cpu" / str(cpu) / "msr"))
                found = list(_registers(layout, model, place, self._devices[-1], read_at))
                if not any(same_counter(earlier, found[0]) for earlier in registers if found):
                    registers += found
            if not registers:
                raise SensorUnavailable(f"the energy registers of {facts.get('model name')} are empty: {_VIRTUAL}")
        except SensorError:
            self.close()
            raise
        self._registers = {register.domain.name: register for register in registers}
        self.domains = tuple(register.domain for register in registers)

    def read(self, now_ns: int) -> Mapping[str, int | SensorError]:
        """Read every register, in microjoules."""
        return {name: register.read() for name, register in self._registers.items()}

    def read_domain(self, name: str, now_ns: int) -> int | SensorError:
        """Read one register, in microjoules."""
        return self._registers[name].read()

    def close(self) -> None:
        """Close every device."""
        for device in self._devices:
            device.close()


_VIRTUAL = "a virtual machine, or a processor that has none"


def _registers(layout: _Layout, model: int, place: str, device: HeldFile, read_at: ReadAt) -> Iterator[_Register]:
    units = _read_or_zero(device, layout.units, read_at)
    if not units or not _read_or_zero(device, layout.counters["package"], read_at):
        return
    stated = units >> 8 & 0x1F  # energy status units, bits 12:8 (Intel SDM volume 3B, MSR_RAPL_POWER_UNIT)
    for kind, number in layout.counters.items():
        step_uj = _step_uj(kind, model if layout is _INTEL else -1, stated)
        if step_uj is None or not _read_or_zero(device, number, read_at):
            continue
        wrap_uj = _STEPS * step_uj[0] // step_uj[1] - 1
        domain = rapl_domain(kind, place, wrap_uj=wrap_uj, resolution_j=step_uj[0] / step_uj[1] / 1e6)
        yield _Register(domain, device, number, step_uj, read_at)


def _step_uj(kind: Kind, model: int, stated: int) -> tuple[int, int] | None:
    """Give what one step means in microjoules, as a ratio; None where nobody knows."""
    if kind == "dram" and model in _DRAM_UNSURE:
        return None
    if kind == "dram" and model in _DRAM_2_16:
        return 10**6, 2**16
    if kind == "psys" and model in _PSYS_IN_JOULES:
        return 10**6, 1
    if model in _ATOMS:
        return 2**stated, 1
    return 10**6, 2**stated


def _online(sysfs: Path) -> list[int]:
    """List the processors that are online: only they have a topology."""
    folders = (sysfs / "devices" / "system" / "cpu").glob("cpu*/topology")
    numbers = (re.fullmatch(r"cpu(\d+)", folder.parent.name) for folder in folders)
    return [int(number[1]) for number in numbers if number]


def _open(path: Path) -> HeldFile:
    try:
        return HeldFile(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except FileNotFoundError as error:
        raise SensorUnavailable(f"no {path}: load the kernel module msr (sudo modprobe msr)") from error
    except PermissionError as error:
        # EACCES: the file is root's. EPERM: the driver asks for the capability (Linux, arch/x86/kernel/msr.c).
        raise PermissionDenied(
            f"{path} may be read by root only, and by programs with CAP_SYS_RAWIO, a right to much more; powercap and "
            "perf_event show the same registers and ask for less",
            remedy="sudo groupadd --force msr && sudo usermod --append --groups msr $USER && "
            "sudo chgrp msr /dev/cpu/*/msr && sudo chmod g+r /dev/cpu/*/msr && "
            f"sudo setcap cap_sys_rawio=ep {os.path.realpath(sys.executable)}  # log in again; modes until next boot",
        ) from error
    except OSError as error:
        raise SensorUnavailable(f"{path}: {os.strerror(error.errno or errno.EIO)}") from error


def _read(device: HeldFile, number: int, read_at: ReadAt) -> int:
    """Read a register of 64 bits.

    Raises:
        SensorUnavailable: if it is not there (EIO), or its processor has gone offline (ENXIO).
    """
    try:
        value = read_at(device.fileno(), 8, number)
    except OSError as error:
        raise SensorUnavailable(f"register {number:#x}: {os.strerror(error.errno or errno.EIO)}") from error
    if len(value) != 8:
        raise SensorUnavailable(f"register {number:#x} has {len(value)} bytes, not 8")
    return int.from_bytes(value, sys.byteorder)


def _read_or_zero(device: HeldFile, number: int, read_at: ReadAt) -> int:
    """Read the 32 bits of a counter or of the units; 0 where there is no such register."""
    try:
        return _read(device, number, read_at) & _COUNTER_MASK
    except SensorUnavailable:
        return 0
