from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from joulemark.errors import DamagedRecord, OutputNotWritable, RecordError, UsageError
from joulemark.records import Run, Trial, load_run, load_runs, save
from joulemark.records.files import read_folder
from joulemark.records.journal import Journal
from tests.conftest import MakeRun
from tests.conftest import make_run as build_run


def _started(run: Run) -> Run:
    return msgspec.structs.replace(run, trials=(), phases={}, status="running")


def _written(path: Path, run: Run) -> Journal:
    journal = Journal.create(path, _started(run))
    for name, window in run.phases.items():
        journal.append_phase(name, window)
    for trial in run.trials:
        journal.append_trial(trial)
    return journal


def _numbered(run: Run) -> tuple[Trial, ...]:
    return tuple(msgspec.structs.replace(t, id=f"{run.id}-{n}") for n, t in enumerate(run.trials, start=1))


def test_a_run_is_read_from_its_journal_while_it_lasts_and_from_its_record_when_it_is_done(
    make_run: MakeRun, tmp_path: Path
) -> None:
    run = msgspec.structs.replace(make_run(), trials=_numbered(make_run()))
    journal = _written(tmp_path / "a.json", run)
    assert [p.name for p in tmp_path.iterdir()] == ["a.jsonl"]
    so_far = load_run(journal.path)
    assert so_far == journal.run == msgspec.structs.replace(run, status="running")
    assert load_runs(tmp_path) == (so_far,)
    assert journal.finish("complete") == run
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    assert load_run(tmp_path / "a.json") == run


