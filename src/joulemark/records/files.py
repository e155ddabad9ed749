"""Records to and from JSON files.

Writing is atomic (a new file, flushed to disk, takes the old one's place), so that a reader, a full disk or a power
cut never meets half a record.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from joulemark.errors import DamagedRecord, NewerSchema, OutputNotWritable, RecordError
from joulemark.records.schema import MEASUREMENT_SCHEMA, RUN_SCHEMA, Measurement, Run

__all__ = ["is_run", "load_measurement", "load_run", "load_runs", "save"]

_SCHEMA_NAME = re.compile(r"joulemark/([a-z-]+)/(\d+)")
_T = TypeVar("_T")


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


def load_run(path: Path) -> Run:
    """Read a run record.

    Raises:
        RecordError: if there is no such file, or it is another kind of record.
        NewerSchema: if a later Joulemark wrote it.
        DamagedRecord: if it is cut off or does not fit its schema; the message says where.
    """
    return _load(path, Run, RUN_SCHEMA)


def load_measurement(path: Path) -> Measurement:
    """Read what ``joulemark measure --save`` wrote; raises as `load_run`."""
    return _load(path, Measurement, MEASUREMENT_SCHEMA)


def load_runs(path: Path) -> tuple[Run, ...]:
    """Read one run record, or all of a folder, in the order of their file names.

    Raises:
        RecordError: if there is no such path, or no run record in it; see also `load_run`.
    """
    if path.is_dir():
        runs = tuple(load_run(file) for file in _run_files(path))
        if not runs:
            raise RecordError(f"{path} holds no run records (*.json of schema {RUN_SCHEMA}).")
        return runs
    return (load_run(path),)


def _run_files(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.glob("*.json")):
        if not file.name.startswith(".") and not _of_another_kind(file):
            yield file


def is_run(file: Path) -> bool:
    """Whether a file says that it is the record of a run."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Header).schema.startswith("joulemark/run/")
    except (OSError, msgspec.DecodeError):
        return False


def _of_another_kind(file: Path) -> bool:
    """Whether a file is whole and no run record: a saved report, a measurement. A damaged file may be one."""
    try:
        content = msgspec.json.decode(file.read_bytes())
    except (OSError, msgspec.DecodeError):
        return False
    schema = content.get("schema") if isinstance(content, dict) else None
    return not (isinstance(schema, str) and schema.startswith("joulemark/run/"))


def _load(path: Path, kind: type[_T], schema: str) -> _T:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise RecordError(f"There is no record {path}.") from error
    except OSError as error:
        raise RecordError(f"Cannot read {path}: {error.strerror or error}.") from error
    try:
        found = msgspec.json.decode(data, type=_Header).schema
    except msgspec.DecodeError as error:
        raise DamagedRecord(
            f"{path} is no whole record: {error}. It may have been cut off; move it away and "
            "measure it again, or restore it from a copy."
        ) from error
    _check_schema(path, found, schema)
    try:
        record = msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise DamagedRecord(f"{path} does not fit the schema {schema}: {error}.") from error
    if unknown := _unknown(msgspec.json.decode(data), msgspec.to_builtins(record)):
        raise DamagedRecord(f"{path} does not fit the schema {schema}: Object contains unknown field {unknown}.")
    return record


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
