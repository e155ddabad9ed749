"""``joulemark calibrate``: what the sensors miss of the power at the wall."""

from __future__ import annotations

import csv
import json as json_module
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct

from joulemark.cli.output import Json, console, print_json, writable, write_text
from joulemark.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from joulemark.meter import Meter
    from joulemark.meter.calibration import Calibration, PowerSeries

__all__ = ["CalibrateReport", "calibrate_view", "measure_series", "read_series", "register", "write_series"]

EPILOG = (
    "Examples: `joulemark calibrate --wall plug.csv` while the meter logs · "
    "`joulemark calibrate --wall plug.csv --series plug.sensors.csv` once it has"
)

WINDOW_S = 1.0
PHASES_S = (12.0, 28.0)
"""Shortest and longest phase of rest and of load, 20 s on average. Their lengths must not repeat: a load that repeats
itself fits its own next round as well as itself. Nor be whole seconds: a meter that logs every second would then meet
all steps of the load at one point between two readings, and the clock offset would be off by up to half a second."""
# It ends by itself, in case nobody is left to end it.
_BUSY = "import sys, time\nend = time.monotonic() + float(sys.argv[1])\nwhile time.monotonic() < end: pass"
_PREAMBLE = "# joulemark series "


class CalibrateReport(Struct, frozen=True, kw_only=True):
    """What ``joulemark calibrate --json`` prints: see `joulemark.meter.calibration.Calibration`.

    Intervals are 95 %; `path` is where the calibration is kept.
    """

    processor: str
    sensors: tuple[str, ...]
    domains: tuple[str, ...]
    created: str
    coverage: float
    coverage_low: float
    coverage_high: float
    base_w: float
    base_half_width_w: float
    slope: float
    slope_half_width: float
    residual_w: float
    low_w: float
    high_w: float
    points: int
    wall_accuracy: float
    offset_s: float
    offset_half_width_s: float
    path: str


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(epilog=EPILOG)(calibrate)


def calibrate(
    wall: Annotated[
        Path, typer.Option(metavar="LOG.csv", help="The wall meter's log; it must cover the measured time.")
    ],
    seconds: Annotated[float, typer.Option(help="How long to measure, rest and load in turn.")] = 300.0,
    series: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Take what was measured earlier (LOG.sensors.csv) instead.")
    ] = None,
    load: Annotated[
        bool, typer.Option(help="Keep all CPUs busy every other time; or see to the load yourself.")
    ] = True,
    accuracy: Annotated[float, typer.Option(help="Accuracy of the wall meter (95 %), in per cent.")] = 2.0,
    time_column: Annotated[str, typer.Option(help="Column of the log that holds the time, if not found.")] = "",
    power_column: Annotated[str, typer.Option(help="Column of the log that holds the power, if not found.")] = "",
    json: Json = False,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep the calibration here instead of in your configuration.")
    ] = None,
) -> None:
    """Find what the sensors miss of the wall power, with the log of a wall meter, and keep it for this machine."""
    from joulemark.meter import calibration as line
    from joulemark.sensors.wall import WallLog, clock_offset

    if not 60 <= seconds <= 86_400:
        raise UsageError(f"--seconds {seconds:g} is out of range; give 60 to 86400 seconds.")
    if not 0 < accuracy <= 50:
        raise UsageError(f"--accuracy {accuracy:g} is out of range; give per cent, such as 2.")
    path = save or line.calibration_path()
    writable(path)
    own = read_series(series) if series is not None else _measured(wall, seconds, load=load)
    log = WallLog.read(wall, time_column=time_column, power_column=power_column)
    offset = clock_offset(own.starts_s, own.durations_s, own.powers_w, log)
    found = line.fit(own, log, offset, wall_gain=accuracy / 100 / 1.96)
    line.save(found, path)
    report = _report(found, path)
    if json:
        print_json(report)
    else:
        console().print(calibrate_view(report))


