"""Make the two large files of the catalogue from the data that their authors publish.

    python tools/make_catalogue.py DATA src/joulemark/catalogue/claims

DATA holds ``power_hungry/raw_runs_by_phase.csv.gz`` (every phase of every run of github.com/sashavor/co2_inference)
and ``ml_energy_v2/*.csv`` (github.com/ml-energy/leaderboard-v2). The other files of the catalogue are written by hand.

- ``power_hungry.csv``: of each of the study's 80 task models the mean over its three data sets and ten repeats; of
  each of its eight multi-purpose models that of each data set. Only the phase "query model", as in its tables.
- ``ml_energy_v2.csv``: all images and videos; of language models, of each model on each number of each GPU, the
  smallest and the largest batch.
"""

from __future__ import annotations

import csv
import gzip
import io
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

TASKS = {
    "text_classif": "text-classification",
    "qa": "question-answering",
    "fillmask": "fill-mask",
    "token_classif": "token-classification",
    "image_class": "image-classification",
    "obj_detection": "object-detection",
    "textgen": "text-generation",
    "summarize": "summarization",
    "itt": "image-captioning",
    "tti": "image-generation",
    "zeroshot_sentiment": "text-classification",
    "zeroshot_qa": "question-answering",
    "zeroshot_summarize": "summarization",
}
OF_IMAGES = ("image-classification", "object-detection", "image-captioning", "image-generation")
UNITS = {"question-answering": "questions"} | dict.fromkeys(OF_IMAGES, "images")
RESIZED = ("image_class", "obj_detection", "itt")
"""The tables take the runs on resized images of these."""
UNPUBLISHED = {"SG161222/Realistic_Vision_V1.4", "stabilityai/stable-diffusion-2-1-base"}

STUDY = """\
# title: Power Hungry Processing: Watts Driving the Cost of AI Deployment?
# citation: Luccioni, Jernite and Strubell, ACM FAccT 2024, doi:10.1145/3630106.3658542; run logs at
#   github.com/sashavor/co2_inference, commit 9ae9895
# licence: MIT
# use: whole
# made: by tools/make_catalogue.py from the run logs; task models: mean over three data sets and ten repeats (Table 6
#   names the models, Table 2 gives their mean by task); multi-purpose models: mean over the ten repeats on one data set
#   (Table 3 gives their mean over three tasks)
# errors: of the GPUs, 5 % as the 95 % half-width of what NVML reads (Yang, Adamek and Armour, SC 2024); of memory,
#   which the logs reckon as 3 W per 8 GB, the factor to the 42 to 160 W that 5 W a module gives the same node; of the
#   CPU, which is a constant 42.5 W, half of it (assumption of ours); at rest, a GPU of this node draws 55.4 W (the
#   lowest reading of all eight, divided by 8) to 62 W
# boundary: gpu+cpu+dram, all
# hardware: A100-SXM4-80GB
# devices: 8
# devices_working: 1
# idle_device_w: 55.4 to 62
# evidence_gpu: measured
# evidence_cpu: assumed
# evidence_dram: modelled
# error_gpu: 0.025
# error_cpu: 0.5
# error_dram: 0.85
# precision: fp32
# batch: 1
# date: 2023-11
"""

ML_ENERGY = """\
# title: The ML.ENERGY leaderboard, version 2
# citation: Chung et al., The ML.ENERGY Benchmark, NeurIPS 2025, arXiv:2505.06371; github.com/ml-energy/leaderboard-v2
# licence: Apache-2.0
# use: whole
# made: by tools/make_catalogue.py from the files named in the column place; images and videos: all rows; language
#   models: of each model on each number of each GPU the smallest and the largest batch
# errors: 5 % as the 95 % half-width of what NVML reads in good practice (Yang, Adamek and Armour, SC 2024)
# boundary: gpu, active
# evidence: measured
# error: 0.025
# date: 2025-05
"""


def read(path: Path) -> Iterator[Mapping[str, str]]:
    """Give the rows of a CSV file, packed or not."""
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    yield from csv.DictReader(io.StringIO(raw.decode("utf-8-sig")))


def short(value: float) -> str:
    """Write five significant digits, never in powers of ten."""
    text = f"{value:.5g}"
    return f"{float(text):.12f}".rstrip("0").rstrip(".") if "e" in text else text


