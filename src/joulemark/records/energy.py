"""From runs to figures; single windows become figures in `joulemark.readings`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from joulemark.boundary import Boundary
from joulemark.figures import Error, Figure, Kind, Part, product, total
from joulemark.readings import (
    DomainEnergy,
    DomainRecord,
    WindowRecord,
    counted_devices,
    domain_figure,
    energy_figure,
    gain_source,
    mix_source,
    window_errors,
)
from joulemark.records.schema import Measurement, Run, Trial
from joulemark.stats import summarise, summarise_trials

__all__ = [
    "energies_per_trial",
    "energy_per_unit",
    "measurement_energy",
    "phase_energy",
    "trial_energy",
]


def _workload_scope(run: Run) -> str:
    """Runs of the same workload have the same instruction mix, whenever they were measured."""
    w = run.workload
    settings = ", ".join(f"{name} {value}" for name, value in sorted(w.settings.items()))
    return f"{w.task} by {w.model} ({settings}) on {w.items} of {w.inputs_sha256[:12]}"


def phase_energy(run: Run, phase: str) -> Figure | None:
    """Give the energy of a phase other than query (``load``, ``warm-up``, ``idle-before``), or None if it has none."""
    window = run.phases.get(phase)
    if window is None:
        return None
    return energy_figure(
        window, run.domains, session=run.session, workload=f"{_workload_scope(run)}, {phase}", phases=(phase,)
    )


def trial_energy(run: Run, trial: Trial) -> Figure:
    """Give the energy of one trial, in joules: of all its answers, whatever their number."""
    return energy_figure(
        trial.window, run.domains, session=run.session, workload=_workload_scope(run), phases=("query",)
    )


def energy_per_unit(run: Run) -> Figure:
    """Give the energy of one unit of work over the trials of a run, in J/unit.

    The value is the mean over trials. Its type A uncertainty comes from their spread (which holds the window edges
    already), the type B ones are those that trials share.

    A run that failed, or has a domain missing in one of its trials, is not made better by that: a failed run is
    unavailable, and a domain that is missing anywhere is left out everywhere.
    """
    unit = f"J/{run.workload.unit}"
    nothing = Boundary.of((), phases=("query",))
    trials = _answered(run)
    if run.failure is not None or not trials:
        cut_off = "cut off before its first trial was whole" if run.status in {"running", "interrupted"} else ""
        reason = run.failure or cut_off or "no trial gave a valid answer"
        return Figure.unavailable(unit, nothing, [Part("run", math.nan, Kind.UNAVAILABLE, reason)])
    usable, lost = _usable(run)
    if not usable:
        return Figure.unavailable(unit, nothing, [p for figure in lost for p in figure.parts])
    means = [_mean_figure(d, summarise([_energy_j(t, d) / t.units for t in trials]).mean, run) for d in usable]
    return replace(product(total([*means, *lost]), _repetition(run, usable), "J"), unit=unit)


def energies_per_trial(run: Run) -> tuple[float, ...]:
    """Give the energy per unit of each trial that was answered, in joules, over the domains that count in all of them.

    Raw values, without interval: for spread, trend and stopping.
    """
    usable, _ = _usable(run)
    return tuple(math.fsum(_energy_j(t, d) for d in usable) / t.units for t in _answered(run)) if usable else ()


def _answered(run: Run) -> tuple[Trial, ...]:
    return tuple(t for t in run.trials if t.units > 0)


def _reading(trial: Trial, domain: DomainRecord) -> DomainEnergy:
    return next(e for e in trial.window.energies if e.domain == domain.name)


def _energy_j(trial: Trial, domain: DomainRecord) -> float:
    """Energy of a domain that is known to be available."""
    energy_j = _reading(trial, domain).energy_j
    assert energy_j is not None  # noqa: S101 - `_usable` has looked
    return energy_j


def _usable(run: Run) -> tuple[list[DomainRecord], list[Figure]]:
    """Split the counted domains into those that all trials have, and what is missing in one of the others."""
    usable, lost = [], []
    scope, devices = _workload_scope(run), counted_devices(run.domains)
    for domain in run.domains:
        if not domain.counted:
            continue
        missing = next((t.window for t in _answered(run) if not _was_read(t.window, domain)), None)
        if missing is None:
            usable.append(domain)
        else:
            figure = domain_figure(
                missing, domain, session=run.session, workload=scope, phases=("query",), devices=devices
            )
            lost.append(figure)
    return usable, lost


def _was_read(window: WindowRecord, domain: DomainRecord) -> bool:
    return any(e.domain == domain.name and e.energy_j is not None for e in window.energies)


def _mean_figure(domain: DomainRecord, mean: float, run: Run) -> Figure:
    """Energy of one domain per unit, in J, with what all trials share: its gain and its mix."""
    errors = (
        Error(gain_source(domain, run.session), domain.accuracy.gain * mean),
        Error(mix_source(domain, _workload_scope(run)), domain.accuracy.mix * mean),
    )
    return Figure(
        value=mean,
        unit="J",
        boundary=replace(Boundary.of(domain.components, phases=("query",)), devices=counted_devices(run.domains)),
        errors=tuple(error for error in errors if error.size > 0),
        parts=(Part(domain.name, mean, Kind(domain.kind)),),
        sources=domain.accuracy.sources,
    )


def _repetition(run: Run, usable: Sequence[DomainRecord]) -> Figure:
    """Give a factor of one with the type A uncertainty of the mean.

    For a single trial, which has no spread, the edges of its window take its place.
    """
    per_trial = energies_per_trial(run)
    errors: tuple[Error, ...]
    if len(per_trial) > 1:
        blocks = [trial.block for trial in _answered(run)]
        # Files from before there were blocks mean what they meant then: trials that are independent.
        summary = summarise_trials(per_trial, blocks) if all(blocks) else summarise(per_trial)
        relative = summary.standard_error / summary.mean if summary.mean else 0.0
        errors = (Error(f"repetition of {run.id}", relative, summary.dof),)
    else:
        (trial,) = _answered(run)
        whole = per_trial[0] * trial.units
        own = (e for d in usable for e in window_errors(trial.window, d, _reading(trial, d), run.session))
        errors = tuple(replace(error, size=error.size / whole) for error in own if whole)
    nothing = Boundary.of((), phases=("query",))
    return Figure(value=1.0, unit="1", boundary=nothing, errors=tuple(e for e in errors if e.size > 0))


def measurement_energy(measurement: Measurement) -> tuple[Figure, ...]:
    """Give the energy of each window of a measurement, in joules."""
    return tuple(
        energy_figure(w, measurement.domains, session=measurement.session, workload=measurement.id)
        for w in measurement.windows
    )