def _measured(wall: Path, seconds: float, *, load: bool) -> PowerSeries:
    """Measure, and write down what was seen before anything can go wrong with the log."""
    from joulemark.meter import Meter

    beside = wall.with_name(f"{wall.stem}.sensors.csv")
    writable(beside)
    with Meter() as meter:
        own = measure_series(meter, seconds, busy=_busy if load else None)
    write_series(own, beside)
    if not wall.exists():
        raise UsageError(
            f"There is no log {wall} yet. What the sensors saw is kept: export the log and go on with "
            f"joulemark calibrate --wall {wall} --series {beside}"
        )
    return own


def measure_series(
    meter: Meter,
    seconds: float,
    *,
    busy: Callable[[float], list[subprocess.Popen[bytes]]] | None,
    window_s: float = WINDOW_S,
    phases_s: tuple[float, float] = PHASES_S,
) -> PowerSeries:
    """Measure back-to-back windows at rest and under load in turn.

    Args:
        meter: what to measure with.
        seconds: for how long.
        busy: starts processes that work for so many seconds; None to let the load be.
        window_s: length of a window.
        phases_s: shortest and longest phase; rest comes first.

    Raises:
        UsageError: if no window had a power of all counted domains.
    """
    from joulemark.meter.calibration import PowerSeries

    counted = [domain for domain in meter.domains if domain.counted]
    starts_s, durations_s, powers_w = [], [], []
    # One look at the wall clock: its steps must not tear the series apart.
    epoch_s = time.time() - time.monotonic()
    began_s = time.monotonic()
    phases = phase_lengths(*phases_s)
    ends_s, loaded = began_s + next(phases), False
    with _workers() as workers:
        while (now_s := time.monotonic()) < began_s + seconds:
            if now_s >= ends_s:
                phase_s, loaded = next(phases), not loaded
                ends_s += phase_s
                if loaded and busy is not None:
                    workers += busy(phase_s)
            with meter.measure() as window:
                time.sleep(window_s)
            power = window.power
            # A sum that lacks a domain is no reading of this machine.
            if power.available and not power.evidence.missing:
                starts_s.append(epoch_s + now_s)
                durations_s.append(window.duration_s)
                powers_w.append(power.value)
    if not powers_w:
        names = ", ".join(domain.name for domain in counted) or "no sensor"
        raise UsageError(f"Not once in {seconds:g} s was there a power of {names}; joulemark doctor says why.")
    return PowerSeries(
        processor=meter.machine().processor,
        sensors=tuple(dict.fromkeys(domain.sensor for domain in counted)),
        domains=tuple(domain.name for domain in counted),
        starts_s=tuple(starts_s),
        durations_s=tuple(durations_s),
        powers_w=tuple(powers_w),
    )


def phase_lengths(shortest_s: float, longest_s: float) -> Iterator[float]:
    """Give lengths of phases, in seconds, the same in every run."""
    import random

    draws = random.Random("rest and load")  # noqa: S311 - no secret
    while True:
        yield draws.uniform(shortest_s, longest_s)


def _busy(seconds: float) -> list[subprocess.Popen[bytes]]:
    """Keep every CPU that this process may use busy."""
    words = [sys.executable, "-S", "-c", _BUSY, str(seconds)]
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return [subprocess.Popen(words, stdin=subprocess.DEVNULL) for _ in range(cpus)]


