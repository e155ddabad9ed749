"""Records to and from files: JSON when they are done, a journal of lines while they last (`joulemark.records.journal`).

Writing is atomic (a new file, flushed to disk, takes the old one's place), so that a reader, a full disk or a power
cut never meets half a record. One damaged file does not hide the others of its folder: `read_folder` names it.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from joulemark.errors import DamagedRecord, NewerSchema, OutputNotWritable, RecordError
from joulemark.readings import WindowRecord
from joulemark.records.schema import MEASUREMENT_SCHEMA, RUN_SCHEMA, Measurement, Run, Trial

__all__ = [
    "Folder",
    "LeftOut",
    "is_run",
    "load_measurement",
    "load_run",
    "load_runs",
    "read_folder",
    "save",
    "with_event",
]

JOURNAL_SUFFIX = ".jsonl"
_SCHEMA_NAME = re.compile(r"joulemark/([a-z-]+)/(\d+)")
_T = TypeVar("_T")


_FIELDS = {field.name: field.type for field in msgspec.structs.fields(Run)}
_FIXED = {"schema", "id", "trials", "phases"}
"""What no line of a journal may set: the identity of the run, and what is only added to."""


class _Header(msgspec.Struct):
    schema: str


def save(record: Run | Measurement, path: Path) -> None:
    """Write a record as JSON, atomically and through to the disk.

    Raises:
        OutputNotWritable: if the folder or the file cannot be written; what stood there before is still there.
    """
    data = msgspec.json.format(msgspec.json.encode(record), indent=1)
    write_atomically(path, data + b"\n")


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file in full or not at all.

    Raises:
        OutputNotWritable: if it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise OutputNotWritable(
            f"Cannot write {path}: {error.strerror or error}. Free some space or choose another place."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Put the new name itself on the disk, where the system lets a folder be synchronised."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that should be the record of a run and cannot be read, and why."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Folder:
    """What a folder holds: the runs that can be read, in the order of their file names, and what is left out."""

    runs: tuple[Run, ...]
    left_out: tuple[LeftOut, ...] = ()


def load_run(path: Path) -> Run:
    """Read the record of a run, or the journal (``.jsonl``) of one that has not ended.

    Raises:
        RecordError: if there is no such file, or it is another kind of record.
        NewerSchema: if a later Joulemark wrote it.
        DamagedRecord: if it is cut off or does not fit its schema; the message says where.
    """
    data = read_bytes(path)
    if path.suffix == JOURNAL_SUFFIX:
        return decode_journal(path, data)[0]
    return _decode(path, data, Run, RUN_SCHEMA)


def load_measurement(path: Path) -> Measurement:
    """Read what ``joulemark measure --save`` wrote; raises as `load_run`."""
    return _decode(path, read_bytes(path), Measurement, MEASUREMENT_SCHEMA)


def load_runs(path: Path, *, on_error: Literal["raise", "skip"] = "raise") -> tuple[Run, ...]:
    """Read one record, or all of a folder, in the order of their file names.

    Args:
        path: a record, a journal, or a folder of them.
        on_error: ``skip`` leaves out the files of a folder that cannot be read; `read_folder` names them besides.

    Raises:
        RecordError: if there is no such path, or no run record in it; see also `load_run`.
    """
    if not path.is_dir():
        return (load_run(path),)
    folder = read_folder(path, on_error=on_error)
    if not folder.runs:
        left_out = "".join(f" Left out: {one.reason}" for one in folder.left_out)
        raise RecordError(f"{path} holds no run records (*.json of schema {RUN_SCHEMA}).{left_out}")
    return folder.runs


def read_folder(path: Path, *, on_error: Literal["raise", "skip"] = "skip") -> Folder:
    """Read all runs of a folder (not of those in it), journals of runs that have not ended included.

    Other JSON files, such as saved reports, are passed over.

    Raises:
        RecordError: with ``on_error="raise"``, for the first file that cannot be read.
    """
    found: dict[Path, Run] = {}
    left_out: list[LeftOut] = []
    for file in sorted(path.iterdir()):
        if not may_be_run(file):
            continue
        try:
            data = read_bytes(file)
            if file.suffix != JOURNAL_SUFFIX and _of_another_kind(data):
                continue
            found[file] = load_run(file)
        except RecordError as error:
            if on_error == "raise":
                raise
            left_out.append(LeftOut(file, str(error)))
    stale = superseded((file, run.id, run.status) for file, run in found.items())
    return Folder(tuple(run for file, run in found.items() if file not in stale), tuple(left_out))


def may_be_run(file: Path) -> bool:
    """Whether a file's name is that of a record or a journal."""
    return file.suffix in {".json", JOURNAL_SUFFIX} and not file.name.startswith(".")


def superseded(found: Iterable[tuple[Path, str, str]]) -> frozenset[Path]:
    """Tell which of some files (path, id, status) say less than another of the same run.

    Where a record and a journal have one name, the journal holds the later trials; unless it is a leftover of the very
    run that has ended.
    """
    runs = {path: (run_id, status) for path, run_id, status in found}
    stale = set()
    for journal, (run_id, _) in runs.items():
        record = journal.with_suffix(".json")
        if journal.suffix == JOURNAL_SUFFIX and record in runs:
            ended = runs[record][0] == run_id and runs[record][1] in {"complete", "failed"}
            stale.add(journal if ended else record)
    return frozenset(stale)


