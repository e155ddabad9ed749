"""Sentence embeddings: sentences become vectors, those of like meaning near each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

from joulemark.workloads.inputs import LICENCE, items_of
from joulemark.workloads.seam import Answer, Item, Quality, Settings, Task

__all__ = ["TASK"]

Vector = Sequence[float]


def check(item: Item, answer: Answer, settings: Settings) -> str | None:
    """An answer is a vector of length 1 (so that a dot product is a cosine)."""
    vector = answer.output
    if not isinstance(vector, Sequence) or not all(isinstance(x, float) and math.isfinite(x) for x in vector):
        return f"The embedding of {item.id} is no list of finite numbers."
    length = math.hypot(*vector)
    if math.isclose(length, 1, abs_tol=1e-2):
        return None
    return f"The embedding of {item.id} has length {length:.3g}, not 1."


def quality(pairs: Sequence[tuple[Item, Answer]]) -> Quality | None:
    """Share of sentences whose nearest neighbour is the one that means the same (`expected` is its id)."""
    vectors = {item.id: cast("Vector", answer.output) for item, answer in pairs}
    asked = [item for item, _ in pairs if item.expected in vectors]
    if not asked:
        return None
    right = 0
    for item in asked:
        others = {other: _dot(vectors[item.id], vector) for other, vector in vectors.items() if other != item.id}
        right += max(others, key=others.__getitem__) == item.expected
    return Quality(metric="nearest-neighbour accuracy", value=right / len(asked), n=len(asked))


def _dot(a: Vector, b: Vector) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


TASK = Task(
    name="sentence-embeddings",
    title="Sentence embeddings",
    unit="text",
    inputs="joulemark-sentences/2",
    licence=LICENCE,
    items=lambda: items_of("sentences"),
    check=check,
    quality=quality,
)
