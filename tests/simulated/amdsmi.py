"""A stand-in for the package ``amdsmi``: functions, types and words as in version 7.0.2, over cards of known power.

Told from the real package's source: `amdsmi_get_energy_count` gives an integer, a C float as a Python float (15.3 is
15.300000190734863) and nanoseconds; `amdsmi_get_power_info` gives watts, or "N/A"; a failed call raises
`AmdSmiLibraryException` with the words of `amdsmi_exception.py`.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from typing import Any

__all__ = ["NO_PERM", "FakeAmdSmi", "FakeCard"]

NOT_SUPPORTED = (2, "AMDSMI_STATUS_NOT_SUPPORTED - Feature not supported")
NO_PERM = (10, "AMDSMI_STATUS_NO_PERM - Permission Denied")
NOT_INIT = (32, "AMDSMI_STATUS_NOT_INIT - Device not initialized")
DRIVER_NOT_LOADED = (34, "AMDSMI_STATUS_DRIVER_NOT_LOADED - Driver not loaded")


class AmdSmiException(Exception):
    """The base of the package's errors."""


class AmdSmiLibraryException(AmdSmiException):
    def __init__(self, err_code: int, err_info: str) -> None:
        super().__init__(err_code)
        self.err_code, self.err_info = err_code, err_info

    def __str__(self) -> str:
        return f"Error code:\n\t{self.err_code} | {self.err_info}"


@dataclass
class FakeCard:
    """A card, or a die of one.

    Attributes:
        power_w: what it draws, constant.
        error: what every reading of it fails with.
        shown: what it shows in place of its power (``N/A``, 0, 0xFFFFFFFF); None for the power itself.
        counter: whether it has an energy counter.
        hip_id: where HIP counts it; None where the package does not tell.
    """

    power_w: int = 300
    model: str = "AMD Instinct MI300X"
    chip: str = "gfx942"
    error: tuple[int, str] | None = None
    shown: object = None
    counter: bool = True
    hip_id: int | None = None
    uuid: str = ""
    max_power_cap_uw: int = 750_000_000
    metrics_format: int = 1
    handle: object = field(default_factory=object)


@dataclass
class FakeAmdSmi:
    """The package; its clock is turned by hand."""

    cards: list[FakeCard]
    now_s: float = 0.0
    init_error: tuple[int, str] | None = None
    accumulator: str = "energy_accumulator"  # "power" before ROCm 6.2
    open: bool = False
    AmdSmiException: type[Exception] = AmdSmiException
    AmdSmiLibraryException: type[Exception] = AmdSmiLibraryException
    __version__: str = "7.0.2"

    def amdsmi_init(self) -> None:
        if self.init_error is not None:
            raise AmdSmiLibraryException(*self.init_error)
        self.open = True

    def amdsmi_shut_down(self) -> None:
        if not self.open:
            raise AmdSmiLibraryException(*NOT_INIT)
        self.open = False

    def amdsmi_get_processor_handles(self) -> list[object]:
        return [card.handle for card in self.cards]

    def amdsmi_get_gpu_asic_info(self, handle: object) -> dict[str, Any]:
        card = self._card(handle)
        return {"market_name": card.model, "vendor_id": "0x1002", "target_graphics_version": card.chip}

    def amdsmi_get_gpu_enumeration_info(self, handle: object) -> dict[str, Any]:
        card = self._card(handle)
        if card.hip_id is None:
            raise AmdSmiLibraryException(*NOT_SUPPORTED)
        return {"drm_render": 128, "drm_card": 0, "hsa_id": 1, "hip_id": card.hip_id, "hip_uuid": card.uuid}

    def amdsmi_get_gpu_metrics_header_info(self, handle: object) -> dict[str, int]:
        return {"structure_size": 264, "format_revision": self._card(handle).metrics_format, "content_revision": 3}

    def amdsmi_get_power_cap_info(self, handle: object) -> dict[str, int]:
        most_uw = self._card(handle).max_power_cap_uw
        return {"power_cap": most_uw, "default_power_cap": most_uw, "min_power_cap": 0, "max_power_cap": most_uw}

    def amdsmi_get_energy_count(self, handle: object) -> dict[str, Any]:
        card = self._reading(handle)
        if not card.counter:
            raise AmdSmiLibraryException(*NOT_SUPPORTED)
        steps = 0 if card.shown == 0 else int(card.power_w * self.now_s * 2**16)
        resolution = ctypes.c_float(15.3).value
        return {self.accumulator: steps, "counter_resolution": resolution, "timestamp": int(self.now_s * 1e9)}

    def amdsmi_get_power_info(self, handle: object) -> dict[str, Any]:
        card = self._reading(handle)
        shown = card.power_w if card.shown is None else card.shown
        newer = card.chip.startswith("gfx94")
        return {
            "current_socket_power": shown if newer else "N/A",
            "average_socket_power": "N/A" if newer else shown,
            "gfx_voltage": "N/A",
            "power_limit": card.max_power_cap_uw,
        }

    def _reading(self, handle: object) -> FakeCard:
        card = self._card(handle)
        if card.error is not None:
            raise AmdSmiLibraryException(*card.error)
        return card

    def _card(self, handle: object) -> FakeCard:
        if not self.open:
            raise AmdSmiLibraryException(*NOT_INIT)
        return next(card for card in self.cards if card.handle is handle)
