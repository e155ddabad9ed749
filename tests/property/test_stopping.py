"""The stopping rule on series whose truth is known; the whole grid is in benchmarks/stopping."""

from __future__ import annotations

import math

import pytest
from benchmarks.stopping.run import simulate
from benchmarks.stopping.series import BLOCK, COVERED, DRIFTING, MOST, Cell

from joulemark.stats import decide

RUNS = 400
COVERAGE = 0.93
LEAST = COVERAGE - 2.33 * math.sqrt(COVERAGE * (1 - COVERAGE) / RUNS)
"""A rule that covers 93 % falls below it once in a hundred times (normal approximation)."""


def _named(cells: tuple[Cell, ...], *parts: str) -> list[Cell]:
    return [cell for cell in cells if any(part in cell.name for part in parts)]


@pytest.mark.parametrize(
    "cell",
    _named(COVERED, "normal, 1 %", "normal, 3 %", "0.5, 3 %", "0.7, 1 %", "dof, 3 %", "in 20 %", "2 % from"),
    ids=lambda cell: cell.name,
)
def test_the_stopped_interval_holds_the_truth(cell: Cell) -> None:
    outcome = simulate(cell, RUNS)
    assert outcome.covered is not None
    assert outcome.covered >= LEAST


@pytest.mark.parametrize("cell", _named(DRIFTING, "10 %", "20 %"), ids=lambda cell: cell.name)
def test_a_series_that_drifts_is_called_drifting(cell: Cell) -> None:
    outcome = simulate(cell, 100)
    assert outcome.verdicts.get("drifting", 0.0) >= 0.95
    assert outcome.wrong <= 0.05


def test_a_quiet_series_is_not_measured_for_long() -> None:
    outcome = simulate(_named(COVERED, "normal, 1 %")[0], RUNS)
    assert outcome.median_trials == 16
    assert outcome.verdicts["steady"] > 0.95


def test_ten_trials_in_one_process_do_not_see_what_differs_from_process_to_process() -> None:
    outcome = simulate(_named(COVERED, "2 % from block to block, 1 %")[0], RUNS)
    assert outcome.fixed is not None
    assert outcome.fixed < 0.6 < COVERAGE


def test_the_rule_has_no_memory() -> None:
    """The same trials give the same decision, whenever they are asked about: a run can be resumed."""
    values = [1 + 0.01 * math.sin(7 * i) for i in range(MOST)]
    blocks = [i // BLOCK for i in range(MOST)]
    first = [decide(values[:n], [2.0] * n, blocks=blocks[:n]) for n in range(MOST + 1)]
    again = [decide(values[:n], [2.0] * n, blocks=blocks[:n]) for n in reversed(range(MOST + 1))]
    assert first == again[::-1]
