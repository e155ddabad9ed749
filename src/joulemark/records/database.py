"""A folder of runs as a database: views for SQL over records, journals and traces. Needs duckdb and pyarrow.

Records are read once: what follows from them (`_row`) is kept in an index, one Parquet file in the user's cache, and
a file is read again when its size or time of change differs. The records stay what counts; the index may be deleted at
any time.

The database is read-only and sees nothing but the folder's traces: no other file, no network, no extension.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from joulemark.errors import MissingExtra, OutputNotWritable, RecordError, UsageError
from joulemark.figures import Figure
from joulemark.readings import WindowRecord
from joulemark.records.energy import energy_per_unit, phase_energy, trial_energy
from joulemark.records.files import JOURNAL_SUFFIX, LeftOut, is_run, load_run, may_be_run, superseded, write_atomically
from joulemark.records.schema import RUN_SCHEMA, Run, Trial
from joulemark.records.traces import TRACE_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["MEMORY", "VIEWS", "Answer", "Database"]

MEMORY = "1.5GB"
"""What a query may take by default; the program and its libraries take some 0.2 GB besides."""
INDEX_VERSION = 1
"""Raised whenever a row of the index would come out otherwise."""
KEPT_FROM = 200
"""Files from which on an index is kept; fewer are read faster than anyone notices (0.3 s)."""
POOL_FROM = 1000
"""Files to be read from which on it pays to read them in several processes."""

_FIGURE = {
    "energy_j": ("double", "energy in J; null where it is unavailable, never 0 for a failure"),
    "low_j": ("double", "lower end of its 95 % interval, J"),
    "high_j": ("double", "upper end of its 95 % interval, J"),
    "boundary": ("varchar", "what it covers"),
    "evidence": ("varchar", "the weakest kind in it: measured, modelled, assumed, unavailable"),
}
_RUN = {"run_id": ("varchar", "the run's id")}
_WINDOW = {
    "start_s": ("double", "begin of its window, seconds of monotonic time"),
    "duration_s": ("double", "length of its window, s"),
}

VIEWS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "runs": {
        **_RUN,
        "file": ("varchar", "its record or journal, within the folder"),
        "session": ("varchar", "runs of one session have the same sensors, which err together"),
        "suite": ("varchar", "name of the suite"),
        "created": ("timestamp", "when it began, UTC"),
        "status": ("varchar", "running, complete, interrupted, failed"),
        "failure": ("varchar", "why there is no figure"),
        "key": ("varchar", "tells the workload from others of its suite"),
        "task": ("varchar", "what was asked"),
        "model": ("varchar", "who answered"),
        "backend": ("varchar", "what ran the model"),
        "precision": ("varchar", "number format of the weights"),
        "twin": ("boolean", "whether its weights are random"),
        "settings": ("varchar", "all settings, as a JSON object: ``settings->>'batch_size'``"),
        "inputs": ("varchar", "id of the inputs"),
        "unit": ("varchar", "unit of work"),
        "protocol": ("varchar", "name of the protocol"),
        "processor": ("varchar", "the machine's processor"),
        "gpus": ("varchar", "its GPUs, with commas between them"),
        "trials": ("bigint", "number of trials"),
        "units": ("bigint", "units of work that were answered validly, over all trials"),
        **{
            name: (kind, f"{meaning}; of one unit of work" if name == "energy_j" else meaning)
            for name, (kind, meaning) in _FIGURE.items()
        },
        "quality_metric": ("varchar", "name of the quality metric"),
        "quality": ("double", "its value"),
    },
    "trials": {
        **_RUN,
        "trial": ("integer", "number in its run, from 1"),
        "trial_id": ("varchar", "its id"),
        "block": ("integer", "number of the worker process; 0 in old files"),
        **_WINDOW,
        "units": ("bigint", "units of work that were answered validly"),
        "invalid": ("bigint", "answers that were no answers"),
        "tokens_in": ("bigint", "tokens read"),
        "tokens_out": ("bigint", "tokens written"),
        "cpu_s": ("double", "CPU time of the worker, s"),
        **_FIGURE,
    },
    "phases": {**_RUN, "phase": ("varchar", "load, warm-up, idle-before, idle-after ..."), **_WINDOW, **_FIGURE},
    "energies": {
        **_RUN,
        "phase": ("varchar", "``query`` for trials"),
        "trial": ("integer", "number of the trial; null in other phases"),
        "domain": ("varchar", "what was read, such as ``gpu-0``"),
        "components": ("varchar", "what it covers, with commas between them: its boundary"),
        "kind": ("varchar", "evidence: measured, modelled, assumed"),
        "counted": ("boolean", "whether it enters totals; others contain or are part of those that do"),
        "energy_j": ("double", "reading in J; null if there is none"),
        "unavailable": ("varchar", "why there is none"),
        "gain": ("double", "relative standard uncertainty that all readings of the sensor share"),
        "mix": ("double", "further one that the readings of a workload share"),
        "edges_j": ("double", "standard uncertainty from the window's edges, J; null if only the period is known"),
        "sampling_j": ("double", "standard uncertainty from what a gauge did not show, J"),
    },
    "traces": TRACE_COLUMNS,
    "left_out": {"file": ("varchar", "a file that cannot be read"), "reason": ("varchar", "why")},
}
"""The views: column, type in SQL, meaning and unit."""

_NESTED = ("trials", "phases", "energies")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query gives: names and types of the columns, and rows as they come."""

    columns: tuple[tuple[str, str], ...]
    rows: Iterator[tuple[Any, ...]]


