"""Trials: one window over one simulated device, held against the truth.

A *cell* is a sensor, a trace, a length of window, whether the meter had been at work before, and a fault. A *trial* of
it draws a device from the sensor's stated specification (its gain, and when it is updated), which the meter is not
told, and the moment at which the window opens. No two trials share a device, so that their outcomes are independent.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from joulemark import Figure, Meter
from joulemark.testing import (
    TRACES,
    Denied,
    Fault,
    Garbage,
    Lost,
    Reset,
    SimulatedClock,
    SimulatedDevice,
    SimulatedMachine,
    Slow,
    Stuck,
    constant,
    presets,
)

__all__ = [
    "FAULTS",
    "LOCKED",
    "SENSORS",
    "TRACES_AND_CONSTANT",
    "Cell",
    "Outcome",
    "faulty",
    "grid",
    "of_figure",
    "run_all",
    "run_cell",
]

K95 = 1.959964
"""Half-width of a 95 % interval in standard uncertainties."""

SENSORS: Mapping[str, Callable[..., SimulatedDevice]] = {
    "counter 100 ms": presets.a100,
    "counter 20 ms": presets.ideal_counter,
    "gauge 20 ms": presets.p100_gauge,
    "gauge 25 of 100 ms": presets.a100_gauge,
    "gauge mean of 1 s": presets.h100_average_gauge,
    "RAPL package": presets.rapl_package,
}

TRACES_AND_CONSTANT = {**TRACES, "constant 200 W": constant(200.0)}

LOCKED = ("square 1.7 s", "bursts 5 Hz", "bursts 20 Hz", "ramp 7 s")
"""The traces that the targets name."""

State = Literal["warm", "first"]


@dataclass(frozen=True, slots=True)
class Cell:
    """What trials have in common.

    Attributes:
        sensor: a key of `SENSORS`.
        trace: a key of `TRACES_AND_CONSTANT`.
        length_s: of the window.
        state: ``first``: it is the first window of a new meter; ``warm``: there was one before.
        fault: a key of `FAULTS`.
    """

    sensor: str
    trace: str
    length_s: float
    state: State = "warm"
    fault: str = "none"

    def __str__(self) -> str:
        extra = [self.state] * (self.state != "warm") + [self.fault] * (self.fault != "none")
        return ", ".join([self.sensor, self.trace, f"{self.length_s:g} s", *extra])


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one window showed.

    Attributes:
        error: relative error of its energy, the device's gain taken out: what the meter itself does.
        wide: relative half-width of the 95 % interval as far as it is not the sensor's specification.
        held: whether the whole interval held the truth, the gain left in.
        fault: why there was no energy; empty if there was.
    """

    error: float = math.nan
    wide: float = math.nan
    held: bool = False
    fault: str = ""


Breaks = Callable[[SimulatedDevice, float, float], SimulatedDevice]
"""Gives a device that does not behave in a window between two times."""


def _with(make: Callable[[float, float], Fault | Reset], first: float = 0.3, last: float = 0.4) -> Breaks:
    """Give a fault from one part of the window to another."""

    def breaks(device: SimulatedDevice, start_s: float, end_s: float) -> SimulatedDevice:
        length_s = end_s - start_s
        return replace(device, faults=(make(start_s + first * length_s, start_s + last * length_s),))

    return breaks


def _wrapping(before_s: float | None = None) -> Breaks:
    """Let the counter wrap so long before the window closes; half-way without it."""

    def breaks(device: SimulatedDevice, start_s: float, end_s: float) -> SimulatedDevice:
        wraps_s = (start_s + end_s) / 2 if before_s is None else end_s - before_s
        flows_j = device.gain * device.trace.between_j(0.0, wraps_s)
        return replace(device, start_j=(device.domain.wrap_uj or 0) / 1e6 - flows_j)

    return breaks


FAULTS: Mapping[str, Breaks] = {
    "none": lambda device, start_s, end_s: device,
    "lost for a while": _with(Lost),
    "lost at the end": _with(lambda start_s, _: Lost(start_s)),
    "withdrawn": _with(lambda start_s, _: Denied(start_s), 0.7),
    "reset": _with(lambda start_s, _: Reset(start_s), 0.5),
    "stuck for a while": _with(Stuck),
    "slow calls": _with(lambda start_s, end_s: Slow(start_s, end_s, takes_s=0.3)),
    "garbage once": _with(lambda start_s, _: Garbage(start_s, start_s + 0.03)),
    "updates jitter": lambda device, start_s, end_s: replace(device, jitter_s=0.2 * (device.period_s or 0.0)),
    "wrap midway": _wrapping(),
    "wrap 1 ms before the end": _wrapping(1e-3),
}
"""What goes wrong in the window: from 3 to 4 tenths of it where nothing else is said."""


