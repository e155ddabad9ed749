"""The benchmark with made-up models: order, failures, and being killed half-way."""

from __future__ import annotations

import getpass
import json
import platform
import random
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
    done = joulemark("bench", suite("dear", "steady", trial_s=0.3, blocks=2), "--out", "res", "--where", "ITA")
    assert done.returncode == 0, done.stderr
    steady, dear = (load_run(tmp_path / "res" / f"made-up--{m}.json") for m in ("steady", "dear"))
    assert steady.status == dear.status == "complete"
    each = {"load", "warm-up", "idle-after"}
    again = {f"{phase} 2" for phase in each}
    assert set(steady.phases) == {"idle-before"} | each | again, "two blocks, each with a process of its own"
    assert [t.block for t in steady.trials] == [1, 1, 1, 2, 2]
    assert steady.trials[0].tokens_in == 7 * steady.trials[0].units
    assert steady.software["made-up"] == "1.0"
    assert steady.instrument is not None
    assert steady.instrument.readings >= 2 * (5 + 7), "both edges of every window"
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


def test_blocks_come_in_a_random_order_that_the_seed_decides(joulemark: Run, suite: Suite, tmp_path: Path) -> None:
    path = suite("dear", "steady", trials=8, blocks=8, trial_s=0.02)
    assert joulemark("bench", path, "--out", "res", "--no-html").returncode == 0
    runs = jm.load(tmp_path / "res")
    starts = sorted((t.window.start_s, r.workload.model) for r in runs for t in r.trials)
    order = [model for _, model in starts]
    rounds = [tuple(order[i : i + 2]) for i in range(0, 16, 2)]
    assert all(set(one) == {"dear", "steady"} for one in rounds), "each once in a round"
    assert len(set(rounds)) == 2, "and not always in the same order"


def test_a_model_that_hangs_is_ended_and_the_others_go_on(joulemark: Run, suite: Suite, tmp_path: Path) -> None:
    done = joulemark("bench", suite("hanging", "steady", answer_s=2), "--out", "res", "--no-html", timeout_s=60)
    assert done.returncode == 7
    hanging, steady = (load_run(tmp_path / "res" / f"made-up--{m}.json") for m in ("hanging", "steady"))
    assert hanging.status == "failed"
    assert "did not finish 'run' within 2 s" in (hanging.failure or "")
    assert steady.status == "complete"


def test_an_answer_that_is_no_number_is_no_answer(joulemark: Run, suite: Suite, tmp_path: Path) -> None:
    done = joulemark("bench", suite("nan"), "--out", "res", "--json", "--no-html")
    assert done.returncode == 7
    assert json.loads(done.stdout)["rows"][0]["energy"]["value"] is None


