"""Whose energy it is: the part of the processors' energy that one process tree or one control group answers for.

A sensor sees a machine, or a socket, and everything that runs on it. A scope's part is

    active = (energy - idle power * duration) * (its CPU time / busy CPU time of the machine),

so that the parts of all scopes add up to what the machine drew above idle. Energy at rest is stated apart: it is drawn
whoever runs. The split assumes that a second of CPU time is worth the same energy whoever spends it. It is not, and
`WORTH_OF_CPU_TIME` carries that into the interval. CPU time is read by `joulemark.meter.cpu_time`.

It says nothing of an accelerator: the energy of a GPU is never split by CPU time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from joulemark.boundary import Boundary, Component
from joulemark.errors import UsageError
from joulemark.figures import Error, Figure, Kind, Part, Source, product, total
from joulemark.idle import idle_energy, net

__all__ = ["WORTH_OF_CPU_TIME", "Attributed", "IdlePolicy", "Policy", "Share", "attribute"]

Policy = Literal["machine", "process", "cgroup"]
IdlePolicy = Literal["none", "by-time"]

# What a second of CPU time is worth, one program against another, as bounds of the logarithm of their ratio:
# - instruction mix: two Python programs with the same CPU time, one bound by memory and one by hashing, differed by
#   about 50 % (Qiao et al. 2024);
# - hyper-threads: the second one on a core adds about 15 % to its power (Weigell et al. 2025), so that a second beside
#   a sibling is worth 1.15 / 2 of a second alone.
# That these are the ends of rectangular distributions (JCGM 100:2008, 4.3.7), and that they are independent, is an
# assumption of ours; what frequency adds is taken to be within them.
_INSTRUCTION_MIX = math.log(1.5)
_HYPER_THREADS = math.log(2 / 1.15)
WORTH_OF_CPU_TIME = math.hypot(_INSTRUCTION_MIX, _HYPER_THREADS) / math.sqrt(3)
"""Log standard deviation of the energy of a second of CPU time, of a scope against everything else that ran: 0.40."""

_SOURCES = (
    Source(
        name="Energy-aware process scheduling in Linux",
        citation="Qiao, Fang, Cidon, HotCarbon 2024: about 50 % between two processes of the same CPU time",
    ),
    Source(
        name="METRION",
        citation="Weigell, Hornung, Bauer 2025, arXiv:2512.06806: about 15 % for the second hyper-thread of a core",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A scope's share of the CPU time of a window.

    Attributes:
        policy: of the scope.
        of_busy: its share of the machine's busy time, 0 to 1; NaN where nothing was busy long enough to be counted.
        busy_of_capacity: how busy the machine was, 0 to 1.
        uncertainty: standard uncertainty of `of_busy` from the step of the counters.
    """

    policy: Policy
    of_busy: float
    busy_of_capacity: float
    uncertainty: float

    @property
    def of_capacity(self) -> float:
        """Share of all the CPU time there was, idle or not."""
        return self.of_busy * self.busy_of_capacity


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributed:
    """A scope's part of an energy, in joules.

    Attributes:
        active: of the energy above idle; of all of it, with a gross boundary, where the idle power is not known.
        idle_part: of the energy that the machine would have drawn at rest.
        idle: the policy that `idle_part` follows.
    """

    active: Figure
    idle_part: Figure
    idle: IdlePolicy

    @property
    def whole(self) -> Figure:
        """Active energy with the scope's share of idle; without one, the active energy alone."""
        if self.idle == "none" or not self.idle_part.available:
            return self.active
        return total((replace(self.active, boundary=self.idle_part.boundary), self.idle_part))


