"""Voice activity detection with Silero's graph in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from joulemark.workloads.backends import onnx
from joulemark.workloads.backends.options import role, threads
from joulemark.workloads.backends.sound import RATE_HZ, read_wav
from joulemark.workloads.seam import Answer, Item, Settings

__all__ = ["OnnxVad", "stretches"]

FRAME = 512
"""Samples a step: 32 ms."""
CONTEXT = 64
"""Samples of the step before that the graph sees again (silero_vad/utils_vad.py)."""
SPEECH_FROM, SPEECH_UNTIL = 0.5, 0.35
"""Probabilities at which speech begins and ends; two, so that it does not flicker (Silero's defaults)."""


class OnnxVad:
    """Silero's recurrent graph ``weights``, fed with 32 ms of sound at a time, one recording after the other.

    Settings: ``threads``. Output: a tuple of (start, end) of speech in seconds.
    """

    distributions = ("onnxruntime", "numpy")
    accepts = ("threads",)

    def __init__(self, files: Mapping[str, Path], task: str, settings: Settings) -> None:
        self._weights = role(files, "weights")
        self._threads = threads(settings)
        self._session: Any = None

    def load(self) -> None:
        """Open the graph; raises as `onnx.session` does."""
        self._session = onnx.session(self._weights, self._threads, purpose="Voice activity detection with ONNX Runtime")

    def run(self, batch: Sequence[Item]) -> Sequence[Answer]:
        """Find the speech in each recording."""
        return [Answer(output=stretches(self._probabilities(Path(str(item.content))))) for item in batch]

    def _probabilities(self, path: Path) -> list[float]:
        import numpy as np

        sound = read_wav(path)
        sound = np.pad(sound, (CONTEXT, -len(sound) % FRAME))
        state = np.zeros((2, 1, 128), dtype=np.float32)
        rate = np.array(RATE_HZ, dtype=np.int64)
        found = []
        for start in range(0, len(sound) - CONTEXT, FRAME):
            window = sound[None, start : start + CONTEXT + FRAME]
            probability, state = self._session.run(None, {"input": window, "state": state, "sr": rate})
            found.append(float(probability[0, 0]))
        return found

    def close(self) -> None:
        """Free the graph."""
        self._session = None


def stretches(probabilities: Sequence[float]) -> tuple[tuple[float, float], ...]:
    """Join the frames of speech to stretches (start, end) in seconds."""
    step_s = FRAME / RATE_HZ
    found: list[tuple[float, float]] = []
    start: int | None = None
    for number, probability in enumerate([*probabilities, 0.0]):
        if start is None and probability >= SPEECH_FROM:
            start = number
        elif start is not None and probability < SPEECH_UNTIL:
            found.append((start * step_s, number * step_s))
            start = None
    return tuple(found)
