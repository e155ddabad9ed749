"""One figure from the measurements of many processes and machines: nodes are added, ranks of one node are not.

Every rank that measures sees its whole machine. Of the ranks of one job on one node, each domain is counted once: by
the lowest local rank that could read it. Measurements of one node that are no ranks of a job are added if they follow
each other, and refused if they overlap, for then they hold the same energy twice.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from joulemark.boundary import Boundary
from joulemark.errors import UsageError
from joulemark.figures import Figure, Kind, NotComparable, Part, total
from joulemark.readings import DomainRecord, WindowRecord, domain_figure
from joulemark.records.schema import Measurement

__all__ = ["energy_by_node", "merge"]

_CREATED_RESOLUTION_S = 1.0
"""`Measurement.created` is in whole seconds: two processes' windows that share less than this may follow each other."""


def merge(measurements: Iterable[Measurement], *, nodes: int | None = None) -> Figure:
    """Give the energy of a job over all its nodes, in joules.

    Of a measurement that holds several windows the last one is the work; those before it belong to it (at rest).

    Args:
        measurements: of all nodes, in any order, of one rank a node or of all of them.
        nodes: how many nodes there were; those without a measurement are named among what is missing.

    Returns:
        Their sum. What a node lacks (a failed domain, or the node itself) is among its missing parts, under the number
        of the node, ``node 2/gpu-0``.

    Raises:
        UsageError: if there is none, one is given twice, several do not say which machine they are of, two of one node
            overlap and are no ranks of a job, or there are more nodes than `nodes`.
        NotComparable: if the nodes were measured with different boundaries.
    """
    by_node = energy_by_node(measurements)
    if nodes is not None and len(by_node) > nodes:
        raise UsageError(f"The measurements are of {len(by_node)} nodes, more than the {nodes} there should be.")
    figures = [_named(figure, number) for number, figure in enumerate(by_node.values(), 1)]
    absent = [
        Part(f"node {number}", math.nan, Kind.UNAVAILABLE, "no measurement of it was given")
        for number in range(len(figures) + 1, (nodes or 0) + 1)
    ]
    whole = total(figures)
    return replace(whole, parts=(*whole.parts, *absent))


def energy_by_node(measurements: Iterable[Measurement]) -> Mapping[str, Figure]:
    """Give the energy of each node, in joules, by the node's id, in the order in which they are met.

    Raises:
        UsageError, NotComparable: see `merge`.
    """
    given = tuple(measurements)
    _refuse_unfit(given)
    by_node: dict[str, list[Measurement]] = {}
    for measurement in given:
        # Only a single machine may be unnamed, and it was checked that it is the only one.
        by_node.setdefault(measurement.node or "this machine", []).append(measurement)
    _refuse_different_boundaries(list(by_node.values()))
    # Nodes of one job run one workload: what a model cannot see of its instruction mix errs on all of them alike.
    workload = _job_name(given)
    return {node: _node_energy(of_node, workload) for node, of_node in by_node.items()}


def _refuse_unfit(given: Sequence[Measurement]) -> None:
    if not given:
        raise UsageError("There is no measurement to merge.")
    ids = [m.id for m in given]
    if twice := next((i for i in ids if ids.count(i) > 1), None):
        raise UsageError(f"The measurement {twice} was given twice.")
    if empty := next((m for m in given if not m.windows), None):
        raise UsageError(f"The measurement {empty.id} holds no window.")
    unnamed = [m for m in given if m.node is None]
    if unnamed and len({m.session for m in given}) > 1:
        raise UsageError(
            f"The measurement {unnamed[0].id} does not say which machine it is of, so it cannot be told whether its "
            "energy is in another one already. Measure it again with this version."
        )


def _refuse_different_boundaries(nodes: Sequence[Sequence[Measurement]]) -> None:
    """Compare what the nodes set out to measure; a domain that failed on one of them is missing, not different."""
    first, *others = [Boundary.of(c for m in of_node for d in _counted(m) for c in d.components) for of_node in nodes]
    for number, boundary in enumerate(others, 2):
        if found := first.differences(boundary):
            raise NotComparable(f"Node 1 and node {number} do not cover the same: {'; '.join(found)}.")


