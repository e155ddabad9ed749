"""Figures: values that know their unit, boundary, evidence, sources, and which errors they share.

A figure carries its uncertainty as a list of *errors*: standard uncertainties, each with the name of the source it
comes from (JCGM 100:2008, 5.1). Two figures that name the same source err together: in their ratio and in their
difference the common part cancels, and in their sum it adds up linearly instead of in quadrature, as in the
``uncertainties`` package. Nothing here needs a dependency.

The 95 % interval of an elementary figure is ``value * exp(±k u/value)`` for quantities that cannot be negative and
``value ± k u`` for signed ones. Both agree to first order; the first is exact for multiplicative (log-normal) errors,
which is what a power model with an uncertain coefficient has, and never reaches below zero. Errors that add to a
value instead (where the edges of a window lie) widen it by their own ``k u``, down to zero at most. A figure that was
computed from others remembers its formula; where that is not near linear because an operand is wide, its interval
comes from propagating the distributions (JCGM 101:2008) instead of the first-order law.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from typing import Literal

from joulemark.boundary import Boundary
from joulemark.errors import UsageError
from joulemark.stats.draws import DRAWS, percentile, standard_draws
from joulemark.stats.student import student_t_quantile
from joulemark.units import format_number, format_quantity, scale_for

__all__ = [
    "Error",
    "Evidence",
    "Figure",
    "Kind",
    "NotComparable",
    "Part",
    "Source",
    "difference",
    "product",
    "ratio",
    "total",
]

COVERAGE = 0.95
NEAR_LINEAR = 0.15
"""Relative standard uncertainty up to which the first-order law is taken for a computed figure."""


class NotComparable(UsageError):
    """Two figures have different boundaries; the message says what would make them comparable."""


class Kind(StrEnum):
    """How a number came about."""

    MEASURED = "measured"
    MODELLED = "modelled"
    ASSUMED = "assumed"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where an input comes from.

    Attributes:
        name: short, such as "Cloud Carbon Footprint coefficients".
        citation: publication, data sheet or file, with edition or year.
        licence: licence of the source, where it has one.
    """

    name: str
    citation: str
    licence: str = ""


@dataclass(frozen=True, slots=True)
class Error:
    """One standard uncertainty.

    Attributes:
        source: name of what errs; figures that name the same source err together.
        size: standard uncertainty in the figure's unit, signed: the sign says which way the figure moves with it.
        dof: degrees of freedom; infinite for type B.
        additive: whether it adds to the value, whatever that is (where a window's edges lie), instead of multiplying
            it (a gain).
    """

    source: str
    size: float
    dof: float = math.inf
    additive: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """What one domain or input contributes: its value in the figure's unit, and how it came about."""

    name: str
    value: float
    kind: Kind
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """How the parts of a figure came about."""

    parts: tuple[Part, ...]

    @property
    def shares(self) -> Mapping[Kind, float]:
        """Share of the figure by kind, adding up to 1 over what is available."""
        whole = math.fsum(abs(p.value) for p in self.parts if p.kind is not Kind.UNAVAILABLE)
        if whole == 0:
            kinds = {p.kind for p in self.parts if p.kind is not Kind.UNAVAILABLE}
            return {kind: 1 / len(kinds) for kind in kinds}
        found = {
            kind: math.fsum(abs(p.value) for p in self.parts if p.kind is kind) / whole
            for kind in (Kind.MEASURED, Kind.MODELLED, Kind.ASSUMED)
        }
        return {kind: share for kind, share in found.items() if share > 0}

    @property
    def missing(self) -> tuple[Part, ...]:
        """The parts that are unavailable, each with its reason."""
        return tuple(p for p in self.parts if p.kind is Kind.UNAVAILABLE)

    @property
    def kind(self) -> Kind:
        """The one kind that the whole may be called: the weakest that it holds."""
        shares = self.shares
        for kind in (Kind.ASSUMED, Kind.MODELLED, Kind.MEASURED):
            if kind in shares:
                return kind
        return Kind.UNAVAILABLE

    def __str__(self) -> str:
        shares = self.shares
        if not shares:
            text = "unavailable"
        elif len(shares) == 1:
            text = str(next(iter(shares)))
        else:
            text = ", ".join(f"{_percent(share)} {kind}" for kind, share in shares.items())
        if self.missing:
            text += "; missing " + ", ".join(f"{p.name} ({p.reason})" for p in self.missing)
        return text


