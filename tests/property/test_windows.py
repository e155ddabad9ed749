"""How right is a window? Over every kind of sensor, trace, length and fault, against simulated devices of known truth.

The recipe is the benchmark's (``benchmarks/meter/trials.py``, ``make benchmark`` for the whole grid). Each trial draws
a device from the specification that its sensor states and does not tell the meter what was drawn. The targets are
those of docs/benchmarks.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache

import pytest
from benchmarks.meter.rapl import MACHINES, run_machine
from benchmarks.meter.trials import LOCKED, Cell, Outcome, faulty, grid, run_cell
from benchmarks.meter.trials import SENSORS as EVERY_SENSOR
from benchmarks.meter.verdicts import chance_of_so_few, verdict

TRIALS, AGAIN = 40, 200
HOPELESS = 1e-5
TRACES = ("square 1.7 s", "bursts 5 Hz", "bursts 5 Hz off", "bursts 20 Hz off", "ramp 7 s")
CELLS = (
    *grid(EVERY_SENSOR, TRACES, (0.1, 1.0)),
    *grid(EVERY_SENSOR, TRACES[:2], (10.0,)),
    *grid(EVERY_SENSOR, ("square 1.7 s", "bursts 5 Hz off"), (0.1, 1.0), ("first",)),
    *faulty(("square 1.7 s",), 4.0),
)

MOSTLY_FLAT = {
    "counter 100 ms, square 1.7 s, 0.1 s",
    "counter 100 ms, square 1.7 s, 0.1 s, first",
    "counter 100 ms, square 1.7 s, 1 s, first",
    "counter 20 ms, bursts 5 Hz, 0.1 s",
    "counter 20 ms, bursts 5 Hz off, 0.1 s",
    "counter 20 ms, bursts 5 Hz off, 0.1 s, first",
    "counter 20 ms, bursts 20 Hz off, 0.1 s",
    "gauge 20 ms, square 1.7 s, 0.1 s",
    "gauge 20 ms, bursts 5 Hz, 0.1 s",
    "gauge 20 ms, bursts 5 Hz off, 0.1 s, first",
    "gauge 20 ms, bursts 20 Hz off, 0.1 s",
    "gauge 25 of 100 ms, square 1.7 s, 0.1 s",
    "gauge 25 of 100 ms, square 1.7 s, 0.1 s, first",
    "gauge 25 of 100 ms, ramp 7 s, 0.1 s",
    "gauge mean of 1 s, square 1.7 s, 1 s",
    "gauge mean of 1 s, square 1.7 s, 1 s, first",
    "gauge mean of 1 s, ramp 7 s, 0.1 s",
    "gauge mean of 1 s, square 1.7 s, 4 s, slow calls",
}
"""Wider than 4 median errors, and they have to be: 5 in 100 errors are larger than that.

