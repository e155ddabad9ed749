"""Twins: models built from their published architecture, with random weights, on a machine that cannot download them.

For a fixed shape of input and a fixed number of tokens, steps or pixels, a network does the same arithmetic whatever
its weights are. What a twin cannot show: quality, the length of answers that end by themselves, work that depends on
the values (mixtures of experts, early exits), and what trained values do to a chip's power. ``docs/twins.md`` says how
far twins were found from the trained models.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

__all__ = ["TWINS_FILE", "Architecture", "architecture", "architectures", "twin_note"]

TWINS_FILE = Path(__file__).with_name("twins.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A published network: everything but its weights.

    Attributes:
        name: its id on the hub; empty for one of a local folder.
        network: name of its class in transformers, or of its pipeline in diffusers.
        config: arguments of the class's configuration.
        reader: how inputs are made ready: token ids that frame a text, the class that prepares a picture or a sound.
        parts: of a pipeline: the arguments of each, and under ``class`` the name of its class (none for tokenizers).
        options: further arguments of a pipeline.
        untied: modules whose weights are their own although the configuration ties them.
        parameters: number of weights; 0 if not known before it is built.
        published: number of weights that its makers or its page state, as they print it.
        source: where architecture and size are published.
    """

    name: str
    network: str
    config: Mapping[str, Any] = field(default_factory=dict)
    reader: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    untied: tuple[str, ...] = ()
    parameters: int = 0
    published: str = ""
    source: str = ""


@cache
def architectures() -> Mapping[str, Architecture]:
    """All architectures that ship, by id and by the other ids of the same network."""
    found: dict[str, Architecture] = {}
    for name, entry in tomllib.loads(TWINS_FILE.read_text(encoding="utf-8")).items():
        aliases = entry.pop("aliases", [])
        network, untied = entry.pop("class"), tuple(entry.pop("untied", ()))
        one = Architecture(name=name, network=network, untied=untied, **entry)
        found |= dict.fromkeys([name, *aliases], one)
    return MappingProxyType(found)


def architecture(model_id: str) -> Architecture | None:
    """Give the architecture that ships for a model of the hub, None if none does."""
    return architectures().get(model_id)


def twin_note(model_id: str) -> str:
    """Say what a reader of a twin's figures must know, in one sentence."""
    known = architecture(model_id)
    origin = f" ({known.source})" if known is not None else ""
    return (
        f"A twin: the architecture of {model_id}{origin} with random weights, nothing downloaded; energy and time "
        "only: its answers mean nothing, and their length is set."
    )
