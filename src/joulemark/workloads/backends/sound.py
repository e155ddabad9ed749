"""Reading recordings, for the backends that listen."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

from joulemark.errors import WorkloadFailed

__all__ = ["RATE_HZ", "read_wav"]

RATE_HZ = 16_000


def read_wav(path: Path) -> Any:
    """Read a WAV file of 16 kHz, mono, 16 bits as a float32 array (samples,) in [-1, 1).

    Raises:
        WorkloadFailed: if it is no such file.
    """
    import numpy as np

    try:
        with wave.open(str(path), "rb") as file:
            form = (file.getframerate(), file.getnchannels(), file.getsampwidth())
            data = file.readframes(file.getnframes())
    except (OSError, EOFError, wave.Error) as error:
        raise WorkloadFailed(f"The recording {path} cannot be read: {error}.") from error
    if form != (RATE_HZ, 1, 2):
        raise WorkloadFailed(f"The recording {path} is not of 16 kHz, mono, 16 bits. Convert it first.")
    return np.frombuffer(data, dtype="<i2").astype(np.float32) / 32768
