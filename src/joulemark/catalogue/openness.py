"""What is published about a model, and what its footprint loses by what is not.

A footprint needs to know how large a model is, how it was trained, where it runs and what a request takes. Ever less of
it is published. A sheet says for each fact whether it is disclosed, by whom and where, inferred, or unknown to this
catalogue; and how far the unknown ones alone stretch the interval of the carbon of one request.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from statistics import median
from types import MappingProxyType
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from joulemark.catalogue.claims import TRAINING, Catalogue, Claim
from joulemark.catalogue.expectation import BOUNDARY_ROOM, Expectations
from joulemark.catalogue.footing import PUE_HIGH, PUE_LOW
from joulemark.catalogue.models import sizes
from joulemark.catalogue.words import NOT_STATED
from joulemark.footprint import spread_over_grids
from joulemark.footprint.grid import RELATIVE_UNCERTAINTY
from joulemark.units import format_number

__all__ = ["FACTS", "Fact", "Sheet", "sheet", "sheets"]

Status = Literal["disclosed", "inferred", "unknown"]

FACTS = (
    "parameters",
    "active parameters",
    "architecture",
    "training tokens",
    "training hardware",
    "training hours",
    "training energy",
    "boundary of training energy",
    "pue",
    "grid",
    "inference energy",
    "boundary of inference energy",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One fact that a footprint needs.

    Attributes:
        name: one of `FACTS`.
        status: ``disclosed``, ``inferred`` or ``unknown``.
        value: in words; empty if it is unknown.
        by: who says so; `citation`: where.
        effect: what follows from not knowing it; empty if it is known.
    """

    name: str
    status: Status
    value: str = ""
    by: str = ""
    citation: str = ""
    effect: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """What is published about one model.

    Attributes:
        model: its name.
        task: what it is mostly asked for here; None if it was only trained.
        facts: in the order of `FACTS`.
        widths: what stretches the interval of the carbon of one request: 95 % factors, each alone.
    """

    model: str
    task: str | None
    facts: tuple[Fact, ...]
    widths: Mapping[str, float]

    def named(self, status: Status) -> tuple[str, ...]:
        """Names of the facts of one status."""
        return tuple(f.name for f in self.facts if f.status == status)

    @property
    def factor(self) -> float | None:
        """The carbon of one request is known to this factor either way, at 95 %; None without a request.

        Independent on the scale of the logarithm: their logarithms add in squares (JCGM 100:2008, 5.1.2).
        """
        if not self.widths:
            return None
        return math.exp(math.sqrt(math.fsum(math.log(w) ** 2 for w in self.widths.values())))


