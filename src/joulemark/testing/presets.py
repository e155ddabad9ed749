"""Devices as they are built, and the power traces that energy tools are compared on.

Each function gives a `SimulatedDevice` that shows the truth (gain 1) in the way of its kind; its domain states the
specification that a sensor of that kind would. ``.drawn(rng)`` gives one that errs as that specification allows.
``details`` are the device's own: faults, phase, jitter, a gain ...
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Literal

from joulemark.boundary import Component
from joulemark.figures import Source
from joulemark.readings import Accuracy
from joulemark.sensors.rapl import DRAM_ACCURACY, PACKAGE_ACCURACY
from joulemark.sensors.seam import Domain
from joulemark.testing.devices import SimulatedDevice
from joulemark.testing.traces import Trace, bursts, ramp, square

__all__ = [
    "PACKAGE_WRAP_UJ",
    "TRACES",
    "a100",
    "a100_gauge",
    "h100_average_gauge",
    "ideal_counter",
    "p100_gauge",
    "plug",
    "psys",
    "rapl_dram",
    "rapl_package",
]

LOW_W, HIGH_W = 60.0, 400.0

TRACES: Mapping[str, Trace] = MappingProxyType(
    {
        "square 1.7 s": square(LOW_W, HIGH_W, 1.7),
        "bursts 5 Hz": bursts(LOW_W, HIGH_W, 5.0, 0.25),
        "bursts 20 Hz": bursts(LOW_W, HIGH_W, 20.0, 0.30),
        "bursts 5 Hz off": bursts(LOW_W, HIGH_W, 4.68, 0.25),
        "bursts 20 Hz off": bursts(LOW_W, HIGH_W, 18.8, 0.30),
        "ramp 7 s": ramp(LOW_W, HIGH_W, 7.0),
    }
)
"""What energy tools were compared on: 60 to 400 W, as an accelerator at rest and at work.

The bursts of 5 and 20 Hz keep step with an update every 100 ms, the worst case for a gauge that looks away in between;
those ``off``, of 4.68 and 18.8 Hz, do not.
"""

_YANG = Source(
    name="Part-time power measurements",
    citation="Yang, Adámek, Armour, SC'24, doi:10.1109/SC41406.2024.00028 (arXiv:2312.02741): steady-state error "
    "proportional, about ±5 %, different from board to board; updates and averaging windows by generation",
)
_NVML = Source(
    name="NVML API reference",
    citation="nvmlDeviceGetPowerUsage: averaged over 1 s on Ampere (except GA100) and newer; "
    "nvmlDeviceGetTotalEnergyConsumption: millijoules since the driver was loaded",
)
_PLUG = Source(
    name="a smart plug",
    citation="no data sheet: updates each second, steps of 0.1 W and the width of ±2 % are assumptions of ours",
)

# Standard uncertainties are 95 % widths over 1.96.
_BOARD_GAIN = 0.05 / 1.96
_LOOKS_AWAY = math.log(1 / 0.3) / 1.96
"""Naive energies of a gauge that looks away are up to about 70 % too low (Yang et al.)."""
# Linux tells a counter of 32 bits in whole nanojoules a step: 10^9 / 2^14 for packages, 15300 for the memory of servers
# (drivers/powercap/intel_rapl_common.c: rapl_check_unit_core, dram_domain_energy_unit).
_PACKAGE_STEP_J = 61.035e-6
_DRAM_STEP_J = 15.3e-6
PACKAGE_WRAP_UJ = (2**32 - 1) * 61_035 // 1000
"""Where a package's counter wraps, in microjoules: ``max_energy_range_uj`` of most Intel processors, 262 kJ."""
_DRAM_WRAP_UJ = (2**32 - 1) * 15_300 // 1000


def a100(name: str, trace: Trace, **details: Any) -> SimulatedDevice:
    """Give an energy counter as of an A100: steps of 1 mJ, updated every 100 ms."""
    return SimulatedDevice.as_stated(_gpu(name, "counter", period_s=0.1, resolution_j=1e-3), trace, **details)


def ideal_counter(name: str, trace: Trace, **details: Any) -> SimulatedDevice:
    """Give an energy counter as of the best boards: steps of 1 mJ, updated every 20 ms."""
    return SimulatedDevice.as_stated(_gpu(name, "counter", period_s=0.02, resolution_j=1e-3), trace, **details)


def a100_gauge(name: str, trace: Trace, **details: Any) -> SimulatedDevice:
    """Give the power of an A100: every 100 ms the mean of the last 25 ms, three quarters of the time unseen.

    Its specification allows for bursts that keep step with it (`mix`), which no reading betrays.
    """
    return _gauge(_gpu(name, "gauge", period_s=0.1, window_s=0.025, mix=_LOOKS_AWAY), trace, **details)


