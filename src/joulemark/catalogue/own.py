"""Figures of one's own runs, beside published ones."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from msgspec import structs

from joulemark.boundary import Component
from joulemark.catalogue.footing import Known
from joulemark.figures import Figure
from joulemark.records import Run, energy_per_unit, phase_energy

__all__ = ["OwnFigure", "own_figures"]


@dataclass(frozen=True, slots=True)
class OwnFigure:
    """The energy of one run, with its parts.

    Attributes:
        run: its record.
        figure: joules per unit of work.
        known: its parts by component, and what they take at rest, for `to_boundary`.
    """

    run: Run
    figure: Figure
    known: Known


def own_figures(runs: Iterable[Run]) -> tuple[OwnFigure, ...]:
    """Give the figures of runs; one that failed stays, as unavailable with its reason."""
    return tuple(OwnFigure(run, energy_per_unit(run), _known(run)) for run in runs)


def _known(run: Run) -> Known:
    """Only components that a domain sees alone: a sensor over two cannot tell them apart."""
    alone = {d.components[0] for d in run.domains if d.counted and len(d.components) == 1}
    mixed = {c for d in run.domains if d.counted and len(d.components) > 1 for c in d.components}
    parts, rest = {}, {}
    for component in sorted(alone - mixed):
        only = structs.replace(run, domains=tuple(d for d in run.domains if d.components == (component,)))
        figure = energy_per_unit(only)
        if not figure.available:
            continue
        parts[component] = figure
        idle = _at_rest(only)
        if idle is not None:
            rest[component] = replace(idle, unit=figure.unit, boundary=figure.boundary)
    # Devices that stood by are none of a run's: it counts those that it may use.
    standing = parts[Component.GPU] * 0.0 if Component.GPU in parts and not _others(run) else None
    return Known(components=parts, at_rest=rest, standing_by=standing)


def _others(run: Run) -> bool:
    return any(not d.selected for d in run.domains)


def _at_rest(run: Run) -> Figure | None:
    """Power before the run, times the time of one unit of work."""
    idle, phase = phase_energy(run, "idle-before"), run.phases.get("idle-before")
    times = [t.window.duration_s / t.units for t in run.trials if t.units]
    if idle is None or not idle.available or phase is None or phase.duration_s <= 0 or not times:
        return None
    return idle * (math.fsum(times) / len(times) / phase.duration_s)