def attribute(
    energy: Figure,
    share: Share,
    *,
    duration_s: float,
    workload: str,
    window: str,
    idle_power: Figure | None = None,
    idle: IdlePolicy = "none",
) -> Attributed:
    """Give a scope's part of an energy.

    Errors that come in with the split, by name:

    - *worth of CPU time*: `WORTH_OF_CPU_TIME` times the share of the others, because with a second of the scope's CPU
      time worth k of theirs its true share is ``k s / (k s + 1 - s)``, whose relative slope at k = 1 is ``1 - s``. What
      ran alone is known; windows of one workload share it, two workloads do not;
    - *CPU time counted*, this window's own.

    Args:
        energy: of the machine's processors (and memory, board ...) in the window, in joules.
        share: the scope's, from `share`.
        duration_s: length of the window.
        workload: scope within which the worth of CPU time is shared.
        window: what tells this window from all others.
        idle_power: of the same components, in watts (`joulemark.idle.idle_power`). Without it the idle energy
            cannot be told apart: it is split with the rest, and the boundary stays gross.
        idle: the idle energy's policy: ``none``: none of it is the scope's; ``by-time``: as much as the scope took up
            of all the CPU time there was (of capacity, not of busy time: what nobody used is nobody's).

    Raises:
        UsageError: if the energy is a GPU's, or the machine was busier at rest than in this window.
        NotComparable: if energy and idle power cover different things.
    """
    if Component.GPU in energy.boundary.components:
        raise UsageError("CPU time says nothing about a GPU's energy: attribute the processors' part alone.")
    counted = f"CPU time counted ({window})"
    above = energy if idle_power is None else net(energy, idle_power, duration_s)
    if math.isnan(share.of_busy):
        reason = f"no CPU time was counted in {duration_s:.3g} s (it is counted in steps, of 10 ms on most systems)"
        nothing = _unavailable(energy, share.policy, reason)
        return Attributed(active=replace(nothing, boundary=_owned(above, share.policy)), idle_part=nothing, idle=idle)
    return Attributed(
        active=_part(above, _busy_share(share, workload, counted), share.policy),
        idle_part=_idle_part(energy, share, duration_s, idle_power, idle, counted),
        idle=idle,
    )


def _idle_part(
    energy: Figure, share: Share, duration_s: float, idle_power: Figure | None, idle: IdlePolicy, counted: str
) -> Figure:
    if idle_power is None:
        return _unavailable(energy, share.policy, "the idle power was not measured: it is in the active part")
    rest = idle_energy(idle_power, duration_s)
    rest = replace(rest, boundary=energy.boundary)
    if idle == "none":
        return replace(_part(rest * 0.0, _ratio(1.0, ()), share.policy), errors=(), formula=None)
    size = share.uncertainty * share.busy_of_capacity
    return _part(rest, _ratio(share.of_capacity, (Error(counted, size),)), share.policy)


def _busy_share(share: Share, workload: str, counted: str) -> Figure:
    worth = WORTH_OF_CPU_TIME * share.of_busy * (1 - share.of_busy)
    named = f"worth of CPU time, by {share.policy} ({workload})"
    errors = () if share.policy == "machine" else (Error(named, worth), Error(counted, share.uncertainty))
    return _ratio(share.of_busy, errors, sources=_SOURCES if worth > 0 else ())


def _ratio(value: float, errors: Iterable[Error], sources: tuple[Source, ...] = ()) -> Figure:
    kept = tuple(e for e in errors if e.size > 0)
    return Figure(value=value, unit="1", boundary=Boundary.of(()), errors=kept, sources=sources)


def _part(energy: Figure, ratio: Figure, policy: Policy) -> Figure:
    """Multiply; what was measured of the machine is modelled of one scope."""
    part = product(energy, ratio, "J")
    kinds = {Kind.MEASURED: Kind.MODELLED} if policy != "machine" else {}
    return replace(
        part,
        boundary=_owned(energy, policy),
        parts=tuple(replace(p, kind=kinds.get(p.kind, p.kind)) for p in part.parts),
    )


def _owned(energy: Figure, policy: Policy) -> Boundary:
    return replace(energy.boundary, attribution=policy)


def _unavailable(energy: Figure, policy: Policy, reason: str) -> Figure:
    names = dict.fromkeys(p.name for p in energy.parts) or {"cpu": None}
    parts = [Part(name, math.nan, Kind.UNAVAILABLE, reason) for name in names]
    return Figure.unavailable("J", _owned(energy, policy), parts)
