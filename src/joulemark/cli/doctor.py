"""``joulemark doctor``: what can be measured here."""

from __future__ import annotations

import time

import typer

from joulemark.cli.output import Json, Save, console, print_json, to_json, writable, write_text

__all__ = ["register"]

EPILOG = "Examples: `joulemark doctor` · `joulemark doctor --json --save doctor.json`"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(epilog=EPILOG)(doctor)


def doctor(
    json: Json = False,
    save: Save = None,
    identify: bool = typer.Option(False, help="Name this host in the output."),
) -> None:
    """Say which sensors this machine has, how sure they are, what is refused and why."""
    from joulemark.meter import Meter
    from joulemark.reports.data import DoctorReport, figure_data

    writable(save)
    with Meter() as meter:
        with meter.measure("idle") as window:
            time.sleep(1)
        report = DoctorReport(
            machine=meter.machine(identify=identify),
            domains=meter.domains,
            refused=meter.refused,
            evidence=str(window.energy.evidence),
            idle_power=figure_data(window.power),
        )
    if save is not None:
        write_text(save, to_json(report).decode())
    if json:
        print_json(report)
    else:
        from joulemark.reports.terminal import doctor_view

        console().print(doctor_view(report))
