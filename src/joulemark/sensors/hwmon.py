"""Power and energy through Linux hwmon (``/sys/class/hwmon``): AMD and Intel GPUs, EPYC, Grace, Jetson, ACPI meters."""

from __future__ import annotations

import errno
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from joulemark.boundary import Component
from joulemark.errors import PermissionDenied, SensorError, SensorUnavailable
from joulemark.figures import Source
from joulemark.readings import Accuracy
from joulemark.sensors.seam import Domain

__all__ = ["HwmonSensor"]


def _kernel(document: str, says: str) -> Source:
    return Source(name=f"Linux kernel, {document}", citation=says)


_RAPL_BY_HWMON = _kernel(
    "Documentation/hwmon/amd_energy.rst",
    "µJ, the RAPL registers of the socket, updated every 1 ms in steps of 15.3 µJ; "
    "the width of ±5 % is an assumption of ours, as for RAPL",
)
_INTEL = _kernel(
    "Documentation/ABI/testing/sysfs-driver-intel-{i915,xe}-hwmon",
    "µJ of the whole card; the width of ±10 % and updates every 100 ms are assumptions of ours: nothing is published",
)
_AMDGPU = _kernel(
    "drivers/gpu/drm/amd/pm/amdgpu_pm.c, hwmon interfaces for GPU power",
    "µW; the width of ±10 % and updates every 100 ms are assumptions of ours: nothing is published",
)
_ACPI = _kernel(
    "Documentation/hwmon/acpi_power_meter.rst; ACPI 6.5, 10.4",
    "µW, averaged over the interval that the meter states; the width is what its firmware states, at least ±5 % and "
    "±10 % where it states nothing (assumptions of ours)",
)
_GRACE = Source(
    name="NVIDIA Grace Performance Tuning Guide, Power Telemetry",
    citation="socket with its memory and regulator losses; the module with GPU and HBM besides; averages of 50 ms",
)
_INA3221 = Source(
    name="INA3221 data sheet",
    citation="Texas Instruments SBOS576: gain error at most 0.25 %, offset at most 80 µV (1.6 % at 1 A over 5 mΩ); "
    "with a shunt of 1 %, which is an assumption of ours, ±3 %",
)

_EVERY_MACHINE = (Component.CPU, Component.DRAM, Component.BOARD)  # a GPU may hang on the same supply, or may not

# The drivers i915 and xe extend a 32-bit register to 64 bits, but only when they are read: a wrap that nobody sees is
# lost (i915_hwmon.c: "only works if the register is sampled often enough", 4.36 minutes at 1000 W, that is, 2^32 steps
# of 2^-14 J). As the range of the counter it makes the meter read often enough, and doubt a window where it did not.
_INTEL_WRAP_UJ = 2**32 * 10**6 // 2**14 - 1

_MI300A = "0x74a0"  # its PCI device number; the only APU that amdgpu shows without a north-bridge voltage


@dataclass(frozen=True, slots=True)
class _Channel:
    """A domain and the files whose product is its reading: µJ, µW, or mV and mA."""

    domain: Domain
    files: tuple[Path, ...]


