"""How a published protocol cuts its inputs and sets its lengths, in one place: pure functions over items.

The study is Luccioni, Jernite and Strubell 2024 (FAccT, doi:10.1145/3630106.3658542); what it did is read in its
scripts (github.com/sashavor/co2_inference, ``code/``). AI Energy Score is read in its configurations
(github.com/huggingface/optimum-benchmark, ``energy_star/``).
"""

from __future__ import annotations

import io
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import cast

from joulemark.workloads.seam import Item, Settings
from joulemark.workloads.tasks.forms import opened

__all__ = ["AI_ENERGY_SCORE", "PICTURE", "PROMPT_WORDS", "STUDY", "TEXT_WORDS", "masked", "study"]

TEXT_WORDS = 20
"""Words of a text that go into text generation and fill mask."""

PROMPT_WORDS = 50
"""Words of a prompt for a picture."""

PICTURE = (640, 480)
"""Width and height that pictures are brought to, in pixels."""

STUDY: Mapping[str, Settings] = MappingProxyType(
    {
        "text-generation": {"max_new_tokens": 10, "fixed_length": False},
        # The scripts say max_length=15 and min_length=10. Both count the token that the decoder starts with, so that
        # 9 to 14 are written.
        "summarization": {"max_new_tokens": 14, "min_new_tokens": 9},
        # Any classifier was asked, whatever it calls its classes.
        "text-classification": {"labels": "own"},
    }
)
"""Settings that the study's scripts set, by task; in all else they kept each model's defaults."""

AI_ENERGY_SCORE: Mapping[str, Settings] = MappingProxyType(
    {
        "text-generation": {"max_new_tokens": 10, "fixed_length": True},
        "summarization": {"max_new_tokens": 10, "min_new_tokens": 10},
        "text-classification": {"labels": "own"},
    }
)
"""Settings of AI Energy Score, by task."""


def study(task: str, items: Sequence[Item]) -> tuple[Item, ...]:
    """Shape the inputs of a task as the study did; those that it left as they are, and other tasks', stay so.

    Raises:
        MissingExtra: if there are pictures, and Pillow is not installed.
    """
    shape = _SHAPES.get(task)
    return tuple(items) if shape is None else tuple(shape(item) for item in items)


def masked(text: str) -> tuple[str, str]:
    """Cut a text after 20 words and put ``{mask}`` in the place of the last; give that word, bare, as well.

    A text that has a mask within its first 20 words keeps it (and hides no word).
    """
    words = text.split()[:TEXT_WORDS]
    if any("{mask}" in word for word in words):
        return " ".join(words), ""
    *kept, hidden = words or [""]
    return " ".join([*kept, "{mask}"]), hidden.strip(string.punctuation).casefold()


def _first(words: int) -> Callable[[Item], Item]:
    return lambda item: replace(item, content=" ".join(str(item.content).split()[:words]))


def _masked(item: Item) -> Item:
    text, hidden = masked(str(item.content))
    return replace(item, content=text, expected=hidden or item.expected)


def _resized(item: Item) -> Item:
    """Bring a picture to 640 x 480 as the scripts do: three colours, each pixel from its nearest (``resample=0``)."""
    file = io.BytesIO()
    with opened(item.content) as picture:
        picture.resize(PICTURE, resample=0).convert("RGB").save(file, "PNG", compress_level=1)
    return replace(item, content=file.getvalue())


def _resized_with_boxes(item: Item) -> Item:
    if not item.expected:
        return _resized(item)
    with opened(item.content) as picture:
        x, y = (new / old for new, old in zip(PICTURE, picture.size, strict=True))
    things = cast("Sequence[tuple[str, tuple[float, float, float, float]]]", item.expected)
    moved = tuple((label, (x * box[0], y * box[1], x * box[2], y * box[3])) for label, box in things)
    return replace(_resized(item), expected=moved)


_SHAPES: Mapping[str, Callable[[Item], Item]] = {
    "text-generation": _first(TEXT_WORDS),
    "fill-mask": _masked,
    "image-generation": _first(PROMPT_WORDS),
    "image-classification": _resized,
    "image-captioning": _resized,
    "object-detection": _resized_with_boxes,
}