def run_cell(cell: Cell, trials: int, seed: int = 0) -> tuple[Outcome, ...]:
    """Give the outcomes of trials of a cell; the same ones for the same seed."""
    rng = random.Random(f"{cell} {seed}")  # noqa: S311 - no secret
    return tuple(_trial(cell, rng) for _ in range(trials))


def run_all(
    cells: Sequence[Cell], trials: int, seed: int = 0, *, processes: int = 1
) -> dict[Cell, tuple[Outcome, ...]]:
    """Give the outcomes of many cells."""
    run = partial(run_cell, trials=trials, seed=seed)
    if processes == 1:
        return {cell: run(cell) for cell in cells}
    with ProcessPoolExecutor(processes) as pool:
        return dict(zip(cells, pool.map(run, cells), strict=True))


def _trial(cell: Cell, rng: random.Random) -> Outcome:
    clock = SimulatedClock(start_s=rng.uniform(0.0, 100.0))
    before_s, pause_s = rng.uniform(0.5, 3.0), rng.uniform(0.1, 1.5)
    opens_s = clock.now_s + (before_s + pause_s if cell.state == "warm" else 0.0)
    device = _drawn(cell, rng)
    device = FAULTS[cell.fault](device, opens_s, opens_s + cell.length_s)
    machine = SimulatedMachine([device], clock=clock)
    with Meter(machine.sensors, clock_ns=clock, synchronise=False) as meter:
        if cell.state == "warm":
            with meter.measure():
                clock.advance(before_s)
            clock.advance(pause_s)
        window = meter.measure().start()
        start_s = clock.now_s
        clock.advance(cell.length_s)
        end_s = clock.now_s
        energy = window.stop().energy
    return of_figure(energy, machine.total_truth_j(start_s, end_s), device.gain)


def _drawn(cell: Cell, rng: random.Random) -> SimulatedDevice:
    """Draw a device from its specification; a counter has been running for long, so that it stands anywhere."""
    name = "cpu-0" if cell.sensor.startswith("RAPL") else "gpu-0"
    device = SENSORS[cell.sensor](name, TRACES_AND_CONSTANT[cell.trace]).drawn(rng)
    return replace(device, start_j=rng.uniform(0.0, (device.domain.wrap_uj or 1e12) / 1e6))


def of_figure(energy: Figure, truth_j: float, gain: float = 1.0) -> Outcome:
    """Hold a figure against the truth.

    Args:
        energy: with its interval.
        truth_j: what truly flowed, in joules.
        gain: by which the sensor errs.
    """
    if not energy.available:
        return Outcome(fault="; ".join(part.reason for part in energy.evidence.missing))
    own = math.sqrt(sum(e.size**2 for e in energy.errors if not e.source.startswith(("gain of", "mix of"))))
    return Outcome(
        error=energy.value / gain / truth_j - 1,
        wide=K95 * own / energy.value,
        held=energy.low <= truth_j <= energy.high,
    )


def grid(
    sensors: Iterable[str], traces: Iterable[str], lengths_s: Iterable[float], states: Iterable[State] = ("warm",)
) -> Iterator[Cell]:
    """Give every cell without a fault."""
    traces, lengths_s, states = tuple(traces), tuple(lengths_s), tuple(states)
    for sensor in sensors:
        for trace in traces:
            for length_s in lengths_s:
                yield from (Cell(sensor, trace, length_s, state) for state in states)


def faulty(traces: Iterable[str], length_s: float = 10.0) -> Iterator[Cell]:
    """Give every fault of every sensor that can have it."""
    traces = tuple(traces)
    for fault in FAULTS:
        for sensor in SENSORS:
            only = "RAPL" if fault.startswith("wrap") else "counter" if fault == "reset" else ""
            counts = sensor.startswith("RAPL") or "counter" in sensor
            if fault == "none" or (only == "RAPL" and not sensor.startswith(only)) or (only and not counts):
                continue
            yield from (Cell(sensor, trace, length_s, fault=fault) for trace in traces)