class HwmonSensor:
    """Reads what hwmon drivers show of processors, GPUs and whole machines.

    =============== ==================================================================================================
    driver          domains
    =============== ==================================================================================================
    ``amd_energy``  ``cpu-0`` ...: sockets, counters; only where powercap, which has the same registers, shows none
    ``i915, xe``    ``gpu-i915-0``, ``gpu-xe-0`` ...: discrete cards, counters
    ``amdgpu``      ``gpu-amd-0`` ...: discrete cards, gauges; ``apu-0``: processor and GPU in one, a container, for
                    RAPL may show the same processor
    ``power_meter`` Grace: ``cpu-0`` with its memory, in it ``cpu-0/cores`` and ``cpu-0/sysio``, and the container
                    ``module-0``; any other ACPI meter: ``machine``, a container
    ``ina3221``     Jetson: ``rail-cpu-gpu``, ``rail-soc`` ...: gauges; the container ``machine`` (VDD_IN)
    =============== ==================================================================================================

    A channel that this user may not read is left out if there are others, so that a model can take its place.

    Raises:
        SensorUnavailable: if no driver shows a channel of known meaning, or none can be read.
        PermissionDenied: if there are channels but this user may read none of them.
    """

    def __init__(self, sysfs: Path = Path("/sys")) -> None:
        root = sysfs / "class" / "hwmon"
        chips = list(_chips(root))
        found: list[tuple[str, _Channel]] = []
        for driver, channels in _DRIVERS.items():
            # powercap shows the registers of amd_energy, and psys besides.
            if driver == "amd_energy" and any((sysfs / "class" / "powercap").glob("intel-rapl:*")):
                continue
            found += [(driver, channel) for channel in channels([chip for name, chip in chips if name == driver])]
        if not found:
            raise SensorUnavailable(f"no hwmon driver in {root} shows the power of a processor, a GPU or a machine")
        readings = [_read(channel) for _, channel in found]
        errors = [reading for reading in readings if isinstance(reading, SensorError)]
        if len(errors) == len(found):
            raise next((error for error in errors if isinstance(error, PermissionDenied)), errors[0])
        used = [it for it, reading in zip(found, readings, strict=True) if not isinstance(reading, PermissionDenied)]
        self.name = f"hwmon {', '.join(dict.fromkeys(driver for driver, _ in used))}"
        self._channels = tuple(channel for _, channel in used)
        self.domains = tuple(channel.domain for channel in self._channels)

    def read(self, now_ns: int) -> Mapping[str, int | SensorError]:
        """Read every channel: microjoules from counters, microwatts from gauges."""
        return {channel.domain.name: _read(channel) for channel in self._channels}

    def close(self) -> None:
        """Nothing is held open."""


def _amd_energy(chips: Sequence[Path]) -> Iterator[_Channel]:
    accuracy = _accuracy(0.05, 1e-3, _RAPL_BY_HWMON, resolution_j=1.6e-5)
    sockets: list[_Channel] = []
    for chip in chips:
        for label, number in _labels(chip, "energy"):
            socket = re.fullmatch(r"Esocket(\d+)", label)
            if socket is None:  # a core, which lies in its socket
                continue
            files = (chip / f"energy{number}_input",)
            channel = _Channel(_domain(f"cpu-{socket[1]}", "counter", accuracy, Component.CPU), files)
            # The driver takes every NUMA node for a socket: with several nodes a socket its one counter comes often.
            if not any(_same_counter(earlier, channel) for earlier in sockets):
                sockets.append(channel)
    yield from sockets


def _same_counter(one: _Channel, other: _Channel) -> bool:
    """Tell whether both show one counter: a reading between two of the other lies between them."""
    before, between, after = _read(one), _read(other), _read(one)
    if isinstance(before, SensorError) or isinstance(between, SensorError) or isinstance(after, SensorError):
        return False
    return before <= between <= after


def _intel_gpu(driver: str) -> Callable[[Sequence[Path]], Iterator[_Channel]]:
    def channels(chips: Sequence[Path]) -> Iterator[_Channel]:
        accuracy = _accuracy(0.10, 0.1, _INTEL)
        for index, chip in enumerate(chips):
            labels = dict(_labels(chip, "energy"))
            # xe shows the card and the package in it; i915 the card alone, without a label.
            number = labels.get("card", labels.get("pkg", 1))
            file = chip / f"energy{number}_input"
            if file.exists():
                yield _Channel(
                    _domain(
                        f"gpu-{driver}-{index}",
                        "counter",
                        accuracy,
                        Component.GPU,
                        wrap_uj=_INTEL_WRAP_UJ,
                        parameters={"model": f"Intel GPU {_text(chip / 'device' / 'device')}"},
                    ),
                    (file,),
                )

    return channels


