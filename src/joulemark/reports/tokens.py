"""What a token costs to read and to write: a fit over runs of one decoder that differ in lengths."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from joulemark.errors import UsageError
from joulemark.figures import Error, Figure, Kind, Part
from joulemark.records import Run, energies_per_trial, energy_per_unit
from joulemark.stats.linear import fit

__all__ = ["TokenEnergy", "token_energy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenEnergy:
    """Energy of a request: ``request + prefill * tokens_in + decode * tokens_out``.

    Attributes:
        request: what a request takes in any case, in J.
        prefill: a token read, in J/token.
        decode: a token written, in J/token.
        trials: how many trials it was fitted to.
        residual: standard deviation of what the fit leaves, as a part of the energy.
    """

    request: Figure
    prefill: Figure
    decode: Figure
    trials: int
    residual: float


def token_energy(runs: Sequence[Run]) -> TokenEnergy:
    """Fit the energy of tokens over all trials of some runs (`joulemark.stats.linear.fit`, weights ``1 / energy^2``).

    Standard errors of the coefficients hold the repetition. Gains, which all runs share, multiply each of them; of the
    mixes, which runs do not share, the largest counts. Where tokens read and written go together, or too few trials
    hold them, all three are unavailable, with the reason.

    Args:
        runs: of one model on one machine, with different lengths of context and output.

    Raises:
        UsageError: if there is no run with an energy, or they are of different models.
    """
    known = [run for run in runs if energy_per_unit(run).available]
    if not known:
        raise UsageError("No run has an energy, so there is none of a token.")
    models = {(run.workload.model, run.workload.backend, run.workload.precision) for run in known}
    if len(models) > 1:
        raise UsageError(f"The energy of a token is that of one model; these are {len(models)}.")
    rows = [
        (energy_j, trial.tokens_in / trial.units, trial.tokens_out / trial.units)
        for run in known
        for energy_j, trial in zip(energies_per_trial(run), (t for t in run.trials if t.units), strict=True)
        if trial.tokens_in is not None and trial.tokens_out is not None and energy_j > 0
    ]
    energies = [energy_j for energy_j, _, _ in rows]
    found = fit(
        [[1.0] * len(rows), [read for _, read, _ in rows], [written for _, _, written in rows]],
        energies,
        names=("the request", "tokens read", "tokens written"),
        weights=[1 / energy_j**2 for energy_j in energies],
    )
    names, units = ("request", "prefill", "decode"), ("J", "J/token", "J/token")
    base = energy_per_unit(known[0])
    if not found.coefficients:
        lost = [
            Figure.unavailable(unit, base.boundary, [Part(name, math.nan, Kind.UNAVAILABLE, found.reason)])
            for name, unit in zip(names, units, strict=True)
        ]
        return TokenEnergy(request=lost[0], prefill=lost[1], decode=lost[2], trials=len(rows), residual=math.nan)
    shared, mix = _shared(known)
    scope = ", ".join(sorted(run.id for run in known))
    figures = [
        replace(
            base,
            value=c.value,
            unit=unit,
            errors=(
                Error(f"repetition of the fit of {name} over {scope}", c.standard_error, found.dof, additive=True),
                *(Error(source, part * abs(c.value)) for source, part in shared.items()),
                *([Error(f"mix of the fit over {scope}", mix * abs(c.value))] if mix else []),
            ),
            parts=(Part(name, c.value, base.evidence.kind),),
            signed=True,
            formula=None,
        )
        for name, unit, c in zip(names, units, found.coefficients, strict=True)
    ]
    return TokenEnergy(
        request=figures[0], prefill=figures[1], decode=figures[2], trials=len(rows), residual=found.residual_sd
    )


def _shared(runs: Sequence[Run]) -> tuple[dict[str, float], float]:
    """Relative gains by source, and the largest relative mix of a run."""
    gains: dict[str, float] = {}
    mix = 0.0
    for run in runs:
        figure = energy_per_unit(run)
        mixes = []
        for error in figure.errors:
            part = abs(error.size / figure.value)
            if error.source.startswith("gain of "):
                gains[error.source] = max(part, gains.get(error.source, 0.0))
            elif error.source.startswith("mix of "):
                mixes.append(part)
        mix = max(mix, math.hypot(*mixes))
    return gains, mix