class _Row(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    model: str
    fact: Literal["architecture", "training tokens", "training hardware", "training hours", "pue", "grid"]
    value: Annotated[str, Meta(min_length=1)]
    status: Literal["disclosed", "inferred"]
    by: Annotated[str, Meta(min_length=1)]
    citation: Annotated[str, Meta(min_length=1)]


@cache
def _disclosed() -> Mapping[tuple[str, str], Fact]:
    text = (files("joulemark.catalogue") / "disclosed.csv").read_text(encoding="utf-8")
    rows = (msgspec.convert(r, _Row) for r in csv.DictReader(x for x in text.splitlines() if not x.startswith("#")))
    return MappingProxyType(
        {
            (r.model, r.fact): Fact(name=r.fact, status=r.status, value=r.value, by=r.by, citation=r.citation)
            for r in rows
        }
    )


def sheets(catalogue: Catalogue) -> tuple[Sheet, ...]:
    """Give the sheets of all models, those of which most is disclosed first."""
    expectations = Expectations(catalogue)
    made = [_sheet(model, catalogue, expectations) for model in catalogue.models]
    return tuple(
        sorted(made, key=lambda s: (-len(s.named("disclosed")), -len(s.named("inferred")), s.model.casefold()))
    )


def sheet(model: str, catalogue: Catalogue) -> Sheet:
    """Give the sheet of one model; named without its publisher, of the first that fits.

    Raises:
        UnknownName: if the catalogue has none of that name.
    """
    return _sheet(catalogue.find_model(model)[0], catalogue, Expectations(catalogue))


def _sheet(model: str, catalogue: Catalogue, expectations: Expectations) -> Sheet:
    claims = [c for c in catalogue.claims if c.model == model]
    trained = [c for c in claims if c.task in TRAINING and c.family == "J"]
    asked = [c for c in claims if c.task not in TRAINING and c.family == "J"]
    task = max((c.task for c in asked), key=[c.task for c in asked].count) if asked else None
    found = {f.name: f for f in (*_size(model), *_energies("training", trained), *_energies("inference", asked))}
    size = sizes().get(model)
    inherited = _of_base(size.base, catalogue) if size is not None and size.base else {}
    facts = []
    for name in FACTS:
        fact = found.get(name) or _disclosed().get((model, name)) or inherited.get(name)
        facts.append(fact or Fact(name=name, status="unknown", effect=_effect(name, found)))
    return Sheet(model=model, task=task, facts=tuple(facts), widths=_widths(model, task, asked, expectations))


def _of_base(base: str, catalogue: Catalogue) -> Mapping[str, Fact]:
    """What is known of the training and the architecture of the model that this one was tuned from."""
    claims = [c for c in catalogue.claims if c.model == base and c.task in TRAINING and c.family == "J"]
    facts = [*_energies("training", claims), *(f for (model, _), f in _disclosed().items() if model == base)]
    return {f.name: replace(f, value=f"{f.value} (of {base})") for f in facts if f.name not in ("pue", "grid")}


def _size(model: str) -> Iterator[Fact]:
    size = sizes().get(model)
    if size is None:
        return
    about = {"status": size.status, "by": size.by, "citation": size.citation}
    if size.parameters is not None:
        whole = f"{format_number(size.parameters / 1e6, 3)} million"
        yield Fact(name="parameters", value=whole, **about)  # type: ignore[arg-type]
    if size.active is not None:
        active = f"{format_number(size.active / 1e6, 3)} million"
        yield Fact(name="active parameters", value=active, **about)  # type: ignore[arg-type]
    elif _dense(model):
        reason = "nothing says that it is a mixture of experts"
        yield Fact(name="active parameters", status="inferred", value="all", by="this catalogue", citation=reason)


def _dense(model: str) -> bool:
    """Whether nothing says that a token passes through a part of the model only."""
    architecture = _disclosed().get((model, "architecture"))
    return architecture is None or "mixture" not in architecture.value


def _energies(what: str, claims: Sequence[Claim]) -> Iterator[Fact]:
    if not claims:
        return
    values = sorted(claims, key=lambda c: c.figure.value)
    low, high = values[0].figure, values[-1].figure
    shown = (
        low.format("Wh") if len(claims) == 1 else f"{low.format('Wh')} to {high.format('Wh')} ({len(claims)} figures)"
    )
    status: Status = "disclosed" if any(c.evidence == "measured" for c in claims) else "inferred"
    by = ", ".join(dict.fromkeys(c.origin.id for c in claims))
    citation = "; ".join(dict.fromkeys(c.origin.citation for c in claims))
    yield Fact(name=f"{what} energy", status=status, value=shown, by=by, citation=citation)
    boundaries = list(dict.fromkeys(c.boundary for c in claims))
    if boundaries != [NOT_STATED]:
        whole: Status = "inferred" if NOT_STATED in boundaries else "disclosed"
        value = "; ".join(boundaries)
        yield Fact(name=f"boundary of {what} energy", status=whole, value=value, by=by, citation=citation)


def _effect(name: str, found: Mapping[str, Fact]) -> str:
    """What follows from not knowing a fact."""
    effects = {
        "parameters": "what a request takes is known by the task alone, not by the size of the model",
        "active parameters": "the work of a request is bounded by all parameters only",
        "architecture": "no twin can be built to measure it",
        "training tokens": "the work of training cannot be reckoned",
        "training hardware": "hours cannot be turned into energy",
        "training hours": "energy cannot be reckoned from hardware",
        "training energy": "no interval can be given for its share of the life",
        "boundary of training energy": "it cannot be compared with others",
        "pue": f"facility over machine is anywhere from {PUE_LOW} to {PUE_HIGH}",
        "grid": "carbon is anywhere from that of the cleanest to that of the dirtiest grids",
        "inference energy": "only what the task lets one expect",
        "boundary of inference energy": f"it may be {format_number(BOUNDARY_ROOM, 2)} times the work itself",
    }
    if name.startswith("boundary of") and name.removeprefix("boundary of ") not in found:
        return "there is no figure yet that it could be the boundary of"
    return effects[name]


def _widths(model: str, task: str | None, asked: Sequence[Claim], expectations: Expectations) -> Mapping[str, float]:
    """95 % factors, each alone: of the energy of a request, of what it counts, of PUE and of the grid."""
    if task is None:
        return MappingProxyType({})
    widths: dict[str, float] = {}
    own = [c for c in asked if c.task == task]
    stated = [c for c in own if c.boundary != NOT_STATED]
    if own:
        figures = [c.figure for c in own]
        widths["energy of a request"] = max(
            median(f.high / f.value for f in figures),
            math.sqrt(max(f.value for f in figures) / min(f.value for f in figures)),
        )
    else:
        expected = expectations.of(task, None)
        if expected is not None:
            widths["energy of a request"] = 10 ** (1.96 * expected.spread)
    if not stated:
        widths["boundary"] = 10 ** (1.96 * math.log10(BOUNDARY_ROOM) / math.sqrt(18))
    counts_facility = any("facility" in c.boundary for c in stated)
    if not counts_facility and (model, "pue") not in _disclosed():
        widths["PUE"] = math.sqrt(PUE_HIGH / PUE_LOW)
    if (model, "grid") in _disclosed():
        widths["grid"] = math.exp(1.96 * RELATIVE_UNCERTAINTY)
    else:
        grids = spread_over_grids()
        # The 5th and the 95th percentile: 1.645 standard deviations each way.
        widths["grid"] = (grids.high.intensity_g_per_j / grids.low.intensity_g_per_j) ** (1.96 / 1.645 / 2)
    return MappingProxyType(widths)
