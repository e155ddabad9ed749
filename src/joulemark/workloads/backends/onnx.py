"""One way to open a graph in ONNX Runtime and a tokenizer, for every backend that needs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from joulemark.errors import WorkloadFailed
from joulemark.workloads.backends.options import require

__all__ = ["DISTRIBUTIONS", "MAX_TOKENS", "session", "tokenizer"]

DISTRIBUTIONS = ("onnxruntime", "tokenizers", "numpy")

MAX_TOKENS = 512
"""Longest input in tokens: what both BERT's positions and T5's training allow."""


def session(path: Path, threads: int | None, *, purpose: str) -> Any:
    """Open a graph on the processor; operators run one after the other, each on `threads` threads.

    Raises:
        MissingExtra: if onnxruntime is not installed.
        WorkloadFailed: if it refuses the graph.
    """
    ort = require("onnxruntime", package="onnxruntime", extra="onnxruntime", purpose=purpose)
    refusals = ort.capi.onnxruntime_pybind11_state
    options = ort.SessionOptions()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only: a warning would break into the progress display
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except (
        refusals.Fail,
        refusals.InvalidArgument,
        refusals.InvalidGraph,
        refusals.InvalidProtobuf,
        refusals.NoSuchFile,
        refusals.NotImplemented,
        refusals.RuntimeException,
    ) as error:
        raise WorkloadFailed(f"ONNX Runtime refuses {path.name}: {error}") from error


def tokenizer(path: Path, *, purpose: str, pad_token: str) -> Any:
    """Read a ``tokenizer.json``, padding a batch to its longest text and cutting texts at `MAX_TOKENS`.

    Raises:
        MissingExtra: if tokenizers is not installed.
    """
    tokenizers = require("tokenizers", package="tokenizers", extra="onnxruntime", purpose=purpose)
    found = tokenizers.Tokenizer.from_str(path.read_text(encoding="utf-8"))
    # The file's own limits belong to the application it was made for.
    found.enable_truncation(MAX_TOKENS)
    found.enable_padding(pad_id=found.token_to_id(pad_token), pad_token=pad_token)
    return found