def _amdgpu(chips: Sequence[Path]) -> Iterator[_Channel]:
    accuracy = _accuracy(0.10, 0.1, _AMDGPU)
    cards = apus = 0
    for chip in chips:
        file = next((f for f in (chip / "power1_average", chip / "power1_input") if f.exists()), None)
        if file is None:
            continue
        device = _text(chip / "device" / "device")
        # "On APUs this includes the CPU" (amdgpu_pm.c); only they have a north-bridge voltage, in1.
        if device == _MI300A or (chip / "in1_label").exists():
            domain = _domain(f"apu-{apus}", "gauge", accuracy, Component.CPU, Component.GPU, container=True)
            apus += 1
        else:
            model: Mapping[str, float | str] = {"model": f"AMD GPU {device}"}
            domain = _domain(f"gpu-amd-{cards}", "gauge", accuracy, Component.GPU, parameters=model)
            cards += 1
        yield _Channel(domain, (file,))


def _power_meter(chips: Sequence[Path]) -> Iterator[_Channel]:
    grace: dict[tuple[str, str], tuple[Path, Accuracy]] = {}
    machines = 0
    for chip in chips:
        file = chip / "power1_average"
        if not file.exists() or _text(chip / "power1_is_battery") == "1":
            continue
        title = re.fullmatch(r"(Grace|CPU|SysIO|Module) Power Socket (\d+)", _text(chip / "power1_oem_info"))
        accuracy = _stated_accuracy(chip, _ACPI if title is None else _GRACE)
        if title is not None:
            grace[title[1], title[2]] = (file, accuracy)
            continue
        name = f"machine-{machines}" if machines else "machine"
        machines += 1
        yield _Channel(_domain(name, "gauge", accuracy, *_EVERY_MACHINE, container=True), (file,))
    for (kind, socket), (file, accuracy) in sorted(grace.items()):
        package = f"cpu-{socket}"
        if kind == "Grace":
            domain = _domain(package, "gauge", accuracy, Component.CPU, Component.DRAM)
        elif kind == "Module":
            parts = (Component.CPU, Component.DRAM, Component.GPU)
            domain = _domain(f"module-{socket}", "gauge", accuracy, *parts, container=True)
        elif ("Grace", socket) in grace:
            part = "cores" if kind == "CPU" else "sysio"
            domain = _domain(f"{package}/{part}", "gauge", accuracy, Component.CPU, parent=package)
        else:
            continue  # a rail without its socket: the rest of the socket would be missing from the total
        yield _Channel(domain, (file,))


def _stated_accuracy(chip: Path, source: Source) -> Accuracy:
    """Read what the firmware states: ``power1_accuracy`` such as 95.0%, and the interval in milliseconds."""
    stated = re.fullmatch(r"(\d+(?:\.\d+)?)%", _text(chip / "power1_accuracy"))
    width = 1 - float(stated[1]) / 100 if stated and float(stated[1]) > 0 else 0.10
    return _accuracy(max(width, 0.05), _milliseconds(chip / "power1_average_interval", default_s=1.0), source)


# Rails of Jetson modules (Linux device trees tegra234-p3701 and -p3767): name, components, whether the whole module.
# The rail of the "SoC" feeds the memory controller and the codecs. VIN_SYS_5V0 and VDDQ_VDD2_1V8AO are left out: it is
# not documented well enough what of one is in the other.
_RAILS: Mapping[str, tuple[str, tuple[Component, ...], bool]] = {
    "VDD_IN": ("machine", (*_EVERY_MACHINE, Component.GPU), True),
    "VDD_CPU_GPU_CV": ("rail-cpu-gpu", (Component.CPU, Component.GPU), False),
    "VDD_SOC": ("rail-soc", (Component.BOARD,), False),
    "VDD_CPU_CV": ("rail-cpu", (Component.CPU,), False),
    "VDD_GPU_SOC": ("rail-gpu-soc", (Component.GPU, Component.BOARD), False),
}


