"""The models that Joulemark knows by name: those of ``models.toml`` and those that plugins add.

A plugin is an entry point of the group ``joulemark.models`` that leads to a `Model`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from joulemark.errors import UnknownName
from joulemark.workloads.plugins import plugins
from joulemark.workloads.weights import OwnFile, Pin, PinnedFile

__all__ = ["MODELS_FILE", "Model", "model", "models"]

MODELS_FILE = Path(__file__).with_name("models.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model: which files it is made of, who runs it, and what a reader of its figures must know.

    Attributes:
        name: as it is asked for.
        title: for people.
        tasks: names of the tasks that it can do.
        backend: who runs it, as ``module:Class``; imported when it is used.
        files: its pinned files by role; none if a setting names the model (a hub id).
        licence: of the weights.
        parameters: number of weights; 0 if not known.
        precision: number format of the stored weights.
        extra: the extra of Joulemark that brings its runtime.
        origin: where the weights come from, and who made them.
        note: one sentence about what it can and cannot do.
    """

    name: str
    title: str
    tasks: tuple[str, ...]
    backend: str
    files: Mapping[str, Pin]
    licence: str
    parameters: int
    precision: str
    extra: str
    origin: str
    note: str = ""

    @property
    def requirements(self) -> tuple[str, ...]:
        """The distributions that ship its files, as ``name==version``."""
        pinned = (file for file in self.files.values() if isinstance(file, PinnedFile))
        return tuple(dict.fromkeys(f"{file.distribution}=={file.version}" for file in pinned))

    def locate(self) -> dict[str, Path]:
        """Give the path of each file by role, all hashes checked.

        Raises:
            WeightsMissing: if a file is not installed.
            WeightsMismatch: if a file is another than the pinned one.
        """
        return {role: file.locate() for role, file in self.files.items()}


@cache
def models() -> Mapping[str, Model]:
    """All models by name."""
    entries = tomllib.loads(MODELS_FILE.read_text(encoding="utf-8"))
    own = {name: _model(name, entry) for name, entry in entries.items()}
    return MappingProxyType(own | plugins("joulemark.models", Model, taken=own))


def model(name: str) -> Model:
    """Find a model by name.

    Raises:
        UnknownName: if there is none, with the nearest names.
    """
    known = models()
    if name not in known:
        raise UnknownName("model", name, known)
    return known[name]


def _model(name: str, entry: dict[str, Any]) -> Model:
    distribution, _, version = entry.pop("package", "").partition("==")
    files: dict[str, Pin] = {
        role: PinnedFile(distribution, version, **pin) if distribution else OwnFile(**pin)
        for role, pin in entry.pop("files").items()
    }
    return Model(name=name, files=MappingProxyType(files), tasks=tuple(entry.pop("tasks")), **entry)
