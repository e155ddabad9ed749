"""What published figures let one expect: the energy of a unit of work by task and by the size of the model.

The logarithm of an energy is taken to be ::

    task + slope x log10(parameters) + source + remainder

with one slope for inference and one for training, by least squares within each task and source. It is that of the
working accelerators where a claim can be brought to it (`joulemark.catalogue.footing`), for on that footing sources
agree best; else the middle of what it may be there. What sources differ by (hardware, settings) and what is left are
taken as normal; their spreads are pooled over tasks, and a source weighs little more for having many figures. A figure
whose boundary is not known may lie higher by `BOUNDARY_ROOM`.

Rough on purpose: it has to tell a figure from its thousandfold, and not one model from another.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import median

from joulemark.boundary import Boundary
from joulemark.catalogue.claims import TRAINING, Catalogue, Claim
from joulemark.catalogue.footing import CannotConvert, to_boundary
from joulemark.catalogue.models import sizes
from joulemark.catalogue.words import read_boundary

__all__ = ["BOUNDARY_ROOM", "FOOTING", "KINDS", "LEAST_FIGURES", "Expectation", "Expectations", "room_of"]

LEAST_FIGURES = 3
"""With fewer published figures of a task, those of kindred tasks are looked at too."""

KINDS: tuple[frozenset[str], ...] = (
    frozenset(
        {"text-classification", "token-classification", "fill-mask", "question-answering", "sentence-embeddings"}
    ),
    frozenset({"image-classification", "object-detection"}),
    frozenset({"text-generation", "summarization", "image-captioning"}),
    frozenset({"chat", "code-completion", "image-chat", "video-chat"}),
    frozenset({"video-generation", "image-to-video"}),
    frozenset({"training", "fine-tuning"}),
)
"""Kindred tasks do work of one kind: read a text once, look at an image, write a few tokens, write an answer."""

FOOTING = read_boundary("gpu-active")

BOUNDARY_ROOM = 7.8
"""How many times a figure for a whole machine, idle accelerators and all, exceeds that for the one that worked: the
median over the figures of the study, for which both are known (`power_hungry.csv`; a test computes it)."""

HALF_WAY = 1.5
"""Least half-width of the band, in decades: half way to the thousandfold, where a figure is as near to what is expected
as to a slip. A narrower band would call slips what is only unusual."""

_WIDTH = 2.0
"""Half-width of the band in standard deviations: about 95 %."""
_LEAST_SOURCES = 0.3
"""Least spread between sources, in decades (assumption of ours: a factor of 2)."""
_KIN = 0.4
"""Spread between kindred tasks, in decades (assumption of ours: a factor of 2.5)."""


def room_of(boundary: Boundary | None) -> float:
    """How much more than the working accelerators a figure may count, by its boundary; None: not known."""
    alone = boundary is not None and boundary.components == FOOTING.components and boundary.devices == "active"
    return 1.0 if alone else BOUNDARY_ROOM


@dataclass(frozen=True, slots=True)
class Expectation:
    """What to expect of one task and model.

    Attributes:
        task: the task asked for.
        centre: the middle, in J per unit of work, of the working accelerators alone.
        low: lower end of the band that holds about 95 % of published figures; `high`: the upper, with room for what
            else a figure may count.
        claims: the figures behind it.
        sized: whether it is for a model of known size.
        spread: standard deviation of a published figure around the middle, in decades.
        kindred: tasks that stand in because there are too few figures of this one.
        per_token: whether it is per token written.
    """

    task: str
    centre: float
    low: float
    high: float
    claims: tuple[Claim, ...]
    sized: bool
    spread: float
    kindred: tuple[str, ...] = ()
    per_token: bool = False

    def printed(self, claim: Claim) -> float:
        """A claim as it was printed, in joules per what is asked about."""
        return claim.figure.value / (claim.tokens_out or 1.0 if self.per_token else 1.0)

    @property
    def least(self) -> Claim:
        """The lowest of the figures behind it."""
        return min(self.claims, key=self.printed)

    @property
    def most(self) -> Claim:
        """The highest of them."""
        return max(self.claims, key=self.printed)

    @property
    def width(self) -> float:
        """Upper end over lower end."""
        return self.high / self.low

    def holds(self, value: float) -> bool:
        """Whether a value is within the band."""
        return self.low <= value <= self.high

    def off_by(self, value: float) -> float:
        """By what factor a value lies outside the band; 1 within it."""
        return max(self.low / value, value / self.high, 1.0)


@dataclass(frozen=True, slots=True)
class _Point:
    task: str
    source: str
    y: float
    x: float | None


@dataclass(frozen=True)
class _Fit:
    """The regression over all points of inference, or of training."""

    points: tuple[_Point, ...]
    sized: bool

    @cached_property
    def used(self) -> tuple[_Point, ...]:
        """Points that have what the fit needs."""
        return tuple(p for p in self.points if p.x is not None) if self.sized else self.points

    @cached_property
    def groups(self) -> dict[tuple[str, str], list[_Point]]:
        """Points by task and source."""
        found: dict[tuple[str, str], list[_Point]] = {}
        for point in self.used:
            found.setdefault((point.task, point.source), []).append(point)
        return found

    @cached_property
    def slope(self) -> float:
        """Decades of energy per decade of parameters."""
        if not self.sized:
            return 0.0
        sxy = sxx = 0.0
        for group in self.groups.values():
            mx, my = _mean(p.x or 0.0 for p in group), _mean(p.y for p in group)
            sxy += math.fsum(((p.x or 0.0) - mx) * (p.y - my) for p in group)
            sxx += math.fsum(((p.x or 0.0) - mx) ** 2 for p in group)
        return sxy / sxx if sxx else 0.0

    def level(self, point: _Point) -> float:
        """The point with its size taken out."""
        return point.y - self.slope * (point.x or 0.0)

    @cached_property
    def remainder(self) -> float:
        """Pooled standard deviation within task and source."""
        squares, dof = 0.0, 0
        for group in self.groups.values():
            middle = _mean(map(self.level, group))
            squares += math.fsum((self.level(p) - middle) ** 2 for p in group)
            dof += len(group) - 1
        return math.sqrt(squares / dof) if dof else _KIN

    @cached_property
    def between(self) -> float:
        """Pooled standard deviation between sources of a task, at least `_LEAST_SOURCES`."""
        by_task: dict[str, list[float]] = {}
        for (task, _), group in self.groups.items():
            by_task.setdefault(task, []).append(median(map(self.level, group)))
        off = [abs(m - median(means)) for means in by_task.values() if len(means) > 1 for m in means]
        return max(_LEAST_SOURCES, 1.4826 * median(off) if off else 0.0)

    def predict(self, tasks: frozenset[str], x: float, kin: bool) -> tuple[float, float] | None:
        """Middle and standard deviation for a new figure of these tasks, in decades; None without points."""
        groups = [g for (task, _), g in self.groups.items() if task in tasks]
        if not groups:
            return None
        # Random effects: a source weighs by what it is sure of (DerSimonian and Laird 1986).
        weights = [1 / (self.between**2 + self.remainder**2 / len(g)) for g in groups]
        middles = [median(map(self.level, g)) for g in groups]
        middle = math.fsum(w * m for w, m in zip(weights, middles, strict=True)) / math.fsum(weights)
        variance = self.between**2 + self.remainder**2 + 1 / math.fsum(weights) + (_KIN**2 if kin else 0.0)
        return middle + self.slope * x, math.sqrt(variance)


@dataclass(frozen=True)
class Expectations:
    """Expectations over a catalogue."""

    catalogue: Catalogue
    _fits: dict[tuple[bool, bool, bool], _Fit] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def _energies(self) -> tuple[Claim, ...]:
        return tuple(c for c in self.catalogue.claims if c.family == "J")

    def of(
        self,
        task: str,
        parameters: float | None = None,
        *,
        room: float = BOUNDARY_ROOM,
        per_token: bool = False,
    ) -> Expectation | None:
        """Say what to expect of a task, and of a model with so many (active) parameters.

        Args:
            task: its name.
            parameters: of the model; None if they are not known.
            room: how many times more than the working accelerators the figure may count; 1 for them alone.
            per_token: whether it is the energy of a token that is written, instead of that of a unit of work.

        Returns:
            None if neither the task nor a kindred one has published figures.
        """
        energies = tuple(c for c in self._energies if c.tokens_out or not per_token)
        own = tuple(c for c in energies if c.task == task)
        kind = next((k for k in KINDS if task in k), frozenset({task}))
        kin = len(own) < LEAST_FIGURES
        tasks = kind if kin else frozenset({task})
        behind = tuple(c for c in energies if c.task in tasks)
        if len(behind) < LEAST_FIGURES:
            return None
        for sized in (True, False) if parameters is not None else (False,):
            found = self._fit(once=task in TRAINING, sized=sized, per_token=per_token).predict(
                tasks, math.log10(parameters) if sized and parameters else 0.0, kin
            )
            if found is not None:
                decades = math.log10(room)
                # From 1 to the room, on the scale of the logarithm, and more often near 1: a triangle.
                centre, spread = found[0] + decades / 3, math.hypot(found[1], decades / math.sqrt(18))
                half = max(HALF_WAY, _WIDTH * spread)
                low, high = 10 ** (centre - half), 10 ** (centre + half)
                kindred = tuple(sorted({c.task for c in behind} - {task})) if kin else ()
                return Expectation(task, 10**centre, low, high, behind, sized, spread, kindred, per_token)
        return None

    def of_claim(self, claim: Claim) -> Expectation | None:
        """Say what to expect of a claim's task, model and boundary."""
        size = sizes().get(claim.model)
        return self.of(claim.task, size.working if size else None, room=room_of(claim.covers))

    def _fit(self, *, once: bool, sized: bool, per_token: bool = False) -> _Fit:
        key = once, sized, per_token
        if key not in self._fits:
            claims = [c for c in self._energies if (c.task in TRAINING) == once and (c.tokens_out or not per_token)]
            self._fits[key] = _Fit(tuple(_points(claims, per_token)), sized)
        return self._fits[key]


def _points(claims: Sequence[Claim], per_token: bool) -> Iterable[_Point]:
    known = sizes()
    for claim in claims:
        size = known.get(claim.model)
        x = math.log10(size.working) if size else None
        tokens = claim.tokens_out or 1.0 if per_token else 1.0
        yield _Point(claim.task, claim.origin.id, math.log10(_on_footing(claim) / tokens), x)


def _on_footing(claim: Claim) -> float:
    try:
        return to_boundary(claim, FOOTING).value
    except CannotConvert:
        # Its boundary is wider or not known: the middle of the room, on the scale of the logarithm.
        return claim.figure.value / math.cbrt(BOUNDARY_ROOM)


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return math.fsum(listed) / len(listed)