def _percent(share: float) -> str:
    percent = 100 * share
    return f"{percent:.0f} %" if 1 <= percent <= 99 else f"{percent:.2g} %"


@dataclass(frozen=True, slots=True)
class Formula:
    """How a figure was computed from others; `factor` is for ``scale``."""

    operation: Literal["sum", "difference", "product", "ratio", "scale"]
    operands: tuple[Figure, ...]
    factor: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A number that may leave the program.

    Attributes:
        value: in `unit`; NaN if it is unavailable.
        unit: ``J``, ``W``, ``g``, ``m``, ``s``, ``1`` ..., with ``/`` and the unit of work for rates (``J/image``).
        errors: standard uncertainties by source, one a source.
        parts: what it is made of; a sum keeps its parts.
        boundary: what it covers.
        sources: where its inputs come from.
        signed: whether it may be negative (a difference).
        formula: how it was computed from other figures; None for an elementary one.
    """

    value: float
    unit: str
    boundary: Boundary
    errors: tuple[Error, ...] = ()
    parts: tuple[Part, ...] = ()
    sources: tuple[Source, ...] = ()
    signed: bool = False
    formula: Formula | None = field(default=None, repr=False)

    @classmethod
    def unavailable(cls, unit: str, boundary: Boundary, parts: Iterable[Part]) -> Figure:
        """Build the figure of something that could not be found out; its parts say why."""
        return cls(value=math.nan, unit=unit, boundary=boundary, parts=tuple(parts))

    @property
    def available(self) -> bool:
        """Whether there is a value."""
        return not math.isnan(self.value)

    @property
    def evidence(self) -> Evidence:
        """How its parts came about."""
        return Evidence(self.parts)

    @property
    def standard_uncertainty(self) -> float:
        """Combined standard uncertainty, in the figure's unit (JCGM 100:2008, 5.1.2)."""
        return math.sqrt(math.fsum(e.size**2 for e in self.errors)) if self.available else math.nan

    @property
    def dof(self) -> float:
        """Effective degrees of freedom by Welch-Satterthwaite (JCGM 100:2008, G.4.1)."""
        spread = math.fsum(e.size**4 / e.dof for e in self.errors if not math.isinf(e.dof))
        return self.standard_uncertainty**4 / spread if spread > 0 else math.inf

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval."""
        return self._interval()[0]

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval."""
        return self._interval()[1]

    def _interval(self) -> tuple[float, float]:
        if not self.standard_uncertainty > 0:
            return self.value, self.value
        return self._first_order() if _near_linear(self) else _propagated(self)

    def _first_order(self) -> tuple[float, float]:
        u = self.standard_uncertainty
        # Truncated to the next lower integer, as G.4.1 says; at least 1.
        dof = self.dof
        k = student_t_quantile((1 + COVERAGE) / 2, dof if math.isinf(dof) else max(1.0, math.floor(dof)))
        if self.signed or self.value <= 0:
            return self.value - k * u, self.value + k * u
        added = k * math.sqrt(math.fsum(e.size**2 for e in self.errors if e.additive))
        times = k * math.sqrt(math.fsum(e.size**2 for e in self.errors if not e.additive))
        factor = math.exp(min(times / self.value, 700.0))
        down, up = self.value - self.value / factor, self.value * factor - self.value
        return max(0.0, self.value - math.hypot(added, down)), self.value + math.hypot(added, up)

    def __add__(self, other: Figure) -> Figure:
        if not isinstance(other, Figure):
            return NotImplemented
        return total((self, other))

    def __mul__(self, factor: float) -> Figure:
        if not isinstance(factor, int | float):
            return NotImplemented
        return replace(
            self,
            value=self.value * factor,
            errors=tuple(replace(e, size=e.size * factor) for e in self.errors),
            parts=tuple(replace(p, value=p.value * factor) for p in self.parts),
            formula=None if self.formula is None else Formula("scale", (self,), factor),
        )

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> Figure:
        if not isinstance(divisor, int | float):
            return NotImplemented
        return self * (1 / divisor)

    def __str__(self) -> str:
        return self.format()

    def format(self, family: str | None = None) -> str:
        """Write value and interval, such as ``41.3 kJ ± 6 %`` or ``3.1 kJ (1.4 to 7.0)``.

        Args:
            family: unit family to print in (``J`` or ``Wh``); the figure's own unit without it.
        """
        if not self.available:
            reasons = "; ".join(f"{p.name}: {p.reason}" for p in self.evidence.missing)
            return f"unavailable ({reasons})" if reasons else "unavailable"
        unit, _, per = self.unit.partition("/")
        suffix = f"/{per}" if per else ""
        low, high = self._interval()
        relative = (high - low) / 2 / abs(self.value) if self.value else math.inf
        family = family or (unit if unit in {"J", "W", "g", "m", "s"} else None)
        wide = max(abs(self.value), abs(low), abs(high)) if self.signed else self.value
        factor, symbol = scale_for(wide, family) if family else (1.0, "" if unit == "1" else unit)
        symbol = f" {symbol}{suffix}".rstrip()
        if relative < 0.25:
            width = f"{100 * relative:.2g}" if relative >= 0.001 else "<0.1"
            text = format_quantity(self.value, family) + suffix if family else format_number(self.value) + symbol
            return f"{text} ± {width} %"
        number, *ends = (format_number(v / factor, 2) for v in (self.value, low, high))
        return f"{number}{symbol} ({ends[0]} to {ends[1]})"


