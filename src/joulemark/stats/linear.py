"""Weighted least squares with standard errors, for a handful of coefficients: energy by tokens read and written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from joulemark.stats.summary import half_width

__all__ = ["Coefficient", "Fit", "fit"]

COLLINEAR = 1e-4
"""Part of a column that must be no mixture of those before it, to be told from them (an assumption of ours)."""


@dataclass(frozen=True, slots=True)
class Coefficient:
    """A coefficient with its 95 % interval, in the unit of the values per unit of its column."""

    name: str
    value: float
    standard_error: float
    half_width: float


@dataclass(frozen=True, slots=True)
class Fit:
    """What least squares found.

    Attributes:
        coefficients: one a column, in order; empty where the design cannot tell them apart.
        dof: rows less columns.
        residual_sd: standard deviation of the residuals, in the unit of the values (weight 1).
        correlation: of the errors of each two coefficients; 1 on the diagonal.
        reason: why there are no coefficients, in words; empty if there are.
    """

    coefficients: tuple[Coefficient, ...]
    dof: int
    residual_sd: float
    correlation: tuple[tuple[float, ...], ...]
    reason: str = ""

    def __getitem__(self, name: str) -> Coefficient:
        for coefficient in self.coefficients:
            if coefficient.name == name:
                return coefficient
        raise KeyError(name)


def fit(
    columns: Sequence[Sequence[float]],
    values: Sequence[float],
    *,
    names: Sequence[str],
    weights: Sequence[float] = (),
) -> Fit:
    """Fit ``value = b_1 column_1 + b_2 column_2 + ...`` by weighted least squares.

    For decoders: ``energy = a + b tokens_in + c tokens_out`` with columns of ones, tokens read and tokens written; b is
    then the energy of a token in prefill, c in decode, a what a request takes in any case.

    Householder's QR decomposition of the columns, each scaled to length 1 (Golub and Van Loan 2013, Matrix
    Computations, 4th ed., 5.2-5.3). Covariance ``s^2 (R'R)^-1`` with ``s^2`` the squared residuals over
    rows less columns; intervals by Student's t.

    Args:
        columns: one a coefficient, each with a number a row.
        values: one a row.
        names: one a column.
        weights: of each row, inverse to its variance; 1 without it. Energies whose noise grows with them want
            ``1 / energy^2``.

    Returns:
        The fit; without coefficients, and with the reason, where there are too few rows or columns go together (such
        as tokens read and written in a fixed ratio).

    Raises:
        ValueError: if lengths differ, or a weight is not above zero.
    """
    n, k = len(values), len(columns)
    if len(names) != k or any(len(column) != n for column in columns) or (weights and len(weights) != n):
        raise ValueError("columns, values, names and weights are not of matching lengths")
    if not all(weight > 0 for weight in weights):
        raise ValueError("a weight is not above zero")
    if n <= k:
        return Fit((), n - k, math.nan, (), f"{n} rows cannot give {k} coefficients with an error; measure more")
    roots = [math.sqrt(weight) for weight in weights] or [1.0] * n
    lengths = [math.hypot(*(r * x for r, x in zip(roots, column, strict=True))) for column in columns]
    for name, length in zip(names, lengths, strict=True):
        if length == 0:
            return Fit((), n - k, math.nan, (), f"{name} is zero in all rows")
    matrix = [[r * column[i] / lengths[j] for j, column in enumerate(columns)] for i, r in enumerate(roots)]
    target = [r * v for r, v in zip(roots, values, strict=True)]
    for j in range(k):
        if _reflect(matrix, target, j) < COLLINEAR:
            others = " and ".join(names[:j])
            return Fit(
                (), n - k, math.nan, (), f"{names[j]} goes with {others} in these runs: vary them apart from each other"
            )
    inverse = _inverse([row[:k] for row in matrix[:k]])
    scaled = [math.fsum(inverse[j][i] * target[i] for i in range(k)) for j in range(k)]
    dof = n - k
    sd = math.sqrt(math.fsum(t * t for t in target[k:]) / dof)
    covariance = [
        [math.fsum(a * b for a, b in zip(inverse[i], inverse[j], strict=True)) for j in range(k)] for i in range(k)
    ]
    errors = [sd * math.sqrt(covariance[j][j]) / lengths[j] for j in range(k)]
    return Fit(
        tuple(
            Coefficient(name, b / length, error, half_width(error, dof))
            for name, b, length, error in zip(names, scaled, lengths, errors, strict=True)
        ),
        dof,
        sd,
        tuple(
            tuple(covariance[i][j] / math.sqrt(covariance[i][i] * covariance[j][j]) for j in range(k)) for i in range(k)
        ),
    )


def _reflect(matrix: list[list[float]], target: list[float], j: int) -> float:
    """Make column j zero below its diagonal, in place; give the length of what lay there."""
    below = range(j, len(matrix))
    length = math.hypot(*(matrix[i][j] for i in below))
    if length == 0:
        return 0.0
    alpha = -math.copysign(length, matrix[j][j])
    v = [matrix[i][j] for i in below]
    v[0] -= alpha
    squared = math.fsum(x * x for x in v)
    for column in range(j, len(matrix[0])):
        along = 2 * math.fsum(x * matrix[i][column] for x, i in zip(v, below, strict=True)) / squared
        for x, i in zip(v, below, strict=True):
            matrix[i][column] -= along * x
    along = 2 * math.fsum(x * target[i] for x, i in zip(v, below, strict=True)) / squared
    for x, i in zip(v, below, strict=True):
        target[i] -= along * x
    return length


def _inverse(upper: list[list[float]]) -> list[list[float]]:
    """Inverse of an upper triangular matrix, by substitution from behind."""
    k = len(upper)
    found = [[0.0] * k for _ in range(k)]
    for column in range(k):
        for i in range(column, -1, -1):
            known = math.fsum(upper[i][m] * found[m][column] for m in range(i + 1, column + 1))
            found[i][column] = ((1.0 if i == column else 0.0) - known) / upper[i][i]
    return found