def _counted(measurement: Measurement) -> tuple[DomainRecord, ...]:
    return tuple(domain for domain in measurement.domains if domain.counted)


def _job_name(given: Sequence[Measurement]) -> str:
    """Name a set of measurements, whatever the order in which they were given."""
    ids = " ".join(sorted(m.id for m in given))
    return f"merged {hashlib.sha256(ids.encode()).hexdigest()[:16]}"


def _node_energy(of_node: Sequence[Measurement], workload: str) -> Figure:
    """Add up the domains of a node, each once."""
    ranks = _by_rank(of_node)
    names = dict.fromkeys(d.name for m in of_node for d in _counted(m))
    if not names:
        none = Part("all", math.nan, Kind.UNAVAILABLE, "no sensor and no model covers this machine")
        return Figure.unavailable("J", Boundary.of(()), [none])
    return total(_once(name, ranks, workload) for name in names)


def _by_rank(of_node: Sequence[Measurement]) -> list[list[Measurement]]:
    """Sort measurements by local rank, lowest first; those outside of a job are one more rank.

    Raises:
        UsageError: if two that both count overlap.
    """
    ranks: dict[int | None, list[Measurement]] = {}
    for measurement in of_node:
        ranks.setdefault(measurement.local_rank, []).append(measurement)
    alone = ranks.pop(None, [])
    ordered = [ranks[rank] for rank in sorted(rank for rank in ranks if rank is not None)]
    for same in (*ordered, alone):
        _refuse_overlap(same)
    if not alone:
        return ordered
    # What was measured beside a job counts like its lowest rank, and must not lie within it.
    lowest = [*(ordered[0] if ordered else ()), *alone]
    _refuse_overlap(lowest)
    return [lowest, *ordered[1:]]


def _refuse_overlap(measurements: Sequence[Measurement]) -> None:
    for place, one in enumerate(measurements):
        for other in measurements[place + 1 :]:
            if _overlap(one, other):
                raise UsageError(
                    f"The measurements {one.id} ({one.label!r}) and {other.id} ({other.label!r}) are of one machine at "
                    "the same time: each holds the energy of both. Give only one of them, or the one that encloses "
                    "the other."
                )


def _overlap(one: Measurement, other: Measurement) -> bool:
    if one.session == other.session:
        # One meter, one clock: exact.
        start_s, end_s = _span(one.windows[-1])
        other_start_s, other_end_s = _span(other.windows[-1])
        return min(end_s, other_end_s) > max(start_s, other_start_s)
    # Records of two processes have no clock in common but the one on the wall, at the moment each was made. That is
    # the end of its window, or a little later.
    end_s, other_end_s = (datetime.fromisoformat(m.created).timestamp() for m in (one, other))
    start_s, other_start_s = end_s - one.windows[-1].duration_s, other_end_s - other.windows[-1].duration_s
    return min(end_s, other_end_s) - max(start_s, other_start_s) > _CREATED_RESOLUTION_S


def _span(window: WindowRecord) -> tuple[float, float]:
    return window.start_s, window.start_s + window.duration_s


def _once(name: str, ranks: Sequence[Sequence[Measurement]], workload: str) -> Figure:
    """Give a domain's energy as the lowest rank has it that could read it in all its windows."""
    found = []
    for rank in ranks:
        figures = [
            domain_figure(m.windows[-1], domain, session=m.session, workload=workload)
            for m in rank
            for domain in _counted(m)
            if domain.name == name
        ]
        if figures:
            found.append(total(figures))
    return next((figure for figure in found if not figure.evidence.missing), found[0])


def _named(figure: Figure, number: int) -> Figure:
    """Put the number of the node before the names of the parts."""
    return replace(figure, parts=tuple(replace(p, name=f"node {number}/{p.name}") for p in figure.parts))
