"""Token classification (named entities) with a BERT-like graph in ONNX Runtime."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from joulemark.workloads.backends import onnx
from joulemark.workloads.backends.entities import spans
from joulemark.workloads.backends.options import role, threads
from joulemark.workloads.seam import Answer, Item, Settings

__all__ = ["OnnxTokenClassifier"]

_PURPOSE = "Token classification with ONNX Runtime"


class OnnxTokenClassifier:
    """A graph ``weights``, a ``tokenizer`` and a ``config``.

    The graph takes ids, mask and types (n, tokens) and gives logits (n, tokens, labels). The whole batch is
    one call of the graph, padded to its longest text. Settings: ``threads``. Output: a tuple of (label,
    start, end) with positions in characters.
    """

    distributions = onnx.DISTRIBUTIONS
    accepts = ("threads",)

    def __init__(self, files: Mapping[str, Path], task: str, settings: Settings) -> None:
        self._weights, self._vocabulary = role(files, "weights"), role(files, "tokenizer")
        self._config = role(files, "config")
        self._threads = threads(settings)
        self._session: Any = None
        self._tokenizer: Any = None
        self._labels: dict[int, str] = {}

    def load(self) -> None:
        """Open the graph and the tokenizer; raises as `onnx.session` does."""
        self._session = onnx.session(self._weights, self._threads, purpose=_PURPOSE)
        self._tokenizer = onnx.tokenizer(self._vocabulary, purpose=_PURPOSE, pad_token="[PAD]")  # noqa: S106
        names = json.loads(self._config.read_text(encoding="utf-8"))["id2label"]
        self._labels = {int(number): name for number, name in names.items()}

    def run(self, batch: Sequence[Item]) -> Sequence[Answer]:
        """Find the entities of each text."""
        import numpy as np

        texts = self._tokenizer.encode_batch([str(item.content) for item in batch])
        (logits,) = self._session.run(
            None,
            {
                "input_ids": np.array([text.ids for text in texts], dtype=np.int64),
                "attention_mask": np.array([text.attention_mask for text in texts], dtype=np.int64),
                "token_type_ids": np.array([text.type_ids for text in texts], dtype=np.int64),
            },
        )
        best = logits.argmax(axis=-1)
        return [
            Answer(
                output=spans([self._labels[int(label)] for label in row], text.word_ids, text.offsets),
                tokens_in=sum(text.attention_mask),
            )
            for row, text in zip(best, texts, strict=True)
        ]

    def close(self) -> None:
        """Free the graph."""
        self._session = self._tokenizer = None
