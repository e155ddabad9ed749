"""Sensors: what can be read on this machine, each behind one small protocol; replay is public.

Loaded at their first use.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from joulemark.sensors.discovery import Discovery, Places, discover
    from joulemark.sensors.replay import ReplaySensor
    from joulemark.sensors.seam import Domain, PartialSensor, Sensor

_HOMES = {
    "Discovery": "joulemark.sensors.discovery",
    "Domain": "joulemark.sensors.seam",
    "PartialSensor": "joulemark.sensors.seam",
    "Places": "joulemark.sensors.discovery",
    "ReplaySensor": "joulemark.sensors.replay",
    "Sensor": "joulemark.sensors.seam",
    "discover": "joulemark.sensors.discovery",
}

__all__ = ["Discovery", "Domain", "PartialSensor", "Places", "ReplaySensor", "Sensor", "discover"]


def __getattr__(name: str) -> object:
    import importlib

    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(importlib.import_module(home), name)
