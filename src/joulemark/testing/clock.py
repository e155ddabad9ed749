"""A clock that stands still unless it is turned, and on which things can be scheduled."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

__all__ = ["SimulatedClock"]


class SimulatedClock:
    """Monotonic time in nanoseconds, for everything that takes a ``clock_ns``.

    One thread turns it with `advance` and `sleep_until`; the others may read it, `schedule` and `spend`.

    Args:
        start_s: where it stands at first, in seconds.
        step_s: time that goes by with every look at it, in seconds; 0 for a clock that stands still.
    """

    def __init__(self, start_s: float = 0.0, *, step_s: float = 0.0) -> None:
        self.now_ns = round(start_s * 1e9)
        self._step_ns = round(step_s * 1e9)
        self._due: list[tuple[int, int, Callable[[], object]]] = []
        self._order = itertools.count()
        self._turning = False

    def __call__(self) -> int:
        """Give the time in nanoseconds."""
        self.now_ns += self._step_ns
        return self.now_ns

    @property
    def now_s(self) -> float:
        """Where it stands, in seconds."""
        return self.now_ns / 1e9

    def schedule(self, at_ns: int, callback: Callable[[], object]) -> None:
        """Have `callback` run when the clock comes to `at_ns`; at once with the next turn if that is past.

        Callbacks of one time run in the order in which they were scheduled. One may read the clock, schedule others
        (itself again, for something periodic) and take time; what it raises comes out of `advance`.
        """
        heapq.heappush(self._due, (at_ns, next(self._order), callback))

    def advance(self, seconds: float) -> None:
        """Let time go by, and run what comes due in it, each with the clock standing at its time.

        Within a callback only the time moves: what comes due meanwhile runs late, as on a machine that is busy.

        Raises:
            ValueError: if `seconds` is negative; a monotonic clock never goes back.
        """
        if seconds < 0:
            raise ValueError(f"{seconds} s: a monotonic clock does not go back")
        self.sleep_until(self.now_ns + round(seconds * 1e9))

    def sleep_until(self, at_ns: int) -> None:
        """Let time go by until `at_ns`, as `advance` does; nothing happens if that is past."""
        if self._turning:
            self._move(at_ns)
            return
        self._turning = True
        try:
            # A callback that takes time may carry the clock beyond `at_ns`: what came due by then runs as well.
            while self._due and self._due[0][0] <= max(at_ns, self.now_ns):
                due_ns, _, callback = heapq.heappop(self._due)
                self._move(due_ns)
                callback()
        finally:
            self._turning = False
        self._move(at_ns)

    def spend(self, seconds: float) -> None:
        """Move the time and nothing else, as a slow call does whose caller holds everybody up.

        What comes due meanwhile runs late, with the next `advance`.
        """
        self._move(self.now_ns + round(seconds * 1e9))

    def _move(self, to_ns: int) -> None:
        self.now_ns = max(self.now_ns, to_ns)