def _near_linear(figure: Figure) -> bool:
    """Whether the first-order law will do: an elementary figure's is exact, a formula's holds for narrow operands."""
    if figure.formula is None:
        return True
    return all(
        operand.standard_uncertainty <= NEAR_LINEAR * abs(operand.value)
        and (operand.formula is None or _near_linear(operand))
        for operand in figure.formula.operands
    )


@lru_cache(maxsize=1024)
def _propagated(figure: Figure) -> tuple[float, float]:
    """The 95 % interval from draws: the probabilistically symmetric one (JCGM 101:2008, 7.7)."""
    ordered = sorted(_draws(figure))
    return percentile(ordered, (1 - COVERAGE) / 2), percentile(ordered, (1 + COVERAGE) / 2)


def _draws(figure: Figure) -> Sequence[float]:
    """Draw from a figure's distribution; what errs together in two figures has the same draws in both."""
    formula = figure.formula
    if formula is None:
        return _elementary(figure)
    operands = [_draws(operand) for operand in formula.operands]
    if formula.operation == "sum":
        return _added(operands)
    if formula.operation == "scale":
        return [value * formula.factor for value in operands[0]]
    first, second = operands
    if formula.operation == "difference":
        return [a - b for a, b in zip(first, second, strict=True)]
    if formula.operation == "product":
        return [a * b for a, b in zip(first, second, strict=True)]
    return [a / b if b else math.inf for a, b in zip(first, second, strict=True)]


def _elementary(figure: Figure) -> Sequence[float]:
    value = figure.value
    if not figure.errors:
        return [value] * DRAWS
    positive = not figure.signed and value > 0
    added, times = [[0.0] * DRAWS], [[0.0] * DRAWS]
    for error in figure.errors:
        drawn = [error.size * z for z in standard_draws(error.source, max(1.0, error.dof))]
        (times if positive and not error.additive else added).append(drawn)
    shifts = _added(added)
    if not positive:
        return [value + shift for shift in shifts]
    exp = math.exp
    scaled = (value * exp(min(m / value, 700.0)) for m in _added(times))
    return [max(0.0, v + shift) for v, shift in zip(scaled, shifts, strict=True)]


def _added(columns: Sequence[Sequence[float]]) -> Sequence[float]:
    added = columns[0]
    for column in columns[1:]:
        added = [a + b for a, b in zip(added, column, strict=True)]
    return added


def _merge(weighted: Iterable[tuple[Figure, float]]) -> tuple[Error, ...]:
    """Add errors that come from the same source linearly: that is what sharing them means."""
    merged: dict[str, Error] = {}
    for figure, weight in weighted:
        for error in figure.errors:
            before = merged.get(error.source, Error(error.source, 0.0))
            merged[error.source] = Error(
                error.source,
                before.size + weight * error.size,
                min(before.dof, error.dof),
                before.additive or error.additive,
            )
    return tuple(merged.values())


def _sources(figures: Iterable[Figure]) -> tuple[Source, ...]:
    return tuple(dict.fromkeys(source for figure in figures for source in figure.sources))


