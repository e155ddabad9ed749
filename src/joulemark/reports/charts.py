"""Charts as SVG, drawn without a network: Vega-Lite by altair, rendered by vl-convert."""

from __future__ import annotations

import math
from typing import Any

from joulemark.errors import MissingExtra
from joulemark.records import energies_per_trial
from joulemark.reports.benchmark import PER, Results
from joulemark.reports.words import short_label
from joulemark.units import scale_for

__all__ = ["Charts", "draw", "require_charts"]

WIDTH = 560
_INK, _QUIET = "#1b2733", "#5c6b7a"


class Charts:
    """The charts of a benchmark report, each an ``<svg>`` element as text."""

    def __init__(self, *, ranking: str, trials: str) -> None:
        self.ranking = ranking
        self.trials = trials


def require_charts() -> tuple[Any, Any]:
    """Import altair and vl-convert, and find out whether jinja2 is there for the page.

    Raises:
        MissingExtra: if one of them is not installed.
    """
    try:
        import altair
        import jinja2  # noqa: F401 - only asked for here
        import vl_convert
    except ImportError as error:
        raise MissingExtra(error.name or "altair", "report", "The page") from error
    return altair, vl_convert


def draw(results: Results) -> Charts:
    """Draw all charts.

    Raises:
        MissingExtra: if altair or vl-convert is not installed.
    """
    alt, vl_convert = require_charts()

    def svg(chart: Any) -> str:
        styled = (
            chart.configure_view(stroke=None)
            .configure(
                background="transparent",
                font="Arial, Helvetica, sans-serif",
                padding={"left": 60, "right": 10, "top": 5, "bottom": 14},
            )
            .configure_axis(labelColor=_INK, titleColor=_QUIET, gridColor="#e3e8ec", labelLimit=330, domain=False)
            .configure_legend(
                labelColor=_INK, titleColor=_QUIET, orient="bottom", columns=4, columnPadding=28, title=None
            )
        )
        return str(vl_convert.vegalite_to_svg(styled.to_dict(), show_warnings=False))

    return Charts(ranking=svg(_ranking(alt, results)), trials=svg(_trials(alt, results)))


def _ranking(alt: Any, results: Results) -> Any:
    """Dots on a logarithmic scale; thin lines: how sure the values are, thick ones: how sure the differences."""
    ranked = results.ranked()
    if not ranked:
        return alt.Chart(alt.Data(values=[{"text": "No model gave a figure."}])).mark_text().encode(text="text:N")
    least = ranked[0]
    factor, symbol = scale_for(ranked[len(ranked) // 2].energy.value, "Wh")
    rows = []
    for entry in ranked:
        times = entry.times_least
        row = {
            "label": short_label(entry),
            "task": entry.run.workload.task_title,
            "value": entry.energy.value / factor,
            "low": entry.energy.low / factor,
            "high": entry.energy.high / factor,
        }
        if times is not None and times.available:
            row |= {
                "closer": times.low * least.energy.value / factor,
                "farther": times.high * least.energy.value / factor,
            }
        rows.append(row)
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=alt.Y("label:N", sort=[r["label"] for r in rows], title=None), color=alt.Color("task:N")
    )
    axis = alt.X(
        "low:Q",
        scale=alt.Scale(type="log", nice=False),
        title=f"{symbol} per {PER:,} inferences (logarithmic)",
        axis=alt.Axis(format="~g", tickCount=6),
    )
    thin = base.mark_rule(strokeWidth=1.5, opacity=0.55).encode(x=axis, x2="high:Q")
    thick = base.mark_rule(strokeWidth=6, opacity=0.45).encode(x="closer:Q", x2="farther:Q")
    dots = base.mark_point(filled=True, size=70, opacity=1).encode(x="value:Q")
    return (thin + thick + dots).properties(width=WIDTH, height=alt.Step(26))


def _trials(alt: Any, results: Results) -> Any:
    """Each trial's energy per unit against the mean of its run, in per cent."""
    rows = []
    for entry in results.entries:
        per_unit = energies_per_trial(entry.run)
        if not per_unit:
            continue
        mean = math.fsum(per_unit) / len(per_unit)
        rows += [
            {"label": short_label(entry), "trial": i, "deviation": 100 * (v / mean - 1) if mean else 0.0}
            for i, v in enumerate(per_unit, start=1)
        ]
    names = list(dict.fromkeys(row["label"] for row in rows))
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_tick(thickness=2, size=16, color="#2f6f9f", opacity=0.75)
        .encode(
            x=alt.X("deviation:Q", title="a trial's energy against the mean of its run, %"),
            y=alt.Y("label:N", sort=names, title=None),
        )
        .properties(width=WIDTH, height=alt.Step(22))
    )
