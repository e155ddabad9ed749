"""What is asked and who answers: the two halves of a workload, and the one seam between them.

A `Task` hands `Item`s to a `Backend` and gets `Answer`s back. Both sides are plain values, so that a backend never
knows how its answers are judged, nor a task how they came about.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

__all__ = ["Answer", "Backend", "Item", "Quality", "Settings", "Task"]

Settings = Mapping[str, int | float | str | bool]
"""Settings of a workload, plain values that go into the record as they are (``steps``, ``max_new_tokens``, ...)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One input of a task.

    `content` is what the model sees: a text, a prompt, a path of an audio file or a picture, or named texts (a question
    and its context); `expected` is the right answer where there is one, for the quality metric only (a backend never
    reads it).
    """

    id: str
    content: str | Path | bytes | Mapping[str, str]
    expected: object = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a backend gives back for one item.

    Attributes:
        output: the answer itself: a string, a list of labels or of (label, start, end), an array of pixels ...
        tokens_in: tokens that the model read, where it reads tokens.
        tokens_out: tokens that the model wrote, those of its reasoning among them.
        tokens_cached: those of `tokens_in` that came out of a cache, where a server tells.
        tokens_reasoning: those of `tokens_out` that were reasoning, where a server tells.
        latency_s: from the request to the whole answer, in seconds, where requests overlap.
        first_token_s: from the request to its first token, in seconds, where answers are streamed.
    """

    output: object
    tokens_in: int | None = None
    tokens_out: int | None = None
    tokens_cached: int | None = None
    tokens_reasoning: int | None = None
    latency_s: float | None = None
    first_token_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """A quality metric over a number of answers, such as ``Quality(metric="accuracy", value=0.93, n=14)``."""

    metric: str
    value: float
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is asked: inputs, unit of work, and how an answer is judged.

    Attributes:
        name: the field's standard name, such as ``token-classification``.
        title: for people, such as "Token classification".
        unit: the unit of work that energy is divided by, in the singular ("text", "image", "clip").
        inputs: id of the inputs, as it goes into the record.
        licence: licence of the inputs.
        items: gives the inputs, always the same ones in the same order.
        check: tells why an answer is no answer, or None if it is one. Judges form (a picture of the asked size that
            is not blank, a label in range), not quality. The reason goes into the record, so it names the item by
            its id and quotes neither the input nor the answer.
        quality: a quality metric over pairs of items and answers, where it is cheap; None where there is none.
        defaults: settings that hold unless a suite sets others.
    """

    name: str
    title: str
    unit: str
    inputs: str
    licence: str
    items: Callable[[], tuple[Item, ...]]
    check: Callable[[Item, Answer, Settings], str | None]
    quality: Callable[[Sequence[tuple[Item, Answer]]], Quality | None] = lambda pairs: None
    defaults: Settings = field(default_factory=dict)


@runtime_checkable
class Backend(Protocol):
    """Who answers. Built from a model's files, the task's name and the settings; cheap until `load`.

    The constructor is ``Backend(files, task, settings)`` with `files` the model's pinned files by role
    (``{"weights": Path(...), "tokenizer": Path(...)}``).
    """

    def load(self) -> None:
        """Bring the model into memory.

        Raises:
            MissingExtra: if the runtime is not installed.
            WorkloadFailed: if the runtime refuses the model.
        """

    def run(self, batch: Sequence[Item]) -> Sequence[Answer]:
        """Answer each item, in order; the call returns when the answers are there (devices synchronised).

        A backend is handed ``batch_size`` items at a time; one whose class says ``concurrent = True`` gets all items of
        a trial at once and decides itself when each is asked.
        """

    def close(self) -> None:
        """Free what `load` took; harmless when called twice."""
