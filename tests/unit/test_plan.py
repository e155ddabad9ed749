"""Suites: from what people write to a plan in which everything has been checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from joulemark.bench import PROTOCOLS, SuiteProtocol, load_suite, plan_suite
from joulemark.bench.adhoc import adhoc_suite, protocol_named, setting_of, values_of
from joulemark.bench.plan import SuiteWorkload
from joulemark.errors import UnknownName, UsageError
from joulemark.workloads.asked import asked_items
from joulemark.workloads.models import resolve
from joulemark.workloads.tasks import task

HEAD = "name: mine\nworkloads:\n"
MODEL = "silero-vad"
TASK = "voice-activity-detection"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "suite.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_sweep_is_every_combination(tmp_path: Path) -> None:
    suite = load_suite(
        write(
            tmp_path,
            HEAD
            + "  - {task: [a, b], model: [m, n], backend: x, settings: {s: 1}, sweep: {p: [1, 2, 3], q: [no, yes]}}",
        )
    )

    found = suite.each

    assert len(found) == 2 * 2 * 3 * 2
    assert {(w.task, w.model, *w.settings.values()) for w in found} == {
        (task, model, 1, p, q) for task in "ab" for model in "mn" for p in (1, 2, 3) for q in (False, True)
    }
    assert not any(w.sweep for w in found)


def test_batch_sizes_make_workloads_of_their_own(tmp_path: Path) -> None:
    planned = plan_suite(
        load_suite(write(tmp_path, HEAD + f"  - {{task: {TASK}, model: {MODEL}, sweep: {{batch_size: [1, 4]}}}}"))
    )

    assert [p.record.settings["batch_size"] for p in planned] == [1, 4]
    assert len({p.record.key for p in planned}) == 2


def test_texts_are_brought_to_a_length(tmp_path: Path) -> None:
    asked = [asked_items(task("text-generation"), "", {"input_words": words}) for words in (3, 500)]
    assert [{len(str(item.content).split()) for item in one.items} for one in asked] == [{3}, {500}]
    assert asked[0].sha256 == asked[1].sha256, "of what they are made of"
    with pytest.raises(UsageError, match="texts"):
        asked_items(task(TASK), "", {"input_words": 5})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + f"  - {{task: {TASK}, model: {MODEL}}}\n  - task: {TASK}\n    model: 7\n", "line 5"),
        (HEAD + f"  - task: {TASK}\n    modle: {MODEL}\n", "line 3"),
        (HEAD + f"  - {{task: {TASK}, model: {MODEL}, items: 0}}\n", "line 3"),
        ("name: mine\nprotocol:\n  trial_s: 1\n  precision: 7\nworkloads: [{task: a, model: b}]\n", "line 4"),
        ("name: mine\nprotocol: fast\nworkloads: [{task: a, model: b}]\n", "joulemark, study, ai-energy-score"),
        ("name: mine\n", "workloads"),
        ("", "line 1"),
        ("name: [unclosed\n", "line 2"),
        (HEAD + "  - {task: a, model: b, sweep: {x: []}}\n", "line 3"),
    ],
)
def test_what_is_wrong_in_a_suite_is_named_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_suite(write(tmp_path, text))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{task: no-such-task, model: silero-vad}", "no-such-task"),
        (f"{{task: {TASK}, model: silero-bad}}", "silero-vad"),
        (f"{{task: summarization, model: {MODEL}}}", "cannot do the task"),
        (f"{{task: {TASK}, model: {MODEL}, settings: {{thread: 1}}}}", "threads"),
        (f"{{task: {TASK}, model: {MODEL}, settings: {{threads: none}}}}", "threads"),
        (f"{{task: {TASK}, model: {MODEL}, settings: {{batch_size: 0}}}}", "batch_size"),
        (f"{{task: {TASK}, model: {MODEL}, settings: {{shaping: odd}}}}", "shaping"),
        (f"{{task: {TASK}, model: {MODEL}, items: 100000}}", "items"),
        (f"{{task: {TASK}, model: {MODEL}, backend: transformers}}", "transformers"),
        (f"{{task: {TASK}, model: {MODEL}, backend: transfomers}}", "transfomers"),
    ],
)
def test_what_cannot_be_measured_is_named_with_its_line(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        plan_suite(load_suite(write(tmp_path, f"{HEAD}  - {{task: {TASK}, model: {MODEL}}}\n  - {line}\n")))
    assert said in str(caught.value)
    assert "line 4" in str(caught.value)


def test_protocols_of_others_ask_a_thousand_times_ten_times() -> None:
    for name in ("study", "ai-energy-score"):
        rules = protocol_named(name)
        assert (rules.units, rules.min_trials, rules.max_trials) == (1000, 10, 10)
        assert rules.name == name
    assert PROTOCOLS["study"].warm_up_s == 0
    with pytest.raises(UnknownName):
        protocol_named("studdy")


def test_min_trials_above_max_trials_are_refused() -> None:
    with pytest.raises(ValueError, match="max_trials"):
        SuiteProtocol(min_trials=5, max_trials=4)


@pytest.mark.parametrize(
    ("name", "task", "backend"),
    [
        ("distilbert/distilgpt2", "text-generation", "transformers"),
        ("stabilityai/sdxl-turbo", "image-generation", "diffusers"),
        ("timm/resnet50.a1_in1k", "image-classification", "timm"),
        ("my_module:answer", "text-generation", "callable"),
    ],
)
def test_who_runs_a_model_follows_from_its_name(name: str, task: str, backend: str) -> None:
    found = resolve(name, task)
    assert f".{backend}:" in found.backend
    assert found.name == name


def test_a_folder_or_file_of_ones_own_is_a_model_whose_place_is_not_told(tmp_path: Path) -> None:
    file = tmp_path / "secret-place" / "small.gguf"
    file.parent.mkdir()
    file.write_bytes(b"GGUF")

    found = resolve(str(file), "text-generation")

    assert found.name == "small.gguf"
    assert found.locate() == {"weights": file}
    assert "secret-place" not in found.files["weights"].origin


def test_a_model_that_nobody_knows_says_what_could_be_meant() -> None:
    with pytest.raises(UnknownName, match="silero-vad"):
        resolve("silero-va", "voice-activity-detection")
    with pytest.raises(UnknownName, match="hub"):
        resolve("nobody", "text-generation")


def test_the_command_line_makes_a_suite_of_all_combinations() -> None:
    suite = adhoc_suite(["x", "y"], ["m", "n"], sweep={"steps": (1, 2)}, settings={"threads": 1})
    assert len(suite.each) == 8
    assert adhoc_suite([], [MODEL]).each == (SuiteWorkload(task=TASK, model=MODEL),)
    with pytest.raises(UsageError, match="--task"):
        adhoc_suite([], ["distilbert/distilgpt2"])


def test_values_keep_their_kind() -> None:
    assert values_of("1, 2.5,true,float32") == (1, 2.5, True, "float32")
    assert setting_of("max-new-tokens=10") == ("max_new_tokens", "10")
    for wrong in ("steps", "=3", "steps="):
        with pytest.raises(UsageError, match="name=value"):
            setting_of(wrong)
