"""Inputs of the tasks: texts, pictures and recordings of our own, CC0-1.0."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from joulemark.workloads.seam import Item

__all__ = ["FOLDER", "LICENCE", "items_of", "pictures", "records"]

LICENCE = "CC0-1.0"

FOLDER = Path(__file__).parent


def records(name: str) -> list[dict[str, Any]]:
    """Read the items of ``inputs/NAME.json`` as they are written there."""
    document = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    items: list[dict[str, Any]] = document["items"]
    return items


def items_of(name: str) -> tuple[Item, ...]:
    """Read ``inputs/NAME.json`` as items whose content is a text, or several with their names."""
    return tuple(
        Item(id=r["id"], content=r["content"] if "content" in r else r["text"], expected=r.get("expected"))
        for r in records(name)
    )


def pictures(expected: Callable[[dict[str, Any]], object]) -> tuple[Item, ...]:
    """Read the pictures (PNG, 640 x 480), each with what is expected of its record."""
    return tuple(Item(id=r["id"], content=FOLDER / r["file"], expected=expected(r)) for r in records("pictures"))