def p100_gauge(name: str, trace: Trace, **details: Any) -> SimulatedDevice:
    """Give the power of a board without an energy counter: every 20 ms the mean of those 20 ms.

    Yang et al. found that a P100 averages over 10 of the 20 ms; ``replace(device, window_s=0.01)`` is one that betrays
    what is stated here.
    """
    return _gauge(_gpu(name, "gauge", period_s=0.02), trace, **details)


def h100_average_gauge(name: str, trace: Trace, **details: Any) -> SimulatedDevice:
    """Give the averaged power of an H100: every 100 ms the mean of the last second."""
    return _gauge(_gpu(name, "gauge", period_s=0.1, window_s=1.0), trace, **details)


def rapl_package(
    name: str,
    trace: Trace,
    *,
    wrap_uj: int = PACKAGE_WRAP_UJ,
    parent: str | None = None,
    **details: Any,
) -> SimulatedDevice:
    """Give a processor's RAPL counter: steps of 61 µJ, updated every millisecond, wrapping at `wrap_uj`.

    Args:
        name: of the domain, such as ``cpu-0``; its cores are ``cpu-0/core`` with `parent` ``cpu-0``.
        trace: its power.
        wrap_uj: the last value before it starts again at 0.
        parent: the domain that it lies in.
        details: of the device, such as ``start_j=262_000`` for one that is about to wrap.
    """
    domain = _rapl(name, Component.CPU, step_j=_PACKAGE_STEP_J, wrap_uj=wrap_uj, parent=parent)
    return SimulatedDevice.as_stated(domain, trace, **details)


def rapl_dram(name: str, trace: Trace, *, wrap_uj: int = _DRAM_WRAP_UJ, **details: Any) -> SimulatedDevice:
    """Give a server's RAPL counter of memory: steps of 15.3 µJ, wrapping at 66 kJ."""
    return SimulatedDevice.as_stated(
        _rapl(name, Component.DRAM, step_j=_DRAM_STEP_J, wrap_uj=wrap_uj), trace, **details
    )


def psys(name: str, trace: Trace, *, wrap_uj: int = PACKAGE_WRAP_UJ, **details: Any) -> SimulatedDevice:
    """Give a RAPL counter of the platform, which contains the packages: its trace is theirs and more."""
    components = (Component.CPU, Component.DRAM, Component.BOARD)
    domain = _rapl(name, *components, step_j=_PACKAGE_STEP_J, wrap_uj=wrap_uj, container=True)
    return SimulatedDevice.as_stated(domain, trace, **details)


def plug(name: str, trace: Trace, **details: Any) -> SimulatedDevice:
    """Give a meter at the wall: a gauge, each second the mean of that second, in steps of 0.1 W."""
    components = (Component.GPU, Component.CPU, Component.DRAM, Component.BOARD, Component.PSU_LOSS)
    domain = Domain(
        name=name,
        components=frozenset(components),
        kind="measured",
        reading="gauge",
        accuracy=Accuracy(gain=0.02 / 1.96, period_s=1.0, sources=(_PLUG,)),
        max_power_w=3680.0,  # 16 A at 230 V
        container=True,
    )
    return SimulatedDevice.as_stated(domain, trace, **{"resolution": 0.1, **details})


def _gpu(
    name: str,
    reading: Literal["counter", "gauge"],
    *,
    period_s: float,
    window_s: float | None = None,
    resolution_j: float = 0.0,
    mix: float = 0.0,
) -> Domain:
    return Domain(
        name=name,
        components=frozenset({Component.GPU}),
        kind="measured",
        reading=reading,
        accuracy=Accuracy(
            gain=_BOARD_GAIN, mix=mix, period_s=period_s, resolution_j=resolution_j, sources=(_YANG, _NVML)
        ),
        window_s=window_s,
    )


def _gauge(domain: Domain, trace: Trace, **details: Any) -> SimulatedDevice:
    """Give a gauge of NVML, which tells whole milliwatts."""
    return SimulatedDevice.as_stated(domain, trace, **{"resolution": 1e-3, **details})


def _rapl(
    name: str,
    *components: Component,
    step_j: float,
    wrap_uj: int,
    parent: str | None = None,
    container: bool = False,
) -> Domain:
    is_dram = components == (Component.DRAM,)
    return Domain(
        name=name,
        components=frozenset(components),
        kind="measured",
        reading="counter",
        accuracy=replace(DRAM_ACCURACY if is_dram else PACKAGE_ACCURACY, resolution_j=step_j),
        wrap_uj=wrap_uj,
        parent=parent,
        container=container,
    )
