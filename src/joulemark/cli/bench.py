"""``joulemark bench SUITE``: measure models and rank them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from joulemark.cli.output import Json, console, print_json
from joulemark.cli.place import Where, chosen_place
from joulemark.errors import INTERRUPTED, WorkloadFailed

if TYPE_CHECKING:
    from joulemark.bench import Progress, Suite

__all__ = ["register"]

EPILOG = (
    "Examples: `joulemark bench quickstart` · `joulemark bench quickstart --where ITA --resume` · "
    "`joulemark bench my-suite.yaml --out results/mine --task image-generation`"
)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(epilog=EPILOG)(bench)


def bench(
    suite: str = typer.Argument("quickstart", help="A suite that ships, or a suite file (.yaml)."),
    out: Annotated[Path | None, typer.Option(help="Results folder.", show_default="results/SUITE")] = None,
    task: Annotated[list[str] | None, typer.Option(help="Only this task; may be repeated.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Only this model; may be repeated.")] = None,
    resume: bool = typer.Option(False, help="Keep what is measured already and go on with the rest."),
    dry_run: bool = typer.Option(False, help="Check everything and print the plan with its duration."),
    where: Where = None,
    html: bool = typer.Option(True, help="Write report.html into the results folder."),
    json: Json = False,
    identify: bool = typer.Option(False, help="Put the host's name into the records."),
) -> None:
    """Measure the models of a suite on this machine, rank them, and explain the cost.

    Each trial is written to the results folder as it comes in: after Ctrl-C or a crash go on with --resume.
    Exit code 7 if a model failed (the others have their figures).
    """
    from joulemark.bench import load_suite, run_plan
    from joulemark.records import energy_per_unit
    from joulemark.reports import from_runs

    place = chosen_place(where)
    the_suite = load_suite(suite).only(tasks_wanted=task or (), models_wanted=model or ())
    folder = out or Path("results") / the_suite.name
    if dry_run:
        _print_plan(the_suite, folder)
        return
    if html:
        from joulemark.reports.charts import require_charts
        from joulemark.reports.html import write_report

        require_charts()  # before hours of measuring, not after them
    with _ProgressLine(quiet=json) as line:
        try:
            runs = run_plan(the_suite, folder, resume=resume, report=line.show, identify=identify)
        except KeyboardInterrupt as interrupt:
            print(f"joulemark: interrupted; what was measured is in {folder}, go on with --resume", file=sys.stderr)  # noqa: T201
            raise SystemExit(INTERRUPTED) from interrupt
    if html:
        write_report(runs, folder / "report.html", place, title=the_suite.title)
    if json:
        print_json(from_runs(runs, place))
    else:
        from joulemark.reports.benchmark import collect
        from joulemark.reports.terminal import benchmark_view

        screen = console()
        screen.print(benchmark_view(collect(runs, place)))
        screen.print(f"Records: {folder}/*.json" + (f" · report: {folder / 'report.html'}" if html else ""))
    failed = [run.workload.key for run in runs if not energy_per_unit(run).available]
    if failed:
        raise WorkloadFailed(f"{len(failed)} of {len(runs)} workloads failed: {', '.join(failed)}.")


def _print_plan(suite: Suite, folder: Path) -> None:
    from joulemark.bench.plan import plan
    from joulemark.bench.runner import expected_s
    from joulemark.units import format_duration

    planned = plan(suite)
    screen = console()
    for workload in planned:
        screen.print(workload.record.key)
    screen.print(
        f"{len(planned)} workloads, about {format_duration(expected_s(suite, len(planned)))}; results in {folder}"
    )


class _ProgressLine:
    """One live line in a terminal, one line a step in a pipe; standard error, so that results stay apart."""

    def __init__(self, *, quiet: bool) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        self._live = sys.stderr.isatty() and not quiet
        self._quiet = quiet
        self._bar = Progress(
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            BarColumn(bar_width=20),
            TextColumn("{task.description}", markup=False),
            console=console(error=True),
            disable=not self._live,
            auto_refresh=False,  # drawn between windows, not by a thread inside them
        )
        self._id = self._bar.add_task("", total=None)
        self._last = ""

    def __enter__(self) -> _ProgressLine:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, progress: Progress) -> None:
        """Show a step."""
        from joulemark.units import format_duration

        if self._live:
            estimate = f"   {progress.estimate.format()}" if progress.estimate is not None else ""
            text = f"{format_duration(progress.remaining_s)} left   {progress.key}   {progress.phase}{estimate}"
            self._bar.update(self._id, completed=progress.done, total=progress.total, description=text, refresh=True)
        elif not self._quiet and progress.key != self._last:
            self._last = progress.key
            kept = f", {progress.phase}" if progress.phase == "already measured" else ""
            print(  # noqa: T201 - a pipe has no live line
                f"{progress.done + 1}/{progress.total} {progress.key}{kept}, "
                f"about {format_duration(progress.remaining_s)} left",
                file=sys.stderr,
                flush=True,
            )
