"""Frozen records: what was measured, raw, as it goes into files.

Records hold no prompts, host or user names, serial numbers or UUIDs unless they were asked for. Summaries are derived
from records and never stored instead of them: `joulemark.records.energy` turns windows into figures.
"""

from joulemark.records.energy import (
    energies_per_trial,
    energy_figure,
    energy_per_unit,
    measurement_energy,
    phase_energy,
    power_figure,
)
from joulemark.records.files import load_measurement, load_run, load_runs, save
from joulemark.records.schema import (
    MEASUREMENT_SCHEMA,
    RUN_SCHEMA,
    Accuracy,
    DomainEnergy,
    DomainRecord,
    Instrument,
    Machine,
    Measurement,
    Protocol,
    QualityRecord,
    Refusal,
    Run,
    SourceRecord,
    Status,
    Trial,
    WeightFile,
    WindowRecord,
    WorkloadRecord,
)

__all__ = [
    "MEASUREMENT_SCHEMA",
    "RUN_SCHEMA",
    "Accuracy",
    "DomainEnergy",
    "DomainRecord",
    "Instrument",
    "Machine",
    "Measurement",
    "Protocol",
    "QualityRecord",
    "Refusal",
    "Run",
    "SourceRecord",
    "Status",
    "Trial",
    "WeightFile",
    "WindowRecord",
    "WorkloadRecord",
    "energies_per_trial",
    "energy_figure",
    "energy_per_unit",
    "load_measurement",
    "load_run",
    "load_runs",
    "measurement_energy",
    "phase_energy",
    "power_figure",
    "save",
]
