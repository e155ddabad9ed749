"""``joulemark measure -- CMD``: the energy of any command and its children."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import typer

from joulemark.cli.output import Json, Save, Wall, console, print_json, writable
from joulemark.errors import UsageError

if TYPE_CHECKING:
    from joulemark.meter import Window

__all__ = ["register"]

EPILOG = (
    "Examples: `joulemark measure -- python train.py --epochs 3` · "
    "`joulemark measure --idle 5 -- make` · `joulemark measure --pid 4711` · "
    "`joulemark measure --json --save make.json -- make` (the report goes to standard error, so that the command's own "
    "output stays its own)"
)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(epilog=EPILOG)(measure)


def measure(
    command: list[str] = typer.Argument(None, metavar="-- CMD [ARGS]...", help="The command to measure."),
    label: str = typer.Option("", help="What is measured, in your words; goes into the record."),
    idle: float = typer.Option(
        0.0, help="Seconds to watch the machine at rest before and after, to tell energy net of idle."
    ),
    pid: int = typer.Option(0, help="Measure while this running process lives, instead of a command; Ctrl-C ends it."),
    wall: Wall = None,
    json: Json = False,
    save: Save = None,
    identify: bool = typer.Option(False, help="Put the host's name and the command line into the record."),
) -> None:
    """Measure a command and its children, or a running process: energy of this machine meanwhile.

    Exit code and signals are those of the command. The report goes to standard error.
    """
    from joulemark.idle import idle_power
    from joulemark.meter import Meter
    from joulemark.records import save as save_record
    from joulemark.reports.data import MeasureReport, figure_data

    if bool(command) == bool(pid):
        raise UsageError("Give either a command, after two dashes (joulemark measure -- CMD ARGS), or --pid N.")
    if not 0 <= idle <= 3600:
        raise UsageError(f"--idle {idle:g} is out of range; give 0 to 3600 seconds.")
    writable(save)
    with Meter(wall or None) as meter:
        window = meter.measure(label.encode(errors="backslashreplace").decode())
        before = meter.rest(idle) if idle else None
        code: int | None = None
        if pid:
            _follow(pid, window)
        else:
            code = _run(command, window)
        after = meter.rest(idle) if idle else None
        # Arguments may hold any bytes; a record is UTF-8.
        words = [word.encode(errors="backslashreplace").decode() for word in command or ()]
        measurement = window.measurement(
            identify=identify, exit_code=code, command=words, before=tuple(w for w in (before, after) if w is not None)
        )
        report = MeasureReport(
            label=window.label,
            duration_s=window.duration_s,
            energy=figure_data(window.energy),
            power=figure_data(window.power),
            domains={name: figure_data(figure) for name, figure in window.domains.items()},
            exit_code=code,
            instrument_cpu_s=meter.instrument.cpu_s,
            idle_power=None if before is None or after is None else figure_data(idle_power(before.power, after.power)),
            net_energy=None if before is None else figure_data(window.net(before, after)),
        )
    try:
        if json:
            print_json(report, error=True)
        else:
            from joulemark.reports.terminal import measure_view

            console(error=True).print(measure_view(report))
    except OSError:
        # Nobody reads the report (closed pipe, full disk): the command's exit code counts all the same.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    if save is not None:
        save_record(measurement, save)
    sys.exit(code or 0)


def _follow(pid: int, window: Window) -> None:
    """Keep the window open as long as a process lives that somebody else started, without polling it."""
    try:
        descriptor = os.pidfd_open(pid)  # readable once the process has ended (Linux 5.3)
    except (OSError, OverflowError) as error:
        raise UsageError(f"Cannot follow the process {pid}: there is none, or it may not be watched.") from error
    except AttributeError as error:
        raise UsageError("--pid needs Linux.") from error
    window.start()
    try:
        select.select([descriptor], [], [])
    except KeyboardInterrupt:
        pass  # the measurement ends, the process goes on
    finally:
        window.stop()
        os.close(descriptor)


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
