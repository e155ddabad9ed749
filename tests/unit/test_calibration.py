"""What the sensors miss of the wall's power: found again where it is known, refused where it cannot be told."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import random
import statistics
import subprocess
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from joulemark.cli import calibrate as verb
from joulemark.errors import DamagedRecord, JoulemarkError, NewerSchema, OutputNotWritable, UsageError
from joulemark.meter import Meter
from joulemark.meter.calibration import (
    WALL_GAIN,
    Calibration,
    PowerSeries,
    calibration_path,
    fit,
    load,
    paired,
    save,
    wall_energy,
)
from joulemark.sensors.wall import ClockOffset, WallLog, clock_offset
from joulemark.testing import Lost, SimulatedSensor

EFFICIENCY, BASE_W = 0.92, 30.0
"""Of a power supply, and what the sensors do not see (board, fans) behind it."""
OFFSET_S = -37.4
BEGAN_S = 1.79e9
SECONDS = 300.0


class Truth:
    """A machine at rest and under load in turn, its sensors and the wall meter beside it.

    Args:
        seed: of everything that is drawn.
        noise_w: of each reading of the wall meter.
        gain: of the wall meter.
        drift: of its clock, in seconds a second.
        warming_w: by how much fans have sped up at the end.
    """

    def __init__(
        self, seed: int = 0, *, noise_w: float = 1.0, gain: float = 1.0, drift: float = 0.0, warming_w: float = 0.0
    ) -> None:
        self._random = random.Random(seed)
        self._noise_w, self._gain, self._drift, self._warming_w = noise_w, gain, drift, warming_w
        lengths = itertools.islice(verb.phase_lengths(*verb.PHASES_S), 30)
        self._steps_s = list(itertools.accumulate(lengths))

    def sensors_w(self, now_s: float) -> float:
        loaded = sum(step <= now_s for step in self._steps_s) % 2 if 0 <= now_s < SECONDS else 0
        return 40.0 + 60.0 * loaded

    def wall_w(self, now_s: float) -> float:
        return (BASE_W + self._warming_w * now_s / SECONDS + self.sensors_w(now_s)) / EFFICIENCY

    def _mean_w(self, start_s: float, end_s: float) -> float:
        edges = [start_s, *(s for s in self._steps_s if start_s < s < end_s), end_s]
        parts = ((b - a) * self.sensors_w((a + b) / 2) for a, b in itertools.pairwise(edges))
        return math.fsum(parts) / (end_s - start_s)

    def series(self) -> PowerSeries:
        starts_s, durations_s, powers_w = [], [], []
        now_s = 0.0
        while now_s < SECONDS - 1.1:
            duration_s = 1.0 + self._random.uniform(0.0005, 0.006)
            starts_s.append(BEGAN_S + now_s)
            durations_s.append(duration_s)
            powers_w.append(self._mean_w(now_s, now_s + duration_s))
            now_s += duration_s
        return PowerSeries(
            processor="made-up",
            sensors=("fake 1",),
            domains=("cpu-0", "dram-0"),
            starts_s=tuple(starts_s),
            durations_s=tuple(durations_s),
            powers_w=tuple(powers_w),
        )

    def log(self, *, start_s: float = -60.0, end_s: float = SECONDS + 60.0, gaps: float = 0.0) -> WallLog:
        moments = [start_s + self._random.random() + i for i in range(int(end_s - start_s))]
        kept = sorted(moment for moment in moments if self._random.random() >= gaps)
        shown = (self._gain * self.wall_w(now) + self._random.gauss(0, self._noise_w) for now in kept)
        return WallLog(tuple(BEGAN_S + now * (1 + self._drift) + OFFSET_S for now in kept), tuple(shown))

    def coverage(self) -> float:
        cells = [(i + 0.5) / 10 for i in range(int(10 * SECONDS))]
        return math.fsum(map(self.sensors_w, cells)) / math.fsum(map(self.wall_w, cells))


def found(truth: Truth, log: WallLog | None = None) -> Calibration:
    series, log = truth.series(), log or truth.log()
    return fit(series, log, clock_offset(series.starts_s, series.durations_s, series.powers_w, log), created="then")


def test_base_slope_coverage_and_offset_of_a_known_machine_are_found() -> None:
    calibration = found(Truth())

    assert calibration.slope == pytest.approx(1 / EFFICIENCY, rel=0.01)
    assert calibration.base_w == pytest.approx(BASE_W / EFFICIENCY, rel=0.03)
    assert calibration.coverage_low < Truth().coverage() < calibration.coverage_high
    assert calibration.offset_s == pytest.approx(OFFSET_S, abs=0.2)
    assert 0.5 < calibration.residual_w < 1.5
    assert (calibration.low_w, calibration.high_w) == pytest.approx((40, 100))
    assert calibration.holds_for(processor="made-up", domains=["dram-0", "cpu-0"])
    assert not calibration.holds_for(processor="made-up", domains=["cpu-0"])


@pytest.mark.parametrize(
    ("truth", "gaps"),
    [(Truth(1, noise_w=10), 0.0), (Truth(2, drift=1e-4), 0.0), (Truth(3), 0.1), (Truth(4, warming_w=10), 0.0)],
    ids=["noise", "a clock that runs fast", "gaps", "fans that speed up"],
)
def test_the_offset_survives_what_meters_and_machines_do(truth: Truth, gaps: float) -> None:
    calibration = found(truth, truth.log(gaps=gaps))

    assert calibration.offset_s == pytest.approx(OFFSET_S, abs=0.3)
    assert calibration.coverage_low < truth.coverage() < calibration.coverage_high


def test_the_offset_is_within_a_fifth_of_a_second_and_its_uncertainty_is_honest() -> None:
    errors = []
    for seed in range(20):
        series, log = Truth(seed).series(), Truth(seed + 1000).log()
        offset = clock_offset(series.starts_s, series.durations_s, series.powers_w, log)
        errors.append((offset.seconds - OFFSET_S, offset.standard_uncertainty_s))

    assert statistics.median(abs(error) for error, _ in errors) < 0.1
    assert sum(abs(error) < 0.2 for error, _ in errors) >= 19
    assert statistics.fmean((error / uncertainty) ** 2 for error, uncertainty in errors) < 2


def test_intervals_of_coverage_and_wall_energy_hold_the_truth_95_times_of_100() -> None:
    covered = energies = 0
    draws = 200
    series, coverage = Truth().series(), Truth().coverage()
    for seed in range(draws):
        gain = random.Random(seed + 10_000).gauss(1, WALL_GAIN)
        calibration = fit(series, Truth(seed, gain=gain).log(), ClockOffset(OFFSET_S, 0.05, 0.99), created="then")
        covered += calibration.coverage_low < coverage < calibration.coverage_high
        value_j, uncertainty_j = wall_energy(calibration, 700.0, 10.0)
        energies += abs(value_j - (300 + 700) / EFFICIENCY) < 1.96 * uncertainty_j

    # Fewer than 183 of 200 happen once in a hundred times where the chance is 95 %.
    assert covered >= 183
    assert energies >= 183


def test_what_a_machine_draws_whatever_it_does_is_scaled_by_time_and_the_rest_by_energy() -> None:
    calibration = found(Truth())

    rest_j, _ = wall_energy(calibration, 400.0, 10.0)
    load_j, uncertainty_j = wall_energy(calibration, 1000.0, 10.0)

    assert rest_j == pytest.approx(700 / EFFICIENCY, rel=0.02)
    assert load_j - rest_j == pytest.approx(600 / EFFICIENCY, rel=0.02)
    assert 0.01 < uncertainty_j / load_j < 0.03


@pytest.mark.parametrize("power_w", [5.0, 140.0])
def test_power_outside_twice_the_measured_range_is_refused(power_w: float) -> None:
    calibration = found(Truth())

    wall_energy(calibration, 125.0, 1.0)
    with pytest.raises(UsageError, match=rf"40 to 100 W and says nothing of {power_w:g} W"):
        wall_energy(calibration, power_w * 10, 10)


def test_a_log_that_does_not_cover_the_time_is_refused_with_the_times_that_are_missing() -> None:
    truth = Truth()
    with pytest.raises(UsageError, match=r"covers \d\d% of the measured time. Missing.*: 2026-\d\d-\d\d .* UTC to"):
        found(truth, truth.log(end_s=200))

    series, log = truth.series(), truth.log(gaps=0.1)
    assert len(paired(series, log, ClockOffset(OFFSET_S, 0.1, 0.99))) == len(series.powers_w)


def test_a_load_that_did_not_vary_gives_no_line() -> None:
    truth = Truth()
    series, offset = truth.series(), ClockOffset(OFFSET_S, 0.05, 0.99)
    still = dataclasses.replace(series, powers_w=(60.0,) * len(series.powers_w))
    with pytest.raises(UsageError, match="the same power all the time"):
        fit(still, truth.log(), offset)

    noise = random.Random(5)
    blind = dataclasses.replace(series, powers_w=tuple(60 + noise.gauss(0, 0.1) for _ in series.powers_w))
    with pytest.raises(UsageError, match=r"does not follow|are too few"):
        fit(blind, truth.log(), offset)

    short = dataclasses.replace(
        series, starts_s=series.starts_s[:20], durations_s=series.durations_s[:20], powers_w=series.powers_w[:20]
    )
    with pytest.raises(UsageError, match="too few for a calibration"):
        fit(short, truth.log(), offset)


# ---- files -----------------------------------------------------------------------------------------------------------


def test_a_calibration_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    calibration = found(Truth())
    path = tmp_path / "new" / "calibration.json"
    assert load(path) is None

    save(calibration, path)

    assert load(path) == calibration
    assert [entry.name for entry in path.parent.iterdir()] == ["calibration.json"]


def test_it_is_kept_where_the_system_keeps_configuration(tmp_path: Path) -> None:
    assert calibration_path({"XDG_CONFIG_HOME": str(tmp_path)}) == tmp_path / "joulemark" / "calibration.json"
    assert calibration_path({"XDG_CONFIG_HOME": "here"}) == calibration_path({})
    assert calibration_path({}) == Path.home() / ".config" / "joulemark" / "calibration.json"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{", DamagedRecord),
        ("[]", DamagedRecord),
        ('{"schema": "joulemark/run/1"}', DamagedRecord),
        ('{"schema": "joulemark/calibration/2"}', NewerSchema),
        ('{"schema": "joulemark/calibration/1", "slope": 1}', DamagedRecord),
    ],
)
def test_a_damaged_or_newer_file_is_named_and_not_used(tmp_path: Path, text: str, error: type[JoulemarkError]) -> None:
    path = tmp_path / "calibration.json"
    path.write_text(text)
    with pytest.raises(error):
        load(path)


@pytest.mark.parametrize("name", ["slope", "processor", "sensors", "points"])
def test_a_value_of_another_kind_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / "calibration.json"
    save(found(Truth()), path)
    path.write_text(json.dumps({**json.loads(path.read_text()), name: None}))
    with pytest.raises(DamagedRecord, match=f"no valid {name}"):
        load(path)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputNotWritable, match="Choose another place"):
        save(found(Truth()), tmp_path / "file" / "calibration.json")


# ---- the verb --------------------------------------------------------------------------------------------------------


def constant(power_w: float) -> SimulatedSensor:
    return SimulatedSensor.constant({"cpu-0": power_w}, gain=0.02)


def test_windows_follow_each_other_while_load_comes_and_goes() -> None:
    started: list[float] = []

    def busy(seconds: float) -> list[subprocess.Popen[bytes]]:
        started.append(seconds)
        return []

    with Meter([constant(50.0)]) as meter:
        series = verb.measure_series(meter, 0.4, busy=busy, window_s=0.02, phases_s=(0.05, 0.06))

    assert series.powers_w == pytest.approx([50.0] * len(series.powers_w), rel=0.02)
    assert 5 <= len(series.powers_w) <= 20
    gaps = [b - a for a, b in zip(series.ends_s, series.starts_s[1:], strict=False)]
    assert max(map(abs, gaps)) < 0.05
    assert started
    assert all(0.05 <= seconds <= 0.06 for seconds in started)
    assert series.domains == ("cpu-0",)


def test_a_window_that_lacks_a_domain_is_left_out_and_without_any_other_there_is_no_series() -> None:
    memory = SimulatedSensor.constant({"dram-0": 5.0})
    lost = SimulatedSensor([dataclasses.replace(device, faults=[Lost(0.0)]) for device in memory.devices])

    with Meter([constant(50.0), lost]) as meter, pytest.raises(UsageError, match="a power of cpu-0, dram-0; joulemark"):
        verb.measure_series(meter, 0.05, busy=None, window_s=0.01)


def test_workers_end_with_the_measurement() -> None:
    workers: list[subprocess.Popen[bytes]] = []

    def busy(seconds: float) -> list[subprocess.Popen[bytes]]:
        workers.append(subprocess.Popen(["sleep", "60"]))
        return workers[-1:]

    with Meter([constant(50.0)]) as meter:
        verb.measure_series(meter, 0.1, busy=busy, window_s=0.01, phases_s=(0.02, 0.03))

    assert workers
    assert all(worker.returncode is not None for worker in workers)


def test_a_series_comes_back_from_its_file_and_a_wrong_one_is_named(tmp_path: Path) -> None:
    series, path = Truth().series(), tmp_path / "plug.sensors.csv"

    verb.write_series(series, path)
    read = verb.read_series(path)

    assert read.starts_s == pytest.approx(series.starts_s, abs=1e-5)
    assert read.powers_w == pytest.approx(series.powers_w, abs=1e-5)
    assert (read.processor, read.sensors, read.domains) == ("made-up", ("fake 1",), ("cpu-0", "dram-0"))

    path.write_text(path.read_text() + "1,2\n")
    with pytest.raises(UsageError, match=r"line \d+: '1,2' does not fit"):
        verb.read_series(path)
    path.write_text("time,power\n1,2\n")
    with pytest.raises(UsageError, match="no series of joulemark calibrate"):
        verb.read_series(path)
    with pytest.raises(UsageError, match="No such file"):
        verb.read_series(tmp_path / "nothing")


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    app.callback()(lambda: None)
    verb.register(app)
    return app


def files(folder: Path) -> tuple[str, str]:
    """Write the log and the series of a known machine; give their names."""
    truth = Truth()
    log = truth.log()
    rows = (f"{t:.3f},{p:.2f}\n" for t, p in zip(log.times_s, log.powers_w, strict=True))
    (folder / "plug.csv").write_text("epoch,power_w\n" + "".join(rows))
    verb.write_series(truth.series(), folder / "plug.sensors.csv")
    return str(folder / "plug.csv"), str(folder / "plug.sensors.csv")


def test_the_verb_says_what_it_found_and_keeps_it(
    app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    log, series = files(tmp_path)

    result = CliRunner().invoke(app, ["calibrate", "--wall", log, "--series", series], catch_exceptions=False)

    assert "The sensors saw 6" in result.stdout
    assert "behind ours" in result.stdout
    assert "cpu-0, dram-0 on made-up" in result.stdout
    kept = load(calibration_path())
    assert kept is not None
    assert kept.slope == pytest.approx(1 / EFFICIENCY, rel=0.01)


def test_the_verb_prints_json_for_programs(app: typer.Typer, tmp_path: Path) -> None:
    log, series = files(tmp_path)
    words = ["calibrate", "--wall", log, "--series", series, "--json", "--accuracy", "1"]
    result = CliRunner().invoke(app, [*words, "--save", str(tmp_path / "here.json")], catch_exceptions=False)

    report = json.loads(result.stdout)

    assert report["coverage_low"] < Truth().coverage() < report["coverage_high"]
    assert report["wall_accuracy"] == pytest.approx(0.01)
    assert report["path"] == str(tmp_path / "here.json")
    assert load(tmp_path / "here.json") is not None


@pytest.mark.parametrize(("option", "value"), [("--seconds", "5"), ("--accuracy", "0"), ("--accuracy", "90")])
def test_options_out_of_range_are_refused(app: typer.Typer, tmp_path: Path, option: str, value: str) -> None:
    log, series = files(tmp_path)
    with pytest.raises(UsageError, match=f"{option} {value} is out of range"):
        CliRunner().invoke(app, ["calibrate", "--wall", log, "--series", series, option, value], catch_exceptions=False)


def test_what_was_measured_is_kept_when_there_is_no_log_yet(
    app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verb, "measure_series", lambda meter, seconds, busy: Truth().series())
    words = ["calibrate", "--wall", str(tmp_path / "plug.csv"), "--save", str(tmp_path / "c.json")]

    with pytest.raises(UsageError, match=r"--series .*plug.sensors.csv"):
        CliRunner().invoke(app, words, catch_exceptions=False)

    assert verb.read_series(tmp_path / "plug.sensors.csv").domains == ("cpu-0", "dram-0")
