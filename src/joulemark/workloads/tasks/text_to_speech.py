"""Text to speech: say a sentence."""

from __future__ import annotations

from joulemark.workloads.inputs import LICENCE, items_of
from joulemark.workloads.seam import Answer, Item, Settings, Task
from joulemark.workloads.tasks.forms import is_twin

__all__ = ["FASTEST", "QUIET_BELOW", "SLOWEST", "TASK"]

QUIET_BELOW = 1e-3
"""Sound with a smaller root mean square, of full scale 1, is silence (-60 dB; assumption of ours)."""

FASTEST, SLOWEST = 40.0, 3.0
"""Characters a second that somebody may say at most and at least; English is read at about 15 (assumption of ours)."""


def check(item: Item, answer: Answer, settings: Settings) -> str | None:
    """An answer is (samples, rate): an array (n,) of finite numbers in [-1, 1] or of 16-bit integers, and n a second.

    It is not silent, and neither far too short nor far too long for the sentence.
    """
    import numpy as np

    match answer.output:
        case (np.ndarray() as samples, int(rate)) if samples.ndim == 1 and rate > 0 and len(samples):
            pass
        case _:
            return f"The answer to {item.id} is no sound (an array of samples and their rate)."
    full = float(np.iinfo(samples.dtype).max) if np.issubdtype(samples.dtype, np.integer) else 1.0
    level = samples.astype(np.float64) / full
    if not np.isfinite(level).all():
        return f"The sound for {item.id} has samples that are no numbers."
    if is_twin(settings):
        return None
    if float(np.sqrt(np.mean(level**2))) < QUIET_BELOW:
        return f"The sound for {item.id} is silent."
    length_s = len(samples) / rate
    characters = len(str(item.content))
    if not characters / FASTEST <= length_s <= characters / SLOWEST:
        return f"The sound for {item.id} lasts {length_s:.2f} s, which is no time to say {characters} characters in."
    return None


TASK = Task(
    name="text-to-speech",
    title="Text to speech",
    unit="text",
    inputs="joulemark-lines/1",
    licence=LICENCE,
    items=lambda: items_of("speech"),
    check=check,
)
