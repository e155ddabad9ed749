"""The worker process: loads one model and answers when it is told to.

Run as ``python -m joulemark.bench.worker``. It takes one JSON request a line on standard input and gives one JSON
reply a line on what was standard output; what libraries print goes to standard error. It measures nothing itself: the
meter stays with the parent, which only waits meanwhile. It ends when its input ends: after a parent that was killed it
answers the request at hand, and no other.

Requests: ``open`` (model, backend, task, settings, inputs, items), ``load``, ``run`` (count), ``check``, ``close``.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Sequence
from typing import Any, TextIO

from joulemark.errors import JoulemarkError
from joulemark.workloads.asked import asked_items, batch_size
from joulemark.workloads.backends import backend_class
from joulemark.workloads.models import resolve
from joulemark.workloads.seam import Answer, Backend, Item, Task
from joulemark.workloads.tasks import task

__all__ = ["main"]

LAST = 10_000
"""So many times of batches are told at most, the last ones."""
_QUANTILES = {"median": 0.5, "p95": 0.95, "p99": 0.99}


class Worker:
    """Holds the backend and the last answers."""

    def __init__(self) -> None:
        self._backend: Backend | None = None
        self._task: Task | None = None
        self._settings: dict[str, Any] = {}
        self._items: tuple[Item, ...] = ()
        self._together = 1
        self._answered: list[tuple[Item, Answer]] = []

    def open(self, request: dict[str, Any]) -> dict[str, Any]:
        """Build the backend, without loading the model."""
        self._task = task(request["task"])
        the_model = resolve(request["model"], self._task.name, request["backend"])
        self._settings = dict(request["settings"])
        self._items = asked_items(self._task, request["inputs"], self._settings).items[: request["items"]]
        chosen = backend_class(the_model.backend)
        # One that schedules requests itself is handed all of them at once.
        self._together = sys.maxsize if getattr(chosen, "concurrent", False) else batch_size(self._settings)
        self._backend = chosen(the_model.locate(), self._task.name, self._settings)
        return {}

    def load(self, request: dict[str, Any]) -> dict[str, Any]:
        """Load the model; reply with the versions of the libraries at work, and its size."""
        self._need().load()
        told: dict[str, str] = getattr(self._backend, "software", {})  # what a server says of itself
        return {
            "software": {**_versions(getattr(self._backend, "distributions", ())), **told},
            "parameters": getattr(self._backend, "parameters", None),
            "facts": getattr(self._backend, "facts", {}),
        }

    def run(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer so many items, from the beginning again when they run out; reply with how long each batch took."""
        backend, count = self._need(), int(request["count"])
        self._answered = []
        durations_s = []
        cpu_s = _cpu_s()
        for start in range(0, count, self._together):
            batch = [self._items[i % len(self._items)] for i in range(start, min(start + self._together, count))]
            began_s = time.perf_counter()
            answers = backend.run(batch)
            durations_s.append(time.perf_counter() - began_s)
            self._answered += zip(batch, answers, strict=True)
        elsewhere = self._together == sys.maxsize  # another process does the work
        if elsewhere:
            durations_s = [answer.latency_s for _, answer in self._answered if answer.latency_s is not None]
        return {"cpu_s": _cpu_s() - cpu_s, "durations_s": durations_s[-LAST:], "elsewhere": elsewhere}

    def check(self, request: dict[str, Any]) -> dict[str, Any]:
        """Judge the answers of the last run."""
        assert self._task is not None  # noqa: S101 - `open` came first
        reasons = [self._task.check(item, answer, self._settings) for item, answer in self._answered]
        wrong = [reason for reason in reasons if reason is not None]
        # Answers that are none cannot be judged for quality, nor those of a model that has learned nothing.
        judged = not wrong and self._settings.get("weights") != "random"
        quality = self._task.quality(self._distinct()) if judged else None
        if quality is not None and not math.isfinite(quality.value):
            quality = None
        answers = [answer for _, answer in self._answered]
        return {
            "units": len(reasons) - len(wrong),
            "invalid": len(wrong),
            "invalid_reason": wrong[0] if wrong else "",
            "tokens_in": _total([a.tokens_in for a in answers]),
            "tokens_out": _total([a.tokens_out for a in answers]),
            "tokens_cached": _total([a.tokens_cached for a in answers]),
            "tokens_reasoning": _total([a.tokens_reasoning for a in answers]),
            "latency": _latency([a.latency_s for a in answers]),
            "first_token": _latency([a.first_token_s for a in answers]),
            "quality": None
            if quality is None
            else {"metric": quality.metric, "value": float(quality.value), "n": quality.n},
        }

    def close(self, request: dict[str, Any]) -> dict[str, Any]:
        """Free the model."""
        if self._backend is not None:
            self._backend.close()
        return {}

    def _distinct(self) -> list[tuple[Item, Answer]]:
        return list({item.id: (item, answer) for item, answer in self._answered}.values())

    def _need(self) -> Backend:
        assert self._backend is not None  # noqa: S101 - `open` came first
        return self._backend


def _total(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) and known else None


def _cpu_s() -> float:
    """CPU time of this process and of those that it has started and waited for, in seconds."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _latency(times_s: Sequence[float | None]) -> dict[str, float] | None:
    """Give the quantiles of request times, those that are there (nearest rank)."""
    known = sorted(time_s for time_s in times_s if time_s is not None)
    if not known:
        return None
    at = {f"{name}_s": known[math.ceil(part * len(known)) - 1] for name, part in _QUANTILES.items()}
    return {"n": len(known), **at}


def _versions(distributions: Sequence[str]) -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in distributions:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def serve(requests: TextIO, replies: TextIO) -> None:
    """Answer requests until they end."""
    worker = Worker()
    operations = {
        "open": worker.open,
        "load": worker.load,
        "run": worker.run,
        "check": worker.check,
        "close": worker.close,
    }
    for line in requests:
        request = json.loads(line)
        try:
            reply = {"ok": operations[request["op"]](request)}
        except JoulemarkError as error:
            reply = {"error": {"message": str(error), "kind": type(error).__name__}}
        except Exception as error:  # noqa: BLE001 - a model may fail in any way; it becomes the run's failure
            reply = {"error": {"message": f"{type(error).__name__}: {error}", "kind": "WorkloadFailed"}}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


def main() -> None:
    """Keep the reply channel for replies alone, then serve."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.stdin, replies)


if __name__ == "__main__":
    main()
