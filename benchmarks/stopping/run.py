"""Run the stopping rule over made-up series: ``python -m benchmarks.stopping.run``.

Writes ``results.json`` beside it, and renews the table in docs/benchmarking.md with ``--docs``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.stopping.series import BLOCK, COVERED, DRIFTING, LIMITS, MOST, Cell
from joulemark.stats import Verdict, decide, summarise

__all__ = ["Outcome", "simulate"]

PRECISION = 0.02
LEAST = 16
FIXED = 10
PER_TRIAL = 100
"""Inferences a trial, for the comparison with 10 x 1,000 (an assumption)."""
BEGINS, ENDS = "<!-- begins: written by benchmarks.stopping.run -->", "<!-- ends -->"
ALL = {cell.name: cell for cell in (*COVERED, *DRIFTING, *LIMITS)}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the runs of one kind of series.

    Attributes:
        name: of the series.
        runs: how many.
        covered: share of stopped intervals that hold the truth, whatever their verdict; None without a truth.
        wrong: share that is called steady and does not hold the truth, or has none.
        verdicts: share of each verdict.
        median_trials: trials to the stop.
        most_trials: the 90th percentile.
        fixed: share of runs of ten trials in one process whose plain t interval holds the truth.
    """

    name: str
    runs: int
    covered: float | None
    wrong: float
    verdicts: dict[str, float]
    median_trials: int
    most_trials: int
    fixed: float | None

    @property
    def saved(self) -> float:
        """Share of 10 x 1,000 inferences that the median run saves."""
        return 1 - self.median_trials * PER_TRIAL / 10_000


def simulate(cell: Cell, runs: int, *, seed: int = 0) -> Outcome:
    """Let the rule look after each block of so many series, and count."""
    dice = random.Random(f"{cell.name}/{seed}")  # noqa: S311 - a simulation
    verdicts: Counter[str] = Counter()
    lengths, covered, wrong, fixed = [], 0, 0, 0
    blocks = [i // BLOCK for i in range(MOST)]
    for _ in range(runs):
        values = cell.draw(dice)
        for n in range(LEAST, MOST + 1, BLOCK):
            decision = decide(
                values[:n], [2.0] * n, blocks=blocks[:n], precision=PRECISION, min_trials=LEAST, max_trials=MOST
            )
            if decision.stop:
                break
        summary = decision.summary
        assert summary is not None  # noqa: S101 - there are trials
        hit = cell.truth is not None and abs(summary.mean - cell.truth) <= summary.half_width
        covered += hit
        wrong += decision.verdict is Verdict.STEADY and not hit
        verdicts[str(decision.verdict)] += 1
        lengths.append(n)
        # One process for all ten: it has one offset.
        plain = summarise(_in_one_process(cell, dice)[:FIXED])
        fixed += cell.truth is not None and abs(plain.mean - cell.truth) <= plain.half_width
    lengths.sort()
    known = cell.truth is not None
    return Outcome(
        name=cell.name,
        runs=runs,
        covered=covered / runs if known else None,
        wrong=wrong / runs,
        verdicts={name: count / runs for name, count in sorted(verdicts.items())},
        median_trials=lengths[runs // 2],
        most_trials=lengths[runs * 9 // 10],
        fixed=fixed / runs if known else None,
    )


def _in_one_process(cell: Cell, dice: random.Random) -> list[float]:
    """Ten trials of a single process: for offsets, blocks of other series moved to that of the first."""
    values = cell.draw(dice)
    if "from block to block" not in cell.name:
        return values
    shift = _mean(values[:BLOCK])
    return [v - _mean(values[i // BLOCK * BLOCK : (i // BLOCK + 1) * BLOCK]) + shift for i, v in enumerate(values)]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _one(task: tuple[str, int]) -> Outcome:
    return simulate(ALL[task[0]], task[1])


def as_markdown(outcomes: Iterable[Outcome]) -> str:
    """Write the tables."""
    by_name = {o.name: o for o in outcomes}
    lines = [
        "| series (standard deviation of a trial) | holds the truth | trials: median, 90 % | saved of 10 × 1,000 "
        "| verdicts | 10 trials in one process, plain t |",
        "|---|---|---|---|---|---|",
    ]
    for cell in COVERED:
        o = by_name[cell.name]
        lines.append(
            f"| {o.name} | {_percent(o.covered)} | {o.median_trials}, {o.most_trials} | {_percent(o.saved)} "
            f"| {_verdicts(o)} | {_percent(o.fixed)} |"
        )
    for title, cells in (("drifting series", DRIFTING), ("what so few trials cannot show", LIMITS)):
        lines += ["", f"| {title} | *drifting* | *steady* and wrong | trials: median |", "|---|---|---|---|"]
        for cell in cells:
            o = by_name[cell.name]
            lines.append(
                f"| {o.name} | {_percent(o.verdicts.get('drifting', 0.0))} | {_percent(o.wrong)} | {o.median_trials} |"
            )
    return "\n".join(lines)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def _verdicts(outcome: Outcome) -> str:
    shares = sorted(outcome.verdicts.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares if share >= 0.005)


def main() -> None:
    """Run all series."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stopping.run", description=__doc__)
    parser.add_argument("--runs", type=int, default=2000, help="series of each kind")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results.json"))
    parser.add_argument("--docs", type=Path, help="a Markdown file whose table is to be renewed")
    options = parser.parse_args()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        outcomes = list(pool.map(_one, [(name, options.runs) for name in ALL]))
    table = as_markdown(outcomes)
    print(table)
    options.out.write_text(json.dumps([asdict(o) for o in outcomes], indent=1) + "\n")
    if options.docs is not None:
        before, _, rest = options.docs.read_text().partition(BEGINS)
        _, _, after = rest.partition(ENDS)
        options.docs.write_text(f"{before}{BEGINS}\n{options.runs:,} series of each kind.\n\n{table}\n{ENDS}{after}")


if __name__ == "__main__":
    main()
