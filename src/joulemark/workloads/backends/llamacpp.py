"""Language models in the GGUF format, in process, through llama.cpp (the ``xllamacpp`` binding)."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from joulemark.errors import WorkloadFailed
from joulemark.workloads.backends.options import flag, require, role, threads, whole
from joulemark.workloads.backends.prompts import CHAT_TASKS, answer_text, labels_of, prompt_of, refuse_other_tasks
from joulemark.workloads.seam import Answer, Item, Settings

__all__ = ["LlamaCpp"]


class LlamaCpp:
    """A chat model from ``weights``, a GGUF file with its tokenizer and chat template; greedy, one text at a time.

    For text generation exactly ``max_new_tokens`` are written, whether or not the model would have ended
    earlier, so that the unit of work is the same in every trial; other answers may end earlier. Nothing is kept
    from one text to the next: with llama.cpp's prompt cache a repeated prompt would cost almost nothing.

    Settings: ``threads``, ``max_new_tokens``, ``fixed_length`` (true or false, for another choice than the task's),
    ``reasoning`` (true or false, for models whose chat template knows ``enable_thinking``), ``context`` (tokens,
    default 2048), ``batch`` (tokens of a prompt that are read at a time), ``gpu_layers`` (as many as there are: 999),
    ``labels`` (of text classification, with commas between them).
    """

    distributions = ("xllamacpp",)
    extra = "llamacpp"
    tasks = CHAT_TASKS
    accepts = ("threads", "max_new_tokens", "fixed_length", "reasoning", "context", "batch", "gpu_layers", "labels")

    def __init__(self, files: Mapping[str, Path], task: str, settings: Settings) -> None:
        refuse_other_tasks(task, "This model")
        self._weights = role(files, "weights")
        self._task = task
        self._labels = labels_of(settings)
        self._threads = threads(settings)
        self._max_new_tokens = whole(settings, "max_new_tokens", 64)
        self._fixed = flag(settings, "fixed_length", default=task == "text-generation")
        self._reasoning = flag(settings, "reasoning", default=True) if "reasoning" in settings else None
        self._context = whole(settings, "context", 2048, least=64)
        self._batch = whole(settings, "batch", 512) if "batch" in settings else None
        self._gpu_layers = whole(settings, "gpu_layers", 0, least=0) if "gpu_layers" in settings else None
        self._server: Any = None

    def load(self) -> None:
        """Read the weights.

        Raises:
            MissingExtra: if xllamacpp is not installed.
            WorkloadFailed: if llama.cpp refuses the file, or layers are wanted on a GPU that it cannot use.
        """
        xllamacpp = require("xllamacpp", package="xllamacpp", extra="llamacpp", purpose="llama.cpp")
        if self._gpu_layers and not any("GPU" in str(device["type"]) for device in xllamacpp.get_device_info()):
            raise WorkloadFailed("The setting gpu_layers wants a GPU, but this build of xllamacpp finds none.")
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(self._weights)
        parameters.n_ctx = self._context
        parameters.n_parallel = 1
        if self._batch is not None:
            parameters.n_batch = parameters.n_ubatch = self._batch
        if self._gpu_layers is not None:
            parameters.n_gpu_layers = self._gpu_layers
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

    @property
    def facts(self) -> dict[str, int | float | str | bool]:
        """How it was loaded, for the record."""
        return {
            "context": self._context,
            "threads": self._threads or "llama.cpp's choice",
            "gpu_layers": "llama.cpp's choice" if self._gpu_layers is None else self._gpu_layers,
        }

    def run(self, batch: Sequence[Item]) -> Sequence[Answer]:
        """Answer each text, one after the other."""
        if self._server is None:
            raise WorkloadFailed(f"{self._weights.name} was asked before it was loaded. Call load() first.")
        return [self._answer(prompt_of(self._task, item)) for item in batch]

    def _answer(self, prompt: str) -> Answer:
        request: dict[str, Any] = {
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": self._max_new_tokens,
            "temperature": 0.0,
            "cache_prompt": False,
        }
        if self._fixed:
            request["ignore_eos"] = True
        if self._reasoning is not None:
            request["chat_template_kwargs"] = {"enable_thinking": self._reasoning}
        if self._task == "text-classification":
            # A grammar in GBNF: a small model rarely keeps to "one word" by itself.
            request["grammar"] = f"root ::= {' | '.join(json.dumps(label) for label in self._labels)}"
        reply = self._server.handle_chat_completions(request)
        if "error" in reply:
            raise WorkloadFailed(f"llama.cpp did not answer: {reply['error'].get('message', 'no reason given')}.")
        usage = reply["usage"]
        return Answer(
            output=answer_text(self._task, reply["choices"][0]["message"]["content"] or ""),
            tokens_in=usage["prompt_tokens"],
            tokens_out=usage["completion_tokens"],
        )

    def close(self) -> None:
        """Stop llama.cpp's threads and free the weights."""
        self._server = None
