"""What the study printed: ``claims.toml``, read into plain records."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from joulemark.studies.power_hungry.readings import Reading
from joulemark.studies.printed import Printed

__all__ = ["Claim", "Claims", "Parity", "Stated", "TaskData", "claims"]

CLAIMS_FILE = Path(__file__).with_name("claims.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskData:
    """One of the study's ten tasks: its files, and the models that Table 6 prints for it."""

    name: str
    kind: str
    files: tuple[str, ...]
    multi_files: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    table6: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A printed figure; see the head of ``claims.toml`` for its fields."""

    id: str
    place: str
    says: str
    printed: str
    unit: str = ""
    kind: str = "value"
    relation: str = "="
    of: Reading | None = None
    by: Reading | None = None
    less: Reading | None = None
    per: str = ""
    scale: float = 1.0
    inputs: tuple[str, ...] = ()
    together: str = ""
    pair: str = ""
    component: str = ""
    step: float = 0.0

    @property
    def number(self) -> Printed:
        """The printed figure as a number."""
        return Printed.read(self.printed, self.step)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """A conclusion; see ``claims.toml``."""

    id: str
    place: str
    says: str
    kind: str = ""
    higher: tuple[Reading, ...] = ()
    lower: tuple[Reading, ...] = ()
    ascending: tuple[Reading, ...] = ()
    of: Reading | None = None
    by: Reading | None = None
    over: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """A column of Table 5; texts as printed."""

    printed_name: str
    model: str
    training: str
    finetuning: str
    inference: str
    parity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """The whole file."""

    study: Mapping[str, Any]
    tasks: tuple[TaskData, ...]
    families: Mapping[str, tuple[str, ...]]
    claims: tuple[Claim, ...]
    parities: tuple[Parity, ...]
    conclusions: tuple[Stated, ...]
    pue: Mapping[str, Any]
    idle_gpu: Mapping[str, Any]
    memory_rule: Mapping[str, Any]


@cache
def claims() -> Claims:
    """Read the file; the three tables become claims like all others."""
    raw = tomllib.loads(CLAIMS_FILE.read_text(encoding="utf-8"))
    families = {name: tuple(of["models"]) for name, of in raw["multi"].items()}
    models = {p: m for of in raw["multi"].values() for p, m in zip(of["printed"], of["models"], strict=True)}
    table2, table3, table5 = raw["table2"], raw["table3"], raw["table5"]
    found = []
    for task, mean, std in table2["rows"]:
        for stat, printed in (("mean", mean), ("std", std)):
            words = "mean" if stat == "mean" else "standard deviation"
            says = f"{task}: {words} of energy per 1,000 queries"
            reading = Reading(stat=stat, tasks=(task,))
            found.append(_table(f"table2-{task}-{stat}", table2["place"], says, printed, "kWh", reading))
    for name, emissions, energy in table3["rows"]:
        for what, printed, unit in (("emissions", emissions, "g"), ("energy", energy, "kWh")):
            reading = Reading(what=what, who="multi", models=(models[name],))
            says = f"{name}: mean {what} per 1,000 inferences"
            found.append(
                _table(f"table3-{name}-{what}", table3["place"], says, printed, unit, reading, pair=f"table3-{name}")
            )
    parities = []
    for name, training, finetuning, inference, parity in table5["rows"]:
        reading = Reading(who="multi", models=(models[name],))
        says = f"{name}: energy per inference"
        found.append(
            _table(f"table5-{name}-inference", table5["place"], says, inference, "kWh", reading, scale=1 / 1000)
        )
        parities.append(
            Parity(
                printed_name=name,
                model=models[name],
                training=training,
                finetuning=finetuning,
                inference=inference,
                parity=parity,
            )
        )
    return Claims(
        study=raw["study"],
        tasks=tuple(TaskData(**_fields(task)) for task in raw["task"]),
        families=families,
        claims=(*found, *(Claim(**_fields(c)) for c in raw["claim"])),
        parities=tuple(parities),
        conclusions=tuple(Stated(**_fields(c)) for c in raw["conclusion"]),
        pue=raw["pue"],
        idle_gpu=raw["idle_gpu"],
        memory_rule=raw["memory_rule"],
    )


def _table(
    name: str, place: str, says: str, printed: str, unit: str, of: Reading, *, scale: float = 1.0, pair: str = ""
) -> Claim:
    return Claim(id=name, place=place, says=says, printed=printed, unit=unit, of=of, scale=scale, pair=pair)


def _fields(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _field(value) for key, value in raw.items()}


def _field(value: Any) -> Any:
    if isinstance(value, dict):
        return Reading(**_fields(value))
    return tuple(_field(v) for v in value) if isinstance(value, list) else value
