"""AMD GPUs through AMD SMI (the ``amdsmi`` package, which comes with ROCm)."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from joulemark.boundary import Component
from joulemark.errors import PermissionDenied, SensorError, SensorUnavailable
from joulemark.figures import Source
from joulemark.readings import Accuracy
from joulemark.sensors.seam import Domain
from joulemark.sensors.visible import Device, hip_visible

__all__ = ["AmdSmiSensor"]

T = TypeVar("T")

_COUNTER = Source(
    name="Linux kernel, drivers/gpu/drm/amd/pm/swsmu, gpu_metrics",
    citation='energy_accumulator: "Energy counter reported in 15.259uJ (2^-16) units", of a socket; the width of ±10 % '
    "and updates every 100 ms are assumptions of ours: nothing is published",
)
_POWER = Source(
    name="AMD SMI, amdsmi_power_info_t",
    citation="current_socket_power (MI300 and later) or average_socket_power (Navi, MI200 and earlier), in whole "
    "watts; the width of ±10 % and updates every 100 ms are assumptions of ours: nothing is published",
)
_GAIN = 0.10 / 1.96
_PERIOD_S = 0.1

_UNIT_UJ = 1e6 / 2**16
"""One step of the counter, in microjoules: 2^-16 J by the kernel. AMD SMI rounds it to 15.3 (rocm_smi.cc,
kEnergyCounterResolution), which is 0.27 % too much."""

_ROUNDED_UNIT_UJ = 15.3

_EXCURSION = 2.0
"""Most power over the highest limit that can be set: the limit is held in the mean only. An assumption of ours."""

_UNTOLD_MOST_W = 2000.0
"""Where no limit is told: more than any card draws, an assumption of ours."""

_COUNTING_CHIPS = re.compile(r"gfx(90a|9[45]\d)")
"""Chips whose counter has 64 bits of a documented unit: MI200 (aldebaran_ppt.c), MI300 and MI350 (smu_v13_0_6_ppt.c).

Of the others, MI100's stands still (ROCm/amdsmi issues 22 and 38), those of Navi have 32 bits of a unit that is not
documented (``EnergyAccumulator`` of smu11 and smu13), and newer drivers show UINT_MAX there (smu_v14_0_2_ppt.c).
"""

_NOT_TOLD = {"N/A", 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF}
"""What stands for "not supported": the package's word, and the largest numbers of C that its versions let through."""

_RETIRED_KEYS = {"energy_accumulator": "power"}
"""Keys that had another name before AMD SMI 24.6 (ROCm 6.2)."""


@dataclass(frozen=True, slots=True)
class _Card:
    """A card, or a die of one, as it was found."""

    index: int
    handle: Any
    device: Device
    chip: str
    most_w: float
    hip_index: int | None
    metrics_format: int

    @property
    def counts(self) -> bool:
        return _COUNTING_CHIPS.fullmatch(self.chip) is not None

    @property
    def apu(self) -> bool:
        """Whether a processor is on the same chip: only then the kernel's gpu_metrics are of format 2 or 3
        (kgd_pp_interface.h), but for the MI300A's."""
        return self.metrics_format > 1 or "MI300A" in self.device.model


@dataclass(frozen=True, slots=True)
class _Channel:
    domain: Domain
    read: Callable[[], int] = field(repr=False)


