"""Do 95 % intervals hold the truth in 95 % of cases? Simulated runs whose truth is known.

A sensor shows the truth times a gain that is drawn once a session, log-normally with the standard deviation that its
`Accuracy` states; a model's coefficients err by a mix as well, once a workload. Trials scatter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pytest

from joulemark.boundary import Component
from joulemark.figures import Figure, ratio, total
from joulemark.readings import Accuracy, DomainEnergy, DomainRecord, Machine, WindowRecord, energy_figure
from joulemark.records import RUN_SCHEMA, Protocol, Run, Trial, WorkloadRecord
from joulemark.records.energy import energy_per_unit

RUNS = 1_000  # 0.7 % of standard error on a coverage of 95 %
TOLERANCE = 0.02
UNITS = 20


@dataclass(frozen=True)
class Device:
    """A domain and its truth.

    Attributes:
        energy_j: true energy of one unit of work.
        scatter: relative standard deviation of a trial.
    """

    name: str
    component: str
    gain: float
    energy_j: float
    scatter: float = 0.02
    mix: float = 0.0
    kind: Literal["measured", "modelled"] = "measured"

    @property
    def record(self) -> DomainRecord:
        return DomainRecord(
            name=self.name,
            components=(Component(self.component),),
            sensor="simulated",
            kind=self.kind,
            accuracy=Accuracy(gain=self.gain, mix=self.mix),
        )


GPU = Device("gpu-0", "gpu", 0.05 / 1.96, 40.0)
SECOND_GPU = Device("gpu-1", "gpu", 0.05 / 1.96, 25.0)
PACKAGE = Device("cpu-0", "cpu", 0.05 / 1.96, 12.0, scatter=0.04)
MEMORY = Device("dram-0", "dram", 0.20 / 1.96, 5.0, scatter=0.01)
CPU_MODEL = Device("cpu", "cpu", 0.61, 30.0, scatter=0.03, mix=0.15, kind="modelled")
MEMORY_MODEL = Device("dram", "dram", 0.60, 4.0, scatter=0.0, mix=0.15, kind="modelled")

MACHINES: Mapping[str, Sequence[Device]] = {
    "one GPU": (GPU,),
    "one noisy GPU": (Device("gpu-0", "gpu", 0.01, 40.0, scatter=0.10),),
    "GPU, package and memory": (GPU, PACKAGE, MEMORY),
    "two GPUs": (GPU, SECOND_GPU),
    "a load model": (CPU_MODEL,),
    "load and memory models": (CPU_MODEL, MEMORY_MODEL),
}

# What the first-order interval value * exp(±k u / value) does not manage, because only a part of the value is unsure.
GPU_AND_MODEL = (GPU, CPU_MODEL)


def windows(name: str, energies_j: Mapping[str, float], start_s: float = 0.0) -> WindowRecord:
    readings = tuple(DomainEnergy(domain=d, energy_j=e) for d, e in energies_j.items())
    return WindowRecord(label=name, start_s=start_s, duration_s=2.0, energies=readings)


def simulate(
    rng: np.random.Generator,
    devices: Sequence[Device],
    gains: Mapping[str, float],
    *,
    work: float = 1.0,
    workload: str = "a",
    session: str = "s",
) -> Run:
    """Measure one workload whose unit takes `work` times the devices' energy, in 5 to 12 trials."""
    mixes = {d.name: math.exp(rng.normal(0, d.mix)) for d in devices}
    trials = [
        Trial(
            window=windows(
                f"trial {i + 1}",
                {
                    d.name: UNITS
                    * work
                    * d.energy_j
                    * gains[d.name]
                    * mixes[d.name]
                    * (1 + d.scatter * rng.standard_normal())
                    for d in devices
                },
                start_s=3.0 * i,
            ),
            units=UNITS,
        )
        for i in range(rng.integers(5, 13))
    ]
    return Run(
        schema=RUN_SCHEMA,
        id=f"{session}/{workload}",
        session=session,
        suite="simulated",
        created="2026-01-01T00:00:00+00:00",
        status="complete",
        machine=Machine(processor="simulated", cpus=1, memory_bytes=1, system="simulated", virtual=False),
        software={},
        workload=WorkloadRecord(
            key=workload,
            task="simulated",
            task_title="Simulated",
            unit="image",
            model=workload,
            model_title=workload,
            backend="simulated",
            settings={},
            inputs=workload,
            inputs_sha256="0" * 64,
            items=1,
        ),
        protocol=Protocol(
            trial_s=2, min_trials=5, max_trials=12, precision=0.02, budget_s=60, idle_s=1, warm_up_s=1, seed=0
        ),
        domains=tuple(d.record for d in devices),
        trials=tuple(trials),
    )


def draw_gains(rng: np.random.Generator, devices: Sequence[Device]) -> dict[str, float]:
    return {d.name: math.exp(rng.normal(0, d.gain)) for d in devices}


def holds(figure: Figure, truth: float) -> bool:
    return figure.low <= truth <= figure.high


def relative_width(figure: Figure) -> float:
    return (figure.high - figure.low) / 2 / figure.value


EVERY_MACHINE = [
    *(pytest.param(devices, id=name) for name, devices in MACHINES.items()),
    pytest.param(GPU_AND_MODEL, id="a GPU beside a load model"),
]