class Database:
    """The runs below a folder, ready for queries.

    Attributes:
        left_out: files that cannot be read.
    """

    def __init__(self, folder: Path, *, memory: str = MEMORY) -> None:
        """Read what is new and set up the views.

        Args:
            folder: where the records are; folders in it are searched too.
            memory: what a query may take, such as ``1.5GB``.

        Raises:
            MissingExtra: if duckdb or pyarrow is not installed.
            RecordError: if there is no such folder, or no record below it.
            UsageError: if `memory` is no amount of memory.
        """
        duckdb, self._pa = _libraries()
        self._error = duckdb.Error
        self._memory = memory
        records, parts = _files(folder)
        index = _indexed(folder, records, self._pa)
        parts, damaged = _whole(parts)
        self.left_out = tuple(
            LeftOut(Path(row["file"]), row["reason"])
            for row in index.select(["file", "reason"]).to_pylist()
            if row["reason"] is not None
        ) + tuple(LeftOut(part.relative_to(folder), "It is no whole Parquet file.") for part in damaged)
        runs = _current(index, self._pa)
        if not runs.num_rows and not self.left_out:
            raise RecordError(f"{folder} holds no run records (*.json of schema {RUN_SCHEMA}).")
        self._connection = duckdb.connect()
        self._spill = tempfile.TemporaryDirectory(prefix="joulemark-", ignore_cleanup_errors=True)
        try:
            self._set_up(runs, parts)
        except BaseException:
            self.close()
            raise

    def _set_up(self, runs: pa.Table, parts: Sequence[Path]) -> None:
        pa, connection = self._pa, self._connection
        connection.register("_runs", runs)
        left_out = {"file": [str(one.path) for one in self.left_out], "reason": [one.reason for one in self.left_out]}
        connection.register("_left_out", pa.table(left_out, schema=_arrow_schema(pa, "left_out")))
        connection.execute(f"CREATE VIEW runs AS SELECT {', '.join(VIEWS['runs'])} FROM _runs")  # noqa: S608 - ours
        for view in _NESTED:
            columns = ", ".join(name for name in VIEWS[view] if name != "run_id")
            connection.execute(
                f"CREATE VIEW {view} AS SELECT run_id, {columns} FROM "  # noqa: S608 - ours
                f"(SELECT run_id, unnest(_{view}, recursive := true) FROM _runs)"
            )
        connection.execute("CREATE VIEW left_out AS SELECT * FROM _left_out")
        names = "[" + ", ".join(_quoted(part) for part in parts) + "]"
        if parts:
            columns = ", ".join(TRACE_COLUMNS)
            source = f"SELECT {columns} FROM read_parquet({names}, hive_partitioning = false)"  # noqa: S608 - quoted
        else:
            columns = ", ".join(f"NULL::{kind} AS {name}" for name, (kind, _) in TRACE_COLUMNS.items())
            source = f"SELECT {columns} WHERE false"
        connection.execute(f"CREATE VIEW traces AS {source}")
        settings = {
            "memory_limit": "'" + self._memory.replace("'", "") + "'",
            "temp_directory": _quoted(Path(self._spill.name)),
            # What has no order need not be kept in the order of its files, which takes memory.
            "preserve_insertion_order": "false",
            "allowed_paths": names,
            "enable_external_access": "false",
            "python_enable_replacements": "false",
            "lock_configuration": "true",
        }
        for name, value in settings.items():
            try:
                connection.execute(f"SET {name} = {value}")
            except self._error as error:
                if name != "memory_limit":
                    raise
                raise UsageError(f"{self._memory!r} is no amount of memory; write for example 4GB.") from error

    def query(self, sql: str) -> Answer:
        """Ask one question.

        Raises:
            UsageError: if it is no single SELECT, is wrong (the message says where), or takes too much memory.
        """
        with self._named():
            statements = self._connection.extract_statements(sql)
        kinds = [statement.type.name for statement in statements]
        if len(kinds) != 1 or kinds[0] not in {"SELECT", "EXPLAIN"}:
            what = " and ".join(kinds) if kinds else "nothing"
            raise UsageError(f"A query is one SELECT (or WITH ... SELECT); this is {what}. Records cannot be changed.")
        with self._named():
            result = self._connection.execute(statements[0])
        columns = tuple((str(column[0]), str(column[1])) for column in result.description)
        return Answer(columns, self._rows())

    def _rows(self) -> Iterator[tuple[Any, ...]]:
        while True:
            with self._named():
                rows = self._connection.fetchmany(10_000)
            if not rows:
                return
            yield from rows

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except self._error as error:
            text = str(error)
            if "Out of Memory" in text:
                raise UsageError(
                    f"The query takes more than {self._memory} of memory. Give it more (--memory 4GB), ask for less at "
                    "a time (WHERE run_id = ...), or, for quantiles of very many groups, use quantile_cont, which "
                    "takes less there than approx_quantile."
                ) from error
            raise UsageError(_explained(text)) from error

    def close(self) -> None:
        """Let go of memory and temporary files."""
        self._connection.close()
        self._spill.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _explained(text: str) -> str:
    """Give DuckDB's message as a sentence with the position: it marks the place below the line that it quotes."""
    said, _, quoted = text.partition("\n\nLINE ")
    said = " ".join(said.split())
    if not quoted:
        return f"The query failed: {said}"
    number, _, rest = quoted.partition(": ")
    line, _, marks = rest.partition("\n")
    column = len(marks) - len(marks.lstrip(" ")) - len(f"LINE {number}: ")
    near = line[column : column + 30].strip()
    # Of a long line only a part is quoted, from which the place in the whole cannot be told.
    where = f"line {number}" if line.startswith("...") else f"line {number}, character {column + 1}"
    return f"The query is wrong at {where}{f' ({near!r})' if near else ''}: {said}"


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _libraries() -> tuple[Any, Any]:
    try:
        import duckdb
    except ImportError as error:
        raise MissingExtra("duckdb", "records", "joulemark query") from error
    try:
        import pyarrow
    except ImportError as error:
        raise MissingExtra("pyarrow", "records", "joulemark query") from error
    return duckdb, pyarrow


