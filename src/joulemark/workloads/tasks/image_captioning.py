"""Image captioning: say in a few words what a picture shows."""

from __future__ import annotations

from collections.abc import Sequence

from joulemark.workloads.inputs import LICENCE, pictures
from joulemark.workloads.seam import Answer, Item, Quality, Settings, Task
from joulemark.workloads.tasks.forms import no_words
from joulemark.workloads.tasks.summarization import mean_rouge1

__all__ = ["TASK"]


def items() -> tuple[Item, ...]:
    """Drawings (PNG, 640 x 480); expected is a caption."""
    return pictures(lambda record: record["caption"])


def check(item: Item, answer: Answer, settings: Settings) -> str | None:
    """An answer is a text."""
    return no_words(item, answer, settings, "caption")


def quality(pairs: Sequence[tuple[Item, Answer]]) -> Quality | None:
    """Mean ROUGE-1 recall against one caption each: how much of what is there is said."""
    return mean_rouge1(pairs)


TASK = Task(
    name="image-captioning",
    title="Image captioning",
    unit="image",
    inputs="joulemark-pictures/1",
    licence=LICENCE,
    items=items,
    check=check,
    quality=quality,
    defaults={"max_new_tokens": 20},  # the default length of transformers, with which the study measured
)
