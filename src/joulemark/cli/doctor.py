"""``joulemark doctor``: what can be measured here."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import typer

from joulemark.cli.output import Json, Save, Wall, console, print_json, to_json, writable, write_text

if TYPE_CHECKING:
    from joulemark.sensors import Discovery

__all__ = ["register"]

REST_S = 1.0
GAUGED = ("nvml",)
"""Sensors that can hold their counters against gauges; they are opened here besides, for the doctor alone."""

EPILOG = "Examples: `joulemark doctor` · `joulemark doctor --json --save doctor.json`"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(epilog=EPILOG)(doctor)


def doctor(
    wall: Wall = None,
    json: Json = False,
    save: Save = None,
    identify: bool = typer.Option(False, help="Name this host in the output."),
) -> None:
    """Say which sensors this machine has, how sure they are, what is refused and why."""
    from joulemark.meter import Meter
    from joulemark.reports.data import CrossCheckData, DoctorReport, figure_data
    from joulemark.sensors.cross_check import cross_check, watch_gauges

    writable(save)
    with Meter(wall or None) as meter, contextlib.closing(_gauged()) as gauged:
        with meter.measure("idle") as window:
            gauges_w = watch_gauges(gauged.sensors, REST_S)
        counters_w = {name: figure.value / window.duration_s for name, figure in window.domains.items()}
        report = DoctorReport(
            machine=meter.machine(identify=identify),
            domains=meter.domains,
            refused=meter.refused,
            evidence=str(window.energy.evidence),
            idle_power=figure_data(window.power),
            cross_checks=tuple(
                CrossCheckData(domain=c.domain, counter_w=c.counter_w, gauge_w=c.gauge_w, agree=c.agree)
                for c in cross_check(counters_w, gauges_w)
            ),
        )
    if save is not None:
        write_text(save, to_json(report).decode())
    if json:
        print_json(report)
    else:
        from joulemark.reports.terminal import doctor_view

        console().print(doctor_view(report))


def _gauged() -> Discovery:
    from joulemark.sensors import discover

    return discover(only=GAUGED)
