"""Joulemark: what an AI model costs in energy and carbon, with boundary, evidence and interval.

::

    import joulemark as jm

    with jm.measure("epoch 1") as window:
        train()
    print(window.energy)

Everything is loaded at its first use, so that importing this package costs next to nothing.
"""

from __future__ import annotations

# Type checkers take this for typing.TYPE_CHECKING; importing typing would take most of our import time.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from joulemark._api import load, measure, merge, run_suite
    from joulemark.boundary import Boundary, Component
    from joulemark.errors import JoulemarkError
    from joulemark.figures import Evidence, Figure, Kind, difference, ratio, total
    from joulemark.meter.meter import Meter
    from joulemark.meter.window import Window
    from joulemark.records.schema import Run

__version__ = "0.1.0"

_HOMES = {
    "Boundary": "joulemark.boundary",
    "Component": "joulemark.boundary",
    "Evidence": "joulemark.figures",
    "Figure": "joulemark.figures",
    "JoulemarkError": "joulemark.errors",
    "Kind": "joulemark.figures",
    "Meter": "joulemark.meter.meter",
    "Run": "joulemark.records.schema",
    "Window": "joulemark.meter.window",
    "difference": "joulemark.figures",
    "load": "joulemark._api",
    "measure": "joulemark._api",
    "merge": "joulemark._api",
    "ratio": "joulemark.figures",
    "run_suite": "joulemark._api",
    "total": "joulemark.figures",
}

__all__ = [
    "Boundary",
    "Component",
    "Evidence",
    "Figure",
    "JoulemarkError",
    "Kind",
    "Meter",
    "Run",
    "Window",
    "__version__",
    "difference",
    "load",
    "measure",
    "merge",
    "ratio",
    "run_suite",
    "total",
]


def __getattr__(name: str) -> object:
    import importlib

    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module 'joulemark' has no attribute {name!r}") from None
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
