"""Text generation: a model writes a fixed number of tokens on an everyday prompt."""

from __future__ import annotations

from joulemark.workloads.inputs import LICENCE, items_of
from joulemark.workloads.seam import Answer, Item, Settings, Task
from joulemark.workloads.tasks.forms import no_text, wrong_count

__all__ = ["TASK"]

_DEFAULTS: Settings = {"max_new_tokens": 64}


def check(item: Item, answer: Answer, settings: Settings) -> str | None:
    """An answer is a text of exactly the asked number of tokens, or of a free length with ``fixed_length: false``."""
    fault = no_text(item, answer, settings)
    return fault or wrong_count(item, answer, settings, "text", most=int(_DEFAULTS["max_new_tokens"]), fixed=True)


TASK = Task(
    name="text-generation",
    title="Text generation",
    unit="text",
    inputs="joulemark-prompts/2",
    licence=LICENCE,
    items=lambda: items_of("prompts"),
    check=check,
    defaults=_DEFAULTS,
)
