"""The claims that ship: what they say of themselves, and whether they are what their sources say."""

from __future__ import annotations

import csv
import gzip
import io
import math
import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from statistics import fmean

import pytest

from joulemark.catalogue import Catalogue, Claim, load_catalogue, read_claims
from joulemark.catalogue.models import sizes
from joulemark.catalogue.words import NOT_STATED, read_boundary, read_unit, write_boundary
from joulemark.errors import BadQuantity, UnknownName, UsageError

SHIPPED = load_catalogue()


def of(origin: str) -> list[Claim]:
    return [c for c in SHIPPED.claims if c.origin.id == origin]


def test_there_are_enough_figures_from_enough_sources() -> None:
    assert len(SHIPPED.claims) >= 300
    assert len(SHIPPED.origins) >= 8
    assert max(Counter(c.id for c in SHIPPED.claims).values()) == 1


def test_every_figure_has_an_interval_a_place_and_a_licence() -> None:
    for claim in SHIPPED.claims:
        figure = claim.figure
        assert figure.low < figure.value < figure.high, claim.id
        assert figure.evidence.kind != "unavailable"
        assert (claim.covers is None) == (claim.boundary == NOT_STATED)
        assert claim.place
        assert claim.origin.licence
    assert not any("memory" in c.note or "unverified" in c.note for c in SHIPPED.claims)


def test_of_sources_without_a_licence_there_are_only_single_figures() -> None:
    counts = Counter(c.origin.id for c in SHIPPED.claims)
    for origin in SHIPPED.origins:
        if origin.use == "single figures":
            assert counts[origin.id] <= 25, origin.id
        else:
            assert origin.licence in ("MIT", "Apache-2.0"), "whole data sets only under a licence that allows it"


def test_no_figure_is_made_of_others() -> None:
    groups = defaultdict(list)
    for claim in SHIPPED.claims:
        groups[claim.origin.id, claim.model, claim.task, claim.family].append(claim.figure.value)
    for key, values in groups.items():
        for i, value in enumerate(values):
            rest = values[:i] + values[i + 1 :]
            if len(rest) > 1:
                assert not math.isclose(value, fmean(rest), rel_tol=1e-6), f"{key}: the mean of the others"
                assert not math.isclose(value, math.fsum(rest), rel_tol=1e-6), f"{key}: the sum of the others"


def test_parts_add_up_to_the_whole() -> None:
    for claim in SHIPPED.claims:
        parts = claim.components
        if parts:
            assert math.fsum(p.value for p in parts.values()) == pytest.approx(claim.figure.value, rel=2e-3), claim.id


def test_every_size_is_of_a_model_in_the_catalogue() -> None:
    assert set(sizes()) <= set(SHIPPED.models)
    for size in sizes().values():
        assert size.working > 0
        if size.parameters and size.active:
            assert size.active < size.parameters
        assert not size.base or size.base in SHIPPED.models


