"""Mean and spread of repeated values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from joulemark.stats.student import student_t_quantile

__all__ = ["Summary", "summarise"]


@dataclass(frozen=True, slots=True)
class Summary:
    """Repeated values in brief.

    Attributes:
        n: how many.
        mean: arithmetic mean, in the unit of the values.
        sd: sample standard deviation (n - 1), NaN for one value.
        standard_error: sd / sqrt(n), the type A standard uncertainty of the mean (JCGM 100:2008, 4.2.3).
        half_width: half of the 95 % interval of the mean: t(0.975, n - 1) times the standard error.
    """

    n: int
    mean: float
    sd: float
    standard_error: float
    half_width: float

    @property
    def relative_half_width(self) -> float:
        """Half-width over mean; infinite if it is not known."""
        if math.isnan(self.half_width) or self.mean == 0:
            return math.inf
        return self.half_width / abs(self.mean)


def summarise(values: Sequence[float]) -> Summary:
    """Summarise repeated values.

    Raises:
        ValueError: if there is none.
    """
    n = len(values)
    if n == 0:
        raise ValueError("no values to summarise")
    mean = math.fsum(values) / n
    if n == 1:
        return Summary(1, mean, math.nan, math.nan, math.nan)
    sd = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
    standard_error = sd / math.sqrt(n)
    return Summary(n, mean, sd, standard_error, student_t_quantile(0.975, n - 1) * standard_error)
