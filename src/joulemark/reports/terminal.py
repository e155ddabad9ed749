"""Reports in the terminal: rich renderables from plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from joulemark.figures import Figure
from joulemark.readings import DomainRecord, Machine, grade
from joulemark.reports.benchmark import PER, Entry, Results
from joulemark.reports.comparison import CompareReport
from joulemark.reports.data import DoctorReport, FigureData, MeasureReport
from joulemark.reports.words import (
    boundary_text,
    evidence_warning,
    footprint_note,
    short_label,
    table_scale,
    task_lines,
    times_text,
    unit_plural,
)
from joulemark.stats import Verdict
from joulemark.units import format_duration, format_number, format_quantity, scale_for

__all__ = [
    "benchmark_view",
    "compare_view",
    "doctor_view",
    "footprint_cells",
    "format_interval",
    "machine_line",
    "measure_view",
    "watch_view",
]

_VERDICT_STYLE = {
    Verdict.STEADY: "green",
    Verdict.NOISY: "yellow",
    Verdict.DRIFTING: "yellow",
    Verdict.THROTTLED: "yellow",
    Verdict.CLOCK_CHANGED: "yellow",
    Verdict.NOISY_NEIGHBOUR: "yellow",
    Verdict.TOO_SHORT: "yellow",
    Verdict.TOO_FEW: "yellow",
    Verdict.FAILED: "bold red",
}


def machine_line(machine: Machine) -> str:
    """Describe a machine in one line."""
    kind = "virtual machine" if machine.virtual else "machine"
    gpus = f", {', '.join(machine.gpus)}" if machine.gpus else ""
    memory = f"{machine.memory_bytes / 1e9:.1f} GB"
    return f"{machine.processor}, {machine.cpus} CPUs, {memory}{gpus}; {kind}; {machine.system}"


def _table(*columns: tuple[str, str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    for title, justify in columns:
        # On a narrow terminal cells wrap: no column vanishes, and no name loses what tells it from others.
        table.add_column(title, justify="right" if justify == "right" else "left", overflow="fold")
    return table


def measure_view(report: MeasureReport) -> RenderableType:
    """Show what a command took."""
    table = _table(("", "left"), ("energy (95 %)", "right"), ("evidence", "left"))
    for name, figure in report.domains.items():
        table.add_row(name, figure.text, figure.evidence if figure.value is not None else "")
    heading = Text.assemble(
        (f"{report.label}: " if report.label else ""),
        (report.energy.text, "bold"),
        f" in {format_duration(report.duration_s)}, {report.power.text}",
    )
    parts: list[RenderableType] = [heading, Text(f"covers {report.energy.boundary}", style="dim"), table]
    if report.idle_power is not None and report.net_energy is not None:
        parts.append(Text(f"net of idle {report.net_energy.text}; at rest {report.idle_power.text}"))
    return Group(*parts)


def watch_view(power: FigureData, domains: Mapping[str, FigureData]) -> RenderableType:
    """Show live power."""
    table = _table(("domain", "left"), ("power (95 %)", "right"), ("evidence", "left"))
    for name, figure in domains.items():
        table.add_row(name, figure.text, figure.evidence if figure.value is not None else "")
    table.add_row(Text("total", style="bold"), Text(power.text, style="bold"), power.evidence)
    return table


def doctor_view(report: DoctorReport) -> RenderableType:
    """Show sensors found and refused."""
    used = _table(
        ("domain", "left"),
        ("sensor", "left"),
        ("grade", "left"),
        ("covers", "left"),
        ("95 % width", "left"),
        ("updated every", "right"),
    )
    for domain in report.domains:
        left_out = "" if domain.counted else " (not added)" if domain.selected else " (not this program's)"
        period_s = domain.accuracy.period_s
        used.add_row(
            domain.name + left_out,
            domain.sensor,
            Text(f"{grade(domain)} {domain.kind}", style="green" if domain.kind == "measured" else "yellow"),
            ", ".join(domain.components).replace("_", " "),
            _width(domain),
            format_duration(period_s) if period_s else "reading",
        )
    parts: list[RenderableType] = [
        Text(machine_line(report.machine), style="bold"),
        Text(""),
        Text("Read on this machine"),
        Padding(used, (0, 0, 0, 2)),
        Text("  A: measured within ±6 %; B: within ±15 %; C: measured, wider; D: a model", style="dim"),
    ]
    for check in report.cross_checks:
        verdict = "they agree" if check.agree else "THEY DO NOT AGREE: doubt this sensor"
        text = f"  {check.domain}: counter {check.counter_w:.3g} W, gauge {check.gauge_w:.3g} W: {verdict}"
        parts.append(Text(text, style="dim" if check.agree else "bold yellow"))
    if report.refused:
        refused = _table(("sensor", "left"), ("why it is not used", "left"))
        for refusal in report.refused:
            remedy = f"\n→ {refusal.remedy}" if refusal.remedy else ""
            refused.add_row(refusal.sensor, Text(refusal.reason + remedy))
        parts += [Text(""), Text("Looked for and not used"), Padding(refused, (0, 0, 0, 2))]
    parts += [
        Text(""),
        Text(f"Energy on this machine is {report.evidence}. Power over the last second: {report.idle_power.text}."),
        Text(f"It covers {report.idle_power.boundary}.", style="dim"),
    ]
    return Group(*parts)


def _width(domain: DomainRecord) -> str:
    spread = math.hypot(domain.accuracy.gain, domain.accuracy.mix) * 1.96
    if spread < 0.25:
        return f"± {100 * spread:.2g} %"
    factor = math.exp(spread)
    return f"× {1 / factor:.2f} to × {factor:.1f}"


def benchmark_view(results: Results) -> RenderableType:
    """Show the rankings: a task at a time, then across tasks with footprint."""
    first = results.entries[0].run
    parts: list[RenderableType] = [
        Text(f"{first.suite}: {len(results.entries)} workloads", style="bold"),
        *(Text(machine_line(machine), style="dim") for machine in results.machines()),
    ]
    if warning := evidence_warning(results):
        parts += [Text(""), Text(warning, style="bold yellow")]
    for entries in results.tasks().values():
        workload = entries[0].run.workload
        title = f"{workload.task_title}: energy per {PER:,} {unit_plural(workload.unit)}"
        parts += [Text(""), Text(title, style="bold")]
        parts.append(Padding(_task_table(entries), (0, 0, 0, 2)))
        parts += [Padding(Text(line, style="dim"), (0, 0, 0, 2)) for line in task_lines(entries)]
    ranked = results.ranked()
    if ranked:
        parts += [Text(""), Text(f"Across tasks: per {PER:,} inferences, whatever the task", style="bold")]
        parts.append(Padding(_overall_table(ranked), (0, 0, 0, 2)))
        parts += [Text(""), Text(f"What {PER:,} inferences mean", style="bold")]
        parts.append(Padding(_footprint_table(ranked), (0, 0, 0, 2)))
        parts += [Text(""), Text(footprint_note(results), style="dim")]
        parts.append(Text(f"Ranked energies cover {boundary_text(results)}.", style="dim"))
        parts.append(Text(_cost_note(results), style="dim"))
    return Group(*parts)


def _task_table(entries: tuple[Entry, ...]) -> Table:
    table = _table(
        ("#", "right"),
        ("model", "left"),
        ("Wh (95 %)", "right"),
        ("net of idle", "right"),
        ("× best (95 %)", "right"),
        ("time each", "right"),
        ("power", "right"),
        ("quality", "left"),
        ("verdict", "left"),
    )
    factor, symbol = table_scale(entries)
    table.columns[2].header = f"{symbol} (95 %)"
    for rank, entry in enumerate(entries, start=1):
        failed = not entry.energy.available
        quality = entry.run.quality
        table.add_row(
            str(rank) if entry.ranked else "–",
            f"{entry.title}, {entry.chosen}" if entry.chosen else entry.title,
            "no figure" if failed else format_interval(entry.energy, factor),
            format_interval(entry.net, factor) if entry.net is not None and entry.net.available else "",
            times_text(entry.times_best, rank == 1) if entry.ranked else "",
            "" if failed else format_duration(entry.duration_s[0]),
            "" if failed else format_quantity(entry.power.value, "W", 2),
            "" if quality is None else f"{quality.metric} {quality.value:.2f}",
            Text(str(entry.verdict), style=_VERDICT_STYLE[entry.verdict]),
        )
        if entry.note:
            table.add_row("", Text(entry.note, style="red"))
    return table


def _overall_table(ranked: tuple[Entry, ...]) -> Table:
    table = _table(("#", "right"), ("what", "left"), ("energy (95 %)", "right"), ("× least (95 %)", "right"))
    for rank, entry in enumerate(ranked, start=1):
        table.add_row(str(rank), short_label(entry), _with_unit(entry.energy), times_text(entry.times_least, rank == 1))
    return table


def _footprint_table(ranked: tuple[Entry, ...]) -> Table:
    table = _table(("#", "right"), ("what", "left"), ("gCO2e", "right"), ("phone charges", "right"), ("car", "right"))
    for rank, entry in enumerate(ranked, start=1):
        table.add_row(str(rank), short_label(entry), *footprint_cells(entry))
    return table


def footprint_cells(entry: Entry) -> tuple[str, str, str]:
    """Carbon, charges and distance of an entry as texts; ranges over grids without a place."""
    charges = format_interval(entry.charges)
    if entry.footprint is not None:
        distance = entry.footprint.car_distance
        factor, symbol = scale_for(distance.value, "m")
        return (
            f"{format_interval(entry.footprint.carbon)} g",
            charges,
            f"{format_interval(distance, factor)} {symbol}",
        )
    if entry.over_grids is None:
        return "", charges, ""
    low, high = (format_number(v, 2) for v in entry.over_grids.carbon_g)
    near, far = (format_quantity(v, "m", 2) for v in entry.over_grids.car_distance_m)
    return f"{low} to {high} g", charges, f"{near} to {far}"


def format_interval(figure: Figure, factor: float = 1.0) -> str:
    """Write value and interval without a unit, such as ``3.1 (1.4 to 7.0)``."""
    value, low, high = (format_number(v / factor, 2) for v in (figure.value, figure.low, figure.high))
    return f"{value} ({low} to {high})"


def _with_unit(figure: Figure) -> str:
    factor, symbol = scale_for(figure.value, "Wh")
    value, low, high = (format_number(v / factor, 2) for v in (figure.value, figure.low, figure.high))
    return f"{value} {symbol} ({low} to {high})"


def _cost_note(results: Results) -> str:
    costs = [e.run.instrument for e in results.entries if e.run.instrument is not None]
    cpu_s = sum(cost.cpu_s for cost in costs)
    readings = sum(cost.readings for cost in costs)
    return f"Measuring itself took {format_duration(cpu_s)} of CPU time for {readings} readings, all told."


def compare_view(report: CompareReport) -> RenderableType:
    """Show two sets of runs against each other."""
    table = _table(
        ("workload", "left"),
        ("before", "right"),
        ("after", "right"),
        ("after / before (95 %)", "right"),
        ("", "left"),
    )
    for pair in report.pairs:
        style = {"more": "red", "less": "green"}.get(pair.verdict, "")
        failed = pair.key in report.failed
        table.add_row(
            pair.key,
            pair.before.text,
            pair.after.text,
            "" if pair.times is None else pair.times.text,
            Text(f"{pair.verdict}{' (fails)' if failed else ''} {pair.reason}".strip(), style=style),
        )
    for keys, where in ((report.only_before, "earlier"), (report.only_after, "later")):
        for key in keys:
            table.add_row(key, "", "", "", f"only in the {where} set{' (fails)' if key in report.failed else ''}")
    return table
