"""What an answer must look like, in parts that several tasks share; each gives the reason why it does not, or None.

A twin (setting ``weights: random``) computes as its model does, but what it says is noise. So nothing is asked of a
twin's meaning, such as words in a text or contrast in a picture; of its form, all is: kinds, sizes, numbers of tokens.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from joulemark.workloads.backends.options import require
from joulemark.workloads.seam import Answer, Item, Settings

__all__ = [
    "BLANK_BELOW",
    "blank",
    "is_twin",
    "no_label",
    "no_pixels",
    "no_text",
    "no_words",
    "opened",
    "picture_size",
    "wrong_count",
]

BLANK_BELOW = 8.0
"""A picture whose pixels' standard deviation is less (in grey levels of 255) is blank (assumption of ours)."""


def is_twin(settings: Settings) -> bool:
    """Tell whether the model's weights are random."""
    return settings.get("weights") == "random"


def no_text(item: Item, answer: Answer, settings: Settings, what: str = "text") -> str | None:
    """Why the answer is no text: it is no string, or has nothing in it."""
    if not isinstance(answer.output, str):
        return f"The {what} for {item.id} is no text but {type(answer.output).__name__}."
    if not answer.output.strip() and not is_twin(settings):
        return f"The {what} for {item.id} is empty."
    return None


def no_words(item: Item, answer: Answer, settings: Settings, what: str) -> str | None:
    """Why the answer is no text of one or more tokens."""
    return no_text(item, answer, settings, what) or wrong_count(item, answer, settings, what)


def wrong_count(
    item: Item, answer: Answer, settings: Settings, what: str, *, most: int | None = None, fixed: bool = False
) -> str | None:
    """Why the number of tokens is wrong: none or too many, or another than asked where the length is `fixed`.

    The setting ``fixed_length`` goes before `fixed`, ``max_new_tokens`` before `most`. A free length that the backend
    cannot count is no fault; a fixed one is, because energy per text means nothing without it.
    """
    limit, count = settings.get("max_new_tokens", most), answer.tokens_out
    if settings.get("fixed_length", fixed):
        return None if count == limit else f"The {what} for {item.id} has {count} tokens instead of {limit}."
    if count is None:
        return None
    if count < 1:
        return f"The {what} for {item.id} has no tokens."
    if limit is not None and count > int(limit):
        return f"The {what} for {item.id} has {count} tokens, more than {limit}."
    return None


def no_label(item: Item, answer: Answer) -> str | None:
    """Why the answer is no label: it is no string, or has nothing in it."""
    if isinstance(answer.output, str) and answer.output.strip():
        return None
    return f"The answer to {item.id} is no label."


def no_pixels(item: Item, pixels: Any, settings: Settings, what: str, sides: tuple[str, ...]) -> str | None:
    """Why an array is none of finite pixels from 0 to 255, with its first axes as long as the settings `sides` say."""
    import numpy as np

    for side, length in zip(sides, pixels.shape, strict=False):
        if side in settings and settings[side] != length:
            unit = "frames" if side == "frames" else f"pixels in {side}"
            return f"The {what} for {item.id} is {length} {unit}, not {settings[side]}."
    if not (np.issubdtype(pixels.dtype, np.number) and np.isfinite(pixels).all()):
        return f"The {what} for {item.id} has pixels that are no numbers."
    if pixels.size and (pixels.min() < 0 or pixels.max() > 255):
        return f"The {what} for {item.id} has pixels outside 0 to 255."
    return None


def blank(item: Item, pixels: Any, settings: Settings, what: str) -> str | None:
    """Why a picture shows nothing: all its pixels are nearly the same."""
    deviation = float(pixels.std()) if pixels.size else 0.0
    if deviation >= BLANK_BELOW or is_twin(settings):
        return None
    return f"The {what} for {item.id} is blank: its pixels vary by {deviation:.1f} of 255 grey levels only."


def opened(content: object) -> Any:
    """Open a picture (a path, or the bytes of a file) with Pillow.

    Raises:
        MissingExtra: if Pillow is not installed.
    """
    image = require("PIL.Image", package="pillow", extra="transformers", purpose="Reading a picture")
    return image.open(io.BytesIO(content) if isinstance(content, bytes) else Path(str(content)))


def picture_size(content: object) -> tuple[int, int]:
    """Width and height of a picture in pixels."""
    with opened(content) as picture:
        width, height = picture.size
    return width, height
