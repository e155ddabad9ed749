from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from joulemark.cli import app
from joulemark.errors import RecordError, UsageError
from joulemark.records import Run, save
from joulemark.records.journal import Journal
from joulemark.reports.benchmark import from_runs
from joulemark.reports.tables import to_csv, to_latex, to_markdown
from tests.conftest import MakeRun

HOSTILE = 'a\\b{c}$d&e#f%g_h^i~j<k>l|m"n[o]*p`q\nr\0s é µ'


def _named(run: Run, name: str) -> Run:
    return msgspec.structs.replace(
        run, id=name, suite=name, workload=msgspec.structs.replace(run.workload, model=name, model_title=name)
    )


@pytest.fixture
def runs(make_run: MakeRun) -> tuple[Run, ...]:
    failed = make_run(model="broken", failure="out of memory")
    partly = make_run(model="partly", lost="read error")
    return make_run(), _named(make_run(model="b", energies_j=(30.0,) * 6), HOSTILE), failed, partly


def test_every_row_of_csv_has_its_boundary_evidence_and_interval(runs: tuple[Run, ...]) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(from_runs(runs)))))
    assert {row["quantity"] for row in rows} >= {"energy of 1,000 texts", "power", "power at rest"}
    for row in rows:
        assert row["unit"]
        assert row["boundary"]
        assert row["evidence"]
        if row["evidence"] == "unavailable":
            assert (row["value"], row["low"], row["high"]) == ("", "", ""), "never a zero for a failure"
            assert row["note"] == "out of memory"
        else:
            assert float(row["low"]) <= float(row["value"]) <= float(row["high"])
    first = next(row for row in rows if row["model"] == "model-a")
    assert float(first["value"]) == pytest.approx(3000), "10 J of cpu and 5 of dram for 5 texts"
    assert first["unit"] == "J"


@pytest.mark.parametrize("name", ["=cmd()", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1"])
def test_no_name_becomes_a_formula(make_run: MakeRun, name: str) -> None:
    report = from_runs([_named(make_run(), name)])
    for row in csv.DictReader(io.StringIO(to_csv(report), newline="")):
        assert row["model"] == "'" + name.replace("\r", "\n")
        assert float(row["value"])


def test_markdown_keeps_its_columns_whatever_names_hold(runs: tuple[Run, ...]) -> None:
    lines = to_markdown(from_runs(runs)).split("\n\n")[0].splitlines()
    assert len(lines) == 2 + len(runs)
    counts = {len(re.findall(r"(?<!\\)\|", line)) for line in lines}
    assert counts == {12}
    broken = next(line for line in lines if "broken" in line)
    assert "no figure" in broken
    assert "unavailable" in broken
    assert "out of memory" in broken


def test_latex_keeps_its_columns_whatever_names_hold(runs: tuple[Run, ...]) -> None:
    text = to_latex(from_runs(runs))
    body = text.partition(r"\midrule")[2].partition(r"\bottomrule")[0]
    lines = [line for line in body.splitlines() if line.strip()]
    assert len(lines) == len(runs)
    columns = re.search(r"\\begin\{tabular\}\{(.*)\}", text)
    assert columns is not None
    wanted = len(re.sub(r"\{.*?\}", "", columns[1]))
    for line in lines:
        assert line.endswith(r" \\")
        plain = re.sub(r"\\(text[a-z]+\{\}|char34\{\}|[{}$&#%_])", "", line.removesuffix(r" \\")).replace("{[}", "")
        assert plain.replace("{*}", "").count("&") == wanted - 1
        assert not re.search(r"[\\{}$#%_^~<>|\"\[*]", plain.replace("{*}", "")), plain
    assert text.isprintable() or "\0" not in text


def test_the_boundary_is_in_the_caption_and_each_of_several_has_its_mark(runs: tuple[Run, ...]) -> None:
    one = to_latex(from_runs(runs[:1]))
    assert re.search(r"\\caption\{.*Boundary: CPU, memory; all devices; idle included; query phase\.\}", one)
    several = to_latex(from_runs([runs[0], runs[3]]))
    assert "(a) CPU, memory; all devices" in several
    assert "(b) CPU; all devices" in several
    assert re.search(r"partly.* & b & not ranked, without dram: read error \\\\", several)


def _show(*arguments: str | Path) -> str:
    return CliRunner().invoke(app, ["show", *map(str, arguments)], catch_exceptions=False).stdout


def test_the_verb_prints_and_saves_each_format(runs: tuple[Run, ...], tmp_path: Path) -> None:
    for number, run in enumerate(runs):
        save(run, tmp_path / "res" / f"{number}.json")
    whole = from_runs(runs)
    assert json.loads(_show(tmp_path / "res", "--json")) == json.loads(_show(tmp_path / "res", "--format", "json"))
    for name, text in (("csv", to_csv(whole)), ("markdown", to_markdown(whole)), ("latex", to_latex(whole))):
        assert _show(tmp_path / "res", "--format", name, "--save", tmp_path / "saved") == text
        assert (tmp_path / "saved").read_text() == text
    assert "steady" in _show(tmp_path / "res", "--save", tmp_path / "saved.json")
    assert json.loads((tmp_path / "saved.json").read_text())["rows"]
    with pytest.raises(UsageError, match="Choose one"):
        _show(tmp_path / "res", "--json", "--format", "csv")


def test_a_damaged_record_is_named_and_the_others_are_shown(make_run: MakeRun, tmp_path: Path) -> None:
    save(make_run(), tmp_path / "a.json")
    (tmp_path / "b.json").write_text("{")
    done = CliRunner().invoke(app, ["show", str(tmp_path)])
    assert "Model-A" in done.stdout
    assert isinstance(done.exception, RecordError)
    assert re.search(r"Left out: .*b\.json is no whole record", str(done.exception))


def test_a_run_that_lasts_is_shown(make_run: MakeRun, tmp_path: Path) -> None:
    with Journal.create(tmp_path / "a.json", make_run()):
        assert "cut off after 6 trials" in _show(tmp_path)
        assert "cut off after 6 trials" in _show(tmp_path / "a.jsonl")
