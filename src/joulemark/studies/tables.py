"""The one reader of published tables: CSV files, gzipped or not, strict in every cell that is asked for."""

from __future__ import annotations

import csv
import gzip
import math
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from joulemark.errors import DamagedRecord, UsageError

__all__ = ["Row", "folder", "read_rows", "table_in"]


class Row:
    """One row of a file; a cell that is not what it has to be says its file, row and column."""

    __slots__ = ("_cells", "_path", "number_in_file")

    def __init__(self, path: Path, number_in_file: int, cells: dict[str, str]) -> None:
        self._path, self.number_in_file, self._cells = path, number_in_file, cells

    def text(self, column: str) -> str:
        """Give a cell that must not be empty.

        Raises:
            DamagedRecord: if it is.
        """
        value = self._cells[column].strip()
        if not value:
            raise self.wrong(column, "is empty")
        return value

    def maybe(self, column: str) -> str:
        """Give a cell that may be empty, or whose column may be missing."""
        return self._cells.get(column, "").strip()

    def number(self, column: str, *, above: float = -math.inf) -> float:
        """Give a cell as a finite number of at least 0, and more than `above`.

        Raises:
            DamagedRecord: if it is none.
        """
        text = self.text(column)
        try:
            value = float(text)
        except ValueError:
            raise self.wrong(column, f"{text!r} is no number") from None
        if not math.isfinite(value):
            raise self.wrong(column, f"{text!r} is not finite")
        if value < 0 or value <= above:
            raise self.wrong(column, f"{text!r} is {'negative' if value < 0 else 'zero'}")
        return value

    def whole(self, column: str) -> int:
        """Give a cell as a whole number of at least 1.

        Raises:
            DamagedRecord: if it is none.
        """
        value = self.number(column, above=0)
        if value != int(value):
            raise self.wrong(column, f"{self.text(column)!r} is no whole number")
        return int(value)

    def wrong(self, column: str, problem: str) -> DamagedRecord:
        """Build the error that names file, row and column."""
        return DamagedRecord(f"{self._path}, row {self.number_in_file}, column {column!r}: {problem}.")


def folder(path: Path) -> Path:
    """Give the folder if it is one.

    Raises:
        UsageError: if it is none.
    """
    if not path.is_dir():
        raise UsageError(f"There is no folder {path}; --data takes the folder that the study's data lie in.")
    return path


def table_in(place: Path, stem: str) -> Path | None:
    """Find ``stem.csv.gz`` or ``stem.csv`` in a folder; None if neither is there."""
    for name in (f"{stem}.csv.gz", f"{stem}.csv"):
        if (place / name).is_file():
            return place / name
    return None


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """Read a CSV file with a heading, row by row; the heading is row 1.

    Args:
        path: the file; gzipped if its name ends in ``.gz``.
        columns: those that it must have.

    Raises:
        DamagedRecord: if it cannot be read, lacks a column, has no row, or has a row of another length.
    """
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8-sig", newline="")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8-sig", newline="") as file
        ):
            reader = csv.reader(file, strict=True)
            heading = next(reader, [])
            if missing := [name for name in columns if name not in heading]:
                raise DamagedRecord(f"{path} lacks the column {missing[0]!r}; it has {', '.join(heading) or 'none'}.")
            read = False
            for cells in reader:
                if not cells:
                    continue
                if len(cells) != len(heading):
                    raise DamagedRecord(
                        f"{path}, row {reader.line_num}: {len(cells)} cells for {len(heading)} columns."
                    )
                read = True
                yield Row(path, reader.line_num, dict(zip(heading, cells, strict=True)))
            if not read:
                raise DamagedRecord(f"{path} has no rows.")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise DamagedRecord(f"Cannot read {path}: {error}.") from error
