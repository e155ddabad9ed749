"""The worker process: loads one model and answers when it is told to.

Run as ``python -m joulemark.bench.worker``. It takes one JSON request a line on standard input and gives one JSON
reply a line on what was standard output; what libraries print goes to standard error. It measures nothing itself: the
meter stays with the parent, which only waits meanwhile. It ends when its input ends: after a parent that was killed it
answers the request at hand, and no other.

Requests: ``open`` (model, task, settings, items), ``load``, ``run`` (count), ``check``, ``close``.
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
from joulemark.workloads.backends import backend_for
from joulemark.workloads.models import model
from joulemark.workloads.seam import Answer, Backend, Item, Task
from joulemark.workloads.tasks import task

__all__ = ["main"]


class Worker:
    """Holds the backend and the last answers."""

    def __init__(self) -> None:
        self._backend: Backend | None = None
        self._task: Task | None = None
        self._settings: dict[str, Any] = {}
        self._items: tuple[Item, ...] = ()
        self._answered: list[tuple[Item, Answer]] = []

    def open(self, request: dict[str, Any]) -> dict[str, Any]:
        """Build the backend, without loading the model."""
        the_model = model(request["model"])
        self._task = task(request["task"])
        self._settings = {**self._task.defaults, **request["settings"]}
        self._items = self._task.items()[: request["items"]]
        self._backend = backend_for(the_model)(the_model.locate(), self._task.name, self._settings)
        return {}

    def load(self, request: dict[str, Any]) -> dict[str, Any]:
        """Load the model; reply with the versions of the libraries at work."""
        self._need().load()
        return {"software": _versions(getattr(self._backend, "distributions", ()))}

    def run(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer so many items, one at a time, from the beginning again when they run out."""
        backend, count = self._need(), int(request["count"])
        self._answered = []
        cpu_s = time.process_time()
        for i in range(count):
            item = self._items[i % len(self._items)]
            (answer,) = backend.run([item])
            self._answered.append((item, answer))
        return {"cpu_s": time.process_time() - cpu_s}

    def check(self, request: dict[str, Any]) -> dict[str, Any]:
        """Judge the answers of the last run."""
        assert self._task is not None  # noqa: S101 - `open` came first
        reasons = [self._task.check(item, answer, self._settings) for item, answer in self._answered]
        wrong = [reason for reason in reasons if reason is not None]
        # Answers that are none cannot be judged for quality.
        quality = None if wrong else self._task.quality(self._distinct())
        if quality is not None and not math.isfinite(quality.value):
            quality = None
        return {
            "units": len(reasons) - len(wrong),
            "invalid": len(wrong),
            "invalid_reason": wrong[0] if wrong else "",
            "tokens_in": _total([a.tokens_in for _, a in self._answered]),
            "tokens_out": _total([a.tokens_out for _, a in self._answered]),
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
