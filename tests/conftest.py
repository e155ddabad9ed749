"""What all tests share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from joulemark.boundary import Component
from joulemark.figures import Source
from joulemark.readings import Accuracy, DomainEnergy, DomainRecord, Machine, WindowRecord
from joulemark.records import RUN_SCHEMA, Protocol, Run, Trial, WorkloadRecord

# A property's first example may be slow on a cold machine; the number of examples bounds the time instead.
settings.register_profile("suite", deadline=None, max_examples=100)
settings.load_profile("suite")

MakeRun = Callable[..., Run]


@pytest.fixture
def test_data() -> Path:
    """The folder of published data, or a skip that says what is missing."""
    folder = os.environ.get("JOULEMARK_TEST_DATA")
    if not folder:
        pytest.skip("JOULEMARK_TEST_DATA is not set: it names the folder with the published data sets")
    return Path(folder)


def make_run(
    *,
    energies_j: tuple[float, ...] = (10.0, 10.1, 9.9, 10.05, 9.95, 10.0),
    units: int = 5,
    task: str = "text-classification",
    model: str = "model-a",
    session: str = "s1",
    gain: float = 0.4,
    mix: float = 0.15,
    kind: str = "modelled",
    duration_s: float = 1.5,
    failure: str | None = None,
    unit: str = "text",
    settings_: dict[str, int | float | str | bool] | None = None,
    lost: str | None = None,
) -> Run:
    """Build a run over two domains: cpu takes the given energies, dram half as much."""
    source = Source(name="test", citation="made for a test")

    def domain(name: str, components: tuple[str, ...]) -> DomainRecord:
        return DomainRecord(
            name=name,
            components=tuple(Component(c) for c in components),
            sensor="fake 1",
            kind="measured" if kind == "measured" else "modelled",
            accuracy=Accuracy(gain=gain, mix=mix, sources=(source,)),
            parameters={},
        )

    def trial(i: int, energy_j: float) -> Trial:
        dram = (
            DomainEnergy(domain="dram", unavailable=lost)
            if lost is not None and i == len(energies_j) - 1
            else DomainEnergy(domain="dram", energy_j=energy_j / 2)
        )
        window = WindowRecord(
            label=f"trial {i + 1}",
            start_s=2.0 * i,
            duration_s=duration_s,
            energies=(DomainEnergy(domain="cpu", energy_j=energy_j), dram),
        )
        return Trial(window=window, units=units)

    chosen = "".join(f"--{k}={v}" for k, v in (settings_ or {}).items())
    return Run(
        schema=RUN_SCHEMA,
        id=f"{task}/{model}{chosen}/{session}",
        session=session,
        suite="made-up",
        created="2026-01-01T00:00:00+00:00",
        status="failed" if failure else "complete",
        machine=Machine(processor="made-up", cpus=2, memory_bytes=8_000_000_000, system="Linux", virtual=True),
        software={"python": "3.11"},
        workload=WorkloadRecord(
            key=f"{task}--{model}{chosen}",
            task=task,
            task_title=task.replace("-", " ").capitalize(),
            unit=unit,
            model=model,
            model_title=model.title(),
            backend="made:Up",
            settings=settings_ or {},
            inputs="made-up/1",
            inputs_sha256="0" * 64,
            items=units,
            chosen=settings_ or {},
        ),
        protocol=Protocol(
            trial_s=1, min_trials=5, max_trials=9, precision=0.02, budget_s=9, idle_s=1, warm_up_s=1, seed=0
        ),
        domains=(domain("cpu", ("cpu",)), domain("dram", ("dram",))),
        phases={
            "idle-before": WindowRecord(
                label="idle-before",
                start_s=0,
                duration_s=1,
                energies=(DomainEnergy(domain="cpu", energy_j=1.0), DomainEnergy(domain="dram", energy_j=1.0)),
            )
        },
        trials=tuple(trial(i, e) for i, e in enumerate(energies_j)) if not failure else (),
        failure=failure,
    )


@pytest.fixture(name="make_run")
def make_run_fixture() -> MakeRun:
    """A factory of runs, see `make_run`."""
    return make_run