def test_a_function_of_ones_own_is_a_model(joulemark: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def label(texts):\n    return ['positive' for _ in texts]\n")
    asked = ("bench", "--task", "text-classification", "--model", "mine:label", "--out", "res", "--no-html")
    done = joulemark(*asked, "--precision", "50%", "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    planned = json.loads(done.stdout)
    assert [w["model"] for w in planned["workloads"]] == ["mine:label"]
    assert planned["expected_s"] > 0


def test_a_command_is_a_model(joulemark: Run, tmp_path: Path) -> None:
    path = tmp_path / "commands.yaml"
    path.write_text(
        "name: commands\nprotocol: {trial_s: 0.05, min_trials: 2, max_trials: 2, idle_s: 0.05, warm_up_s: 0.05}\n"
        "workloads:\n  - {task: text-classification, model: echo, backend: command, items: 2, "
        "settings: {command: 'echo positive'}}\n"
    )
    done = joulemark("bench", path, "--out", "res", "--no-html")
    assert done.returncode == 0, done.stderr
    (run,) = jm.load(tmp_path / "res")
    assert run.workload.settings["command"] == "echo positive"
    assert run.quality is not None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--model", "mine:label"), "--task"),
        (("--task", "no-such-task", "--model", "a/b"), "no-such-task"),
        (("--task", "text-classification", "--model", "nobody"), "nobody"),
        (("quickstart", "--set", "threads=1"), "a suite says this itself"),
        (("--task", "chat", "--endpoint", "http://127.0.0.1:9/v1"), "127.0.0.1:9"),
        (("--task", "chat", "--endpoint", "http://192.0.2.1:9/v1", "--model", "m"), "192.0.2.1"),
        (("--task", "text-classification", "--model", "a/b", "--protocol", "studdy"), "study"),
        (("--task", "text-classification", "--model", "a/b", "--precision", "two"), "--precision"),
        (("--task", "text-classification", "--model", "a/b", "--sweep", "batch_size"), "name=value"),
        (("--task", "text-classification", "--model", "a/b", "--weights", "odd"), "weights"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_words(joulemark: Run, arguments: tuple[str, ...], said: str) -> None:
    done = joulemark("bench", *arguments, "--out", "res", "--no-html")
    assert done.returncode in {2, 3, 7}
    assert said in done.stderr


def test_ctrl_c_finishes_the_trial_at_hand(suite: Suite, tmp_path: Path) -> None:
    process = _start(suite("steady", trials=6, trial_s=2.0), tmp_path)
    journal = tmp_path / "res" / "made-up--steady.jsonl"
    _wait_for_trials(journal, 1)
    time.sleep(0.5)  # inside the second trial
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    run = load_run(journal)
    assert len(run.trials) == 2, "the second one was finished"
    assert run.status == "interrupted"


def test_records_hold_no_prompts_no_host_and_no_user(joulemark: Run, suite: Suite, tmp_path: Path) -> None:
    joulemark("bench", suite("steady"), "--out", "res")
    files = sorted((tmp_path / "res").iterdir())
    assert {f.suffix for f in files} == {".json", ".html", ".trace"}
    files = [f for f in files if f.is_file()]
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


def _start(suite_path: Path, folder: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "joulemark", "bench", suite_path, "--out", "res", "--no-html", *options],
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
    journal = record.with_suffix(".jsonl")
    process = _start(path, tmp_path)
    _wait_for_trials(journal, 2)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code
    assert "Traceback" not in errors
    assert number is signal.SIGKILL or "go on with --resume" in errors
    assert not record.exists()
    cut = load_run(journal)
    assert cut.status == status
    assert 2 <= len(cut.trials) < 12

    done = joulemark("bench", path, "--out", "res", "--resume", "--no-html")
    assert done.returncode == 0, done.stderr
    whole = load_run(record)
    assert whole.status == "complete"
    assert len(whole.trials) == 12
    assert whole.trials[: len(cut.trials)] == cut.trials, "what was measured before stays"


def test_killed_again_and_again_it_ends_with_the_trials_of_a_run_that_was_not(
    joulemark: Run, suite: Suite, tmp_path: Path
) -> None:
    path, chance = suite("steady", "dear", trials=8, trial_s=0.05), random.Random(20)
    assert joulemark("bench", path, "--out", "whole", "--no-html").returncode == 0
    for _ in range(20):
        process = _start(path, tmp_path, "--resume")
        time.sleep(chance.uniform(0.3, 1.6))
        process.kill()
        process.communicate()

    done = joulemark("bench", path, "--out", "res", "--resume", "--no-html")

    assert done.returncode == 0, done.stderr
    assert not list((tmp_path / "res").glob("*.jsonl"))
    for model in ("steady", "dear"):
        resumed, whole = (load_run(tmp_path / folder / f"made-up--{model}.json") for folder in ("res", "whole"))
        assert resumed.status == whole.status == "complete"
        ids = [trial.id for trial in resumed.trials]
        assert ids == [trial.id for trial in whole.trials], "the same trials, each once"
        assert len(set(ids)) == len(ids) == 8
        assert {trial.units for trial in resumed.trials} == {resumed.trials[0].units}, "the same work in each"
        blocks = [trial.block for trial in resumed.trials]
        assert blocks == sorted(blocks), "what is gone on with is a new block"


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
