"""Token classification: find the personal data (names, addresses, numbers) in a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

from joulemark.workloads.inputs import LICENCE, records
from joulemark.workloads.seam import Answer, Item, Quality, Settings, Task

__all__ = ["TASK"]

Span = tuple[str, int, int]


def items() -> tuple[Item, ...]:
    """Sentences; expected are the spans (label, start, end), positions in characters, end exclusive."""
    return tuple(Item(id=r["id"], content=r["text"], expected=tuple(_spans(r))) for r in records("personal"))


def _spans(record: dict[str, Any]) -> Iterator[Span]:
    # Entities stand in the file in the order of the text, so each is looked for behind the one before.
    end = 0
    for label, words in record["expected"]:
        start = record["text"].index(words, end)
        end = start + len(words)
        yield label, start, end


def check(item: Item, answer: Answer, settings: Settings) -> str | None:
    """An answer is a list of spans inside the text; an empty one is an answer, too."""
    if not isinstance(answer.output, Sequence) or isinstance(answer.output, str):
        return f"The answer to {item.id} is no list of entities."
    for span in answer.output:
        match span:
            case (str(), int(start), int(end)) if 0 <= start < end <= len(str(item.content)):
                continue
        return f"The answer to {item.id} has a span that is no entity of the text."
    return None


def quality(pairs: Sequence[tuple[Item, Answer]]) -> Quality | None:
    """F1 over entities whose label and both ends are right (as the CoNLL-2003 shared task scores)."""
    judged = found = expected = right = 0
    for item, answer in pairs:
        if item.expected is None:
            continue
        judged += 1
        wanted = set(cast("tuple[Span, ...]", item.expected))
        given = {tuple(span) for span in cast("Sequence[Span]", answer.output)}
        found, expected, right = found + len(given), expected + len(wanted), right + len(wanted & given)
    if not expected:
        return None
    return Quality(metric="entity F1", value=2 * right / (found + expected), n=judged)


TASK = Task(
    name="token-classification",
    title="Token classification",
    unit="text",
    inputs="joulemark-personal-data/2",
    licence=LICENCE,
    items=items,
    check=check,
    quality=quality,
)
