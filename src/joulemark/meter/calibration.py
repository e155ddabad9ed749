"""What the sensors of a machine miss of its power at the wall: a line, fitted while a wall meter logged.

    wall_w = base_w + slope * sensors_w

The base is what draws power whatever the load (board, fans, drives); the slope is above 1 where losses grow with the
load (power supply, regulators). Both stand for one machine and one set of sensors, within the range that was measured.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from joulemark.errors import DamagedRecord, NewerSchema, OutputNotWritable, UsageError
from joulemark.sensors.wall import ClockOffset, WallLog
from joulemark.stats.student import student_t_quantile

__all__ = [
    "CALIBRATION_SCHEMA",
    "WALL_GAIN",
    "Calibration",
    "PowerSeries",
    "calibration_path",
    "fit",
    "load",
    "paired",
    "save",
    "wall_energy",
]

CALIBRATION_SCHEMA = "joulemark/calibration/1"
WALL_GAIN = 0.02 / 1.96
"""Relative standard uncertainty of a wall meter whose accuracy nobody states: ±2 % at 95 % (assumption of ours)."""
LEAST_PAIRS = 30
LEAST_COVERED = 0.9
STEADY = 0.1
"""A window counts if power changes by less than this part of its range between its neighbours (assumption of ours):
at a step of the load, a shift of 0.1 s would look like an error in watts."""
WIDEST_SLOPE = 0.25
"""Largest relative standard uncertainty of the slope (assumption of ours): beyond it the line says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerSeries:
    """What the sensors of a machine saw, window after window.

    Attributes:
        processor: which machine it is, by its processor's name.
        sensors: the sensors that were read, by name and version.
        domains: the domains that were added up.
        starts_s: when each window began, in seconds since 1970.
        durations_s: how long each was.
        powers_w: mean power in each; a window without one is left out.
    """

    processor: str
    sensors: tuple[str, ...]
    domains: tuple[str, ...]
    starts_s: tuple[float, ...]
    durations_s: tuple[float, ...]
    powers_w: tuple[float, ...]

    @property
    def ends_s(self) -> tuple[float, ...]:
        """When each window ended, in seconds since 1970."""
        return tuple(start + duration for start, duration in zip(self.starts_s, self.durations_s, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The line from what sensors see to what the wall gives, and what it holds for.

    Attributes:
        processor: the machine, by its processor's name.
        sensors: the sensors.
        domains: the domains whose sum is `sensors_w`.
        created: when it was measured (ISO 8601).
        base_w, slope: the line.
        base_variance, slope_variance, covariance: of its two coefficients (W², 1, W), the wall meter's gain apart.
        residual_w: standard deviation of single windows about the line, in watts.
        correlation_s: for how long residuals stay alike, in seconds.
        low_w, high_w: range of `sensors_w` that was measured.
        points: windows that were fitted.
        coverage, coverage_low, coverage_high: share of the wall's energy that the sensors saw while it was measured,
            with its 95 % interval.
        wall_gain: relative standard uncertainty of the wall meter, shared by all that this calibration says.
        offset_s, offset_uncertainty_s: by how much the wall meter's clock was ahead.
    """

    processor: str
    sensors: tuple[str, ...]
    domains: tuple[str, ...]
    created: str
    base_w: float
    slope: float
    base_variance: float
    slope_variance: float
    covariance: float
    residual_w: float
    correlation_s: float
    low_w: float
    high_w: float
    points: int
    coverage: float
    coverage_low: float
    coverage_high: float
    wall_gain: float
    offset_s: float
    offset_uncertainty_s: float

    def holds_for(self, *, processor: str, domains: Sequence[str]) -> bool:
        """Tell whether it was made on such a machine, with the same domains."""
        return self.processor == processor and set(self.domains) == set(domains)


# ---- fitting ---------------------------------------------------------------------------------------------------------


def paired(series: PowerSeries, log: WallLog, offset: ClockOffset) -> tuple[tuple[float, float, float], ...]:
    """Give for each window that the log covers its middle (our clock, in seconds), our power and the wall's (watts).

    Raises:
        UsageError: if the log leaves out more than a tenth of the time, with the times that are missing.
    """
    windows = [(a + offset.seconds, b + offset.seconds) for a, b in zip(series.starts_s, series.ends_s, strict=True)]
    wall = log.means(windows)
    missing = [window for window, power_w in zip(windows, wall, strict=True) if power_w is None]
    if len(missing) > (1 - LEAST_COVERED) * len(windows):
        raise UsageError(
            f"{log.source} covers {1 - len(missing) / len(windows):.0%} of the measured time. Missing, by the wall "
            f"meter's clock: {'; '.join(_stretches(missing, statistics.median(series.durations_s)))}."
        )
    middles = [(a + b) / 2 for a, b in zip(series.starts_s, series.ends_s, strict=True)]
    found = zip(middles, series.powers_w, wall, strict=True)
    return tuple((middle, power_w, wall_w) for middle, power_w, wall_w in found if wall_w is not None)


def _stretches(windows: Sequence[tuple[float, float]], step_s: float) -> list[str]:
    """Join neighbouring windows and write them as times; at most three, then how many more."""
    joined: list[tuple[float, float]] = []
    for start, end in windows:
        if joined and start - joined[-1][1] < step_s:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    texts = [f"{_clock(start)} to {_clock(end)}" for start, end in joined[:3]]
    return texts if len(joined) <= 3 else [*texts, f"and {len(joined) - 3} more"]


def _clock(now_s: float) -> str:
    return datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def fit(
    series: PowerSeries, log: WallLog, offset: ClockOffset, *, wall_gain: float = WALL_GAIN, created: str = ""
) -> Calibration:
    """Fit the line by least squares over the windows in which power was steady.

    Residuals of neighbouring windows are alike (fans, temperature): all variances are multiplied by
    (1 + r) / (1 - r), with r their correlation from one window to the next (a first-order autoregressive process;
    Zięba, Metrology and Measurement Systems 17(1):3-16, 2010).

    Args:
        series: what the sensors saw.
        log: what the wall meter saw.
        offset: of its clock.
        wall_gain: relative standard uncertainty of the wall meter.
        created: when it was measured; now without it.

    Raises:
        UsageError: if the log has gaps, or if the load varied too little for a line.
    """
    pairs = paired(series, log, offset)
    steady = _steady(pairs)
    if len(steady) < LEAST_PAIRS:
        raise UsageError(
            f"{len(steady)} windows of steady power are too few for a calibration; it takes {LEAST_PAIRS}. "
            "Measure for longer."
        )
    x, y = [power_w for _, power_w, _ in steady], [wall_w for _, _, wall_w in steady]
    n, mean_x = len(x), statistics.fmean(x)
    spread = math.fsum((v - mean_x) ** 2 for v in x)
    slope, base_w = _line(x, y)
    residuals = [b - base_w - slope * a for a, b in zip(x, y, strict=True)]
    residual_w, inflation = _scatter(residuals)
    variance = residual_w**2 * inflation
    slope_variance = variance / spread
    if not (slope > 0 and math.sqrt(slope_variance) <= WIDEST_SLOPE * slope):
        raise UsageError(
            f"The wall's power does not follow the sensors' ({min(x):.3g} to {max(x):.3g} W): the load did not vary "
            "enough, or the sensors see nothing of it."
        )
    coverage, half = _coverage(pairs, base_w, slope, wall_gain)
    return Calibration(
        processor=series.processor,
        sensors=series.sensors,
        domains=series.domains,
        created=created or datetime.now(UTC).isoformat(timespec="seconds"),
        base_w=base_w,
        slope=slope,
        base_variance=variance / n + mean_x**2 * slope_variance,
        slope_variance=slope_variance,
        covariance=-mean_x * slope_variance,
        residual_w=residual_w,
        correlation_s=inflation * statistics.median(series.durations_s),
        low_w=min(x),
        high_w=max(x),
        points=n,
        coverage=coverage,
        coverage_low=coverage * math.exp(-half),
        coverage_high=coverage * math.exp(half),
        wall_gain=wall_gain,
        offset_s=offset.seconds,
        offset_uncertainty_s=offset.standard_uncertainty_s,
    )


def _coverage(
    pairs: Sequence[tuple[float, float, float]], base_w: float, slope: float, wall_gain: float
) -> tuple[float, float]:
    """Give the share of the wall's energy that the sensors saw, and the half-width of its 95 % interval (relative).

    Over all windows, steady or not: an energy needs no line, but at a step of the load the wall meter may miss some.
    """
    seen_w, wall_w = statistics.fmean(p for _, p, _ in pairs), statistics.fmean(w for _, _, w in pairs)
    scatter_w, inflation = _scatter([w - base_w - slope * p for _, p, w in pairs])
    independent = len(pairs) / inflation
    k = student_t_quantile(0.975, max(independent - 2, 1.0))
    half = math.hypot(k * scatter_w / math.sqrt(independent) / wall_w, student_t_quantile(0.975, math.inf) * wall_gain)
    return seen_w / wall_w, half


def _line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Give slope and intercept.

    Raises:
        UsageError: if all x are the same.
    """
    try:
        return statistics.linear_regression(x, y)
    except statistics.StatisticsError as error:
        raise UsageError(
            "The sensors showed the same power all the time; a calibration needs rest and load."
        ) from error


def _steady(pairs: Sequence[tuple[float, float, float]]) -> list[tuple[float, float, float]]:
    """Leave out the windows beside a step of the load, and those beside a gap."""
    if len(pairs) < 3:
        return []
    change_w = STEADY * (max(p for _, p, _ in pairs) - min(p for _, p, _ in pairs))
    step_s = statistics.median(b[0] - a[0] for a, b in itertools.pairwise(pairs))
    kept = []
    for before, here, after in zip(pairs, pairs[1:], pairs[2:], strict=False):
        beside = max(abs(before[1] - here[1]), abs(after[1] - here[1]))
        if beside <= change_w and after[0] - before[0] < 3 * step_s:
            kept.append(here)
    return kept


def _scatter(residuals: Sequence[float]) -> tuple[float, float]:
    """Give the standard deviation about a line, and by how much its likeness in time inflates variances of means."""
    squares = math.fsum(r**2 for r in residuals)
    if squares == 0:
        return 0.0, 1.0
    alike = math.fsum(a * b for a, b in itertools.pairwise(residuals)) / squares
    alike = min(max(alike, 0.0), 0.99)
    return math.sqrt(squares / (len(residuals) - 2)), (1 + alike) / (1 - alike)


# ---- using -----------------------------------------------------------------------------------------------------------


def wall_energy(calibration: Calibration, energy_j: float, duration_s: float) -> tuple[float, float]:
    """Give the energy at the wall, in joules, and its standard uncertainty.

    The uncertainty holds the line's coefficients, the scatter about it, and the wall meter's gain; the sensors' own
    gain is not in it, because the line was fitted with it. (What the sensors err otherwise comes on top, times the
    slope.)

    Args:
        calibration: of this machine.
        energy_j: what its domains took together.
        duration_s: in which time.

    Raises:
        UsageError: if the mean power lies outside twice the range that was measured.
    """
    power_w = energy_j / duration_s
    margin_w = (calibration.high_w - calibration.low_w) / 2
    if not calibration.low_w - margin_w <= power_w <= calibration.high_w + margin_w:
        raise UsageError(
            f"The calibration was measured from {calibration.low_w:.3g} to {calibration.high_w:.3g} W and says nothing "
            f"of {power_w:.3g} W; measure a new one with a load like this."
        )
    value_j = calibration.base_w * duration_s + calibration.slope * energy_j
    line = (
        calibration.base_variance * duration_s**2
        + calibration.slope_variance * energy_j**2
        + 2 * calibration.covariance * duration_s * energy_j
    )
    independent = max(duration_s / calibration.correlation_s, 1.0)
    scatter = (calibration.residual_w * duration_s) ** 2 / independent
    gain = (calibration.wall_gain * value_j) ** 2
    return value_j, math.sqrt(max(line, 0.0) + scatter + gain)


# ---- keeping ---------------------------------------------------------------------------------------------------------


def calibration_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Give where the calibration of this machine is kept (XDG Base Directory Specification 0.8)."""
    home = environ.get("XDG_CONFIG_HOME", "")
    # A relative path is to be ignored, says the specification.
    folder = Path(home) if Path(home).is_absolute() else Path.home() / ".config"
    return folder / "joulemark" / "calibration.json"


def save(calibration: Calibration, path: Path) -> None:
    """Write a calibration in full or not at all.

    Raises:
        OutputNotWritable: if it cannot be written; what stood there before is still there.
    """
    text = json.dumps({"schema": CALIBRATION_SCHEMA, **asdict(calibration)}, indent=1) + "\n"
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        raise OutputNotWritable(f"Cannot write {path}: {error.strerror or error}. Choose another place.") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def load(path: Path) -> Calibration | None:
    """Read a calibration; None if there is no such file.

    Raises:
        NewerSchema: if a later Joulemark wrote it.
        DamagedRecord: if it cannot be read, is cut off, or does not fit its schema.
    """
    remedy = f"Remove it, or measure again with: joulemark calibrate --wall LOG.csv (it is {path})"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedRecord(f"The calibration cannot be read: {error}. {remedy}") from error
    found = document.pop("schema", None) if isinstance(document, dict) else None
    if found != CALIBRATION_SCHEMA:
        if _is_later(found):
            raise NewerSchema(
                f"The calibration has the schema {found!r}, which is newer than {CALIBRATION_SCHEMA!r}. "
                "Upgrade with: pip install --upgrade joulemark"
            )
        raise DamagedRecord(f"The calibration has no schema {CALIBRATION_SCHEMA!r}. {remedy}")
    return Calibration(
        **{field.name: _value(document, field.name, str(field.type), remedy) for field in fields(Calibration)}
    )


def _is_later(found: object) -> bool:
    kind, _, number = CALIBRATION_SCHEMA.rpartition("/")
    if not isinstance(found, str) or not found.startswith(f"{kind}/"):
        return False
    return found.removeprefix(f"{kind}/").isdecimal() and int(found.removeprefix(f"{kind}/")) > int(number)


def _value(document: Mapping[str, Any], name: str, kind: str, remedy: str) -> Any:
    value = document.get(name)
    if kind == "str" and isinstance(value, str):
        return value
    if kind.startswith("tuple") and isinstance(value, list) and all(isinstance(v, str) for v in value):
        return tuple(value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if is_number and kind in {"float", "int"}:
        return value
    raise DamagedRecord(f"The calibration has no valid {name}, but {value!r}. {remedy}")