The windows are a few updates long. Most of them lie where the power does not change, with next to no error; those that
a step of the power falls into are off by as much as it can be, and nothing shows whether it was early or late in its
update. An interval that held the latter and is no wider than 4 median errors of all cannot be."""

# What the meter does not manage.
COARSE = "how uneven the power is within an update is taken for more than it is"
BEATS = "fast bursts leave only their slow beat with the updates to see, which is taken for more than it may be"
STUCK = "a gauge that shows one value for no longer than it has before cannot be told from a power that does not change"
SHORT = "one mean of a second does not tell where in it the energy was: bursts of 5 Hz look like a constant power"
LOST = "what was missed or is doubted may have held a step of the power"

NOT_COVERED = {"gauge 20 ms, square 1.7 s, 4 s, stuck for a while": STUCK}
TOO_WIDE = {
    "gauge 20 ms, bursts 20 Hz off, 1 s": BEATS,
    "counter 20 ms, bursts 20 Hz off, 1 s": BEATS,
    "counter 100 ms, bursts 20 Hz off, 0.1 s": BEATS,
    "gauge mean of 1 s, bursts 20 Hz off, 0.1 s": SHORT,
    "gauge mean of 1 s, bursts 5 Hz off, 1 s": COARSE,
    "gauge mean of 1 s, bursts 5 Hz off, 1 s, first": COARSE,
    "counter 20 ms, square 1.7 s, 0.1 s, first": "a new meter does not know its ticks to 0.25 ms yet",
    "gauge 20 ms, square 1.7 s, 4 s, slow calls": "updates go by unseen, and a step of the power may lie in any",
    "gauge mean of 1 s, square 1.7 s, 4 s, lost for a while": LOST,
    "gauge mean of 1 s, square 1.7 s, 4 s, stuck for a while": LOST,
    "gauge mean of 1 s, square 1.7 s, 4 s, garbage once": LOST,
}

outcomes = cache(run_cell)


def marked(known: Mapping[str, str]) -> Iterable[object]:
    """Give every cell, those that do not pass yet as such."""
    for cell in CELLS:
        reason = known.get(str(cell))
        marks = [pytest.mark.xfail(reason=reason, strict=False)] if reason else []
        yield pytest.param(cell, id=str(cell), marks=marks)


@pytest.mark.parametrize("cell", marked(NOT_COVERED))
def test_the_interval_holds_the_truth_in_95_of_100_windows(cell: Cell) -> None:
    found = verdict(outcomes(cell, TRIALS))
    if not found.covers and found.chance > HOPELESS:  # of so many cells some come up short by chance: look again
        found = verdict(run_cell(cell, AGAIN, seed=1))

    assert found.covers, f"{found.held} of {found.figures}"


@pytest.mark.parametrize("cell", marked(TOO_WIDE))
def test_and_is_not_uselessly_wide(cell: Cell) -> None:
    found = verdict(outcomes(cell, TRIALS))
    if str(cell) in MOSTLY_FLAT and not found.narrow:
        found = verdict(run_cell(cell, AGAIN, seed=1))
        assert found.narrow or found.p95 > found.widest, f"{cell} has no reason to be wide any more"
        return

    assert found.narrow, f"{found.wide:.2%} where the median error is {found.median:.2%}"


def over(sensor: str, length_s: float) -> Sequence[Outcome]:
    """Give the outcomes over all traces that a target names."""
    cells = [Cell(sensor, trace, length_s) for trace in LOCKED]
    return [outcome for cell in cells for outcome in outcomes(cell, TRIALS)]


@pytest.mark.parametrize(
    ("sensor", "length_s", "median", "worst"),
    [
        ("counter 100 ms", 10.0, 0.001, 0.01),
        ("counter 100 ms", 1.0, 0.002, 0.11),
        ("counter 100 ms", 0.1, 0.01, None),
        ("gauge 20 ms", 10.0, None, 0.008),
        ("gauge 20 ms", 1.0, None, 0.05),
    ],
)
def test_the_errors_of_a_warm_meter_stay_within_the_targets(
    sensor: str, length_s: float, median: float | None, worst: float | None
) -> None:
    found = verdict(over(sensor, length_s))

    assert found.named == 0
    assert median is None or found.median <= median
    assert worst is None or found.worst <= worst


@pytest.mark.parametrize("machine", MACHINES)
def test_rapl_is_right_or_names_a_fault(machine: str) -> None:
    found = verdict(run_machine(MACHINES[machine], 20))

    assert found.figures == 0 or found.worst <= 0.005


@pytest.mark.parametrize("fault", ["lost at the end", "withdrawn"])
@pytest.mark.parametrize("sensor", EVERY_SENSOR)
def test_a_sensor_that_is_gone_when_a_window_closes_leaves_no_number(sensor: str, fault: str) -> None:
    cell = Cell(sensor, "square 1.7 s", 4.0, fault=fault)

    assert all(outcome.fault for outcome in outcomes(cell, TRIALS))


def test_the_criterion_tells_95_from_88_in_a_hundred() -> None:
    assert chance_of_so_few(95, 100) > 0.5
    assert chance_of_so_few(90, 100) == pytest.approx(0.0282, abs=1e-4)  # scipy.stats.binom.cdf(90, 100, 0.95)
    assert chance_of_so_few(88, 100) < 0.01
