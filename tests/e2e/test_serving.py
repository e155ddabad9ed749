"""A benchmark of a real llama.cpp server with a small real model, as a user would run it."""

from __future__ import annotations

from pathlib import Path

import joulemark as jm
from tests.e2e.conftest import Run
from tests.simulated.llama_server import llama

__all__ = ["llama"]  # a fixture

SUITE = """
name: serving
protocol: {{trial_s: 0.3, min_trials: 2, max_trials: 2, blocks: 1, idle_s: 0.1, warm_up_s: 0.2}}
workloads:
  - task: chat
    model: smollm2
    backend: endpoint
    settings: {{endpoint: "{address}", max_new_tokens: 8, fixed_length: true}}
    sweep: {{concurrency: [1, 2]}}
    items: 2
"""


def test_a_server_is_measured_at_several_concurrencies(joulemark: Run, llama: str, tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text(SUITE.format(address=llama))

    done = joulemark("bench", "suite.yaml", "--out", "res", "--no-html", timeout_s=200)

    assert done.returncode == 0, done.stderr
    one, two = sorted(jm.load(tmp_path / "res"), key=lambda run: run.workload.settings["concurrency"])
    for run in (one, two):
        assert run.workload.model == "smollm2"
        assert "llama" in run.software["server"].lower() or run.software["server"]
        for trial in run.trials:
            assert trial.tokens_out == 8 * trial.units
            assert trial.tokens_in is not None
            assert trial.tokens_in > trial.units
            assert trial.tokens_cached == 0, "the same prompts again and again are read anew"
            assert trial.latency is not None
            assert trial.first_token is not None
            assert 0 < trial.first_token.median_s <= trial.latency.median_s <= trial.latency.p99_s
    together = two.trials[0]
    assert together.latency is not None
    assert together.latency.median_s * together.latency.n > together.window.duration_s, "requests overlap"


def test_the_one_model_of_a_server_need_not_be_named(joulemark: Run, llama: str) -> None:
    done = joulemark("bench", "--task", "chat", "--endpoint", llama, "--concurrency", "1,4", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "chat--smollm2--endpoint--concurrency=1" in done.stdout
