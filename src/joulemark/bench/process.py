"""The parent's side of a worker process."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from joulemark.errors import JoulemarkError, MissingExtra, WorkloadFailed

__all__ = ["WorkerProcess"]

CLOSE_S = 10.0


class WorkerProcess:
    """A fresh process that holds one model.

    It runs in a session of its own, so that Ctrl-C reaches the parent alone, which then ends it in order.

    Args:
        answer_s: longest time that it may take for a reply, in seconds; without end if None.
    """

    def __init__(self, answer_s: float | None = None) -> None:
        self._answer_s = answer_s
        self._read = b""
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "joulemark.bench.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(kill=kind is not None)

    def ask(self, op: str, **request: Any) -> dict[str, Any]:
        """Send a request and wait, without spinning, for its reply.

        Raises:
            MissingExtra: if the model's runtime is not installed.
            WorkloadFailed: if the model failed in any other way, or the process died or did not answer in time.
        """
        assert self._process.stdin is not None  # noqa: S101 - a pipe was asked for
        try:
            self._process.stdin.write(json.dumps({"op": op, **request}).encode() + b"\n")
            self._process.stdin.flush()
            line = self._line(op)
        except OSError:
            line = b""
        if not line.endswith(b"\n"):  # nothing, or a line that was cut off
            raise WorkloadFailed(f"The worker process died during {op!r} ({self._epitaph()}).")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise _named(reply["error"])
        result: dict[str, Any] = reply["ok"]
        return result

    def _line(self, op: str) -> bytes:
        """Wait for a line, without spinning; what there was of it if the process ended.

        Raises:
            WorkloadFailed: if it does not come in time.
        """
        assert self._process.stdout is not None  # noqa: S101 - a pipe was asked for
        descriptor = self._process.stdout.fileno()
        deadline = None if self._answer_s is None else time.monotonic() + self._answer_s
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        while b"\n" not in self._read:
            left_ms = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1e3
            if not poll.poll(left_ms):
                self._process.kill()
                raise WorkloadFailed(f"The model did not finish {op!r} within {self._answer_s:g} s (answer_s).")
            part = os.read(descriptor, 1 << 16)
            if not part:
                break
            self._read += part
        line, end, self._read = self._read.partition(b"\n")
        return line + end

    def _epitaph(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(CLOSE_S)
        code = self._process.returncode
        how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        self._log.seek(0)
        last = self._log.read().decode(errors="replace").strip().splitlines()[-1:]
        return f"{how}: {last[0]}" if last else how

    def close(self, *, kill: bool = False) -> None:
        """End the process."""
        if kill:
            self._process.kill()
        try:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                self._process.communicate(timeout=CLOSE_S)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            self._log.close()


def _named(error: Mapping[str, str]) -> JoulemarkError:
    """Give the worker's error a class of this side: a missing extra stays one, all else is the workload's failure."""
    if error["kind"] == MissingExtra.__name__:
        missing = MissingExtra.__new__(MissingExtra)
        Exception.__init__(missing, error["message"])
        return missing
    return WorkloadFailed(error["message"])
