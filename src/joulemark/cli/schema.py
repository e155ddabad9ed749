"""``joulemark schema NAME``: the JSON schema of records and of every ``--json``."""

from __future__ import annotations

import importlib

import typer

from joulemark.cli.output import Save, writable, write_text
from joulemark.errors import UnknownName

__all__ = ["SCHEMAS", "register"]

EPILOG = "Examples: `joulemark schema run` · `joulemark schema measure --save measure.schema.json`"

SCHEMAS = {
    "run": "joulemark.records.schema:Run",
    "measurement": "joulemark.records.schema:Measurement",
    "doctor": "joulemark.reports.data:DoctorReport",
    "measure": "joulemark.reports.data:MeasureReport",
    "bench": "joulemark.reports.benchmark:BenchReport",
    "show": "joulemark.reports.benchmark:BenchReport",
    "report": "joulemark.reports.benchmark:BenchReport",
    "compare": "joulemark.reports.comparison:CompareReport",
    "calibrate": "joulemark.cli.calibrate:CalibrateReport",
    "query": "joulemark.cli.query:QueryReport",
    "catalogue": "joulemark.reports.catalogue:CatalogueReport",
    "check": "joulemark.reports.claim_check:CheckReport",
    "openness": "joulemark.reports.openness:OpennessReport",
    "reproduce": "joulemark.studies.report:Reproduction",
    "plan": "joulemark.reports.data:PlanReport",
}
"""What each verb prints with ``--json``, and the two kinds of record."""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(epilog=EPILOG)(schema)


def schema(
    name: str = typer.Argument(help=f"One of: {', '.join(SCHEMAS)}."),
    save: Save = None,
) -> None:
    """Print the JSON schema of a record, or of what a verb prints with --json."""
    import msgspec

    if name not in SCHEMAS:
        raise UnknownName("schema", name, SCHEMAS)
    writable(save)
    module, _, kind = SCHEMAS[name].partition(":")
    document = msgspec.json.schema(getattr(importlib.import_module(module), kind))
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **document}
    text = msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"
    if save is not None:
        write_text(save, text)
    else:
        typer.echo(text, nl=False)
