"""One footing: a figure of one boundary brought to another, where its parts are known.

Nothing is converted by a rule of thumb. What leaves a figure must be a part of it that is known; what joins it must be
known too. The one exception is the facility: its overhead is spread as published data centres are, and widens the
interval accordingly. Settings (precision, batch, steps) are no boundary; see `joulemark.catalogue.settings`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import reduce

from joulemark.boundary import Boundary, Component
from joulemark.catalogue.claims import Claim
from joulemark.catalogue.words import write_boundary
from joulemark.errors import UsageError
from joulemark.figures import Error, Figure, Kind, NotComparable, Part, Source, difference, product, total

__all__ = ["PUBLISHED_PUE", "CannotConvert", "Known", "known_of", "pue_of", "to_boundary"]


class CannotConvert(NotComparable):
    """A figure cannot be brought to another boundary; `needed` says what would have to be known."""

    def __init__(self, figure: Figure, target: Boundary, needed: str) -> None:
        self.needed = needed
        here, there = write_boundary(figure.boundary), write_boundary(target)
        super().__init__(f"Cannot bring a figure from {here} to {there}: that would need {needed}.")


PUE_LOW, PUE_HIGH = 1.08, 1.58
"""Published power usage effectiveness: Meta 1.08 (Data Center Dynamics, 2024), the mean over the industry 1.58 (Uptime
Institute, 2023). That 95 % of data centres where models run lie between them is an assumption of ours."""


def pue_of(value: float) -> Figure:
    """Give a known PUE as a figure without error.

    Raises:
        UsageError: if it is below 1, for a facility takes no less than what stands in it.
    """
    if not 1 <= value < math.inf:
        raise UsageError(f"PUE {value:g} is below 1; it is the energy of the facility over that of its machines.")
    return _pue(value, 0.0, Source(name="PUE", citation=f"{value:g}, as given"))


def _pue(value: float, error: float, source: Source) -> Figure:
    return Figure(
        value=value,
        unit="1",
        boundary=Boundary(components=frozenset()),
        errors=(Error(source.name, error),) if error else (),
        parts=(Part("PUE", value, Kind.ASSUMED),),
        sources=(source,),
    )


# The geometric middle, and the width of a log-normal with those two as its 95 % interval.
PUBLISHED_PUE = _pue(
    math.sqrt(PUE_LOW * PUE_HIGH),
    math.sqrt(PUE_LOW * PUE_HIGH) * math.log(PUE_HIGH / PUE_LOW) / (2 * 1.96),
    Source(
        name="published PUE",
        citation="Meta 1.08 (Data Center Dynamics, 2024) to the industry's mean 1.58 (Uptime Institute, 2023)",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a figure besides its value; each in its unit.

    Attributes:
        components: its parts by component; of a component that is not in it, what it would add.
        standing_by: what the accelerators took that did not work; zero where all did.
        at_rest: what each component takes at rest, of the working accelerators only.
        pue: facility over machine; a published range without it.
    """

    components: Mapping[Component, Figure] = field(default_factory=dict)
    standing_by: Figure | None = None
    at_rest: Mapping[Component, Figure] = field(default_factory=dict)
    pue: Figure | None = None


def known_of(claim: Claim, pue: Figure | None = None) -> Known:
    """Give what the catalogue knows of a claim."""
    rest = claim.device_at_rest
    working = claim.devices_working or claim.devices
    return Known(
        components=claim.components,
        standing_by=claim.standing_by,
        at_rest={} if rest is None or working is None else {Component.GPU: rest * float(working)},
        pue=pue_of(claim.pue) if claim.pue is not None else pue,
    )


def to_boundary(figure: Figure | Claim, target: Boundary, known: Known | None = None) -> Figure:
    """Bring a figure to another boundary.

    Components that leave are subtracted, devices that stood by and what is drawn at rest likewise; what the facility
    takes is added by PUE. The errors of every part come along, so that the interval grows by what is not known.
    The phases of `target` are not looked at: they stay those of the figure.

    Args:
        figure: an energy, of a claim or of a run of one's own.
        target: the boundary asked for.
        known: its parts; of a claim those that the catalogue has.

    Raises:
        CannotConvert: if a part is not known, saying which.
    """
    if isinstance(figure, Claim):
        known = known or known_of(figure)
        figure = figure.figure
    known = known or Known()
    target = replace(target, phases=figure.boundary.phases)
    _refuse(figure, target)
    result = _machine(figure, target, known)
    result = _devices(result, figure, target, known)
    result = _rest(result, figure, target, known)
    if Component.FACILITY in target.components - result.boundary.components:
        result = _with_facility(result, known)
    return replace(result, boundary=target) if result.boundary == target else result


