"""Power over time, as Parquet: what happened inside the windows of a run.

A trace is a folder ``KEY.trace`` beside its record, of parts that are each written whole: whatever kills the program,
all parts that are there can be read, and at most the samples since the last one are lost. Its size is bounded as that
of a rotating log: when there are more than `max_samples`, the oldest part goes, and the metadata of the later ones say
how many samples have gone.

The energy of a window is in its record and exact; a trace shows its shape. Needs pyarrow (the extra ``records``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from joulemark.errors import DamagedRecord, MissingExtra, OutputNotWritable
from joulemark.records.files import write_atomically

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["TRACE_COLUMNS", "TRACE_SCHEMA", "TraceWriter", "load_trace", "trace_folder", "trace_parts"]

TRACE_SCHEMA: Final = "joulemark/trace/1"
MAX_SAMPLES = 2_000_000
"""Samples kept of a run: some 17 MB. An assumption of ours: eight hours of seven domains every tenth of a second."""
PART_SAMPLES = 65_536
"""Samples a part: some 0.5 MB."""
_METADATA = b"joulemark"

TRACE_COLUMNS: Final = {
    "run_id": ("varchar", "the run's id"),
    "phase": ("varchar", "``query`` for trials, else the name of the phase"),
    "trial": ("integer", "number of the trial, from 1; null in other phases"),
    "domain": ("varchar", "what was read, such as ``gpu-0``"),
    "time_s": ("double", "seconds of monotonic time, on the clock of the windows' ``start_s``"),
    "power_w": ("float", "power in W"),
}
"""Columns of a trace: type in SQL, meaning and unit."""


def trace_folder(record: Path) -> Path:
    """Name the folder of the trace of a record (``KEY.json``) or its journal (``KEY.jsonl``)."""
    return record.with_suffix(".trace")


def trace_parts(folder: Path) -> list[Path]:
    """List the parts of a trace in the order in which they were written; none if there is no trace."""
    return sorted(folder.glob("*.parquet"))


class TraceWriter:
    """Writes the trace of one run.

    Attributes:
        removed: how many samples have gone because there were too many.
    """

    def __init__(
        self, path: Path, run_id: str, *, max_samples: int = MAX_SAMPLES, part_samples: int = PART_SAMPLES
    ) -> None:
        """Go on with the trace of this run; parts of another run under the same name go, for its record does too.

        Args:
            path: of the run's record or journal, or the folder ``KEY.trace`` itself.
            run_id: id of the run.
            max_samples: how many are kept at most, at least one part.
            part_samples: after how many a part is written.

        Raises:
            MissingExtra: if pyarrow is not installed.
            OutputNotWritable: if an old part cannot be removed.
        """
        self._pa = _pyarrow()
        self._folder = trace_folder(path)
        self._run_id = run_id
        self._part_samples = part_samples
        self._max_samples = max(max_samples, part_samples)
        self._columns: tuple[list[str], list[int | None], list[str], list[float], list[float]] = ([], [], [], [], [])
        self._parts: list[tuple[Path, int]] = []
        self.removed = 0
        self._number = 0
        for part in trace_parts(self._folder):
            said = _said(part)
            if said is None or said[0]["run_id"] != run_id:
                _remove(part)
            else:
                self._parts.append((part, said[1]))
                self._number, self.removed = said[0]["part"], said[0]["removed_samples"]

    def append(self, phase: str, trial: int | None, samples: Iterable[tuple[str, float, float]]) -> None:
        """Add the samples of a window; a part is written when enough have come together.

        Args:
            phase: ``query`` for trials.
            trial: its number, from 1; None or 0 for other phases.
            samples: domain, time in s on the clock of the window's ``start_s``, power in W.

        Raises:
            OutputNotWritable: if a part cannot be written; its samples wait for the next time.
        """
        phases, trials, domains, times_s, powers_w = self._columns
        for domain, time_s, power_w in samples:
            phases.append(phase)
            trials.append(trial or None)
            domains.append(domain)
            times_s.append(time_s)
            powers_w.append(power_w)
        if len(phases) >= self._part_samples:
            self.flush()

    def flush(self) -> None:
        """Write what has come together as a part; raises as `append`."""
        count = len(self._columns[0])
        if not count:
            return
        while self._parts and sum(n for _, n in self._parts) + count > self._max_samples:
            part, samples = self._parts[0]
            _remove(part)
            del self._parts[0]
            self.removed += samples
        path = self._folder / f"{self._number + 1:06d}.parquet"
        write_atomically(path, self._encoded(self._number + 1))
        self._number += 1
        self._parts.append((path, count))
        for column in self._columns:
            column.clear()

    def close(self) -> None:
        """Write what is left; raises as `append`."""
        self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _encoded(self, number: int) -> bytes:
        pa = self._pa
        from pyarrow import parquet

        phases, trials, domains, times_s, powers_w = self._columns
        names = pa.dictionary(pa.int32(), pa.string())
        said = {
            "schema": TRACE_SCHEMA,
            "run_id": self._run_id,
            "part": number,
            "bounded_by": "removing the oldest parts",
            "removed_samples": self.removed,
        }
        table = pa.table(
            {
                "run_id": pa.DictionaryArray.from_arrays(pa.array([0] * len(phases), pa.int32()), [self._run_id]),
                "phase": pa.array(phases, names),
                "trial": pa.array(trials, pa.int32()),
                "domain": pa.array(domains, names),
                "time_s": pa.array(times_s, pa.float64()),
                "power_w": pa.array(powers_w, pa.float32()),
            },
            metadata={_METADATA: json.dumps(said).encode()},
        )
        sink = pa.BufferOutputStream()
        parquet.write_table(table, sink, compression="zstd")
        data: bytes = sink.getvalue().to_pybytes()
        return data


def load_trace(path: Path) -> pa.Table:
    """Read the trace of a run as a table of the columns in `TRACE_COLUMNS`; empty if there is none.

    Args:
        path: of the run's record or journal, or the folder ``KEY.trace``.

    Raises:
        MissingExtra: if pyarrow is not installed.
        DamagedRecord: if a part cannot be read.
    """
    pa = _pyarrow()
    from pyarrow import parquet

    names = pa.dictionary(pa.int32(), pa.string())
    kinds = {"varchar": names, "integer": pa.int32(), "double": pa.float64(), "float": pa.float32()}
    schema = pa.schema([(name, kinds[kind]) for name, (kind, _) in TRACE_COLUMNS.items()])
    tables = [schema.empty_table()]
    for part in trace_parts(trace_folder(path)):
        try:
            tables.append(parquet.read_table(part).replace_schema_metadata(None).cast(schema))
        except (OSError, pa.ArrowException) as error:
            raise DamagedRecord(f"{part} is no whole trace: {error}. Move it away.") from error
    return pa.concat_tables(tables)


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise MissingExtra("pyarrow", "records", "A power trace") from error
    return pyarrow


def _said(part: Path) -> tuple[dict[str, Any], int] | None:
    """Give what a part says of itself, and its samples; None for one that is not ours or not whole."""
    import pyarrow
    from pyarrow import parquet

    try:
        metadata = parquet.read_metadata(part)
        said = json.loads((metadata.metadata or {})[_METADATA])
        return ({name: said[name] for name in ("run_id", "part", "removed_samples")}, metadata.num_rows)
    except (OSError, ValueError, KeyError, pyarrow.ArrowException):
        return None


def _remove(part: Path) -> None:
    try:
        part.unlink()
    except OSError as error:
        raise OutputNotWritable(f"Cannot remove {part}: {error.strerror or error}.") from error
