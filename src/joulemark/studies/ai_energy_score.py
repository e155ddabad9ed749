"""AI Energy Score: stars from energies by the published rule, and how much they depend on who else is in the pool."""

from __future__ import annotations

import math
import tomllib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

from joulemark.errors import UsageError
from joulemark.studies.report import Cell, Check, Column, Finding, Reproduction, Section, Table
from joulemark.studies.tables import folder, read_rows

__all__ = ["bands", "fifths", "reproduce"]

CLAIMS_FILE = Path(__file__).with_suffix(".toml")
COLUMNS = ("model", "total_gpu_energy", "energy_score")

Rule = Callable[[Sequence[float]], tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Entry:
    """One model of the leaderboard.

    Attributes:
        pool: the task, with its class where it has classes: stars are given within it.
        model: its name.
        energy_kwh: GPU energy of 1,000 queries.
        stars: as printed.
    """

    pool: str
    model: str
    energy_kwh: float
    stars: int


def bands(energies: Sequence[float], stars: int = 5) -> tuple[int, ...]:
    """Give stars by equal sections of the range: ``stars - floor(stars (E - least) / (most - least))``, at least 1.

    Args:
        energies: of all models of a pool, in any one unit.
        stars: how many the best gets.
    """
    least, most = min(energies), max(energies)
    if most == least:
        return (stars,) * len(energies)
    return tuple(max(1, stars - math.floor(stars * (e - least) / (most - least))) for e in energies)


def fifths(energies: Sequence[float], stars: int = 5) -> tuple[int, ...]:
    """Give stars by rank: as many models in each section, the cheapest in the best."""
    order = sorted(range(len(energies)), key=energies.__getitem__)
    found = [0] * len(energies)
    for rank, i in enumerate(order):
        found[i] = stars - math.floor(stars * rank / len(energies))
    return tuple(found)


def reproduce(data: Path) -> Reproduction:
    """Compute the stars of every row from the energies, and compare.

    Args:
        data: a folder with one CSV file a task, with the columns ``model``, ``total_gpu_energy``, ``energy_score`` and,
            where it has classes, ``class``.

    Raises:
        UsageError: if there is no such file.
        DamagedRecord: if one cannot be read; the message names file, row and column.
    """
    stated = tomllib.loads(CLAIMS_FILE.read_text(encoding="utf-8"))
    files = sorted(folder(data).glob("*.csv"))
    if not files:
        raise UsageError(f"There is no CSV file in {data}; one a task is needed, such as text_generation.csv.")
    pools: dict[str, list[Entry]] = defaultdict(list)
    for path in files:
        for entry in _entries(path, int(stated["stars"])):
            pools[entry.pool].append(entry)
    rules: dict[str, Rule] = {"bands": bands, "fifths": fifths}
    given = {rule: {pool: of([e.energy_kwh for e in pools[pool]]) for pool in pools} for rule, of in rules.items()}
    models = sum(map(len, pools.values()))
    checks = _checks(pools, given["bands"])
    told = tuple(_told(rule, pools, given[rule["id"]]) for rule in stated["rule"])
    moved = {pool: _moved(of) for pool, of in pools.items()}
    agreed = sum(
        star == e.stars for pool, of in pools.items() for star, e in zip(given["bands"][pool], of, strict=True)
    )
    return Reproduction(
        study="ai-energy-score",
        title=stated["title"],
        citation=stated["citation"],
        licence=stated["licence"],
        data=(f"{data}: {len(files)} tasks, {models} models in {len(pools)} pools",),
        answer=(
            f"Equal sections of the range give {agreed} of {models} printed stars.",
            f"Stars hang on the pool: without its costliest model {sum(m for m, _ in moved.values())} of "
            f"{sum(n for _, n in moved.values())} others would have another star.",
        ),
        checks=(*checks, *told),
        findings=tuple(
            Finding(subject=c.says, place=c.place, printed=c.printed, found=c.text, how=c.why)
            for c in (*checks, *told)
            if c.verdict in {"different", "does not hold"}
        ),
        sections=(
            Section(
                title="Pools",
                text=("The source gives one figure a model and no spread, so there is no interval to give.",),
                tables=(_pools(pools, moved, stated),),
            ),
            Section(title="Models", tables=(_models(pools, given, stated),)),
        ),
        method=(
            "Stars: 5 - floor(5 (E - least) / (most - least)), at least 1, within a task; of text generation within a "
            "class.",
            "The other sentence of the rule, a fifth of the models for each star, is tried beside it.",
        ),
    )


def _entries(path: Path, most: int) -> list[Entry]:
    found = []
    for row in read_rows(path, COLUMNS):
        stars = row.whole("energy_score")
        if stars > most:
            raise row.wrong("energy_score", f"{row.text('energy_score')!r} is none of 1 to {most} stars")
        group = row.maybe("class")
        task = path.stem.replace("_", " ")
        pool = f"{task} {group}" if group else task
        found.append(Entry(pool, row.text("model"), row.number("total_gpu_energy", above=0), stars))
    return found


def _checks(pools: dict[str, list[Entry]], given: dict[str, tuple[int, ...]]) -> tuple[Check, ...]:
    checks = []
    for pool, entries in pools.items():
        off = [
            f"{e.model} has {e.stars}, the rule gives {star}"
            for e, star in zip(entries, given[pool], strict=True)
            if e.stars != star
        ]
        checks.append(
            Check(
                id=f"stars-{pool}",
                place="leaderboard",
                says=f"{pool}: stars",
                printed=str(len(entries)),
                unit="stars",
                value=float(len(entries) - len(off)),
                text=f"{len(entries) - len(off)} come out",
                verdict="different" if off else "same",
                why="; ".join(off),
            )
        )
    return tuple(checks)


def _told(rule: dict[str, str], pools: dict[str, list[Entry]], given: dict[str, tuple[int, ...]]) -> Check:
    fits = sum(star == e.stars for pool, of in pools.items() for star, e in zip(given[pool], of, strict=True))
    whole = sum(map(len, pools.values()))
    return Check(
        id=f"rule-{rule['id']}",
        place=rule["place"],
        says=rule["says"],
        printed=str(whole),
        unit="stars",
        value=float(fits),
        text=f"{fits} of {whole} stars",
        verdict="holds" if fits == whole else "does not hold",
        why="" if fits == whole else f"{whole - fits} printed stars are others",
    )


def _moved(entries: Sequence[Entry]) -> tuple[int, int]:
    """Count the stars that change when the costliest model leaves the pool, of how many."""
    costliest = max(entries, key=lambda e: e.energy_kwh)
    rest = [e for e in entries if e is not costliest]
    if not rest:
        return 0, 0
    before = dict(zip((id(e) for e in entries), bands([e.energy_kwh for e in entries]), strict=True))
    after = bands([e.energy_kwh for e in rest])
    return sum(before[id(e)] != star for e, star in zip(rest, after, strict=True)), len(rest)


def _pools(pools: dict[str, list[Entry]], moved: dict[str, tuple[int, int]], stated: dict[str, str]) -> Table:
    rows: list[dict[str, Cell]] = []
    for pool, entries in pools.items():
        energies = [e.energy_kwh for e in entries]
        rows.append(
            {
                "pool": pool,
                "models": float(len(entries)),
                "least": min(energies),
                "median": median(energies),
                "mean": fmean(energies),
                "most": max(energies),
                "five_stars": sum(e.stars == int(stated["stars"]) for e in entries) / len(entries),
                "moved": float(moved[pool][0]),
            }
        )
    return Table(
        name="pools",
        title="Energy of 1,000 queries by pool",
        columns=(
            Column(name="pool"),
            Column(name="models", unit="1"),
            *(Column(name=n, unit=stated["unit"]) for n in ("least", "median", "mean", "most")),
            Column(name="five_stars", unit="%"),
            Column(name="moved", unit="1"),
        ),
        rows=tuple(rows),
        boundary=stated["boundary"],
        evidence="measured",
        note="`five_stars`: models with the most stars; `moved`: stars that change without the costliest model.",
    )


def _models(
    pools: dict[str, list[Entry]], given: dict[str, dict[str, tuple[int, ...]]], stated: dict[str, str]
) -> Table:
    rows: list[dict[str, Cell]] = []
    for pool, entries in pools.items():
        for i, entry in sorted(enumerate(entries), key=lambda item: item[1].energy_kwh):
            row: dict[str, Cell] = {
                "pool": pool,
                "model": entry.model,
                "energy": entry.energy_kwh,
                "printed": float(entry.stars),
            }
            rows.append(row | {rule: float(stars[pool][i]) for rule, stars in given.items()})
    return Table(
        name="models",
        title="Stars, printed and computed",
        columns=(
            Column(name="pool"),
            Column(name="model"),
            Column(name="energy", unit=stated["unit"]),
            Column(name="printed", unit="1"),
            *(Column(name=rule, unit="1") for rule in given),
        ),
        rows=tuple(rows),
        boundary=stated["boundary"],
        evidence="measured",
        long=True,
    )
