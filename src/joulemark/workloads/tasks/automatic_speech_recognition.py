"""Automatic speech recognition: write down one spoken sentence."""

from __future__ import annotations

import re
from collections.abc import Sequence

from joulemark.workloads.inputs import FOLDER, LICENCE, records
from joulemark.workloads.seam import Answer, Item, Quality, Settings, Task
from joulemark.workloads.tasks.forms import is_twin

__all__ = ["TASK", "word_errors"]


def items() -> tuple[Item, ...]:
    """Recordings (WAV, 16 kHz, mono, 16 bits); expected is what is said."""
    return tuple(
        Item(id=record["id"], content=FOLDER / record["file"], expected=record["text"])
        for record in records("recordings")
    )


def words(text: str) -> list[str]:
    """Words in lower case, without punctuation."""
    return re.findall(r"[\w']+", text.casefold())


def word_errors(reference: Sequence[str], heard: Sequence[str]) -> int:
    """Least number of words to put in, leave out or replace (Levenshtein distance over words)."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(reference, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1]


def check(item: Item, answer: Answer, settings: Settings) -> str | None:
    """An answer is a text with words in it: somebody speaks in every recording. A twin's text may have none."""
    if isinstance(answer.output, str) and (words(answer.output) or is_twin(settings)):
        return None
    return f"Nothing was heard in {item.id}."


def quality(pairs: Sequence[tuple[Item, Answer]]) -> Quality | None:
    """Word error rate: wrong words of all recordings by words said; may exceed 1."""
    if not pairs:
        return None
    said = [(words(str(item.expected)), words(str(answer.output))) for item, answer in pairs]
    errors = sum(word_errors(reference, heard) for reference, heard in said)
    total = sum(len(reference) for reference, _ in said)
    return Quality(metric="word error rate", value=errors / total, n=len(pairs))


TASK = Task(
    name="automatic-speech-recognition",
    title="Speech recognition",
    unit="recording",
    inputs="joulemark-recordings/1",
    licence=LICENCE,
    items=items,
    check=check,
    quality=quality,
)
