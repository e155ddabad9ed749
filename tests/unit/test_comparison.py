"""Two runs against each other: what may be compared, what is said of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from msgspec.structs import replace

from joulemark.records import Run
from joulemark.reports.comparison import Pair, compare, pair_up
from tests.conftest import MakeRun

STEADY = (10.0, 10.1, 9.9, 10.05, 9.95, 10.0, 10.02, 9.98)


def _pair(before: Run, after: Run) -> Pair:
    (pair,) = pair_up([before], [after])
    return pair


def _workload(run: Run, **changes: Any) -> Run:
    return replace(run, workload=replace(run.workload, **changes))


def test_no_difference_says_which_one_would_have_been_seen(make_run: MakeRun) -> None:
    before, after = make_run(energies_j=STEADY, session="a"), make_run(energies_j=STEADY[::-1], session="b")
    pair = _pair(before, after)
    assert pair.verdict == "no difference"
    assert pair.smallest_seen is not None
    assert 0.002 < pair.smallest_seen < 0.05
    (data,) = compare([before], [after]).pairs
    assert data.reason.startswith("(one of ")
    # A difference of twice that size is seen.
    more = make_run(energies_j=tuple(e * (1 + 2 * pair.smallest_seen) for e in STEADY), session="b")
    assert _pair(before, more).verdict == "more"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"unit": "token"}, "unit text against token"),
        ({"precision": "float16"}, "precision  against float16"),
        ({"twin": True}, "twin False against True"),
        ({"settings": {"batch_size": 8}}, "batch_size unset against 8"),
        ({"inputs_sha256": "1" * 64}, "inputs made-up/1"),
    ],
)
def test_other_work_is_refused_with_what_would_mend_it(make_run: MakeRun, changes: dict[str, Any], reason: str) -> None:
    run = make_run()
    pair = _pair(run, _workload(run, **changes))
    assert pair.verdict == "not comparable"
    assert reason in pair.reason
    assert pair.remedy == "measure both with the same settings and inputs"
    assert not pair.exceeds(0)


def test_another_boundary_is_refused(make_run: MakeRun) -> None:
    run = make_run()
    pair = _pair(run, make_run(lost="read error"))
    assert pair.times is None
    assert "memory" in pair.reason
    assert pair.remedy


def test_what_may_matter_is_warned_of(make_run: MakeRun) -> None:
    run = make_run(energies_j=STEADY)
    later = replace(
        run,
        machine=dataclasses.replace(run.machine, cpus=64, gpu_driver="575"),
        software={"python": "3.13"},
        domains=(dataclasses.replace(run.domains[0], sensor="other 2"), *run.domains[1:]),
        protocol=replace(run.protocol, trial_s=9),
    )
    pair = _pair(run, later)
    assert pair.times is not None
    assert pair.reason == ("on another machine, another GPU driver, other sensors, other versions, another protocol")
    assert "python 3.11 against 3.13" in pair.warnings
    assert any("measure both on one" in warning for warning in pair.warnings)
    assert _pair(run, run).warnings == ()


def test_a_run_that_drifts_is_warned_of(make_run: MakeRun) -> None:
    rising = tuple(10 + 0.3 * i for i in range(8))
    pair = _pair(make_run(energies_j=STEADY), make_run(energies_j=rising))
    assert any("the later run is drifting: trials rise by" in warning for warning in pair.warnings)


def _in_blocks(run: Run, size: int) -> Run:
    trials = tuple(replace(t, id=str(i), block=i // size + 1) for i, t in enumerate(run.trials))
    return replace(run, trials=trials)


def test_steps_between_processes_are_no_difference_between_runs(make_run: MakeRun) -> None:
    """Trials within 0.1 % in processes that are 5 % apart: a naive interval would find the 2 % between the means."""
    steps = (0.0, 0.5, -0.5, 0.2)
    values = tuple(10 + step + 0.01 * (-1) ** i for step in steps for i in range(4))
    before = _in_blocks(make_run(energies_j=values, session="a"), 4)
    after = _in_blocks(make_run(energies_j=tuple(1.02 * v for v in values), session="b"), 4)
    pair = _pair(before, after)
    assert pair.times is not None
    assert pair.times.value == pytest.approx(1.02)
    assert pair.verdict == "no difference"


def test_a_comparison_is_the_same_each_time(make_run: MakeRun) -> None:
    spiky = (10.0, 10.0, 10.0, 13.0, 10.0, 10.0, 10.0, 10.1)
    before, after = make_run(energies_j=STEADY, session="a"), make_run(energies_j=spiky, session="b")
    assert compare([before], [after]) == compare([before], [after])
