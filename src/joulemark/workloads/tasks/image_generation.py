"""Image generation from text: a picture of what the prompt asks for."""

from __future__ import annotations

from joulemark.workloads.seam import Answer, Item, Settings, Task
from joulemark.workloads.tasks.forms import blank, no_pixels

__all__ = ["TASK"]

PROMPTS = (
    ("a handwritten zero", 0),
    ("the digit 1", 1),
    ("a picture of the number two", 2),
    ("handwritten digit 3", 3),
    ("please write the number four", 4),
    ("an image of a handwritten five", 5),
    ("draw a 6", 6),
    ("seven", 7),
    ("an eight written by hand", 8),
    ("a drawing of a 9", 9),
    ("please draw a bold zero", 0),
    ("a picture of the digit one written by hand", 1),
    ("write a thin 2", 2),
    ("the number three by hand", 3),
    ("a bold picture of the digit four", 4),
    ("please draw the number 5", 5),
    ("a handwritten image of six", 6),
    ("an image of seven with a thin pen", 7),
    ("draw the handwritten digit 8 please", 8),
    ("nine, the handwritten number", 9),
)
"""Each digit twice: as the shipped model was taught to read it, and in an order of words it never saw."""


def items() -> tuple[Item, ...]:
    """Twenty prompts; `expected` is the digit."""
    return tuple(
        Item(id=f"digit-{n:02d}", content=prompt, expected=digit) for n, (prompt, digit) in enumerate(PROMPTS, start=1)
    )


def check(item: Item, answer: Answer, settings: Settings) -> str | None:
    """Why the answer is no picture: no array of pixels, of another size, not finite, or blank."""
    import numpy as np

    picture = answer.output
    if not isinstance(picture, np.ndarray):
        return f"The answer to {item.id} is no array of pixels but {type(picture).__name__}."
    if picture.ndim not in (2, 3) or (picture.ndim == 3 and picture.shape[-1] not in (3, 4)):
        return f"The answer to {item.id} has the shape {picture.shape}, which is no picture's."
    fault = no_pixels(item, picture, settings, "picture", ("height", "width"))
    return fault or blank(item, picture, settings, "picture")


TASK = Task(
    name="image-generation",
    title="Image generation from text",
    unit="image",
    inputs="joulemark-digit-prompts/1",
    licence="CC0-1.0",
    items=items,
    check=check,
    defaults={"steps": 20, "guidance": 3.0, "seed": 0},
)