def _ina3221(chips: Sequence[Path]) -> Iterator[_Channel]:
    for chip in chips:
        accuracy = _accuracy(0.03, _milliseconds(chip / "update_interval", default_s=0.1), _INA3221)
        for label, number in _labels(chip, "in"):
            if label not in _RAILS or _text(chip / f"in{number}_enable") == "0":
                continue
            name, components, whole = _RAILS[label]
            model: Mapping[str, float | str] = {"model": f"NVIDIA Jetson, rail {label}"}
            domain = _domain(name, "gauge", accuracy, *components, container=whole, parameters=model)
            yield _Channel(domain, (chip / f"in{number}_input", chip / f"curr{number}_input"))


_DRIVERS: Mapping[str, Callable[[Sequence[Path]], Iterable[_Channel]]] = {
    "amd_energy": _amd_energy,
    "amdgpu": _amdgpu,
    "i915": _intel_gpu("i915"),
    "ina3221": _ina3221,
    "power_meter": _power_meter,
    "xe": _intel_gpu("xe"),
}


def _chips(root: Path) -> Iterator[tuple[str, Path]]:
    """List driver and attribute folder of each chip, in the order of their devices, which boots do not change."""
    for folder in sorted(root.glob("hwmon*"), key=lambda f: (str((f / "device").resolve()), f.name)):
        # Drivers of the older interface keep their attributes with the device: power_meter, for long.
        for place in (folder, folder / "device"):
            if any(place.glob("*[0-9]_*")):
                yield _text(folder / "name") or _text(place / "name"), place
                break


def _labels(chip: Path, kind: str) -> Iterator[tuple[str, int]]:
    """Give label and number of each labelled channel, in the order of their numbers."""
    numbers = (re.fullmatch(rf"{kind}(\d+)_label", file.name) for file in chip.glob(f"{kind}*_label"))
    for number in sorted(int(match[1]) for match in numbers if match):
        yield _text(chip / f"{kind}{number}_label"), number


def _domain(
    name: str,
    reading: Literal["counter", "gauge"],
    accuracy: Accuracy,
    *components: Component,
    wrap_uj: int | None = None,
    parent: str | None = None,
    container: bool = False,
    parameters: Mapping[str, float | str] | None = None,
) -> Domain:
    return Domain(
        name=name,
        components=frozenset(components),
        kind="measured",
        reading=reading,
        accuracy=accuracy,
        wrap_uj=wrap_uj,
        parent=parent,
        container=container,
        parameters=parameters or {},
    )


def _accuracy(width: float, period_s: float, source: Source, *, resolution_j: float = 0.0) -> Accuracy:
    """Turn a 95 % width, relative, into a standard uncertainty."""
    return Accuracy(gain=width / 1.96, period_s=period_s, resolution_j=resolution_j, sources=(source,))


def _milliseconds(path: Path, *, default_s: float) -> float:
    text = _text(path)
    return int(text) / 1000 if text.isdigit() else default_s


def _text(path: Path) -> str:
    """Read a description; empty where the driver has none."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _read(channel: _Channel) -> int | SensorError:
    factors = []
    for file in channel.files:
        try:
            factors.append(int(file.read_bytes()))
        except OSError as error:
            if error.errno == errno.EACCES:
                remedy = f"sudo chmod a+r {file}  # until the next boot"
                return PermissionDenied(f"{file} may be read by root only", remedy=remedy)
            # EPERM is no matter of rights here: amdgpu gives it while a GPU is suspended or reset.
            return SensorUnavailable(f"{file}: {os.strerror(error.errno or errno.EIO)}")
        except ValueError:
            return SensorUnavailable(f"{file} holds no number")
    return math.prod(factors)
