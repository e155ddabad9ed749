"""Language models in the GGUF format, in process, through llama.cpp (the ``xllamacpp`` binding)."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from joulemark.errors import UsageError, WorkloadFailed
from joulemark.workloads.backends.options import require, role, threads, whole
from joulemark.workloads.seam import Answer, Item, Settings

__all__ = ["LlamaCpp"]

PROMPTS = {
    "text-generation": "{text}",
    "summarization": "{text}\n\nWrite one sentence that summarizes the text above.",
    "text-classification": "Is this review positive or negative? Answer with one word.\n\n{text}",
}

# A grammar in GBNF: a model of this size rarely keeps to "one word" by itself.
_LABELS = 'root ::= "positive" | "negative"'


class LlamaCpp:
    """A chat model from ``weights``, a GGUF file with its tokenizer and chat template; greedy, one text at a time.

    For text generation exactly ``max_new_tokens`` are written, whether or not the model would have ended
    earlier, so that the unit of work is the same in every trial; a summary may end earlier. Nothing is kept
    from one text to the next: with llama.cpp's prompt cache a repeated prompt would cost almost nothing.

    Settings: ``threads``, ``max_new_tokens``, ``context`` (tokens, default 2048).
    """

    distributions = ("xllamacpp",)
    accepts = ("threads", "max_new_tokens", "context")

    def __init__(self, files: Mapping[str, Path], task: str, settings: Settings) -> None:
        if task not in PROMPTS:
            raise UsageError(f"This model is asked for {task!r}, but can only do {', '.join(PROMPTS)}.")
        self._weights = role(files, "weights")
        self._task = task
        self._threads = threads(settings)
        self._max_new_tokens = whole(settings, "max_new_tokens", 64)
        self._context = whole(settings, "context", 2048, least=64)
        self._server: Any = None

    def load(self) -> None:
        """Read the weights.

        Raises:
            MissingExtra: if xllamacpp is not installed.
            WorkloadFailed: if llama.cpp refuses the file.
        """
        xllamacpp = require("xllamacpp", package="xllamacpp", extra="llamacpp", purpose="llama.cpp")
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(self._weights)
        parameters.n_ctx = self._context
        parameters.n_parallel = 1
        parameters.cache_prompt = False
        parameters.cache_ram_mib = 0
        parameters.verbosity = -1
        # The binding always listens on a loopback port, too; nobody else shall be able to use it.
        parameters.api_keys = [secrets.token_hex(16)]
        if self._threads is not None:
            parameters.cpuparams.n_threads = self._threads
            parameters.cpuparams_batch.n_threads = self._threads
        try:
            self._server = xllamacpp.Server(parameters)
        except RuntimeError as error:
            raise WorkloadFailed(f"llama.cpp refuses {self._weights.name}: {error}") from error

    def run(self, batch: Sequence[Item]) -> Sequence[Answer]:
        """Answer each text, one after the other."""
        return [self._answer(str(item.content)) for item in batch]

    def _answer(self, text: str) -> Answer:
        request: dict[str, Any] = {
            "messages": [{"role": "user", "content": PROMPTS[self._task].format(text=text)}],
            "max_tokens": self._max_new_tokens,
            "temperature": 0.0,
            "cache_prompt": False,
        }
        if self._task == "text-generation":
            request["ignore_eos"] = True
        if self._task == "text-classification":
            request["grammar"] = _LABELS
        reply = self._server.handle_chat_completions(request)
        if "error" in reply:
            raise WorkloadFailed(f"llama.cpp did not answer: {reply['error'].get('message', 'no reason given')}.")
        usage = reply["usage"]
        return Answer(
            output=reply["choices"][0]["message"]["content"].strip(),
            tokens_in=usage["prompt_tokens"],
            tokens_out=usage["completion_tokens"],
        )

    def close(self) -> None:
        """Stop llama.cpp's threads and free the weights."""
        self._server = None
