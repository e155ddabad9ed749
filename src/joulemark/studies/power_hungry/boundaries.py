"""The study's energies under other boundaries, as far as its logs carry them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from joulemark.boundary import Boundary
from joulemark.studies.power_hungry.claims import Claims
from joulemark.studies.power_hungry.logs import Logs
from joulemark.studies.power_hungry.readings import LOGGED, Scope

__all__ = ["Bounded", "IdleGpu", "boundaries", "idle_gpu"]

SHORTEST_S = 10.0
"""Phases that count for the power at rest: the meter reads once a second, and shorter ones hold too few readings."""


@dataclass(frozen=True, slots=True)
class IdleGpu:
    """What one idle GPU draws, in watts: best estimate, and the range that it is taken to lie in."""

    best_w: float
    low_w: float
    high_w: float
    method: str


@dataclass(frozen=True, slots=True)
class Bounded:
    """One boundary.

    Attributes:
        scope: the best estimate.
        least: with the inputs that make it least.
        most: with those that make it most.
        boundary: in the program's words.
        evidence: how it comes about.
        facility: whether the building's overhead is in it.
    """

    scope: Scope
    least: Scope
    most: Scope
    boundary: Boundary
    evidence: str
    facility: str = ""

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """The best estimate, and both ends where they differ from it."""
        return (self.scope,) if self.least is self.scope else (self.scope, self.least, self.most)

    @property
    def words(self) -> str:
        """What it covers."""
        return f"{self.boundary}{self.facility}"


def idle_gpu(logs: Logs, claims: Claims) -> IdleGpu:
    """Estimate what an idle GPU draws from readings that cover all GPUs of the node.

    Best: the lowest mean power of all GPUs in any phase, divided by their number, as if all were at rest then. High:
    the same of the day whose lowest is highest, since rest drifts with temperature. Low: the least that others publish
    for the GPU, because even in the lowest phase one GPU may have worked. Assumption of ours, as the logs never show a
    GPU alone.
    """
    phases = [phase for phase in logs.phases() if phase.duration_s >= SHORTEST_S] or list(logs.phases())
    lowest: dict[str, float] = defaultdict(lambda: float("inf"))
    for phase in phases:
        power = phase.parts_j["gpu"] / phase.duration_s / max(phase.gpus, 1)
        lowest[phase.day] = min(lowest[phase.day], power)
    best, high = min(lowest.values()), max(lowest.values())
    cited = float(claims.idle_gpu["least_w"])
    return IdleGpu(
        best,
        min(cited, best),
        high,
        f"idle GPU {best:.1f} W: the lowest mean reading over all GPUs in any phase of {SHORTEST_S:.0f} s and more, by "
        f"their number; taken to lie between {min(cited, best):.1f} W ({claims.idle_gpu['citation']}) and {high:.1f} W "
        f"(the highest of the lowest readings of {len(lowest)} days)",
    )


def boundaries(idle: IdleGpu, claims: Claims, kinds: Mapping[str, str]) -> tuple[Bounded, ...]:
    """Give the boundaries: as logged, all GPUs, the working GPU, net of rest, with the building.

    Args:
        idle: what an idle GPU draws.
        claims: for the power usage effectiveness.
        kinds: by component how its energy came about: ``measured``, ``modelled`` or ``assumed``.
    """
    node = Boundary.of(("gpu", "dram", "cpu"), phases=("query",))
    gpus = Boundary.of(("gpu",), phases=("query",))
    all_gpus = Scope("all GPUs", lambda phase: phase.parts_j["gpu"])
    pue = claims.pue
    # What is constant is the same at rest, and cancels; what varies would need its own power at rest.
    constant = "measured" not in (kinds["ram"], kinds["cpu"])
    rest = "memory and CPU are constants and cancel" if constant else "memory and CPU are left out"

    def working(name: str, idle_w: float) -> Scope:
        return Scope(
            name,
            lambda phase: phase.parts_j["gpu"] - (phase.gpus - 1) * idle_w * phase.duration_s,
        )

    def net(name: str, idle_w: float) -> Scope:
        return Scope(
            name,
            lambda phase: phase.parts_j["gpu"] - phase.gpus * idle_w * phase.duration_s,
        )

    def building(factor: float) -> Scope:
        return Scope("with PUE", lambda phase: phase.total_j * factor)

    return (
        Bounded(LOGGED, LOGGED, LOGGED, node, ", ".join(f"{part} {kind}" for part, kind in kinds.items())),
        Bounded(all_gpus, all_gpus, all_gpus, gpus, kinds["gpu"]),
        Bounded(
            working("working GPU", idle.best_w),
            working("working GPU", idle.high_w),
            working("working GPU", idle.low_w),
            Boundary(components=gpus.components, devices="active", phases=("query",)),
            "modelled: the reading less what idle GPUs draw",
        ),
        Bounded(
            net("net of idle", idle.best_w),
            net("net of idle", idle.high_w),
            net("net of idle", idle.low_w),
            Boundary(components=(node if constant else gpus).components, idle="net", phases=("query",)),
            f"modelled: the reading less what all GPUs draw at rest; {rest}",
        ),
        Bounded(
            building(float(pue["value"])),
            building(float(pue["low"])),
            building(float(pue["high"])),
            node,
            f"as logged, times a power usage effectiveness that is assumed ({pue['citation']})",
            facility="; facility overhead",
        ),
    )