def test_the_study_is_what_its_logs_say(test_data: Path) -> None:
    runs = defaultdict(list)
    with gzip.open(test_data / "power_hungry" / "raw_runs_by_phase.csv.gz", "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["task_name"] == "query model":
                runs[row["project_name"], row["file"]].append(row)
    files = {
        "image-generation": ("tti_diffusiondb", "tti_imagereward", "tti_sd_prompts"),
        "fill-mask": ("fillmask_bookcorpus", "fillmask_c4", "fillmask_oscar"),
        "object-detection": ("obj_detection_CPPE_resized", "obj_detection_coco_resized"),
    }
    columns = {"value": "energy_consumed", "gpu": "gpu_energy", "cpu": "cpu_energy", "dram": "ram_energy"}
    checked = 0
    for claim in of("power_hungry"):
        wanted = files.get(claim.task, ())
        if claim.task == "object-detection":
            wanted = (*wanted, "obj_detection_visualgenome_resized")
        rows = [r for name in wanted for r in runs[claim.model, name]]
        if rows:
            assert len(rows) == 30
            for ours, theirs in (*columns.items(), ("duration_s", "duration")):
                assert float(getattr(claim, ours)) == pytest.approx(fmean(float(r[theirs]) for r in rows), rel=1e-4)
            checked += 1
    assert checked == 24


def test_the_studys_tables_follow_from_its_rows(test_data: Path) -> None:
    path = test_data / "power_hungry" / "per_model_task_summary.csv"
    published = {(r["task"], r["model"]): float(r["kwh_mean"]) for r in csv.DictReader(io.StringIO(path.read_text()))}
    by_model = {model: value for (_, model), value in published.items()}
    ours = [c for c in of("power_hungry") if not c.inputs]
    assert len(ours) == len(published) == 80
    for claim in ours:
        assert float(claim.value) == pytest.approx(by_model[claim.model], rel=1e-4)
    images = [float(c.value) for c in ours if c.task == "image-generation"]
    assert fmean(images) == pytest.approx(2.907, abs=5e-4), "Table 2"
    xxl = [float(c.value) for c in of("power_hungry") if c.model == "google/flan-t5-xxl"]
    assert fmean(xxl) == pytest.approx(0.083, abs=5e-4), "Table 3"


def test_the_multi_purpose_models_are_what_the_study_publishes(test_data: Path) -> None:
    path = test_data / "power_hungry" / "zeroshot_per_task.csv"
    published = defaultdict(list)
    for row in csv.DictReader(io.StringIO(path.read_text())):
        published[row["project_name"]].append((float(row["kwh"]), float(row["gpu"])))
    ours = [c for c in of("power_hungry") if c.inputs]
    assert len(ours) == 72
    for claim in ours:
        values = published[claim.model]
        assert any(
            math.isclose(float(claim.value), kwh, rel_tol=1e-4) and math.isclose(claim.gpu or 0.0, gpu, rel_tol=1e-4)
            for kwh, gpu in values
        ), claim.id


def test_the_tool_makes_what_ships(test_data: Path, tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, root / "tools" / "make_catalogue.py", test_data, tmp_path], check=True)
    for name in ("power_hungry.csv", "ml_energy_v2.csv"):
        assert (tmp_path / name).read_text() == (root / "src/joulemark/catalogue/claims" / name).read_text()


def test_ml_energy_is_what_its_files_say(test_data: Path) -> None:
    columns = {"image-generation": "Energy/image (J)", "video-generation": "Energy/video (J)"}
    for claim in of("ml_energy_v2"):
        rows = list(csv.DictReader(io.StringIO((test_data / "ml_energy_v2" / claim.place).read_text())))
        column = columns.get(claim.task) or next(c for c in rows[0] if c.startswith("Energy/"))
        batch = "Batch size" if "Batch size" in rows[0] else "Max BS (reqs)"
        values = [float(r[column]) for r in rows if r["Model"] == claim.model and int(r[batch]) == claim.batch]
        assert any(math.isclose(float(claim.value), v, rel_tol=1e-5) for v in values), claim.id


@pytest.mark.parametrize("origin", ["ai_energy_score_v1", "ml_energy_v3"])
def test_single_figures_are_what_their_sources_say(test_data: Path, origin: str) -> None:
    folder = test_data / {"ai_energy_score_v1": "ai_energy_score_v1_feb2025"}.get(origin, origin)
    model, energy = {
        "ai_energy_score_v1": ("model", "total_gpu_energy"),
        "ml_energy_v3": ("model_id", "energy_per_request_joules"),
    }[origin]
    checked = 0
    for claim in of(origin):
        if claim.place.endswith(".csv"):
            rows = csv.DictReader(io.StringIO((folder / claim.place).read_text()))
            values = [float(r[energy]) for r in rows if r[model] == claim.model]
            assert any(math.isclose(float(claim.value), v, rel_tol=1e-5) for v in values), claim.id
            checked += 1
    assert checked >= 10


HEADER = """\
# title: A study
# citation: Somebody, somewhere,
#   2026
# licence: MIT
# use: whole
# made: by hand
# errors: assumed
# boundary: gpu, active
# error: 0.1
# date: 2026
model,task,value,unit,place,replaces
"""


def test_a_header_says_what_holds_for_every_row() -> None:
    (claim,) = read_claims(HEADER + "m,chat,0.25,Wh/answer,p. 3,\n", "mine")
    assert claim.origin.citation == "Somebody, somewhere, 2026"
    assert claim.figure.value == 900
    assert claim.figure.unit == "J/answer"
    assert claim.figure.boundary == read_boundary("gpu-active")
    assert claim.date == "2026"


