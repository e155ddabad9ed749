"""Draws of standardised errors for the propagation of distributions (JCGM 101:2008), in pure Python."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

from joulemark.stats.student import student_t_quantile

__all__ = ["DRAWS", "percentile", "standard_draws"]

DRAWS = 2000
"""Stratified draws of each error; the ends of a 95 % interval are then sure to some 3 % of its half-width."""


@lru_cache(maxsize=64)
def _strata(dof: float) -> tuple[float, ...]:
    """One value a stratum: the quantiles at (i + 1/2) / DRAWS of Student's t, or of the normal distribution."""
    middles = ((i + 0.5) / DRAWS for i in range(DRAWS // 2, DRAWS))
    if math.isinf(dof):
        from statistics import NormalDist

        upper = [NormalDist().inv_cdf(p) for p in middles]
    else:
        upper = [student_t_quantile(p, dof) for p in middles]
    return (*(-x for x in reversed(upper)), *upper)


@lru_cache(maxsize=4096)
def standard_draws(source: str, dof: float = math.inf) -> tuple[float, ...]:
    """Draw a standardised error: always the same for one source, independent for any two.

    A Latin hypercube: every stratum once, in an order that the source's name decides, so that all figures that share
    a source share its draws, in this process and in any other.

    Args:
        source: name of what errs.
        dof: degrees of freedom (JCGM 101:2008, 6.4.9); at least 1.
    """
    import random  # loaded when it is needed: the sampling process, which starts with every program, draws nothing

    # A shuffle for sampling, not a secret; the name seeds it.
    return tuple(random.Random(source).sample(_strata(dof), DRAWS))  # noqa: S311


def percentile(ordered: Sequence[float], share: float) -> float:
    """Give the value below which a share of the sorted values lies, between neighbours linearly."""
    place = share * len(ordered) - 0.5
    below = min(max(math.floor(place), 0), len(ordered) - 2)
    weight = min(max(place - below, 0.0), 1.0)
    return ordered[below] * (1 - weight) + ordered[below + 1] * weight
