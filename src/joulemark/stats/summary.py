"""Mean and spread of repeated values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from joulemark.stats.series import worth
from joulemark.stats.student import student_t_quantile

__all__ = ["Summary", "half_width", "in_blocks", "summarise", "summarise_trials"]


@dataclass(frozen=True, slots=True)
class Summary:
    """Repeated values in brief.

    Attributes:
        n: how many.
        mean: arithmetic mean, in the unit of the values.
        sd: sample standard deviation (n - 1), NaN for one value.
        standard_error: the type A standard uncertainty of the mean.
        half_width: half of the 95 % interval of the mean: t(0.975, dof) times the standard error.
        dof: degrees of freedom of the standard error; NaN for one value.
        blocks: over how many blocks the values are spread.
        correlation: of neighbours, as far as it was reckoned with.
    """

    n: int
    mean: float
    sd: float
    standard_error: float
    half_width: float
    dof: float = math.nan
    blocks: int = 1
    correlation: float = 0.0

    @property
    def relative_half_width(self) -> float:
        """Half-width over mean; infinite if it is not known."""
        if math.isnan(self.half_width) or self.mean == 0:
            return math.inf
        return self.half_width / abs(self.mean)


def summarise(values: Sequence[float]) -> Summary:
    """Summarise repeated values that are independent: standard error ``sd / sqrt(n)`` (JCGM 100:2008, 4.2.3).

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
    return Summary(n, mean, sd, standard_error, half_width(standard_error, n - 1), n - 1)


def summarise_trials(values: Sequence[float], blocks: Sequence[int] = ()) -> Summary:
    """Summarise trials that came in blocks, each a process of its own, and may resemble their neighbours.

    Two standard errors of the mean, of which the one with the wider interval holds:

    - *among trials*: as many independent values as an autocorrelated series is worth, cautiously
      (`joulemark.stats.series.worth`);
    - *among blocks*: ``sqrt(B / (B - 1) sum((n_b / n)^2 (mean_b - mean)^2))`` with ``B - 1`` degrees of freedom, the
      method of independent replications (Law 2015, Simulation Modeling and Analysis, 5th ed., 9.5.2; for benchmarks
      Kalibera and Jones 2013, ISMM, doi:10.1145/2464157.2464160). It holds whatever the correlation within a block,
      and holds what differs from process to process; for blocks of one length it is their standard deviation over
      ``sqrt(B)``.

    With one block the second cannot be known: what differs from process to process is then not in the interval.

    Args:
        values: of each trial, in the order in which they were measured.
        blocks: the block of each trial; without it, all are of one.

    Raises:
        ValueError: if there is no value, or not a block for each.
    """
    plain = summarise(values)
    if plain.n == 1:
        return plain
    series = worth([v - plain.mean for v in values], cautious=True)
    error = series.sd * math.sqrt(series.inflation / plain.n)
    among = half_width(error, series.dof)
    found = Summary(plain.n, plain.mean, plain.sd, error, among, series.dof, 1, series.correlation)
    groups = in_blocks(values, blocks)
    if len(groups) < 2:
        return found
    many = len(groups)
    between = math.sqrt(
        many / (many - 1) * math.fsum((math.fsum(v - plain.mean for v in group) / plain.n) ** 2 for group in groups)
    )
    wide = half_width(between, many - 1)
    if wide <= among:
        return Summary(plain.n, plain.mean, plain.sd, error, among, series.dof, many, series.correlation)
    return Summary(plain.n, plain.mean, plain.sd, between, wide, many - 1, many, series.correlation)


def in_blocks(values: Sequence[float], blocks: Sequence[int]) -> tuple[tuple[float, ...], ...]:
    """Give the values of each block, blocks in the order of their first value.

    Raises:
        ValueError: if there is not a block for each value.
    """
    if not blocks:
        return (tuple(values),) if values else ()
    groups: dict[int, list[float]] = {}
    for value, block in zip(values, blocks, strict=True):
        groups.setdefault(block, []).append(value)
    return tuple(tuple(group) for group in groups.values())


def half_width(standard_error: float, dof: float) -> float:
    """Give half of the 95 % interval; below 3 degrees of freedom they are truncated, as the quantile needs it."""
    return student_t_quantile(0.975, dof if dof >= 3 else max(1, math.floor(dof))) * standard_error