@pytest.mark.parametrize("devices", EVERY_MACHINE)
def test_the_interval_of_a_run_holds_the_truth_in_95_of_100_cases(devices: Sequence[Device]) -> None:
    rng = np.random.default_rng(20260101)
    truth_j = math.fsum(d.energy_j for d in devices)

    held = [holds(energy_per_unit(simulate(rng, devices, draw_gains(rng, devices))), truth_j) for _ in range(RUNS)]

    assert np.mean(held) == pytest.approx(0.95, abs=TOLERANCE)


@pytest.mark.parametrize("devices", EVERY_MACHINE)
def test_the_ratio_of_two_runs_on_one_machine_holds_the_truth_in_95_of_100_cases(devices: Sequence[Device]) -> None:
    rng = np.random.default_rng(20260102)
    held = []
    for _ in range(RUNS):
        gains = draw_gains(rng, devices)
        one = energy_per_unit(simulate(rng, devices, gains, work=3.1, workload="a"))
        other = energy_per_unit(simulate(rng, devices, gains, work=1.0, workload="b"))
        held.append(holds(ratio(one, other), 3.1))

    assert np.mean(held) == pytest.approx(0.95, abs=TOLERANCE)


@pytest.mark.parametrize(
    ("devices", "others"),
    [
        pytest.param(
            (GPU, PACKAGE, MEMORY),
            (replace(GPU, energy_j=10.0), replace(PACKAGE, energy_j=20.0), replace(MEMORY, energy_j=6.0)),
            id="measured",
        ),
        pytest.param(
            GPU_AND_MODEL,
            (replace(GPU, energy_j=80.0), CPU_MODEL),
            id="a GPU beside a load model",
        ),
    ],
)
def test_so_does_the_ratio_of_runs_that_load_the_devices_differently(
    devices: Sequence[Device], others: Sequence[Device]
) -> None:
    rng = np.random.default_rng(20260105)
    truth = math.fsum(d.energy_j for d in devices) / math.fsum(d.energy_j for d in others)
    held = []
    for _ in range(RUNS):
        gains = draw_gains(rng, devices)
        one = energy_per_unit(simulate(rng, devices, gains, workload="a"))
        other = energy_per_unit(simulate(rng, others, gains, workload="b"))
        held.append(holds(ratio(one, other), truth))

    assert np.mean(held) == pytest.approx(0.95, abs=TOLERANCE)


@pytest.mark.parametrize("gain", [0.10, 0.60])
def test_the_ratio_of_two_runs_is_far_surer_than_either(gain: float) -> None:
    """What both runs share cancels: what is left is their scatter, however little is known of the sensor."""
    devices = (Device("cpu-0", "cpu", gain, 12.0, scatter=0.02),)
    rng = np.random.default_rng(20260103)
    for _ in range(200):
        gains = draw_gains(rng, devices)
        one = energy_per_unit(simulate(rng, devices, gains, work=3.1, workload="a"))
        other = energy_per_unit(simulate(rng, devices, gains, workload="b"))
        surer = relative_width(ratio(one, other))

        assert surer < 0.06  # scatter alone: 2 % a trial, 5 trials or more, in both
        assert surer < 0.4 * min(relative_width(one), relative_width(other))


def test_runs_of_two_sessions_share_no_sensor_and_their_ratio_is_as_unsure_as_both() -> None:
    rng = np.random.default_rng(20260104)
    held, widths = [], []
    for i in range(RUNS):
        one, other = (
            energy_per_unit(
                simulate(
                    rng, (PACKAGE, MEMORY), draw_gains(rng, (PACKAGE, MEMORY)), workload=name, session=f"{name}{i}"
                )
            )
            for name in ("a", "b")
        )
        held.append(holds(ratio(one, other), 1.0))
        widths.append(relative_width(ratio(one, other)) / max(relative_width(one), relative_width(other)))

    assert np.mean(held) == pytest.approx(0.95, abs=TOLERANCE)
    assert 1.1 < np.median(widths) < 1.7


@pytest.mark.parametrize("kind", ["measured", "modelled"])
def test_a_sum_over_one_sensor_is_not_made_falsely_sure(kind: Literal["measured", "modelled"]) -> None:
    """Hundred windows of one sensor err together: their sum is as unsure as each of them."""
    device = Device("gpu-0", "gpu", 0.2, 40.0, kind=kind)
    figures = [
        energy_figure(windows(str(i), {"gpu-0": 10.0 + i}, start_s=3.0 * i), [device.record], session="s", workload="w")
        for i in range(100)
    ]

    for some in (figures[:2], figures):
        added = total(some)
        assert added.value == pytest.approx(math.fsum(f.value for f in some))
        assert relative_width(added) == pytest.approx(relative_width(figures[0]), rel=1e-9)


def test_a_sum_over_two_sensors_is_surer_than_each() -> None:
    devices = [Device(f"gpu-{i}", "gpu", 0.2, 40.0) for i in range(2)]
    both = energy_figure(
        windows("w", {"gpu-0": 40.0, "gpu-1": 40.0}), [d.record for d in devices], session="s", workload="w"
    )
    one = energy_figure(windows("w", {"gpu-0": 40.0}), [devices[0].record], session="s", workload="w")

    assert both.standard_uncertainty / both.value == pytest.approx(one.standard_uncertainty / one.value / math.sqrt(2))
