"""The quickstart suite with its real models, on a small budget."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from joulemark.bench import load_suite, run_plan
from joulemark.bench.plan import SuiteProtocol, plan_suite
from joulemark.errors import WeightsMissing
from joulemark.records import Run, energy_per_unit
from joulemark.reports.benchmark import collect
from joulemark.reports.html import write_report

SMALL = SuiteProtocol(trial_s=0.2, blocks=1, min_trials=2, max_trials=2, budget_s=5, idle_s=0.1, warm_up_s=0.2)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, ...]:
    suite = replace(load_suite("quickstart"), protocol=SMALL)
    try:
        plan_suite(suite)
    except WeightsMissing as error:
        pytest.skip(f"models are not installed: {error}")
    folder = tmp_path_factory.mktemp("quickstart")
    found = run_plan(suite, folder)
    write_report(found, folder / "report.html")
    assert (folder / "report.html").stat().st_size < 3_000_000
    return found


def test_every_model_gives_valid_answers_and_a_figure(runs: tuple[Run, ...]) -> None:
    assert {r.workload.key: r.failure for r in runs if r.failure} == {}
    assert all(energy_per_unit(r).available for r in runs)


def test_the_suite_is_as_rich_as_it_says(runs: tuple[Run, ...]) -> None:
    assert len({r.workload.model for r in runs}) >= 7
    tasks = {r.workload.task for r in runs}
    assert len(tasks) >= 5
    assert {"text-generation", "image-generation", "token-classification", "automatic-speech-recognition"} <= tasks
    assert sum(r.workload.task == "image-generation" for r in runs) >= 2
    assert sum(r.workload.task == "text-generation" for r in runs) >= 2


def test_more_denoising_steps_take_more_energy_and_the_ratio_says_so(runs: tuple[Run, ...]) -> None:
    images = [e for e in collect(runs).entries if e.run.workload.task == "image-generation"]
    steps = [e.run.workload.settings["steps"] for e in images]
    assert steps == sorted(steps), "the cheapest first is the one with the fewest steps"
    dearest = images[-1].times_best
    assert dearest is not None
    assert dearest.low > 1
    assert dearest.value == pytest.approx(int(steps[-1]) / int(steps[0]), rel=0.6)


def test_models_that_can_be_judged_are_better_than_chance(runs: tuple[Run, ...]) -> None:
    quality = {r.workload.key: r.quality for r in runs if r.quality is not None}
    ner = quality["token-classification--rampart-ner-q4"]
    assert ner.value > 0.5, f"{ner.metric}: real trained weights, not noise"


def test_every_weight_file_is_pinned_in_the_record(runs: tuple[Run, ...]) -> None:
    for run in runs:
        assert run.workload.weights, run.workload.key
        assert run.workload.licence
        assert run.machine.hostname is None