class AmdSmiSensor:
    """Reads AMD GPUs: the energy counter of MI200 and later, the socket's power of the others.

    They are ``gpu-amd-0``, ``gpu-amd-1`` ... in the package's order, beside NVIDIA's ``gpu-0``. `HwmonSensor` shows the
    same cards under such names, but counts in another way: of the two, one only may be used, as discovery does.

    Processors with a GPU in them (APU) are left out: their power is that of the whole chip, which RAPL measures as
    well; `HwmonSensor` shows it as the container ``apu-0``.

    A device that shows no power of its own is the second die (MI250) or a partition (MI300) of the card before it: it
    gets no domain, and that of the card says so.

    Args:
        sysfs: where the driver's presence is looked up.
        environ: where ``ROCR_VISIBLE_DEVICES`` and ``HIP_VISIBLE_DEVICES`` are looked up; ``os.environ`` without it.
        importer: gives the package by its name.

    Raises:
        SensorUnavailable: if there is no AMD driver, no package, no GPU, or none that can be read.
        PermissionDenied: if the driver refuses this user.
    """

    def __init__(
        self,
        sysfs: Path = Path("/sys"),
        environ: Mapping[str, str] | None = None,
        *,
        importer: Callable[[str], Any] = importlib.import_module,
    ) -> None:
        if not (sysfs / "module" / "amdgpu").exists():
            raise SensorUnavailable("the driver of AMD GPUs (amdgpu) is not loaded")
        self._smi = _imported(importer)
        self._open = False
        try:
            self._smi.amdsmi_init()
            self._open = True
            found = [self._card(index, handle) for index, handle in enumerate(self._smi.amdsmi_get_processor_handles())]
        except self._smi.AmdSmiException as error:
            self.close()
            raise self._named(error) from error
        self.name = f"amdsmi {getattr(self._smi, '__version__', '')}".strip()
        channels = self._channels(found, os.environ if environ is None else environ)
        self.domains = tuple(channel.domain for channel in channels)
        self._readers = {channel.domain.name: channel.read for channel in channels}
        errors = [reading for reading in self.read(0).values() if isinstance(reading, SensorError)]
        if len(errors) == len(self.domains):
            self.close()
            none = "AMD SMI finds only processors with a GPU in them" if found else "AMD SMI finds no GPU"
            raise errors[0] if errors else SensorUnavailable(none)

    def read(self, now_ns: int) -> Mapping[str, int | SensorError]:
        """Read every GPU: microjoules from the counter, or microwatts."""
        return {name: self._tried(read) for name, read in self._readers.items()}

    def read_domain(self, name: str, now_ns: int) -> int | SensorError:
        """Read one GPU, as `read` does."""
        return self._tried(self._readers[name])

    def close(self) -> None:
        """Shut AMD SMI down."""
        if self._open:
            self._open = False
            with contextlib.suppress(self._smi.AmdSmiException):  # there is nothing left to be done about it
                self._smi.amdsmi_shut_down()

    def _card(self, index: int, handle: Any) -> _Card:
        smi = self._smi
        asic: Mapping[str, Any] = self._if_told(lambda: smi.amdsmi_get_gpu_asic_info(handle), {})
        limits: Mapping[str, Any] = self._if_told(lambda: smi.amdsmi_get_power_cap_info(handle), {})
        place: Mapping[str, Any] = self._if_told(lambda: smi.amdsmi_get_gpu_enumeration_info(handle), {})
        header: Mapping[str, Any] = self._if_told(lambda: smi.amdsmi_get_gpu_metrics_header_info(handle), {})
        most_uw = limits.get("max_power_cap", 0)
        return _Card(
            index=index,
            handle=handle,
            device=Device(
                uuid=_text(place.get("hip_uuid")),
                model=_text(asic.get("market_name")) or "unknown",
            ),
            chip=_text(asic.get("target_graphics_version")),
            most_w=most_uw / 1e6 * _EXCURSION if isinstance(most_uw, int) and most_uw > 0 else _UNTOLD_MOST_W,
            hip_index=place["hip_id"] if isinstance(place.get("hip_id"), int) else None,
            metrics_format=int(header.get("format_revision", 1)),
        )

    def _channels(self, cards: Sequence[_Card], environ: Mapping[str, str]) -> list[_Channel]:
        seen, doubt = _visible(cards, environ)
        channels: list[_Channel] = []
        for card in cards:
            if card.apu:
                continue
            parameters: dict[str, float | str] = {"model": card.device.model, "update_period_s": _PERIOD_S}
            if card.chip:
                parameters["architecture"] = card.chip
            if doubt:
                parameters["visible"] = doubt
            if channels and card.counts and self._shows_no_power(card):
                channels[-1] = _with(channels[-1], card, card.index in seen)
                continue
            channels.append(self._channel(card, card.index in seen, parameters))
        return channels

    def _shows_no_power(self, card: _Card) -> bool:
        """Tell whether it answers, but without a power.

        "Valid power data is available only from primary die" (aldebaran_ppt.c): of the other, power and energy are 0.
        """
        try:
            self._power_uw(card.handle)
        except SensorUnavailable:
            return True
        except self._smi.AmdSmiException:
            return False
        return False

    def _channel(self, card: _Card, seen: bool, parameters: Mapping[str, float | str]) -> _Channel:
        def counter() -> int:
            return self._energy_uj(card.handle)

        def gauge() -> int:
            return self._power_uw(card.handle)

        counts = card.counts and not isinstance(self._tried(counter), SensorError)
        domain = Domain(
            name=f"gpu-amd-{card.index}",
            components=frozenset({Component.GPU}),
            kind="measured",
            reading="counter" if counts else "gauge",
            accuracy=Accuracy(
                gain=_GAIN,
                period_s=_PERIOD_S,
                resolution_j=_UNIT_UJ / 1e6 if counts else 0.0,
                sources=(_COUNTER if counts else _POWER,),
            ),
            max_power_w=card.most_w,
            visible=seen,
            parameters=parameters,
        )
        return _Channel(domain, counter if counts else gauge)

    def _energy_uj(self, handle: Any) -> int:
        answer = self._smi.amdsmi_get_energy_count(handle)
        key = next((k for k in ("energy_accumulator", _RETIRED_KEYS["energy_accumulator"]) if k in answer), "")
        steps, unit_uj = answer.get(key), answer.get("counter_resolution")
        if not isinstance(steps, int) or steps in _NOT_TOLD or not isinstance(unit_uj, float) or unit_uj <= 0:
            raise SensorUnavailable("AMD SMI shows no energy of this GPU")
        if abs(unit_uj - _ROUNDED_UNIT_UJ) < 1e-3:
            return steps * 10**6 // 2**16
        return int(steps * unit_uj)

    def _power_uw(self, handle: Any) -> int:
        answer = self._smi.amdsmi_get_power_info(handle)
        for key in ("current_socket_power", "average_socket_power"):
            power_w = answer.get(key)
            # 0: the second die of a card, or a GPU that sleeps; no GPU that answers draws nothing.
            if isinstance(power_w, int) and power_w not in _NOT_TOLD and power_w > 0:
                return power_w * 10**6
        raise SensorUnavailable("AMD SMI shows no power of this GPU (it sleeps, or is the second die of a card)")

    def _tried(self, read: Callable[[], int]) -> int | SensorError:
        try:
            return read()
        except self._smi.AmdSmiException as error:
            return self._named(error)
        except SensorError as error:
            return error

    def _if_told(self, ask: Callable[[], T], otherwise: T) -> T:
        """Ask for something that not every version and GPU tells."""
        try:
            return ask()
        except (self._smi.AmdSmiException, AttributeError):  # AttributeError: an older package without the function
            return otherwise

    def _named(self, error: Exception) -> SensorError:
        what = " ".join(str(error).split())  # the package breaks its messages into lines
        if "NO_PERM" in what:
            return PermissionDenied(
                f"AMD SMI: {what}", remedy="sudo usermod -aG render,video $USER  # then log in again"
            )
        return SensorUnavailable(f"AMD SMI: {what}")