def study(path: Path) -> Iterator[tuple[str, ...]]:
    """Give the rows of power_hungry.csv: per 1,000 inferences in kWh and seconds."""
    sums: dict[tuple[str, str, str], list[list[float]]] = defaultdict(list)
    for row in read(path):
        key = _study_key(row)
        if key is not None:
            columns = ("energy_consumed", "gpu_energy", "cpu_energy", "ram_energy", "duration")
            sums[key].append([float(row[name]) for name in columns])
    for (task, model, inputs), runs in sorted(sums.items()):
        means = [short(sum(column) / len(runs)) for column in zip(*runs, strict=True)]
        place = "run logs, behind Table 3" if inputs else "run logs, behind Table 2"
        steps = "50" if task == "image-generation" else ""
        unit = f"kWh/1000 {UNITS.get(task, 'texts')}"
        yield (model, task, means[0], unit, *means[1:], steps, inputs, place)


def _study_key(row: Mapping[str, str]) -> tuple[str, str, str] | None:
    """Task, model and, of multi-purpose models, data set; None for runs that are in no table."""
    file = row["file"].removesuffix("_bloomz").removesuffix("_15")
    prefix = next((p for p in sorted(TASKS, key=len, reverse=True) if file.startswith(p + "_")), None)
    if row["task_name"] != "query model" or prefix is None or row["project_name"] in UNPUBLISHED:
        return None
    if prefix in RESIZED and not file.endswith("_resized"):
        return None
    several = file.startswith("zeroshot")
    if several and not row["project_name"].startswith(("google/flan-t5-", "bigscience/bloomz-")):
        return None
    return TASKS[prefix], row["project_name"], file.removeprefix(prefix + "_") if several else ""


V2 = {
    "diffusion_text-to-image": ("image-generation", "Energy/image (J)", "J/image"),
    "diffusion_text-to-video": ("video-generation", "Energy/video (J)", "J/video"),
    "diffusion_image-to-video": ("image-to-video", "Energy/video (J)", "J/video"),
    "llm_text_generation_chat": ("chat", "Energy/req (J)", "J/answer"),
    "llm_text_generation_code": ("code-completion", "Energy/req (J)", "J/completion"),
    "mllm_text_generation_chat": ("image-chat", "Energy/req (J)", "J/answer"),
}
GPUS = {"NVIDIA H100 80GB HBM3": "H100-SXM-80GB", "NVIDIA A100-SXM4-40GB": "A100-SXM4-40GB"}
HALF = {"stabilityai/stable-diffusion-xl-base-1.0": "fp16"}
"""Whose precision is known; the table itself does not say it."""


def ml_energy(folder: Path) -> Iterator[tuple[str, ...]]:
    """Give the rows of ml_energy_v2.csv."""
    for name, (task, column, unit) in V2.items():
        rows = list(read(folder / f"{name}.csv"))
        for row in _ends(rows) if "Max BS (reqs)" in rows[0] else rows:
            devices = int(row.get("TP", 1)) * int(row.get("PP", 1))
            tokens = row.get("Avg Output Tokens", "")
            yield (
                row["Model"],
                task,
                f"{float(row[column]):.6g}",
                unit,
                GPUS[row["GPU"]],
                str(devices),
                HALF.get(row["Model"], ""),
                row.get("Batch size") or row["Max BS (reqs)"],
                row.get("Denoising steps", ""),
                f"{float(tokens):.4g}" if tokens else "",
                row.get("Frames", ""),
                f"{name}.csv",
            )


def _ends(rows: Iterable[Mapping[str, str]]) -> Iterator[Mapping[str, str]]:
    groups: dict[tuple[str, ...], list[Mapping[str, str]]] = defaultdict(list)
    for row in rows:
        groups[row["Model"], row["GPU"], row["TP"], row["PP"]].append(row)
    for group in groups.values():
        ordered = sorted(group, key=lambda row: int(row["Max BS (reqs)"]))
        yield from ordered[:1] if len(ordered) == 1 else (ordered[0], ordered[-1])


def write(path: Path, header: str, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    """Write a file of the catalogue."""
    out = io.StringIO()
    out.write(header)
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    path.write_text(out.getvalue(), encoding="utf-8")


def main(data: Path, out: Path) -> None:
    """Write both files."""
    columns = ("model", "task", "value", "unit", "gpu", "cpu", "dram", "duration_s", "steps", "inputs", "place")
    write(out / "power_hungry.csv", STUDY, columns, study(data / "power_hungry" / "raw_runs_by_phase.csv.gz"))
    first = ("model", "task", "value", "unit", "hardware", "devices", "precision", "batch")
    more = ("steps", "tokens_out", "frames", "place")
    write(out / "ml_energy_v2.csv", ML_ENERGY, (*first, *more), ml_energy(data / "ml_energy_v2"))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
