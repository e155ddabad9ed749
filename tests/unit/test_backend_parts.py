"""Small parts of backends whose right answers can be written down by hand."""

from __future__ import annotations

import sys
import wave
from pathlib import Path

import pytest

from joulemark.errors import MissingExtra, WorkloadFailed
from joulemark.workloads.backends.entities import spans
from joulemark.workloads.backends.onnx_magika import features
from joulemark.workloads.backends.onnx_vad import stretches
from joulemark.workloads.backends.options import require
from joulemark.workloads.backends.sound import read_wav


def test_tags_of_tokens_become_spans() -> None:
    #       [CLS]  Clara           Hoff              ##man             lives      Rome      [SEP]
    tags = ["O", "B-GIVEN_NAME", "B-SURNAME", "O", "O", "I-CITY", "B-CITY"]
    words = [None, 0, 1, 1, 2, 3, None]
    offsets = [(0, 0), (0, 5), (6, 10), (10, 13), (14, 19), (20, 24), (0, 0)]
    assert spans(tags, words, offsets) == (("GIVEN_NAME", 0, 5), ("SURNAME", 6, 13), ("CITY", 20, 24))


def test_words_of_one_label_join_when_they_go_on_or_touch() -> None:
    # "Baker Street" goes on with I-; "a@b" touches; "Rome" and "Oslo" are two cities.
    offsets = [(0, 5), (6, 12), (13, 14), (14, 15), (15, 16), (17, 21), (22, 26)]
    tags = ["B-STREET", "I-STREET", "B-EMAIL", "B-EMAIL", "I-EMAIL", "B-CITY", "B-CITY"]
    expected = (("STREET", 0, 12), ("EMAIL", 13, 16), ("CITY", 17, 21), ("CITY", 22, 26))
    assert spans(tags, range(7), offsets) == expected


def test_speech_begins_at_one_half_and_ends_below_a_third() -> None:
    # Frames of 32 ms; 0.4 is not enough to begin, but enough to go on.
    probabilities = [0.1, 0.4, 0.6, 0.4, 0.9, 0.3, 0.1, 0.7]
    frames = [(round(start / 0.032), round(end / 0.032)) for start, end in stretches(probabilities)]
    assert frames == [(2, 5), (7, 8)]
    assert stretches([]) == ()


def test_magika_sees_both_ends_of_a_file_without_white_space() -> None:
    config = {"beg_size": 4, "end_size": 4, "block_size": 6, "padding_token": 256}
    assert features(b" ab\n", config) == [97, 98, 10, 256, 256, 32, 97, 98]
    assert features(b"abcdefgh  ", config) == [*b"abcd", *b"efgh"]
    # Only a block of six bytes is looked at from either end.
    assert features(b"      x" + b"y" * 9, config) == [256] * 4 + [*b"yyyy"]


def test_sound_is_read_in_units_of_full_scale(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    write_wav(path, rate=16_000)
    assert read_wav(path).tolist() == [0.0, 0.5, -1.0]
    write_wav(path, rate=8_000)
    with pytest.raises(WorkloadFailed, match="16 kHz"):
        read_wav(path)
    path.write_bytes(b"no sound")
    with pytest.raises(WorkloadFailed, match="cannot be read"):
        read_wav(path)


def write_wav(path: Path, *, rate: int) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(b"\x00\x00\x00\x40\x00\x80")


def test_a_runtime_that_lacks_something_is_not_called_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "half_a_runtime.py").write_text("import no_such_library\n")
    (tmp_path / "broken_runtime.py").write_text("raise ImportError('libfoo.so.1: cannot open shared object file')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingExtra, match=r"joulemark\[speech\]"):
        require("no_runtime_at_all", package="no-runtime", extra="speech", purpose="A test")
    with pytest.raises(WorkloadFailed, match="no_such_library"):
        require("half_a_runtime", package="half-a-runtime", extra="speech", purpose="A test")
    with pytest.raises(WorkloadFailed, match="libfoo"):
        require("broken_runtime", package="broken-runtime", extra="speech", purpose="A test")
    assert "broken_runtime" not in sys.modules
