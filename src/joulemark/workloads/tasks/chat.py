"""Chat: answer a question or a request, with reasoning before the answer or without."""

from __future__ import annotations

from joulemark.workloads.inputs import LICENCE, items_of
from joulemark.workloads.seam import Answer, Item, Settings, Task
from joulemark.workloads.tasks.forms import is_twin, no_words

__all__ = ["TASK"]


def check(item: Item, answer: Answer, settings: Settings) -> str | None:
    """An answer is a text behind any reasoning, and there is no reasoning where none is asked for."""
    reasoning, written = answer.tokens_reasoning or 0, answer.tokens_out
    if reasoning < 0 or (written is not None and reasoning > written):
        return f"The answer to {item.id} has {reasoning} tokens of reasoning among {written}."
    if reasoning and not settings.get("reasoning", False):
        return f"The model reasoned about {item.id} ({reasoning} tokens) although reasoning is off."
    if reasoning and not str(answer.output or "").strip() and not is_twin(settings):
        return f"There is no answer to {item.id}: all {written} tokens went into reasoning. Raise max_new_tokens."
    return no_words(item, answer, settings, "answer")


TASK = Task(
    name="chat",
    title="Chat",
    unit="answer",
    inputs="joulemark-chats/1",
    licence=LICENCE,
    items=lambda: items_of("chats"),
    check=check,
    # As long as the model will; fixed_length asks for exactly max_new_tokens.
    defaults={"max_new_tokens": 512, "reasoning": False, "fixed_length": False},
)
