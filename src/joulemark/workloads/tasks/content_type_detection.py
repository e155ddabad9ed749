"""Content type detection: which language or format is a file written in?"""

from __future__ import annotations

from collections.abc import Sequence

from joulemark.workloads.inputs import LICENCE, records
from joulemark.workloads.seam import Answer, Item, Quality, Settings, Task

__all__ = ["TASK"]


def items() -> tuple[Item, ...]:
    """Short files as bytes; expected is the type's name (python, json, ...)."""
    return tuple(
        Item(id=record["id"], content=record["text"].encode(), expected=record["expected"])
        for record in records("files")
    )


def check(item: Item, answer: Answer, settings: Settings) -> str | None:
    """An answer is the name of a type."""
    if isinstance(answer.output, str) and answer.output:
        return None
    return f"The answer to {item.id} is no type."


def quality(pairs: Sequence[tuple[Item, Answer]]) -> Quality | None:
    """Share of right types."""
    if not pairs:
        return None
    right = sum(answer.output == item.expected for item, answer in pairs)
    return Quality(metric="accuracy", value=right / len(pairs), n=len(pairs))


TASK = Task(
    name="content-type-detection",
    title="Content type detection",
    unit="file",
    inputs="joulemark-files/1",
    licence=LICENCE,
    items=items,
    check=check,
    quality=quality,
)
