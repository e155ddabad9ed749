"""Statistics of repeated measurements: pure functions, no dependencies."""

from joulemark.stats.student import student_t_quantile
from joulemark.stats.summary import Summary, summarise
from joulemark.stats.verdict import Verdict, judge

__all__ = ["Summary", "Verdict", "judge", "student_t_quantile", "summarise"]
