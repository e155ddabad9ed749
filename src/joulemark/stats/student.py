"""Student's t without scipy, so that a window can print its interval with the core alone."""

from __future__ import annotations

import math
from functools import lru_cache

__all__ = ["student_t_quantile"]


@lru_cache(maxsize=256)
def student_t_quantile(probability: float, dof: float) -> float:
    """Give the quantile of Student's t distribution.

    Algorithm 396 of the Communications of the ACM (G. W. Hill, 13(10):619-620, 1970), whose error is below
    10^-3 of the value for dof >= 3; for 1 and 2 degrees of freedom the closed forms.

    Args:
        probability: cumulative probability, in (0.5, 1).
        dof: degrees of freedom, at least 1; infinite for the normal distribution.

    Raises:
        ValueError: outside these ranges.
    """
    if not 0.5 < probability < 1:
        raise ValueError(f"probability must lie in (0.5, 1), not {probability}")
    if not dof >= 1:
        raise ValueError(f"at least one degree of freedom is needed, not {dof}")
    if math.isinf(dof) or dof > 1e6:
        from statistics import NormalDist  # loaded when it is needed: it takes longer than all of this package

        return NormalDist().inv_cdf(probability)
    two_tails = 2 * (1 - probability)
    if dof == 1:
        return 1 / math.tan(two_tails * math.pi / 2)
    if dof == 2:
        return math.sqrt(2 / (two_tails * (2 - two_tails)) - 2)
    return _hill(two_tails, dof)


def _hill(two_tails: float, dof: float) -> float:
    a = 1 / (dof - 0.5)
    b = 48 / a**2
    c = ((20700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * math.sqrt(a * math.pi / 2) * dof
    y = (d * two_tails) ** (2 / dof)
    if y > 0.05 + a:
        from statistics import NormalDist

        x = NormalDist().inv_cdf(two_tails / 2)
        y = x * x
        if dof < 5:
            c += 0.3 * (dof - 4.5) * (x + 0.6)
        c = (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b + c
        y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x
        y = math.expm1(a * y * y)
    else:
        y = ((1 / (((dof + 6) / (dof * y) - 0.089 * d - 0.822) * (dof + 2) * 3) + 0.5 / (dof + 4)) * y - 1) * (
            dof + 1
        ) / (dof + 2) + 1 / y
    return math.sqrt(dof * y)
