"""What is asked: one module a task, each exporting `TASK`.

A plugin is an entry point of the group ``joulemark.tasks`` that leads to a `Task`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from joulemark.errors import UnknownName
from joulemark.workloads.plugins import plugins
from joulemark.workloads.seam import Task

__all__ = ["task", "tasks"]

_MODULES = (
    "text_generation",
    "chat",
    "code_completion",
    "summarization",
    "question_answering",
    "text_classification",
    "token_classification",
    "fill_mask",
    "sentence_embeddings",
    "content_type_detection",
    "automatic_speech_recognition",
    "voice_activity_detection",
    "text_to_speech",
    "image_classification",
    "object_detection",
    "image_captioning",
    "image_generation",
    "video_generation",
)


@cache
def tasks() -> Mapping[str, Task]:
    """All tasks by name."""
    found = (importlib.import_module(f"{__name__}.{module}").TASK for module in _MODULES)
    own: dict[str, Task] = {task.name: task for task in found}
    return MappingProxyType(own | plugins("joulemark.tasks", Task, taken=own))


def task(name: str) -> Task:
    """Find a task by name.

    Raises:
        UnknownName: if there is none, with the nearest names.
    """
    known = tasks()
    if name not in known:
        raise UnknownName("task", name, known)
    return known[name]
