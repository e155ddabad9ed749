"""Is that claim plausible? What was printed against what is published, and what was probably meant."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from joulemark.boundary import Boundary, Component
from joulemark.catalogue.claims import TRAINING, Catalogue, Claim
from joulemark.catalogue.expectation import Expectation, Expectations, room_of
from joulemark.catalogue.models import sizes
from joulemark.catalogue.quantity import TASKS_OF, Language, Quantity, read_quantity
from joulemark.catalogue.words import read_unit
from joulemark.errors import BadQuantity
from joulemark.figures import Figure, Kind, Part, Source
from joulemark.footprint import Place, charges, place, spread_over_grids
from joulemark.units import format_number, format_quantity

__all__ = ["NODE_POWER_W", "Judgement", "Reading", "Slip", "Verdict", "check", "judge"]

NODE_POWER_W = 1200.0
"""What a node of eight A100 drew while one of them made images: 11.293 kWh in 33,751 s (Luccioni, Jernite and Strubell
2024, run logs of SDXL), memory as modelled there."""


class Verdict(StrEnum):
    """What may be said of a claim."""

    PLAUSIBLE = "plausible"
    IMPLAUSIBLE = "implausible"
    SLIP = "slip"
    AMBIGUOUS = "ambiguous"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Slip:
    """What was probably meant.

    Attributes:
        meant: the quantity as it should read.
        how: what went wrong, in words.
        factor: meant over printed.
    """

    meant: str
    how: str
    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One way to read the claim, judged.

    Attributes:
        quantity: as it was read.
        energy: joules per unit of work, lowest and highest: one number for an energy, a range over grids for carbon.
        verdict: of this reading.
        task: the task for which it was judged; None if none is known.
        expectation: what published figures let one expect there.
        slips: what was probably meant, likeliest first.
        reason: why nothing is known, if so.
    """

    quantity: Quantity
    energy: tuple[float, float]
    verdict: Verdict
    task: str | None = None
    expectation: Expectation | None = None
    slips: tuple[Slip, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The answer.

    Attributes:
        readings: all ways to read the claim, the likelier first.
        verdict: over all of them.
        suggestion: what was probably meant; empty if nothing else was.
        sentence: the answer in words, with the figures behind it.
        evidence: published figures that it rests on.
        implications: what the claim would mean, in things people know.
    """

    readings: tuple[Reading, ...]
    verdict: Verdict
    suggestion: str
    sentence: str
    evidence: tuple[Claim, ...]
    implications: tuple[str, ...]

    @property
    def flagged(self) -> bool:
        """Whether it warns: the claim is a slip, or implausible."""
        return self.verdict in (Verdict.SLIP, Verdict.IMPLAUSIBLE)


def check(
    text: str,
    catalogue: Catalogue,
    *,
    task: str | None = None,
    model: str | None = None,
    language: Language | None = None,
    boundary: Boundary | None = None,
    where: Place | str | None = None,
) -> Judgement:
    """Judge a claim such as ``2907 kWh per 1000 images``.

    Args:
        text: the claim.
        catalogue: what it is held against.
        task: what is done; without it, all tasks with that unit of work are looked at.
        model: by which model; it narrows down what is expected, if its size is known.
        language: whose decimal and thousands marks are meant; both without it.
        boundary: what the claim counts, if that is known.
        where: the grid, for a claim of carbon; all grids without it.

    Raises:
        BadQuantity: if the claim cannot be read.
        UnknownName: if there is no such place.
    """
    quantities = read_quantity(text, language)
    expectations = Expectations(catalogue)
    at = place(where) if isinstance(where, str) else where
    size = None if model is None else _size(model)
    readings = tuple(
        judge(q, expectations, task=task, parameters=size, boundary=boundary, where=at) for q in quantities
    )
    judgement = _answer(readings)
    if model is None or size is not None or judgement.verdict is Verdict.UNKNOWN:
        return judgement
    note = f"The size of {model} is not known here: it is judged by the task alone."
    return replace(judgement, sentence=f"{judgement.sentence} {note}")


def _size(model: str) -> float | None:
    """Parameters that work for an answer, if the catalogue knows the model."""
    wanted = model.casefold()
    names = (n for n in sizes() if wanted in (n.casefold(), n.rpartition("/")[2].casefold()))
    return next((sizes()[name].working for name in names), None)


def judge(
    quantity: Quantity,
    expectations: Expectations,
    *,
    task: str | None = None,
    parameters: float | None = None,
    boundary: Boundary | None = None,
    where: Place | None = None,
) -> Reading:
    """Judge one reading of a claim; see `check`."""
    energy = _energy(quantity, where)
    work = quantity.work
    tasks = (task,) if task is not None else TASKS_OF.get(work, ())
    if not tasks:
        of_what = f"a claim per {work}" if work else "a claim that says not what it is for"
        reason = f"{of_what} may be of any task; name it (--task)"
        return Reading(quantity=quantity, energy=energy, verdict=Verdict.UNKNOWN, reason=reason)
    found = {}
    for name in tasks:
        _fits(quantity, name, expectations.catalogue)
        expected = expectations.of(name, parameters, room=room_of(boundary), per_token=work == "token")
        if expected is not None:
            found[name] = expected
    if not found:
        few = f"the catalogue has too few published figures for {' or '.join(tasks)} to judge by"
        reason = f"{few}{_near(task, expectations)}"
        return Reading(quantity=quantity, energy=energy, verdict=Verdict.UNKNOWN, reason=reason)
    for name, expected in found.items():
        if _holds(expected, energy):
            return Reading(quantity=quantity, energy=energy, verdict=Verdict.PLAUSIBLE, task=name, expectation=expected)
    # No task has it: the one that it comes nearest to, as a slip first, then as it stands.
    slips = {name: _slips(quantity, energy, expected) for name, expected in found.items()}
    name = next((n for n, s in slips.items() if s), min(found, key=lambda n: _off(found[n], energy)))
    verdict = Verdict.SLIP if slips[name] else Verdict.IMPLAUSIBLE
    return Reading(
        quantity=quantity, energy=energy, verdict=verdict, task=name, expectation=found[name], slips=slips[name]
    )


def _near(task: str | None, expectations: Expectations) -> str:
    """The names that were perhaps meant."""
    near = difflib.get_close_matches(task or "", expectations.catalogue.tasks, n=2)
    return f" (did you mean {' or '.join(near)}?)" if near and task not in near else ""


def _energy(quantity: Quantity, where: Place | None) -> tuple[float, float]:
    """Joules per unit of work; of carbon over the grids that it may come from."""
    if quantity.family == "J":
        return quantity.each, quantity.each
    if where is not None:
        return quantity.each / where.intensity_g_per_j, quantity.each / where.intensity_g_per_j
    grids = spread_over_grids()
    return quantity.each / grids.high.intensity_g_per_j, quantity.each / grids.low.intensity_g_per_j


_GENERIC = ("unit", "answer", "token")


def _fits(quantity: Quantity, task: str, catalogue: Catalogue) -> None:
    """Refuse a unit of work that the task does not have."""
    if task in TRAINING:
        if quantity.work not in ("", "training", "unit"):
            raise BadQuantity(f"{quantity.text!r}: {task} is done once for a model, not per {quantity.work}.")
        return
    if quantity.work in ("", "training"):
        raise BadQuantity(f"{quantity.text!r} says not what the energy is for; write for example 'per 1000 queries'.")
    of_task = {read_unit(c.unit).work for c in catalogue.claims if c.task == task}
    if of_task and quantity.work not in of_task and quantity.work not in _GENERIC:
        unit = " or ".join(sorted(of_task))
        raise BadQuantity(f"{quantity.text!r}: {task} is counted per {unit}, not per {quantity.work}.")


def _holds(expected: Expectation, energy: tuple[float, float]) -> bool:
    return energy[0] <= expected.high and energy[1] >= expected.low


def _off(expected: Expectation, energy: tuple[float, float]) -> float:
    return min(expected.off_by(e) for e in energy)


# What may have happened, as meant over printed; and the unit that was meant, where it is a slip of units.
_SLIPS: Mapping[float, str] = MappingProxyType({1e-3: "", 1e3: "", 1 / 3600: "J", 3600.0: "Wh"})


def _slips(quantity: Quantity, energy: tuple[float, float], expected: Expectation) -> tuple[Slip, ...]:
    """Slips that lead to what is expected, nearest to the middle first."""
    found = []
    for factor, meant_unit in _SLIPS.items():
        energies = energy[0] * factor, energy[1] * factor
        said = {"J": "Wh", "Wh": "J", "": ""}[meant_unit]
        if said in quantity.symbol and _holds(expected, energies) and not (said and quantity.family == "g"):
            # A thousandfold is the commoner slip, and told first.
            found.append((bool(said), abs(math.log10(math.sqrt(math.prod(energies)) / expected.centre)), factor))
    slips: list[Slip] = []
    for of_unit, _, factor in sorted(found):
        if of_unit:
            slips.append(_unit_slip(quantity, factor))
        else:
            slips += _thousandfold(quantity, factor)
    return tuple(slips)


def _unit_slip(quantity: Quantity, factor: float) -> Slip:
    said, meant = ("Wh", "J") if factor < 1 else ("J", "Wh")
    symbol = quantity.symbol.replace(said, meant)
    return Slip(f"{quantity.number:,.6g} {symbol}{quantity.per}", f"{said} for {meant}", factor)


def _thousandfold(quantity: Quantity, factor: float) -> list[Slip]:
    meant = quantity.write(factor)
    prefix = {"kWh": "Wh", "MWh": "kWh", "GWh": "MWh", "kJ": "J", "MJ": "kJ", "Wh": "mWh", "J": "mJ"}
    if factor > 1:
        prefix = {small: large for large, small in prefix.items()}
    slips = [Slip(meant, "a decimal mark taken for a thousands mark, or the other way round", factor)]
    if quantity.symbol in prefix:
        unit = prefix[quantity.symbol]
        slips.append(Slip(f"{quantity.number:,.6g} {unit}{quantity.per}", f"{quantity.symbol} for {unit}", factor))
    if factor < 1 and quantity.count == 1 and quantity.work:
        thousand = f"{quantity.number:,.6g} {quantity.symbol} per 1,000 {quantity.work}s"
        slips.append(Slip(thousand, "a figure per 1,000 printed as one per 1", factor))
    if factor > 1 and quantity.count == 1000:
        slips.append(
            Slip(f"{quantity.number:,.6g} {quantity.symbol} per {quantity.work}", "per 1 printed as per 1,000", factor)
        )
    return slips


def _answer(readings: Sequence[Reading]) -> Judgement:
    """Join the readings of ambiguous marks.

    A decimal point that makes sense is taken for one: so science and this program write. A comma is not: the same text
    says thousands in one language and decimals in the other.
    """
    first = readings[0]
    others = readings[1:]
    clear = not others or (first.quantity.mark == "decimal point" and first.verdict is Verdict.PLAUSIBLE)
    if clear:
        verdict, suggestion = first.verdict, first.slips[0].meant if first.slips else ""
        sentence = _sentence(first)
        told = first
    else:
        likely = [r for r in readings if r.verdict is Verdict.PLAUSIBLE]
        told = likely[0] if likely else first
        both_unknown = all(r.verdict is Verdict.UNKNOWN for r in readings)
        verdict = Verdict.UNKNOWN if both_unknown else Verdict.AMBIGUOUS
        suggestion = likely[0].quantity.write() if len(likely) == 1 else ""
        marks = " ".join(f"With a {r.quantity.mark}: {_sentence(r)}" for r in readings)
        sentence = f"Its marks can be read in {len(readings)} ways; --lang says which. {marks}"
        if both_unknown:
            sentence = _sentence(first)
    return Judgement(
        readings=tuple(readings),
        verdict=verdict,
        suggestion=suggestion,
        sentence=sentence,
        evidence=_evidence(told),
        implications=_implications(first if clear else readings[0]),
    )


def _evidence(reading: Reading) -> tuple[Claim, ...]:
    """The lowest, the nearest and the highest published figure."""
    expected = reading.expectation
    if expected is None:
        return ()
    value = math.sqrt(reading.energy[0] * reading.energy[1])
    nearest = min(expected.claims, key=lambda c: abs(math.log(expected.printed(c) / value)))
    return tuple(dict.fromkeys((expected.least, nearest, expected.most)))


def _sentence(reading: Reading) -> str:
    q, expected = reading.quantity, reading.expectation
    if expected is None:
        return f"Nothing can be said of {q.write()}: {reading.reason}."
    low, high = (format_quantity(e * q.count, "Wh", 2) for e in reading.energy)
    energy = "" if q.family == "J" else f" ({low} on its grid)" if low == high else f" ({low} to {high} over the grids)"
    what = f"{q.write()}{energy} for {reading.task}"
    figures = _published(reading)
    if reading.verdict is Verdict.PLAUSIBLE:
        return f"{what} is plausible: {figures}."
    if reading.verdict is Verdict.SLIP:
        meant = "; or ".join(f"{s.meant} ({s.how})" for s in reading.slips[:3])
        return f"{what} is {_how_far(reading)}. Probably a slip, and meant was {meant}: {figures}."
    return f"{what} is {_how_far(reading)}, and no common slip explains it: {figures}."


def _how_far(reading: Reading) -> str:
    """By what factor it lies outside of all that is published, or else of what is expected."""
    expected = reading.expectation
    assert expected is not None  # noqa: S101 - only judged readings get here
    low, high = expected.printed(expected.least), expected.printed(expected.most)
    if reading.energy[0] > high:
        return f"{_times(reading.energy[0] / high)} the highest published figure"
    if reading.energy[1] < low:
        return f"{_times(low / reading.energy[1])} below the lowest published figure"
    above = reading.energy[0] > expected.high
    off = _times(_off(expected, reading.energy))
    of_whom = "a model of that size" if expected.sized else "that task"
    return f"{off} {'more' if above else 'less'} than what published figures let one expect of {of_whom}"


def _times(factor: float) -> str:
    return f"{format_number(factor, 2)} times"


def _published(reading: Reading) -> str:
    expected, q = reading.expectation, reading.quantity
    assert expected is not None  # noqa: S101 - only judged readings get here
    low, high = expected.printed(expected.least), expected.printed(expected.most)
    unit = q.work if q.work not in ("", "unit", "training") else ""
    per = f" per {q.count:,.0f} {unit}s" if q.count != 1 and unit else f" per {unit}" if unit else ""
    count = q.count if unit or q.count != 1 else 1.0
    if not unit and count != 1:
        per = f" per {count:,.0f}"
    tasks = f" (with {', '.join(expected.kindred)})" if expected.kindred else ""
    sources = len({c.origin.id for c in expected.claims})
    family = "J" if "J" in q.symbol else "Wh"
    return (
        f"{len(expected.claims)} published figures of {sources} source{'s' if sources > 1 else ''}{tasks} go from "
        f"{format_quantity(low * count, family)} ({expected.least.model}) to {format_quantity(high * count, family)} "
        f"({expected.most.model}){per}"
    )


def _implications(reading: Reading) -> tuple[str, ...]:
    """What the claim would mean: time of a node, telephone charges."""
    q = reading.quantity
    if q.family != "J" or q.work in ("", "training"):
        return ()
    said = []
    thousand = q.each * 1000
    name = q.work if q.work != "unit" else "inference"
    if q.work != "token":
        said.append(
            f"1,000 {name}s would take {_long(thousand / NODE_POWER_W)} of a node of eight GPUs, of which one works "
            f"({format_quantity(NODE_POWER_W, 'W', 2)})"
        )
    energy = Figure(
        value=q.each,
        unit=f"J/{name}",
        boundary=Boundary(components=frozenset({Component.GPU})),
        parts=(Part("claim", q.each, Kind.ASSUMED),),
        sources=(Source(name="claim", citation=q.text),),
    )
    number = charges(energy).value
    if number >= 0.1:
        said.append(f"{format_number(number, 2)} smartphone charges per {name} (EPA, edition of 2024)")
    else:
        said.append(f"a smartphone charge for {format_number(1 / number, 2)} {name}s (EPA, edition of 2024)")
    return tuple(said)


def _long(seconds: float) -> str:
    """A duration in the unit that people would say it in."""
    for size, word in ((365.25 * 86400, "years"), (30.44 * 86400, "months"), (86400, "days"), (3600, "hours")):
        if seconds >= 2 * size:
            return f"{format_number(seconds / size, 2)} {word}"
    return f"{format_number(seconds / 60, 2)} minutes" if seconds >= 120 else f"{format_number(seconds, 2)} seconds"
