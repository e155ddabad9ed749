"""What exactly a workload asks: which inputs, in which shape, how many at a time, and their hash for the record."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from joulemark.errors import UsageError
from joulemark.workloads.backends.options import text, whole
from joulemark.workloads.seam import Item, Settings, Task

__all__ = ["GENERAL", "Asked", "asked_items", "batch_size", "items_sha256", "protocol_settings"]

GENERAL = ("batch_size", "input_words", "shaping")
"""Settings that every workload has; no backend reads them. ``input_words`` brings each text to so many words, cut or
repeated: a sweep over it says what reading costs."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Inputs: their id for the record, their licence, the items themselves, and their hash before any shaping.

    Pictures that are brought to another size may be packed otherwise on another machine; what they are made of is not.
    """

    name: str
    licence: str
    items: tuple[Item, ...]
    sha256: str


def asked_items(task: Task, inputs: str, settings: Settings) -> Asked:
    """Give what is asked: the task's own inputs, or those of a data set, in the shape that the settings say.

    Raises:
        UnknownName: if there is no such data set.
        UsageError: if the setting ``shaping`` has a wrong value.
        MissingExtra: if the data set needs a library that is not installed.
        WorkloadFailed: if the data set cannot be had.
    """
    if inputs:
        from joulemark.workloads.datasets import inputs_for

        name, licence, give = inputs_for(task, inputs)
    else:
        name, licence, give = task.inputs, task.licence, task.items
    items = tuple(give())
    sha256 = items_sha256(items)
    if shaped_as(settings) == "study":
        from joulemark.workloads.shaping import study

        return Asked(f"{name}, shaped as in the study", licence, study(task.name, items), sha256)
    if words := whole(settings, "input_words", 0, least=0):
        return Asked(f"{name}, {words} words each", licence, _of_length(items, words), sha256)
    return Asked(name, licence, items, sha256)


def _of_length(items: Sequence[Item], words: int) -> tuple[Item, ...]:
    """Bring texts to a number of words.

    Raises:
        UsageError: if there is something else than texts, or an empty one.
    """
    found = []
    for item in items:
        if not isinstance(item.content, str) or not (text := item.content.split()):
            raise UsageError(f"The setting input_words needs inputs that are texts; {item.id} is none.")
        repeated = (text * (words // len(text) + 1))[:words]
        found.append(replace(item, content=" ".join(repeated)))
    return tuple(found)


def shaped_as(settings: Settings) -> str:
    """Give whose shape the inputs are brought to: ``none`` or ``study``.

    Raises:
        UsageError: if it is neither.
    """
    return text(settings, "shaping", "none", known=("none", "study"))


def protocol_settings(protocol: str, task: str, settings: Settings) -> Settings:
    """Give the settings of a task that a published protocol sets: AI Energy Score, or whose shape the inputs have."""
    from joulemark.workloads.shaping import AI_ENERGY_SCORE, STUDY

    if protocol == "ai-energy-score":
        return AI_ENERGY_SCORE.get(task, {})
    return STUDY.get(task, {}) if shaped_as(settings) == "study" else {}


def batch_size(settings: Settings) -> int:
    """Give how many items are handed to the model at a time.

    Raises:
        UsageError: if it is no whole number of at least 1.
    """
    return whole(settings, "batch_size", 1)


def items_sha256(items: Sequence[Item]) -> str:
    """Hash what is asked: the id and the bytes of each item, in order (not the expected answers)."""
    digest = hashlib.sha256()
    for item in items:
        for part in _parts(item):
            # The length in front keeps two different splits of the same bytes apart.
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def _parts(item: Item) -> Iterable[bytes]:
    yield item.id.encode()
    content = item.content
    if isinstance(content, Path):
        yield content.read_bytes()
    elif isinstance(content, bytes):
        yield content
    elif isinstance(content, str):
        yield content.encode()
    else:
        for name, value in sorted(content.items()):
            yield name.encode()
            yield value.encode()
