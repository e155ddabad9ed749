"""Reading settings that are true or false."""

from __future__ import annotations

from joulemark.errors import UsageError
from joulemark.workloads.seam import Settings

__all__ = ["flag"]


def flag(settings: Settings, name: str, *, default: bool) -> bool:
    """Read a setting that is true or false.

    Raises:
        UsageError: if it is neither.
    """
    value = settings.get(name, default)
    if not isinstance(value, bool):
        raise UsageError(f"The setting {name} must be true or false, not {value!r}.")
    return value
