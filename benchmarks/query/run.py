"""Time and memory of questions over 10,000 runs and 100 million samples: ``python -m benchmarks.query.run``.

The target: sums, means and quantiles by run and phase in at most 10 s and 2 GB on two cores. Each question is asked by
the verb, in a process of its own, so that the time holds start, look at all files, and answer; memory is the largest
resident set of that process (``getrusage``).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import msgspec
import numpy as np
import pyarrow as pa
from pyarrow import parquet

from joulemark.boundary import Component
from joulemark.figures import Source
from joulemark.readings import Accuracy, DomainEnergy, DomainRecord, Machine, WindowRecord
from joulemark.records import RUN_SCHEMA, Protocol, Run, Trial, WorkloadRecord
from joulemark.records.traces import TRACE_SCHEMA

PHASES = ("idle-before", "load", "warm-up", "query", "idle-after")
DOMAINS = ("gpu-0", "cpu-0", "dram-0")
BYTES_A_SAMPLE = 12
"""Room asked for before anything is written; a sample of noise takes some 8."""

QUESTIONS = {
    "energy of all runs by model": (
        "SELECT model, count(*), avg(energy_j), min(low_j), max(high_j) FROM runs GROUP BY model"
    ),
    "sums and means by run and phase": (
        "SELECT run_id, phase, count(*), sum(power_w), avg(power_w) FROM traces GROUP BY run_id, phase"
    ),
    "sums, means and quantiles by run and phase": (
        "SELECT run_id, phase, sum(power_w), avg(power_w), quantile_cont(power_w, [0.05, 0.5, 0.95]) "
        "FROM traces GROUP BY run_id, phase"
    ),
    "sums, means and approximate quantiles by phase": (
        "SELECT phase, sum(power_w), avg(power_w), approx_quantile(power_w, [0.05, 0.5, 0.95]) FROM traces "
        "GROUP BY phase"
    ),
    "sums, means and approximate quantiles by run": (
        "SELECT run_id, sum(power_w), avg(power_w), approx_quantile(power_w, [0.05, 0.5, 0.95]) FROM traces "
        "GROUP BY run_id"
    ),
    "mean power by model and phase, joined": (
        "SELECT model, phase, avg(power_w) FROM traces JOIN runs USING (run_id) GROUP BY model, phase"
    ),
}


@dataclass(frozen=True, slots=True)
class Answered:
    """One question: seconds of the whole process (median and all), CPU seconds of its two threads and helpers (the
    least), its largest resident set, rows that came back.

    On a machine that others use, too, half of the CPU seconds is nearer to what a quiet one takes.
    """

    question: str
    index: str
    median_s: float
    all_s: tuple[float, ...]
    cpu_s: float
    peak_mb: float
    rows: int


def main() -> None:
    """Generate, ask, print, and write ``results.json`` beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--samples", type=int, default=100_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--save", type=Path, default=Path(__file__).with_name("results.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="joulemark-query-") as temporary:
        place = Path(temporary)
        free = shutil.disk_usage(place).free
        if free < 2 * BYTES_A_SAMPLE * options.samples:
            sys.exit(
                f"{place} has {free / 1e9:.1f} GB of room; {2 * BYTES_A_SAMPLE * options.samples / 1e9:.1f} needed"
            )
        began = time.monotonic()
        generate(place / "results", options.runs, options.samples)
        size = sum(file.stat().st_size for file in (place / "results").rglob("*") if file.is_file())
        print(f"generated in {time.monotonic() - began:.0f} s, {size / 1e9:.2f} GB", file=sys.stderr)
        answers = [asked(place, next(iter(QUESTIONS)), "none yet", 1)]
        answers += [asked(place, question, "there", options.repeat) for question in QUESTIONS]
    for answer in answers:
        print(
            f"{answer.median_s:6.1f} s  {answer.cpu_s:6.1f} CPU s  {answer.peak_mb:6.0f} MB  {answer.rows:6d} rows  "
            f"{answer.question} (index: {answer.index})"
        )
    document = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} CPUs, {platform.system()}",
        "load": os.getloadavg()[1],
        "python": platform.python_version(),
        "duckdb": duckdb.__version__,
        "pyarrow": pa.__version__,
        "runs": options.runs,
        "samples": options.samples,
        "bytes": size,
        "answers": [asdict(answer) for answer in answers],
    }
    options.save.write_text(json.dumps(document, indent=1) + "\n")


