"""Runs the program as a user would: the command line in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parent.parent / "plugins"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def environment() -> dict[str, str]:
    """The environment with the made-up models in it."""
    return {**os.environ, "PYTHONPATH": str(PLUGINS), "PYTHONWARNINGS": "ignore"}


@pytest.fixture
def joulemark(tmp_path: Path) -> Run:
    """Call the program in an empty folder; no traceback may ever come out."""

    def run(*arguments: str | Path, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "joulemark", *map(str, arguments)],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


SUITE = """
name: made-up
protocol: {{trial_s: {trial_s}, min_trials: {trials}, max_trials: {trials}, budget_s: 60,
           idle_s: 0.05, warm_up_s: 0.05, answer_s: {answer_s}, blocks: {blocks}}}
workloads:
"""


@pytest.fixture
def suite(tmp_path: Path) -> Callable[..., Path]:
    """Write a suite of made-up models into the folder."""

    def write(*models: str, trials: int = 5, trial_s: float = 0.05, blocks: int = 1, answer_s: float = 60.0) -> Path:
        path = tmp_path / "suite.yaml"
        lines = [f"  - {{task: made-up, model: {model}}}" for model in models]
        path.write_text(
            SUITE.format(trials=trials, trial_s=trial_s, blocks=blocks, answer_s=answer_s) + "\n".join(lines) + "\n"
        )
        return path

    return write
