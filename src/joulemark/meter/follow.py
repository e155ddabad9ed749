"""Followers: from raw readings of one domain to points of its energy curve.

A sensor shows its device only at its updates. A counter that is updated every 100 ms and read at any moment is up to
100 ms old; only at an update (a *tick*) is it known what it stands for. A follower learns when the ticks come, asks to
be read around them, and gives *points*: how much energy had flowed at which moment, and how sure that moment is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from joulemark.errors import AbsurdReading, SensorError, SensorUnavailable
from joulemark.meter.counter import counter_step_uj, plausible_gauge_uw
from joulemark.sensors.seam import Domain

__all__ = [
    "NEVER_NS",
    "Follower",
    "GaugeFollower",
    "Point",
    "ReadingFollower",
    "TickFollower",
    "follower",
    "heartbeat_ns",
    "is_quick",
]

NEVER_NS = 2**62
"""A time that does not come."""
PROMPT_S = 2e-3
"""A counter that is updated at least this often is as good as exact whenever it is read."""
FINEST_NS = 250_000
"""Half-width to which the time of a tick is narrowed down; finer would take more readings than it is worth."""
MAX_GAP_S = 1.0
"""Longest time without a reading of a gauge that may be bridged, where it is updated more often than that."""
STEADY = 1e-3
"""How far a stated period may be off, as a fraction: an assumption, until it has been narrowed down."""
LOOKS = 16
"""Readings a period while the period of a counter is being learned."""
IRREGULAR = 8
"""So many readings of a gauge in a row that fall on its updates are readings of one that has no such updates."""
FADING = 0.98
"""How much of the largest step of a gauge is remembered from one update to the next."""
AT_ONCE = 12
"""So many readings one after the other that all show another value: the counter ticks faster than it is read."""
RUNS = 2
"""So many times a gauge has shown one value for a while before a longer time is doubted."""
ABSURD_IN_A_ROW = 3
"""So many absurd readings of a counter one after the other are a counter that now stands elsewhere."""


class Point(NamedTuple):
    """A point of a domain's energy curve.

    Attributes:
        time_ns: monotonic time.
        unsure_ns: half-width of that time's bracket.
        energy_uj: energy since the first point, in microjoules.
        sampling_uj2: variance of that energy from what a gauge did not show, in square microjoules.
        breaks: moments before this point across which no energy can be told.
    """

    time_ns: int
    unsure_ns: int
    energy_uj: int
    sampling_uj2: float = 0.0
    breaks: int = 0


class Follower(Protocol):
    """Follows one domain.

    Attributes:
        domain: which.
        error: why it cannot be read now; None if it can.
        reasons: of the breaks, in their order.
    """

    domain: Domain
    error: SensorError | None
    reasons: list[SensorError]

    @property
    def period_ns(self) -> int:
        """Time between its updates, as far as it is known."""

    def feed(self, before_ns: int, after_ns: int, reading: int | SensorError) -> Sequence[Point]:
        """Take in what a call gave that lasted from `before_ns` to `after_ns`; give the points that are now known."""

    @property
    def steady(self) -> bool:
        """Whether its updates are known well enough to be found again after a pause."""

    def pause(self) -> None:
        """Take note that it is not read for a while, because no window is open."""

    def due_ns(self) -> int:
        """When it wants to be read next."""


def is_quick(domain: Domain) -> bool:
    """Whether a domain is read at the edges of windows, for each of its readings is a point."""
    return domain.reading == "counter" and domain.accuracy.period_s <= PROMPT_S


def follower(domain: Domain) -> Follower:
    """Choose the follower of a domain."""
    if is_quick(domain):
        return ReadingFollower(domain)
    return GaugeFollower(domain) if domain.reading == "gauge" else TickFollower(domain)


class _Counter:
    """Adds up a counter's steps."""

    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self.error: SensorError | None = None
        self.reasons: list[SensorError] = []
        self.total_uj = 0
        self._last: tuple[int, int] | None = None  # (time in ns, reading)
        self._absurd = 0

    def _moved(self, now_ns: int, reading: int) -> bool:
        """Take in a reading; tell whether the counter has moved or started anew."""
        if self._last is None:
            self.error, self._last = None, (now_ns, reading)
            return True
        then_ns, before = self._last
        try:
            if reading < 0:
                raise AbsurdReading(f"{self.domain.name}: the counter shows {reading} µJ, less than nothing")
            step_uj = counter_step_uj(before, reading, (now_ns - then_ns) / 1e9, self.domain)
        except AbsurdReading as error:
            # A slip of the sensor, unless it stays: then the counter stands elsewhere now.
            self._absurd += 1
            self.error = error
            if self._absurd < ABSURD_IN_A_ROW or reading < 0:
                return False
            self._break(error, now_ns, reading)
            return True
        except SensorError as error:
            self._break(error, now_ns, reading)
            return True
        self.error, self._absurd = None, 0
        self._last = (now_ns, reading)
        self.total_uj += step_uj
        return step_uj > 0

    def _break(self, reason: SensorError, now_ns: int, reading: int) -> None:
        self.reasons.append(reason)
        self.error, self._absurd = None, 0
        self._last = (now_ns, reading)


