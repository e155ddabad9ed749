"""ML.ENERGY: energy per response against batch size, and which configurations no other beats in energy and latency."""

from __future__ import annotations

import csv
import math
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec

from joulemark.errors import DamagedRecord, UsageError
from joulemark.studies.printed import DIFFERENT, Printed
from joulemark.studies.report import Cell, Check, Column, Finding, Reproduction, Section, Table
from joulemark.studies.tables import Row, folder, read_rows

__all__ = ["Config", "front", "reproduce"]

CLAIMS_FILE = Path(__file__).with_suffix(".toml")
SUM_TOLERANCE = 1e-6
"""Relative difference up to which energy per response equals energy per token times tokens."""


@dataclass(frozen=True, slots=True)
class Config:
    """One measured configuration.

    Attributes:
        task: name of its file.
        model: its name.
        gpu: GPU model.
        gpus: how many.
        batch: the most requests that are served at once.
        energy_j: per response (request, image or video).
        latency_s: of a token (median between tokens, or mean per token) or of a batch of images or videos.
        tokens: mean output tokens; NaN for images and videos.
        per_token_j: energy per output token as published; NaN where it is not.
    """

    task: str
    model: str
    gpu: str
    gpus: int
    batch: int
    energy_j: float
    latency_s: float
    tokens: float = math.nan
    per_token_j: float = math.nan