def asked(place: Path, question: str, index: str, repeat: int) -> Answered:
    """Ask a question some times, each in a new process of two threads."""
    command = [sys.executable, "-m", "benchmarks.query.ask", QUESTIONS[question], str(place / "results")]
    seconds, cpu, peaks, rows = [], [], [], 0
    for _ in range(repeat):
        began = time.monotonic()
        done = subprocess.run(
            command, check=True, capture_output=True, env={**os.environ, "XDG_CACHE_HOME": str(place / "cache")}
        )
        seconds.append(time.monotonic() - began)
        said = json.loads(done.stderr.splitlines()[-1])
        cpu.append(said["cpu_s"])
        peaks.append(said["peak_mb"])
        rows = said["lines"] - 1
    return Answered(question, index, statistics.median(seconds), tuple(seconds), min(cpu), max(peaks), rows)


def generate(folder: Path, runs: int, samples: int) -> None:
    """Write runs as the benchmark does: a record each, and its trace beside it."""
    folder.mkdir()
    each = samples // runs
    generator = np.random.default_rng(0)
    # Noise that does not compress, a different stretch of it a run.
    noise = (120 + 30 * generator.standard_normal(4 * each)).astype(np.float32)
    edges = np.linspace(0, each, len(PHASES) + 1).astype(int)
    phase_at = np.repeat(np.arange(len(PHASES), dtype=np.int32), np.diff(edges))
    phases = pa.DictionaryArray.from_arrays(pa.array(phase_at), list(PHASES))
    at = np.arange(each)
    domains = pa.DictionaryArray.from_arrays(pa.array((at % len(DOMAINS)).astype(np.int32)), list(DOMAINS))
    number = ((at - edges[3]) * 10 // max(edges[4] - edges[3], 1) + 1).astype(np.int32)
    trials = pa.array(number, mask=phase_at != PHASES.index("query"))
    zeros = pa.array(np.zeros(each, dtype=np.int32))
    for n in range(runs):
        run_id = f"{n:016x}"
        place = folder / f"suite-{n % 100:02d}"
        place.mkdir(exist_ok=True)
        (place / f"{run_id}.json").write_bytes(msgspec.json.format(msgspec.json.encode(_run(run_id, n)), indent=1))
        first = n * 37 % (3 * each)
        table = pa.table(
            {
                "run_id": pa.DictionaryArray.from_arrays(zeros, [run_id]),
                "phase": phases,
                "trial": trials,
                "domain": domains,
                "time_s": pa.array(at * 0.01 + generator.random()),
                "power_w": pa.array(noise[first : first + each]),
            },
            metadata={b"joulemark": json.dumps({"schema": TRACE_SCHEMA, "run_id": run_id}).encode()},
        )
        (place / f"{run_id}.trace").mkdir()
        parquet.write_table(table, place / f"{run_id}.trace" / "000001.parquet", compression="zstd")


def _run(run_id: str, n: int) -> Run:
    domains = tuple(
        DomainRecord(
            name=name,
            components=(component,),
            sensor="made up",
            kind="measured",
            accuracy=Accuracy(gain=0.02, period_s=0.1, sources=(Source(name="made up", citation="for a benchmark"),)),
        )
        for name, component in zip(DOMAINS, (Component.GPU, Component.CPU, Component.DRAM), strict=True)
    )

    def window(label: str, at: int) -> WindowRecord:
        energies = tuple(DomainEnergy(domain=name, energy_j=100.0 + n % 7 + at % 3) for name in DOMAINS)
        return WindowRecord(label=label, start_s=2.0 * at, duration_s=1.9, energies=energies)

    return Run(
        schema=RUN_SCHEMA,
        id=run_id,
        session=f"s{n // 20}",
        suite=f"suite-{n % 100:02d}",
        created="2026-01-01T00:00:00+00:00",
        status="complete",
        machine=Machine(processor="made up", cpus=2, memory_bytes=8 * 10**9, system="Linux", virtual=True),
        software={"python": "3.11"},
        workload=WorkloadRecord(
            key=run_id,
            task="text-generation",
            task_title="Text generation",
            unit="text",
            model=f"model-{n % 50}",
            model_title=f"Model {n % 50}",
            backend="made-up",
            settings={"batch_size": n % 8},
            inputs="made-up/1",
            inputs_sha256="0" * 64,
            items=10,
        ),
        protocol=Protocol(
            trial_s=1, min_trials=5, max_trials=10, precision=0.02, budget_s=60, idle_s=2, warm_up_s=1, seed=0
        ),
        domains=domains,
        phases={name: window(name, at) for at, name in enumerate(PHASES) if name != "query"},
        trials=tuple(Trial(id=f"{run_id}-{k}", window=window(f"trial {k}", 3 + k), units=10) for k in range(1, 11)),
    )


if __name__ == "__main__":
    main()
