"""What the verbs share: where they print, how they write files."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct

from joulemark.errors import BadQuantity, OutputNotWritable

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Json", "Save", "Wall", "a_share", "console", "print_json", "to_json", "writable", "write_text"]

Json = Annotated[bool, typer.Option("--json", help="Print JSON; its structure: `joulemark schema VERB`.")]
Wall = Annotated[
    list[str] | None,
    typer.Option(
        "--wall", metavar="URL", help="A meter of the whole machine to read besides: shelly://HOST, redfish://HOST/..."
    ),
]
Save = Annotated[Path | None, typer.Option("--save", help="Also write the record or report to this file.")]

PIPE_WIDTH = 132


def console(*, error: bool = False) -> Console:
    """Give a rich console: as wide as the terminal, or 132 columns in a pipe."""
    from rich.console import Console

    stream = sys.stderr if error else sys.stdout
    # markup=False: titles, paths and reasons are data, whatever brackets they hold.
    width = None if stream.isatty() else PIPE_WIDTH
    return Console(stderr=error, width=width, highlight=False, markup=False)


def to_json(document: Struct) -> bytes:
    """Encode a document as JSON that people can read too."""
    import msgspec

    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def print_json(document: Struct, *, error: bool = False) -> None:
    """Write a document to standard output, or to standard error."""
    stream = sys.stderr if error else sys.stdout
    # Bytes, because JSON is UTF-8 whatever the locale says.
    stream.flush()
    stream.buffer.write(to_json(document))
    stream.buffer.flush()


def a_share(option: str, text: str) -> float:
    """Read a share, ``5%`` or ``0.05``.

    Raises:
        BadQuantity: if it is none between 0 and 1.
    """
    number, percent = text.strip().removesuffix("%"), text.strip().endswith("%")
    try:
        share = float(number) / (100 if percent else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share < (100 if percent else 1):
        raise BadQuantity(f"{option} {text!r} is no share; write for example 5% or 0.05.")
    return share


def write_text(path: Path, text: str) -> None:
    """Write a file in full or not at all.

    Raises:
        OutputNotWritable: if it cannot be written.
    """
    from joulemark.records.files import write_atomically

    write_atomically(path, text.encode())


def writable(path: Path | None) -> None:
    """Find out before the work, not after it, whether a file can be written.

    Raises:
        OutputNotWritable: if not, or if it would replace the record of a run.
    """
    from joulemark.records.files import is_run

    if path is None:
        return
    if path.is_dir():
        raise OutputNotWritable(f"{path} is a folder; give the name of a file.")
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise OutputNotWritable(f"{path} is no ordinary file; it would be replaced. Choose another place.")
    if path.is_file() and is_run(path):
        raise OutputNotWritable(f"{path} holds the record of a run, which would be lost. Choose another name.")
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise OutputNotWritable(f"Cannot write {path}: {folder} is no folder. Choose another place.")
    if not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise OutputNotWritable(f"Cannot write {path}: permission denied. Choose another place.")
