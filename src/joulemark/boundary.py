"""What a figure covers. Two figures may be compared only if their boundaries agree.

The term of life-cycle assessment is *system boundary* (ISO 14040:2006, 3.32).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

__all__ = ["Boundary", "Component"]


class Component(StrEnum):
    """A part of a machine or a site that draws power."""

    GPU = "gpu"
    CPU = "cpu"
    DRAM = "dram"
    BOARD = "board"
    PSU_LOSS = "psu_loss"
    FACILITY = "facility"
    NETWORK = "network"


_TITLES = {
    Component.GPU: "GPU",
    Component.CPU: "CPU",
    Component.DRAM: "memory",
    Component.BOARD: "board",
    Component.PSU_LOSS: "power-supply losses",
    Component.FACILITY: "facility",
    Component.NETWORK: "network",
}

_WHOSE = {"machine": "the whole machine", "process": "one process tree", "cgroup": "one control group"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundary:
    """What is counted.

    Attributes:
        components: the parts whose energy is in the figure.
        devices: ``active``: only those that the program may use, or was told to count; ``all``: every device of the
            machine.
        idle: ``gross``: with what the machine draws anyway; ``net``: without it.
        attribution: whose energy it is: ``machine``: of everything that ran on it; ``process``, ``cgroup``: the part of
            a process and its children, or of a control group (`joulemark.attribution`).
        phases: the phases counted, such as ``("query",)``; empty for a plain window.
        embodied: whether the making of the hardware is in it.
    """

    components: frozenset[Component]
    devices: Literal["active", "all"] = "all"
    idle: Literal["gross", "net"] = "gross"
    attribution: Literal["machine", "process", "cgroup"] = "machine"
    phases: tuple[str, ...] = ()
    embodied: bool = False

    @classmethod
    def of(cls, components: Iterable[str], *, phases: tuple[str, ...] = ()) -> Boundary:
        """Build a gross, whole-machine boundary from component names."""
        return cls(components=frozenset(Component(c) for c in components), phases=phases)

    def __or__(self, other: Boundary) -> Boundary:
        """Give the boundary of a sum: the components of both.

        Raises:
            ValueError: if devices, idle policy, attribution, phases or embodied differ, for then a sum has no boundary.
        """
        if replace(self, components=other.components) != other:
            raise ValueError(f"no common boundary: {'; '.join(self.differences(other))}")
        return replace(self, components=self.components | other.components)

    def differences(self, other: Boundary) -> tuple[str, ...]:
        """Say what keeps the two from being compared, and what would mend it; empty if they may be."""
        found = []
        for component in sorted(self.components ^ other.components):
            here = "first" if component in self.components else "second"
            found.append(
                f"only the {here} counts {_TITLES[component]}: leave it out of that one or add it to the other"
            )
        if self.devices != other.devices:
            found.append(f"devices: {self.devices} against {other.devices}: count the same devices in both")
        if self.idle != other.idle:
            found.append(f"idle: {self.idle} against {other.idle}: subtract the idle power from the gross one")
        if self.attribution != other.attribution:
            found.append(
                f"energy of {_WHOSE[self.attribution]} against energy of {_WHOSE[other.attribution]}: "
                "attribute both in the same way"
            )
        if self.phases != other.phases:
            found.append(f"phases: {self.phases or 'all'} against {other.phases or 'all'}: count the same phases")
        if self.embodied != other.embodied:
            found.append("only one of them counts the making of the hardware")
        return tuple(found)

    def __str__(self) -> str:
        names = [_TITLES[c] for c in Component if c in self.components]
        parts = [", ".join(names) if names else "nothing"]
        parts.append("all devices" if self.devices == "all" else "selected devices only")
        parts.append("idle included" if self.idle == "gross" else "net of idle")
        if self.attribution != "machine":
            parts.append(f"the part of {_WHOSE[self.attribution]}")
        if self.phases:
            parts.append(f"{' + '.join(self.phases)} phase{'s' if len(self.phases) > 1 else ''}")
        if self.embodied:
            parts.append("making of hardware included")
        return "; ".join(parts)
