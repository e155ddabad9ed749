"""Reading published tables: what is wrong is named by file, row and column."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from joulemark.errors import DamagedRecord, UsageError
from joulemark.studies.tables import folder, read_rows, table_in


def _file(tmp_path: Path, text: str, name: str = "t.csv") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_numbers_and_words(tmp_path: Path) -> None:
    (row,) = read_rows(_file(tmp_path, "\ufeffmodel,energy\nbert, 2.5e-3\n"), ["model", "energy"])
    assert row.text("model") == "bert"
    assert row.number("energy") == 0.0025
    assert row.maybe("class") == ""


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("", "is empty"),
        ("n/a", "'n/a' is no number"),
        ("nan", "'nan' is not finite"),
        ("-1", "'-1' is negative"),
        ("0", "'0' is zero"),
    ],
)
def test_a_cell_that_is_no_energy_names_its_place(tmp_path: Path, cell: str, message: str) -> None:
    path = _file(tmp_path, f"model,energy\na,1\nb,{cell}\n")
    with pytest.raises(DamagedRecord) as raised:
        [row.number("energy", above=0) for row in read_rows(path, ["energy"])]
    assert f"{path}, row 3, column 'energy': {message}" in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lacks the column 'energy'"),
        ("model,power\na,1\n", "lacks the column 'energy'; it has model, power"),
        ("model,energy\n", "has no rows"),
        ("model,energy\na,1\nb\n", "row 3: 1 cells for 2 columns"),
    ],
)
def test_a_file_that_is_cut_off_or_of_another_kind(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DamagedRecord, match=message):
        list(read_rows(_file(tmp_path, text), ["energy"]))


def test_a_gzipped_file_that_is_cut_off(tmp_path: Path) -> None:
    whole = gzip.compress(b"model,energy\n" + b"a,1\n" * 1000)
    (tmp_path / "t.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DamagedRecord, match=r"Cannot read .*t\.csv\.gz"):
        list(read_rows(tmp_path / "t.csv.gz", ["energy"]))
    assert table_in(tmp_path, "t") == tmp_path / "t.csv.gz"
    assert table_in(tmp_path, "u") is None


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no folder"):
        folder(tmp_path / "none")
