"""Text classification: is a review positive or negative?"""

from __future__ import annotations

import re
from collections.abc import Sequence

from joulemark.workloads.inputs import LICENCE, items_of
from joulemark.workloads.seam import Answer, Item, Quality, Settings, Task
from joulemark.workloads.tasks.forms import is_twin, no_label

__all__ = ["LABELS", "TASK", "label_of"]

LABELS = ("positive", "negative")


def label_of(output: object, labels: Sequence[str] = LABELS) -> str | None:
    """Give the one label that an answer names ("Positive.", "NEGATIVE"), None if it names none or several."""
    said = " ".join(re.findall(r"\w+", str(output).casefold()))
    named = [label for label in labels if re.search(rf"\b{re.escape(label.casefold())}\b", said)]
    return named[0] if len(named) == 1 else None


def check(item: Item, answer: Answer, settings: Settings) -> str | None:
    """An answer names one of the labels of the setting ``labels`` (words with commas between them).

    With ``labels: own`` it is whatever the model calls its classes ("LABEL_1", "5 stars"); of a twin nothing else
    can be asked.
    """
    labels = str(settings.get("labels", ",".join(LABELS)))
    if labels == "own" or is_twin(settings):
        return no_label(item, answer)
    known = [label.strip() for label in labels.split(",")]
    if isinstance(answer.output, str) and label_of(answer.output, known) is not None:
        return None
    choice = "neither positive nor negative" if tuple(known) == LABELS else f"none of {', '.join(known)}"
    return f"The answer to {item.id} is {choice}."


def quality(pairs: Sequence[tuple[Item, Answer]]) -> Quality | None:
    """Share of right labels; None if the model has other classes than those that are expected."""
    judged = [(str(item.expected), answer.output) for item, answer in pairs if item.expected is not None]
    known = sorted({expected for expected, _ in judged})
    given = [label_of(output, sorted({*known, *LABELS})) for _, output in judged]
    if not set(given) & {*known, *LABELS}:
        return None
    right = sum(label == expected for label, (expected, _) in zip(given, judged, strict=True))
    return Quality(metric="accuracy", value=right / len(judged), n=len(judged))


TASK = Task(
    name="text-classification",
    title="Text classification",
    unit="text",
    inputs="joulemark-sentiment/2",
    licence=LICENCE,
    items=lambda: items_of("sentiment"),
    check=check,
    quality=quality,
    defaults={"labels": ",".join(LABELS)},
)