def test_each_trial_is_on_the_disk_before_the_next_begins(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        real(descriptor)
        synced.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(os, "fsync", fsync)
    journal = Journal.create(tmp_path / "a.json", _started(make_run()))
    for number, trial in enumerate(make_run().trials, start=1):
        journal.append_trial(trial)
        assert synced[-1] == journal.path.stat().st_size
        assert len(load_run(journal.path).trials) == number
    journal.close()


@given(cut=st.integers(min_value=1, max_value=10_000))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_wherever_a_journal_is_cut_off_its_whole_lines_are_kept_and_it_can_be_gone_on_with(
    tmp_path: Path, cut: int
) -> None:
    run = build_run()
    path = tmp_path / "a.jsonl"
    path.unlink(missing_ok=True)
    _written(path, run).close()
    whole = path.read_bytes()
    header = whole.index(b"\n") + 1
    kept = header + cut % (len(whole) - header)
    path.write_bytes(whole[:kept])
    trials = whole[:kept].count(b'{"trial"') - (not whole[:kept].endswith(b"\n") and b'{"trial"' in _last(whole[:kept]))
    assert len(load_run(path).trials) == trials
    with Journal.resume(path) as journal:
        while len(journal.run.trials) < len(run.trials):
            journal.append_trial(run.trials[len(journal.run.trials)])
        done = journal.finish("complete")
    assert [t.id for t in done.trials] == [t.id for t in _numbered(run)], "each once, whatever was cut off"
    assert load_run(tmp_path / "a.json").trials == done.trials


def _last(data: bytes) -> bytes:
    return data[data.rfind(b"\n") + 1 :]


WRITER = """
import sys
from pathlib import Path
import msgspec
from joulemark.records.files import load_run
from joulemark.records.journal import Journal
path, source = Path(sys.argv[1]), load_run(Path(sys.argv[2]))
exists = path.with_suffix(".jsonl").exists()
journal = Journal.resume(path) if exists else Journal.create(path, msgspec.structs.replace(source, trials=()))
print("ready", flush=True)
while len(journal.run.trials) < 400:
    journal.append_trial(source.trials[0])
journal.finish("complete")
"""


def test_sigkill_at_any_time_costs_no_trial_and_doubles_none(make_run: MakeRun, tmp_path: Path) -> None:
    save(make_run(), tmp_path / "source.json")
    path = tmp_path / "out" / "a.json"
    ready, before = b"", 0
    for delay_s in (0.01, 0.0, 0.03, 0.02, None):
        command = [sys.executable, "-c", WRITER, str(path), str(tmp_path / "source.json")]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            ready = process.stdout.readline()
            if delay_s is not None:
                time.sleep(delay_s)
                process.send_signal(signal.SIGKILL)
            process.wait(30)
        assert ready == b"ready\n", "it could be gone on with"
        now = len(load_runs(path.parent)[0].trials)
        assert now >= before
        before = now
    run = load_run(path)
    assert [t.id for t in run.trials] == [f"{run.id}-{n}" for n in range(1, 401)]
    assert [p.name for p in path.parent.iterdir() if not p.name.startswith(".")] == ["a.json"]


@contextmanager
def _room(size: int) -> Iterator[None]:
    """Let no file grow beyond a size, as a full disk does: part of a write succeeds, the next fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_what_was_there_and_makes_no_trial_twice(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run()
    journal = Journal.create(tmp_path / "a.json", _started(run))
    journal.append_trial(run.trials[0])
    before = journal.path.read_bytes()
    with _room(len(before) + 40):
        for _ in range(3):
            with pytest.raises(OutputNotWritable, match=r"Cannot write .*a\.jsonl.*is kept"):
                journal.append_trial(run.trials[1])
    assert journal.path.read_bytes() == before
    assert len(journal.run.trials) == 1
    with _room(10), pytest.raises(OutputNotWritable):
        journal.finish("complete")
    assert journal.path.read_bytes() == before, "the journal goes only when the record is there"
    journal.append_trial(run.trials[1])
    assert [t.id for t in journal.finish("complete").trials] == [t.id for t in _numbered(run)[:2]]


def test_damage_elsewhere_than_at_the_end_names_the_line(make_run: MakeRun, tmp_path: Path) -> None:
    journal = _written(tmp_path / "a.json", make_run())
    journal.close()
    lines = journal.path.read_bytes().splitlines(keepends=True)
    for damaged, said in (
        (b"\0" * 20 + b"\n", "malformed"),
        (b'{"surprise": 1}\n', "unknown field `surprise`"),
        (b'{"id": "another"}\n', "unknown field `id`"),
        (lines[3].replace(b'"units"', b'"untis"'), "field `untis`"),
        (lines[3].replace(b'"units":5', b'"units":-5'), "Expected `int` >= 0"),
        (lines[4], "is there twice"),
    ):
        journal.path.write_bytes(b"".join([*lines[:3], damaged, *lines[4:]]))
        with pytest.raises(DamagedRecord, match=rf"a\.jsonl, line [45], is damaged: .*{said}"):
            load_run(journal.path)
        with pytest.raises(DamagedRecord):
            Journal.resume(journal.path)


def test_what_does_not_fit_is_refused_before_it_is_written(make_run: MakeRun, tmp_path: Path) -> None:
    journal = _written(tmp_path / "a.json", make_run())
    before = journal.path.read_bytes()
    for call in (
        lambda: journal.append_trial(journal.run.trials[0]),
        lambda: journal.note(trials=()),
        lambda: journal.note(status="done"),
        lambda: journal.note(surprise=1),
    ):
        with pytest.raises(ValueError, match=r"there twice|unknown field|Invalid enum"):
            call()
    assert journal.path.read_bytes() == before
    journal.note(software={"torch": "2"}, status="interrupted")
    journal.close()
    assert load_run(journal.path).software == {"torch": "2"}
    with pytest.raises(ValueError, match="is closed"):
        journal.note(software={})


def test_a_phase_keeps_the_window_of_its_first_time(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run()
    journal = _written(tmp_path / "a.json", run)
    journal.append_phase("idle-before", run.trials[0].window)
    assert load_run(journal.path).phases == run.phases
    journal.close()


def test_what_was_interrupted_goes_on_and_what_has_ended_does_not(make_run: MakeRun, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    save(msgspec.structs.replace(make_run(), status="interrupted", trials=_numbered(make_run())), path)
    with Journal.resume(path) as journal:
        assert journal.run.status == "running"
        journal.append_trial(make_run().trials[0])
        (found,) = load_runs(tmp_path)
        assert len(found.trials) == 7, "the journal says more than the record beside it"
        leftover = journal.path.read_bytes()
        journal.finish("complete")
    with pytest.raises(UsageError, match="has ended"):
        Journal.resume(path)
    journal.path.write_bytes(leftover)
    (found,) = load_runs(tmp_path)
    assert found.status == "complete", "a leftover of the run that has ended says less"
    with pytest.raises(RecordError, match="There is no record"):
        Journal.resume(tmp_path / "b.json")


def test_two_cannot_write_one_journal(make_run: MakeRun, tmp_path: Path) -> None:
    with Journal.create(tmp_path / "a.json", make_run()):
        with pytest.raises(UsageError, match="another process"):
            Journal.resume(tmp_path / "a.json")
        with pytest.raises(UsageError, match="has not ended"):
            Journal.create(tmp_path / "a.json", make_run())
    Journal.resume(tmp_path / "a.json").close()


def test_one_damaged_record_does_not_hide_its_folder(make_run: MakeRun, tmp_path: Path) -> None:
    save(make_run(), tmp_path / "a.json")
    save(make_run(model="b"), tmp_path / "b.json")
    (tmp_path / "c.json").write_text('{"schema": "joulemark/run/99"}')
    (tmp_path / "d.jsonl").write_text("")
    (tmp_path / "report.json").write_text('{"suite": "x"}')
    (tmp_path / "b.json").write_bytes((tmp_path / "b.json").read_bytes()[:-30])
    folder = read_folder(tmp_path)
    assert folder.runs == load_runs(tmp_path, on_error="skip") == (make_run(),)
    reasons = {one.path.name: one.reason for one in folder.left_out}
    assert set(reasons) == {"b.json", "c.json", "d.jsonl"}
    assert "no whole record" in reasons["b.json"]
    assert "pip install --upgrade" in reasons["c.json"]
    with pytest.raises(RecordError, match=r"b\.json is no whole record"):
        load_runs(tmp_path)
    (tmp_path / "a.json").unlink()
    with pytest.raises(RecordError, match=r"holds no run records.*Left out: .*b\.json"):
        load_runs(tmp_path, on_error="skip")
