"""A stand-in for the package ``zeus_apple_silicon`` (1.1.0): its two classes, over a chip of known power.

Told from the real package's bindings: `get_cumulative_energy` gives an ``AppleEnergyMetrics`` whose fields are whole
millijoules, or None where the chip has no such channel; C++ exceptions arrive as RuntimeError and ValueError.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["AppleEnergyMetrics", "FakeZeusAppleSilicon"]

M1_MAX_W = {"cpu_total_mj": 20.0, "dram_mj": 4.0, "gpu_mj": 30.0, "gpu_sram_mj": 1.0, "ane_mj": 5.0}
M5_MAX_W = {"cpu_total_mj": 20.0, "dram_mj": 4.0, "gpu_mj": 30.0, "ane_mj": 5.0}


@dataclass
class AppleEnergyMetrics:
    cpu_total_mj: int | None = None
    efficiency_cores_mj: list[int] | None = None
    performance_cores_mj: list[int] | None = None
    efficiency_cluster_mj: list[int] | None = None
    performance_cluster_mj: list[int] | None = None
    efficiency_core_manager_mj: int | None = None
    performance_core_manager_mj: int | None = None
    dram_mj: int | None = None
    gpu_mj: int | None = None
    gpu_sram_mj: int | None = None
    ane_mj: int | None = None


@dataclass
class FakeZeusAppleSilicon:
    """The package; its clock is turned by hand, and `error` is what every reading fails with."""

    powers_w: dict[str, float] = field(default_factory=lambda: dict(M1_MAX_W))
    now_s: float = 0.0
    error: Exception | None = None

    def AppleEnergyMonitor(self) -> FakeZeusAppleSilicon:  # noqa: N802 - a class of the real package
        return self

    def get_cumulative_energy(self) -> AppleEnergyMetrics:
        if self.error is not None:
            raise self.error
        return AppleEnergyMetrics(**{name: int(watts * self.now_s * 1e3) for name, watts in self.powers_w.items()})  # type: ignore[arg-type]
