"""Quantities as people type and read them. The only unit conversions in the program.

Inside, everything is SI: joules, watts, seconds, grams. Other units exist on screens and in files that say so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from types import MappingProxyType

from joulemark.errors import BadQuantity

__all__ = [
    "JOULES_PER_KWH",
    "JOULES_PER_WH",
    "METRES_PER_MILE",
    "format_duration",
    "format_number",
    "format_quantity",
    "parse_energy",
    "scale_for",
]

JOULES_PER_WH = 3600.0
"""1 W h = 3600 J, exactly (SI Brochure, 9th edition, table 8: the hour)."""
JOULES_PER_KWH = 3.6e6
METRES_PER_MILE = 1609.344
"""International mile, exactly (NIST SP 811, appendix B.8)."""

_ENERGY_J: Mapping[str, float] = MappingProxyType(
    {
        "mJ": 1e-3,
        "J": 1.0,
        "kJ": 1e3,
        "MJ": 1e6,
        "GJ": 1e9,
        "mWh": 3.6,
        "Wh": JOULES_PER_WH,
        "kWh": JOULES_PER_KWH,
        "MWh": 3.6e9,
        "GWh": 3.6e12,
        "TWh": 3.6e15,
    }
)
_QUANTITY = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-zµ]*)\s*")

# Scales that a printed figure may take, smallest first: (factor to SI, symbol).
_SCALES: Mapping[str, tuple[tuple[float, str], ...]] = MappingProxyType(
    {
        "J": ((1e-6, "µJ"), (1e-3, "mJ"), (1.0, "J"), (1e3, "kJ"), (1e6, "MJ"), (1e9, "GJ")),
        "Wh": ((3.6e-3, "µWh"), (3.6, "mWh"), (3.6e3, "Wh"), (3.6e6, "kWh"), (3.6e9, "MWh"), (3.6e12, "GWh")),
        "W": ((1e-3, "mW"), (1.0, "W"), (1e3, "kW"), (1e6, "MW")),
        "g": ((1e-6, "µg"), (1e-3, "mg"), (1.0, "g"), (1e3, "kg"), (1e6, "t")),
        "m": ((1e-3, "mm"), (1.0, "m"), (1e3, "km")),
        "s": ((1e-6, "µs"), (1e-3, "ms"), (1.0, "s")),
    }
)


def parse_energy(text: str) -> float:
    """Read an energy such as ``2.9kWh`` or ``350 J`` and give joules.

    Raises:
        BadQuantity: if there is no number, no unit, or a unit that is none of energy. An unknown unit is never
            taken for a known one.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise BadQuantity(f"Energy {text!r} is no number with a unit; write for example 2.9kWh or 350J.")
    number, unit = match.groups()
    if unit not in _ENERGY_J:
        problem = f"has the unit {unit!r}, which is none of energy" if unit else "has no unit"
        raise BadQuantity(f"Energy {text!r} {problem}; known: {', '.join(_ENERGY_J)}.")
    energy_j = float(number) * _ENERGY_J[unit]
    if not math.isfinite(energy_j):
        raise BadQuantity(f"Energy {text!r} is not finite.")
    return energy_j


def scale_for(value: float, family: str) -> tuple[float, str]:
    """Choose the scale in which `value` (SI) reads best.

    Args:
        value: in SI units (joules for the families ``J`` and ``Wh``).
        family: ``J``, ``Wh``, ``W``, ``g``, ``m`` or ``s``.

    Returns:
        The factor to divide by, and the symbol.
    """
    scales = _SCALES[family]
    magnitude = abs(value)
    fitting = [scale for scale in scales if magnitude >= scale[0] * 0.9995]
    return fitting[-1] if fitting else scales[0] if magnitude > 0 else next(s for s in scales if s[1] == family)


def format_number(value: float, digits: int = 3) -> str:
    """Write a number with `digits` significant digits, thousands grouped, never in powers of ten below 10^9."""
    if math.isnan(value):
        return "unavailable"
    if value == 0 or math.isinf(value):
        return "0" if value == 0 else "∞"
    exponent = math.floor(math.log10(abs(value)))
    rounded = round(value, digits - 1 - exponent)
    exponent = math.floor(math.log10(abs(rounded)))
    if exponent >= 9 or exponent < -6:
        return f"{rounded:.{digits - 1}e}"
    return f"{rounded:,.{max(digits - 1 - exponent, 0)}f}"


def format_quantity(value: float, family: str, digits: int = 3) -> str:
    """Write an SI value in its best scale, such as ``41.3 kJ``."""
    if math.isnan(value):
        return "unavailable"
    factor, symbol = scale_for(value, family)
    return f"{format_number(value / factor, digits)} {symbol}"


def format_duration(duration_s: float) -> str:
    """Write a duration such as ``350 ms``, ``12.0 s``, ``3 min 20 s`` or ``2 h 05 min``."""
    if duration_s < 1:
        return format_quantity(duration_s, "s")
    if duration_s < 60:
        return f"{duration_s:.1f} s"
    minutes, seconds = divmod(round(duration_s), 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"
