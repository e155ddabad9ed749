"""Summarization: a report of five sentences becomes one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from joulemark.workloads.inputs import LICENCE, items_of
from joulemark.workloads.seam import Answer, Item, Quality, Settings, Task

__all__ = ["TASK", "rouge1_recall"]


def check(item: Item, answer: Answer, settings: Settings) -> str | None:
    """An answer is a text that is shorter than what it sums up."""
    if not isinstance(answer.output, str) or not answer.output.strip():
        return f"The summary of {item.id} is empty."
    if len(answer.output) >= len(str(item.content)):
        return f"The summary of {item.id} is no shorter than the text."
    return None


def rouge1_recall(reference: str, summary: str) -> float:
    """Share of the reference's words that the summary has (Lin 2004, aclanthology.org/W04-1013)."""
    wanted, given = (Counter(re.findall(r"\w+", text.casefold())) for text in (reference, summary))
    return (wanted & given).total() / wanted.total()


def quality(pairs: Sequence[tuple[Item, Answer]]) -> Quality | None:
    """Mean ROUGE-1 recall against one reference each."""
    if not pairs:
        return None
    recalls = [rouge1_recall(str(item.expected), str(answer.output)) for item, answer in pairs]
    return Quality(metric="ROUGE-1 recall", value=sum(recalls) / len(recalls), n=len(recalls))


TASK = Task(
    name="summarization",
    title="Summarization",
    unit="text",
    inputs="joulemark-news/1",
    licence=LICENCE,
    items=lambda: items_of("news"),
    check=check,
    quality=quality,
    defaults={"max_new_tokens": 64},
)
