"""Fill mask: which word is missing in a sentence?"""

from __future__ import annotations

from collections.abc import Sequence

from joulemark.workloads.inputs import LICENCE, items_of
from joulemark.workloads.seam import Answer, Item, Quality, Settings, Task
from joulemark.workloads.tasks.forms import is_twin

__all__ = ["TASK"]


def check(item: Item, answer: Answer, settings: Settings) -> str | None:
    """An answer is one word; a twin's may be any sign of its vocabulary."""
    if not isinstance(answer.output, str) or (len(answer.output.split()) != 1 and not is_twin(settings)):
        return f"The answer to {item.id} is not one word."
    return None


def quality(pairs: Sequence[tuple[Item, Answer]]) -> Quality | None:
    """Share of the words that we had in mind, upper and lower case alike."""
    judged = [(item, answer) for item, answer in pairs if item.expected is not None]
    if not judged:
        return None
    right = sum(str(answer.output).strip().casefold() == item.expected for item, answer in judged)
    return Quality(metric="accuracy", value=right / len(judged), n=len(judged))


TASK = Task(
    name="fill-mask",
    title="Fill mask",
    unit="text",
    inputs="joulemark-masked/2",  # the gap is written {mask}: each model has its own word for it
    licence=LICENCE,
    items=lambda: items_of("masked"),
    check=check,
    quality=quality,
)
