"""Video generation from text: a short film of what the prompt asks for."""

from __future__ import annotations

from joulemark.workloads.inputs import LICENCE, items_of
from joulemark.workloads.seam import Answer, Item, Settings, Task
from joulemark.workloads.tasks.forms import blank, is_twin, no_pixels

__all__ = ["STILL_BELOW", "TASK"]

STILL_BELOW = 0.1
"""Two frames whose pixels differ by less on average (in grey levels of 255) are the same (assumption of ours)."""


def check(item: Item, answer: Answer, settings: Settings) -> str | None:
    """Why the answer is no film: no array (frames, height, width, 3), of another size, not finite, blank or a still."""
    import numpy as np

    film = answer.output
    if not isinstance(film, np.ndarray) or film.ndim != 4 or film.shape[-1] != 3 or not film.size:
        return f"The answer to {item.id} is no array of frames by height by width by 3 colours."
    fault = no_pixels(item, film, settings, "film", ("frames", "height", "width"))
    if fault or is_twin(settings):
        return fault
    # Frame by frame: black frames between bright ones are no film, nor is a film that is black throughout.
    fault = next(filter(None, (blank(item, frame, settings, "film") for frame in film)), None)
    if fault:
        return fault
    if len(film) < 2 or np.abs(np.diff(film.astype(np.float32), axis=0)).mean() < STILL_BELOW:
        return f"The film for {item.id} is a still: its frames do not differ."
    return None


TASK = Task(
    name="video-generation",
    title="Video generation from text",
    unit="video",
    inputs="joulemark-scenes/1",
    licence=LICENCE,
    items=lambda: items_of("scenes"),
    check=check,
    defaults={"frames": 16, "seed": 0},
)
