"""``catalogue``, ``check`` and ``openness`` as a user calls them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import msgspec
import pytest

from joulemark.records import save
from joulemark.reports.catalogue import CatalogueReport
from joulemark.reports.claim_check import CheckReport
from joulemark.reports.openness import OpennessReport
from tests.conftest import MakeRun
from tests.e2e.conftest import Run

SDXL = "stabilityai/stable-diffusion-xl-base-1.0"


@pytest.mark.parametrize(
    ("report", "arguments"),
    [
        (CatalogueReport, ("catalogue", "--model", SDXL, "--as", "gpu-active,net")),
        (CatalogueReport, ("catalogue", "--task", "training")),
        (CheckReport, ("check", "2907 kWh per 1000 images")),
        (CheckReport, ("check", "2 Wh per inference", "--task", "protein-folding")),
        (OpennessReport, ("openness", "bloom")),
        (OpennessReport, ("openness",)),
    ],
)
def test_json_fits_its_schema(joulemark: Run, report: type[msgspec.Struct], arguments: tuple[str, ...]) -> None:
    done = joulemark(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    jsonschema.validate(json.loads(done.stdout), msgspec.json.schema(report))


def test_the_catalogue_sums_up_and_shows(joulemark: Run) -> None:
    assert "from 16 sources" in joulemark("catalogue").stdout
    shown = joulemark("catalogue", "--model", SDXL, "--as", "gpu-active").stdout
    for word in ("55.1 times apart", "by what is counted", "left, not told apart", "Licence: MIT", "batch"):
        assert word in shown


def test_what_cannot_be_converted_says_what_it_would_need(joulemark: Run) -> None:
    figures = json.loads(joulemark("catalogue", "--model", "ChatGPT", "--as", "gpu-active", "--json").stdout)["figures"]
    unstated = next(f for f in figures if f["origin"] == "openai")
    assert unstated["converted"] is None
    assert unstated["refused"] == "needs that its publisher says what was counted"


def test_own_runs_and_claims_in_one_table_told_apart(joulemark: Run, make_run: MakeRun, tmp_path: Path) -> None:
    save(make_run(task="text-classification", model="mine"), tmp_path / "res" / "a.json")
    save(make_run(task="text-classification", model="broken", failure="it broke"), tmp_path / "res" / "b.json")

    done = joulemark("catalogue", "--task", "text-classification", "--results", "res", "--as", "cpu", "--json")

    rows = json.loads(done.stdout)["figures"]
    assert {r["own"] for r in rows} == {True, False}
    mine, broken = (next(r for r in rows if r["model"] == name) for name in ("mine", "broken"))
    assert mine["converted"]["value"] == pytest.approx(mine["figure"]["value"] * 2 / 3, rel=1e-6)
    assert broken["figure"]["value"] is None
    assert broken["refused"] == "it has no figure"
    shown = joulemark("catalogue", "--task", "text-classification", "--results", "res").stdout
    assert "* mine" in shown
    assert "an own run" in shown


def test_a_file_of_ones_own_is_added(joulemark: Run, tmp_path: Path) -> None:
    header = "title: T|citation: C|licence: L|use: whole|made: by hand|errors: e|boundary: gpu, active|error: 0.1"
    lines = [f"# {line}" for line in header.split("|")]
    (tmp_path / "mine.csv").write_text(
        "\n".join([*lines, "model,task,value,unit,date,place", "new,chat,1,Wh/answer,2026,p. 1"]) + "\n"
    )
    assert "mine, p. 1, 2026" in joulemark("catalogue", "--model", "new", "--with", "mine.csv").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("catalogue", "--task", "chatt"), "Did you mean 'chat'"),
        (("catalogue", "--model", "gpt-2"), "gpt2"),
        (("catalogue", "--as", "gpu-activ"), "Did you mean 'active'"),
        (("catalogue", "--as", "node+facility", "--pue", "0.5"), "PUE 0.5 is below 1"),
        (("catalogue", "--with", "none.csv"), "Cannot read none.csv"),
        (("check", "3 Wh per banana"), "'banana' is no unit of work"),
        (("check", "3 kW per image"), "kW is a power"),
        (("check", "3 gCO2 per image", "--where", "Atlantis"), "Unknown place"),
        (("openness", "blom"), "Did you mean 'bloom'"),
    ],
)
def test_bad_input_is_named(joulemark: Run, arguments: tuple[str, ...], message: str) -> None:
    done = joulemark(*arguments)
    assert done.returncode == 2
    assert message in done.stderr


def test_the_check_answers_in_a_sentence(joulemark: Run) -> None:
    shown = " ".join(joulemark("check", "2907 kWh per 1000 images").stdout.split())
    assert shown.startswith("slip 2,907 kWh per 1,000 images for image-generation is 260 times the highest")
    assert "3.3 months of a node" in shown
    assert "smartphone charges per image" in shown
    assert joulemark("check", "0,3 Wh a domanda", "--lang", "it").stdout.startswith("plausible")
    assert joulemark("check", "2,907 kWh per 1000 images").stdout.startswith("ambiguous")


def test_it_answers_at_once(joulemark: Run) -> None:
    def timed() -> float:
        start = time.monotonic()
        joulemark("check", "2907 kWh per 1000 images")
        return time.monotonic() - start

    assert min(timed() for _ in range(3)) < 2


def test_the_python_of_the_docs_runs() -> None:
    text = (Path(__file__).parents[2] / "docs" / "catalogue.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"11 Wh/image \(.*\) -> 3\.0\d* Wh/image ± 14 %\n", done.stdout)
