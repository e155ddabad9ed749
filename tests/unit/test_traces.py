from __future__ import annotations

import builtins
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from joulemark.errors import DamagedRecord, MissingExtra, OutputNotWritable
from joulemark.records.traces import TraceWriter, load_trace, trace_parts

pytest.importorskip("pyarrow")


def _samples(count: int, first: int = 0) -> Iterator[tuple[str, float, float]]:
    return ((f"gpu-{i % 2}", 0.01 * i, 100.0 + i) for i in range(first, first + count))


def test_a_trace_comes_back_as_it_was(tmp_path: Path) -> None:
    with TraceWriter(tmp_path / "a.json", "run-1") as writer:
        writer.append("load", None, _samples(2))
        writer.append("query", 1, _samples(2, first=2))
    assert load_trace(tmp_path / "a.json").to_pylist() == [
        {
            "run_id": "run-1",
            "phase": "load" if i < 2 else "query",
            "trial": None if i < 2 else 1,
            "domain": f"gpu-{i % 2}",
            "time_s": pytest.approx(0.01 * i),
            "power_w": 100 + i,
        }
        for i in range(4)
    ]
    assert load_trace(tmp_path / "none.json").num_rows == 0


def test_what_was_flushed_survives_whatever_ends_the_program(tmp_path: Path) -> None:
    writer = TraceWriter(tmp_path / "a.json", "run-1", part_samples=10)
    for trial in range(1, 4):
        writer.append("query", trial, _samples(8))
    del writer  # never closed
    assert load_trace(tmp_path / "a.jsonl").num_rows == 16, "one part; the samples behind it are lost"


def test_it_goes_on_where_it_was_and_another_run_begins_anew(tmp_path: Path) -> None:
    for first in (0, 4):
        with TraceWriter(tmp_path / "a.json", "run-1") as writer:
            writer.append("query", 1, _samples(4, first))
    assert load_trace(tmp_path / "a.json").column("power_w").to_pylist() == [100.0 + i for i in range(8)]
    with TraceWriter(tmp_path / "a.json", "run-2") as writer:
        writer.append("query", 1, _samples(1))
    assert load_trace(tmp_path / "a.json").column("run_id").to_pylist() == ["run-2"]


def test_its_size_is_bounded_and_it_says_what_has_gone(tmp_path: Path) -> None:
    writer = TraceWriter(tmp_path / "a.json", "run-1", max_samples=100, part_samples=20)
    for trial in range(1, 31):
        writer.append("query", trial, _samples(10))
        assert load_trace(tmp_path / "a.json").num_rows <= 100
    writer.close()
    kept = load_trace(tmp_path / "a.json")
    assert kept.num_rows == 100
    assert set(kept.column("trial").to_pylist()) == set(range(21, 31)), "the latest are kept"
    assert writer.removed == 200
    from pyarrow import parquet

    said = parquet.read_metadata(trace_parts(tmp_path / "a.trace")[-1]).metadata[b"joulemark"]
    assert b'"removed_samples": 200' in said
    assert TraceWriter(tmp_path / "a.json", "run-1", max_samples=100).removed == 200


def test_what_cannot_be_written_waits(tmp_path: Path) -> None:
    (tmp_path / "a.trace").write_text("in the way")
    writer = TraceWriter(tmp_path / "a.json", "run-1")
    writer.append("load", None, _samples(3))
    with pytest.raises(OutputNotWritable):
        writer.flush()
    (tmp_path / "a.trace").unlink()
    writer.close()
    assert load_trace(tmp_path / "a.json").num_rows == 3


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    with TraceWriter(tmp_path / "a.json", "run-1") as writer:
        writer.append("load", None, _samples(3))
    (part,) = trace_parts(tmp_path / "a.trace")
    part.write_bytes(part.read_bytes()[:-10])
    with pytest.raises(DamagedRecord, match=r"000001\.parquet is no whole trace"):
        load_trace(tmp_path / "a.json")


def test_without_pyarrow_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "pyarrow":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"pip install 'joulemark\[records\]'"):
        TraceWriter(tmp_path / "a.json", "run-1")
