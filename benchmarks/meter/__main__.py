"""Run the benchmark, print its table, and write ``results.json`` beside it: ``make benchmark``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from benchmarks.meter import peers
from benchmarks.meter.costs import Bench, core_size
from benchmarks.meter.rapl import MACHINES, run_machine
from benchmarks.meter.simulated import build_driver, powercap
from benchmarks.meter.table import (
    Row,
    Trials,
    accuracy_rows,
    as_markdown,
    as_table,
    cost_rows,
    coverage_rows,
    rapl_row,
    real_time_rows,
)
from benchmarks.meter.trials import SENSORS, TRACES_AND_CONSTANT, faulty, grid, run_all
from benchmarks.meter.verdicts import verdict
from joulemark import __version__
from joulemark.sensors.machine import describe_machine

AGAIN = 4
"""A cell that comes up short is looked at again, with so many times as many trials."""
BEGINS, ENDS = "<!-- begins: written by make benchmark -->", "<!-- ends -->"
FAULTY_TRACES = ("square 1.7 s", "bursts 5 Hz off")


def main() -> None:
    """Measure, print and write."""
    options = _options()
    _say("costs: in real time, leave the machine alone")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(build_driver(Path(folder, "driver")), powercap(Path(folder, "sys")), 3 if options.quick else 9)
        costs = cost_rows(bench, windows=1000, seconds=10.0 if options.quick else 60.0, size=core_size())
        lengths = {0.1: 10, 1.0: 5} if options.quick else {0.1: 40, 1.0: 20, 10.0: 5}
        real = real_time_rows(bench.windows(lengths))
        if options.peers:
            _say("peers")
            real += peers.rows(Path(options.peers), bench.driver, lengths)
    _say("simulated windows")
    trials, again = _trials(40 if options.quick else 200, quick=options.quick)
    machines = {name: run_machine(machine, 20 if options.quick else 100) for name, machine in MACHINES.items()}
    rows = [*accuracy_rows(trials), *coverage_rows(trials, again), rapl_row(machines), *costs, *real]
    Console(width=None if sys.stdout.isatty() else 160).print(
        as_table("How right the meter is and what it costs", rows)
    )
    if options.docs:
        _put_into(Path(options.docs), as_markdown(rows), quick=options.quick)
    Path(options.out).write_text(json.dumps(_results(rows, trials, again), indent=1, ensure_ascii=False) + "\n")
    print(f"Written: {options.out}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.meter", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smaller grid and fewer repeats: some three minutes")
    parser.add_argument("--peers", metavar="PYTHON", help="a Python that has landauer-gap, pyJoules and codecarbon")
    parser.add_argument("--out", default=Path(__file__).with_name("results.json"), help="where the results go")
    parser.add_argument("--docs", metavar="FILE", help="a Markdown file whose table is to be renewed")
    return parser.parse_args()


def _put_into(file: Path, table: str, *, quick: bool) -> None:
    """Renew what stands between the two marks of a document."""
    before, _, rest = file.read_text().partition(BEGINS)
    _, _, after = rest.partition(ENDS)
    machine = describe_machine()
    when = (
        f"{datetime.now(UTC):%d %B %Y}; {machine.processor}, {machine.cpus} processors, {machine.system}"
        f"{', virtual' if machine.virtual else ''}; Python {platform.python_version()}; Joulemark {__version__}"
        f"{'; the small grid' if quick else ''}."
    )
    file.write_text(f"{before}{BEGINS}\n{when}\n\n{table}\n{ENDS}{after}")


def _trials(count: int, *, quick: bool) -> tuple[Trials, Trials]:
    cells = [
        *grid(SENSORS, TRACES_AND_CONSTANT, (0.1, 1.0, 10.0), ("warm", "first")),
        *([] if quick else grid(SENSORS, TRACES_AND_CONSTANT, (0.01, 30.0))),
        *faulty(FAULTY_TRACES),
    ]
    processes = os.cpu_count() or 1
    found = run_all(cells, count, processes=processes)
    short = [cell for cell, outcomes in found.items() if not verdict(outcomes).covers]
    return found, run_all(short, AGAIN * count, seed=1, processes=processes)


def _results(rows: Sequence[Row], trials: Trials, again: Trials) -> dict[str, object]:
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "joulemark": __version__,
        "python": platform.python_version(),
        "machine": asdict(describe_machine()),
        "rows": [asdict(row) for row in rows],
        "cells": {
            str(cell): _cell(outcomes) | ({"again": _cell(again[cell])} if cell in again else {})
            for cell, outcomes in trials.items()
        },
    }


def _cell(outcomes: Sequence[object]) -> dict[str, object]:
    found = verdict(outcomes)  # type: ignore[arg-type]
    return asdict(found) | {"covers": found.covers, "narrow": found.narrow}


def _say(text: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
