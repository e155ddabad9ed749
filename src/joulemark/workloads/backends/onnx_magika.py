"""Content types of files with Google's Magika graph in ONNX Runtime, without its package."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from joulemark.workloads.backends import onnx
from joulemark.workloads.backends.options import role, threads
from joulemark.workloads.seam import Answer, Item, Settings

__all__ = ["OnnxMagika", "features"]


class OnnxMagika:
    """Magika's graph ``weights``, its ``config`` (labels, thresholds) and ``types`` (which types are text).

    The whole batch is one call of the graph. Settings: ``threads``. Output: the type's name, the general ``txt`` or
    ``unknown`` where the model is less sure than its own threshold (Magika's "high confidence" mode).
    """

    distributions = ("onnxruntime", "numpy")
    accepts = ("threads",)

    def __init__(self, files: Mapping[str, Path], task: str, settings: Settings) -> None:
        self._weights = role(files, "weights")
        self._config_file, self._types_file = role(files, "config"), role(files, "types")
        self._threads = threads(settings)
        self._config: dict[str, Any] = {}
        self._types: dict[str, Any] = {}
        self._session: Any = None

    def load(self) -> None:
        """Open the graph; raises as `onnx.session` does."""
        self._session = onnx.session(self._weights, self._threads, purpose="Content type detection with ONNX Runtime")
        self._config = json.loads(self._config_file.read_text(encoding="utf-8"))
        self._types = json.loads(self._types_file.read_text(encoding="utf-8"))

    def run(self, batch: Sequence[Item]) -> Sequence[Answer]:
        """Name the type of each file; an item's content is its bytes or its path."""
        import numpy as np

        rows = np.array([features(_bytes(item), self._config) for item in batch], dtype=np.int32)
        (scores,) = self._session.run(None, {"bytes": rows})
        return [Answer(output=self._label(row)) for row in scores]

    def _label(self, scores: Any) -> str:
        best = int(scores.argmax())
        label: str = self._config["target_labels_space"][best]
        threshold = self._config["thresholds"].get(label, self._config["medium_confidence_threshold"])
        named: str = self._config["overwrite_map"].get(label, label)
        if scores[best] >= threshold:
            return named
        return "txt" if self._types[named]["is_text"] else "unknown"

    def close(self) -> None:
        """Free the graph."""
        self._session = None


def features(content: bytes, config: Mapping[str, Any]) -> list[int]:
    """The numbers that Magika sees of a file: its first and its last bytes without surrounding white space.

    Follows ``Magika._extract_features_from_seekable`` (magika 1.0.3): of at most a block from either end, the first
    `beg_size` and the last `end_size` bytes, filled up with the padding token.
    """
    block, padding = config["block_size"], config["padding_token"]
    first = list(content[:block].lstrip()[: config["beg_size"]])
    last = list(content[-block:].rstrip()[-config["end_size"] :])
    first += [padding] * (config["beg_size"] - len(first))
    last = [padding] * (config["end_size"] - len(last)) + last
    return first + last


def _bytes(item: Item) -> bytes:
    content = item.content
    if isinstance(content, Path):
        return content.read_bytes()
    return content if isinstance(content, bytes) else str(content).encode()
