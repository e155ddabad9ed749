"""*Power Hungry Processing* (Luccioni, Jernite and Strubell, 2024), rebuilt from its run logs and audited."""

from __future__ import annotations

from pathlib import Path

from joulemark.studies.power_hungry.audit import Audit
from joulemark.studies.power_hungry.boundaries import boundaries, idle_gpu
from joulemark.studies.power_hungry.checks import Checker, component_kind
from joulemark.studies.power_hungry.claims import claims
from joulemark.studies.power_hungry.logs import COMPONENTS, Logs, read_logs
from joulemark.studies.power_hungry.readings import Store
from joulemark.studies.report import Check, Conclusion, Finding, Reproduction
from joulemark.studies.spread import DRAWS

__all__ = ["reproduce"]


def reproduce(data: Path) -> Reproduction:
    """Rebuild tables 2, 3 and 5 and the headline figures from the logs, and audit them.

    Args:
        data: a checkout of ``co2_inference``, or a folder with its logs as two gzipped tables.

    Raises:
        UsageError: if the folder holds neither.
        DamagedRecord: if a file cannot be read; the message names file, row and column.
    """
    stated = claims()
    logs = read_logs(data)
    store = Store(logs, stated.tasks, stated.families, str(stated.study["query_phase"]))
    checker = Checker(store, stated)
    idle = idle_gpu(logs, stated)
    kinds = {part: component_kind(store, stated, part)[0] for part in COMPONENTS}
    audit = Audit(store, stated, idle, boundaries(idle, stated, kinds))
    checks = checker.checks()
    findings = checker.findings(checks)
    conclusions = audit.conclusions()
    return Reproduction(
        study="power-hungry",
        title=str(stated.study["title"]),
        citation=str(stated.study["citation"]),
        licence=str(stated.study["licence"]),
        data=_data(logs, data),
        answer=_answer(checks, findings, conclusions),
        checks=checks,
        sections=audit.sections(),
        findings=findings,
        conclusions=conclusions,
        method=_method(store.query_phase),
    )


def _data(logs: Logs, data: Path) -> tuple[str, ...]:
    phases = list(logs.phases())
    odd = sum(abs(sum(p.parts_j.values()) - p.total_j) > 1e-6 * p.total_j for p in phases)
    found = [
        f"{data}: {logs.layout}",
        f"{len(logs.runs):,} runs in {len(phases):,} phases; {sum(bool(r.dataset) for r in logs.runs):,} of them in "
        "the published file of a data set",
    ]
    if odd:
        found.append(f"in {odd:,} phases the components do not add up to the logged energy")
    return tuple(found)


def _answer(
    checks: tuple[Check, ...], findings: tuple[Finding, ...], conclusions: tuple[Conclusion, ...]
) -> tuple[str, ...]:
    count = {verdict: sum(c.verdict == verdict for c in checks) for verdict in {c.verdict for c in checks}}
    agreed = count.get("same", 0) + count.get("within one unit", 0) + count.get("holds", 0)
    unknown = count.get("cannot be computed", 0)
    stand = sum(c.stands is True for c in conclusions)
    fall = [c for c in conclusions if c.stands is False]
    elsewhere = [c.says for c in fall if c.under[0].holds]
    missing = f"; {unknown} cannot be computed from these logs" if unknown else ""
    sentences = [
        f"Of {len(checks)} printed figures {count.get('same', 0)} come out the same to the last digit, "
        f"{count.get('within one unit', 0)} within one unit of it and {count.get('holds', 0)} bounds hold; "
        f"{len(checks) - agreed - unknown} do not{missing}.",
        f"{len(findings)} printed figures are not what they say; each is listed with what the logs say instead.",
        f"{stand} of {len(conclusions)} conclusions stand under every boundary that the logs carry"
        f"{f', {len(fall)} do not' if fall else ''}.",
    ]
    if elsewhere:
        sentences.append(f"True as logged, but not under another boundary: {'; '.join(elsewhere)}.")
    energy = next((c for c in checks if c.id == "total-energy"), None)
    if energy is not None and energy.value is not None:
        sentences.append(f"All runs together took {energy.text} as logged; {energy.printed} kWh are printed.")
    return tuple(sentences)


def _method(query_phase: str) -> tuple[str, ...]:
    return (
        f"A figure of the tables is over the {query_phase!r} phase alone, without loading and transfer. A run is "
        "1,000 inferences. Of image tasks the files with images of one size count.",
        "Printed figures and their places are data (claims.toml beside the program). A figure is `same` if the "
        "computed one rounds to it, `within one unit` if it is at most one unit of the last printed digit away, as "
        "when digits are cut off instead of rounded.",
        "Where a figure differs, readings of the logs that differ from the printed words in one respect, then in two "
        "(phase, component, statistic, runs or models, task, data set, single run), are tried for one that prints it.",
        "Spread: nested analysis of variance by the method of moments (Searle, Casella and McCulloch, Variance "
        f"Components, 1992). Intervals of means: bootstrap of models on the logarithmic scale, {DRAWS:,} draws, "
        "seeded, with Student's t (Efron and Tibshirani, 1993; Cameron and Miller, 2015); of medians: percentiles.",
        "The sensors' own errors cannot be told from the logs and are in no interval.",
    )
