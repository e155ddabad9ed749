"""The energy curve of one domain: its latest points, and what lies between them.

Between two points the curve is taken as straight. How far from straight it may be is estimated from what is known:

- from how uneven the ticks are. With ``v = e1 - 2 e2 + e3`` for the energies of three ticks in a row, ``v^2 / 6`` is an
  unbiased estimate of the variance of one tick's energy if they are independent, whatever their trend. A random course
  that is fixed at both ends of a tick has the variance ``s^2 f (1 - f)`` at the part f of it (a Brownian bridge);
  `ROUGHNESS` is what bursts within a tick add to that (docs/method.md, "Window edges", has the simulation).
- from the energy above the floor: nothing that draws at least its lowest power can hide more than
  ``X = energy - floor * time`` in a tick, and if all of X comes at once, anywhere, the variance is ``X^2 f (1 - f)``.
- from the limit of the device: over a time d from a point, no more than ``limit * d``.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from joulemark.errors import SensorError, SensorUnavailable
from joulemark.meter.follow import Point
from joulemark.sensors.seam import Domain
from joulemark.units import format_duration

__all__ = ["Edge", "Stretch", "Timeline"]

KEPT = 4096
NEARBY = 30
"""Ticks on each side of an edge that tell how uneven the course of power is."""
ROUGHNESS = 1.8
SMOOTHEST = 0.006
"""Least relative standard deviation of the power within a tick: an assumption, smaller than what a busy GPU shows."""
SPIKES = 1.3
"""How much more than the others' a spike's square counts."""
FLOOR_MARGIN = 0.99
DEEP = 1.5
"""A course whose highest tick is this many times its lowest shows its floor; one that varies less may not."""
TIMING = 10.0
"""What the timing of ticks adds at most to the squares of these estimates, in terms of that of one tick's power."""
BEAT = 3.0
BEAT_TICKS = 20
ALTERNATING = 0.5
"""Relative standard deviation of the energy within a tick where high and low ticks take turns: bursts of twice the
tick's period do that, and how high and low they come out depends on where the ticks cut them (an assumption)."""
NORMAL_MEDIAN = 0.4549
"""Median of the square of a standard normal variable."""


@dataclass(frozen=True, slots=True)
class Edge:
    """Where a curve stood at one moment.

    Attributes:
        time_ns: the moment.
        energy_uj: energy since the curve's first point.
        within_uj: standard uncertainty of that from the course of power within its tick.
        when_uj: standard uncertainty from when its tick was.
        sampling_uj2: see `Point`.
        breaks: see `Point`.
        tick: when its tick began; None beyond the curve's points.
        part: the part of the tick that was over, 0 to 1.
        spread_uj: standard deviation of the energy within the tick.
        course_w: power of its tick and of three on each side.
    """

    time_ns: int
    energy_uj: float
    within_uj: float
    when_uj: float
    sampling_uj2: float
    breaks: int
    tick: int | None = None
    part: float = 0.0
    spread_uj: float = 0.0
    course_w: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Stretch:
    """Energy between two edges, in joules, with its standard uncertainties."""

    energy_j: float
    edges_j: float
    sampling_j: float


