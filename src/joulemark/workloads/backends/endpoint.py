"""Models behind an OpenAI-compatible endpoint on this machine: vLLM, SGLang, TGI, Ollama, llama-server."""

from __future__ import annotations

import os
import random
import re
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any
from uuid import uuid4

from joulemark.errors import UsageError, WorkloadFailed
from joulemark.workloads.backends.openai_api import Address, Client
from joulemark.workloads.backends.options import flag, text, whole
from joulemark.workloads.backends.prompts import CHAT_TASKS, answer_text, labels_of, prompt_of, refuse_other_tasks
from joulemark.workloads.seam import Answer, Item, Settings

__all__ = ["Endpoint"]

MOST_IN_FLIGHT = 256
"""Requests in flight at most when they arrive by themselves; an assumption of ours, changed with ``concurrency``."""
_EFFORTS = ("none", "minimal", "low", "medium", "high")


class Endpoint:
    """A server that is measured from outside: requests go in as its users would send them, greedy and streamed.

    ``arrival = "closed"`` keeps ``concurrency`` requests in flight, the next sent as soon as one is answered.
    ``arrival = "poisson"`` sends them at random times, ``rate_per_s`` of them a second on average, however slow the
    answers are; a request's latency then counts from the time at which it was due, so that a server that keeps others
    waiting does not look fast (no coordinated omission). Each trial draws other times; the same seed draws the same
    ones for the same sequence of trials.

    One request that fails fails the trial; nothing is tried again.

    Settings: ``endpoint`` (the base URL), ``model_id`` (may be left out where the server has one model), ``api``
    (``chat`` or ``completions``), ``concurrency``, ``arrival``, ``rate_per_s``, ``seed``, ``max_new_tokens``,
    ``fixed_length`` (write on to ``max_new_tokens`` whatever the model would do; the default for text generation),
    ``min_new_tokens``, ``reasoning`` (true or false, for models whose chat template knows ``enable_thinking``),
    ``reasoning_effort``, ``prompt_cache`` (false, the default, asks the server to keep no prompts from one request to
    the next; not every server obeys, see `Answer.tokens_cached`), ``timeout_s`` (whole seconds for one request),
    ``api_key_env`` (the name of the environment variable that holds the key), ``serves_here`` (true if the endpoint is
    this machine by another name), ``labels`` (of text classification, with commas between them).

    Attributes:
        software: what the server says that it is, once loaded.
    """

    distributions: tuple[str, ...] = ()
    extra = ""
    tasks = CHAT_TASKS
    concurrent = True
    accepts = (
        "endpoint",
        "model_id",
        "api",
        "concurrency",
        "arrival",
        "rate_per_s",
        "seed",
        "max_new_tokens",
        "min_new_tokens",
        "fixed_length",
        "reasoning",
        "reasoning_effort",
        "prompt_cache",
        "timeout_s",
        "api_key_env",
        "serves_here",
        "labels",
    )

    def __init__(self, files: Mapping[str, Path], task: str, settings: Settings) -> None:
        refuse_other_tasks(task, "An endpoint")
        self._task = task
        self._labels = labels_of(settings)
        self._address = Address.of(text(settings, "endpoint", ""))
        if not flag(settings, "serves_here", default=False) and not self._address.is_here():
            raise UsageError(
                f"The endpoint {self._address} is on another machine, whose energy is not seen from here. "
                "Run Joulemark there, or set serves_here to true if it is this machine by another name."
            )
        self._model = self._model_id = text(settings, "model_id", "")
        self._api = text(settings, "api", "chat", known=("chat", "completions"))
        self._rate_per_s = _rate(settings)
        most = 1 if self._rate_per_s is None else MOST_IN_FLIGHT
        self._concurrency = whole(settings, "concurrency", most)
        self._seed = whole(settings, "seed", 0, least=0)
        self._timeout_s = whole(settings, "timeout_s", 300)
        self._key_name = text(settings, "api_key_env", "")
        if not re.fullmatch(r"(?a:[A-Za-z_]\w*)?", self._key_name):  # not quoted: it may be the key itself
            raise UsageError("The setting api_key_env must be the name of an environment variable, not a key.")
        self._options = _options(settings, task)
        self._cached = flag(settings, "prompt_cache", default=False)
        self._client: Client | None = None
        self._arrivals = random.Random(self._seed)  # noqa: S311 - nothing is kept secret with it
        self.software: Mapping[str, str] = {}

    def load(self) -> None:
        """See that the server is there and has the model. It loads that by itself, before or with the first request.

        Raises:
            UsageError: if the environment variable for the key is not set.
            WorkloadFailed: if there is no server, it refuses us, or it has no such model.
        """
        client = Client(self._address, key=_key(self._key_name), timeout_s=self._timeout_s)
        models = client.models()
        listed = ", ".join(models) or "no list of models"
        if not self._model_id and len(models) != 1:
            raise WorkloadFailed(f"The server at {self._address} has {listed}: say which with model_id.")
        # Some servers answer for any name; the record would then name a model that never ran. Ollama's may lack a tag.
        if self._model_id and models and not {self._model_id, f"{self._model_id}:latest"} & models.keys():
            raise WorkloadFailed(f"The server at {self._address} has no model {self._model_id!r}, only {listed}.")
        self._model = self._model_id or next(iter(models))
        told = " ".join(filter(None, [models.get(self._model, ""), client.version()]))
        self.software = {"server": told or "not told"}
        self._arrivals.seed(self._seed)
        self._client = client

    def run(self, batch: Sequence[Item]) -> Sequence[Answer]:
        """Send all requests, each when its time has come, and wait for all answers.

        Raises:
            WorkloadFailed: if any has failed; no further ones are sent then.
        """
        if self._client is None:
            raise WorkloadFailed("The endpoint was asked before it was loaded. Call load() first.")
        continued = self._api == "completions"
        prompts = [prompt_of(self._task, item, labels=self._labels, continued=continued) for item in batch]
        stop = threading.Event()
        asked: list[Future[Answer | None]] = []
        with ThreadPoolExecutor(self._concurrency, thread_name_prefix="request") as pool:
            due_s = time.perf_counter() if self._rate_per_s is not None else None
            try:
                for prompt in prompts:
                    if due_s is not None and self._rate_per_s is not None:
                        due_s += self._arrivals.expovariate(self._rate_per_s)
                        stop.wait(max(0.0, due_s - time.perf_counter()))
                    asked.append(pool.submit(self._ask, self._client, prompt, due_s, stop))
                wait(asked)
            except BaseException:  # Ctrl-C: only what is in flight is waited for
                stop.set()
                raise
        failures = [error for error in (future.exception() for future in asked) if error is not None]
        if len(failures) > 1 and isinstance(failures[0], WorkloadFailed):
            raise WorkloadFailed(f"{len(failures)} requests failed. {failures[0]}") from failures[0]
        if failures:
            raise failures[0]
        return [answer for answer in (future.result() for future in asked) if answer is not None]

    def _ask(self, client: Client, prompt: str, due_s: float | None, stop: threading.Event) -> Answer | None:
        """Ask once, unless another request has failed already; `due_s` on the clock of `time.perf_counter`."""
        if stop.is_set():
            return None
        since_s = time.perf_counter() if due_s is None else due_s
        try:
            reply = client.complete(*self._request(prompt))
        except BaseException:
            stop.set()
            raise
        return Answer(
            output=answer_text(self._task, reply.text),
            tokens_in=reply.tokens_in,
            tokens_out=reply.tokens_out,
            tokens_cached=reply.tokens_cached,
            tokens_reasoning=reply.tokens_reasoning,
            latency_s=reply.end_s - since_s,
            first_token_s=reply.first_token_s - since_s,
        )

    def _request(self, prompt: str) -> tuple[str, dict[str, Any]]:
        """Give path and body of a request."""
        request: dict[str, Any] = {
            "model": self._model,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
            **self._options,
        }
        if not self._cached:
            request["cache_prompt"] = False  # llama-server
            request["cache_salt"] = uuid4().hex  # vLLM
        if self._api == "completions":
            return "/completions", {**request, "prompt": prompt}
        return "/chat/completions", {**request, "messages": [{"role": "user", "content": prompt}]}

    def close(self) -> None:
        """Forget the server, which goes on."""
        self._client = None


