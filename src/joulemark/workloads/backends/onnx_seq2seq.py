"""Text to text with an encoder and a decoder graph (T5) in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from joulemark.errors import UsageError
from joulemark.workloads.backends import onnx
from joulemark.workloads.backends.options import role, threads, whole
from joulemark.workloads.seam import Answer, Item, Settings

__all__ = ["OnnxSeq2Seq"]

_PURPOSE = "Text to text with ONNX Runtime"

# Prompts of the Flan collection's kind (Longpre et al. 2023, arXiv:2301.13688).
PROMPTS = {
    "summarization": "summarize: {text}",
    "text-classification": "Is this review positive or negative? {text}",
}

# A label is chosen by rank: the likelier of the two first words, as Flan itself is evaluated on
# classification.
LABELS = ("positive", "negative")


class OnnxSeq2Seq:
    """T5 as two graphs, ``encoder`` and ``decoder`` without a key-value cache, and a ``tokenizer``; greedy.

    The whole batch is encoded at once and decoded in step until its last text ends. A label takes one step of
    the decoder. Settings: ``threads``, ``max_new_tokens``. Output: the text; `tokens_out` counts its end mark
    too, where the text came to an end.
    """

    distributions = onnx.DISTRIBUTIONS
    accepts = ("threads", "max_new_tokens")

    def __init__(self, files: Mapping[str, Path], task: str, settings: Settings) -> None:
        if task not in PROMPTS:
            raise UsageError(f"This model is asked for {task!r}, but can only do {', '.join(PROMPTS)}.")
        self._files = {name: role(files, name) for name in ("encoder", "decoder", "tokenizer")}
        self._task = task
        self._threads = threads(settings)
        self._max_new_tokens = whole(settings, "max_new_tokens", 64)
        self._encoder: Any = None
        self._decoder: Any = None
        self._tokenizer: Any = None

    def load(self) -> None:
        """Open both graphs and the tokenizer; raises as `onnx.session` does."""
        self._encoder = onnx.session(self._files["encoder"], self._threads, purpose=_PURPOSE)
        self._decoder = onnx.session(self._files["decoder"], self._threads, purpose=_PURPOSE)
        self._tokenizer = onnx.tokenizer(self._files["tokenizer"], purpose=_PURPOSE, pad_token="<pad>")  # noqa: S106

    def run(self, batch: Sequence[Item]) -> Sequence[Answer]:
        """Write the answer to each text."""
        import numpy as np

        prompt = PROMPTS[self._task]
        texts = self._tokenizer.encode_batch([prompt.format(text=item.content) for item in batch])
        mask = np.array([text.attention_mask for text in texts], dtype=np.int64)
        ids = np.array([text.ids for text in texts], dtype=np.int64)
        (hidden,) = self._encoder.run(None, {"input_ids": ids, "attention_mask": mask})
        answer = self._label if self._task == "text-classification" else self._write
        return [
            Answer(
                output=self._tokenizer.decode(tokens, skip_special_tokens=True).strip(),
                tokens_in=sum(text.attention_mask),
                tokens_out=len(tokens),
            )
            for tokens, text in zip(answer(hidden, mask), texts, strict=True)
        ]

    def _label(self, hidden: Any, mask: Any) -> list[list[int]]:
        import numpy as np

        labels = np.array([self._tokenizer.encode(label).ids[0] for label in LABELS])
        start = np.full((len(mask), 1), self._tokenizer.token_to_id("<pad>"), dtype=np.int64)
        best = self._next(start, hidden, mask)[:, labels].argmax(axis=-1)
        return [[int(token)] for token in labels[best]]

    def _write(self, hidden: Any, mask: Any) -> list[list[int]]:
        import numpy as np

        # T5 starts with the padding token and ends with </s>; a text that has ended goes on with padding.
        pad, end = self._tokenizer.token_to_id("<pad>"), self._tokenizer.token_to_id("</s>")
        written = np.full((len(mask), 1), pad, dtype=np.int64)
        ended = np.zeros(len(mask), dtype=bool)
        for _ in range(self._max_new_tokens):
            token = np.where(ended, pad, self._next(written, hidden, mask).argmax(axis=-1))
            written = np.concatenate([written, token[:, None]], axis=1)
            ended |= token == end
            if ended.all():
                break
        rows: list[list[int]] = written[:, 1:].tolist()
        return [row[: row.index(end) + 1] if end in row else row for row in rows]

    def _next(self, written: Any, hidden: Any, mask: Any) -> Any:
        """Logits (n, vocabulary) of the token after those written (n, tokens)."""
        inputs = {"input_ids": written, "encoder_hidden_states": hidden, "encoder_attention_mask": mask}
        (logits,) = self._decoder.run(None, inputs)
        return logits[:, -1]

    def close(self) -> None:
        """Free the graphs."""
        self._encoder = self._decoder = self._tokenizer = None
