"""The benchmark with made-up models: order, failures, and being killed half-way."""

from __future__ import annotations

import getpass
import json
import platform
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import joulemark as jm
from joulemark.bench.runner import _without_home
from joulemark.records import energy_per_unit, load_run
from tests.e2e.conftest import Run, environment

Suite = Callable[..., Path]


def test_models_are_measured_ranked_and_explained(joulemark: Run, suite: Suite, tmp_path: Path) -> None:
    done = joulemark("bench", suite("dear", "steady", trial_s=0.3), "--out", "res", "--where", "ITA")
    assert done.returncode == 0, done.stderr
    steady, dear = (load_run(tmp_path / "res" / f"made-up--{m}.json") for m in ("steady", "dear"))
    assert steady.status == dear.status == "complete"
    assert set(steady.phases) == {"idle-before", "load", "warm-up", "idle-after"}
    assert len(steady.trials) == 5
    assert steady.trials[0].tokens_in == 7 * steady.trials[0].units
    assert steady.software["made-up"] == "1.0"
    assert steady.instrument is not None
    assert steady.instrument.readings >= 2 * (5 + 4), "both edges of every window"
    assert {steady.protocol.position, dear.protocol.position} == {0, 1}
    assert done.stdout.index("Made up, steady") < done.stdout.index("Made up, dear"), "the cheaper first"
    for said in ("MODELLED", "Italy", "edition 2024", "gCO2e", "phone charges", "× best", "steady"):
        assert said in done.stdout
    assert (tmp_path / "res" / "report.html").exists()
    runs = jm.load(tmp_path / "res")
    assert {r.workload.model for r in runs} == {"steady", "dear"}


def test_three_times_the_work_takes_three_times_the_energy_of_the_processor(
    joulemark: Run, suite: Suite, tmp_path: Path
) -> None:
    joulemark("bench", suite("dear", "steady", trial_s=0.5), "--out", "res", "--no-html")
    cpu_s = {
        r.workload.model: sum(t.cpu_s or 0 for t in r.trials) / sum(t.units for t in r.trials)
        for r in jm.load(tmp_path / "res")
    }
    assert cpu_s["dear"] / cpu_s["steady"] == pytest.approx(3, rel=0.2)


def test_a_model_that_gives_no_answers_has_no_figure_and_the_others_go_on(
    joulemark: Run, suite: Suite, tmp_path: Path
) -> None:
    done = joulemark("bench", suite("wrong", "dying", "steady"), "--out", "res", "--json")
    assert done.returncode == 7
    assert "2 of 3 workloads failed" in done.stderr
    rows = {row["model"]: row for row in json.loads(done.stdout)["rows"]}
    assert rows["steady"]["energy"]["value"] > 0
    for model, reason in (("wrong", "the answer is no echo"), ("dying", "died during 'run' (exit code 9")):
        assert rows[model]["energy"]["value"] is None, "a failure is never a zero"
        assert rows[model]["rank"] is None
        assert reason in rows[model]["note"]
    failed = load_run(tmp_path / "res" / "made-up--wrong.json")
    assert failed.status == "failed"
    assert failed.trials[0].units == 0


def test_records_hold_no_prompts_no_host_and_no_user(joulemark: Run, suite: Suite, tmp_path: Path) -> None:
    joulemark("bench", suite("steady"), "--out", "res")
    files = sorted((tmp_path / "res").iterdir())
    assert [f.suffix for f in files] == [".json", ".html"]
    assert all("nobody shall read" not in file.read_text() for file in files)
    for private in (platform.node(), getpass.getuser(), str(tmp_path)):
        assert not re.search(rf"\b{re.escape(private)}\b", files[0].read_text()), f"{private} is in the record"
    named = joulemark("bench", suite("steady"), "--out", "named", "--identify")
    assert named.returncode == 0
    assert load_run(tmp_path / "named" / "made-up--steady.json").machine.hostname == platform.node()


def test_results_are_not_overwritten_and_resume_keeps_them(joulemark: Run, suite: Suite, tmp_path: Path) -> None:
    path = suite("steady")
    joulemark("bench", path, "--out", "res")
    before = (tmp_path / "res" / "made-up--steady.json").read_bytes()
    again = joulemark("bench", path, "--out", "res")
    assert again.returncode == 2
    assert "--resume" in again.stderr
    resumed = joulemark("bench", path, "--out", "res", "--resume")
    assert resumed.returncode == 0
    assert (tmp_path / "res" / "made-up--steady.json").read_bytes() == before