def test_coarsely_printed_figures_are_less_sure() -> None:
    coarse, fine = read_claims(HEADER + "m,chat,1,J/answer,p,\nn,chat,1.000,J/answer,p,\n", "mine")
    assert coarse.figure.high > fine.figure.high


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("m,chat,2;5,Wh/answer,p,", r"line 12: column 'value' '2;5': write a plain number"),
        ("m,chat,0,Wh/answer,p,", "not above zero"),
        ("m,chat,1,W/answer,p,", "line 12: .*unit 'W'"),
        ("m,chat,1,Wh/0 answers,p,", "no work at all"),
        (",chat,1,Wh/answer,p,", "model"),
        ("m,chat,1,Wh/answer,p,,more", "more fields than columns"),
        ("m,chat,1,Wh/answer,,", "place"),
    ],
)
def test_a_bad_row_is_named_with_line_field_and_value(row: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_claims(HEADER + row + "\n", "mine")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("# licence: MIT\n", "", "licence"),
        ("# boundary: gpu, active", "# boundary: gqu, active", "gqu"),
        ("# date: 2026", "# date: May", "date"),
        ("# use: whole", "# use: some", "use"),
        ("# made: by hand", "# made: by hand\n# author: me", "unknown key 'author'"),
    ],
)
def test_a_bad_header_is_named(old: str, new: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_claims(HEADER.replace(old, new) + "m,chat,1,Wh/answer,p,\n", "mine")


def test_ones_own_file_adds_and_corrects(tmp_path: Path) -> None:
    wrong = next(c for c in SHIPPED.claims if c.origin.id == "openai")
    path = tmp_path / "mine.csv"
    path.write_text(HEADER + f"ChatGPT,chat,0.5,Wh/answer,p,{wrong.id}\nnew,chat,1,Wh/answer,p,\n")

    both = load_catalogue([path])

    assert len(both.claims) == len(SHIPPED.claims) + 1
    assert wrong not in both.claims
    assert "new" in both.models


def test_replacing_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(HEADER + "m,chat,1,Wh/answer,p,openai:chat:ChatGBT:notstated:\n")
    with pytest.raises(UnknownName, match="Did you mean 'openai:chat:ChatGPT"):
        load_catalogue([path])


def test_the_same_claim_twice_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(HEADER + "m,chat,1,Wh/answer,p,\nm,chat,2,Wh/answer,p,\n")
    with pytest.raises(UsageError, match="already"):
        load_catalogue([path])


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Cannot read"):
        load_catalogue([tmp_path / "none.csv"])


def test_models_are_found_without_their_publisher() -> None:
    found = SHIPPED.select(model="STABLE-diffusion-xl-base-1.0")
    assert found.models == ("stabilityai/stable-diffusion-xl-base-1.0",)
    with pytest.raises(UnknownName, match="gpt2"):
        SHIPPED.select(model="gpt-2")


def test_a_selection_that_is_empty_is_one() -> None:
    assert Catalogue(()).tasks == ()


@pytest.mark.parametrize(
    ("text", "factor", "work"),
    [
        ("kWh/1000 images", 3600.0, "image"),
        ("J/answer", 1.0, "answer"),
        ("MWh", 3.6e9, ""),
        ("g/answer", 1.0, "answer"),
    ],
)
def test_units_are_read(text: str, factor: float, work: str) -> None:
    unit = read_unit(text)
    assert (unit.factor, unit.work) == (factor, work)


@pytest.mark.parametrize("text", ["", "kW", "Wh per image", "1000", "kWh/"])
def test_units_that_are_none_are_errors(text: str) -> None:
    with pytest.raises(BadQuantity):
        read_unit(text)


@pytest.mark.parametrize("text", ["gpu-active,net", "node-all", "machine+facility-active,embodied", "gpu+cpu-all"])
def test_boundaries_are_written_as_they_are_read(text: str) -> None:
    assert write_boundary(read_boundary(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [("gpu-activ", "active"), ("gpu,net,gross", "both net and gross"), ("gpuu", "gpu"), ("", "component")],
)
def test_boundaries_that_are_none_are_errors(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.compile(message)):
        read_boundary(text)


def test_the_docs_say_what_ships() -> None:
    text = (Path(__file__).parents[2] / "docs" / "catalogue.md").read_text(encoding="utf-8")
    counted = f"{len(SHIPPED.claims)} figures of {len(SHIPPED.models)} models from {len(SHIPPED.origins)} sources"
    assert counted in text
    counts = Counter(c.origin.id for c in SHIPPED.claims)
    for origin in SHIPPED.origins:
        assert f"| `{origin.id}` | {origin.title.rstrip('?')} " in text.replace("?", "")
        assert f"| {counts[origin.id]} | {origin.licence} | {origin.use} |" in text
