"""The energy curve of one domain: its latest points, and what lies between them.

Between two points the curve is taken as straight. How far from straight it may be is estimated from what is known:

- from how uneven the ticks are. With ``v = e1 - 2 e2 + e3`` for the energies of three ticks in a row, ``v^2 / 6`` is an
  unbiased estimate of the variance of one tick's energy if they are independent, whatever their trend. A random course
  that is fixed at both ends of a tick has the variance ``s^2 f (1 - f)`` at the part f of it (a Brownian bridge);
  `ROUGHNESS` is what bursts within a tick add to that (docs/method.md, "Window edges", has the simulation).
- from the energy above the floor: nothing that draws at least its lowest power can hide more than
  ``X = energy - floor * time`` in a tick, and if all of X comes at once, anywhere, the variance is ``X^2 f (1 - f)``.
- from the limit of the device: over a time d from a point, no more than ``limit * d``.

When the ticks were is unsure, but they come regularly: what shifts them all shifts both edges of a stretch alike, and
moves only by how much the power at one differs from that at the other (`Timeline._when_uj`).

A gauge may show a mean over a window W that is longer than its update period. The energy of whole such windows is then
exact, for each reading is the mean of one; what is left over is not (`Timeline._of_running_mean`).
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from joulemark.errors import SensorError, SensorUnavailable
from joulemark.meter.follow import FINEST_NS, Point
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
IN_STEP = 0.2
"""Moments whose parts of their ticks differ by no more than this lie in step with each other."""
REGULAR = 8
"""Ticks on each side of an edge that tell how regularly they come, and so many that share when they come."""
UNSEEN = 0.18
"""Standard deviation of a course of power that repeats itself every averaging window, over that window's energy: that
of 30 equal bursts at random moments of it (Poisson, 1/√30; an assumption). No running mean shows it."""
STUDENT = {1: 6.48, 2: 2.20, 3: 1.62, 4: 1.42, 5: 1.31}
"""Student's t over the normal quantile, both of 95 %, by degrees of freedom (JCGM 100:2008, table G.2)."""
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
        unsure_ns: half-width of the bracket of when its tick was.
        own_ns: the part of that which ticks do not share, because they come irregularly.
        low_uw: the lowest power of its tick and of those beside it, in µJ/ns; so is `high_uw`, the highest.
        lags_uj: of a running mean: how far its curve is off if the power was steady before, and if it is after.
        whole: of a running mean: the same moment on the curve of its whole windows.
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
    unsure_ns: float = 0.0
    own_ns: float = 0.0
    low_uw: float = 0.0
    high_uw: float = 0.0
    lags_uj: tuple[float, ...] = ()
    whole: Edge | None = None


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
        self._window_ns = 0
        self._whole: Timeline | None = None  # the curve of whole windows of a running mean
        self._began: tuple[Point | None, float] = (None, 0.0)  # its first point since the last break, and its power
        if domain.reading == "gauge" and (domain.window_s or 0.0) > domain.accuracy.period_s:
            self._window_ns = round((domain.window_s or 0.0) * 1e9)
            self._whole = Timeline(replace(domain, window_s=None))

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
                if self._whole is not None:
                    self._add_whole(self._whole, last, point)
        self.points.append(point)

    def _add_whole(self, curve: Timeline, last: Point, point: Point) -> None:
        """Go on with the curve of whole windows: from where it stood a window before, by a window's energy.

        Of the window before the first reading only the energy is known, and its course is taken as steady. What it was
        repeats itself in this curve for ever; between moments that are whole windows apart it cancels.
        """
        later_ns = (self._window_ns - round(self.domain.accuracy.period_s * 1e9)) // 2  # when they were shown
        last, point = (p._replace(time_ns=p.time_ns + later_ns) for p in (last, point))
        power_w = (point.energy_uj - last.energy_uj) / (point.time_ns - last.time_ns) * 1e3
        first, slope_w = self._began
        if first is None or first.breaks != point.breaks:
            first, slope_w = self._began = last._replace(energy_uj=0), power_w
            curve.add(first)
        before_ns = point.time_ns - self._window_ns
        if before_ns > first.time_ns:
            points = curve.points
            after = min(bisect_right(points, before_ns, key=lambda p: p.time_ns), len(points) - 1)
            before_uj, _ = _on_line(points, after, before_ns)
        else:
            before_uj = first.energy_uj + slope_w * (before_ns - first.time_ns) / 1e3
        curve.add(point._replace(energy_uj=round(before_uj + power_w * self._window_ns / 1e3)))

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
        powers_uw = [
            (b.energy_uj - a.energy_uj) / (b.time_ns - a.time_ns)
            for a, b in itertools.pairwise(points[max(0, after - 2) : after + 2])
        ]
        # The energies of a gauge are added over its own updates, so that only what the power changes there counts.
        moving_uw = max(powers_uw) - (min(powers_uw) if self.domain.reading == "gauge" else 0.0)
        whole = self._whole.edge(time_ns) if self._whole is not None else None
        return Edge(
            time_ns=time_ns,
            energy_uj=first.energy_uj + part * energy_uj,
            within_uj=within_uj,
            when_uj=moving_uw * when_ns / math.sqrt(3),
            sampling_uj2=first.sampling_uj2 + part * (last.sampling_uj2 - first.sampling_uj2),
            breaks=first.breaks,
            tick=first.time_ns,
            part=part,
            spread_uj=spread_uj,
            course_w=course_w,
            unsure_ns=when_ns,
            own_ns=min(when_ns, max(FINEST_NS, math.sqrt(3) * _irregular_ns(points, after, REGULAR))),
            low_uw=min(powers_uw),
            high_uw=max(powers_uw),
            lags_uj=self._lags_uj(points, after, time_ns),
            whole=whole if isinstance(whole, Edge) else None,
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

    def _lag_uj(self, power_uw: float) -> float:
        """Standard uncertainty of a running mean where little is known: the edge is anywhere in its window."""
        return power_uw * self._window_ns / math.sqrt(12)

    def _lags_uj(self, points: Sequence[Point], after: int, time_ns: int) -> tuple[float, ...]:
        """Give how far the curve of a running mean is off at a moment t, as its readings around tell it.

        The curve C is the energy E, averaged over ``t ± W/2``, and the shown power P is its slope; of the true power p
        it says ``p(v + W/2) - p(v - W/2) = W P'(v)``. From that follows C - E if p was steady in the half window
        before t, ``C(t) - C(t - W/2) - P(t - W/2) W/2``, and if it is in the one after,
        ``P(t + W/2) W/2 - C(t + W/2) + C(t)``.
        """
        if not self._window_ns:
            return ()
        here_uj, _ = _on_line(points, after, time_ns)
        lags = []
        for sign in (-1, 1):
            there_ns = time_ns + sign * self._window_ns // 2
            there = bisect_right(points, there_ns, key=lambda p: p.time_ns)
            if there == len(points) or points[there].breaks > points[after].breaks:
                there -= 1  # a little beyond the last one
            elif there == 0 or points[there - 1].breaks < points[after].breaks:
                there += 1
            pair = points[max(0, there - 1) : there + 1]
            near_ns = min((abs(p.time_ns - there_ns) for p in pair), default=math.inf)
            together = len(pair) == 2 and pair[0].breaks == pair[1].breaks == points[after].breaks
            if together and near_ns <= self._reach_ns() / 2:
                there_uj, power_uw = _on_line(points, there, there_ns)
                lags.append(sign * power_uw * self._window_ns / 2 - (there_uj - here_uj))
        return tuple(lags)

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
        course = _course(powers, here)
        estimates = (_unevenness_here(powers, here), _unevenness_around(powers), _beat(powers, here))
        uneven = [estimate for estimate in estimates if estimate is not None]
        if uneven:
            few = STUDENT.get(max(1, sum(len(run) - 2 for run in _runs(powers))), 1.0)
            uneven = [few * math.sqrt(max(0.0, max(uneven) ** 2 - TIMING * self._timing_w(points, after) ** 2))]
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

    def _timing_w(self, points: Sequence[Point], after: int) -> float:
        """Standard deviation of a tick's power that comes from when its ends were alone, in watts."""
        if self.domain.reading == "gauge":
            return 0.0
        first, last = points[after - 1], points[after]
        own_ns = max(min(FINEST_NS, first.unsure_ns), math.sqrt(3) * _irregular_ns(points, after, NEARBY))
        return (
            _on_line(points, after, last.time_ns)[1] * 1e3 * own_ns * math.sqrt(2 / 3) / (last.time_ns - first.time_ns)
        )

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
        found = self._of_running_mean(start, end) if self._whole is not None else None
        if found is not None:
            energy_uj, edges_uj = found
        else:
            energy_uj, edges_uj = end.energy_uj - start.energy_uj, self._edges_uj(start, end)
        sampling_uj2 = max(0.0, end.sampling_uj2 - start.sampling_uj2)
        return Stretch(energy_uj / 1e6, edges_uj / 1e6, math.sqrt(sampling_uj2) / 1e6)

    def _edges_uj(self, start: Edge, end: Edge) -> float:
        when_uj = self._when_uj(start, end)
        if self._window_ns:
            when_uj = math.hypot(when_uj, *(self._lag_uj(edge.high_uw) for edge in (start, end)))
        return math.hypot(_within_uj(start, end), when_uj)

    def _when_uj(self, start: Edge, end: Edge) -> float:
        """Standard uncertainty from when the ticks of both edges were, in microjoules.

        Ticks that come regularly are all early or late by the same time d, which moves ``(p2 - p1) d`` of powers p1 at
        the start and p2 at the end. What they do not share counts at each edge: how irregularly they come, and how much
        better one of them is known. Edges more than `REGULAR` ticks apart are taken to share nothing, for their period
        is not known exactly either, nor are two in one tick, to be careful where so little is seen.
        """
        apart_uj = math.hypot(start.when_uj, end.when_uj)
        near_ns = REGULAR * self.domain.accuracy.period_s * 1e9
        if start.tick is None or end.tick in (None, start.tick) or end.time_ns - start.time_ns > near_ns:
            return apart_uj
        together_ns = min(start.unsure_ns, end.unsure_ns)
        own_uj = [
            edge.when_uj * max(edge.own_ns, edge.unsure_ns - together_ns) / edge.unsure_ns if edge.unsure_ns else 0.0
            for edge in (start, end)
        ]
        differ_uw = max(end.high_uw - start.low_uw, start.high_uw - end.low_uw)
        return min(apart_uj, math.hypot(*own_uj, differ_uw * together_ns / math.sqrt(3)))

    def _of_running_mean(self, start: Edge, end: Edge) -> tuple[float, float] | None:
        """Give the energy that a running mean shows between two edges, and its standard uncertainty, in microjoules.

        The energy of whole windows W is the sum of what was shown at their ends. The part r of a window that is left
        over is taken from the curve. That is off at each edge by what `_lags_uj` tells (the largest difference between
        both; uniform), and by a course that repeats itself every W, which no reading shows: a random one, fixed at both
        ends, has ``UNSEEN sqrt(r (1 - r))`` of the window's energy. No more than all of the rest is unsure.

        Returns:
            Both; None if too little is known around the edges.
        """
        slack_ns = self.domain.accuracy.period_s * 1e9 / 2
        windows = int((end.time_ns - start.time_ns + slack_ns) // self._window_ns)
        split = self.edge(start.time_ns + windows * self._window_ns) if windows else start
        if not isinstance(split, Edge) or start.whole is None or split.whole is None:
            return None
        if not split.lags_uj or not end.lags_uj:
            return None
        whole_uj, whole_edges_uj = 0.0, 0.0
        if windows:
            whole_uj, whole_edges_uj = split.whole.energy_uj - start.whole.energy_uj, self._whole_edges_uj(start, split)
        rest_uj = end.energy_uj - split.energy_uj
        part = min(1.0, abs(end.time_ns - split.time_ns) / self._window_ns)
        power_uw = (split.low_uw + split.high_uw + end.low_uw + end.high_uw) / 4
        lag_uj = max(abs(a - b) for a in end.lags_uj for b in split.lags_uj) / math.sqrt(3)
        unseen_uj = UNSEEN * power_uw * self._window_ns * math.sqrt(part * (1 - part))
        rest_edges_uj = math.hypot(lag_uj, unseen_uj, self._when_uj(split, end), _within_uj(split, end))
        return whole_uj + rest_uj, math.hypot(whole_edges_uj, min(rest_edges_uj, abs(rest_uj)))

    def _whole_edges_uj(self, start: Edge, split: Edge) -> float:
        """Standard uncertainty of the energy of whole windows from where in their ticks they begin and end.

        The ticks of both edges are in step with each other, and what matters is how their courses differ: as uneven as
        the differences between the powers around.
        """
        first, last = start.whole, split.whole
        if first is None or last is None or self._whole is None:
            return 0.0
        apart_uj = self._whole._edges_uj(first, last)
        if first.tick is None or last.tick is None or abs(first.part - last.part) > IN_STEP:
            return apart_uj
        pairs = zip(first.course_w, last.course_w, strict=True)
        apart_w = [None if a is None or b is None else b - a for a, b in pairs]
        here = len(apart_w) // 2
        uneven = [_unevenness_here(apart_w[max(0, i - 1) : i + 2], 1) for i in (here - 1, here, here + 1)]
        powers_w = [power for power in (*first.course_w, *last.course_w) if power is not None]
        if max(powers_w) <= DEEP * min(powers_w):
            uneven.append(_beating(apart_w))
        known = [estimate for estimate in uneven if estimate is not None]
        if not known:
            return apart_uj
        period_us = self.domain.accuracy.period_s * 1e6
        least_uj = SMOOTHEST * math.hypot(start.high_uw, split.high_uw) * period_us * 1e3
        spread_uj = max(math.sqrt(ROUGHNESS) * max(known) * period_us, least_uj)
        within_uj = spread_uj * math.sqrt(last.part * (1 - last.part))
        return math.hypot(within_uj, self._whole._when_uj(first, last))


def _on_line(points: Sequence[Point], after: int, time_ns: int) -> tuple[float, float]:
    """Give the energy at a moment, in microjoules, and the power, in µJ/ns, on the line that ends at a point."""
    first, last = points[after - 1], points[after]
    power_uw = (last.energy_uj - first.energy_uj) / (last.time_ns - first.time_ns)
    return first.energy_uj + power_uw * (time_ns - first.time_ns), power_uw


def _irregular_ns(points: Sequence[Point], after: int, ticks: int) -> float:
    """Standard deviation of when ticks come that should come regularly, from so many on each side of a stretch.

    As of their energies: a sixth of the mean square of ``t1 - 2 t2 + t3``.
    """
    near = points[max(0, after - 1 - ticks) : after + 1 + ticks]
    gaps_ns = [b.time_ns - a.time_ns for a, b in itertools.pairwise(near)]
    longest_ns = 1.5 * min(gaps_ns)
    squares = [(b - a) ** 2 / 6 for a, b in itertools.pairwise(gaps_ns) if max(a, b) < longest_ns]
    return math.sqrt(sum(squares) / len(squares)) if squares else 0.0


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


def _course(powers: Sequence[float | None], here: int) -> tuple[float | None, ...]:
    """Give the power of a tick and of three on each side; what lies beyond a gap is out of step with it: left out."""
    course = [powers[i] if 0 <= i < len(powers) else None for i in range(here - 3, here + 4)]
    for side in ((2, 1, 0), (4, 5, 6)):
        for i, beyond in itertools.pairwise(side):
            if course[i] is None:
                course[beyond] = None
    return tuple(course)


def _beat(powers: Sequence[float | None], here: int) -> float | None:
    """The same, where the power varies little and not smoothly: the slow beat of fast bursts with the ticks.

    Bursts much faster than the ticks leave only their beat to see, a fraction of what they do within a tick.
    """
    known = [power for power in powers if power is not None]
    if len(known) < 5 or powers[here] is None or max(known) > DEEP * min(known):
        return None
    return _beating(powers[max(0, here - BEAT_TICKS) : here + BEAT_TICKS + 1])


def _beating(powers: Sequence[float | None]) -> float | None:
    """The same, by how far the ticks are from a straight line."""
    squares, freedom = 0.0, 0
    for run in _runs(powers):
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
