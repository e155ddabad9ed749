"""Entry points of a group, read straight from the metadata of what is installed.

`importlib.metadata` gives the same, but loading it takes tens of milliseconds, more than the rest of a first window.
The format of ``entry_points.txt`` is that of the Python Packaging User Guide, "Entry points specification". What lies
in zip files is not found, and a file that cannot be read is a distribution without entry points.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

__all__ = ["Point", "entry_points"]


@dataclass(frozen=True, slots=True)
class Point:
    """A named object of an installed distribution: ``value`` is ``module:attribute``."""

    name: str
    value: str

    def load(self) -> object:
        """Import the object.

        Raises:
            ImportError: if its module cannot be imported.
            AttributeError: if the module has no such object.
        """
        import importlib

        # "package.module:attribute.of_it [extra]"; the object may be the module, and extras are of no use here.
        module, _, attributes = self.value.partition("[")[0].partition(":")
        found: object = importlib.import_module(module.strip())
        for attribute in filter(None, attributes.strip().split(".")):
            found = getattr(found, attribute)
        return found


def entry_points(group: str, path: Iterable[str] | None = None) -> tuple[Point, ...]:
    """Give the entry points of a group.

    Of two distributions of one name, only the one that comes first on the path counts: it is the one that is imported.
    So it is with two entry points of one name.

    Args:
        group: its name.
        path: folders where distributions are installed; ``sys.path`` without it.
    """
    found: dict[str, Point] = {}
    for folder in _distributions(sys.path if path is None else path):
        for point in _parsed(_text(os.path.join(folder, "entry_points.txt")), group):
            found.setdefault(point.name, point)
    return tuple(found.values())


def _distributions(path: Iterable[str]) -> Iterator[str]:
    """List the metadata folders of what is installed."""
    seen: set[str] = set()
    for place in dict.fromkeys(path):
        try:
            names = sorted(name for name in os.listdir(place or ".") if name.endswith((".dist-info", ".egg-info")))
        except OSError:
            continue  # no folder, or a zip file
        for name in names:
            # "made_up-1.0.dist-info"; names that differ in case and in these signs are one (PyPA, "Names and
            # normalization").
            distribution = re.sub("[-_.]+", "-", name.rpartition(".")[0].partition("-")[0]).lower()
            if distribution not in seen:
                seen.add(distribution)
                yield os.path.join(place, name)


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError):
        return ""  # it has none


def _parsed(text: str, group: str) -> Iterator[Point]:
    if group not in text:
        return
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            section = line.strip("[] ")
        elif section == group and "=" in line and not line.startswith(("#", ";")):
            name, _, value = line.partition("=")
            yield Point(name.strip(), value.strip())
