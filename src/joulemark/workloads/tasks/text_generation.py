"""Text generation: a chat model writes a fixed number of tokens on an everyday prompt."""

from __future__ import annotations

from joulemark.workloads.inputs import LICENCE, items_of
from joulemark.workloads.seam import Answer, Item, Settings, Task

__all__ = ["TASK"]

_DEFAULTS: Settings = {"max_new_tokens": 64}


def check(item: Item, answer: Answer, settings: Settings) -> str | None:
    """An answer is a text of exactly the asked number of tokens: energy per text means nothing otherwise."""
    asked = settings.get("max_new_tokens", _DEFAULTS["max_new_tokens"])
    if not isinstance(answer.output, str) or not answer.output.strip():
        return f"The text for {item.id} is empty."
    if answer.tokens_out != asked:
        return f"The text for {item.id} has {answer.tokens_out} tokens instead of {asked}."
    return None


TASK = Task(
    name="text-generation",
    title="Text generation",
    unit="text",
    inputs="joulemark-prompts/1",
    licence=LICENCE,
    items=lambda: items_of("prompts"),
    check=check,
    defaults=_DEFAULTS,
)
