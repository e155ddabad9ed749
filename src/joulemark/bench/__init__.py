"""The benchmark: a suite of workloads, each measured in a worker process of its own."""

from joulemark.bench.plan import Planned, Suite, load_suite, suite_names
from joulemark.bench.runner import Progress, run_plan

__all__ = ["Planned", "Progress", "Suite", "load_suite", "run_plan", "suite_names"]
