"""A clock that stands still unless it is turned."""

from __future__ import annotations

__all__ = ["Clock"]


class Clock:
    """Monotonic time for a `Meter`, set by the test.

    Args:
        step_s: time that goes by with every look at it; 0 for a clock that only `advance` moves.
    """

    def __init__(self, *, step_s: float = 0.0) -> None:
        self.now_ns = 0
        self._step_ns = round(step_s * 1e9)

    def __call__(self) -> int:
        self.now_ns += self._step_ns
        return self.now_ns

    @property
    def now_s(self) -> float:
        return self.now_ns / 1e9

    def advance(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)
