"""Question answering, extractive: mark the words of a passage that answer a question about it."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import cast

from joulemark.workloads.inputs import LICENCE, items_of
from joulemark.workloads.seam import Answer, Item, Quality, Settings, Task
from joulemark.workloads.tasks.forms import is_twin, no_text

__all__ = ["TASK", "token_f1"]


def check(item: Item, answer: Answer, settings: Settings) -> str | None:
    """An answer is a part of the passage; upper and lower case and white space do not matter.

    With ``extractive: false``, for models that say it in their own words, it is any text. Where no answer is right (as
    in SQuAD 2.0), an empty one is an answer.
    """
    if answer.output == "" and item.expected == ():
        return None
    fault = no_text(item, answer, settings, "answer")
    if fault or is_twin(settings) or not settings.get("extractive", True):
        return fault
    context = cast("Mapping[str, str]", item.content)["context"]
    if _plain(str(answer.output)) not in _plain(context):
        return f"The answer to {item.id} does not stand in the passage."
    return None


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def token_f1(expected: str, given: str) -> float:
    """F1 over words without case, punctuation and articles (SQuAD's, Rajpurkar et al. 2016, arXiv:1606.05250)."""
    wanted, found = _tokens(expected), _tokens(given)
    if not wanted or not found:
        return float(wanted == found)  # as SQuAD 2.0 scores questions without an answer (arXiv:1806.03822)
    both = (Counter(wanted) & Counter(found)).total()
    return 2 * both / (len(wanted) + len(found))


def _tokens(text: str) -> list[str]:
    bare = "".join(sign for sign in text.lower() if sign not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", bare).split()


def quality(pairs: Sequence[tuple[Item, Answer]]) -> Quality | None:
    """Mean over the questions of the F1 against the nearest right answer."""
    judged = [(cast("Sequence[str]", i.expected), str(a.output)) for i, a in pairs if i.expected is not None]
    if not judged:
        return None
    scores = [max(token_f1(right, given) for right in expected or ("",)) for expected, given in judged]
    return Quality(metric="token F1", value=sum(scores) / len(scores), n=len(scores))


TASK = Task(
    name="question-answering",
    title="Question answering",
    unit="question",
    inputs="joulemark-questions/1",
    licence=LICENCE,
    items=lambda: items_of("questions"),
    check=check,
    quality=quality,
    defaults={"extractive": True},
)
