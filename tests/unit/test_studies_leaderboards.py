"""AI Energy Score and ML.ENERGY from their published tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from joulemark.errors import DamagedRecord, UsageError
from joulemark.studies import ai_energy_score, ml_energy
from joulemark.studies.ml_energy import Config, front

V3 = (
    "model_id,gpu_model,num_gpus,max_num_seqs,energy_per_request_joules,median_itl_ms,avg_output_len,"
    "energy_per_token_joules\n"
)


def test_stars_are_equal_sections_of_the_range() -> None:
    assert ai_energy_score.bands([1.0, 1.99, 2.01, 4.5, 6.0]) == (5, 5, 4, 2, 1)
    assert ai_energy_score.bands([2.0, 2.0]) == (5, 5)
    assert ai_energy_score.fifths([5.0, 1.0, 2.0, 4.0, 3.0]) == (1, 5, 4, 2, 3)


def test_a_wrong_star_is_named_and_the_other_rule_tried(tmp_path: Path) -> None:
    (tmp_path / "asr.csv").write_text("model,total_gpu_energy,energy_score\na,1,5\nb,2,4\nc,9,1\nd,1.2,5\n")
    report = ai_energy_score.reproduce(tmp_path)
    stars = next(c for c in report.checks if c.id == "stars-asr")
    assert (stars.verdict, stars.value) == ("different", 3)
    assert stars.why == "b has 4, the rule gives 5"
    assert next(c for c in report.checks if c.id == "rule-bands").verdict == "does not hold"


def test_the_star_of_one_hangs_on_the_others(tmp_path: Path) -> None:
    (tmp_path / "asr.csv").write_text("model,total_gpu_energy,energy_score\na,1,5\nb,2,5\nc,100,1\n")
    report = ai_energy_score.reproduce(tmp_path)
    assert report.sections[0].tables[0].rows[0]["moved"] == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model,total_gpu_energy,energy_score\na,0,5\n", "column 'total_gpu_energy': '0' is zero"),
        ("model,total_gpu_energy,energy_score\na,1,6\n", "column 'energy_score': '6' is none of 1 to 5 stars"),
        ("model,energy_score\na,1\n", "lacks the column 'total_gpu_energy'"),
    ],
)
def test_a_leaderboard_with_a_mistake(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "asr.csv").write_text(text)
    with pytest.raises(DamagedRecord, match=message):
        ai_energy_score.reproduce(tmp_path)


def test_folders_without_tables(tmp_path: Path) -> None:
    for study in (ai_energy_score, ml_energy):
        with pytest.raises(UsageError, match="no CSV file"):
            study.reproduce(tmp_path)
        with pytest.raises(UsageError, match="no folder"):
            study.reproduce(tmp_path / "none")


def _config(energy_j: float, latency_s: float) -> Config:
    return Config("t", "m", "g", 1, 8, energy_j, latency_s)


def test_the_front_is_what_no_other_beats() -> None:
    fast, cheap, middle, beaten, tied = (
        _config(9, 1),
        _config(2, 5),
        _config(4, 3),
        _config(5, 3.5),
        _config(9, 1.5),
    )
    assert front([beaten, cheap, tied, middle, fast]) == (fast, middle, cheap)


def test_energy_against_batch_size(tmp_path: Path) -> None:
    (tmp_path / "lm-arena-chat.csv").write_text(
        V3
        + "Qwen/Qwen3-32B,B200,1,8,1000,9,500,2\n"
        + "Qwen/Qwen3-32B,B200,1,128,104.5,20,500,0.209\n"
        + "Qwen/Qwen3-32B,B200,1,512,94.6,60,627,0.151\n"
        + "Qwen/Qwen3-32B,B200,1,384,89.3,50,635,0.14063\n"
    )
    report = ml_energy.reproduce(tmp_path)
    verdicts = {c.id: c.verdict for c in report.checks}
    assert verdicts["qwen-energy"] == verdicts["qwen-per-token-128"] == verdicts["qwen-batch"] == "same"
    product = next(c for c in report.checks if c.id == "product")
    assert (product.verdict, product.value) == ("does not hold", 3)
    row = report.sections[0].tables[0].rows[0]
    assert row["at_batch"] == 384
    assert row["smallest_over_least"] == pytest.approx(1000 / 89.3)
    assert row["on_front"] == 3


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DamagedRecord, match=r"x\.csv is no file of the leaderboard"):
        ml_energy.reproduce(tmp_path)
    (tmp_path / "x.csv").write_text("Model,GPU,Energy/image (J),Batch latency (s),Batch size\nm,g,nan,1,1\n")
    with pytest.raises(DamagedRecord, match=r"row 2, column 'Energy/image \(J\)': 'nan' is not finite"):
        ml_energy.reproduce(tmp_path)


def test_every_published_star_comes_out(test_data: Path) -> None:
    report = ai_energy_score.reproduce(test_data / "ai_energy_score_v1_feb2025")
    assert sum(c.value or 0 for c in report.checks if c.id.startswith("stars-")) == 166
    assert {c.verdict for c in report.checks if c.id != "rule-fifths"} == {"same", "holds"}


@pytest.mark.parametrize(("name", "configurations"), [("ml_energy_v2", 474), ("ml_energy_v3", 651)])
def test_published_fronts(test_data: Path, name: str, configurations: int) -> None:
    report = ml_energy.reproduce(test_data / name)
    fronts, every = report.sections[0].tables
    assert len(every.rows) == configurations
    assert sum(row["on_front"] for row in fronts.rows if isinstance(row["on_front"], float)) == sum(
        row["front"] == "yes" for row in every.rows
    )
    if name == "ml_energy_v3":
        assert [c.verdict for c in report.checks if c.id.startswith("qwen")] == ["same"] * 5
