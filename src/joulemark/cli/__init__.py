"""The command line: one file a verb, errors caught once, here.

Exit codes: see `joulemark.errors`.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import signal
import sys
from typing import cast

import typer

from joulemark.errors import INTERRUPTED, JoulemarkError, OutputNotWritable

__all__ = ["app", "main"]

# The base of what typer raises about arguments; typer brings a click of its own, so it is not click's by name.
_WrongArguments = cast("type[typer.BadParameter]", typer.BadParameter.__mro__[2])

VERBS = (
    "doctor",
    "measure",
    "watch",
    "bench",
    "show",
    "query",
    "report",
    "compare",
    "calibrate",
    "catalogue",
    "check",
    "openness",
    "reproduce",
    "schema",
)

app = typer.Typer(
    name="joulemark",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="What an AI model costs in energy and carbon: with its boundary, its evidence and its interval.",
)


def _version(wanted: bool) -> None:
    if wanted:
        from joulemark import __version__

        typer.echo(f"joulemark {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    """What an AI model costs in energy and carbon: with its boundary, its evidence and its interval."""


for _verb in VERBS:
    importlib.import_module(f"joulemark.cli.{_verb}").register(app)


def main() -> None:
    """Run the command line; every error ends in one sentence and its exit code, never in a traceback."""
    _prepare_streams()
    signal.signal(signal.SIGTERM, _as_interrupt)
    code = 0
    try:
        code = app(standalone_mode=False) or 0
        sys.stdout.flush()
    except JoulemarkError as error:
        code = _say(str(error), error.exit_code)
    except KeyboardInterrupt:
        code = _say("interrupted", INTERRUPTED)
    except BrokenPipeError:
        # The reader has gone (`joulemark show | head`); Python would complain again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = _say(f"Cannot write the output: {error.strerror or error}.", OutputNotWritable.exit_code)
    except typer.Abort:
        code = 1
    except _WrongArguments as error:
        error.show()
        code = error.exit_code
    sys.exit(code)


def _prepare_streams() -> None:
    """Let no terminal's alphabet and no closed stream end in a traceback."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the caller (`>&-`)
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _as_interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _say(message: str, code: int) -> int:
    with contextlib.suppress(OSError):
        print(f"joulemark: {message}", file=sys.stderr)  # noqa: T201 - the one place where errors are printed
    return code