class ReadingFollower(_Counter):
    """A counter that is updated so often that each reading is a point."""

    def __init__(self, domain: Domain) -> None:
        super().__init__(domain)
        self._period_ns = round(domain.accuracy.period_s * 1e9)
        self._read_ns = 0

    @property
    def period_ns(self) -> int:
        """Time between its updates, as the sensor states it."""
        return self._period_ns

    def feed(self, before_ns: int, after_ns: int, reading: int | SensorError) -> Sequence[Point]:
        """Give a point for each reading that is one."""
        self._read_ns = after_ns
        if isinstance(reading, SensorError):
            self.error = reading
            return ()
        self._moved(before_ns, reading)
        if self.error is not None:
            return ()
        # The age of the value, half a period in the mean, is the same at both edges of a window and cancels.
        unsure_ns = (after_ns - before_ns + self.period_ns) // 2
        return (Point((before_ns + after_ns) // 2, unsure_ns, self.total_uj, 0.0, len(self.reasons)),)

    @property
    def steady(self) -> bool:
        """It has none to be found."""
        return True

    def pause(self) -> None:
        """Nothing is lost: a counter goes on."""

    def due_ns(self) -> int:
        """As often as its wraps ask for."""
        return self._read_ns + heartbeat_ns(self.domain)


def heartbeat_ns(domain: Domain) -> int:
    """Give the time within which a counter must be read again lest it wrap unseen, in nanoseconds: a third of it."""
    if domain.wrap_uj is None:
        return NEVER_NS
    return round(domain.wrap_uj / 1e6 / domain.max_power_w / 3 * 1e9)


class Grid:
    """The times at which a sensor is updated: a phase and a period, narrowed down from what readings show.

    Each update's time is known to lie in a bracket, between the last reading that showed the old value and the first
    that showed the new one. A bracket that agrees with the prediction narrows it down, one that does not widens it.
    """

    def __init__(self) -> None:
        self.period_ns = 0.0
        self.tick_ns = 0.0
        self.half_ns = 0.0
        self._drift_ns = 0.0  # how unsure the period is
        self._anchor: tuple[float, float] = (0.0, 0.0)
        self._first: list[tuple[float, float]] = []
        self._misses = 0
        self._floor_ns = float(FINEST_NS)

    @property
    def known(self) -> bool:
        """Whether the period has been learned."""
        return self.period_ns > 0

    @property
    def steady(self) -> bool:
        """Whether the updates can be told apart after a pause of a thousand of them."""
        return self.known and self._drift_ns < 0.4e-3 * self.period_ns

    @property
    def unsure_ns(self) -> float:
        """Half-width of the next update's predicted bracket."""
        return self.half_ns + self._drift_ns

    def learn(self, low_ns: int, high_ns: int) -> bool:
        """Take in the bracket of one of the first updates; tell whether the period is now known."""
        self._first.append(((low_ns + high_ns) / 2, (high_ns - low_ns) / 2))
        if len(self._first) < 3:
            return False
        (first, first_half), *_, (last, last_half) = self._first
        intervals = len(self._first) - 1
        self.period_ns = (last - first) / intervals
        self._drift_ns = (first_half + last_half) / intervals
        self.tick_ns, self.half_ns = last, last_half
        self._anchor = self._first[0]
        self._first = []
        return True

    def assume(self, period_ns: float, low_ns: int, high_ns: int) -> None:
        """Take the period as given and the phase from the bracket of one update."""
        self.period_ns, self._drift_ns = period_ns, STEADY * period_ns
        self.tick_ns, self.half_ns = (low_ns + high_ns) / 2, (high_ns - low_ns) / 2
        self._anchor = (self.tick_ns, self.half_ns)

    def place(self, low_ns: int, high_ns: int, reading_ns: int) -> bool:
        """Take in the bracket of a later update, the last one before a reading that took until `high_ns`.

        Args:
            low_ns: when the old value was still shown.
            high_ns: when the reading of the new one was over.
            reading_ns: when it began.

        Returns:
            Whether it is certain which of the updates it was.
        """
        steps = max(1, int((high_ns - self.tick_ns) // self.period_ns))
        expected, unsure = self._predicted(steps)
        following, around = self._predicted(steps + 1)
        if following - around <= high_ns:  # it may have come early
            steps, expected, unsure = steps + 1, following, around
        if unsure >= self.period_ns / 2:  # left alone for so long that its phase is lost
            if high_ns - low_ns > self.period_ns:
                return False
            self.tick_ns, self.half_ns = (low_ns + high_ns) / 2, (high_ns - low_ns) / 2
            self._anchor = (self.tick_ns, self.half_ns)
            return True
        if steps > 1:
            earlier, around = self._predicted(steps - 1)
            if earlier + around >= low_ns:
                if expected - unsure <= high_ns and expected + unsure > reading_ns:
                    return False  # this one or the one before
                if expected - unsure > high_ns:
                    expected, unsure = earlier, around
        low, high = max(low_ns, expected - unsure), min(high_ns, expected + unsure)
        if low <= high:
            self._misses = 0
            self._floor_ns = max(float(FINEST_NS), 0.98 * self._floor_ns)
            self.tick_ns, self.half_ns = (low + high) / 2, max((high - low) / 2, self._floor_ns)
            self._narrow_period()
            return True
        # Off the grid: the updates jitter, or have moved.
        miss = max(low_ns - (expected + unsure), (expected - unsure) - high_ns)
        self._misses += 1
        # The period is off, or the updates jitter by so much.
        self._drift_ns = max(self._drift_ns, min(self._drift_ns + miss / steps, self.period_ns / 20))
        self._floor_ns = min(max(self._floor_ns, 1.5 * (unsure + miss)), self.period_ns / 4)
        self.tick_ns = min(max(expected, low_ns), high_ns)
        self.half_ns = max(min((high_ns - low_ns) / 2, self.period_ns / 2), self._floor_ns)
        self._anchor = (self.tick_ns, self.half_ns)
        if self._misses > 4:
            self.period_ns, self._misses = 0.0, 0
        return True

    def around(self, time_ns: float) -> tuple[float, float]:
        """Give the last update that was due before a moment, and the half-width of its bracket."""
        return self._predicted(int((time_ns - self.tick_ns) // self.period_ns))

    def settle(self, tick_ns: float, half_ns: float) -> None:
        """Take note that an update has come as predicted."""
        self.tick_ns, self.half_ns = tick_ns, half_ns

    def _predicted(self, steps: int) -> tuple[float, float]:
        """Time of an update so many periods after the last one that was placed, and its half-width."""
        return (
            self.tick_ns + steps * self.period_ns,
            min(self.half_ns + steps * self._drift_ns, self.period_ns / 2),
        )

    def _narrow_period(self) -> None:
        first, first_half = self._anchor
        intervals = round((self.tick_ns - first) / self.period_ns)
        if intervals * self._drift_ns > 0.4 * self.period_ns:  # how many there were is not sure
            self._anchor = (self.tick_ns, self.half_ns)
            return
        drift = (first_half + self.half_ns) / intervals if intervals > 0 else self._drift_ns
        if drift < self._drift_ns:
            self.period_ns = (self.tick_ns - first) / intervals
            self._drift_ns = drift
        if intervals > 2000:  # clocks drift: forget what is old
            self._anchor = (self.tick_ns, self.half_ns)


class TickFollower(_Counter):
    """A counter that is updated seldom: its points are its ticks."""

    def __init__(self, domain: Domain) -> None:
        super().__init__(domain)
        self._prior_ns = round(domain.accuracy.period_s * 1e9)
        self._step_ns = min(max(self._prior_ns // LOOKS, 400_000), 20_000_000)
        self._grid = Grid()
        self._still_ns = 0  # start of the last reading that showed the present value
        self._read_ns = 0
        self._waiting: list[tuple[float, float, int]] = []  # (time, half-width, energy) while the period is unknown
        self._unplaced: tuple[int, int] | None = None  # (time, energy) of a reading whose tick is not known
        self._start_uj = 0
        self._ticks = 0
        self._unmoved = 0
        self._at_once = 0  # ticks seen in one reading after the other

    @property
    def _continuous(self) -> bool:
        """Whether it ticks faster than it was read to learn its period, so that any reading is a point."""
        return self._at_once >= AT_ONCE

    @property
    def period_ns(self) -> int:
        """Time between its ticks: as learned, before that as the sensor states it."""
        if self._continuous:
            return self._step_ns
        return round(self._grid.period_ns) or self._prior_ns

    def feed(self, before_ns: int, after_ns: int, reading: int | SensorError) -> Sequence[Point]:
        """Give the ticks that are now known."""
        self._read_ns = after_ns
        if isinstance(reading, SensorError):
            self.error = reading
            return ()
        breaks = -1 if self._last is None else len(self.reasons)
        moved = self._moved(before_ns, reading)
        if self.error is not None:
            return ()
        if breaks != len(self.reasons):  # it starts anew: nothing is known of this value's age
            self._waiting, self._grid, self._start_uj = [], Grid(), self.total_uj
            self._still_ns, self._unplaced = before_ns, None
            return ()
        if not moved:
            self._still_ns, self._at_once = before_ns, 0
            self._unmoved += 1
            return self._settled(before_ns)
        low_ns, self._still_ns = self._still_ns, before_ns
        self._at_once += self._grid.period_ns < 1.2 * self._step_ns  # not known yet, or no more than the readings' own
        if self._continuous:
            return (self._point((before_ns + after_ns) / 2, (after_ns - before_ns + self._step_ns) / 2, self.total_uj),)
        return self._ticked(low_ns, after_ns, before_ns)

    def _ticked(self, low_ns: int, high_ns: int, reading_ns: int) -> Sequence[Point]:
        self._ticks, self._unmoved = self._ticks + 1, 0
        grid = self._grid
        if grid.known:
            return self._placed(low_ns, high_ns, reading_ns)
        self._waiting.append(((low_ns + high_ns) / 2, (high_ns - low_ns) / 2, self.total_uj))
        if not grid.learn(low_ns, high_ns):
            return ()
        # What was shown before the first tick that was seen, had been shown since one period earlier.
        first_ns, half_ns, _ = self._waiting[0]
        points = [self._point(first_ns - grid.period_ns, half_ns + grid.unsure_ns, self._start_uj)]
        points += [self._point(*tick) for tick in self._waiting]
        self._waiting, self._start_uj = [], self.total_uj
        return points

    def _placed(self, low_ns: int, high_ns: int, reading_ns: int) -> Sequence[Point]:
        grid, unplaced = self._grid, self._unplaced
        if not grid.place(low_ns, high_ns, reading_ns):
            self._unplaced = (high_ns, self.total_uj)
            return ()
        self._unplaced = None
        here = self._point(grid.tick_ns, grid.half_ns, self.total_uj)
        if unplaced is not None and high_ns - unplaced[0] < grid.period_ns / 2:
            # The value before this one was read just before this tick: it had come a period earlier.
            return (self._point(grid.tick_ns - grid.period_ns, grid.unsure_ns, unplaced[1]), here)
        return (here,)

    def _settled(self, reading_ns: int) -> Sequence[Point]:
        """Place a value that was read about when a tick was due, if it has stayed: then it came with that tick."""
        if self._unplaced is None or not self._grid.known:
            return ()
        then_ns, energy_uj = self._unplaced
        tick_ns, unsure_ns = self._due_about(then_ns)
        if reading_ns < tick_ns + unsure_ns or reading_ns > tick_ns + self._grid.period_ns / 2:
            return ()
        self._unplaced = None
        self._grid.settle(tick_ns, unsure_ns)
        return (self._point(tick_ns, unsure_ns, energy_uj),)

    def _due_about(self, time_ns: int) -> tuple[float, float]:
        """Give the tick that was due nearest to a moment, and the half-width of its bracket."""
        return self._grid.around(time_ns + self._grid.period_ns / 2)

    def _point(self, time_ns: float, half_ns: float, energy_uj: int) -> Point:
        return Point(round(time_ns), round(half_ns), energy_uj, 0.0, len(self.reasons))

    @property
    def steady(self) -> bool:
        """Whether its ticks are known well enough to be found again after a pause."""
        return self._continuous or self._grid.steady

    def pause(self) -> None:
        """Nothing is lost: a counter goes on."""
        self._at_once = 0 if not self._continuous else self._at_once

    def due_ns(self) -> int:
        """Around the next tick: in the middle of its bracket if that is wide, else just after it."""
        grid = self._grid
        if self._continuous:
            return self._read_ns + self._prior_ns
        if not grid.known:
            return self._read_ns + self._step_ns * (1 if self._unmoved < 8 * LOOKS else 8)
        if self._unplaced is not None:
            tick_ns, unsure = self._due_about(self._unplaced[0])
            if self._read_ns < tick_ns + unsure < self._read_ns + grid.period_ns / 2:
                return round(tick_ns + unsure + FINEST_NS)
        expected, unsure = grid.tick_ns + grid.period_ns, grid.unsure_ns
        if self._read_ns > expected + grid.period_ns / 2:  # it was left alone for a while
            last, unsure = grid.around(self._read_ns)
            expected = last + grid.period_ns
            unsure += FINEST_NS
            if unsure < grid.period_ns / 2 and self._read_ns < expected + unsure:
                return round(expected + unsure)  # in the middle of a bracket it would not be sure which tick it saw
        if unsure >= grid.period_ns / 2:  # its phase is lost: brackets shorter than a period find it again
            return self._read_ns + round(grid.period_ns / 4)
        too_early = expected - unsure - FINEST_NS
        if self._ticks % 4 == 2 and self._read_ns < too_early:
            return round(too_early)  # a tick that has come by then shows that the grid lies elsewhere
        if self._read_ns < expected - unsure:
            halve = grid.half_ns > 1.5 * FINEST_NS or self._ticks % 4 == 0
            return round(expected if halve else expected + unsure)
        if self._read_ns < expected + unsure:
            return round(expected + unsure)
        # Late. Look again soon, and more and more seldom.
        overdue = self._read_ns - expected
        return self._read_ns + round(min(max(unsure, overdue / 2), grid.period_ns))


class GaugeFollower:
    """A gauge: each of its updates is the mean power of a stretch of time, and the stretches add up.

    Where the stretches lie is learned from when the reading changes; while it does not, it does not matter. A gauge
    whose mean reaches further back than its last update is taken to show the middle of that time.
    """

    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self.error: SensorError | None = None
        self.reasons: list[SensorError] = []
        self._prior_ns = round(domain.accuracy.period_s * 1e9) or 20_000_000
        self._seen_share = 1.0
        self._shift_ns = 0.0
        if domain.window_s is not None:
            window_ns = domain.window_s * 1e9
            self._seen_share = min(1.0, window_ns / self._prior_ns) if window_ns else 0.0
            self._shift_ns = (self._prior_ns - window_ns) / 2
        self._step_ns = max(self._prior_ns // 8, 2_000_000)
        self._grid = Grid()
        self._learns = self._prior_ns <= 200_000_000
        self._shown_uw: int | None = None  # what it showed last
        self._added_uw = 0  # the last power that was added
        self._idle_reads = 0  # readings in a row that added nothing
        self._swing_uw = 0.0  # the largest step between two updates, of late
        self._run_ns = 0.0  # how long it has shown one value
        self._run_began = False  # whether it was seen when that began
        self._runs = 0  # how often it has shown one value for several updates, from beginning to end
        self._longest_ns = 0.0  # the longest of those
        self._range_uw = (0, 0)  # the lowest and the highest power that it has shown
        self._done_ns = 0.0  # energy is known up to here
        self._energy_uj = 0.0
        self._sampling_uj2 = 0.0
        self._still_ns = 0
        self._read_ns = 0
        self._updates = 0
        self._unmoved = 0

    @property
    def period_ns(self) -> int:
        """Time between its updates: as learned, before that as the sensor states it."""
        return round(self._grid.period_ns) or self._prior_ns

    def feed(self, before_ns: int, after_ns: int, reading: int | SensorError) -> Sequence[Point]:
        """Give the point up to which the energy is now known."""
        self._read_ns = after_ns
        try:
            if isinstance(reading, SensorError):
                raise reading
            power_uw = plausible_gauge_uw(reading, self.domain)
        except SensorError as error:
            self.error = error
            return ()
        failed, self.error = self.error, None
        middle_ns = (before_ns + after_ns) // 2
        shown_uw, self._shown_uw = self._shown_uw, power_uw
        if shown_uw is None:
            return self._begun(before_ns, middle_ns)
        longest_ns = max(MAX_GAP_S * 1e9, 3 * self.period_ns) + self.period_ns
        if middle_ns - self._done_ns > longest_ns:
            silent_s = (middle_ns - self._done_ns) / 1e9
            silent = SensorUnavailable(f"{self.domain.name}: no power reading for {silent_s:.1f} s")
            self.reasons.append(failed or silent)
            return self._begun(before_ns, middle_ns)
        if power_uw != shown_uw:
            self._changed(self._still_ns, after_ns, before_ns)
        else:
            self._unmoved += 1
        self._still_ns = before_ns
        return self._integrated(power_uw, middle_ns)

    @property
    def steady(self) -> bool:
        """A gauge is not read for the sake of its grid alone: without changes there is nothing to see."""
        return True

    def pause(self) -> None:
        """What flows from now on is not known."""
        if self._shown_uw is not None:
            self.reasons.append(SensorUnavailable(f"{self.domain.name}: it was not read, for no window was open"))
        self._shown_uw, self._unmoved = None, 0

    def _begun(self, before_ns: int, now_ns: int) -> Sequence[Point]:
        self._still_ns = before_ns
        self._done_ns = float(now_ns - self._prior_ns)
        self._added_uw = self._shown_uw or 0
        self._run_ns, self._run_began = 0.0, False
        if not self._grid.known:
            return (self._point(self.period_ns / 2),)
        self._done_ns, unsure_ns = self._grid.around(now_ns)
        return (self._point(unsure_ns),)

    def _changed(self, low_ns: int, high_ns: int, reading_ns: int) -> None:
        self._unmoved = 0
        if not self._learns or high_ns - low_ns > 1.2 * self.period_ns:
            return
        if self._grid.known:
            self._grid.place(low_ns, high_ns, reading_ns)
        elif high_ns - low_ns <= self._prior_ns / 2:
            self._grid.assume(self._prior_ns, low_ns, high_ns)

    def _integrated(self, power_uw: int, now_ns: int) -> Sequence[Point]:
        grid = self._grid
        step_uw = power_uw - self._added_uw
        if not grid.known:
            # It shows the mean of a period that ended up to a period ago: a period ago, give or take a half.
            seen_ns = float(now_ns - self._prior_ns)
            elapsed_ns = seen_ns - self._done_ns
            if elapsed_ns <= 0:
                return ()
            self._add((self._added_uw + power_uw) / 2, elapsed_ns, step_uw * max(elapsed_ns, self._prior_ns))
            self._done_ns, self._added_uw = seen_ns, power_uw
            return (self._point(self.period_ns / 2),)
        update_ns, unsure_ns = grid.around(now_ns)
        if unsure_ns > grid.period_ns / 3:  # nothing has changed for long, and the grid is lost
            self._grid = Grid()
            return self._integrated(power_uw, now_ns)
        elapsed_ns = update_ns - self._done_ns
        at_update = min(now_ns - update_ns, update_ns + grid.period_ns - now_ns) <= unsure_ns
        if at_update or elapsed_ns < grid.period_ns / 2:
            self._idle_reads += 1
            if self._idle_reads > IRREGULAR:  # it is updated at other times than it states: no grid fits
                self._learns, self._grid = False, Grid()
            return ()
        self._idle_reads = 0
        missed_ns = elapsed_ns - grid.period_ns
        if missed_ns > grid.period_ns / 2:
            self._add((self._added_uw + power_uw) / 2, missed_ns, max(abs(step_uw), self._swing_uw) * missed_ns)
            elapsed_ns -= missed_ns
        else:
            self._swing_uw = max(float(abs(step_uw)), FADING * self._swing_uw)
        self._doubt_run(power_uw, elapsed_ns, changed=step_uw != 0)
        self._add(power_uw, elapsed_ns, step_uw * max(unsure_ns, elapsed_ns * (1 - self._seen_share)))
        self._done_ns, self._added_uw = update_ns, power_uw
        self._updates += 1
        return (self._point(unsure_ns),)

    def _doubt_run(self, power_uw: int, elapsed_ns: float, *, changed: bool) -> None:
        """Doubt a value that stays for longer than any before: it may be stuck.

        Over what is beyond the longest time that it has shown one value so far, the power may have been anything that
        it has shown: uniform (JCGM 100:2008, 4.3.7), and the same all the time, so that it adds up.
        """
        before_ns = self._run_ns
        low_uw, high_uw = self._range_uw
        if changed:
            if self._run_began and before_ns > 1.5 * self.period_ns:
                self._runs, self._longest_ns = self._runs + 1, max(self._longest_ns, before_ns)
            self._run_ns, self._run_began = elapsed_ns, True
            self._range_uw = min(low_uw or power_uw, power_uw), max(high_uw, power_uw)
            return
        self._run_ns += elapsed_ns
        if self._runs >= RUNS:
            known_ns = self._longest_ns + self.period_ns
            so_far, beyond = (max(0.0, ns - known_ns) * (high_uw - low_uw) / 1e9 for ns in (before_ns, self._run_ns))
            self._sampling_uj2 += (beyond**2 - so_far**2) / 3

    def _add(self, power_uw: float, elapsed_ns: float, doubt: float) -> None:
        """Add a stretch; `doubt` is how much could hide in it, in µW ns: taken as uniform (JCGM 100:2008, 4.3.7)."""
        self._energy_uj += power_uw * elapsed_ns / 1e9
        self._sampling_uj2 += (doubt / 1e9) ** 2 / 12

    def _point(self, half_ns: float) -> Point:
        time_ns = round(self._done_ns + self._shift_ns)
        return Point(time_ns, round(half_ns), round(self._energy_uj), self._sampling_uj2, len(self.reasons))

    def due_ns(self) -> int:
        """Once an update, well away from it; at times at the update itself, to see where it lies."""
        grid = self._grid
        if not grid.known:
            learning = self._learns and self._unmoved < 24 * 8
            return self._read_ns + (self._step_ns if learning else self._prior_ns)
        last, unsure = grid.around(self._read_ns)
        half_way = last + grid.period_ns / 2
        if self._done_ns < last - grid.period_ns / 2 and self._read_ns < half_way:
            return round(half_way)  # it came too near an update to tell which one it saw
        halve = grid.half_ns > max(grid.period_ns / 50, 2 * FINEST_NS) or self._updates % 16 == 0
        expected = last + grid.period_ns
        if halve and self._read_ns < expected - unsure:
            return round(expected)
        return round(half_way + grid.period_ns)