def _refuse(figure: Figure, target: Boundary) -> None:
    """Stop at what no part mends."""
    here = figure.boundary
    if not figure.unit.startswith("J"):
        raise CannotConvert(figure, target, "an energy: carbon has the grid in it too, which is not stated")
    if not here.components:
        raise CannotConvert(figure, target, "that its publisher says what was counted")
    if here.attribution != target.attribution:
        raise CannotConvert(figure, target, f"the energy of a {target.attribution} instead of a {here.attribution}")
    if here.embodied != target.embodied:
        raise CannotConvert(figure, target, "the part that the making of the hardware has in it")
    if here.idle == "net" and target.idle == "gross":
        raise CannotConvert(figure, target, "the energy at rest that was taken off")


def _machine(figure: Figure, target: Boundary, known: Known) -> Figure:
    """Take components off or add them; the facility is added last, on what is left."""
    facility = frozenset({Component.FACILITY})
    here, wanted = figure.boundary.components, target.components
    leaving, joining = here - wanted, wanted - here - facility
    if Component.FACILITY in here and (joining or leaving - facility or target.devices != figure.boundary.devices):
        # Overhead goes with all that the machine takes: it comes off first, and on again at the end.
        leaving |= facility
    missing = sorted(joining - known.components.keys())
    if missing:
        names = ", ".join(c.value for c in missing)
        raise CannotConvert(figure, target, f"the energy of {names}, which it does not count")
    result = figure
    for component in sorted(joining):
        result = _sum(result, known.components[component], component)
    if leaving:
        result = _without(result, target, result.boundary.components - leaving, leaving, known)
    return result


def _without(
    figure: Figure, target: Boundary, staying: frozenset[Component], leaving: frozenset[Component], known: Known
) -> Figure:
    """The parts that stay, if they are known; else the figure less those that leave."""
    parts = known.components
    boundary = replace(figure.boundary, components=staying)
    if staying and staying <= parts.keys():
        return replace(total(replace(parts[c], boundary=boundary) for c in sorted(staying)), boundary=boundary)
    if leaving == {Component.FACILITY} and Component.FACILITY not in parts and known.pue is not None:
        return replace(figure * (1 / known.pue.value), boundary=boundary, sources=(*figure.sources, *known.pue.sources))
    missing = sorted(leaving - parts.keys())
    if missing:
        names = ", ".join(c.value for c in missing)
        raise CannotConvert(figure, target, f"its part of {names}, told apart")
    taken = reduce(lambda a, b: a + b, (replace(parts[c], boundary=boundary) for c in sorted(leaving)))
    return _less(figure, taken, boundary)


def _devices(result: Figure, figure: Figure, target: Boundary, known: Known) -> Figure:
    here = figure.boundary.devices
    if here == target.devices:
        return result
    boundary = replace(result.boundary, devices=target.devices)
    if known.standing_by is None:
        raise CannotConvert(figure, target, "how many accelerators stood by, and what each draws at rest")
    if known.standing_by.value == 0:
        return replace(result, boundary=boundary)
    if here == "active":
        return replace(_sum(result, known.standing_by, Component.GPU), boundary=boundary)
    return _less(result, known.standing_by, boundary)


def _rest(result: Figure, figure: Figure, target: Boundary, known: Known) -> Figure:
    if result.boundary.idle == target.idle:
        return result
    counted = result.boundary.components
    missing = sorted(counted - known.at_rest.keys())
    if missing:
        names = ", ".join(c.value for c in missing)
        raise CannotConvert(figure, target, f"what {names} takes at rest")
    rest = reduce(lambda a, b: a + b, (replace(known.at_rest[c], boundary=result.boundary) for c in sorted(counted)))
    if target.devices == "all" and known.standing_by is not None and known.standing_by.value > 0:
        rest = rest + replace(known.standing_by, boundary=rest.boundary)
    return _less(result, rest, replace(result.boundary, idle="net"))


def _with_facility(result: Figure, known: Known) -> Figure:
    boundary = replace(result.boundary, components=result.boundary.components | {Component.FACILITY})
    pue = known.pue or PUBLISHED_PUE
    scaled = product(result, pue, result.unit)
    overhead = Part("facility", result.value * (pue.value - 1), Kind.ASSUMED)
    return replace(scaled, parts=(*result.parts, overhead), boundary=boundary)


def _sum(figure: Figure, part: Figure, component: Component) -> Figure:
    boundary = replace(figure.boundary, components=figure.boundary.components | {component})
    return replace(total((replace(figure, boundary=boundary), replace(part, boundary=boundary))), boundary=boundary)


def _less(figure: Figure, taken: Figure, boundary: Boundary) -> Figure:
    """Subtract, without letting an energy become negative by its name."""
    alike = replace(taken, boundary=boundary, unit=figure.unit)
    left = difference(replace(figure, boundary=boundary), alike)
    if left.value <= 0:
        raise CannotConvert(figure, boundary, "surer parts: by those that are known, nothing is left")
    return replace(left, boundary=boundary)
