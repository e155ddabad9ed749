"""A Python function or class of the user's own, as a model."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from joulemark.errors import UsageError, WorkloadFailed
from joulemark.workloads.backends.options import text
from joulemark.workloads.seam import Answer, Item, Settings
from joulemark.workloads.tasks import tasks as all_tasks

__all__ = ["PythonCallable", "answer_of"]

_FIELDS = {field.name for field in fields(Answer)}


class PythonCallable:
    """A function that is handed the contents of some inputs as a list, and gives a list of as many answers.

    An answer is the output itself, an `Answer`, or a dict with the key ``output`` and any other attributes of `Answer`,
    such as ``tokens_out``. In the place of a function there may be a class: it is built without arguments when the
    model is loaded, and its methods ``load()`` and ``close()``, if it has them, and ``run(contents)`` are called.

    Settings: ``function``, as ``module:function``; modules of the current folder are found, too.
    """

    distributions: tuple[str, ...] = ()
    extra = ""
    tasks = tuple(all_tasks())
    accepts = ("function",)

    def __init__(self, files: Mapping[str, Path], task: str, settings: Settings) -> None:
        self._name = text(settings, "function", "")
        if not re.fullmatch(r"\w+(\.\w+)*:\w+", self._name):
            raise UsageError(f"The setting function must read 'module:function', not {self._name!r}.")
        self._owner: Any = None
        self._function: Callable[[list[Any]], Any] | None = None

    def load(self) -> None:
        """Import the function, or build and load the object.

        Raises:
            WorkloadFailed: if that fails in any way.
        """
        module, _, name = self._name.partition(":")
        if not {"", str(Path.cwd())} & set(sys.path):
            sys.path.insert(0, str(Path.cwd()))
        with self._theirs():
            found = getattr(importlib.import_module(module), name)
            if isinstance(found, type):
                self._owner = found()
                getattr(self._owner, "load", lambda: None)()
                found = self._owner.run
        if not callable(found):
            raise WorkloadFailed(f"{self._name} is no function, but {type(found).__name__}.")
        self._function = found

    def run(self, batch: Sequence[Item]) -> Sequence[Answer]:
        """Call the function once, with the contents of all items.

        Raises:
            WorkloadFailed: if it fails, or does not give as many answers.
        """
        if self._function is None:
            raise WorkloadFailed(f"{self._name} was asked before it was loaded. Call load() first.")
        with self._theirs():
            given = self._function([item.content for item in batch])
            answers = None if isinstance(given, str | Mapping) or not isinstance(given, Iterable) else list(given)
        if answers is None:
            raise WorkloadFailed(f"{self._name} must give a list of answers, not {type(given).__name__}.")
        if len(answers) != len(batch):
            raise WorkloadFailed(f"{self._name} gave {len(answers)} answers to {len(batch)} inputs.")
        return [answer_of(answer, self._name) for answer in answers]

    def close(self) -> None:
        """Close the object, once, if it can be closed."""
        owner, self._owner, self._function = self._owner, None, None
        if owner is not None:
            with self._theirs():
                getattr(owner, "close", lambda: None)()

    @contextmanager
    def _theirs(self) -> Iterator[None]:
        """Run code that is not ours: whatever it raises becomes a `WorkloadFailed` of one line."""
        try:
            yield
        except (Exception, SystemExit) as error:  # anything may happen there, and none of it is a fault of ours
            raise WorkloadFailed(f"{self._name} failed: {type(error).__name__}: {error}") from error


def answer_of(given: object, who: str) -> Answer:
    """Make an `Answer` of an output, an answer, or a dict with the key ``output``.

    Raises:
        WorkloadFailed: if the dict has a key that `Answer` does not know, or a count or time that is none.
    """
    if isinstance(given, Answer):
        return given
    if not (isinstance(given, Mapping) and "output" in given):
        return Answer(output=given)
    for name, value in given.items():
        if name not in _FIELDS:
            raise WorkloadFailed(f"{who} gave an answer with {name!r}; known are {', '.join(sorted(_FIELDS))}.")
        kind = int | float if name.endswith("_s") else int
        fits = isinstance(value, kind) and not isinstance(value, bool) and 0 <= value < float("inf")
        if name != "output" and value is not None and not fits:
            raise WorkloadFailed(f"{who} gave an answer whose {name} is {value!r}.")
    return Answer(**given)