class Timeline:
    """The latest points of a domain's energy curve.

    Attributes:
        domain: whose.
        points: the latest ones, oldest first.
        reasons: of the breaks, in their order.
        error: why the domain cannot be read now; None if it can.
    """

    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self.points: deque[Point] = deque(maxlen=KEPT)
        self.reasons: list[SensorError] = []
        self.error: SensorError | None = None
        self._floor_w, self._ceiling_w, self._last_w = math.inf, 0.0, 0.0
        self._flat_top = False  # whether the highest power lasted for longer than a tick

    def add(self, point: Point) -> None:
        """Add a point; one that is not later than the last is left out."""
        if self.points:
            last = self.points[-1]
            elapsed_ns = point.time_ns - last.time_ns
            if elapsed_ns <= 0:
                return
            if point.breaks == last.breaks:
                power_w = (point.energy_uj - last.energy_uj) / elapsed_ns * 1e3
                self._floor_w = min(self._floor_w, power_w)
                if power_w > self._ceiling_w / FLOOR_MARGIN:
                    self._flat_top = False
                elif min(power_w, self._last_w) > self._ceiling_w * FLOOR_MARGIN:
                    self._flat_top = self._ceiling_w > DEEP * self._floor_w
                self._ceiling_w, self._last_w = max(self._ceiling_w, power_w), power_w
        self.points.append(point)

    @property
    def until_ns(self) -> int:
        """Time of the last point; 0 without any."""
        return self.points[-1].time_ns if self.points else 0

    def edge(self, time_ns: int) -> Edge | SensorError:
        """Say where the curve stood at a moment, or why that is not known."""
        points = list(self.points)
        after = bisect_right(points, time_ns, key=lambda p: p.time_ns)
        if 0 < after < len(points) and points[after - 1].breaks == points[after].breaks:
            return self._between(points, after, time_ns)
        for index, neighbour in ((after, after + 1), (after - 1, after - 2)):
            if not (0 <= index < len(points) and 0 <= neighbour < len(points)):
                continue
            near, next_to_it = points[index], points[neighbour]
            if near.breaks == next_to_it.breaks and abs(near.time_ns - time_ns) <= self._reach_ns():
                return self._beyond(near, next_to_it, time_ns)
        return self._unknown(points, after, time_ns)

    def _reach_ns(self) -> float:
        """How far beyond its points the curve may be continued."""
        return max(2 * self.domain.accuracy.period_s * 1e9, 20e6)

    def _between(self, points: Sequence[Point], after: int, time_ns: int) -> Edge:
        first, last = points[after - 1], points[after]
        length_ns = last.time_ns - first.time_ns
        part = (time_ns - first.time_ns) / length_ns
        energy_uj = last.energy_uj - first.energy_uj
        spread_uj, course_w = self._spread(points, after)
        nearest_ns = min(time_ns - first.time_ns, last.time_ns - time_ns)
        within_uj = min(spread_uj * math.sqrt(part * (1 - part)), self.domain.max_power_w * nearest_ns / 1e3)
        when_ns = first.unsure_ns * (1 - part) + last.unsure_ns * part
        power_uw = energy_uj / length_ns  # µJ/ns
        return Edge(
            time_ns=time_ns,
            energy_uj=first.energy_uj + part * energy_uj,
            within_uj=within_uj,
            when_uj=math.hypot(self._moving_uw(points, after) * when_ns / math.sqrt(3), self._lag_uj(power_uw)),
            sampling_uj2=first.sampling_uj2 + part * (last.sampling_uj2 - first.sampling_uj2),
            breaks=first.breaks,
            tick=first.time_ns,
            part=part,
            spread_uj=spread_uj,
            course_w=course_w,
        )

    def _beyond(self, point: Point, other: Point, time_ns: int) -> Edge:
        """Continue the curve at the power of its nearest stretch: nothing says that this went on."""
        power_uw = (other.energy_uj - point.energy_uj) / (other.time_ns - point.time_ns)
        away_ns = time_ns - point.time_ns
        doubt_uw = power_uw or self.domain.max_power_w / 1e3
        timing_uw = 0.0 if self.domain.reading == "gauge" else power_uw
        return Edge(
            time_ns=time_ns,
            energy_uj=point.energy_uj + power_uw * away_ns,
            within_uj=abs(doubt_uw * away_ns),
            when_uj=math.hypot(timing_uw * point.unsure_ns / math.sqrt(3), self._lag_uj(power_uw)),
            sampling_uj2=point.sampling_uj2,
            breaks=point.breaks,
        )

    def _moving_uw(self, points: Sequence[Point], after: int) -> float:
        """How much energy a moment's shift of the updates moves, in µJ/ns: the power of a counter.

        The energies of a gauge are added over its own updates, so that only what the power changes there counts.
        """
        near = points[max(0, after - 2) : after + 2]
        powers = [(b.energy_uj - a.energy_uj) / (b.time_ns - a.time_ns) for a, b in itertools.pairwise(near)]
        return max(powers) - (min(powers) if self.domain.reading == "gauge" else 0.0)

    def _lag_uj(self, power_uw: float) -> float:
        """Standard uncertainty from a gauge that shows a mean over more than its update period."""
        window_s = self.domain.window_s or 0.0
        if window_s <= self.domain.accuracy.period_s:
            return 0.0
        return power_uw * window_s * 1e9 / math.sqrt(12)

    def _spread(self, points: Sequence[Point], after: int) -> tuple[float, tuple[float | None, ...]]:
        """Estimate the standard deviation of the energy within the stretch that ends at a point, in microjoules.

        Returns:
            It, and the powers of the ticks around it, in watts.
        """
        first, last = points[after - 1], points[after]
        length_ns = last.time_ns - first.time_ns
        energy_uj = last.energy_uj - first.energy_uj
        start = max(0, after - 1 - NEARBY)
        near = points[start : after + NEARBY + 1]
        tick_ns = min(b.time_ns - a.time_ns for a, b in itertools.pairwise(near))
        if self.domain.reading == "gauge":  # whose points lie closer while its updates are being learned
            tick_ns = max(tick_ns, round(self.domain.accuracy.period_s * 1e9))
        powers = [_power_w(a, b, 1.5 * tick_ns) for a, b in itertools.pairwise(near)]
        here = after - 1 - start
        course = tuple(powers[i] if 0 <= i < len(powers) else None for i in range(here - 3, here + 4))
        estimates = (_unevenness_here(powers, here), _unevenness_around(powers), _beat(powers, here))
        uneven = [estimate for estimate in estimates if estimate is not None]
        if uneven:
            uneven = [math.sqrt(max(0.0, max(uneven) ** 2 - TIMING * self._timing_w(first, last) ** 2))]
        if not uneven:
            return float(energy_uj), course
        floor_w = self._floor_w
        if self._ceiling_w < DEEP * floor_w:  # it has not been seen at rest
            floor_w = 2 * floor_w - self._ceiling_w
        above_uj = max(0.0, energy_uj - FLOOR_MARGIN * floor_w * length_ns / 1e3)
        if self._flat_top:  # it has been seen at work
            below_uj = max(0.0, self._ceiling_w * length_ns / 1e3 / FLOOR_MARGIN - energy_uj)
            above_uj = min(above_uj, 2 * above_uj * below_uj / (above_uj + below_uj) if below_uj else 0.0)
        uneven_uj = math.sqrt(ROUGHNESS * tick_ns / length_ns) * max(uneven) * length_ns / 1e3
        alternating_uj = ALTERNATING * energy_uj if _alternates(powers, here) else 0.0
        return max(min(uneven_uj, above_uj), alternating_uj, SMOOTHEST * energy_uj), course

    def _timing_w(self, first: Point, last: Point) -> float:
        """Standard deviation of a tick's power that comes from when its ends were alone, in watts."""
        if self.domain.reading == "gauge":
            return 0.0
        length_ns = last.time_ns - first.time_ns
        power_w = (last.energy_uj - first.energy_uj) / length_ns * 1e3
        return power_w * math.hypot(first.unsure_ns, last.unsure_ns) / length_ns / math.sqrt(3)

    def _unknown(self, points: Sequence[Point], after: int, time_ns: int) -> SensorError:
        if not points:
            return self.error or SensorUnavailable(f"{self.domain.name}: it has shown no update yet")
        if 0 < after < len(points):
            return self.reasons[points[after - 1].breaks]
        if self.error is not None:
            return self.error
        if after == 0:
            return SensorUnavailable(f"{self.domain.name}: what it showed at that time is no longer on record")
        since = format_duration((time_ns - points[-1].time_ns) / 1e9)
        return SensorUnavailable(f"{self.domain.name}: it has shown nothing new for {since}")

    def stretch(self, start: Edge, end: Edge) -> Stretch | SensorError:
        """Give the energy between two edges, or why it is not known."""
        if end.breaks > start.breaks:
            return self.reasons[start.breaks]
        within_uj = _within_uj(start, end)
        edges_uj = math.hypot(within_uj, start.when_uj, end.when_uj)
        sampling_uj2 = max(0.0, end.sampling_uj2 - start.sampling_uj2)
        return Stretch((end.energy_uj - start.energy_uj) / 1e6, edges_uj / 1e6, math.sqrt(sampling_uj2) / 1e6)


