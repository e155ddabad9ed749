"""``joulemark bench SUITE``: measure models and rank them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from joulemark.cli.output import Json, a_share, console, print_json
from joulemark.cli.place import Where, chosen_place
from joulemark.errors import INTERRUPTED, UsageError, WorkloadFailed

if TYPE_CHECKING:
    from joulemark.bench import Progress, Suite

__all__ = ["register"]

EPILOG = (
    "Examples: `joulemark bench quickstart` · `joulemark bench my-suite.yaml --out results/mine --resume` · "
    "`joulemark bench --task text-generation --model distilbert/distilgpt2 --sweep max_new_tokens=10,100` · "
    "`joulemark bench --task chat --endpoint http://localhost:8000/v1 --concurrency 1,8,32` · "
    "`joulemark bench --task image-classification --model google/vit-base-patch16-224 --weights random`"
)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(epilog=EPILOG)(bench)


def bench(
    suite: Annotated[
        str | None, typer.Argument(help="A suite that ships (quickstart), or a suite file (.yaml).", show_default=False)
    ] = None,
    results: Annotated[
        Path | None, typer.Argument(help="With --resume: its results folder.", show_default=False)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Results folder.", show_default="results/SUITE")] = None,
    task: Annotated[list[str] | None, typer.Option(help="Only this task, or what to ask; may be repeated.")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="Only this model; without a suite any: hub id, folder, .gguf, module:function. Repeat it."),
    ] = None,
    backend: Annotated[str, typer.Option(help="Who runs the models, where their names do not tell.")] = "",
    weights: Annotated[str, typer.Option(help="trained, or random: a twin, built from its architecture.")] = "trained",
    endpoint: Annotated[
        str | None, typer.Option(help="An OpenAI-compatible server on this machine (http://localhost:8000/v1).")
    ] = None,
    concurrency: Annotated[str | None, typer.Option(help="Requests in flight, such as 1,8,32.")] = None,
    batch_size: Annotated[str | None, typer.Option(help="Items at a time, such as 1,8.")] = None,
    dtype: Annotated[str | None, typer.Option(help="Number formats, such as float32,bfloat16.")] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="A setting, name=value; may be repeated.", metavar="NAME=VALUE")
    ] = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option(help="A setting with several values, name=1,2,4; may be repeated.", metavar="NAME=VALUES"),
    ] = None,
    inputs: Annotated[str, typer.Option(help="A data set instead of the task's own inputs, such as squad.")] = "",
    items: Annotated[int | None, typer.Option(help="How many of the inputs a trial answers.", min=1)] = None,
    protocol: Annotated[str | None, typer.Option(help="joulemark, study or ai-energy-score.")] = None,
    precision: Annotated[
        str | None, typer.Option(help="Stop when the 95 % interval is within this of the mean.", show_default="2%")
    ] = None,
    ray: Annotated[
        str | None, typer.Option(help="Spread the suite over this Ray cluster (auto, or an address).")
    ] = None,
    trace: Annotated[
        bool | None,
        typer.Option(help="Write the course of power beside the records.", show_default="if pyarrow is there"),
    ] = None,
    resume: bool = typer.Option(False, help="Keep what is measured already and go on with the rest."),
    dry_run: bool = typer.Option(False, help="Check everything and print the plan with its duration."),
    where: Where = None,
    html: bool = typer.Option(True, help="Write report.html into the results folder."),
    json: Json = False,
    identify: bool = typer.Option(False, help="Put the host's name into the records."),
) -> None:
    """Measure models on this machine, rank them, and explain the cost.

    What is measured is a suite, or with --model or --endpoint whatever is asked for. Each trial is written to the
    results folder as it comes in: after Ctrl-C (which finishes the trial first) or a crash go on with --resume.
    Exit code 7 if a model failed (the others have their figures).
    """
    from joulemark.bench import run_plan
    from joulemark.records import energy_per_unit
    from joulemark.reports import from_runs

    place = chosen_place(where)
    wanted = _Wanted(
        task or [],
        model or [],
        backend,
        endpoint,
        _settings(setting, {"weights": None if weights == "trained" else weights}),
        _sweep(sweep, {"concurrency": concurrency, "batch_size": batch_size, "dtype": dtype}),
        inputs,
        items,
    )
    the_suite = _with_protocol(_suite(suite, wanted), protocol, precision)
    if results is not None and (out is not None or not resume):
        raise UsageError(f"What is {str(results)!r}? Give the results folder with --out, or behind --resume.")
    folder = out or results or Path("results") / the_suite.name
    if dry_run:
        _print_plan(the_suite, folder, json=json)
        return
    if html:
        from joulemark.reports.charts import require_charts
        from joulemark.reports.html import write_report

        require_charts()  # before hours of measuring, not after them
    with _ProgressLine(quiet=json) as line:
        try:
            if ray is not None:
                from joulemark.bench.cluster import run_on_cluster

                runs = run_on_cluster(the_suite, folder, ray, resume=resume, report=line.show, identify=identify)
            else:
                runs = run_plan(the_suite, folder, resume=resume, report=line.show, identify=identify, trace=trace)
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


class _Wanted(NamedTuple):
    """What the options ask for."""

    tasks: list[str]
    models: list[str]
    backend: str
    endpoint: str | None
    settings: dict[str, Any]
    sweep: dict[str, tuple[Any, ...]]
    inputs: str
    items: int | None


def _suite(name: str | None, wanted: _Wanted) -> Suite:
    """Give the suite: of a file or that ships, in part; or made of the options.

    Raises:
        UsageError: if options are given that a suite has no use for.
    """
    from joulemark.bench import load_suite
    from joulemark.bench.adhoc import adhoc_suite

    if name is None and (wanted.models or wanted.endpoint is not None):
        settings, backend, models = wanted.settings, wanted.backend, wanted.models
        if wanted.endpoint is not None:
            settings = {**settings, "endpoint": wanted.endpoint}
            backend, models = "endpoint", models or [_served(wanted.endpoint)]
        return adhoc_suite(
            wanted.tasks,
            models,
            backend=backend,
            settings=settings,
            sweep=wanted.sweep,
            inputs=wanted.inputs,
            items=wanted.items,
        )
    unused = {
        "--backend": wanted.backend,
        "--endpoint": wanted.endpoint,
        "--weights, --set": wanted.settings,
        "--sweep, --concurrency, --batch-size, --dtype": wanted.sweep,
        "--inputs": wanted.inputs,
        "--items": wanted.items,
    }
    if given := [option for option, value in unused.items() if value]:
        raise UsageError(
            f"{', '.join(given)}: a suite says this itself, line by line. Leave the suite out and give --model, or "
            "write it into the suite file."
        )
    return load_suite(name or "quickstart").only(tasks_wanted=wanted.tasks, models_wanted=wanted.models)


def _served(endpoint: str) -> str:
    """Name the model of a server that has only one.

    Raises:
        UsageError: if it has several.
        WorkloadFailed: if it does not answer.
    """
    from joulemark.workloads.backends.openai_api import Address, Client

    names = sorted(Client(Address.of(endpoint), key="", timeout_s=30).models())
    if len(names) != 1:
        raise UsageError(f"{endpoint} serves {', '.join(names) or 'no model'}; say which one with --model.")
    return names[0]


def _settings(given: list[str] | None, options: Mapping[str, Any]) -> dict[str, Any]:
    from joulemark.bench.adhoc import setting_of, values_of

    found = {name: value for name, value in options.items() if value is not None}
    for text in given or ():
        name, value = setting_of(text)
        found[name] = values_of(value)[0] if "," not in value else value
    return found


def _sweep(given: list[str] | None, options: Mapping[str, str | None]) -> dict[str, tuple[Any, ...]]:
    from joulemark.bench.adhoc import setting_of, values_of

    found = {name: values_of(value) for name, value in options.items() if value is not None}
    for text in given or ():
        name, value = setting_of(text)
        found[name] = values_of(value)
    return found


def _with_protocol(suite: Suite, name: str | None, precision: str | None) -> Suite:
    from msgspec.structs import replace

    from joulemark.bench.adhoc import protocol_named

    rules = suite.rules if name is None else protocol_named(name)
    if precision is not None:
        if rules.name != "joulemark":
            raise UsageError(f"--precision has no use: the protocol {rules.name!r} has a fixed number of trials.")
        rules = replace(rules, precision=a_share("--precision", precision))
    return replace(suite, protocol=rules)


def _print_plan(suite: Suite, folder: Path, *, json: bool) -> None:
    from joulemark.bench.plan import plan_suite
    from joulemark.bench.runner import expected_s
    from joulemark.reports.data import PlanReport
    from joulemark.units import format_duration

    planned = plan_suite(suite)
    duration_s = expected_s(suite, len(planned))
    if json:
        print_json(
            PlanReport(
                suite=suite.name,
                workloads=tuple(p.record for p in planned),
                expected_s=duration_s,
                folder=str(folder),
            )
        )
        return
    screen = console()
    for workload in planned:
        screen.print(workload.record.key)
    counted = "" if suite.rules.units is None else " at least: it depends on how long an answer takes"
    screen.print(f"{len(planned)} workloads, about {format_duration(duration_s)}{counted}; results in {folder}")


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
                f"{progress.done} of {progress.total} done; {progress.key}{kept}, "
                f"about {format_duration(progress.remaining_s)} left",
                file=sys.stderr,
                flush=True,
            )
