"""What a chat model is told for each task, the same words in every backend that talks to one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from joulemark.errors import UsageError, WorkloadFailed
from joulemark.workloads.backends.options import text
from joulemark.workloads.seam import Item, Settings

__all__ = ["CHAT_TASKS", "answer_text", "labels_of", "prompt_of", "refuse_other_tasks"]

_LABELS = ("positive", "negative")

_PROMPTS = {
    "text-generation": "{text}",
    "chat": "{text}",
    "summarization": "{text}\n\nWrite one sentence that summarizes the text above.",
    "text-classification": "Is this review positive or negative? Answer with one word.\n\n{text}",
    "question-answering": "{context}\n\nAnswer with a few words taken from the text above.\n\n{question}",
    "code-completion": "Complete this code. Answer with the code that comes next, and nothing else.\n\n{prefix}",
}
_CHOICE = "Which of these fits the text: {choice}? Answer with one of them, and nothing else.\n\n{text}"
_GAP = "Fill the gap in this code. Answer with the code in the gap, and nothing else.\n\n{prefix}# GAP\n{suffix}"
_FENCED = re.compile(r"\s*```\w*\n(.*?)(?:```|$)", re.DOTALL)

CHAT_TASKS = tuple(_PROMPTS)


def labels_of(settings: Settings) -> tuple[str, ...]:
    """Read the labels of text classification, with commas between them.

    Raises:
        UsageError: if there are fewer than two: a chat model has no classes of its own.
    """
    labels = tuple(filter(None, (label.strip() for label in text(settings, "labels", ",".join(_LABELS)).split(","))))
    if len(labels) < 2:
        raise UsageError(f"The setting labels must name two labels or more with commas between them, not {labels!r}.")
    return labels


def prompt_of(task: str, item: Item, *, labels: Sequence[str] = _LABELS, continued: bool = False) -> str:
    """Give the text that the model is handed.

    Args:
        task: one of `CHAT_TASKS`.
        item: its content is a text, or texts by the names that the task's prompt uses.
        labels: those of text classification.
        continued: whether the model goes on with a text, rather than being told what to do: code is then handed over
            as it is.

    Raises:
        WorkloadFailed: if the item lacks a text that the task needs.
    """
    content = item.content
    # A plain text is the only one that there is, whatever the task calls it.
    texts = content if isinstance(content, Mapping) else {"text": content, "prefix": content}
    prompt = _PROMPTS[task]
    if task == "code-completion" and continued:
        prompt = "{prefix}"
    elif task == "code-completion" and texts.get("suffix"):
        prompt = _GAP
    elif tuple(labels) != _LABELS and task == "text-classification":
        texts, prompt = {**texts, "choice": ", ".join(labels)}, _CHOICE
    try:
        return prompt.format_map(texts)
    except KeyError as error:
        raise WorkloadFailed(f"The input {item.id} has no {error.args[0]}, which {task} needs.") from error


def answer_text(task: str, written: str) -> str:
    """Take the answer out of what a chat model writes around it: quotes, a full stop, the fence around code."""
    if task == "code-completion":  # its indentation counts
        fenced = _FENCED.match(written)
        return fenced[1] if fenced else written
    if task == "question-answering":
        return written.strip().rstrip(".").strip("\"'“” ")
    return written.strip()


def refuse_other_tasks(task: str, who: str) -> None:
    """Refuse a task that is not told in words.

    Raises:
        UsageError: if `task` is none of `CHAT_TASKS`.
    """
    if task not in CHAT_TASKS:
        raise UsageError(f"{who} is asked for {task!r}, but can only do {', '.join(CHAT_TASKS)}.")