def _power_w(first: Point, last: Point, longest_ns: float) -> float | None:
    """Give the power of a single tick, in watts; None of several ticks or across a break."""
    elapsed_ns = last.time_ns - first.time_ns
    if first.breaks != last.breaks or elapsed_ns > longest_ns:
        return None
    return (last.energy_uj - first.energy_uj) / elapsed_ns * 1e3


def _unevenness_here(powers: Sequence[float | None], here: int) -> float | None:
    """Standard deviation of the power from tick to tick, in watts, from one tick and its neighbours."""
    own = powers[here]
    if own is None:
        return None
    for first in (here - 1, here - 2, here):  # its neighbours, or two on one side
        three = [power for power in powers[max(0, first) : first + 3] if power is not None]
        if len(three) == 3:
            return abs(three[0] - 2 * three[1] + three[2]) / math.sqrt(6)
    beside = [powers[i] for i in (here - 1, here + 1) if 0 <= i < len(powers)]
    return max((abs(power - own) / math.sqrt(2) for power in beside if power is not None), default=None)


def _unevenness_around(powers: Sequence[float | None]) -> float | None:
    """The same, typical of the ticks around.

    The median of ``v^2`` passes over the rare steps of a load that goes on and off; what stands out of its four
    neighbours for a single tick does not: bursts whose beat with the ticks is slow.
    """
    squares = []
    for i in range(1, len(powers) - 1):
        one, two, three = powers[i - 1 : i + 2]
        if one is not None and two is not None and three is not None:
            squares.append((one - 2 * two + three) ** 2 / 6)
    if not squares:
        return None
    outstanding = []
    for i in range(2, len(powers) - 2):
        five = [power for power in powers[i - 2 : i + 3] if power is not None]
        if len(five) == 5:
            outstanding.append((five[2] - _median(five)) ** 2)
    spikes = SPIKES * (sum(outstanding) / len(outstanding)) if outstanding else 0.0
    return math.sqrt(max(_median(squares) / NORMAL_MEDIAN, spikes))


