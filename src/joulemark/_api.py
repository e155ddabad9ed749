"""The verbs of the Python interface."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from joulemark.bench.plan import Suite
    from joulemark.figures import Figure
    from joulemark.meter.window import Window
    from joulemark.records.schema import Measurement, Run

__all__ = ["load", "measure", "merge", "run_suite"]


def measure(label: str = "") -> Window:
    """Give a window over the energy of this machine, to be used in a ``with`` statement.

    Args:
        label: what is measured, in your words.

    Returns:
        A window whose ``energy`` (joules, with interval, evidence and boundary) can be asked for once it is closed.
    """
    import sys

    launched = None
    if "joulemark.meter.meter" not in sys.modules:
        from joulemark.meter.launch import launch

        try:
            launched = launch({"places": [], "only": None, "urls": []})  # it looks for sensors while we load the rest
        except OSError:
            launched = None
    from joulemark.meter.meter import default_meter

    return default_meter(launched).measure(label)


def load(path: str | Path) -> tuple[Run, ...]:
    """Read one run record, or all of a results folder.

    Raises:
        RecordError: if there is none, or one cannot be read.
    """
    from joulemark.records import load_runs

    return load_runs(Path(path))


def merge(measurements: Iterable[str | Path | Measurement]) -> Figure:
    """Add the energies of several nodes, in joules: each node once, whichever of its ranks measured it.

    Args:
        measurements: what `Window.save` wrote on each rank or node, as files or as records.

    Raises:
        UsageError: if they overlap on one node without being ranks of one job.
        NotComparable: if their boundaries differ.
        RecordError: if a file cannot be read.
    """
    from joulemark.records.files import load_measurement
    from joulemark.records.merge import merge as merge_records

    return merge_records(m if not isinstance(m, str | Path) else load_measurement(Path(m)) for m in measurements)


def run_suite(
    suite: str | Path | Suite,
    out: str | Path,
    *,
    resume: bool = False,
    progress: Callable[[str], None] | None = None,
) -> tuple[Run, ...]:
    """Measure a suite and give its runs, as ``joulemark bench`` does.

    Args:
        suite: name of a suite that ships, the path of a suite file, or a `joulemark.bench.Suite`.
        out: results folder; each run is written there trial by trial.
        resume: go on where an earlier call was cut off.
        progress: called with a line of text now and then.

    Raises:
        JoulemarkError: see `joulemark.errors`; what was measured so far is in `out`.
    """
    from joulemark.bench import load_suite, run_plan

    def say(event: object) -> None:
        if progress is not None:
            progress(str(event))

    whole = load_suite(suite) if isinstance(suite, str | Path) else suite
    return run_plan(whole, Path(out), resume=resume, report=say)
