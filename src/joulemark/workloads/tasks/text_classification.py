"""Text classification: is a review positive or negative?"""

from __future__ import annotations

import re
from collections.abc import Sequence

from joulemark.workloads.inputs import LICENCE, items_of
from joulemark.workloads.seam import Answer, Item, Quality, Settings, Task

__all__ = ["LABELS", "TASK", "label_of"]

LABELS = ("positive", "negative")


def label_of(output: object) -> str | None:
    """Give the one label that an answer names ("Positive.", "NEGATIVE"), None if it names none or both."""
    words = set(re.findall(r"[a-z]+", str(output).casefold()))
    named = [label for label in LABELS if label in words]
    return named[0] if len(named) == 1 else None


def check(item: Item, answer: Answer, settings: Settings) -> str | None:
    """An answer names one of the two labels."""
    if label_of(answer.output) is None:
        return f"The answer to {item.id} is neither positive nor negative."
    return None


def quality(pairs: Sequence[tuple[Item, Answer]]) -> Quality | None:
    """Share of right labels."""
    if not pairs:
        return None
    right = sum(label_of(answer.output) == item.expected for item, answer in pairs)
    return Quality(metric="accuracy", value=right / len(pairs), n=len(pairs))


TASK = Task(
    name="text-classification",
    title="Text classification",
    unit="text",
    inputs="joulemark-sentiment/1",
    licence=LICENCE,
    items=lambda: items_of("sentiment"),
    check=check,
    quality=quality,
)
