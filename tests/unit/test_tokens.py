from __future__ import annotations

import random

import pytest
from msgspec.structs import replace

from joulemark.errors import UsageError
from joulemark.records import Run
from joulemark.reports.tokens import token_energy
from tests.conftest import MakeRun

REQUEST_J, PREFILL_J, DECODE_J = 4.0, 0.02, 0.6
UNITS = 5


def _run(make_run: MakeRun, read: int, written: int, dice: random.Random) -> Run:
    truth = REQUEST_J + PREFILL_J * read + DECODE_J * written
    # `make_run` gives memory half of what the processors take, and UNITS answers a trial.
    energies = tuple(UNITS * truth / 1.5 * dice.gauss(1, 0.01) for _ in range(4))
    run = make_run(energies_j=energies, units=UNITS, settings_={"in": read, "out": written}, kind="measured", gain=0.02)
    trials = tuple(replace(t, tokens_in=UNITS * read, tokens_out=UNITS * written) for t in run.trials)
    return replace(run, trials=trials)


def test_a_sweep_tells_reading_from_writing(make_run: MakeRun) -> None:
    dice = random.Random(1)
    found = token_energy([_run(make_run, r, w, dice) for r in (50, 500, 2000) for w in (10, 100)])
    assert found.trials == 24
    for figure, truth in ((found.request, REQUEST_J), (found.prefill, PREFILL_J), (found.decode, DECODE_J)):
        assert figure.low < truth < figure.high
    assert found.decode.unit == "J/token"
    assert found.decode.value == pytest.approx(DECODE_J, rel=0.05)
    assert found.residual == pytest.approx(0.01, rel=0.5)
    assert found.decode.high - found.decode.low > 2 * 1.96 * 0.01 * DECODE_J, "the gain is in it"


def test_lengths_that_go_together_give_no_figure(make_run: MakeRun) -> None:
    dice = random.Random(1)
    found = token_energy([_run(make_run, n, 2 * n, dice) for n in (10, 50, 200)])
    assert not found.decode.available
    assert "vary them apart" in found.decode.format()


def test_what_is_no_sweep_is_refused(make_run: MakeRun) -> None:
    with pytest.raises(UsageError, match="No run has an energy"):
        token_energy([make_run(failure="out of memory")])
    with pytest.raises(UsageError, match="one model; these are 2"):
        token_energy([make_run(), make_run(model="other")])
    assert "0 rows cannot give 3" in token_energy([make_run()]).prefill.format()
