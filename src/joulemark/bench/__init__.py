"""The benchmark: a suite of workloads, each measured in worker processes of its own.

Loaded at first use: the worker process needs none of what measures.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from joulemark.bench.plan import (
        PROTOCOLS,
        Planned,
        Suite,
        SuiteProtocol,
        SuiteWorkload,
        load_suite,
        plan_suite,
        suite_names,
    )
    from joulemark.bench.runner import Progress, run_plan

_HOMES = {
    "PROTOCOLS": "joulemark.bench.plan",
    "Planned": "joulemark.bench.plan",
    "Progress": "joulemark.bench.runner",
    "Suite": "joulemark.bench.plan",
    "SuiteProtocol": "joulemark.bench.plan",
    "SuiteWorkload": "joulemark.bench.plan",
    "load_suite": "joulemark.bench.plan",
    "plan_suite": "joulemark.bench.plan",
    "run_plan": "joulemark.bench.runner",
    "suite_names": "joulemark.bench.plan",
}

__all__ = [
    "PROTOCOLS",
    "Planned",
    "Progress",
    "Suite",
    "SuiteProtocol",
    "SuiteWorkload",
    "load_suite",
    "plan_suite",
    "run_plan",
    "suite_names",
]


def __getattr__(name: str) -> object:
    import importlib

    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(importlib.import_module(home), name)
