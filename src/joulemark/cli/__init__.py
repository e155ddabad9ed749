"""The command line: one file a verb, errors caught once, here.

Exit codes: see `joulemark.errors`.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import cast

import typer

from joulemark.errors import INTERRUPTED, JoulemarkError

__all__ = ["app", "main"]

# The base of what typer raises about arguments; typer brings a click of its own, so it is not click's by name.
_WrongArguments = cast("type[typer.BadParameter]", typer.BadParameter.__mro__[2])

VERBS = ("doctor", "measure", "watch", "bench", "show", "report", "compare", "schema")

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
    code = 0
    try:
        code = app(standalone_mode=False) or 0
    except JoulemarkError as error:
        print(f"joulemark: {error}", file=sys.stderr)  # noqa: T201 - the one place where errors are printed
        code = error.exit_code
    except KeyboardInterrupt:
        print("joulemark: interrupted", file=sys.stderr)  # noqa: T201
        code = INTERRUPTED
    except BrokenPipeError:
        # The reader has gone (`joulemark show | head`); Python would complain again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except typer.Abort:
        code = 1
    except _WrongArguments as error:
        error.show()
        code = error.exit_code
    sys.exit(code)