def _beat(powers: Sequence[float | None], here: int) -> float | None:
    """The same, where the power varies little and not smoothly: the slow beat of fast bursts with the ticks.

    Bursts much faster than the ticks leave only their beat to see, a fraction of what they do within a tick.
    """
    known = [power for power in powers if power is not None]
    if len(known) < 5 or powers[here] is None or max(known) > DEEP * min(known):
        return None
    squares, freedom = 0.0, 0
    for run in _runs(powers[max(0, here - BEAT_TICKS) : here + BEAT_TICKS + 1]):
        middle, mean = (len(run) - 1) / 2, sum(run) / len(run)
        steepness = sum((i - middle) * p for i, p in enumerate(run)) / sum((i - middle) ** 2 for i in range(len(run)))
        squares += sum((p - mean - steepness * (i - middle)) ** 2 for i, p in enumerate(run))
        freedom += len(run) - 2
    return BEAT * math.sqrt(squares / freedom) if freedom else None


def _alternates(powers: Sequence[float | None], here: int) -> bool:
    """Tell whether the ticks around are high and low in turns, by about the same each time."""
    near = powers[max(0, here - 5) : here + 6]
    for run in _runs(near):
        steps = [b - a for a, b in itertools.pairwise(run)]
        if len(steps) < 3 or not all(a * b < 0 for a, b in itertools.pairwise(steps)):
            continue
        sizes = [abs(step) for step in steps]
        if min(sizes) > 0.6 * max(sizes) and min(sizes) > 0.02 * max(run):
            return True
    return False


def _runs(powers: Sequence[float | None]) -> Iterator[list[float]]:
    """Give the stretches of three ticks and more in a row."""
    run: list[float] = []
    for power in (*powers, None):
        if power is not None:
            run.append(power)
            continue
        if len(run) > 2:
            yield run
        run = []


def _within_uj(start: Edge, end: Edge) -> float:
    """Standard uncertainty from the courses of power within the ticks of both edges, in microjoules."""
    if start.tick is not None and start.tick == end.tick:
        # Both in one tick: what matters is how the part between them differs from its share.
        part = end.part - start.part
        return start.spread_uj * math.sqrt(part * (1 - part))
    together = _likeness(start.course_w, end.course_w)
    # Covariance of two Brownian bridges that are the same course, at two parts of it.
    shared = min(start.part, end.part) - start.part * end.part
    covariance = together * shared * start.spread_uj * end.spread_uj
    return math.sqrt(max(0.0, start.within_uj**2 + end.within_uj**2 - 2 * covariance))


def _likeness(one: Sequence[float | None], other: Sequence[float | None]) -> float:
    """How alike the ticks around two edges are, from 0 to 1: a load that repeats itself errs alike at both."""
    pairs = [(a, b) for a, b in zip(one, other, strict=False) if a is not None and b is not None]
    if len(pairs) < 3:
        return 0.0
    apart = sum((a - b) ** 2 for a, b in pairs) / len(pairs)
    powers = [power for pair in pairs for power in pair]
    mean = sum(powers) / len(powers)
    varied = sum((power - mean) ** 2 for power in powers) / len(powers)
    return max(0.0, 1 - 4 * apart / varied) if varied > 0 else 0.0


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
