"""From tags of tokens to named entities."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["spans"]


def spans(
    tags: Sequence[str], words: Sequence[int | None], offsets: Sequence[tuple[int, int]]
) -> tuple[tuple[str, int, int], ...]:
    """Join B-/I- tags of tokens to spans (label, start, end).

    A word takes the tag of its first token. A span begins with B-, or with I- after another label, as the
    CoNLL scorers read it; but words of one label that touch are one span, whatever their prefix
    (``anna@example.net`` is five words to BERT). `words` is None for tokens that belong to no word ([CLS],
    padding).
    """
    found: list[tuple[str, int, int]] = []
    last_word: int | None = None
    open_label = ""
    for tag, word, (start, end) in zip(tags, words, offsets, strict=True):
        if word is None:
            continue
        if word == last_word:
            if open_label:
                found[-1] = (open_label, found[-1][1], end)
            continue
        last_word = word
        prefix, _, label = tag.partition("-")
        touches = bool(found) and found[-1][2] == start
        if label and label == open_label and (prefix == "I" or touches):
            found[-1] = (label, found[-1][1], end)
        elif label:
            found.append((label, start, end))
        open_label = label
    return tuple(found)
