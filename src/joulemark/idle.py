"""What a machine draws at rest, and the energy of a piece of work above it.

Idle power is measured, before the work and after it, and subtracted as a power times a duration. It is never derived
from the load (``gross * (1 - load)``): that would make idle energy vanish on a busy machine, which draws it all the
same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from joulemark.errors import UsageError
from joulemark.figures import Error, Figure, Part, difference, product, total

__all__ = ["UNSEEN_DRIFT", "idle_energy", "idle_power", "net"]

UNSEEN_DRIFT = 0.05
"""Relative standard uncertainty of an idle power that was measured on one side of the work only.

An assumption of ours: a single window cannot show how the idle power drifts with temperature and background work.
Measure on both sides to replace it by the drift that was seen.
"""


def idle_power(before: Figure, after: Figure | None = None) -> Figure:
    """Give the power at rest during a piece of work, in watts, from windows on both sides of it.

    The value is the mean of both. Nobody saw the idle power in between; it is taken to lie anywhere between the two
    with equal chance, a rectangular distribution of half-width ``d = |after - before| / 2``, which adds a type B
    component ``u = d / sqrt(3)`` (JCGM 100:2008, 4.3.7). Its 95 % half-width of 1.13 d holds both readings. Errors that
    both windows share (a sensor's gain) stay whole in the mean; their own ones (edges, sampling) average.

    Args:
        before: mean power of a window at rest before the work, in watts.
        after: the same after it; without it, or where it is unavailable, `UNSEEN_DRIFT` stands for the drift.

    Raises:
        NotComparable: if the two cover different things, or one lost a domain that the other has.
        UsageError: if one of them is no power.
    """
    for figure in (before, after):
        if figure is not None and figure.unit != "W":
            raise UsageError(f"An idle power is in watts; this figure is in {figure.unit}.")
    if after is None or not after.available:
        return _one_sided(before)
    if not before.available:
        return _one_sided(after)
    # Windows before and after are different phases of a run by nature; what they cover must be the same.
    after = replace(after, boundary=replace(after.boundary, phases=before.boundary.phases))
    half_width_w = abs(difference(after, before).value) / 2
    mean = total((before, after)) * 0.5
    # Named after what it was computed from: another pair of windows drifts on its own.
    drift = Error(f"drift of the idle power from {before.value!r} W to {after.value!r} W", half_width_w / math.sqrt(3))
    return _with_drift(replace(mean, parts=_by_name(mean.parts)), drift)


def _one_sided(power: Figure) -> Figure:
    drift = Error(f"unseen drift of the idle power {power.value!r} W", UNSEEN_DRIFT * power.value)
    return _with_drift(power, drift) if power.available else power


def _with_drift(power: Figure, drift: Error) -> Figure:
    """Multiply by a factor of one that carries the drift (in watts), so that the figure's own formula stays."""
    if not drift.size > 0:
        return power
    factor = Figure(
        value=1.0,
        unit="1",
        boundary=power.boundary,
        errors=(replace(drift, size=drift.size / power.value),),
    )
    return product(power, factor, "W")


def _by_name(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Add up parts of one domain: a mean over two windows has each of them twice."""
    found: dict[Part, float] = {}
    for part in parts:
        key = replace(part, value=0.0)
        found[key] = found.get(key, 0.0) + part.value
    return tuple(replace(key, value=value) for key, value in found.items())


def idle_energy(idle_power: Figure, duration_s: float) -> Figure:
    """Give what the machine would have drawn at rest over a duration, in joules."""
    return replace(idle_power * duration_s, unit="J")


def net(gross: Figure, idle_power: Figure, duration_s: float) -> Figure:
    """Give the energy above what the machine would have drawn at rest, in joules; its boundary says ``net``.

    Errors that both share (a sensor's gain, a model's coefficients) cancel in part, as in every difference. The figure
    is signed: work that hardly shows above rest is 0 ± something, and may come out below.

    Args:
        gross: energy of the window of the work, in joules.
        idle_power: from `idle_power`, in watts.
        duration_s: length of that window.

    Raises:
        NotComparable: if the two cover different things.
        UsageError: if the machine was surely busier at rest than at work, so that its rest was none.
    """
    if not (gross.available and idle_power.available):
        # What is subtracted is missing: the result is, too, and says which of them is to blame.
        lost = (*gross.evidence.missing, *(replace(p, name=f"idle {p.name}") for p in idle_power.evidence.missing))
        return Figure.unavailable("J", replace(gross.boundary, idle="net"), lost)
    rest = idle_energy(idle_power, duration_s)
    rest = replace(rest, boundary=replace(rest.boundary, phases=gross.boundary.phases))
    above = difference(gross, rest)
    if above.high < 0:
        raise UsageError(
            f"The machine drew more at rest ({idle_power.format()}) than at work ({(gross / duration_s).value:.4g} W): "
            "something else ran in the idle window. Measure it again on a quiet machine."
        )
    return replace(above, boundary=replace(above.boundary, idle="net"))
