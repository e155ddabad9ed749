"""Any program as a model: it is started once for each input, and what it prints is the answer."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from joulemark.errors import UsageError, WorkloadFailed
from joulemark.workloads.backends.callable import answer_of
from joulemark.workloads.backends.options import text, whole
from joulemark.workloads.seam import Answer, Item, Settings
from joulemark.workloads.tasks import tasks as all_tasks

__all__ = ["Command"]

_INPUT = "{input}"


class Command:
    """A command line, split as a shell would, and run without one.

    ``{input}`` in it stands for the text, or for the path of the file, of one input; without it the text, or what is
    in the file, is handed over on standard input. Named texts (a question and its context) are handed over as JSON.
    What the program prints is the answer: a text, or with the setting ``output = "json"`` one JSON value: the answer
    itself, or an object with ``output`` and any other attributes of `Answer`, such as ``tokens_out``.

    Settings: ``command``, ``output`` (``text`` or ``json``), ``timeout_s`` (whole seconds for one input).
    """

    distributions: tuple[str, ...] = ()
    extra = ""
    tasks = tuple(all_tasks())
    accepts = ("command", "output", "timeout_s")

    def __init__(self, files: Mapping[str, Path], task: str, settings: Settings) -> None:
        line = text(settings, "command", "")
        try:
            self._arguments = shlex.split(line)
        except ValueError as error:
            raise UsageError(f"The setting command, {line!r}, cannot be split: {error}.") from error
        if not self._arguments:
            raise UsageError("The setting command must name a program to start.")
        self._program = self._arguments[0]
        self._found: str | None = None
        self._output = text(settings, "output", "text", known=("text", "json"))
        self._timeout_s = whole(settings, "timeout_s", 300)

    def load(self) -> None:
        """See that the program is there; it loads its model by itself, for each input anew.

        Raises:
            WorkloadFailed: if it is not.
        """
        self._found = shutil.which(self._program)
        if self._found is None:
            raise WorkloadFailed(f"There is no program {self._program!r} that could be started.")

    def run(self, batch: Sequence[Item]) -> Sequence[Answer]:
        """Start the program for each input, one after the other.

        Raises:
            WorkloadFailed: if it cannot be started, ends with an error, takes too long, or prints what is no answer.
        """
        if self._found is None:
            raise WorkloadFailed(f"{self._program} was asked before it was loaded. Call load() first.")
        return [self._answer(item) for item in batch]

    def _answer(self, item: Item) -> Answer:
        printed = self._printed(*self._handed(item))
        if self._output == "text":
            return Answer(output=printed.strip())
        try:
            return answer_of(json.loads(printed), self._program)
        except ValueError as error:
            raise WorkloadFailed(f"{self._program} did not print one JSON value for {item.id}: {error}.") from error

    def _handed(self, item: Item) -> tuple[list[str], bytes | None]:
        """Give the arguments, and what goes to standard input."""
        content = item.content if isinstance(item.content, str | bytes | Path) else json.dumps(dict(item.content))
        if any(_INPUT in argument for argument in self._arguments):
            if isinstance(content, bytes):
                raise WorkloadFailed(f"The input {item.id} is no text and no file; leave {_INPUT} out of the command.")
            return [argument.replace(_INPUT, str(content)) for argument in self._arguments], None
        if isinstance(content, Path):
            content = content.read_bytes()
        return self._arguments, content.encode() if isinstance(content, str) else content

    def _printed(self, arguments: Sequence[str], handed: bytes | None) -> str:
        source = subprocess.DEVNULL if handed is None else subprocess.PIPE
        try:
            # A process group of its own, so that what it has started ends with it.
            process = subprocess.Popen(
                arguments, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0
            )
        except (OSError, ValueError) as error:  # the second: a text with a zero byte
            raise WorkloadFailed(f"{self._program} cannot be started: {error}.") from error
        with process:
            try:
                printed, said = process.communicate(handed, timeout=self._timeout_s)
            except subprocess.TimeoutExpired as error:
                raise WorkloadFailed(f"{self._program} did not end within {self._timeout_s} s.") from error
            finally:
                if process.returncode is None:
                    with suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
        if process.returncode:
            lines = said.decode(errors="replace").strip().splitlines()
            raise WorkloadFailed(f"{self._program} {_ended(process.returncode)}: {lines[-1] if lines else 'no reason'}")
        try:
            return printed.decode()
        except UnicodeDecodeError as error:
            raise WorkloadFailed(f"{self._program} printed something that is no text in UTF-8.") from error

    def close(self) -> None:
        """Forget the program; nothing of it is held."""
        self._found = None


def _ended(code: int) -> str:
    if code > 0:
        return f"ended with exit code {code}"
    with suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by the signal {-code}"
