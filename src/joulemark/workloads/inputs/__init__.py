"""Inputs of the tasks: texts and recordings of our own, CC0-1.0, and their hash for the record."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from joulemark.workloads.seam import Item, Task

__all__ = ["FOLDER", "LICENCE", "inputs_sha256", "items_of", "records"]

LICENCE = "CC0-1.0"

FOLDER = Path(__file__).parent


def records(name: str) -> list[dict[str, Any]]:
    """Read the items of ``inputs/NAME.json`` as they are written there."""
    document = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    items: list[dict[str, Any]] = document["items"]
    return items


def items_of(name: str) -> tuple[Item, ...]:
    """Read ``inputs/NAME.json`` as items whose content is a text."""
    return tuple(Item(id=r["id"], content=r["text"], expected=r.get("expected")) for r in records(name))


def inputs_sha256(task: Task) -> str:
    """Hash what a task asks: the id and the bytes of each item, in order (not the expected answers)."""
    digest = hashlib.sha256()
    for item in task.items():
        for part in _parts(item):
            # The length in front keeps two different splits of the same bytes apart.
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def _parts(item: Item) -> Iterable[bytes]:
    yield item.id.encode()
    content = item.content
    if isinstance(content, Path):
        yield content.read_bytes()
    else:
        yield content.encode() if isinstance(content, str) else content
