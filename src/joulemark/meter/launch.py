"""Starts the sampling process. It imports next to nothing, so that the process starts while the program still loads."""

from __future__ import annotations

import os
import sys

__all__ = ["Launched", "launch", "remove_folder"]

_COMMAND = "import sys; sys.path[:] = eval(sys.argv[1]); from joulemark.meter.process import serve; serve()"
FILES = ("order", "wake", "ring", "messages")


class Launched:
    """A sampling process that was started.

    Attributes:
        folder: where it and the program meet, as text.
        pid: of the process that was started; it leaves the sampling to a child of its own and ends.
        pipe: descriptor on which it will say what it found.
    """

    def __init__(self, folder: str, pid: int, pipe: int) -> None:
        self.folder = folder
        self.pid = pid
        self.pipe = pipe


def launch(order: dict[str, object]) -> Launched:
    """Start the sampling process.

    Args:
        order: what it is to do, in types that `repr` and `eval` carry; ``parent`` is added.

    Raises:
        OSError: if it cannot be started.
    """
    folder = _new_folder()
    reading, writing = os.pipe()
    try:
        os.mkfifo(f"{folder}/wake", 0o600)
        with open(f"{folder}/order", "w", encoding="utf-8") as file:
            file.write(repr({**order, "parent": os.getpid()}))
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-S", "-E", "-c", _COMMAND, repr(sys.path), folder],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, writing, 1),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            ],
            setsigmask=(),
            setsigdef=(1, 2, 13, 15, 17),  # HUP, INT, PIPE, TERM, CHLD: `signal` takes long to import
        )
    except OSError:
        os.close(reading)
        remove_folder(folder)
        raise
    finally:
        os.close(writing)
    return Launched(folder, pid, reading)


def _new_folder() -> str:
    """Make a folder in memory if the system has such a place; only this user can read it."""
    name = f"joulemark-{os.urandom(8).hex()}"
    try:
        os.mkdir(f"/dev/shm/{name}", 0o700)  # noqa: S108 - a fresh name that nobody can guess
    except OSError:
        folder = f"{os.environ.get('TMPDIR', '/tmp')}/{name}"  # noqa: S108 - likewise
        os.mkdir(folder, 0o700)
        return folder
    return f"/dev/shm/{name}"  # noqa: S108 - likewise


def remove_folder(folder: str) -> None:
    """Remove what the sampling process and the program shared."""
    for remove, path in (*((os.unlink, f"{folder}/{name}") for name in FILES), (os.rmdir, folder)):
        try:
            remove(path)
        except OSError:
            continue
