"""Apple silicon through IOReport (``zeus-apple-silicon``), which needs no password."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from joulemark.boundary import Component
from joulemark.errors import SensorError, SensorUnavailable
from joulemark.figures import Source
from joulemark.readings import Accuracy
from joulemark.sensors.seam import Domain

__all__ = ["AppleSensor"]

_SOURCE = Source(
    name="zeus-apple-silicon, README; powermetrics(1)",
    citation='IOReport\'s "Energy Model" counts mJ, believed to be estimates from utilization, frequency and voltage; '
    'Apple calls them "estimated" and says that they "may be inaccurate"; the width of ±20 % and updates every 10 ms '
    "are assumptions of ours: nothing is published",
)
# Under 10 ms, says the README, windows "may be dominated by quantization noise".
_ACCURACY = Accuracy(gain=0.20 / 1.96, period_s=0.01, resolution_j=1e-3, sources=(_SOURCE,))


@dataclass(frozen=True, slots=True)
class _Part:
    """A field of ``AppleEnergyMetrics`` that is a part of the chip."""

    name: str
    field: str
    component: Component
    parent: str | None = None


_PARTS = (
    _Part("cpu-0", "cpu_total_mj", Component.CPU),
    _Part("dram-0", "dram_mj", Component.DRAM),
    _Part("gpu-0", "gpu_mj", Component.GPU),
    # Whether "GPU Energy" holds that of the GPU's SRAM is not documented: as its child it is never added to it.
    _Part("gpu-0/sram", "gpu_sram_mj", Component.GPU, parent="gpu-0"),
    # There is no component for a neural engine: elsewhere such parts lie in the package domain of the processor.
    _Part("ane-0", "ane_mj", Component.CPU),
)


class AppleSensor:
    """Reads what macOS estimates of an Apple chip: ``cpu-0``, ``dram-0``, ``gpu-0``, ``gpu-0/sram`` and ``ane-0``.

    They are counters of a model that Apple has built in, and so ``modelled``; which of them there are differs from chip
    to chip. Display, storage and power supply are not among them.

    Args:
        system: the name of the operating system and the processor's kind, as ``sys.platform`` and
            ``os.uname()`` give them; those of this machine without it.
        importer: gives the package by its name.
        chip: gives the name of the chip, such as ``Apple M3 Pro``.

    Raises:
        SensorUnavailable: if this is no Mac with Apple silicon, or the package is missing or shows nothing.
    """

    def __init__(
        self,
        system: tuple[str, str] | None = None,
        *,
        importer: Callable[[str], Any] = importlib.import_module,
        chip: Callable[[], str] | None = None,
    ) -> None:
        if (system or (sys.platform, os.uname().machine)) != ("darwin", "arm64"):
            raise SensorUnavailable("this is no Mac with Apple silicon")
        try:
            package = importer("zeus_apple_silicon")
            self._monitor: Any = package.AppleEnergyMonitor()
            shown = self._monitor.get_cumulative_energy()
        except ModuleNotFoundError as error:
            raise SensorUnavailable(
                "Apple silicon is read with the package zeus-apple-silicon: pip install zeus-apple-silicon"
            ) from error
        except AttributeError as error:
            raise SensorUnavailable(
                f"zeus-apple-silicon is too old ({error}): pip install --upgrade zeus-apple-silicon"
            ) from error
        except (ImportError, RuntimeError, ValueError) as error:
            raise SensorUnavailable(f"IOReport cannot be read: {error}") from error
        self._parts = tuple(part for part in _PARTS if _energy_uj(shown, part) is not None)
        if not self._parts:
            raise SensorUnavailable("IOReport shows no energy of this chip")
        self.name = "ioreport zeus-apple-silicon"
        model = (chip or _chip)()
        self.domains = tuple(_domain(part, model) for part in self._parts)

    def read(self, now_ns: int) -> Mapping[str, int | SensorError]:
        """Read every part: microjoules."""
        if self._monitor is None:
            return self._all(SensorUnavailable("the sensor is closed"))
        try:
            shown = self._monitor.get_cumulative_energy()
        except (RuntimeError, ValueError) as error:  # what the package's C++ throws (apple_energy.hpp)
            return self._all(SensorUnavailable(f"IOReport: {error}"))
        missing = SensorUnavailable("IOReport does not show this part any more")
        readings = {part.name: _energy_uj(shown, part) for part in self._parts}
        return {name: missing if reading is None else reading for name, reading in readings.items()}

    def close(self) -> None:
        """Let the monitor go; it gives back what it holds."""
        self._monitor = None

    def _all(self, error: SensorError) -> Mapping[str, int | SensorError]:
        return {part.name: error for part in self._parts}


def _energy_uj(shown: Any, part: _Part) -> int | None:
    energy_mj = getattr(shown, part.field, None)
    return None if energy_mj is None else int(energy_mj) * 1000


def _domain(part: _Part, model: str) -> Domain:
    return Domain(
        name=part.name,
        components=frozenset({part.component}),
        kind="modelled",
        reading="counter",
        accuracy=_ACCURACY,
        parent=part.parent,
        parameters={"model": model},  # chips of one kind are estimated by one model, and err together
    )


def _chip() -> str:
    """Ask macOS for the chip's name."""
    import subprocess

    try:
        asked = subprocess.run(
            ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"],
            capture_output=True,
            text=True,
            timeout=2,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "Apple silicon"
    return asked.stdout.strip() or "Apple silicon"
