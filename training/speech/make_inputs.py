"""Make the recordings of the speech tasks: sentences of our own, spoken by a text-to-speech model (CC0-1.0).

    pip install --no-deps hibari-tts==0.2.1    # and numpy, onnxruntime, scipy
    python training/speech/make_inputs.py src/joulemark/workloads/inputs

Each recording is half a second of silence, one sentence, half a second of silence: 16 kHz, mono, 16 bits.
``recordings.json`` says what is spoken, and from when to when.
"""

from __future__ import annotations

import json
import sys
import wave
from pathlib import Path

import numpy as np
from hibari import Hibari
from numpy.typing import NDArray
from scipy.signal import resample_poly

RATE = 16_000
SILENCE_S = 0.5
SENTENCES = (
    "The ferry to the island leaves early in the morning.",
    "Please water the tomatoes while I am away.",
    "She found an old map behind the library shelf.",
    "It rained all night, and the river is high.",
)


def speak(voice: Hibari, sentence: str, seed: int) -> NDArray[np.int16]:
    """Synthesise a sentence at 24 kHz, bring it to 16 kHz and half of full scale, and cut off its silent ends."""
    sound = resample_poly(voice(sentence, seed=seed), 2, 3)
    loud = np.flatnonzero(np.abs(sound) > 0.01 * np.abs(sound).max())
    sound = sound[loud[0] : loud[-1] + 1]
    scaled: NDArray[np.int16] = np.round(sound / np.abs(sound).max() * 0.5 * 32767).astype(np.int16)
    return scaled


def main(folder: Path) -> None:
    """Write the recordings and their list into a folder."""
    voice = Hibari(threads=1)
    silence = np.zeros(round(SILENCE_S * RATE), dtype=np.int16)
    items = []
    for number, sentence in enumerate(SENTENCES, 1):
        speech = speak(voice, sentence, seed=number)
        name = f"sentence-{number:02}.wav"
        with wave.open(str(folder / name), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(np.concatenate([silence, speech, silence]).astype("<i2").tobytes())
        spoken = [SILENCE_S, round(SILENCE_S + len(speech) / RATE, 3)]
        items.append({"id": f"recording-{number:02}", "file": name, "text": sentence, "spoken_s": spoken})
    lines = ",\n".join("    " + json.dumps(item) for item in items)
    text = '{\n  "licence": "CC0-1.0",\n  "items": [\n' + lines + "\n  ]\n}\n"
    (folder / "recordings.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
