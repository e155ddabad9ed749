"""The journal of a run: one line a trial, on the disk before the next begins.

A run that lasts writes ``KEY.jsonl``: first its record so far, then a line for each thing that happens. When it ends,
the record ``KEY.json`` is written whole and the journal goes. Whatever kills the program, all whole lines are kept,
and `Journal.resume` goes on behind them.

The file is opened to append (O_APPEND), locked for this process, and synchronised (fsync) after each line.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from joulemark.errors import OutputNotWritable, UsageError
from joulemark.readings import WindowRecord
from joulemark.records.files import (
    JOURNAL_SUFFIX,
    decode_journal,
    load_run,
    read_bytes,
    save,
    with_event,
    write_atomically,
)
from joulemark.records.schema import Run, Status, Trial

__all__ = ["Journal"]


class Journal:
    """A run that is being written; made by `create` or `resume`.

    Attributes:
        path: the journal, ``KEY.jsonl``.
        record: where the record goes in the end, ``KEY.json``.
        run: the run so far, as it is on the disk.
    """

    def __init__(self, path: Path, run: Run, descriptor: int) -> None:
        self.path: Final = path
        self.record: Final = path.with_suffix(".json")
        self.run = run
        self._descriptor: int | None = descriptor

    @classmethod
    def create(cls, path: Path, run: Run) -> Journal:
        """Begin a journal with what is known of a run.

        Args:
            path: of the record (``KEY.json``) or of the journal (``KEY.jsonl``); the other's name follows.
            run: its record so far, trials of an earlier time included; it is ``running`` from now on.

        Raises:
            OutputNotWritable: if it cannot be written.
            UsageError: if there is a journal already.
        """
        path = path.with_suffix(JOURNAL_SUFFIX)
        if path.exists():
            raise UsageError(f"{path} holds a run that has not ended. Go on with it, or move it away.")
        run = msgspec.structs.replace(run, status="running", failure=None)
        write_atomically(path, msgspec.json.encode(run) + b"\n")
        return cls(path, run, _locked(path))

    @classmethod
    def resume(cls, path: Path) -> Journal:
        """Go on with the journal of a run, or with its record if it was interrupted.

        A last line that was not written to its end is taken away.

        Args:
            path: as for `create`.

        Raises:
            RecordError: if there is neither, or it cannot be read.
            UsageError: if only the record of a run that has ended is there, or another process is writing it.
            OutputNotWritable: if it cannot be written.
        """
        path = path.with_suffix(JOURNAL_SUFFIX)
        if not path.exists():
            run = load_run(path.with_suffix(".json"))
            if run.status in {"complete", "failed"}:
                raise UsageError(f"The run of {path.stem} has ended ({run.status}); there is nothing to go on with.")
            return cls.create(path, run)
        descriptor = _locked(path)
        try:
            run, whole = decode_journal(path, read_bytes(path))
            with _writing(path):
                os.ftruncate(descriptor, whole)
                os.fsync(descriptor)
            journal = cls(path, run, descriptor)
            if run.status != "running":
                journal.note(status="running", failure=None)
        except BaseException:
            os.close(descriptor)
            raise
        return journal

    def append_trial(self, trial: Trial) -> Trial:
        """Write a trial, through to the disk, and give it as it was written.

        One without an id gets ``RUN-N``, its number in the run.

        Raises:
            OutputNotWritable: if it cannot be written; the journal and `run` are then as they were.
            ValueError: if a trial of that id is there.
        """
        if not trial.id:
            trial = msgspec.structs.replace(trial, id=f"{self.run.id}-{len(self.run.trials) + 1}")
        self._append({"trial": trial})
        return trial

    def append_phase(self, name: str, window: WindowRecord) -> None:
        """Write the window of a phase; one that is there already stays. Raises as `append_trial`."""
        self._append({"phase": name, "window": window})

    def note(self, **fields: object) -> None:
        """Write other fields of the run, such as ``software`` or ``quality``. Raises as `append_trial`."""
        self._append(fields)

    def finish(self, status: Status, **fields: object) -> Run:
        """Write the record, whole, and take the journal away.

        Args:
            status: how the run ended.
            fields: others that are known in the end: ``failure``, ``instrument``, ``quality`` ...

        Raises:
            OutputNotWritable: if it cannot be written; the journal is still there.
        """
        run = msgspec.structs.replace(self.run, status=status, **fields)
        save(run, self.record)
        self.run = run
        with contextlib.suppress(OSError):  # a leftover of a run that has ended is passed over by readers
            self.path.unlink()
        self.close()
        return run

    def close(self) -> None:
        """Let go of the file; the journal stays and can be gone on with."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _append(self, event: dict[str, object]) -> None:
        if self._descriptor is None:
            raise ValueError(f"{self.path} is closed")
        line = msgspec.json.encode(event)
        # Read as it will be read back: what does not fit is refused before it is on the disk.
        run = with_event(self.run, msgspec.json.decode(line, type=dict[str, msgspec.Raw]))
        before = os.fstat(self._descriptor).st_size
        try:
            with _writing(self.path):
                _write_all(self._descriptor, line + b"\n")
                os.fsync(self._descriptor)
        except BaseException:
            # Half a line, or a whole one that nobody knows of, must not stay in front of the next.
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, before)
            raise
        self.run = run


def _write_all(descriptor: int, data: bytes) -> None:
    """Write to the end: on a disk that is nearly full a call writes a part, and the next says why."""
    while data:
        data = data[os.write(descriptor, data) :]


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputNotWritable(
            f"Cannot write {path}: {error.strerror or error}. What was measured so far is kept; free some space and "
            "go on with it."
        ) from error


def _locked(path: Path) -> int:
    """Open a journal to append, for this process alone; the lock goes with the process, however it ends."""
    with _writing(path):
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise UsageError(f"{path} is being written by another process.") from error
    except OSError:
        pass  # a file system without locks
    return descriptor
