"""What sensors saw, and the figures that follow from it.

These types go into files as they are (`joulemark.records`), and live windows hold them too: both become figures in the
same functions, so that they cannot disagree. They need no dependency, because the meter runs inside other people's
programs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from joulemark.attribution import Share, attribute
from joulemark.boundary import Boundary, Component
from joulemark.figures import Error, Figure, Kind, Part, Source, total

__all__ = [
    "Accuracy",
    "DomainEnergy",
    "DomainRecord",
    "Instrument",
    "Machine",
    "Refusal",
    "WindowRecord",
    "counted_devices",
    "domain_figure",
    "energy_figure",
    "gain_source",
    "grade",
    "mix_source",
    "power_figure",
    "window_errors",
]


def _refuse_negative(record: object, *names: str) -> None:
    for name in names:
        value = getattr(record, name)
        if value is not None and not value >= 0:
            raise ValueError(f"{name} is {value}; it cannot be negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """What is known of a domain's errors; relative ones are standard uncertainties as fractions of the value.

    Attributes:
        gain: relative error that all readings of this sensor or model share.
        mix: further relative error that the windows of one workload share, but two workloads do not (an instruction
            mix that a load model cannot see, power that a gauge looks away from); 0 for most sensors that measure.
        period_s: time between updates of the reading; a window's edges are unsure by a part of it.
        resolution_j: smallest step of the reading.
        sources: where these numbers come from.
    """

    gain: float
    mix: float = 0.0
    period_s: float = 0.0
    resolution_j: float = 0.0
    sources: tuple[Source, ...] = ()

    def __post_init__(self) -> None:
        _refuse_negative(self, "gain", "mix", "period_s", "resolution_j")


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainRecord:
    """One thing that a sensor sees, as it was used.

    Attributes:
        name: ``cpu-0``, ``dram-0``, ``gpu-0`` ...
        components: what it covers, see `joulemark.boundary.Component`.
        sensor: the sensor's name and version or driver.
        kind: ``measured`` or ``modelled``.
        counted: whether it enters totals (a parent or a child of a counted domain does not).
        selected: False for a device that is left out because this process may not use it, or was told to.
        parent: the domain that contains it.
        parameters: of a model, with units in the names (``max_w``).
    """

    name: str
    components: tuple[Component, ...]
    sensor: str
    kind: Literal["measured", "modelled", "assumed"]
    accuracy: Accuracy
    counted: bool = True
    selected: bool = True
    parent: str | None = None
    parameters: dict[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A sensor that was looked for and not used, and why; `remedy` is a command that would change that."""

    sensor: str
    reason: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainEnergy:
    """Energy of one domain in a window, or the reason why there is none. Never zero for a failure.

    Attributes:
        domain: its name.
        energy_j: joules.
        unavailable: why there is none.
        edges_j: standard uncertainty from where the window's edges lie between two updates of the sensor, in joules;
            None where only the sensor's update period is known.
        sampling_j: standard uncertainty from what a gauge did not show between its updates, in joules.
    """

    domain: str
    energy_j: float | None = None
    unavailable: str | None = None
    edges_j: float | None = None
    sampling_j: float = 0.0

    def __post_init__(self) -> None:
        if (self.energy_j is None) == (self.unavailable is None):
            raise ValueError(f"domain {self.domain!r} needs either energy_j or the reason why it is unavailable")
        _refuse_negative(self, "edges_j", "sampling_j")


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRecord:
    """A stretch of monotonic time, in seconds, and the energy of each domain in it.

    `start_s` counts from when the meter was made; a run that was gone on with has windows of several meters. `share` is
    the part of the CPU time that counts, where not all of it does; `not_split` why that part is not known.
    """

    label: str
    start_s: float
    duration_s: float
    energies: tuple[DomainEnergy, ...]
    share: Share | None = None
    not_split: str = ""

    def __post_init__(self) -> None:
        _refuse_negative(self, "duration_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Hardware and system, without anything that names its owner.

    `hostname` is None unless it was asked for with ``--identify``.
    """

    processor: str
    cpus: int
    memory_bytes: int
    system: str
    virtual: bool
    gpus: tuple[str, ...] = ()
    gpu_driver: str = ""
    hostname: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """What measuring itself cost: readings of the sensors and CPU time they took, in seconds."""

    readings: int
    cpu_s: float


def domain_figure(
    window: WindowRecord,
    domain: DomainRecord,
    *,
    session: str,
    workload: str,
    phases: tuple[str, ...] = (),
    devices: Literal["active", "all"] = "all",
) -> Figure:
    """Give the energy of one domain in a window, in joules.

    Its errors, as standard uncertainties:

    - *gain*, shared by all readings of the sensor: within a session for a sensor that measures (each board has its
      own), wherever a model has the same parameters (its coefficients err in the same way);
    - *mix*, shared by the windows of one workload;
    - *edges*, *quantisation* and *sampling*, this window's own (see `window_errors`).

    Args:
        window: where the reading is.
        domain: what is asked for.
        session: scope within which a sensor's gain error is shared.
        workload: scope within which a model's mix error is shared.
        phases: the phases that the window covers, for the boundary.
        devices: ``active`` where devices of the machine are left out, for the boundary.
    """
    boundary = replace(Boundary.of(domain.components, phases=phases), devices=devices)
    reading = next((e for e in window.energies if e.domain == domain.name), None)
    if reading is None or reading.energy_j is None:
        reason = "not read in this window" if reading is None else str(reading.unavailable)
        return Figure.unavailable("J", boundary, [Part(domain.name, math.nan, Kind.UNAVAILABLE, reason)])
    energy_j = reading.energy_j
    errors = (
        Error(gain_source(domain, session), domain.accuracy.gain * energy_j),
        Error(mix_source(domain, workload), domain.accuracy.mix * energy_j),
        *window_errors(window, domain, reading, session),
    )
    return Figure(
        value=energy_j,
        unit="J",
        boundary=boundary,
        errors=tuple(error for error in errors if error.size > 0),
        parts=(Part(domain.name, energy_j, Kind(domain.kind)),),
        sources=domain.accuracy.sources,
    )


def window_errors(window: WindowRecord, domain: DomainRecord, reading: DomainEnergy, session: str) -> Iterator[Error]:
    """Give the errors that are this window's own, in joules.

    Where the record does not hold the uncertainty of the edges: a reading is as old as a part of its update period T,
    uniformly. Its mean cancels between both edges, its variance P^2 T^2 / 12 counts twice, so u = P T / sqrt(6);
    likewise resolution / sqrt(6) (JCGM 100:2008, 4.3.7).
    """
    accuracy = domain.accuracy
    edges_j = reading.edges_j
    if edges_j is None:
        power_w = (reading.energy_j or 0.0) / window.duration_s if window.duration_s > 0 else 0.0
        edges_j = power_w * accuracy.period_s / math.sqrt(6)
    where = f"{domain.name} ({session}@{window.start_s:.6f}+{window.duration_s:.6f})"
    yield Error(f"edges of {where}", edges_j, additive=True)
    yield Error(f"quantisation of {where}", accuracy.resolution_j / math.sqrt(6), additive=True)
    yield Error(f"sampling of {where}", reading.sampling_j, additive=True)


def gain_source(domain: DomainRecord, session: str) -> str:
    """Name the gain error: who names the same one errs by the same factor."""
    if domain.kind == "measured":
        scope = session
    else:
        scope = ", ".join(f"{name} {value}" for name, value in sorted(domain.parameters.items()))
    return f"gain of {domain.sensor}:{domain.name} ({scope})"


def grade(domain: DomainRecord) -> str:
    """Grade what a domain's readings are worth: A to C measured, D modelled.

    A: measured within ±6 % (95 %); B: within ±15 %; C: measured, but wider than that; D: a model.
    """
    if domain.kind != "measured":
        return "D"
    width = 1.96 * math.hypot(domain.accuracy.gain, domain.accuracy.mix)
    return "A" if width <= 0.06 else "B" if width <= 0.15 else "C"


def mix_source(domain: DomainRecord, workload: str) -> str:
    """Name the mix error: the windows of one workload share it."""
    return f"mix of {domain.sensor}:{domain.name} ({workload})"


def energy_figure(
    window: WindowRecord,
    domains: Sequence[DomainRecord],
    *,
    session: str,
    workload: str,
    phases: tuple[str, ...] = (),
) -> Figure:
    """Give the energy of a window over all counted domains, in joules.

    Where the window holds a share of the CPU time, that of the processors and what belongs to them is that share of it
    (`joulemark.attribution`); a GPU counts as a whole.
    """
    counted = [d for d in domains if d.counted]
    if not counted:
        none = Part("all", math.nan, Kind.UNAVAILABLE, "no sensor and no model covers this machine")
        return Figure.unavailable("J", Boundary.of((), phases=phases), [none])
    devices = counted_devices(domains)
    figures = [
        domain_figure(window, d, session=session, workload=workload, phases=phases, devices=devices) for d in counted
    ]
    if window.share is not None:
        figures = _split(figures, window, window.share, f"{session}@{window.start_s:.6f}", workload)
    elif window.not_split:
        figures = [f if Component.GPU in f.boundary.components else _lost(f, window.not_split) for f in figures]
    return total(figures)


def _split(figures: Sequence[Figure], window: WindowRecord, share: Share, name: str, workload: str) -> list[Figure]:
    """Put in place of the processors' energies and what belongs to them the part of a scope."""
    gpus = [f for f in figures if Component.GPU in f.boundary.components]
    processors = [f for f in figures if Component.GPU not in f.boundary.components]
    owned = [replace(f, boundary=replace(f.boundary, attribution=share.policy)) for f in gpus]
    if not processors:
        return owned
    split = attribute(total(processors), share, duration_s=window.duration_s, workload=workload, window=name)
    return [split.active, *owned]


def _lost(figure: Figure, reason: str) -> Figure:
    parts = [Part(part.name, math.nan, Kind.UNAVAILABLE, part.reason or reason) for part in figure.parts]
    return Figure.unavailable("J", figure.boundary, parts)


def counted_devices(domains: Iterable[DomainRecord]) -> Literal["active", "all"]:
    """Say for a boundary whether all devices of the machine count."""
    return "all" if all(domain.selected for domain in domains) else "active"


def power_figure(energy: Figure, duration_s: float) -> Figure:
    """Give the mean power of an energy over a duration, in watts."""
    return replace(energy / duration_s, unit="W")