def _imported(importer: Callable[[str], Any]) -> Any:
    """Import the package.

    Without its C library it prints to standard output and fails with a KeyError (amdsmi_wrapper.py of version 7.0);
    with one of another version, with an AttributeError. A program that is measured must not print what it did not.
    """
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return importer("amdsmi")
    except ModuleNotFoundError as error:
        raise SensorUnavailable("an AMD GPU is read with the package amdsmi: pip install amdsmi") from error
    except (ImportError, OSError, KeyError, AttributeError) as error:
        raise SensorUnavailable(
            f"the package amdsmi does not find its library, libamd_smi.so of ROCm, or finds another version: {error}"
        ) from error


def _visible(cards: Sequence[_Card], environ: Mapping[str, str]) -> tuple[frozenset[int], str]:
    """Give the indices of the cards that programs may use, and why they are unsure."""
    order = [card.hip_index for card in cards]
    if None in order or len(set(order)) < len(order):
        selected = hip_visible(environ, [card.device for card in cards])
        unsure = len(cards) > 1 and len(selected.indices) < len(cards)
        doubt = "unsure: this version of AMD SMI does not tell the order in which HIP counts" if unsure else ""
        return frozenset(cards[place].index for place in selected.indices), doubt
    by_hip = sorted(cards, key=lambda card: card.hip_index or 0)
    selected = hip_visible(environ, [card.device for card in by_hip])
    return frozenset(by_hip[place].index for place in selected.indices), ""


def _with(channel: _Channel, part: _Card, seen: bool) -> _Channel:
    """Let a domain stand for a further device of its card, and be visible where either is."""
    domain = channel.domain
    others = f"{domain.parameters['stands_also_for']}, " if "stands_also_for" in domain.parameters else ""
    parameters = {**domain.parameters, "stands_also_for": f"{others}gpu-amd-{part.index}"}
    return _Channel(replace(domain, visible=domain.visible or seen, parameters=parameters), channel.read)


def _text(value: object) -> str:
    return value if isinstance(value, str) and value not in _NOT_TOLD else ""
