"""A suite spread over a Ray cluster of several nodes on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import joulemark as jm
from tests.e2e.conftest import Run, environment

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed (the extra ray)")

PROGRAM = """
import json, sys, threading, time
from pathlib import Path
from ray.cluster_utils import Cluster
from joulemark.bench import load_suite
from joulemark.bench.cluster import run_on_cluster

suite, out, lose = sys.argv[1], Path(sys.argv[2]), sys.argv[3] == "lose"
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
second = cluster.add_node(num_cpus=1)
seen = []
lost = threading.Event()

def lose_one():
    while not list(out.glob("*.jsonl")) or not any(f.read_text().count('"trial":') for f in out.glob("*.jsonl")):
        time.sleep(0.05)
    cluster.remove_node(second, allow_graceful=False)
    lost.set()

if lose:
    threading.Thread(target=lose_one, daemon=True).start()
runs = run_on_cluster(load_suite(suite), out, cluster.address, report=lambda p: seen.append((p.key, p.phase)))
print(json.dumps({"status": [r.status for r in runs], "keys": [r.workload.key for r in runs],
                  "sessions": [r.session for r in runs], "seen": seen, "lost": lost.is_set()}))
cluster.shutdown()
"""


def spread(suite: Path, folder: Path, *, lose: bool) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, suite, folder / "res", "lose" if lose else "keep"],
        cwd=folder,
        env={**environment(), "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0", "RAY_USAGE_STATS_ENABLED": "0"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


SUITE = """
name: spread
protocol: {trial_s: 0.3, min_trials: 4, max_trials: 4, blocks: 2, idle_s: 0.05, warm_up_s: 0.05}
workloads:
  - {task: made-up, model: steady, sweep: {work_ms: [1, 2, 3, 4]}}
"""


def test_each_workload_is_measured_once_and_two_nodes_share_the_work(tmp_path: Path) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text(SUITE)

    found = spread(suite, tmp_path, lose=False)

    assert found["status"] == ["complete"] * 4
    runs = jm.load(tmp_path / "res")
    assert sorted(r.workload.key for r in runs) == sorted(found["keys"])
    assert len({r.session for r in runs}) > 1, "more than one node has measured"
    by_session = {s: [r for r in runs if r.session == s] for s in {r.session for r in runs}}
    for group in by_session.values():
        windows = sorted((t.window.start_s, t.window.duration_s) for r in group for t in r.trials)
        ends = [start + length for start, length in windows]
        assert all(end <= start for end, (start, _) in zip(ends, windows[1:], strict=False)), "one at a time a node"
    assert not list((tmp_path / "res").glob("*.jsonl"))
    assert {phase for _, phase in found["seen"]} >= {"load", "trial 1"}


def test_a_node_that_dies_costs_its_unfinished_trials_only(tmp_path: Path) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text(SUITE.replace("trial_s: 0.3", "trial_s: 0.8"))

    found = spread(suite, tmp_path, lose=True)

    assert found["lost"], "the node was lost while it measured"
    assert found["status"] == ["complete"] * 4
    for run in jm.load(tmp_path / "res"):
        assert [t.id for t in run.trials] == [f"{run.workload.key}/{n}" for n in range(1, 5)]


def test_a_cluster_that_is_not_there_is_an_error_in_words(joulemark: Run, tmp_path: Path) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text(SUITE)
    done = joulemark("bench", suite, "--ray", "127.0.0.1:9", "--out", "res", "--no-html")
    assert done.returncode == 2
    assert "no Ray cluster" in done.stderr