@dataclass(frozen=True, slots=True)
class _File:
    """A file that may be a record: its path within the folder, and what tells that it has changed."""

    name: str
    size: int
    mtime_ns: int


def _files(folder: Path) -> tuple[list[_File], list[Path]]:
    """Find records and journals, and parts of traces; what is hidden is passed over."""
    if not folder.is_dir():
        raise RecordError(f"There is no folder {folder}.")
    records, parts = [], []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        here = Path(place)
        if here.suffix == ".trace":
            parts += [here / name for name in sorted(names) if name.endswith(".parquet") and not name.startswith(".")]
            continue
        for name in sorted(names):
            if may_be_run(here / name):
                with contextlib.suppress(OSError):  # a journal that has just become a record
                    state = (here / name).stat()
                    records.append(_File(str((here / name).relative_to(folder)), state.st_size, state.st_mtime_ns))
    return records, parts


def _whole(parts: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Split parts into those that begin and end as Parquet files do, and damaged ones."""
    whole: list[Path] = []
    damaged: list[Path] = []
    for part in parts:
        (whole if _is_parquet(part) else damaged).append(part)
    return whole, damaged


def _is_parquet(part: Path) -> bool:
    try:
        with part.open("rb") as stream:
            first = stream.read(4)
            stream.seek(-8, os.SEEK_END)
            return first == b"PAR1" and stream.read(8)[4:] == b"PAR1"
    except OSError:
        return False


def _indexed(folder: Path, files: Sequence[_File], pa: Any) -> pa.Table:
    """Give the index of some files: rows of the kept one where they hold, the others made anew."""
    from pyarrow import parquet

    schema = _index_schema(pa)
    path = _index_path(folder)
    known: dict[_File, int] = {}
    kept = schema.empty_table()
    if len(files) >= KEPT_FROM:
        with contextlib.suppress(OSError, ValueError, pa.ArrowException):
            found = parquet.read_table(path)
            if found.schema.equals(schema, check_metadata=True):
                kept = found
                columns = (kept.column(name).to_pylist() for name in ("file", "size", "mtime_ns"))
                known = {_File(*key): at for at, key in enumerate(zip(*columns, strict=True))}
    new = [file for file in files if file not in known]
    if not new and kept.num_rows == len(files):
        return kept
    old = kept.take(pa.array([known[file] for file in files if file in known], pa.int64()))
    index = pa.concat_tables([old, _table(_read(folder, new), schema, pa)])
    if len(files) >= KEPT_FROM:
        with contextlib.suppress(OutputNotWritable):  # the next query reads all of them again
            sink = pa.BufferOutputStream()
            parquet.write_table(index, sink, compression="zstd")
            write_atomically(path, sink.getvalue().to_pybytes())
    return index


def _index_path(folder: Path) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    return cache / "joulemark" / f"index-{name}.parquet"


def _read(folder: Path, files: Sequence[_File]) -> list[dict[str, Any]]:
    work = [(folder, file) for file in files]
    processes = os.cpu_count() or 1
    if len(work) < POOL_FROM or processes < 2:
        return [_row(*one) for one in work]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, 8), mp_context=context) as pool:
        return list(pool.map(_row_of, work, chunksize=200))


def _row_of(work: tuple[Path, _File]) -> dict[str, Any]:
    return _row(*work)


def _row(folder: Path, file: _File) -> dict[str, Any]:
    """Give what the index holds of a file: a run, why it cannot be read, or neither if it is no record."""
    row: dict[str, Any] = {"file": file.name, "size": file.size, "mtime_ns": file.mtime_ns}
    path = folder / file.name
    try:
        return row | _run_row(load_run(path))
    except RecordError as error:
        if path.suffix != JOURNAL_SUFFIX and _is_other_json(path):
            return row
        return row | {"reason": str(error)}


def _is_other_json(path: Path) -> bool:
    """Whether a file that is no readable run is whole JSON of another kind."""
    try:
        json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return not is_run(path)


def _run_row(run: Run) -> dict[str, Any]:
    workload = run.workload
    return {
        "run_id": run.id,
        "session": run.session,
        "suite": run.suite,
        "created": _utc(run.created),
        "status": run.status,
        "failure": run.failure,
        "key": workload.key,
        "task": workload.task,
        "model": workload.model,
        "backend": workload.backend,
        "precision": workload.precision,
        "twin": workload.twin,
        "settings": json.dumps(workload.settings),
        "inputs": workload.inputs,
        "unit": workload.unit,
        "protocol": run.protocol.name,
        "processor": run.machine.processor,
        "gpus": ", ".join(run.machine.gpus),
        "trials": len(run.trials),
        "units": sum(trial.units for trial in run.trials),
        **_figure_row(energy_per_unit(run)),
        "quality_metric": None if run.quality is None else run.quality.metric,
        "quality": None if run.quality is None else run.quality.value,
        "_trials": [_trial_row(run, number, trial) for number, trial in enumerate(run.trials, start=1)],
        "_phases": [
            {"phase": name, **_window_row(window), **_figure_row(phase_energy(run, name))}
            for name, window in run.phases.items()
        ],
        "_energies": [
            row
            for phase, number, window in (
                *((name, None, window) for name, window in run.phases.items()),
                *(("query", number, trial.window) for number, trial in enumerate(run.trials, start=1)),
            )
            for row in _energy_rows(run, phase, number, window)
        ],
    }


def _utc(created: str) -> datetime | None:
    try:
        return datetime.fromisoformat(created).astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None


def _figure_row(figure: Figure | None) -> dict[str, Any]:
    assert figure is not None  # noqa: S101 - asked for of phases that are there
    known = figure.available
    return {
        "energy_j": figure.value if known else None,
        "low_j": figure.low if known else None,
        "high_j": figure.high if known else None,
        "boundary": str(figure.boundary),
        "evidence": str(figure.evidence.kind),
    }


def _window_row(window: WindowRecord) -> dict[str, Any]:
    return {"start_s": window.start_s, "duration_s": window.duration_s}


def _trial_row(run: Run, number: int, trial: Trial) -> dict[str, Any]:
    return {
        "trial": number,
        "trial_id": trial.id or f"{run.id}-{number}",
        "block": trial.block,
        **_window_row(trial.window),
        "units": trial.units,
        "invalid": trial.invalid,
        "tokens_in": trial.tokens_in,
        "tokens_out": trial.tokens_out,
        "cpu_s": trial.cpu_s,
        **_figure_row(trial_energy(run, trial)),
    }


def _energy_rows(run: Run, phase: str, trial: int | None, window: WindowRecord) -> Iterator[dict[str, Any]]:
    domains = {domain.name: domain for domain in run.domains}
    for reading in window.energies:
        domain = domains.get(reading.domain)
        if domain is not None:
            yield {
                "phase": phase,
                "trial": trial,
                "domain": reading.domain,
                "components": ", ".join(sorted(domain.components)),
                "kind": domain.kind,
                "counted": domain.counted,
                "energy_j": reading.energy_j,
                "unavailable": reading.unavailable,
                "gain": domain.accuracy.gain,
                "mix": domain.accuracy.mix,
                "edges_j": reading.edges_j,
                "sampling_j": reading.sampling_j,
            }


def _arrow_type(pa: Any, kind: str) -> Any:
    return {
        "varchar": pa.string(),
        "boolean": pa.bool_(),
        "integer": pa.int32(),
        "bigint": pa.int64(),
        "double": pa.float64(),
        "float": pa.float32(),
        "timestamp": pa.timestamp("us"),
    }[kind]


def _arrow_schema(pa: Any, view: str) -> Any:
    return pa.schema([(name, _arrow_type(pa, kind)) for name, (kind, _) in VIEWS[view].items()])


def _index_schema(pa: Any) -> Any:
    """One row a file: the columns of its run, and its trials, phases and energies as lists."""
    kinds = [("size", pa.int64()), ("mtime_ns", pa.int64()), ("reason", pa.string())]
    kinds += [(name, _arrow_type(pa, kind)) for name, (kind, _) in VIEWS["runs"].items()]
    for view in _NESTED:
        fields = [(name, _arrow_type(pa, kind)) for name, (kind, _) in VIEWS[view].items() if name != "run_id"]
        kinds.append((f"_{view}", pa.list_(pa.field("element", pa.struct(fields)))))
    return pa.schema(kinds, metadata={"joulemark": f"{metadata.version('joulemark')} index {INDEX_VERSION}"})


def _table(rows: Sequence[dict[str, Any]], schema: Any, pa: Any) -> pa.Table:
    try:
        return pa.Table.from_pylist(rows, schema=schema)
    except (pa.ArrowException, OverflowError):
        pass
    # A record may fit its schema and hold a count that no table can: it is left out, not its folder.
    tables = []
    for row in rows:
        try:
            tables.append(pa.Table.from_pylist([row], schema=schema))
        except (pa.ArrowException, OverflowError) as error:
            bare = {name: row[name] for name in ("file", "size", "mtime_ns")}
            tables.append(pa.Table.from_pylist([bare | {"reason": f"{row['file']}: {error}"}], schema=schema))
    return pa.concat_tables(tables)


def _current(index: pa.Table, pa: Any) -> pa.Table:
    """Give the rows that are runs, without those of which another file of the same run says more."""
    names = zip(*(index.column(name).to_pylist() for name in ("file", "run_id", "status")), strict=True)
    runs = [(at, Path(file), run_id, status) for at, (file, run_id, status) in enumerate(names) if run_id is not None]
    stale = superseded((file, run_id, status) for _, file, run_id, status in runs)
    return index.take(pa.array([at for at, file, _, _ in runs if file not in stale], pa.int64()))
