"""Summarization: a report of five sentences becomes one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from joulemark.workloads.inputs import LICENCE, items_of
from joulemark.workloads.seam import Answer, Item, Quality, Settings, Task
from joulemark.workloads.tasks.forms import is_twin, no_words

__all__ = ["TASK", "mean_rouge1", "rouge1_recall"]


def check(item: Item, answer: Answer, settings: Settings) -> str | None:
    """An answer is a text that is shorter than what it sums up."""
    fault = no_words(item, answer, settings, "summary")
    if fault or is_twin(settings):
        return fault
    if len(str(answer.output)) >= len(str(item.content)):
        return f"The summary for {item.id} is no shorter than the text."
    return None


def rouge1_recall(reference: str, summary: str) -> float:
    """Share of the reference's words that the summary has (Lin 2004, aclanthology.org/W04-1013)."""
    wanted, given = (Counter(re.findall(r"\w+", text.casefold())) for text in (reference, summary))
    return (wanted & given).total() / wanted.total() if wanted else 0.0


def mean_rouge1(pairs: Sequence[tuple[Item, Answer]]) -> Quality | None:
    """Mean ROUGE-1 recall over the items that have a reference; None if none has."""
    recalls = [rouge1_recall(str(i.expected), str(a.output)) for i, a in pairs if i.expected is not None]
    return Quality(metric="ROUGE-1 recall", value=sum(recalls) / len(recalls), n=len(recalls)) if recalls else None


def quality(pairs: Sequence[tuple[Item, Answer]]) -> Quality | None:
    """Mean ROUGE-1 recall against one reference each."""
    return mean_rouge1(pairs)


TASK = Task(
    name="summarization",
    title="Summarization",
    unit="text",
    inputs="joulemark-news/2",
    licence=LICENCE,
    items=lambda: items_of("news"),
    check=check,
    quality=quality,
    defaults={"max_new_tokens": 64},
)
