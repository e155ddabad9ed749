"""Simulated machines with a known truth, to test meters, sensors and whatever uses them.

::

    from joulemark.testing import SimulatedMachine, presets, square

    machine = SimulatedMachine([presets.a100("gpu-0", square(60, 400, 1.7))])
    meter = joulemark.Meter(machine.sensors, clock_ns=machine.clock)
    with meter.measure() as window:
        machine.advance(10)
    window.energy.value, machine.total_truth_j(0, 10)

Standard library only; everything is the same from run to run.
"""

from joulemark.testing import presets
from joulemark.testing.clock import SimulatedClock
from joulemark.testing.devices import SimulatedDevice, random_like
from joulemark.testing.faults import Denied, Fault, Garbage, Lost, Missing, Raises, Reset, Slow, Stuck
from joulemark.testing.machine import SimulatedMachine, SimulatedSensor
from joulemark.testing.presets import TRACES
from joulemark.testing.traces import Trace, bursts, constant, noise, ramp, recorded, square, steps

__all__ = [
    "TRACES",
    "Denied",
    "Fault",
    "Garbage",
    "Lost",
    "Missing",
    "Raises",
    "Reset",
    "SimulatedClock",
    "SimulatedDevice",
    "SimulatedMachine",
    "SimulatedSensor",
    "Slow",
    "Stuck",
    "Trace",
    "bursts",
    "constant",
    "noise",
    "presets",
    "ramp",
    "random_like",
    "recorded",
    "square",
    "steps",
]
