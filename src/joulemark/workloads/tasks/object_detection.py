"""Object detection: which things are in the picture, and where?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from joulemark.workloads.inputs import LICENCE, pictures
from joulemark.workloads.seam import Answer, Item, Quality, Settings, Task
from joulemark.workloads.tasks.forms import is_twin, picture_size

__all__ = ["OVERHANG", "SAME_ABOVE", "TASK", "overlap"]

OVERHANG = 0.05
"""How far a box may reach over the picture's edge, as a share of its side: detectors that compute boxes freely (DETR)
overshoot a little at the edge (assumption of ours)."""

SAME_ABOVE = 0.5
"""Two boxes are of one thing above this overlap (Pascal VOC, Everingham et al. 2010, doi:10.1007/s11263-009-0275-4)."""

Box = tuple[float, float, float, float]
Thing = tuple[str, Box]


def items() -> tuple[Item, ...]:
    """Drawings (PNG, 640 x 480); expected are (label, (left, top, right, bottom)), in pixels."""
    return pictures(lambda record: tuple((label, tuple(box)) for label, box in record["objects"]))


def check(item: Item, answer: Answer, settings: Settings) -> str | None:
    """An answer is a list of things: ``label``, ``score`` (0 to 1) and ``box`` (left, top, right, bottom in pixels).

    An empty list is an answer: a detector does the same work, and may find nothing that it is sure of.
    """
    if not isinstance(answer.output, Sequence) or isinstance(answer.output, str):
        return f"The answer to {item.id} is no list of things."
    width, height = picture_size(item.content) if answer.output else (0, 0)
    for thing in answer.output:
        fault = _fault(thing, width, height, twin=is_twin(settings))
        if fault:
            return f"The answer to {item.id} has a thing {fault}."
    return None


def _fault(thing: object, width: int, height: int, *, twin: bool) -> str | None:
    match thing:
        case {"label": str(label), "score": float(score) | int(score), "box": [_, _, _, _] as box}:
            pass
        case _:
            return "that is not made of a label, a score and a box"
    if not label.strip():
        return "without a name"
    if not 0 <= score <= 1:
        return f"whose score is {score}, not between 0 and 1"
    if not all(isinstance(side, float | int) and math.isfinite(side) for side in box):
        return "whose box has sides that are no numbers"
    left, top, right, bottom = box
    # A twin's boxes lie anywhere.
    x, y = (math.inf, math.inf) if twin else (OVERHANG * width, OVERHANG * height)
    if not (-x <= left <= right <= width + x and -y <= top <= bottom <= height + y):
        return f"whose box is not inside the picture of {width} x {height} pixels"
    return None


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes; 0 if both have no area."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    both = max(0.0, width) * max(0.0, height)
    either = _area(one) + _area(other) - both
    return both / either if either > 0 else 0.0


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def quality(pairs: Sequence[tuple[Item, Answer]]) -> Quality | None:
    """F1 over things of the right name and an overlap of more than a half, the surest matched first."""
    judged = [(item, answer) for item, answer in pairs if item.expected is not None]
    expected = found = right = 0
    for item, answer in judged:
        wanted = list(cast("Sequence[Thing]", item.expected))
        given = sorted(cast("Sequence[Mapping[str, Any]]", answer.output), key=lambda thing: -thing["score"])
        expected, found = expected + len(wanted), found + len(given)
        for thing in given:
            same = [w for w in wanted if w[0] == thing["label"] and overlap(w[1], tuple(thing["box"])) > SAME_ABOVE]
            if same:
                right += 1
                wanted.remove(max(same, key=lambda w: overlap(w[1], tuple(thing["box"]))))
    if not expected:
        return None
    return Quality(metric="box F1", value=2 * right / (expected + found), n=len(judged))


TASK = Task(
    name="object-detection",
    title="Object detection",
    unit="image",
    inputs="joulemark-pictures/1",
    licence=LICENCE,
    items=items,
    check=check,
    quality=quality,
)
