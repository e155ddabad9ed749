"""Statistics of repeated measurements: pure functions, no dependencies."""

from joulemark.stats.stopping import Decision, decide
from joulemark.stats.student import student_t_quantile
from joulemark.stats.summary import Summary, summarise, summarise_trials
from joulemark.stats.verdict import Judgement, Verdict, judge
from joulemark.stats.warm_up import warmed_up

__all__ = [
    "Decision",
    "Judgement",
    "Summary",
    "Verdict",
    "decide",
    "judge",
    "student_t_quantile",
    "summarise",
    "summarise_trials",
    "warmed_up",
]
