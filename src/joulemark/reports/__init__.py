"""Reports: `from_runs` builds plain data, renderers write it. Nothing here measures."""

from joulemark.reports.benchmark import BenchReport, from_runs
from joulemark.reports.comparison import CompareReport, compare
from joulemark.reports.data import FigureData

__all__ = ["BenchReport", "CompareReport", "FigureData", "compare", "from_runs"]
