"""Files of every earlier schema version load, and say the same as when they were written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from joulemark.records import energy_per_unit, load_measurement, load_run, measurement_energy

FILES = Path(__file__).parent / "files"
EXPECTED = json.loads((FILES / "expected.json").read_text())


@pytest.mark.parametrize("name", [n for n in EXPECTED if n.startswith("run-")])
def test_old_runs_load_and_mean_the_same(name: str) -> None:
    figure = energy_per_unit(load_run(FILES / name))
    assert figure.value == pytest.approx(EXPECTED[name]["value_j"], rel=1e-9)
    assert figure.low == pytest.approx(EXPECTED[name]["low_j"], rel=1e-6)
    assert figure.high == pytest.approx(EXPECTED[name]["high_j"], rel=1e-6)
    assert str(figure.evidence) == EXPECTED[name]["evidence"]
    assert str(figure.boundary) == EXPECTED[name]["boundary"]


@pytest.mark.parametrize("name", [n for n in EXPECTED if n.startswith("measurement-")])
def test_old_measurements_load_and_mean_the_same(name: str) -> None:
    (figure,) = measurement_energy(load_measurement(FILES / name))
    assert figure.value == pytest.approx(EXPECTED[name]["value_j"], rel=1e-9)
    assert str(figure.evidence) == EXPECTED[name]["evidence"]


def test_every_schema_version_has_a_file() -> None:
    schemas = {json.loads(f.read_text())["schema"] for f in FILES.glob("*-*.json")}
    assert schemas == {"joulemark/run/1", "joulemark/measurement/1"}
