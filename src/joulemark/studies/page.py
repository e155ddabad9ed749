"""A reproduction as a page: one HTML file that needs no network."""

from __future__ import annotations

from joulemark.errors import MissingExtra
from joulemark.studies import show
from joulemark.studies.report import Reproduction

__all__ = ["render"]


def render(report: Reproduction) -> str:
    """Give the page as text.

    Raises:
        MissingExtra: if jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise MissingExtra("jinja2", "report", "Writing a page") from error
    environment = Environment(
        loader=PackageLoader("joulemark.studies"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("study.html.j2").render(report=report, places=show.places(report.checks), show=show)