def _options(settings: Settings, task: str) -> dict[str, Any]:
    """Give the fields of a request that are the same for all."""
    most = whole(settings, "max_new_tokens", 64)
    least = whole(settings, "min_new_tokens", 0, least=0)
    if least > most:
        raise UsageError(f"The setting min_new_tokens, {least}, is above max_new_tokens, {most}.")
    options: dict[str, Any] = {"max_tokens": most}
    if flag(settings, "fixed_length", default=task == "text-generation" or least == most):
        options["ignore_eos"] = True
        least = most
    if least:
        options["min_tokens"] = least  # vLLM, SGLang; others end where the model ends
    if "reasoning" in settings:
        options["chat_template_kwargs"] = {"enable_thinking": flag(settings, "reasoning", default=True)}
    if "reasoning_effort" in settings:
        options["reasoning_effort"] = text(settings, "reasoning_effort", "medium", known=_EFFORTS)
    return options


def _rate(settings: Settings) -> float | None:
    """Read how requests arrive: so many a second on average, or None if each waits for another to end."""
    arrival = text(settings, "arrival", "closed", known=("closed", "poisson"))
    if arrival == "closed":
        if "rate_per_s" in settings:
            raise UsageError("The setting rate_per_s needs the setting arrival: poisson.")
        return None
    rate = settings.get("rate_per_s")
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate <= 1e6:
        raise UsageError(f"The setting rate_per_s must be a number of requests a second above 0, not {rate!r}.")
    return float(rate)


def _key(name: str) -> str:
    """Read the key from its environment variable; messages name the variable only."""
    if not name:
        return ""
    key = os.environ.get(name, "").strip()
    if not key:
        raise UsageError(f"The environment variable {name}, which api_key_env names, is not set.")
    if not (key.isascii() and key.isprintable()):
        raise UsageError(f"The environment variable {name}, which api_key_env names, holds no key of an HTTP server.")
    return key
