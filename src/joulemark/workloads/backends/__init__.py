"""Who answers: one module a runtime, each importing its libraries only when a model is loaded.

A plugin is an entry point of the group ``joulemark.backends`` that leads to a backend class.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Protocol

from joulemark.errors import UnknownName, UsageError
from joulemark.workloads.seam import Backend, Settings

__all__ = ["BackendClass", "backend_class", "backends"]

_OWN = {
    "callable": "callable:PythonCallable",
    "command": "command:Command",
    "diffusers": "diffusers:DiffusersImages",
    "endpoint": "endpoint:Endpoint",
    "llamacpp": "llamacpp:LlamaCpp",
    "timm": "timm:TimmImages",
    "transformers": "transformers:TransformersPipeline",
}


class BackendClass(Protocol):
    """What ``module:Class`` names: a class whose objects are backends.

    Building one loads nothing, but checks the values of its settings.

    Attributes:
        distributions: the packages whose versions decide the result, the runtime first, for the record; none where
            nothing needs to be installed.
        accepts: the settings that it understands.
    """

    distributions: ClassVar[tuple[str, ...]]
    accepts: ClassVar[tuple[str, ...]]

    def __call__(self, files: Mapping[str, Path], task: str, settings: Settings) -> Backend:
        """Build a backend; cheap until its `load`."""


@cache
def backends() -> Mapping[str, str]:
    """Give the backends that can run a model of the user's choice: where each is found (``module:Class``), by name."""
    own = {name: f"{__name__}.{place}" for name, place in _OWN.items()}
    return MappingProxyType({point.name: point.value for point in entry_points(group="joulemark.backends")} | own)


def backend_class(place: str) -> BackendClass:
    """Import a backend class by its name or by where it is found (``package.module:Class``).

    Raises:
        UnknownName: if there is no backend of that name.
        UsageError: if it cannot be found where it should be.
    """
    if ":" not in place and place not in backends():
        raise UnknownName("backend", place, sorted(backends()))
    place = backends().get(place, place)
    module, _, name = place.partition(":")
    try:
        found: BackendClass = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"The backend {place!r} cannot be found: {error}. It must read 'package.module:Class'."
        ) from error
    return found
