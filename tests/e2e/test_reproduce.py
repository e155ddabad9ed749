"""``joulemark reproduce``: output, JSON, page, errors."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import msgspec
import pytest

from joulemark.studies import Reproduction
from tests.e2e.conftest import Run
from tests.unit.test_studies_power_hungry import write_checkout, write_tables

STARS = "model,total_gpu_energy,energy_score\na,1,5\nb,2,4\nc,6,1\n"
IMAGES = "Model,GPU,Energy/image (J),Batch latency (s),Batch size,Denoising steps\nm,g,100,2,1,25\nm,g,60,5,4,25\n"


@pytest.fixture
def studies(tmp_path: Path) -> dict[str, Path]:
    """Small data for every study."""
    write_tables(tmp_path / "power-hungry")
    for study, name, text in (("ai-energy-score", "asr.csv", STARS), ("ml-energy", "text-to-image.csv", IMAGES)):
        (tmp_path / study).mkdir()
        (tmp_path / study / name).write_text(text)
    return {name: tmp_path / name for name in ("power-hungry", "ai-energy-score", "ml-energy")}


def test_every_study_prints_json_and_a_page(joulemark: Run, studies: dict[str, Path], tmp_path: Path) -> None:
    schema = msgspec.json.schema(Reproduction)
    for study, data in studies.items():
        done = joulemark("reproduce", study, "--data", data, "--json", "--html", f"{study}.html")
        assert done.returncode == 0, done.stderr
        document = json.loads(done.stdout)
        jsonschema.validate(document, schema)
        assert document["study"] == study
        assert document["checks"]
        page = (tmp_path / f"{study}.html").read_text()
        HTMLParser().feed(page)
        assert "<script" not in page
        assert "http://" not in page.replace("http://www.w3.org", "")
        assert document["citation"] in page.replace("&amp;", "&")


def test_the_terminal_shows_printed_beside_computed(joulemark: Run, studies: dict[str, Path]) -> None:
    shown = joulemark("reproduce", "power-hungry", "--data", studies["power-hungry"])
    assert shown.returncode == 0, shown.stderr
    for text in (
        "Printed and computed: Table 2",
        "Printed figures that are not what they say",
        "Which conclusions stand",
        "What the one working GPU drew",
        "297.6 g/kWh",
        "cannot be computed",
    ):
        assert text in shown.stdout


def test_a_checkout_does_as_well(joulemark: Run, tmp_path: Path) -> None:
    done = joulemark("reproduce", "power-hungry", "--data", write_checkout(tmp_path / "co2_inference"), "--json")
    assert done.returncode == 0, done.stderr


def test_errors_are_one_sentence_with_an_exit_code(joulemark: Run, studies: dict[str, Path], tmp_path: Path) -> None:
    done = joulemark("reproduce", "power-hungri", "--data", tmp_path)
    assert done.returncode == 2
    assert "Did you mean 'power-hungry'?" in done.stderr
    done = joulemark("reproduce", "power-hungry", "--data", tmp_path / "none")
    assert done.returncode == 2
    assert "There is no folder" in done.stderr
    (studies["ml-energy"] / "text-to-image.csv").write_text(IMAGES.replace("60", "sixty"))
    done = joulemark("reproduce", "ml-energy", "--data", studies["ml-energy"])
    assert done.returncode == 4
    assert "row 3, column 'Energy/image (J)': 'sixty' is no number" in done.stderr
    done = joulemark("reproduce", "ai-energy-score", "--data", studies["ai-energy-score"], "--html", tmp_path)
    assert done.returncode == 8
