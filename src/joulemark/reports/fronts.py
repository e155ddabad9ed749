"""Which workloads of a task are worth choosing: those that no other beats in energy, time and quality at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["on_front"]


def on_front(points: Sequence[Sequence[float]]) -> list[bool]:
    """Tell for each point whether it lies on the Pareto front: no other is as good in all coordinates, better in one.

    Args:
        points: coordinates, each better the lower it is; NaN for one that is not known, which beats nothing there and
            loses to nothing.
    """
    return [not any(_beats(other, point) for other in points if other is not point) for point in points]


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    pairs = list(zip(one, other, strict=True))
    if any(math.isnan(a) != math.isnan(b) for a, b in pairs):
        return False
    known = [(a, b) for a, b in pairs if not math.isnan(a)]
    return all(a <= b for a, b in known) and any(a < b for a, b in known)
