"""Every verb: what it prints, its JSON against its published schema, its errors and exit codes."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
import rich.console

from joulemark.cli import VERBS
from joulemark.cli.schema import SCHEMAS
from joulemark.records import load_measurement, save
from tests.conftest import MakeRun
from tests.e2e.conftest import Run, environment

Suite = Callable[..., Path]


@pytest.fixture
def results(make_run: MakeRun, tmp_path: Path) -> Path:
    for model, energies in (("a", (10.0, 10.1, 9.9, 10.05, 9.95)), ("b", (31.0, 30.9, 31.1, 31.0, 31.0))):
        save(make_run(model=model, energies_j=energies), tmp_path / "res" / f"{model}.json")
    return tmp_path / "res"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_examples(joulemark: Run, verb: str) -> None:
    done = joulemark(verb, "--help")
    assert done.returncode == 0
    assert f"joulemark {verb}" in done.stdout
    assert "Examples:" in done.stdout


def test_shell_completion_is_offered(joulemark: Run) -> None:
    assert "--install-completion" in joulemark("--help").stdout


def _schema(joulemark: Run, name: str) -> dict[str, object]:
    schema: dict[str, object] = json.loads(joulemark("schema", name).stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    return schema


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_are_valid(joulemark: Run, name: str) -> None:
    assert _schema(joulemark, name)["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("doctor", ("doctor", "--json")),
        ("show", ("show", "res", "--json")),
        ("show", ("show", "res", "--json", "--where", "France")),
        ("report", ("report", "res", "--json", "--save", "x.html")),
        ("compare", ("compare", "res/a.json", "res/a.json", "--json")),
    ],
)
def test_json_follows_its_schema(joulemark: Run, results: Path, name: str, arguments: tuple[str, ...]) -> None:
    done = joulemark(*arguments)
    assert done.returncode == 0, done.stderr
    jsonschema.validate(json.loads(done.stdout), _schema(joulemark, name))


def test_records_follow_their_schema(joulemark: Run, suite: Suite, tmp_path: Path) -> None:
    joulemark("bench", suite("steady", "wrong"), "--out", "res2", "--no-html")
    schema = _schema(joulemark, "run")
    files = sorted((tmp_path / "res2").glob("*.json"))
    assert len(files) == 2
    for file in files:
        jsonschema.validate(json.loads(file.read_text()), schema)


def test_bench_json_follows_its_schema(joulemark: Run, suite: Suite) -> None:
    done = joulemark("bench", suite("steady"), "--json", "--no-html")
    jsonschema.validate(json.loads(done.stdout), _schema(joulemark, "bench"))


def test_doctor_says_what_is_read_and_what_is_not(joulemark: Run, tmp_path: Path) -> None:
    done = joulemark("doctor", "--save", "doctor.json")
    assert done.returncode == 0
    assert "Read on this machine" in done.stdout
    saved = json.loads((tmp_path / "doctor.json").read_text())
    seen = {d["sensor"].split()[0] for d in saved["domains"]} | {r["sensor"] for r in saved["refused"]}
    assert {"rapl", "nvml"} <= seen, "each sensor is either read or named with its reason"
    assert saved["idle_power"]["value"] > 0


def test_measure_leaves_the_command_its_output_and_its_exit_code(joulemark: Run, tmp_path: Path) -> None:
    code = "import sys, time; print('mine'); time.sleep(0.3); sys.exit(5)"
    done = joulemark("measure", "--json", "--save", "m.json", "--label", "nap", "--", sys.executable, "-c", code)
    assert done.returncode == 5
    assert done.stdout == "mine\n"
    report = json.loads(done.stderr)
    jsonschema.validate(report, _schema(joulemark, "measure"))
    assert report["exit_code"] == 5
    assert 0.3 <= report["duration_s"] < 3
    assert report["energy"]["low"] < report["energy"]["value"] < report["energy"]["high"]
    record = load_measurement(tmp_path / "m.json")
    jsonschema.validate(json.loads((tmp_path / "m.json").read_text()), _schema(joulemark, "measurement"))
    assert (record.label, record.exit_code, record.command) == ("nap", 5, None), "no arguments unless asked"


def test_measure_passes_signals_on(tmp_path: Path) -> None:
    child = (
        "import signal, sys, time; signal.signal(15, lambda *a: sys.exit(3)); print('up', flush=True); time.sleep(30)"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "joulemark", "measure", "--", sys.executable, "-c", child],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 3
    assert "modelled" in errors or "measured" in errors, "the report comes all the same"


def test_measure_tells_energy_net_of_idle(joulemark: Run, tmp_path: Path) -> None:
    done = joulemark("measure", "--idle", "0.5", "--json", "--save", "m.json", "--", sys.executable, "-c", "pass")
    report = json.loads(done.stderr)
    jsonschema.validate(report, _schema(joulemark, "measure"))
    net = report["net_energy"]
    assert "net of idle" in net["boundary"]
    expected = report["energy"]["value"] - report["idle_power"]["value"] * report["duration_s"]
    assert net["value"] == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert [w.label for w in load_measurement(tmp_path / "m.json").windows] == ["idle", "idle", ""]


def test_measure_follows_a_running_process(joulemark: Run) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(2)"]) as process:
        done = joulemark("measure", "--json", "--pid", str(process.pid), timeout_s=30)
    assert done.returncode == 0
    report = json.loads(done.stderr)
    assert 0.1 < report["duration_s"] < 5
    assert report["exit_code"] is None


def test_watch_shows_power_for_a_while(joulemark: Run) -> None:
    began = time.monotonic()
    done = joulemark("watch", "--every", "0.1", "--for", "0.5")
    assert done.returncode == 0
    assert "total" in done.stdout
    assert "W" in done.stdout
    assert time.monotonic() - began < 10


def test_show_and_compare_print_tables(joulemark: Run, results: Path) -> None:
    shown = joulemark("show", results)
    assert "3.1" in shown.stdout, "b takes 3.1 times the energy of a"
    compared = joulemark("compare", results, results)
    assert compared.stdout.count("no difference") == 2


def test_compare_fails_above_a_limit(joulemark: Run, make_run: MakeRun, tmp_path: Path) -> None:
    save(make_run(), tmp_path / "before.json")
    save(make_run(session="s2", energies_j=(12.0, 12.1, 11.9, 12.05, 11.95)), tmp_path / "after.json")
    assert joulemark("compare", "before.json", "after.json", "--fail-above", "30%").returncode == 0
    done = joulemark("compare", "before.json", "after.json", "--fail-above", "5%")
    assert done.returncode == 9
    assert "take over 5% more" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("bench", "quikstart"), 2, "Unknown suite 'quikstart'. Did you mean 'quickstart'?"),
        (("bench", "quickstart", "--model", "smollm2-135m"), 2, "Unknown model 'smollm2-135m'. Did you mean"),
        (("bench", "quickstart", "--task", "text-generatoin"), 2, "Did you mean 'text-generation'"),
        (("bench", "none.yaml"), 2, "There is no suite file none.yaml"),
        (("bench", "quickstart", "--where", "Itlay"), 2, "Unknown place 'Itlay'. Did you mean 'Italy'"),
        (("bench", "quickstart", "--where", "350"), 2, "has no unit"),
        (("schema", "runn"), 2, "Unknown schema 'runn'. Did you mean 'run'"),
        (("measure",), 2, "Give either a command"),
        (("measure", "--pid", "1", "--", "true"), 2, "Give either a command"),
        (("measure", "--pid", "999999999"), 2, "Cannot follow the process 999999999"),
        (("measure", "--idle", "-1", "--", "true"), 2, "--idle -1 is out of range"),
        (("measure", "--", "no-such-command"), 2, "Cannot start 'no-such-command'"),
        (("measure", "--save", "/dev/null/x.json", "--", "true"), 8, "Cannot write /dev/null/x.json"),
        (("measure", "--save", "/dev/null", "--", "true"), 8, "/dev/null is no ordinary file"),
        (("watch", "--every", "0"), 2, "out of range"),
        (("show", "nothing"), 4, "There is no record nothing"),
        (("compare", "a", "b", "--fail-above", "much"), 2, "'much' is no share"),
        (("compare", "a", "b", "--fail-above", "5"), 2, "'5' is no share"),
        (("watch", "--for", "nan"), 2, "--for nan is out of range"),
        (("bench", "quickstart", "--where", "1e300g/kWh"), 2, "beyond all electricity"),
        (("bench", "--no-such-option"), 2, "No such option"),
    ],
)
def test_mistakes_have_an_exit_code_and_a_sentence(
    joulemark: Run, arguments: tuple[str, ...], code: int, message: str
) -> None:
    done = joulemark(*arguments)
    assert done.returncode == code, done.stderr
    assert message in " ".join(done.stderr.split())
    assert done.stdout == ""


def test_results_that_cannot_be_written(joulemark: Run, suite: Suite, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = joulemark("bench", suite("steady"), "--out", "file/res")
    assert done.returncode == 8
    assert "Choose another folder" in done.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name: x\nworkloads: []", "length >= 1"),
        ("name: x", "missing required field `workloads`"),
        ("name: x\nworkloads: [{task: made-up, modl: steady}]", "unknown field `modl`"),
        ("name: x\nworkloads: [{task: made-up, model: nobody}]", "Unknown model 'nobody'"),
        ("name: x\nworkloads: [{task: nothing, model: steady}]", "Unknown task 'nothing'"),
        ("name: x\nworkloads: [{task: image-generation, model: steady}]", "cannot do the task 'image-generation'"),
        ("name: x\nprotocol: {trial_s: -1}\nworkloads: [{task: made-up, model: steady}]", "protocol.trial_s"),
        ("name: x\nprotocol: {min_trials: 9, max_trials: 3}\nworkloads: [{task: a, model: b}]", "is below min_trials"),
        (
            "name: x\nworkloads: [{task: made-up, model: steady, settings: {work: 1}}]",
            "Unknown setting 'work'. Did you",
        ),
        ("name: x\nworkloads: [{task: made-up, model: steady, items: 6}]", "only 5 inputs"),
        (
            "name: x\nworkloads: [{task: image-generation, model: digits-diffusion, settings: {steps: many}}]",
            "steps must be a whole number of at least 1, not 'many'",
        ),
        ("name: [", "is no YAML"),
        ("name: x\nworkloads: [{task: made-up, model: steady}, {task: made-up, model: steady}]", "twice"),
    ],
)
def test_a_wrong_suite_file_names_the_field(joulemark: Run, tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "s.yaml").write_text(content)
    done = joulemark("bench", "s.yaml")
    assert done.returncode == 2
    assert message in done.stderr


def test_weights_that_are_missing_or_forged_are_all_named_before_anything_is_measured(
    joulemark: Run, suite: Suite, tmp_path: Path
) -> None:
    done = joulemark("bench", suite("unshipped", "steady", "forged"), "--out", "res")
    assert done.returncode == 5
    assert "pip install --no-deps no-such-package==1.2.3" in done.stderr
    assert "models.toml has the SHA-256" in done.stderr
    assert not (tmp_path / "res").exists()


def test_a_runtime_that_is_missing_is_named_with_its_extra(joulemark: Run, suite: Suite, tmp_path: Path) -> None:
    done = joulemark("bench", suite("steady", "bare"), "--out", "res")
    assert done.returncode == 3
    assert "needs 'no-such-runtime'. Install it with: pip install 'joulemark[bench]'" in done.stderr
    assert not (tmp_path / "res").exists()


def _raw(command: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[bytes]:
    program = f"{sys.executable} -m joulemark"
    return subprocess.run(
        ["bash", "-c", command.replace("J ", f"{program} ")],
        cwd=folder,
        env={**environment(), **variables},
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("J schema run >/dev/full", 8),
        ("J schema run >&-", 0),
        ("J show res | head -1; exit ${PIPESTATUS[1]}", 0),
        ("PYTHONIOENCODING=ascii J show res", 0),
        ("PYTHONIOENCODING=latin-1 J show res --json", 0),
        ("J measure -- sh -c 'exit 7' 2>/dev/full", 7),
        ("J measure -- sh -c 'exit 7' 2>&-", 7),
        ("sleep 30 & timeout --preserve-status -s TERM 2 J measure --pid $! --save m.json; kill $!; test -s m.json", 0),
    ],
)
def test_streams_that_are_closed_full_or_of_another_alphabet(
    results: Path, tmp_path: Path, command: str, code: int
) -> None:
    done = _raw(command, tmp_path)
    assert done.returncode == code, done.stderr
    assert b"Traceback" not in done.stderr


def test_json_is_utf8_in_any_locale(results: Path, tmp_path: Path) -> None:
    done = _raw("J show res --json", tmp_path, PYTHONIOENCODING="ascii")
    assert "±" in json.dumps(json.loads(done.stdout.decode()), ensure_ascii=False)


def test_a_record_is_not_overwritten_by_a_report(joulemark: Run, results: Path) -> None:
    before = (results / "a.json").read_bytes()
    for arguments in (("show", results, "--save"), ("report", results, "--save")):
        done = joulemark(*arguments, results / "a.json")
        assert done.returncode == 8
        assert "holds the record of a run" in done.stderr
    assert (results / "a.json").read_bytes() == before


def test_names_and_verdicts_fit_on_a_narrow_terminal(results: Path) -> None:
    from joulemark.records import load_runs
    from joulemark.reports.benchmark import collect
    from joulemark.reports.terminal import benchmark_view

    narrow = rich.console.Console(width=80, markup=False, highlight=False)
    with narrow.capture() as captured:
        narrow.print(benchmark_view(collect(load_runs(results))))
    assert "steady" in captured.get()
    assert re.search(r"^ +1 +A ", captured.get(), re.MULTILINE)
    assert re.search(r"^ +2 +B ", captured.get(), re.MULTILINE)


def test_everything_gone_is_a_regression(joulemark: Run, make_run: MakeRun, results: Path, tmp_path: Path) -> None:
    save(make_run(model="other"), tmp_path / "other.json")
    assert joulemark("compare", results, "other.json", "--fail-above", "5%").returncode == 9
    assert joulemark("compare", results, "other.json").returncode == 2


def test_a_folder_may_hold_other_json(joulemark: Run, results: Path) -> None:
    assert joulemark("show", results, "--save", results / "shown.json").returncode == 0
    assert joulemark("show", results).returncode == 0


def test_damaged_and_newer_records(joulemark: Run, results: Path) -> None:
    record = results / "a.json"
    whole = record.read_text()
    record.write_text(whole[: len(whole) // 2])
    done = joulemark("show", results)
    assert done.returncode == 4
    assert "no whole record" in done.stderr
    record.write_text(whole.replace("joulemark/run/1", "joulemark/run/99"))
    done = joulemark("report", results)
    assert done.returncode == 4
    assert "pip install --upgrade joulemark" in done.stderr
