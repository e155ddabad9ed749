from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from joulemark.errors import DamagedRecord, NewerSchema, OutputNotWritable, RecordError
from joulemark.figures import Kind
from joulemark.readings import DomainEnergy
from joulemark.records import energy_per_unit, load_run, load_runs, save
from tests.conftest import MakeRun

WINDOW: dict[str, object] = {"label": "load", "start_s": 0, "duration_s": 1, "energies": []}


def test_a_record_comes_back_as_it_was(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run()
    save(run, tmp_path / "a" / "run.json")
    assert load_run(tmp_path / "a" / "run.json") == run
    assert load_runs(tmp_path / "a") == (run,)


def test_records_are_frozen(make_run: MakeRun) -> None:
    with pytest.raises(AttributeError):
        make_run().status = "failed"  # type: ignore[misc]


def test_a_domain_has_energy_or_a_reason_never_both_and_never_neither() -> None:
    for wrong in ({"energy_j": 1.0, "unavailable": "gone"}, {}):
        with pytest.raises(ValueError, match="either energy_j or the reason"):
            DomainEnergy(domain="cpu", **wrong)  # type: ignore[arg-type]


def test_a_file_that_was_cut_off_says_so(make_run: MakeRun, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    save(make_run(), path)
    whole = path.read_bytes()
    for length in (0, 1, len(whole) // 3, len(whole) - 3):
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedRecord, match=r"run\.json is no whole record"):
            load_run(path)


def test_a_newer_schema_says_how_to_upgrade(make_run: MakeRun, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    content = msgspec.to_builtins(make_run()) | {"schema": "joulemark/run/2", "more": "than we know"}
    path.write_text(json.dumps(content))
    with pytest.raises(NewerSchema, match=r"newer than 'joulemark/run/1'.*pip install --upgrade joulemark"):
        load_run(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trials": "none"}, r"Expected `array`, got `str` - at `\$\.trials`"),
        ({"status": "done"}, r"Invalid enum value 'done' - at `\$\.status`"),
        ({"surprise": 1}, "unknown field `surprise`"),
        ({"machine": {"processor": "x"}}, r"missing required field `cpus` - at `\$\.machine`"),
        ({"phases": {"load": WINDOW | {"surprise": 1}}}, r"unknown field `surprise` - at `\$\.phases\.load`"),
        ({"phases": {"load": WINDOW | {"duration_s": -1}}}, r"duration_s is -1.*at `\$\.phases\[\.\.\.\]`"),
    ],
)
def test_a_wrong_field_is_named(make_run: MakeRun, tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps(msgspec.to_builtins(make_run()) | change))
    with pytest.raises(DamagedRecord, match=message):
        load_run(path)


def test_other_files_and_missing_ones(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="There is no record"):
        load_run(tmp_path / "none.json")
    with pytest.raises(RecordError, match="holds no run records"):
        load_runs(tmp_path)
    (tmp_path / "x.json").write_text('{"schema": "someone/else/1"}')
    with pytest.raises(RecordError, match="someone/else/1"):
        load_run(tmp_path / "x.json")
    with pytest.raises(RecordError, match="holds no run records"):
        load_runs(tmp_path)


def test_what_cannot_be_written_leaves_the_old_file(make_run: MakeRun, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    save(make_run(), path)
    before = path.read_bytes()
    blocked = tmp_path / "run.json" / "below"
    with pytest.raises(OutputNotWritable, match="Cannot write"):
        save(make_run(), blocked)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"], "no partial file is left behind"


def test_energy_per_unit_by_hand(make_run: MakeRun) -> None:
    figure = energy_per_unit(make_run(energies_j=(10.0, 10.0, 10.0), units=5, gain=0, mix=0))
    assert figure.value == pytest.approx(3.0), "10 J of cpu and 5 J of dram for 5 texts"
    assert figure.unit == "J/text"
    assert figure.boundary.phases == ("query",)
    assert {p.name: p.value for p in figure.parts} == {"cpu": pytest.approx(2), "dram": pytest.approx(1)}


def test_a_failed_run_has_no_figure(make_run: MakeRun) -> None:
    figure = energy_per_unit(make_run(failure="out of memory"))
    assert not figure.available
    assert figure.evidence.missing[0].reason == "out of memory"


def test_a_domain_that_is_missing_in_one_trial_is_left_out_of_all(make_run: MakeRun) -> None:
    figure = energy_per_unit(make_run(energies_j=(10.0,) * 6, lost="read error"))
    assert figure.value == pytest.approx(2.0), "cpu alone; a lost reading does not make the mean smaller"
    assert [str(c) for c in figure.boundary.components] == ["cpu"]
    assert [(p.name, p.reason) for p in figure.evidence.missing] == [("dram", "read error")]
    assert figure.evidence.kind is Kind.MODELLED
