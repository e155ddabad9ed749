"""From windows to figures: the one place where a record becomes a number with an interval.

Live windows and loaded files both come through here, so that they cannot disagree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from joulemark.boundary import Boundary
from joulemark.figures import Error, Figure, Kind, Part, Source, product, total
from joulemark.records.schema import Accuracy, DomainRecord, Measurement, Run, Trial, WindowRecord
from joulemark.stats import summarise

__all__ = [
    "domain_figure",
    "energies_per_trial",
    "energy_figure",
    "energy_per_unit",
    "measurement_energy",
    "phase_energy",
    "power_figure",
]


def domain_figure(
    window: WindowRecord, domain: DomainRecord, *, session: str, workload: str, phases: tuple[str, ...] = ()
) -> Figure:
    """Give the energy of one domain in a window, in joules.

    Its errors, as standard uncertainties:

    - *gain*, shared by all readings of the sensor: within a session for a sensor that measures (each board has its
      own), wherever a model has the same parameters (its coefficients err in the same way);
    - *mix*, shared by the windows of one workload;
    - *edges*, this window's own: a reading is as old as a part of its update period T, uniformly. Its mean cancels
      between both edges, its variance P^2 T^2 / 12 counts twice, so u = P T / sqrt(6); likewise resolution / sqrt(6)
      (JCGM 100:2008, 4.3.7).

    Args:
        window: where the reading is.
        domain: what is asked for.
        session: scope within which a sensor's gain error is shared.
        workload: scope within which a model's mix error is shared.
        phases: the phases that the window covers, for the boundary.
    """
    boundary = Boundary.of(domain.components, phases=phases)
    reading = next((e for e in window.energies if e.domain == domain.name), None)
    if reading is None or reading.energy_j is None:
        reason = "not read in this window" if reading is None else str(reading.unavailable)
        return Figure.unavailable("J", boundary, [Part(domain.name, math.nan, Kind.UNAVAILABLE, reason)])
    energy_j = reading.energy_j
    return Figure(
        value=energy_j,
        unit="J",
        boundary=boundary,
        errors=tuple(_errors(energy_j, window, domain, session, workload)),
        parts=(Part(domain.name, energy_j, Kind(domain.kind)),),
        sources=_sources(domain.accuracy),
    )


def _errors(
    energy_j: float, window: WindowRecord, domain: DomainRecord, session: str, workload: str
) -> Sequence[Error]:
    candidates = (
        Error(_gain_source(domain, session), domain.accuracy.gain * energy_j),
        Error(_mix_source(domain, workload), domain.accuracy.mix * energy_j),
        _edges(energy_j, window, domain, session),
    )
    return [error for error in candidates if error.size > 0]


def _edges(energy_j: float, window: WindowRecord, domain: DomainRecord, session: str) -> Error:
    accuracy = domain.accuracy
    power_w = energy_j / window.duration_s if window.duration_s > 0 else 0.0
    size_j = math.hypot(power_w * accuracy.period_s, accuracy.resolution_j) / math.sqrt(6)
    return Error(f"edges of {domain.name} ({session}@{window.start_s:.6f}+{window.duration_s:.6f})", size_j)


def _gain_source(domain: DomainRecord, session: str) -> str:
    """Name the gain error: who names the same one errs by the same factor."""
    if domain.kind == "measured":
        scope = session
    else:
        scope = ", ".join(f"{name} {value}" for name, value in sorted(domain.parameters.items()))
    return f"gain of {domain.sensor}:{domain.name} ({scope})"


def _mix_source(domain: DomainRecord, workload: str) -> str:
    return f"mix of {domain.sensor}:{domain.name} ({workload})"


def _workload_scope(run: Run) -> str:
    """Runs of the same workload have the same instruction mix, whenever they were measured."""
    w = run.workload
    settings = ", ".join(f"{name} {value}" for name, value in sorted(w.settings.items()))
    return f"{w.task} by {w.model} ({settings}) on {w.items} of {w.inputs_sha256[:12]}"


def _sources(accuracy: Accuracy) -> tuple[Source, ...]:
    return tuple(Source(name=s.name, citation=s.citation, licence=s.licence) for s in accuracy.sources)


def energy_figure(
    window: WindowRecord,
    domains: Sequence[DomainRecord],
    *,
    session: str,
    workload: str,
    phases: tuple[str, ...] = (),
) -> Figure:
    """Give the energy of a window over all counted domains, in joules."""
    counted = [d for d in domains if d.counted]
    if not counted:
        none = Part("all", math.nan, Kind.UNAVAILABLE, "no sensor and no model covers this machine")
        return Figure.unavailable("J", Boundary.of((), phases=phases), [none])
    return total(domain_figure(window, d, session=session, workload=workload, phases=phases) for d in counted)


def phase_energy(run: Run, phase: str) -> Figure | None:
    """Give the energy of a phase other than query (``load``, ``warm-up``, ``idle-before``), or None if it has none."""
    window = run.phases.get(phase)
    if window is None:
        return None
    return energy_figure(
        window, run.domains, session=run.session, workload=f"{_workload_scope(run)}, {phase}", phases=(phase,)
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


def _energy_j(trial: Trial, domain: DomainRecord) -> float:
    """Energy of a domain that is known to be available."""
    return next(e.energy_j for e in trial.window.energies if e.domain == domain.name and e.energy_j is not None)


def _usable(run: Run) -> tuple[list[DomainRecord], list[Figure]]:
    """Split the counted domains into those that all trials have, and what is missing in one of the others."""
    usable, lost = [], []
    for domain in run.domains:
        if not domain.counted:
            continue
        figures = (
            domain_figure(t.window, domain, session=run.session, workload=_workload_scope(run), phases=("query",))
            for t in _answered(run)
        )
        missing = next((figure for figure in figures if not figure.available), None)
        if missing is None:
            usable.append(domain)
        else:
            lost.append(missing)
    return usable, lost


def _mean_figure(domain: DomainRecord, mean: float, run: Run) -> Figure:
    """Energy of one domain per unit, in J, with what all trials share: its gain and its mix."""
    errors = (
        Error(_gain_source(domain, run.session), domain.accuracy.gain * mean),
        Error(_mix_source(domain, _workload_scope(run)), domain.accuracy.mix * mean),
    )
    return Figure(
        value=mean,
        unit="J",
        boundary=Boundary.of(domain.components, phases=("query",)),
        errors=tuple(error for error in errors if error.size > 0),
        parts=(Part(domain.name, mean, Kind(domain.kind)),),
        sources=_sources(domain.accuracy),
    )


def _repetition(run: Run, usable: Sequence[DomainRecord]) -> Figure:
    """Give a factor of one with the type A uncertainty of the mean.

    For a single trial, which has no spread, the edges of its window take its place.
    """
    per_trial = energies_per_trial(run)
    errors: tuple[Error, ...]
    if len(per_trial) > 1:
        summary = summarise(per_trial)
        relative = summary.standard_error / summary.mean if summary.mean else 0.0
        errors = (Error(f"repetition of {run.id}", relative, summary.n - 1),)
    else:
        (trial,) = _answered(run)
        whole = per_trial[0] * trial.units
        edges = (_edges(_energy_j(trial, domain), trial.window, domain, run.session) for domain in usable)
        errors = tuple(replace(error, size=error.size / whole) for error in edges if whole)
    nothing = Boundary.of((), phases=("query",))
    return Figure(value=1.0, unit="1", boundary=nothing, errors=tuple(e for e in errors if e.size > 0))


def power_figure(energy: Figure, duration_s: float) -> Figure:
    """Give the mean power of an energy over a duration, in watts."""
    return replace(energy / duration_s, unit="W")


def measurement_energy(measurement: Measurement) -> tuple[Figure, ...]:
    """Give the energy of each window of a measurement, in joules."""
    return tuple(
        energy_figure(w, measurement.domains, session=measurement.session, workload=measurement.id)
        for w in measurement.windows
    )
