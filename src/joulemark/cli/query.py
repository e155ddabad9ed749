"""``joulemark query``: SQL over a folder of runs."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec import Struct

from joulemark.cli.output import Json, console
from joulemark.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from joulemark.records.database import Answer
    from joulemark.records.files import LeftOut

__all__ = ["QueryReport", "register"]

EPILOG = (
    'Examples: `joulemark query "select task, model, energy_j, low_j, high_j, boundary, evidence from runs '
    'order by energy_j"` · `joulemark query --views` · '
    '`joulemark query "select phase, avg(power_w) from traces group by phase" --in results --csv`'
)
MEMORY = "1.5GB"
SHOWN = 1000
"""Rows of a table in the terminal; --csv and --json give all."""


class QueryReport(Struct, frozen=True, kw_only=True):
    """What ``joulemark query --json`` prints.

    Attributes:
        columns: their names.
        types: their types in SQL.
        rows: each a list of values, in the order of the columns.
    """

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(epilog=EPILOG)(query)


def query(
    sql: str = typer.Argument("", help="One SELECT over the views that --views lists.", metavar="SQL"),
    folder: Annotated[
        Path, typer.Option("--in", metavar="FOLDER", help="Where the records are; folders in it are searched too.")
    ] = Path("results"),
    views: bool = typer.Option(False, "--views", help="List the views and their columns with units."),
    as_csv: bool = typer.Option(False, "--csv", help="Print CSV."),
    json: Json = False,
    memory: str = typer.Option(MEMORY, help="What the query may take."),
) -> None:
    """Ask a folder of runs in SQL (DuckDB): runs, trials, phases, energies and power traces."""
    if as_csv and json:
        raise UsageError("Choose one of --csv and --json.")
    from joulemark.records.database import Database

    if views:
        console().print(_views())
        return
    if not sql.strip():
        raise UsageError("Give a query, or --views to see what can be asked.")
    with Database(folder, memory=memory) as database:
        _say_left_out(database.left_out)
        answer = database.query(sql)
        if json:
            _write(_json_lines(answer))
        elif as_csv:
            _write(_csv_lines(answer))
        else:
            console().print(_table(answer))
            if next(answer.rows, None) is not None:
                console().print(f"and more than these {SHOWN} rows; --csv and --json give all")


def _say_left_out(left_out: tuple[LeftOut, ...]) -> None:
    if left_out:
        files = "1 file" if len(left_out) == 1 else f"{len(left_out)} files"
        why = "why: select * from left_out"
        console(error=True).print(f"left out: {files}, such as {left_out[0].path}; {why}")


def _views() -> Table:
    from rich.table import Table

    from joulemark.records.database import VIEWS

    table = Table("view", "column", "type", "meaning", box=None, pad_edge=False)
    for view, columns in VIEWS.items():
        for name, (kind, meaning) in columns.items():
            table.add_row(view, name, kind, meaning.replace("``", ""))
        table.add_row()
    return table


def _table(answer: Answer) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for name, _ in answer.columns:
        table.add_column(name, overflow="fold")
    for row in islice(answer.rows, SHOWN):
        table.add_row(*map(_cell, row))
    return table


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else str(value)


def _write(lines: Iterator[bytes]) -> None:
    """Write to standard output as it comes, for an answer may be larger than memory."""
    sys.stdout.flush()
    for line in lines:
        sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


def _json_lines(answer: Answer) -> Iterator[bytes]:
    import msgspec

    encoder = msgspec.json.Encoder(enc_hook=str)
    head = {"columns": [name for name, _ in answer.columns], "types": [kind for _, kind in answer.columns]}
    yield encoder.encode(head)[:-1] + b', "rows": ['
    for number, row in enumerate(answer.rows):
        yield (b",\n" if number else b"\n") + encoder.encode(_keyed(row))
    yield b"\n]}\n"


def _keyed(value: Any) -> Any:
    """Give a value whose maps have text as keys, for JSON knows no other."""
    if isinstance(value, dict):
        return {str(name): _keyed(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_keyed(one) for one in value]
    # JSON's readers know whole numbers of 64 bits; DuckDB has wider ones.
    return str(value) if isinstance(value, int) and abs(value) >= 2**63 else value


def _csv_lines(answer: Answer) -> Iterator[bytes]:
    from joulemark.reports.tables import csv_cell

    sheet = io.StringIO()
    writer = csv.writer(sheet, lineterminator="\n")
    writer.writerow([csv_cell(name) for name, _ in answer.columns])
    for row in answer.rows:
        writer.writerow([csv_cell(value) for value in row])
        if sheet.tell() > 65_536:
            yield sheet.getvalue().encode()
            sheet.seek(0)
            sheet.truncate()
    yield sheet.getvalue().encode()
