"""The meter: windows over a machine's domains.

Its parts are loaded at their first use: the sampling process needs only some of them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from joulemark.meter.meter import Meter, default_meter
    from joulemark.meter.window import Window, software_versions

_HOMES = {
    "Meter": "joulemark.meter.meter",
    "Window": "joulemark.meter.window",
    "default_meter": "joulemark.meter.meter",
    "software_versions": "joulemark.meter.window",
}

__all__ = ["Meter", "Window", "default_meter", "software_versions"]


def __getattr__(name: str) -> object:
    import importlib

    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(importlib.import_module(home), name)
