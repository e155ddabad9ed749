"""Speech recognition with Whisper in CTranslate2's format, through faster-whisper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from joulemark.errors import WorkloadFailed
from joulemark.workloads.backends.options import require, role, text, threads
from joulemark.workloads.backends.sound import read_wav
from joulemark.workloads.seam import Answer, Item, Settings

__all__ = ["Whisper"]


class Whisper:
    """A folder ``model`` with weights and tokenizer, on the processor; greedy (beam 1), no retries, no timestamps.

    Whisper's usual retries with a higher temperature would make some trials dearer than others, so there are none.
    Settings: ``threads``, ``compute_type`` (``float32``, the default, or ``int8``), ``language`` (``en``).
    """

    distributions = ("faster-whisper", "ctranslate2", "numpy")
    accepts = ("threads", "compute_type", "language")

    def __init__(self, files: Mapping[str, Path], task: str, settings: Settings) -> None:
        self._folder = role(files, "model")
        self._threads = threads(settings)
        self._compute_type = text(settings, "compute_type", "float32", known=("float32", "int8"))
        self._language = text(settings, "language", "en")
        self._model: Any = None

    def load(self) -> None:
        """Read the weights; nothing is looked up on a network.

        Raises:
            MissingExtra: if faster-whisper is not installed.
            WorkloadFailed: if CTranslate2 refuses the folder.
        """
        package = require("faster_whisper", package="faster-whisper", extra="speech", purpose="Speech recognition")
        try:
            self._model = package.WhisperModel(
                str(self._folder),
                device="cpu",
                compute_type=self._compute_type,
                cpu_threads=self._threads or 0,
                local_files_only=True,
            )
        except (RuntimeError, ValueError) as error:
            raise WorkloadFailed(f"CTranslate2 refuses {self._folder.name}: {error}") from error

    def run(self, batch: Sequence[Item]) -> Sequence[Answer]:
        """Write down what is said in each recording, one after the other."""
        return [self._answer(Path(str(item.content))) for item in batch]

    def _answer(self, path: Path) -> Answer:
        segments, _ = self._model.transcribe(
            read_wav(path),
            language=self._language,
            beam_size=1,
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=True,
        )
        spoken = list(segments)  # transcribe() is lazy: the work is done here
        return Answer(
            output=" ".join(segment.text.strip() for segment in spoken),
            tokens_out=sum(len(segment.tokens) for segment in spoken),
        )

    def close(self) -> None:
        """Free the weights."""
        self._model = None
