"""Models: those that Joulemark knows by name (``models.toml`` and plugins), and any other that a backend can run.

A plugin is an entry point of the group ``joulemark.models`` that leads to a `Model`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from joulemark.errors import UnknownName, UsageError
from joulemark.workloads.backends import backend_class, backends
from joulemark.workloads.plugins import plugins
from joulemark.workloads.seam import Settings
from joulemark.workloads.weights import LocalFile, OwnFile, Pin, PinnedFile

__all__ = ["MODELS_FILE", "Model", "model", "models", "resolve"]

MODELS_FILE = Path(__file__).with_name("models.toml")
_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_OF_DIFFUSERS = {"image-generation", "video-generation"}
_UNTOLD = "the model's own"


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
        extra: the extra of Joulemark that brings its runtime; empty if it needs none.
        implied: settings that say which model it is, for backends that are told so.
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
    implied: Settings = field(default_factory=dict)

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


def resolve(name: str, task: str, backend: str = "") -> Model:
    """Find the model that a user means: one that is known by name, or any other that a backend can run.

    Others are ids of the Hugging Face hub (``stabilityai/sdxl-turbo``), folders in its format, ``.gguf`` files, Python
    functions (``module:function``), and what an endpoint or a command calls so.

    Args:
        name: the model.
        task: what it is to do, which decides between backends.
        backend: who runs it; found out from the name without it.

    Raises:
        UnknownName: if there is no such model or backend.
        UsageError: if a known model is asked for with a backend that cannot run it.
    """
    if name in models():
        known = models()[name]
        if backend and backends().get(backend) != known.backend:
            raise UsageError(f"The model {name!r} runs with {known.backend}; it cannot be run with {backend!r}.")
        return known
    backend = backend or _backend_of(name, task)
    chosen = backend_class(backend)
    path = Path(name).expanduser()
    files: dict[str, Pin] = {}
    implied: dict[str, int | float | str | bool] = {}
    if backend == "callable":
        implied["function"] = name
    elif backend == "endpoint":
        # Some servers call their only model by its file; where that lies is nobody's business.
        implied |= {} if path.is_absolute() else {"model_id": name}
        name = path.name if path.is_absolute() else name
    elif backend == "command":
        pass  # the setting says it all
    elif path.exists():
        files["weights" if path.is_file() else "model"] = LocalFile(path)
    else:
        implied["model_id"] = name.removeprefix("timm/") if backend == "timm" else name
    return Model(
        name=name if not files else path.name,
        title=name if not files else path.name,
        tasks=tuple(getattr(chosen, "tasks", ())),
        backend=backends()[backend],
        files=MappingProxyType(files),
        licence=_UNTOLD,
        parameters=0,
        precision="",
        extra=getattr(chosen, "extra", ""),
        origin="local" if files else "https://huggingface.co" if "model_id" in implied else "",
        implied=MappingProxyType(implied),
    )


def _backend_of(name: str, task: str) -> str:
    """Tell from a model's name who can run it."""
    path = Path(name).expanduser()
    if path.is_dir():
        return "diffusers" if (path / "model_index.json").exists() else "transformers"
    if path.suffix == ".gguf":
        return "llamacpp"
    if _FUNCTION.fullmatch(name):
        return "callable"
    if name.startswith("timm/"):
        return "timm"
    if _HUB_ID.fullmatch(name) and not path.exists():
        return "diffusers" if task in _OF_DIFFUSERS else "transformers"
    raise UnknownName(
        "model",
        name,
        models(),
        hint="Others: an id of the hub (owner/name), a folder, a .gguf file, a function (module:function); an endpoint "
        "with --endpoint, a program with --backend command.",
    )


def _model(name: str, entry: dict[str, Any]) -> Model:
    distribution, _, version = entry.pop("package", "").partition("==")
    files: dict[str, Pin] = {
        role: PinnedFile(distribution, version, **pin) if distribution else OwnFile(**pin)
        for role, pin in entry.pop("files").items()
    }
    return Model(name=name, files=MappingProxyType(files), tasks=tuple(entry.pop("tasks")), **entry)
