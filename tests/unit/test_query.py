from __future__ import annotations

import csv
import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from joulemark.cli import app
from joulemark.errors import RecordError, UsageError
from joulemark.records import database as database_module
from joulemark.records import energy_per_unit, phase_energy, save
from joulemark.records.database import VIEWS, Database
from joulemark.records.journal import Journal
from joulemark.records.traces import TraceWriter
from tests.conftest import MakeRun

pytest.importorskip("duckdb")


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def folder(make_run: MakeRun, tmp_path: Path) -> Path:
    """Two runs, one of them in a folder below, and a failed one; a trace of the first."""
    results = tmp_path / "results"
    save(make_run(), results / "a.json")
    save(make_run(model="b", energies_j=(20.0,) * 5, lost="read error"), results / "below" / "b.json")
    save(make_run(model="c", failure="out of memory"), results / "c.json")
    with TraceWriter(results / "a.json", make_run().id) as writer:
        writer.append("load", None, [("cpu", 0.1 * i, 10.0) for i in range(10)])
        writer.append("query", 1, [("cpu", 1 + 0.1 * i, 10.0 + i) for i in range(101)])
    return results


def ask(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    with Database(folder) as database:
        return list(database.query(sql).rows)


def test_runs_have_the_figures_that_reports_show(make_run: MakeRun, folder: Path) -> None:
    found = ask(folder, "SELECT energy_j, low_j, high_j, boundary, evidence FROM runs WHERE model = 'model-a'")
    figure = energy_per_unit(make_run())
    assert found == [(figure.value, figure.low, figure.high, str(figure.boundary), "modelled")]
    load = phase_energy(make_run(), "idle-before")
    assert load is not None
    found = ask(
        folder, "SELECT p.energy_j, p.low_j, p.high_j FROM phases p JOIN runs USING (run_id) WHERE model = 'model-a'"
    )
    assert found == [(load.value, load.low, load.high)]


def test_a_failure_is_never_a_zero(folder: Path) -> None:
    sql = "SELECT energy_j, low_j, evidence, failure FROM runs WHERE status = 'failed'"
    assert ask(folder, sql) == [(None, None, "unavailable", "out of memory")]
    sql = "SELECT energy_j, unavailable FROM energies WHERE domain = 'dram' AND trial = 5 AND unavailable IS NOT NULL"
    assert ask(folder, sql) == [(None, "read error")]
    assert ask(folder, "SELECT count(*) FROM runs WHERE energy_j = 0 OR low_j = 0") == [(0,)]


def test_energies_of_domains_add_up_to_those_of_trials(folder: Path) -> None:
    rows = ask(
        folder,
        "SELECT any_value(t.energy_j), sum(e.energy_j) FROM trials t JOIN energies e USING (run_id, trial) "
        "JOIN runs USING (run_id) WHERE e.counted AND model = 'model-a' GROUP BY t.trial",
    )
    assert len(rows) == 6
    for whole, parts in rows:
        assert whole == pytest.approx(parts)


def test_traces_join_with_trials(folder: Path) -> None:
    sql = (
        "SELECT phase, trial, count(*), sum(power_w), avg(power_w), approx_quantile(power_w, 0.5), "
        "quantile_cont(power_w, 0.5) FROM traces JOIN runs USING (run_id) GROUP BY ALL ORDER BY phase"
    )
    load, query = ask(folder, sql)
    assert load == ("load", None, 10, 100.0, 10.0, 10.0, 10.0)
    assert query[:4] == ("query", 1, 101, 6060.0)
    assert query[5] == pytest.approx(60, abs=1)


def test_every_column_is_described(folder: Path) -> None:
    for view, columns in VIEWS.items():
        found = {str(row[0]): str(row[1]).lower() for row in ask(folder, f"DESCRIBE {view}")}
        assert found == {name: kind for name, (kind, _) in columns.items()}


def test_a_run_that_lasts_is_there_and_is_read_again_when_it_has_grown(make_run: MakeRun, folder: Path) -> None:
    run = msgspec.structs.replace(make_run(model="d"), trials=())
    sql = "SELECT status, trials FROM runs WHERE model = 'd'"
    with Journal.create(folder / "d.json", run) as journal:
        assert ask(folder, sql) == [("running", 0)]
        journal.append_trial(make_run().trials[0])
        assert ask(folder, sql) == [("running", 1)]
        kept = journal.path.read_bytes()
        journal.finish("complete")
    journal.path.write_bytes(kept)
    assert ask(folder, sql) == [("complete", 1)], "once, although a leftover lies beside it"


def test_one_damaged_file_does_not_hide_its_folder(make_run: MakeRun, folder: Path) -> None:
    (folder / "cut.json").write_bytes((folder / "a.json").read_bytes()[:300])
    (folder / "report.json").write_text('{"suite": "x"}')
    huge = make_run(model="huge")
    trial = msgspec.structs.replace(huge.trials[0], tokens_in=2**63)
    save(msgspec.structs.replace(huge, trials=(trial,)), folder / "huge.json")
    (folder / "a.trace" / "000002.parquet").write_bytes(b"PAR1 and then nothing")
    assert ask(folder, "SELECT count(*) FROM runs") == [(3,)]
    assert ask(folder, "SELECT count(*) FROM traces") == [(111,)]
    assert {name for (name,) in ask(folder, "SELECT file FROM left_out")} == {
        "cut.json",
        "huge.json",
        "a.trace/000002.parquet",
    }


def test_the_index_is_as_good_as_reading_everything(
    make_run: MakeRun, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "KEPT_FROM", 1)
    sql = "SELECT model, energy_j, trials FROM runs ORDER BY model"
    first = ask(folder, sql)
    reads: list[str] = []
    real = database_module._row

    def row(folder: Path, file: Any) -> dict[str, Any]:
        reads.append(file.name)
        return real(folder, file)

    monkeypatch.setattr(database_module, "_row", row)
    assert ask(folder, sql) == first
    assert reads == [], "nothing has changed"
    save(make_run(model="b", energies_j=(30.0,) * 5), folder / "below" / "b.json")
    os.utime(folder / "below" / "b.json", ns=(1, 1))
    (folder / "c.json").unlink()
    changed = ask(folder, sql)
    assert reads == ["below/b.json"]
    assert [row[0] for row in changed] == ["b", "model-a"]
    assert changed[0][1] == pytest.approx(9.0), "30 J of cpu and 15 of dram for 5 texts"
    (index,) = (Path(os.environ["XDG_CACHE_HOME"]) / "joulemark").iterdir()
    index.write_bytes(index.read_bytes()[:100])
    assert ask(folder, sql) == changed, "a damaged index is made anew"


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("selec 1", r"wrong at line 1, character 1 \('selec 1'\).*syntax error"),
        ("SELECT 1,\n  energi_j FROM runs", r"wrong at line 2, character 3 .*energi_j"),
        ("SELECT * FROM rnus", r"character 15 .*rnus"),
        ("SELECT " + "1 + " * 200 + "x", r"wrong at line 1 .*x"),
        ("", "this is nothing"),
        ("SELECT 1; SELECT 2", "this is SELECT and SELECT"),
        ("COPY runs TO 'x.csv'", "this is COPY"),
        ("CREATE TABLE t (a int)", "this is CREATE"),
        ("DROP VIEW runs", "this is DROP"),
        ("ATTACH 'x.db'", "this is ATTACH"),
        ("SET enable_external_access = true", "this is SET"),
        ("INSTALL httpfs", "this is LOAD"),
        ("PRAGMA database_list", "this is PRAGMA"),
        ("SELECT * FROM read_text('/etc/hostname')", "disabled by configuration"),
        ("SELECT * FROM '/etc/passwd.csv'", "disabled by configuration"),
        ("SELECT * FROM glob('/*')", "disabled by configuration"),
        ("SELECT * FROM read_json('results/a.json')", "disabled by configuration"),
        ("SELECT * FROM folder", "folder does not exist"),
    ],
)
def test_only_questions_and_only_about_the_folder(folder: Path, sql: str, message: str) -> None:
    with Database(folder) as database, pytest.raises(UsageError, match=message):
        list(database.query(sql).rows)


