"""How much a series of repeated values is worth whose neighbours resemble each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Worth", "worth"]

MOST = 0.9
"""Correlations above it are taken for it: a series that hardly forgets is a drift, and judged as one."""
UPPER = 1.645
"""Quantile of the normal distribution for a one-sided limit of 95 %."""


@dataclass(frozen=True, slots=True)
class Worth:
    """What an autocorrelated series is worth.

    Attributes:
        correlation: of neighbours, as it is reckoned with, 0 to `MOST`.
        inflation: factor by which it multiplies the variance of the mean.
        sd: standard deviation of the values, freed from the bias that correlation gives it.
        dof: degrees of freedom of `sd`, at least 1.
    """

    correlation: float
    inflation: float
    sd: float
    dof: float


def worth(residuals: Sequence[float], fitted: int = 1, *, cautious: bool = False) -> Worth:
    """Say what a series is worth that is taken as autoregressive of first order, AR(1).

    - Correlation ``r = sum(d_i d_i+1) / sum(d_i^2)``, whose bias of ``-(1 + 3 rho) / n`` is taken out (Kendall 1954,
      Biometrika 41:403-404; with a straight line fitted ``-(2 + 4 rho) / n``), negative ones taken for none.
    - The mean of n values is worth that of ``n / inflation`` independent ones, ``inflation = (1 + rho) / (1 - rho)``,
      and their variance has the degrees of freedom of ``n (1 - rho^2) / (1 + rho^2)`` independent ones (Bayley and
      Hammersley 1946, JRSS Suppl. 8:184-197).
    - Few values often hide a correlation: `cautious` takes for the inflation its upper 95 % limit, 1.645 standard
      errors ``sqrt((1 - rho^2) / n)`` (Bartlett 1946, JRSS Suppl. 8:27-41) above it.
    - The correlation itself is hardly known from few values, and its limit stands for that already: degrees of freedom
      are not taken below half of those of independent values (an assumption of ours, checked by simulation).

    Args:
        residuals: deviations from the mean, or from a line, in the order in which they were measured.
        fitted: how many parameters were fitted: 1 for a mean, 2 for a line.
        cautious: take the upper end of what the correlation may be.
    """
    n = len(residuals)
    squares = math.fsum(d * d for d in residuals)
    if n <= fitted:
        return Worth(0.0, 1.0, math.nan, 1.0)
    rho = _correlation(residuals, squares, fitted)
    dof = max(n * (1 - rho**2) / (1 + rho**2) - fitted, (n - fitted) / 2, 1.0)
    if cautious and squares > 0:
        rho = min(rho + UPPER * math.sqrt((1 - rho**2) / n), MOST)
    # No series is taken for worth less than two values.
    inflation = min((1 + rho) / (1 - rho), n / 2)
    return Worth(rho, inflation, math.sqrt(squares / max(n - (fitted - 1) - inflation, 1.0)), dof)


def _correlation(residuals: Sequence[float], squares: float, fitted: int) -> float:
    n = len(residuals)
    if squares == 0 or n < fitted + 3:
        return 0.0
    found = math.fsum(a * b for a, b in pairwise(residuals)) / squares
    if n > 2 * fitted + 2:
        found = (n * found + fitted) / (n - 2 * fitted - 1)
    return min(max(found, 0.0), MOST)
