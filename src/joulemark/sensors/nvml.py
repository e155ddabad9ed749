"""NVIDIA GPUs through NVML (``nvidia-ml-py``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from joulemark.boundary import Component
from joulemark.errors import PermissionDenied, SensorError, SensorUnavailable
from joulemark.figures import Source
from joulemark.readings import Accuracy
from joulemark.sensors.seam import Domain

__all__ = ["NvmlSensor"]

_YANG = Source(
    name="Part-time power measurements",
    citation="Yang, Adámek, Armour, SC'24, doi:10.1109/SC41406.2024.00028 (arXiv:2312.02741): steady-state error "
    "proportional, about ±5 %, different from board to board; readings updated every 20 to 100 ms",
)
# ±5 % taken as a 95 % width. Updated every 100 ms on current boards.
_ACCURACY = Accuracy(gain=0.05 / 1.96, period_s=0.1, resolution_j=1e-3, sources=(_YANG,))


class NvmlSensor:
    """Reads the energy counter of every GPU (Volta and later), else its power.

    Raises:
        SensorUnavailable: if there is no NVIDIA driver or no GPU.
        PermissionDenied: if the driver refuses this user.
    """

    def __init__(self) -> None:
        import pynvml

        self._nvml: Any = pynvml
        self._open = False
        try:
            pynvml.nvmlInit()
            self._open = True
            self.name = f"nvml {pynvml.nvmlSystemGetDriverVersion()}"
            found = [self._device(index) for index in range(pynvml.nvmlDeviceGetCount())]
        except pynvml.NVMLError as error:
            self.close()
            raise self._named(error) from error
        self._handles = [handle for handle, _ in found]
        self.domains = tuple(domain for _, domain in found)
        broken = [handle for handle in self._handles if isinstance(handle, SensorError)]
        if len(broken) == len(found):
            self.close()
            raise broken[0] if broken else SensorUnavailable("NVML finds no GPU")

    def _device(self, index: int) -> tuple[Any, Domain]:
        """Open a GPU; one that cannot be opened stays as a domain whose readings are that error."""
        nvml = self._nvml
        handle: Any
        reading: Literal["counter", "gauge"] = "counter"
        title = "unknown"
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            title = str(nvml.nvmlDeviceGetName(handle))
            nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        except (nvml.NVMLError_NotSupported, nvml.NVMLError_FunctionNotFound):
            reading = "gauge"
        except nvml.NVMLError as error:
            handle = self._named(error)
        domain = Domain(
            name=f"gpu-{index}",
            components=frozenset({Component.GPU}),
            kind="measured",
            reading=reading,
            accuracy=_ACCURACY,
            parameters={"model": title},
        )
        return handle, domain

    def read(self, now_ns: int) -> Mapping[str, int | SensorError]:
        """Read every GPU: microjoules from the counter, or microwatts."""
        return {
            domain.name: self._read_one(domain, handle)
            for domain, handle in zip(self.domains, self._handles, strict=True)
        }

    def _read_one(self, domain: Domain, handle: Any) -> int | SensorError:
        if isinstance(handle, SensorError):
            return handle
        try:
            if domain.reading == "counter":
                return int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(handle)) * 1000  # mJ
            return int(self._nvml.nvmlDeviceGetPowerUsage(handle)) * 1000  # mW
        except self._nvml.NVMLError as error:
            return self._named(error)

    def _named(self, error: Exception) -> SensorError:
        if isinstance(error, self._nvml.NVMLError_NoPermission):
            return PermissionDenied(f"NVML: {error}", remedy="ask for access to the NVIDIA devices (/dev/nvidia*)")
        return SensorUnavailable(f"NVML: {error}")

    def close(self) -> None:
        """Shut NVML down."""
        if self._open:
            self._open = False
            self._nvml.nvmlShutdown()
