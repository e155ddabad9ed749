"""Who answers: one module a runtime, each importing its libraries only when a model is loaded."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from joulemark.errors import UsageError
from joulemark.workloads.models import Model
from joulemark.workloads.seam import Backend, Settings

__all__ = ["BackendClass", "backend_for"]


class BackendClass(Protocol):
    """What ``module:Class`` names: a class whose objects are backends.

    `distributions` names the packages whose versions decide the result, the runtime first, for the record; `accepts`
    the settings that it understands. Building one loads nothing, but checks the values of its settings.
    """

    distributions: tuple[str, ...]
    accepts: tuple[str, ...]

    def __call__(self, files: Mapping[str, Path], task: str, settings: Settings) -> Backend:
        """Build a backend; cheap until its `load`."""


def backend_for(model: Model) -> BackendClass:
    """Import the backend class of a model.

    Raises:
        UsageError: if it cannot be found where the model says.
    """
    module, _, name = model.backend.partition(":")
    try:
        found: BackendClass = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"The backend {model.backend!r} of the model {model.name!r} cannot be found: {error}. "
            "It must read 'package.module:Class'."
        ) from error
    return found
