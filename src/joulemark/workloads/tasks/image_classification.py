"""Image classification: what is in the picture?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from joulemark.workloads.inputs import LICENCE, pictures
from joulemark.workloads.seam import Answer, Item, Quality, Settings, Task
from joulemark.workloads.tasks.forms import no_label

__all__ = ["TASK", "names_of"]


def items() -> tuple[Item, ...]:
    """Drawings of everyday things (PNG, 640 x 480); expected are the names that a classifier may give them."""
    return pictures(lambda record: tuple(record["labels"]) or None)


def check(item: Item, answer: Answer, settings: Settings) -> str | None:
    """An answer is a label; which ones there are the model knows."""
    return no_label(item, answer)


def names_of(label: str) -> set[str]:
    """All names in a label such as ImageNet's "tabby, tabby cat"."""
    return {name.strip() for name in label.casefold().replace("_", " ").split(",")}


def quality(pairs: Sequence[tuple[Item, Answer]]) -> Quality | None:
    """Share of right labels.

    None if no answer at all bears a name that is expected of some picture: then the model was taught other classes
    than those that are asked for, and no share of right ones would say anything about it.
    """
    judged = [
        (set[str]().union(*map(names_of, cast("Sequence[str]", item.expected))), names_of(str(answer.output)))
        for item, answer in pairs
        if item.expected is not None
    ]
    known = set[str]().union(*(expected for expected, _ in judged))
    if not any(given & known for _, given in judged):
        return None
    right = sum(bool(expected & given) for expected, given in judged)
    return Quality(metric="accuracy", value=right / len(judged), n=len(judged))


TASK = Task(
    name="image-classification",
    title="Image classification",
    unit="image",
    inputs="joulemark-pictures/1",
    licence=LICENCE,
    items=items,
    check=check,
    quality=quality,
)
