"""Every error that Joulemark raises on purpose, and the exit code that the command line gives it.

JoulemarkError                       1
├── UsageError                       2   an argument, a setting or a file that people write is wrong
│   ├── UnknownName                      a suite, model, task, place or format that does not exist
│   └── BadQuantity                      a number without a unit, or with one that does not fit
├── MissingExtra                     3   an optional package is not installed
├── RecordError                      4   a record cannot be read
│   ├── NewerSchema                      it was written by a later Joulemark
│   └── DamagedRecord                    it is cut off, or does not fit its schema
├── WeightsError                     5   a model's weights cannot be used
│   ├── WeightsMissing                   the package or the file is not there
│   └── WeightsMismatch                  the file is not the one that was pinned
├── SensorError                      6   a sensor cannot be read
│   ├── SensorUnavailable                not there, or gone
│   ├── PermissionDenied                 there, but not for this user
│   ├── CounterReset                     a counter ran backwards by more than a wrap explains
│   └── AbsurdReading                    more than the device can draw
├── WorkloadFailed                   7   a model did not load, or its answers are no answers
├── OutputNotWritable                8   the results folder or the file cannot be written
└── Regression                       9   `compare --fail-above`: a workload costs more, lost its figure, or is gone

Interrupted by Ctrl-C: 130, as shells have it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "AbsurdReading",
    "BadQuantity",
    "CounterReset",
    "DamagedRecord",
    "JoulemarkError",
    "MissingExtra",
    "NewerSchema",
    "OutputNotWritable",
    "PermissionDenied",
    "RecordError",
    "Regression",
    "SensorError",
    "SensorUnavailable",
    "UnknownName",
    "UsageError",
    "WeightsError",
    "WeightsMismatch",
    "WeightsMissing",
    "WorkloadFailed",
]

INTERRUPTED = 130
"""Exit code after Ctrl-C (128 + SIGINT)."""


class JoulemarkError(Exception):
    """Base of all errors raised on purpose; `str()` is a full sentence for the user."""

    exit_code = 1


class UsageError(JoulemarkError):
    """An argument, a setting or a file that people write is wrong."""

    exit_code = 2


class UnknownName(UsageError):
    """A name that does not exist, with the nearest ones that do."""

    def __init__(self, kind: str, name: str, known: Iterable[str], *, hint: str = "") -> None:
        self.kind, self.name, self.known = kind, name, tuple(known)
        near = difflib.get_close_matches(name.casefold(), {k.casefold(): k for k in self.known}, n=3)
        spelled = {k.casefold(): k for k in self.known}
        self.near = tuple(spelled[n] for n in near)
        if self.near:
            advice = f"Did you mean {' or '.join(repr(n) for n in self.near)}?"
        elif len(self.known) <= 20:
            advice = f"Known: {', '.join(self.known)}."
        else:
            advice = ""
        super().__init__(" ".join(filter(None, [f"Unknown {kind} {name!r}.", advice, hint])))


class BadQuantity(UsageError):
    """A quantity that cannot be understood, or whose unit does not fit."""


class MissingExtra(JoulemarkError):
    """An optional package is missing; the message says which extra brings it."""

    exit_code = 3

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        self.package, self.extra = package, extra
        super().__init__(f"{purpose} needs {package!r}. Install it with: pip install 'joulemark[{extra}]'")


class RecordError(JoulemarkError):
    """A record cannot be read."""

    exit_code = 4


class NewerSchema(RecordError):
    """The record was written by a later Joulemark."""


class DamagedRecord(RecordError):
    """The record is cut off, is no JSON, or does not fit its schema."""


class WeightsError(JoulemarkError):
    """A model's weights cannot be used."""

    exit_code = 5


class WeightsMissing(WeightsError):
    """The package that ships the weights, or the file in it, is not there."""


class WeightsMismatch(WeightsError):
    """The weights have another SHA-256 than the pinned one."""


class SensorError(JoulemarkError):
    """A sensor cannot be read."""

    exit_code = 6


class SensorUnavailable(SensorError):
    """The sensor is not there, or has gone."""


class PermissionDenied(SensorError):
    """The sensor is there but this user may not read it; `remedy` is a command that would change that."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        self.remedy = remedy
        super().__init__(message)


class CounterReset(SensorError):
    """A counter ran backwards by more than a wrap explains."""


class AbsurdReading(SensorError):
    """A sensor shows more than its device can draw, or less than nothing."""


class WorkloadFailed(JoulemarkError):
    """A model did not load, or gave no valid answer."""

    exit_code = 7


class OutputNotWritable(JoulemarkError):
    """The results folder or the output file cannot be written."""

    exit_code = 8


class Regression(JoulemarkError):
    """A workload costs more than `compare --fail-above` allows, has lost its figure, or is gone."""

    exit_code = 9
