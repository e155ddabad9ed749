"""What other distributions add: objects behind entry points, one mechanism for models and tasks."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from importlib.metadata import entry_points
from typing import Protocol, TypeVar

__all__ = ["plugins"]


class _Named(Protocol):
    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=_Named)


def plugins(group: str, kind: type[T], taken: Collection[str]) -> dict[str, T]:
    """Load the objects of an entry-point group, by name.

    One that does not load, is no `kind` or bears a name of `taken` is named in a warning and left out, so
    that a stranger's mistake does not stop a measurement that has nothing to do with it.
    """
    found: dict[str, T] = {}
    for point in entry_points(group=group):
        where = f"The plugin {point.name!r} ({point.value}) of the group {group!r}"
        try:
            thing = point.load()
        except Exception as error:  # noqa: BLE001 - a plugin is foreign code and may fail in any way
            warnings.warn(f"{where} does not load and is left out: {error!r}", stacklevel=2)
            continue
        if not isinstance(thing, kind):
            warnings.warn(f"{where} is no {kind.__name__} and is left out.", stacklevel=2)
        elif thing.name in taken or thing.name in found:
            warnings.warn(f"{where} is left out: the name {thing.name!r} is taken.", stacklevel=2)
        else:
            found[thing.name] = thing
    return found