@dataclass(frozen=True, slots=True)
class Layout:
    """How one kind of file is read: its columns."""

    model: str
    gpu: str
    gpus: tuple[str, ...]
    batch: str
    energy: str
    latency: str
    latency_unit_s: float = 1.0
    tokens: str = ""
    per_token: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that it needs."""
        named = (self.model, self.gpu, *self.gpus, self.batch, self.energy, self.latency, self.tokens, self.per_token)
        return tuple(filter(None, named))

    def config(self, task: str, row: Row) -> Config:
        """Read a row."""
        return Config(
            task=task,
            model=row.text(self.model),
            gpu=row.text(self.gpu),
            gpus=math.prod(row.whole(column) for column in self.gpus),
            batch=row.whole(self.batch),
            energy_j=row.number(self.energy, above=0),
            latency_s=row.number(self.latency) * self.latency_unit_s,
            tokens=row.number(self.tokens, above=0) if self.tokens else math.nan,
            per_token_j=row.number(self.per_token) if self.per_token else math.nan,
        )


_DIFFUSION = {"model": "Model", "gpu": "GPU", "gpus": (), "batch": "Batch size", "latency": "Batch latency (s)"}
LAYOUTS: Mapping[str, Layout] = {
    "energy_per_request_joules": Layout(
        model="model_id",
        gpu="gpu_model",
        gpus=("num_gpus",),
        batch="max_num_seqs",
        energy="energy_per_request_joules",
        latency="median_itl_ms",
        latency_unit_s=1e-3,
        tokens="avg_output_len",
        per_token="energy_per_token_joules",  # noqa: S106 - tokens of language
    ),
    "Energy/req (J)": Layout(
        model="Model",
        gpu="GPU",
        gpus=("TP", "PP"),
        batch="Max BS (reqs)",
        energy="Energy/req (J)",
        latency="Avg TPOT (s)",
        tokens="Avg Output Tokens",
    ),
    "Energy/image (J)": Layout(**_DIFFUSION, energy="Energy/image (J)"),  # type: ignore[arg-type]
    "Energy/video (J)": Layout(**_DIFFUSION, energy="Energy/video (J)"),  # type: ignore[arg-type]
}
"""Layouts by the column that tells them apart: leaderboard v3, then v2."""


def front(configs: Sequence[Config]) -> tuple[Config, ...]:
    """Give those that no other beats: less energy per response only for more latency; fastest first."""
    kept: list[Config] = []
    for config in sorted(configs, key=lambda c: (c.latency_s, c.energy_j)):
        if not kept or config.energy_j < kept[-1].energy_j:
            kept.append(config)
    return tuple(kept)


def reproduce(data: Path) -> Reproduction:
    """Give energy per response and the batch-size front of every model, and check what was printed of them.

    Args:
        data: a folder with the leaderboard's CSV files, one a task: of version 2 or 3, or folders of both in it.

    Raises:
        UsageError: if there is no file of the leaderboard.
        DamagedRecord: if one cannot be read; the message names file, row and column.
    """
    stated = tomllib.loads(CLAIMS_FILE.read_text(encoding="utf-8"))
    files = sorted(folder(data).glob("*.csv")) or sorted(data.glob("ml_energy_v*/*.csv"))
    if not files:
        raise UsageError(f"There is no CSV file in {data}; one a task is needed, such as lm-arena-chat.csv.")
    configs = [config for path in files for config in _configs(path)]
    groups: dict[tuple[str, str, str], list[Config]] = defaultdict(list)
    for config in configs:
        groups[config.task, config.model, config.gpu].append(config)
    checks = (*(_check(claim, groups) for claim in stated["claim"]), _product(configs))
    factors = [_factor(of) for of in groups.values() if len({c.batch for c in of}) > 1]
    inner = [of for of in groups.values() if _least(of).batch < max(c.batch for c in of)]
    return Reproduction(
        study="ml-energy",
        title=stated["title"],
        citation=stated["citation"],
        licence=stated["licence"],
        data=(f"{data}: {len(files)} tasks, {len(groups)} models on GPUs, {len(configs):,} configurations",),
        answer=_answer(factors, inner, groups),
        checks=checks,
        findings=tuple(
            Finding(subject=c.says, place=c.place, printed=f"{c.printed} {c.unit}", found=c.text, how=c.why)
            for c in checks
            if c.verdict in {DIFFERENT, "does not hold"}
        ),
        sections=(
            Section(
                title="Energy per response and batch size",
                text=("The source gives one figure a configuration and no spread, so there is no interval to give.",),
                tables=(_summary(groups, stated["boundary"]), _every(groups, stated["boundary"])),
            ),
        ),
        method=(
            "A configuration is on the front of its model and GPU if no other takes less energy per response at no "
            "more latency (median or mean time between tokens; of images and videos the time of a batch).",
        ),
    )


def _configs(path: Path) -> Iterator[Config]:
    layout = next((of for mark, of in LAYOUTS.items() if mark in _heading(path)), None)
    if layout is None:
        raise DamagedRecord(f"{path} is no file of the leaderboard: none of {', '.join(LAYOUTS)} is a column.")
    return (layout.config(path.stem, row) for row in read_rows(path, layout.columns))


def _heading(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DamagedRecord(f"Cannot read {path}: {error}.") from error


def _least(configs: Sequence[Config]) -> Config:
    return min(configs, key=lambda c: c.energy_j)


def _factor(configs: Sequence[Config]) -> float:
    """How many times the least energy the smallest batch takes."""
    smallest = min(c.batch for c in configs)
    return min(c.energy_j for c in configs if c.batch == smallest) / _least(configs).energy_j


def _answer(
    factors: Sequence[float], inner: Sequence[Sequence[Config]], groups: Mapping[tuple[str, str, str], list[Config]]
) -> tuple[str, ...]:
    sentences = []
    if factors:
        ordered = sorted(factors)
        sentences.append(
            f"The smallest batch takes {ordered[0]:.2g} to {ordered[-1]:.3g} times the energy per response of the best "
            f"one, {ordered[len(ordered) // 2]:.2g} times in the middle of {len(factors)} models on GPUs."
        )
    sentences.append(f"For {len(inner)} of {len(groups)} the largest batch is not the cheapest.")
    return tuple(sentences)


def _check(claim: Mapping[str, Any], groups: Mapping[tuple[str, str, str], list[Config]]) -> Check:
    of, printed = claim["of"], Printed.read(claim["printed"])
    blank = Check(
        id=claim["id"],
        place=claim["place"],
        says=claim["says"],
        printed=claim["printed"],
        unit=claim["unit"],
        verdict="cannot be computed",
    )
    chosen = {
        model: configs
        for (task, model, gpu), configs in groups.items()
        if task == of["task"] and gpu == of["gpu"] and of.get("model") in {None, model}
    }
    found = {model: config for model, configs in chosen.items() if (config := _at(of["at"], configs)) is not None}
    if not found:
        return _replace(blank, why=f"these data have no such configuration of {of['task']} on {of['gpu']}")
    value = fmean(_value(config, of["value"]) for config in found.values())
    verdict = printed.verdict(value)
    why = ""
    if verdict != "same":
        fits = [
            f"{at}: {printed.show(other)} {claim['unit']}"
            for at in ("least", "largest", "smallest")
            if at != of["at"]
            and (others := [c for configs in chosen.values() if (c := _at(at, configs)) is not None])
            and printed.prints(other := fmean(_value(c, of["value"]) for c in others))
        ]
        over = f"mean over {len(found)} models" if len(found) > 1 else "one configuration"
        choice = f"it fits those with {'; '.join(fits)}" if fits else "no other choice of configurations prints it"
        why = f"{over}; {choice}"
    return _replace(blank, value=value, text=f"{printed.show(value)} {claim['unit']}", verdict=verdict, why=why)


def _at(at: str, configs: Sequence[Config]) -> Config | None:
    if at == "least":
        return _least(configs)
    if at in {"largest", "smallest"}:
        batch = max(c.batch for c in configs) if at == "largest" else min(c.batch for c in configs)
    else:
        batch = int(at)
    there = [c for c in configs if c.batch == batch]
    return _least(there) if there else None


def _value(config: Config, name: str) -> float:
    values = {
        "energy": config.energy_j,
        "tokens": config.tokens,
        "per_token": config.per_token_j,
        "batch": config.batch,
    }
    return float(values[name])


def _product(configs: Sequence[Config]) -> Check:
    """Check the identity that the leaderboard states: energy per response = energy per token x output tokens."""
    known = [c for c in configs if not math.isnan(c.per_token_j) and not math.isnan(c.tokens)]
    fits = sum(abs(c.per_token_j * c.tokens - c.energy_j) <= SUM_TOLERANCE * c.energy_j for c in known)
    return Check(
        id="product",
        place="leaderboard v3, method",
        says="configurations whose energy per response is energy per token times output tokens",
        printed=str(len(known)),
        unit="configurations",
        value=float(fits) if known else None,
        text=f"{fits} of {len(known)}" if known else "",
        verdict=("holds" if fits == len(known) else "does not hold") if known else "cannot be computed",
        why="" if known else "these data do not give energy per token",
    )


def _summary(groups: Mapping[tuple[str, str, str], list[Config]], boundary: str) -> Table:
    rows: list[dict[str, Cell]] = []
    for (task, model, gpu), configs in sorted(groups.items()):
        best = _least(configs)
        rows.append(
            {
                "task": task,
                "model": model,
                "gpu": gpu,
                "configurations": float(len(configs)),
                "least": best.energy_j,
                "at_batch": float(best.batch),
                "at_gpus": float(best.gpus),
                "most": max(c.energy_j for c in configs),
                "smallest_over_least": _factor(configs),
                "on_front": float(len(front(configs))),
            }
        )
    return Table(
        name="fronts",
        title="Energy per response by model and GPU",
        columns=(
            Column(name="task"),
            Column(name="model"),
            Column(name="gpu"),
            Column(name="configurations", unit="1"),
            Column(name="least", unit="J"),
            Column(name="at_batch", unit="1"),
            Column(name="at_gpus", unit="1"),
            Column(name="most", unit="J"),
            Column(name="smallest_over_least", unit="1"),
            Column(name="on_front", unit="1"),
        ),
        rows=tuple(rows),
        boundary=boundary,
        evidence="measured",
        note="`smallest_over_least`: energy per response with the smallest batch over the least. Batches of images and "
        "videos are of one GPU.",
    )


def _every(groups: Mapping[tuple[str, str, str], list[Config]], boundary: str) -> Table:
    rows: list[dict[str, Cell]] = []
    for (task, model, gpu), configs in sorted(groups.items()):
        best = set(front(configs))
        rows += [
            {
                "task": task,
                "model": model,
                "gpu": gpu,
                "gpus": float(c.gpus),
                "batch": float(c.batch),
                "energy": c.energy_j,
                "latency": c.latency_s,
                "front": "yes" if c in best else "",
            }
            for c in sorted(configs, key=lambda c: (c.gpus, c.batch))
        ]
    return Table(
        name="configurations",
        title="Every configuration, and those that no other beats",
        columns=(
            Column(name="task"),
            Column(name="model"),
            Column(name="gpu"),
            Column(name="gpus", unit="1"),
            Column(name="batch", unit="1"),
            Column(name="energy", unit="J"),
            Column(name="latency", unit="s"),
            Column(name="front"),
        ),
        rows=tuple(rows),
        boundary=boundary,
        evidence="measured",
        long=True,
    )


def _replace(check: Check, **fields: object) -> Check:
    return msgspec.structs.replace(check, **fields)