def total(figures: Iterable[Figure]) -> Figure:
    """Add figures; the sum keeps their parts, and errors of one source add up linearly.

    An unavailable figure does not enter the value, but stays among the parts with its reason and its components
    leave the boundary: the sum says what it does not cover. A sum of nothing but unavailable ones is unavailable.

    Raises:
        UsageError: if units differ, or boundaries that no sum can have.
        ValueError: if there is no figure at all.
    """
    figures = tuple(figures)
    if not figures:
        raise ValueError("a total needs at least one figure")
    units = {f.unit for f in figures}
    if len(units) > 1:
        raise UsageError(f"Cannot add figures in different units: {', '.join(sorted(units))}.")
    known = tuple(f for f in figures if f.available)
    parts = tuple(p for f in figures for p in f.parts)
    if not known:
        return Figure.unavailable(figures[0].unit, figures[0].boundary, parts)
    boundary = known[0].boundary
    for figure in known[1:]:
        try:
            boundary |= figure.boundary
        except ValueError as error:
            raise NotComparable(f"Cannot add figures: {error}.") from error
    return Figure(
        value=math.fsum(f.value for f in known),
        unit=known[0].unit,
        boundary=boundary,
        errors=_merge((f, 1.0) for f in known),
        parts=parts,
        sources=_sources(known),
        signed=any(f.signed for f in known),
        formula=Formula("sum", known),
    )


def product(a: Figure, b: Figure, unit: str) -> Figure:
    """Multiply two figures, such as joules and grams per joule; boundary and parts are those of `a`.

    JCGM 100:2008, 5.1.6: relative errors add.
    """
    return Figure(
        value=a.value * b.value,
        unit=unit,
        boundary=a.boundary,
        errors=_merge(((a, b.value), (b, a.value))),
        parts=tuple(replace(p, value=p.value * b.value) for p in a.parts),
        sources=_sources((a, b)),
        signed=a.signed or b.signed,
        formula=Formula("product", (a, b)),
    )


def ratio(a: Figure, b: Figure) -> Figure:
    """Say how many times `b` goes into `a`; errors that both share cancel.

    Raises:
        NotComparable: if their boundaries differ.
        UsageError: if their units differ.
    """
    _comparable(a, b)
    if not (a.available and b.available) or b.value == 0:
        return Figure.unavailable("1", a.boundary, (*a.evidence.missing, *b.evidence.missing))
    value = a.value / b.value
    halves = ((a, 0.5 * value / abs(a.value) if a.value else 0.0), (b, 0.5 * value / abs(b.value)))
    return Figure(
        value=value,
        unit="1",
        boundary=a.boundary,
        errors=_merge(((a, 1 / b.value), (b, -value / b.value))),
        parts=tuple(replace(p, value=p.value * weight) for figure, weight in halves for p in figure.parts),
        sources=_sources((a, b)),
        signed=a.signed or b.signed,
        formula=Formula("ratio", (a, b)),
    )


def difference(a: Figure, b: Figure) -> Figure:
    """Give `a` minus `b`, which may be negative; errors that both share cancel.

    Raises:
        NotComparable: if their boundaries differ.
        UsageError: if their units differ.
    """
    _comparable(a, b)
    return Figure(
        value=a.value - b.value,
        unit=a.unit,
        boundary=a.boundary,
        errors=_merge(((a, 1.0), (b, -1.0))),
        parts=(*a.parts, *(replace(p, value=-p.value) for p in b.parts)),
        sources=_sources((a, b)),
        signed=True,
        formula=Formula("difference", (a, b)),
    )


def _comparable(a: Figure, b: Figure) -> None:
    if a.unit != b.unit:
        raise UsageError(f"Cannot compare figures in different units: {a.unit} and {b.unit}.")
    found = list(a.boundary.differences(b.boundary))
    # One of two GPUs may be lost: the boundary still has a GPU in it, but the figure not all that it names.
    lost = {p.name for p in a.evidence.missing} ^ {p.name for p in b.evidence.missing}
    if lost and a.available and b.available:
        found.append(f"{', '.join(sorted(lost))} could be read in only one of them: leave it out of both")
    if found:
        raise NotComparable(f"These figures do not cover the same: {'; '.join(found)}.")