def test_a_query_too_large_says_what_to_do(folder: Path) -> None:
    with Database(folder, memory="20MB") as database, pytest.raises(UsageError, match="--memory 4GB"):
        list(database.query("SELECT list(i), list(i * 2) FROM range(100000000) t(i)").rows)
    with pytest.raises(UsageError, match="'much' is no amount of memory"):
        Database(folder, memory="much")


def test_names_with_quotes_and_no_records(make_run: MakeRun, folder: Path, tmp_path: Path) -> None:
    hostile = tmp_path / "it's; [a]*"
    shutil.copytree(folder, hostile)
    assert ask(hostile, "SELECT count(*) FROM traces") == [(111,)]
    (tmp_path / "empty").mkdir()
    for name, message in (("empty", "holds no run records"), ("none", "There is no folder")):
        with pytest.raises(RecordError, match=message):
            Database(tmp_path / name)
    with TraceWriter(tmp_path / "bare" / "x.json", "x"):
        save(make_run(), tmp_path / "bare" / "x.json")
    assert ask(tmp_path / "bare", "SELECT * FROM traces") == []


def test_the_verb_prints_tables_json_and_csv(folder: Path) -> None:
    def run(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["query", *arguments, "--in", str(folder)], catch_exceptions=False)
        assert done.exit_code == 0
        return done.stdout

    sql = "SELECT model, energy_j, failure, {'a': [1, NULL]} AS nested FROM runs ORDER BY model"
    assert "model-a" in run(sql)
    document = json.loads(run(sql, "--json"))
    assert document["columns"] == ["model", "energy_j", "failure", "nested"]
    assert document["rows"][1] == ["c", None, "out of memory", {"a": [1, None]}]
    lines = list(csv.reader(io.StringIO(run(sql, "--csv"))))
    assert lines[0] == document["columns"]
    assert lines[2][:3] == ["c", "", "out of memory"]
    assert list(csv.reader(io.StringIO(run("SELECT '=1+1' AS x, -1 AS y", "--csv"))))[1] == ["'=1+1", "-1"]
    odd = (
        "SELECT 'nan'::double, 170141183460469231731687303715884105727::hugeint, 'x'::blob, map {1: 2}, "
        "date '2026-01-01'"
    )
    assert json.loads(run(odd, "--json"))["rows"] == [
        [None, "170141183460469231731687303715884105727", "eA==", {"1": 2}, "2026-01-01"]
    ]
    assert "more than these 1000 rows" in run("SELECT * FROM range(1001)")
    assert len(json.loads(run("SELECT * FROM range(25000)", "--json"))["rows"]) == 25_000
    assert "power in W" in run("--views")
