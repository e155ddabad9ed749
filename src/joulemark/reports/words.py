"""Sentences that both the terminal and the page say."""

from __future__ import annotations

from collections.abc import Sequence

from joulemark.figures import Figure, Kind
from joulemark.reports.benchmark import (
    CAR,
    CHARGE,
    Entry,
    Results,
    describe_factor,
    describe_place,
    describe_spread,
    tokens_by_model,
)
from joulemark.reports.tokens import TokenEnergy
from joulemark.stats import Verdict
from joulemark.units import format_number, scale_for

__all__ = [
    "boundary_text",
    "evidence_warning",
    "footprint_note",
    "ratio_width",
    "short_label",
    "table_scale",
    "task_lines",
    "times_text",
    "unit_plural",
]


TRUSTED = {Verdict.STEADY, Verdict.FAILED}
"""Verdicts that need no words: nothing to say, or said in the note."""


def short_label(entry: Entry) -> str:
    """Name an entry in one line, unlike all others of its suite."""
    settings = f", {entry.chosen}" if entry.chosen else ""
    return f"{entry.run.workload.task_title}: {entry.run.workload.model}{settings}"


def unit_plural(unit: str) -> str:
    """Give the plural of a unit of work."""
    return f"{unit}s"


def times_text(times: Figure | None, is_best: bool) -> str:
    """Write how many times the best; a difference that is none is said to be none."""
    if is_best:
        return "1"
    if times is None or not times.available:
        return "not comparable"
    low, high = format_number(times.low, 2), format_number(times.high, 2)
    text = f"{format_number(times.value, 2)} ({low} to {high})"
    return text if times.low > 1 else f"{text} no clear difference"


def evidence_warning(results: Results) -> str:
    """Say loudly that energies are modelled, and how wide that makes them; empty if all are measured."""
    figures = [e.energy for e in results.entries if e.energy.available]
    modelled = [f for f in figures if f.evidence.kind is not Kind.MEASURED]
    if not modelled:
        return ""
    whole = all(Kind.MEASURED not in f.evidence.shares for f in modelled)
    how = "MODELLED, not measured" if whole else "partly MODELLED"
    factor = max(f.high / f.value for f in modelled)
    cause = "This machine has no energy sensor that can be read: its" if whole else "Not all is measured here:"
    text = (
        f"{cause} energies are {how}, from processor load and memory size. The truth may lie a factor of "
        f"{format_number(factor, 2)} above or below each value."
    )
    width = ratio_width(results)
    if 1 < width < 0.8 * factor:
        text += (
            " Ratios between models share most of that error and are surer: within a factor of "
            f"{format_number(width, 2)}."
        )
    return text + " “joulemark doctor” says what would make it better."


def boundary_text(results: Results) -> str:
    """Say what the ranked energies cover."""
    ranked = results.ranked()
    return str(ranked[0].energy.boundary) if ranked else "nothing"


def task_lines(entries: Sequence[Entry]) -> list[str]:
    """Say below a task's table what its columns do not: which are worth choosing, and what a right answer costs."""
    lines = []
    if sum(e.ranked for e in entries) > 1:
        front = "; ".join(_own_label(e) for e in entries if e.front)
        of = "energy, time and quality" if any(e.run.quality for e in entries) else "energy and time"
        lines.append(f"Pareto front of {of}: {front}.")
    right = [f"{_own_label(e)} {e.per_correct.format()}" for e in entries if e.per_correct is not None]
    if right:
        lines.append(f"Per right answer: {'; '.join(right)}.")
    lines += [_tokens_line(name, tokens) for name, tokens in tokens_by_model(entries).items()]
    doubts = [f"{_own_label(e)}: {e.verdict}, {e.verdict_reason}" for e in entries if e.verdict not in TRUSTED]
    if doubts:
        lines.append(f"Verdicts: {'; '.join(doubts)}.")
    return lines


def _tokens_line(model: str, tokens: TokenEnergy) -> str:
    return (
        f"{model}: {tokens.prefill.format()} a token read, {tokens.decode.format()} a token written, "
        f"{tokens.request.format()} a request (fitted to {tokens.trials} trials; they scatter by "
        f"{100 * tokens.residual:.2g} %)."
    )


def _own_label(entry: Entry) -> str:
    """Name an entry within its task."""
    return entry.run.workload.model + (f", {entry.chosen}" if entry.chosen else "")


def table_scale(entries: Sequence[Entry]) -> tuple[float, str]:
    """Choose one unit for a whole table, so that its numbers can be compared at a glance: (factor to J, symbol)."""
    values = [e.energy.value for e in entries if e.energy.available]
    return scale_for(min(values), "Wh") if values else (3600.0, "Wh")


def ratio_width(results: Results) -> float:
    """Give the widest factor of any ratio to the best; 1 if there is no ratio."""
    ratios = [e.times_best for e in results.entries if e.times_best is not None and e.times_best.available]
    return max((times.high / times.value for times in ratios), default=1.0)


def footprint_note(results: Results) -> str:
    """Say for which grid carbon is reckoned, and with which editions of the factors."""
    where = (
        f"Carbon for {describe_place(results.place)}"
        if results.place is not None
        else f"No place was given, so carbon and distance are ranges over grids: {describe_spread(results.grids)}; "
        "choose one with --where"
    )
    factors = "; ".join(describe_factor(factor) for factor in (CHARGE, CAR))
    return f"{where}. Factors: {factors}."
