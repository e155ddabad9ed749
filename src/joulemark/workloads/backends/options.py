"""Reading settings and importing runtimes, the same way in every backend."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from joulemark.errors import MissingExtra, UsageError, WorkloadFailed
from joulemark.workloads.seam import Settings

__all__ = ["flag", "require", "role", "text", "threads", "whole"]


def whole(settings: Settings, name: str, default: int, *, least: int = 1) -> int:
    """Read a whole number.

    Raises:
        UsageError: if it is none, or less than `least`.
    """
    value = settings.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UsageError(f"The setting {name} must be a whole number of at least {least}, not {value!r}.")
    return value


def threads(settings: Settings) -> int | None:
    """Read how many threads compute; None leaves the choice to the runtime."""
    return whole(settings, "threads", 1) if "threads" in settings else None


def text(settings: Settings, name: str, default: str, *, known: tuple[str, ...] = ()) -> str:
    """Read a word, one of `known` if any are given.

    Raises:
        UsageError: if it is no word, or none of those.
    """
    value = settings.get(name, default)
    if not isinstance(value, str) or (known and value not in known):
        choice = f"one of {', '.join(known)}" if known else "a text"
        raise UsageError(f"The setting {name} must be {choice}, not {value!r}.")
    return value


def flag(settings: Settings, name: str, *, default: bool) -> bool:
    """Read a setting that is true or false.

    Raises:
        UsageError: if it is neither.
    """
    value = settings.get(name, default)
    if not isinstance(value, bool):
        raise UsageError(f"The setting {name} must be true or false, not {value!r}.")
    return value


def role(files: Mapping[str, Path], name: str) -> Path:
    """Give the file of a role.

    Raises:
        WorkloadFailed: if the model has none.
    """
    if name not in files:
        raise WorkloadFailed(
            f"This backend needs a file for the role {name!r}; the model has {', '.join(files) or 'none'}."
        )
    return files[name]


def require(module: str, *, package: str, extra: str, purpose: str) -> Any:
    """Import a runtime.

    Raises:
        MissingExtra: if it is not installed.
        WorkloadFailed: if it is installed and does not import, so that installing it again would not help.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise WorkloadFailed(f"{package} is installed, but lacks something that it needs: {error}.") from error
        raise MissingExtra(package, extra, purpose) from error
    except ImportError as error:
        raise WorkloadFailed(f"{package} is installed, but does not import: {error}.") from error
