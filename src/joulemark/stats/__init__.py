"""Statistics of repeated measurements: pure functions, no dependencies. Loaded at their first use."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from joulemark.stats.stopping import Decision, decide
    from joulemark.stats.student import student_t_quantile
    from joulemark.stats.summary import Summary, summarise, summarise_trials
    from joulemark.stats.verdict import Judgement, Verdict, judge
    from joulemark.stats.warm_up import warmed_up

_HOMES = {
    "Decision": "joulemark.stats.stopping",
    "Judgement": "joulemark.stats.verdict",
    "Summary": "joulemark.stats.summary",
    "Verdict": "joulemark.stats.verdict",
    "decide": "joulemark.stats.stopping",
    "judge": "joulemark.stats.verdict",
    "student_t_quantile": "joulemark.stats.student",
    "summarise": "joulemark.stats.summary",
    "summarise_trials": "joulemark.stats.summary",
    "warmed_up": "joulemark.stats.warm_up",
}

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


def __getattr__(name: str) -> object:
    import importlib

    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(importlib.import_module(home), name)
