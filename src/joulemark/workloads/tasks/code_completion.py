"""Code completion: go on with a Python program, or fill the gap in it."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import cast

from joulemark.workloads.inputs import LICENCE, items_of
from joulemark.workloads.seam import Answer, Item, Quality, Settings, Task
from joulemark.workloads.tasks.forms import no_words

__all__ = ["TASK", "completed", "parses"]

_STOP = re.compile(r"\n(class|def|#|if|print)")
"""Where a completion leaves the function that was asked for: the stop words of Chen et al. 2021, arXiv:2107.03374."""


def check(item: Item, answer: Answer, settings: Settings) -> str | None:
    """An answer is a text."""
    return no_words(item, answer, settings, "completion")


def completed(content: Mapping[str, str], completion: str) -> str:
    """Put the program together; without a suffix, what follows the function is cut off."""
    if "suffix" not in content:
        completion = _STOP.split(completion, maxsplit=1)[0]
    return f"{content['prefix']}{completion}{content.get('suffix', '')}"


def parses(program: str) -> bool:
    """Tell whether it is Python; nothing is run."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def quality(pairs: Sequence[tuple[Item, Answer]]) -> Quality | None:
    """Share of programs that parse: that they do what they should is not looked into."""
    if not pairs:
        return None
    right = sum(parses(completed(cast("Mapping[str, str]", i.content), str(a.output))) for i, a in pairs)
    return Quality(metric="share that parses", value=right / len(pairs), n=len(pairs))


TASK = Task(
    name="code-completion",
    title="Code completion",
    unit="completion",
    inputs="joulemark-code/1",
    licence=LICENCE,
    items=lambda: items_of("code"),
    check=check,
    quality=quality,
    defaults={"max_new_tokens": 64},
)
