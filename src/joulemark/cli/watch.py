"""``joulemark watch``: live power by domain."""

from __future__ import annotations

import time

import typer

from joulemark.cli.output import Wall, console
from joulemark.errors import UsageError

__all__ = ["register"]

EPILOG = "Examples: `joulemark watch` · `joulemark watch --every 0.5 --for 60`"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(epilog=EPILOG)(watch)


def watch(
    every: float = typer.Option(1.0, help="Seconds between two lines of the table."),
    duration: float = typer.Option(0.0, "--for", help="Seconds to watch; until Ctrl-C without it."),
    wall: Wall = None,
) -> None:
    """Show the power of each domain, live."""
    from rich.live import Live

    from joulemark.meter import Meter
    from joulemark.readings import power_figure
    from joulemark.reports.data import figure_data
    from joulemark.reports.terminal import watch_view

    if not 0.05 <= every <= 3600:
        raise UsageError(f"--every {every:g} is out of range; give 0.05 to 3600 seconds.")
    if not 0 <= duration <= 1e9:
        raise UsageError(f"--for {duration:g} is out of range; give seconds, or leave it out to watch until Ctrl-C.")
    screen = console()
    with Meter(wall or None) as meter, Live(console=screen, auto_refresh=False) as live:
        began = time.monotonic()
        while duration <= 0 or time.monotonic() - began < duration:
            with meter.measure() as window:
                time.sleep(every)
            domains = {name: figure_data(power_figure(f, window.duration_s)) for name, f in window.domains.items()}
            live.update(watch_view(figure_data(window.power), domains), refresh=True)
