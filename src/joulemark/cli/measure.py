"""``joulemark measure -- CMD``: the energy of any command and its children."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import typer

from joulemark.cli.output import Json, Save, console, print_json, writable
from joulemark.errors import UsageError

if TYPE_CHECKING:
    from joulemark.meter import Window

__all__ = ["register"]

EPILOG = (
    "Examples: `joulemark measure -- python train.py --epochs 3` · "
    "`joulemark measure --json --save run.json -- make` (the report goes to standard error, so that the command's own "
    "output stays its own)"
)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(epilog=EPILOG)(measure)


def measure(
    command: list[str] = typer.Argument(None, metavar="-- CMD [ARGS]...", help="The command to measure."),
    label: str = typer.Option("", help="What is measured, in your words; goes into the record."),
    json: Json = False,
    save: Save = None,
    identify: bool = typer.Option(False, help="Put the host's name and the command line into the record."),
) -> None:
    """Measure a command and its children: energy of this machine while it runs.

    Exit code and signals are those of the command. The report goes to standard error.
    """
    from joulemark.meter import Meter
    from joulemark.records import save as save_record
    from joulemark.reports.data import MeasureReport, figure_data

    if not command:
        raise UsageError("There is no command to measure; write it after two dashes: joulemark measure -- CMD ARGS")
    writable(save)
    with Meter() as meter:
        window = meter.measure(label.encode(errors="backslashreplace").decode())
        code = _run(command, window)
        # Arguments may hold any bytes; a record is UTF-8.
        words = [word.encode(errors="backslashreplace").decode() for word in command]
        measurement = window.measurement(identify=identify, exit_code=code, command=words)
        report = MeasureReport(
            label=window.label,
            duration_s=window.duration_s,
            energy=figure_data(window.energy),
            power=figure_data(window.power),
            domains={name: figure_data(figure) for name, figure in window.domains.items()},
            exit_code=code,
            instrument_cpu_s=meter.instrument.cpu_s,
        )
    if json:
        print_json(report, error=True)
    else:
        from joulemark.reports.terminal import measure_view

        console(error=True).print(measure_view(report))
    if save is not None:
        save_record(measurement, save)
    sys.exit(code)


def _run(command: list[str], window: Window) -> int:
    """Run the command inside the window; Ctrl-C reaches it through the terminal, other signals are passed on."""
    window.start()
    try:
        process = subprocess.Popen(command)
    except OSError as error:
        raise UsageError(f"Cannot start {command[0]!r}: {error.strerror}.") from error

    def pass_on(number: int, frame: object) -> None:
        process.send_signal(number)

    kept = {n: signal.signal(n, pass_on) for n in (signal.SIGTERM, signal.SIGHUP)}
    kept[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        code = process.wait()
    finally:
        window.stop()
        for number, handler in kept.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code