def _start(suite_path: Path, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "joulemark", "bench", suite_path, "--out", "res", "--no-html"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _wait_for_trials(record: Path, count: int, limit_s: float = 60) -> None:
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if record.exists() and len(load_run(record).trials) >= count:
            return
        time.sleep(0.02)
    pytest.fail(f"{record} had no {count} trials after {limit_s} s")


@pytest.mark.parametrize(
    ("number", "status", "code"),
    [(signal.SIGKILL, "running", -9), (signal.SIGINT, "interrupted", 130), (signal.SIGTERM, "interrupted", 130)],
)
def test_killed_half_way_nothing_measured_is_lost_and_it_can_go_on(
    joulemark: Run, suite: Suite, tmp_path: Path, number: signal.Signals, status: str, code: int
) -> None:
    path, record = suite("steady", trials=12, trial_s=0.2), tmp_path / "res" / "made-up--steady.json"
    process = _start(path, tmp_path)
    _wait_for_trials(record, 2)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code
    assert "Traceback" not in errors
    assert number is signal.SIGKILL or "go on with --resume" in errors
    cut = load_run(record)
    assert cut.status == status
    assert 2 <= len(cut.trials) < 12

    done = joulemark("bench", path, "--out", "res", "--resume", "--no-html")
    assert done.returncode == 0, done.stderr
    whole = load_run(record)
    assert whole.status == "complete"
    assert len(whole.trials) == 12
    assert whole.trials[: len(cut.trials)] == cut.trials, "what was measured before stays"


def test_resuming_refuses_what_is_another_workload(joulemark: Run, suite: Suite, tmp_path: Path) -> None:
    path = suite("steady")
    joulemark("bench", path, "--out", "res")
    record = tmp_path / "res" / "made-up--steady.json"
    record.write_text(record.read_text().replace('"work_ms": 2', '"work_ms": 3'))
    done = joulemark("bench", path, "--out", "res", "--resume")
    assert done.returncode == 2
    assert "another workload" in done.stderr


def test_resuming_refuses_another_protocol_before_it_measures(joulemark: Run, suite: Suite, tmp_path: Path) -> None:
    joulemark("bench", suite("steady"), "--out", "res")
    done = joulemark("bench", suite("dear", "steady", trials=6), "--out", "res", "--resume")
    assert done.returncode == 2
    assert "another protocol" in done.stderr
    assert not (tmp_path / "res" / "made-up--dear.json").exists()


def test_resuming_measures_failed_ones_again(joulemark: Run, suite: Suite, tmp_path: Path) -> None:
    path = suite("wrong")
    assert joulemark("bench", path, "--out", "res").returncode == 7
    before = load_run(tmp_path / "res" / "made-up--wrong.json")
    assert joulemark("bench", path, "--out", "res", "--resume").returncode == 7
    assert load_run(tmp_path / "res" / "made-up--wrong.json").id != before.id


def test_trials_are_whole_passes_over_the_same_inputs(joulemark: Run, suite: Suite, tmp_path: Path) -> None:
    joulemark("bench", suite("steady", trial_s=0.09), "--out", "res")
    run = load_run(tmp_path / "res" / "made-up--steady.json")
    assert run.workload.items == 5
    assert {t.units % 5 for t in run.trials} == {0}
    assert len({t.units for t in run.trials}) == 1


def test_a_dry_run_measures_nothing(joulemark: Run, suite: Suite, tmp_path: Path) -> None:
    done = joulemark("bench", suite("steady", "dear"), "--out", "res", "--dry-run")
    assert done.returncode == 0
    assert "2 workloads, about" in done.stdout
    assert not (tmp_path / "res").exists()


def test_the_same_from_python(suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from joulemark.workloads.models import models
    from joulemark.workloads.tasks import tasks
    from tests.e2e.conftest import PLUGINS

    monkeypatch.syspath_prepend(str(PLUGINS))
    monkeypatch.setenv("PYTHONPATH", str(PLUGINS))
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    for cache in (models, tasks):
        cache.cache_clear()
    said: list[str] = []
    with pytest.warns(UserWarning, match="'broken'.*does not load"):
        runs = jm.run_suite(suite("steady"), tmp_path / "res", progress=said.append)
    for cache in (models, tasks):
        cache.cache_clear()
    assert [run.status for run in runs] == ["complete"]
    (live,), (loaded,) = (tuple(map(energy_per_unit, some)) for some in (runs, jm.load(tmp_path / "res")))
    assert loaded == live, "a file says what the run said, to the name of the last error"
    assert str(loaded.errors) == str(live.errors)
    assert any("warm-up" in line for line in said)


def test_a_library_s_message_does_not_tell_who_measured() -> None:
    assert _without_home(f"cannot open {Path.home()}/model.onnx") == "cannot open ~/model.onnx"