@contextmanager
def _workers() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Collect processes, and end those that still work at the end."""
    workers: list[subprocess.Popen[bytes]] = []
    try:
        yield workers
    finally:
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.wait()


def write_series(series: PowerSeries, path: Path) -> None:
    """Write a series as CSV, with a first line that says which machine and sensors it is of.

    Raises:
        OutputNotWritable: if it cannot be written.
    """
    about = {"processor": series.processor, "sensors": series.sensors, "domains": series.domains}
    rows = zip(series.starts_s, series.durations_s, series.powers_w, strict=True)
    lines = [
        f"{_PREAMBLE}{json_module.dumps(about)}",
        "start_s,duration_s,power_w",
        *(f"{start:.6f},{duration:.6f},{power:.6f}" for start, duration, power in rows),
    ]
    write_text(path, "\n".join(lines) + "\n")


def read_series(path: Path) -> PowerSeries:
    """Read what `write_series` wrote.

    Raises:
        UsageError: if it cannot be read, or is something else; with the line.
    """
    from joulemark.meter.calibration import PowerSeries

    try:
        first, header, *lines = path.read_text(encoding="utf-8").splitlines()
        about = json_module.loads(first.removeprefix(_PREAMBLE))
        processor, sensors, domains = about["processor"], about["sensors"], about["domains"]
    except OSError as error:
        raise UsageError(f"Cannot read the series {path}: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is no series of joulemark calibrate; it writes LOG.sensors.csv.") from error
    rows = []
    for number, row in enumerate(csv.reader(lines), 3):
        try:
            start_s, duration_s, power_w = map(float, row)
        except ValueError:
            raise UsageError(f"{path}, line {number}: {','.join(row)!r} does not fit {header!r}.") from None
        rows.append((start_s, duration_s, power_w))
    if not rows:
        raise UsageError(f"{path} holds no windows.")
    starts_s, durations_s, powers_w = zip(*rows, strict=True)
    return PowerSeries(
        processor=str(processor),
        sensors=tuple(map(str, sensors)),
        domains=tuple(map(str, domains)),
        starts_s=starts_s,
        durations_s=durations_s,
        powers_w=powers_w,
    )


def _report(found: Calibration, path: Path) -> CalibrateReport:
    k = 1.96
    return CalibrateReport(
        processor=found.processor,
        sensors=found.sensors,
        domains=found.domains,
        created=found.created,
        coverage=found.coverage,
        coverage_low=found.coverage_low,
        coverage_high=found.coverage_high,
        base_w=found.base_w,
        base_half_width_w=k * math.hypot(math.sqrt(found.base_variance), found.wall_gain * found.base_w),
        slope=found.slope,
        slope_half_width=k * math.hypot(math.sqrt(found.slope_variance), found.wall_gain * found.slope),
        residual_w=found.residual_w,
        low_w=found.low_w,
        high_w=found.high_w,
        points=found.points,
        wall_accuracy=k * found.wall_gain,
        offset_s=found.offset_s,
        offset_half_width_s=k * found.offset_uncertainty_s,
        path=str(path),
    )


def calibrate_view(report: CalibrateReport) -> RenderableType:
    """Show a calibration."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    table.add_row("base", f"{report.base_w:.1f} ± {report.base_half_width_w:.1f} W")
    table.add_row("slope", f"{report.slope:.3f} ± {report.slope_half_width:.3f} W at the wall a watt of the sensors")
    table.add_row("scatter", f"{report.residual_w:.2f} W about the line, {report.points} windows")
    table.add_row("range", f"{report.low_w:.1f} to {report.high_w:.1f} W by the sensors")
    direction = "ahead of" if report.offset_s >= 0 else "behind"
    table.add_row(
        "clock", f"the wall meter's is {abs(report.offset_s):.2f} ± {report.offset_half_width_s:.2f} s {direction} ours"
    )
    heading = Text.assemble(
        "The sensors saw ",
        (f"{report.coverage:.1%}", "bold"),
        f" ({report.coverage_low:.1%} to {report.coverage_high:.1%}) of the energy at the wall",
    )
    holds = f"holds for {', '.join(report.domains)} on {report.processor}"
    meter = f"the wall meter is taken to be right within ± {100 * report.wall_accuracy:.2g} %"
    return Group(heading, Text(f"{holds}; {meter}", style="dim"), table, Text(f"kept in {report.path}", style="dim"))
