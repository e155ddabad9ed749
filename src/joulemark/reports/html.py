"""The page: one HTML file that works from disk, without a network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from joulemark.errors import MissingExtra
from joulemark.footprint import Place
from joulemark.records import Run
from joulemark.records.files import write_atomically
from joulemark.reports.benchmark import PER, Entry, Results, collect, evidence_of
from joulemark.reports.charts import draw
from joulemark.reports.terminal import footprint_cells, format_interval, machine_line
from joulemark.reports.words import (
    boundary_text,
    evidence_warning,
    footprint_note,
    table_scale,
    times_text,
    unit_plural,
)
from joulemark.units import format_duration, format_number, format_quantity

__all__ = ["render", "write_report"]


def write_report(runs: Sequence[Run], path: Path, place: Place | None = None, *, title: str = "") -> None:
    """Write the page.

    Raises:
        MissingExtra: if jinja2, altair or vl-convert is not installed.
        OutputNotWritable: if the file cannot be written.
        UsageError: if there are no runs.
    """
    write_atomically(path, render(collect(runs, place), title=title).encode())


def render(results: Results, *, title: str = "") -> str:
    """Give the page as text."""
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise MissingExtra("jinja2", "report", "Writing a page") from error
    environment = Environment(
        loader=PackageLoader("joulemark.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    first = results.entries[0].run
    return environment.get_template("report.html.j2").render(
        title=title or f"What models cost: {first.suite}",
        answer=_answer(results),
        warning=evidence_warning(results),
        evidence=evidence_of(results),
        machines=[machine_line(machine) for machine in results.machines()],
        first=first,
        per=PER,
        tasks=[
            {
                "title": entries[0].run.workload.task_title,
                "unit": unit_plural(entries[0].run.workload.unit),
                "symbol": table_scale(entries)[1],
                "rows": _rows(entries),
            }
            for entries in results.tasks().values()
        ],
        overall=[_overall_row(rank, e) for rank, e in enumerate(results.ranked(), start=1)],
        models=list({e.run.workload.model: e.run.workload for e in results.entries}.values()),
        domains=list({d.name: d for e in results.entries for d in e.run.domains}.values()),
        refused=list({r.sensor: r for e in results.entries for r in e.run.refused}.values()),
        boundary=boundary_text(results),
        sources=list(dict.fromkeys(s for e in results.entries for s in e.energy.sources)),
        footprint=footprint_note(results),
        software=sorted({(k, v) for e in results.entries for k, v in e.run.software.items()}),
        instrument_s=sum(e.run.instrument.cpu_s for e in results.entries if e.run.instrument),
        measured_s=sum(t.window.duration_s for e in results.entries for t in e.run.trials),
        inputs=list(
            dict.fromkeys(f"{w.inputs}: the first {w.items}" for w in (e.run.workload for e in results.entries))
        ),
        charts=draw(results),
        duration=format_duration,
        number=lambda value: f"{value:g}" if isinstance(value, float) else str(value),
    )


def _answer(results: Results) -> list[str]:
    """Say the result first, in plain sentences."""
    ranked = results.ranked()
    if not ranked:
        return ["No model gave a valid answer, so there is no energy figure."]
    least, most = ranked[0], ranked[-1]
    sentences = [
        f"On this machine {_what(most)} take the most energy: {most.energy.format('Wh')}, "
        f"as much as {format_interval(most.charges)} smartphone charges."
    ]
    if least is not most and most.times_least is not None and most.times_least.available:
        sentences.append(
            f"The least, {_what(least)}, take {least.energy.format('Wh')}: {times_text(most.times_least, False)} "
            "times less."
        )
    for entries in results.tasks().values():
        known = [e for e in entries if e.ranked]
        times = known[-1].times_best if len(known) > 1 else None
        if times is not None and times.available and times.low > 1:
            sentences.append(
                f"{entries[0].run.workload.task_title}: the dearest of {len(known)} takes "
                f"{times_text(times, False)} times the energy of the cheapest."
            )
    return sentences


def _what(entry: Entry) -> str:
    workload = entry.run.workload
    settings = f", {entry.chosen}" if entry.chosen else ""
    return f"{PER:,} {unit_plural(workload.unit)} of {workload.task_title.lower()} ({entry.title}{settings})"


def _rows(entries: Sequence[Entry]) -> list[dict[str, str]]:
    factor, _ = table_scale(entries)
    rows = []
    for rank, entry in enumerate(entries, start=1):
        known = entry.energy.available
        quality = entry.run.quality
        rows.append(
            {
                "rank": str(rank) if entry.ranked else "–",
                "model": entry.title,
                "settings": entry.settings,
                "energy": format_number(entry.energy.value / factor) if known else "no figure",
                "interval": _interval(entry, factor) if known else "",
                "times": times_text(entry.times_best, rank == 1) if entry.ranked else "",
                "time": format_duration(entry.duration_s[0]) if known else "",
                "power": format_quantity(entry.power.value, "W", 2) if known else "",
                "load": entry.load.format("Wh") if entry.load is not None and entry.load.available else "",
                "trials": str(len(entry.run.trials)),
                "verdict": str(entry.verdict),
                "note": entry.note,
                "evidence": str(entry.energy.evidence),
                "quality": "" if quality is None else f"{quality.metric} {quality.value:.2f} (n = {quality.n})",
            }
        )
    return rows


def _interval(entry: Entry, factor: float) -> str:
    return f"{format_number(entry.energy.low / factor, 2)} to {format_number(entry.energy.high / factor, 2)}"


def _overall_row(rank: int, entry: Entry) -> dict[str, str]:
    carbon, charges, distance = footprint_cells(entry)
    return {
        "rank": str(rank),
        "task": entry.run.workload.task_title,
        "model": entry.title,
        "settings": entry.chosen,
        "energy": entry.energy.format("Wh"),
        "times": times_text(entry.times_least, rank == 1),
        "carbon": carbon,
        "charges": charges,
        "distance": distance,
    }
