"""Pinned files of real installed distributions: right, missing, and changed by one byte."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from joulemark.errors import WeightsMismatch, WeightsMissing
from joulemark.workloads import weights
from joulemark.workloads.weights import OwnFile, PinnedFile, sha256_of, size_of

CONTENT = b"weights" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages that holds one distribution, ``tiny-model`` 1.2.0."""
    info = tmp_path / "tiny_model-1.2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.2.0\n")
    package = tmp_path / "tiny_model"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('a package of weights is never imported')\n")
    (package / "model.bin").write_bytes(CONTENT)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_a_right_file_is_found_without_importing_its_package(site: Path) -> None:
    pin = PinnedFile("tiny-model", "1.2.0", "tiny_model/model.bin", SHA256)
    assert pin.locate() == site / "tiny_model" / "model.bin"
    assert pin.origin == "tiny-model==1.2.0: tiny_model/model.bin"


def test_a_repacked_file_with_the_same_bytes_is_welcome(site: Path) -> None:
    assert PinnedFile("tiny-model", "1.1.0", "tiny_model/model.bin", SHA256).locate().is_file()


def test_a_missing_package_says_what_to_install() -> None:
    with pytest.raises(WeightsMissing, match=r"pip install --no-deps no-such-model==3\.1"):
        PinnedFile("no-such-model", "3.1", "no_such_model/model.bin", SHA256).locate()


def test_a_missing_file_names_the_version_that_has_it(site: Path) -> None:
    with pytest.raises(WeightsMissing, match=r"version 1\.2\.0.*tiny-model==2\.0"):
        PinnedFile("tiny-model", "2.0", "tiny_model/other.bin", SHA256).locate()


def test_one_changed_byte_is_refused_with_both_hashes(site: Path) -> None:
    pin = PinnedFile("tiny-model", "1.2.0", "tiny_model/model.bin", SHA256)
    pin.locate()
    changed = b"W" + CONTENT[1:]
    (site / "tiny_model" / "model.bin").write_bytes(changed + b"!")
    with pytest.raises(WeightsMismatch) as caught:
        pin.locate()
    message = str(caught.value)
    assert SHA256 in message
    assert hashlib.sha256(changed + b"!").hexdigest() in message
    assert "--force-reinstall tiny-model==1.2.0" in message


def test_a_file_is_read_once_per_process(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = site / "tiny_model" / "model.bin"
    first = sha256_of(path)
    monkeypatch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("the file was hashed again"))
    assert sha256_of(path) == first == SHA256


def test_a_folder_is_hashed_as_the_shell_does_it(tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.txt", "A.txt", "a-b.txt"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(name)
    command = ["sh", "-c", "find . -type f | LC_ALL=C sort | xargs sha256sum | sha256sum"]
    shell = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert sha256_of(tmp_path) == shell.stdout.split()[0]
    assert size_of(tmp_path) == sum(map(len, ("b.txt", "a/z.txt", "A.txt", "a-b.txt")))
    before = sha256_of(tmp_path)
    (tmp_path / "b.txt").rename(tmp_path / "c.txt")
    assert sha256_of(tmp_path) != before


def test_an_own_file_is_found_beside_the_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_OWN", tmp_path)
    (tmp_path / "model.bin").write_bytes(CONTENT)
    assert OwnFile("model.bin", SHA256).locate() == tmp_path / "model.bin"
    with pytest.raises(WeightsMissing, match=r"other\.bin"):
        OwnFile("other.bin", SHA256).locate()
    with pytest.raises(WeightsMismatch, match=SHA256):
        OwnFile("model.bin", "0" * 64).locate()
