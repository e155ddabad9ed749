"""Runs net of what the machine draws at rest."""

from __future__ import annotations

import math
from dataclasses import replace

from joulemark.errors import UsageError
from joulemark.figures import Figure
from joulemark.idle import idle_power, net
from joulemark.readings import power_figure
from joulemark.records.energy import energy_per_unit, phase_energy
from joulemark.records.schema import Run

__all__ = ["net_energy_per_unit", "rest_power"]


def rest_power(run: Run) -> Figure | None:
    """Give the power at rest around a run, in watts: before its first block and after its last; None if not measured.

    How far both differ is in the interval (`joulemark.idle.idle_power`).
    """
    rests = [name for name in run.phases if name.startswith("idle-") and run.phases[name].duration_s > 0]
    before = next((name for name in rests if name.startswith("idle-before")), None)
    after = next((name for name in reversed(rests) if name.startswith("idle-after")), None)
    powers = [power for name in (before, after) if name is not None and (power := _power(run, name)) is not None]
    if not powers:
        return None
    try:
        return idle_power(*powers)
    except UsageError:  # one of them lost a domain
        return powers[0]


def _power(run: Run, phase: str) -> Figure | None:
    energy = phase_energy(run, phase)
    if energy is None or not energy.available:
        return None
    return power_figure(energy, run.phases[phase].duration_s)


def net_energy_per_unit(run: Run) -> Figure | None:
    """Give the energy of one unit of work above what the machine draws at rest, in J/unit.

    None where the machine was not looked at in rest, or was surely busier then than at work: its rest was none.
    """
    rest, gross = rest_power(run), energy_per_unit(run)
    answered = [trial for trial in run.trials if trial.units]
    if rest is None or not gross.available or not answered:
        return None
    each_s = math.fsum(trial.window.duration_s for trial in answered) / sum(trial.units for trial in answered)
    try:
        return replace(net(replace(gross, unit="J"), rest, each_s), unit=gross.unit)
    except UsageError:
        return None