def is_run(file: Path) -> bool:
    """Whether a file says that it is the record of a run."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Header).schema.startswith("joulemark/run/")
    except (OSError, msgspec.DecodeError):
        return False


def _of_another_kind(data: bytes) -> bool:
    """Whether a file is whole and no run record: a saved report, a measurement. A damaged one may be a run."""
    try:
        content = msgspec.json.decode(data)
    except msgspec.DecodeError:
        return False
    schema = content.get("schema") if isinstance(content, dict) else None
    return not (isinstance(schema, str) and schema.startswith("joulemark/run/"))


def read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise RecordError(f"There is no record {path}.") from error
    except OSError as error:
        raise RecordError(f"Cannot read {path}: {error.strerror or error}.") from error


def _decode(path: Path, data: bytes, kind: type[_T], schema: str, where: str = "") -> _T:
    try:
        found = msgspec.json.decode(data, type=_Header).schema
    except msgspec.DecodeError as error:
        raise DamagedRecord(
            f"{path}{where} is no whole record: {error}. It may have been cut off; move it away and "
            "measure it again, or restore it from a copy."
        ) from error
    _check_schema(path, found, schema)
    try:
        record = msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise DamagedRecord(f"{path}{where} does not fit the schema {schema}: {error}.") from error
    if unknown := _unknown(msgspec.json.decode(data), msgspec.to_builtins(record)):
        raise DamagedRecord(f"{path}{where} does not fit the schema {schema}: Object contains unknown field {unknown}.")
    return record


def decode_journal(path: Path, data: bytes) -> tuple[Run, int]:
    """Give the run so far, and the length of the journal's whole lines in bytes.

    A line that does not end was being written when power, process or disk gave out; it is passed over.
    """
    whole = data[: data.rfind(b"\n") + 1]
    header, *events = whole.splitlines() or [b""]
    run = _decode(path, header, Run, RUN_SCHEMA, ", line 1,")
    for number, line in enumerate(events, start=2):
        try:
            run = with_event(run, msgspec.json.decode(line, type=dict[str, msgspec.Raw]))
        except (msgspec.DecodeError, ValueError) as error:
            raise DamagedRecord(
                f"{path}, line {number}, is damaged: {error}. Restore it from a copy, or move it away and measure "
                "again."
            ) from error
    return run, len(whole)


def with_event(run: Run, event: dict[str, msgspec.Raw]) -> Run:
    """Add what one line of a journal says.

    ``{"trial": ...}`` adds a trial, ``{"phase": name, "window": ...}`` the window of a phase; any other names are
    fields of the run, which it sets.

    Raises:
        ValueError: (`msgspec.ValidationError` is one) if a name or a value does not fit, or a trial is there already.
    """
    changes: dict[str, object] = {}
    for name, raw in event.items():
        if name == "trial":
            trial = _strictly(raw, Trial, name)
            if trial.id and any(trial.id == one.id for one in run.trials):
                raise ValueError(f"trial {trial.id} is there twice")
            changes["trials"] = (*run.trials, trial)
        elif name == "phase" and event.keys() == {"phase", "window"}:
            phase = msgspec.json.decode(raw, type=str)
            # A run that was gone on with keeps the window of its first time.
            changes["phases"] = {phase: _strictly(event["window"], WindowRecord, "window"), **run.phases}
        elif name in _FIELDS and name not in _FIXED:
            changes[name] = _strictly(raw, _FIELDS[name], name)
        elif name != "window" or "phase" not in event:
            raise ValueError(f"unknown field `{name}`")
    return msgspec.structs.replace(run, **changes)


def _strictly(raw: msgspec.Raw, kind: Any, name: str) -> Any:
    """Decode a value; what its type has no place for is an error, not passed over."""
    value = msgspec.json.decode(raw, type=kind)
    if unknown := _unknown(msgspec.json.decode(raw), msgspec.to_builtins(value), name):
        raise ValueError(f"Object contains unknown field {unknown}")
    return value


def _unknown(found: object, understood: object, place: str = "$") -> str:
    """Name the first field of a file that its record has no place for; dataclasses pass them over when decoded."""
    if isinstance(found, dict) and isinstance(understood, dict):
        if more := sorted(found.keys() - understood.keys()):
            return f"`{more[0]}` - at `{place}`"
        pairs = [(found[name], understood[name], f"{place}.{name}") for name in found]
    elif isinstance(found, list) and isinstance(understood, list):
        pairs = [(f, u, f"{place}[{i}]") for i, (f, u) in enumerate(zip(found, understood, strict=True))]
    else:
        return ""
    return next(filter(None, (_unknown(*pair) for pair in pairs)), "")


def _check_schema(path: Path, found: str, wanted: str) -> None:
    if found == wanted:
        return
    match, mine = _SCHEMA_NAME.fullmatch(found), _SCHEMA_NAME.fullmatch(wanted)
    assert mine is not None  # noqa: S101 - our own constant
    if match is None or match[1] != mine[1]:
        raise RecordError(f"{path} has the schema {found!r}; expected {wanted!r}.")
    if int(match[2]) > int(mine[2]):
        raise NewerSchema(
            f"{path} has the schema {found!r}, which is newer than {wanted!r}. "
            "Upgrade with: pip install --upgrade joulemark"
        )
    raise RecordError(f"{path} has the unknown schema {found!r}; expected {wanted!r}.")
