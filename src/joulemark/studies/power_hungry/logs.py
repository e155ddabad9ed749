"""The study's run logs, from a checkout of its repository or from two gzipped tables of the same rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from joulemark.errors import UsageError
from joulemark.studies.tables import Row, folder, read_rows, table_in
from joulemark.units import JOULES_PER_KWH

__all__ = ["COMPONENTS", "Logs", "Phase", "Run", "read_logs"]

COMPONENTS = ("gpu", "ram", "cpu")

_PHASE_COLUMNS = (
    "task_name",
    "timestamp",
    "project_name",
    "run_id",
    "duration",
    "emissions",
    *(f"{part}_power" for part in COMPONENTS),
    *(f"{part}_energy" for part in COMPONENTS),
    "energy_consumed",
    "region",
    "gpu_count",
    "ram_total_size",
)
_RUN_COLUMNS = ("project_name", "run_id", "energy_consumed")


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase of a run, as Code Carbon logged it.

    Attributes:
        day: on which it ended.
        duration_s: in seconds.
        total_j: the logged energy of all components.
        parts_j: energy by component.
        powers_w: logged power by component.
        emissions_g: logged grams of CO2 equivalent.
        region: where Code Carbon took the machine to be.
        gpus: how many the reading covers.
        memory_gb: of the machine.
    """

    day: str
    duration_s: float
    total_j: float
    parts_j: Mapping[str, float]
    powers_w: Mapping[str, float]
    emissions_g: float
    region: str
    gpus: int
    memory_gb: float


@dataclass(frozen=True, slots=True)
class Run:
    """One run of 1,000 inferences.

    Attributes:
        id: the run's id in the logs.
        model: its name in the logs by phase.
        label: its name in the published file of its data set; empty if it is in none.
        dataset: name of that file without ending; empty if it is in none.
        phases: by name.
    """

    id: str
    model: str
    label: str
    dataset: str
    phases: Mapping[str, Phase]


@dataclass(frozen=True, slots=True)
class Logs:
    """All runs, and where they were read."""

    runs: tuple[Run, ...]
    files: int
    layout: str

    def phases(self) -> Iterator[Phase]:
        """Every phase of every run."""
        return (phase for run in self.runs for phase in run.phases.values())


def read_logs(data: Path) -> Logs:
    """Read the logs.

    Args:
        data: a checkout of ``co2_inference``, or a folder with ``raw_runs_by_phase.csv.gz`` and
            ``raw_runs_complete.csv.gz``.

    Raises:
        UsageError: if the folder holds neither.
        DamagedRecord: if a file cannot be read, or a cell is not what it has to be.
    """
    folder(data)
    base, complete = data / "data" / "emissions" / "base", data / "data" / "emissions" / "complete"
    by_phase, totals = table_in(data, "raw_runs_by_phase"), table_in(data, "raw_runs_complete")
    if base.is_dir():
        phase_files = sorted(base.glob("*.csv"))
        run_files = sorted(complete.glob("*.csv"))
        if not phase_files or not run_files:
            raise UsageError(f"There are no CSV files in {complete if phase_files else base}.")
        published = {
            row.text("run_id"): (path.stem, row) for path in run_files for row in read_rows(path, _RUN_COLUMNS)
        }
        layout = f"a checkout with {len(phase_files):,} files of runs and {len(run_files)} of data sets"
    elif by_phase is not None and totals is not None:
        phase_files, run_files = [by_phase], [totals]
        published = _published((row.text("file"), row) for row in read_rows(totals, (*_RUN_COLUMNS, "file")))
        layout = "two tables of all runs"
    else:
        missing = "raw_runs_complete.csv.gz" if by_phase is not None else "raw_runs_by_phase.csv.gz"
        raise UsageError(
            f"{data} holds neither data/emissions/base (a checkout of github.com/sashavor/co2_inference) nor {missing}."
        )
    phases: dict[str, dict[str, Phase]] = {}
    models: dict[str, str] = {}
    for path in phase_files:
        for row in read_rows(path, _PHASE_COLUMNS):
            run, name = row.text("run_id"), row.text("task_name")
            if name in phases.setdefault(run, {}):
                raise row.wrong("task_name", f"the run {run} has the phase {name!r} twice")
            phases[run][name] = _phase(row)
            models[run] = row.text("project_name")
    for run, (_, row) in published.items():
        if run not in phases:
            raise row.wrong("run_id", f"the run {run} has no phases in the logs")
    return Logs(
        runs=tuple(
            Run(
                id=run,
                model=models[run],
                label=published[run][1].text("project_name") if run in published else "",
                dataset=published[run][0] if run in published else "",
                phases=of,
            )
            for run, of in sorted(phases.items())
        ),
        files=len(phase_files) + len(run_files),
        layout=layout,
    )


def _published(rows: Iterable[tuple[str, Row]]) -> dict[str, tuple[str, Row]]:
    """Give data set and row of every published run, by run id."""
    found: dict[str, tuple[str, Row]] = {}
    for dataset, row in rows:
        run = row.text("run_id")
        if run in found:
            raise row.wrong("run_id", f"the run {run} is published twice, in {found[run][0]} too")
        found[run] = dataset, row
    return found


def _phase(row: Row) -> Phase:
    # A reading of zero is a reading that failed: no component of a machine that runs draws nothing.
    return Phase(
        day=row.text("timestamp")[:10],
        duration_s=row.number("duration", above=0),
        total_j=row.number("energy_consumed", above=0) * JOULES_PER_KWH,
        parts_j={part: row.number(f"{part}_energy", above=0) * JOULES_PER_KWH for part in COMPONENTS},
        powers_w={part: row.number(f"{part}_power", above=0) for part in COMPONENTS},
        emissions_g=row.number("emissions", above=0) * 1000,
        region=row.maybe("region"),
        gpus=row.whole("gpu_count"),
        memory_gb=row.number("ram_total_size", above=0),
    )
