"""Frozen records: what was measured, raw, as it goes into files.

Records hold no prompts, host or user names, serial numbers or UUIDs unless they were asked for. Summaries are derived
from records and never stored instead of them: `joulemark.records.energy` turns windows into figures.
"""

from joulemark.records.energy import (
    energies_per_trial,
    energy_per_unit,
    measurement_energy,
    phase_energy,
    trial_energy,
)
from joulemark.records.files import Folder, LeftOut, load_measurement, load_run, load_runs, read_folder, save
from joulemark.records.schema import (
    MEASUREMENT_SCHEMA,
    RUN_SCHEMA,
    Latency,
    Measurement,
    Protocol,
    QualityRecord,
    Run,
    Status,
    Trial,
    WeightFile,
    WorkloadRecord,
)

__all__ = [
    "MEASUREMENT_SCHEMA",
    "RUN_SCHEMA",
    "Folder",
    "Latency",
    "LeftOut",
    "Measurement",
    "Protocol",
    "QualityRecord",
    "Run",
    "Status",
    "Trial",
    "WeightFile",
    "WorkloadRecord",
    "energies_per_trial",
    "energy_per_unit",
    "load_measurement",
    "load_run",
    "load_runs",
    "measurement_energy",
    "phase_energy",
    "read_folder",
    "save",
    "trial_energy",
]
