"""Voice activity detection: from when to when does somebody speak?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from joulemark.workloads.inputs import FOLDER, LICENCE, records
from joulemark.workloads.seam import Answer, Item, Quality, Settings, Task

__all__ = ["TASK"]

Stretch = tuple[float, float]


def items() -> tuple[Item, ...]:
    """Recordings (WAV, 16 kHz, mono, 16 bits); expected is (start, end) of the speech in seconds."""
    return tuple(
        Item(id=record["id"], content=FOLDER / record["file"], expected=tuple(record["spoken_s"]))
        for record in records("recordings")
    )


def check(item: Item, answer: Answer, settings: Settings) -> str | None:
    """An answer is one or more stretches of time, in order and apart: somebody speaks in every recording."""
    if not isinstance(answer.output, Sequence) or isinstance(answer.output, str) or not answer.output:
        return f"No speech was found in {item.id}."
    last = 0.0
    for stretch in answer.output:
        match stretch:
            case (float(start), float(end)) if last <= start < end:
                last = end
            case _:
                return f"The answer to {item.id} has {stretch!r}, no stretch of time after {last:.2f} s."
    return None


def quality(pairs: Sequence[tuple[Item, Answer]]) -> Quality | None:
    """Time that is found and spoken, by time that is found or spoken (intersection over union)."""
    if not pairs:
        return None
    found = spoken = both = 0.0
    for item, answer in pairs:
        begin, finish = cast("Stretch", item.expected)
        spoken += finish - begin
        for start, end in cast("Sequence[Stretch]", answer.output):
            found += end - start
            both += max(0.0, min(end, finish) - max(start, begin))
    return Quality(metric="intersection over union", value=both / (found + spoken - both), n=len(pairs))


TASK = Task(
    name="voice-activity-detection",
    title="Voice activity detection",
    unit="recording",
    inputs="joulemark-recordings/1",
    licence=LICENCE,
    items=items,
    check=check,
    quality=quality,
)
