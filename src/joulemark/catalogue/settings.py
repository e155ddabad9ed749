"""What settings do to a figure, and why figures of one model lie so far apart.

Settings are not converted: nothing says beforehand what half precision saves. They are explained by pairs of the
catalogue, from one source, that differ in one of them and in nothing else that is stated.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise

from joulemark.boundary import Boundary
from joulemark.catalogue.claims import Claim
from joulemark.catalogue.footing import CannotConvert, to_boundary
from joulemark.catalogue.words import write_boundary
from joulemark.errors import UsageError
from joulemark.figures import Error, Figure, Kind, Part, Source, ratio

__all__ = ["STEPS_LAW", "Effect", "Pair", "Spread", "Step", "effects", "pairs", "spread"]

STEPS_LAW = Source(
    name="energy goes with the number of denoising steps",
    citation="Delavande, Pierrard and Luccioni, arXiv:2509.19222: linear, on Wan2.1; that other diffusion models do so "
    "to 10 % is an assumption of ours",
)
_STEPS_ERROR = 0.05


@dataclass(frozen=True, slots=True)
class Pair:
    """Two claims of one source that differ in one setting; the first takes more."""

    more: Claim
    less: Claim
    setting: str

    @property
    def change(self) -> tuple[str, str]:
        """The setting in both."""
        return self.more.settings[self.setting], self.less.settings[self.setting]

    @property
    def ratio(self) -> Figure:
        """How many times the less the more takes; what their instrument errs in cancels."""
        return _times(self.more.figure, self.less.figure)


@dataclass(frozen=True, slots=True)
class Effect:
    """What one change of one setting does, over all pairs of a task that show it.

    Attributes:
        setting: its name; `before` and `after` its values.
        factor: geometric mean of the ratios of energy, before over after; below 1 where the change costs energy.
        low: lowest ratio; `high` the highest.
        n: number of pairs.
    """

    task: str
    setting: str
    before: str
    after: str
    factor: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Step:
    """One step from the most to the least.

    Attributes:
        what: what changes, in words.
        kind: ``boundary``, ``settings`` or ``left``.
        factor: how many times less it is after the step.
        evidence: what the step rests on.
    """

    what: str
    kind: str
    factor: Figure
    evidence: str


@dataclass(frozen=True, slots=True)
class Spread:
    """Why the figures of one model and task lie apart.

    Attributes:
        most: the highest claim; `least` the lowest.
        factor: how many times.
        steps: from one to the other; their factors multiply to `factor`.
    """

    most: Claim
    least: Claim
    factor: float
    steps: tuple[Step, ...]

    def part(self, kind: str) -> float:
        """Product of the factors of one kind."""
        return math.prod(s.factor.value for s in self.steps if s.kind == kind)

    def share(self, kind: str) -> float:
        """Share of the spread, on the scale of its logarithm; the three kinds add up to 1."""
        return math.log(self.part(kind)) / math.log(self.factor)


def family(hardware: str) -> str:
    """The chip, without its board and memory: ``A100`` of ``A100-SXM4-40GB``."""
    return hardware.partition("-")[0]


def differing(a: Claim, b: Claim) -> tuple[str, ...]:
    """Settings in which two claims differ; one that only one of them states may differ and counts."""
    here, there = a.settings, b.settings
    return tuple(n for n in here if (family(here[n]) != family(there[n]) if n == "hardware" else here[n] != there[n]))


def pairs(claims: Iterable[Claim], setting: str | None = None) -> tuple[Pair, ...]:
    """Give all pairs of one model, task, boundary and source that differ in one setting alone.

    Raises:
        UsageError: if there is no such setting.
    """
    claims = tuple(claims)
    if setting is not None and claims and setting not in claims[0].settings:
        raise UsageError(f"Unknown setting {setting!r}; known: {', '.join(claims[0].settings)}.")
    groups: dict[tuple[str, ...], list[Claim]] = {}
    for claim in claims:
        groups.setdefault((claim.origin.id, claim.model, claim.task, claim.unit, claim.boundary), []).append(claim)
    found = []
    for a, b in (pair for group in groups.values() for pair in combinations(group, 2)):
        names = differing(a, b)
        stated = all(a.settings[n] and b.settings[n] for n in names)
        if len(names) == 1 and stated and setting in (None, names[0]) and names[0] != "inputs":
            more, less = sorted((a, b), key=lambda c: -c.figure.value)
            found.append(Pair(more, less, names[0]))
    return tuple(found)


def effects(claims: Iterable[Claim], setting: str | None = None) -> tuple[Effect, ...]:
    """Sum up pairs by task, setting and change, such as a batch of 1 against 16."""
    ratios: dict[tuple[str, str, str, str], list[float]] = {}
    for pair in pairs(claims, setting):
        values = {c.settings[pair.setting]: c.figure.value for c in (pair.more, pair.less)}
        before, after = sorted(values, key=_in_order)
        ratios.setdefault((pair.more.task, pair.setting, before, after), []).append(values[before] / values[after])
    return tuple(
        Effect(*key, math.exp(math.fsum(map(math.log, r)) / len(r)), min(r), max(r), len(r))
        for key, r in sorted(ratios.items(), key=lambda item: (item[0][:2], *map(_in_order, item[0][2:])))
    )


def _in_order(text: str) -> tuple[float, str]:
    try:
        return float(text), ""
    except ValueError:
        return math.inf, text


def spread(claims: Sequence[Claim]) -> Spread | None:
    """Take the spread between the highest and the lowest claim of one model and task apart.

    First the highest is brought to the boundary of the lowest, one thing at a time. Then the way goes over claims on
    that footing, such that few settings change at once. A step that changes one setting within a source is a pair. The
    number of denoising steps goes by `STEPS_LAW`. What then changes together is left, and not told apart.

    Returns:
        None if there are not two energies to compare.

    Raises:
        UsageError: if the claims are of several tasks.
    """
    energies = [c for c in claims if c.family == "J"]
    if len({c.task for c in energies}) > 1:
        raise UsageError("A spread is taken apart for one task; choose it with --task.")
    if len(energies) < 2:
        return None
    most, least = max(energies, key=lambda c: c.figure.value), min(energies, key=lambda c: c.figure.value)
    if most.figure.value == least.figure.value:
        return None
    steps: list[Step] = []
    footing = least.covers
    if most.covers is not None and footing is not None:
        steps += _by_boundary(most, footing)
    start = _on(most, footing)
    on_footing = {c.id: (c, figure) for c in energies if (figure := _on(c, footing)) is not None}
    if start is None:
        factor = _times(most.figure, least.figure)
        steps = [Step("boundary and settings together", "left", factor, "no part of it is known")]
    else:
        for a, b in _way(most.id, least.id, {key: claim for key, (claim, _) in on_footing.items()}):
            steps += _by_settings(*on_footing[a], *on_footing[b])
    return Spread(most, least, most.figure.value / least.figure.value, tuple(steps))


def _on(claim: Claim, footing: Boundary | None) -> Figure | None:
    if footing is None:
        return None
    try:
        return to_boundary(claim, footing)
    except CannotConvert:
        return None


def _times(a: Figure, b: Figure) -> Figure:
    return ratio(replace(a, boundary=b.boundary, unit=b.unit), b)


def _by_boundary(claim: Claim, footing: Boundary) -> Iterator[Step]:
    """Components, then devices, then idle power, each where it differs and can be converted."""
    figure = claim.figure
    targets = []
    here = figure.boundary
    for change in ({"components": footing.components}, {"devices": footing.devices}, {"idle": footing.idle}):
        here = replace(here, **change)
        targets.append(here)
    for target in targets:
        reached = _on(claim, target)
        if reached is None or target == figure.boundary:
            continue
        what = f"{write_boundary(figure.boundary)} to {write_boundary(target)}"
        yield Step(what, "boundary", _times(figure, reached), f"parts published by {claim.origin.id}")
        figure = reached


def _way(start: str, end: str, claims: dict[str, Claim]) -> list[tuple[str, str]]:
    """Shortest way, where changing several settings at once is dear (Dijkstra over squares)."""
    queue: list[tuple[float, str, list[str]]] = [(0.0, start, [start])]
    seen: set[str] = set()
    while queue:
        cost, here, path = heapq.heappop(queue)
        if here == end:
            return list(pairwise(path))
        if here in seen:
            continue
        seen.add(here)
        for key, claim in claims.items():
            if key not in seen:
                changes = len(differing(claims[here], claim)) + (claims[here].origin.id != claim.origin.id)
                heapq.heappush(queue, (cost + changes**2, key, [*path, key]))
    return []


def _by_settings(a: Claim, at_a: Figure, b: Claim, at_b: Figure) -> Iterator[Step]:
    names = differing(a, b)
    factor = _times(at_a, at_b)
    alone = len(names) == 1 and a.origin.id == b.origin.id
    change = ", ".join(f"{n} {a.settings[n] or 'not stated'} to {b.settings[n] or 'not stated'}" for n in names)
    if alone:
        yield Step(change, "settings", factor, f"a pair of {a.origin.id}")
        return
    if "steps" in names and a.steps and b.steps:
        value = a.steps / b.steps
        law = Figure(
            value=value,
            unit="1",
            boundary=factor.boundary,
            errors=(Error("steps law", _STEPS_ERROR * abs(value - 1)),),
            parts=(Part("steps", value, Kind.MODELLED),),
            sources=(STEPS_LAW,),
        )
        yield Step(f"steps {a.steps} to {b.steps}", "settings", law, f"{STEPS_LAW.name} ({STEPS_LAW.citation})")
        factor = ratio(factor, law)
        names = tuple(n for n in names if n != "steps")
        change = ", ".join(f"{n} {a.settings[n] or 'not stated'} to {b.settings[n] or 'not stated'}" for n in names)
    what = f"{change}, and all else that differs" if change else "all else that differs"
    yield Step(f"{what} between {a.origin.id} and {b.origin.id}", "left", factor, "changes together: not told apart")
