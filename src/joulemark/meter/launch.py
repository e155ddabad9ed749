"""Starts the sampling process. It imports next to nothing, so that the process starts while the program still loads."""

from __future__ import annotations

import os
import sys

__all__ = ["Launched", "birth", "launch", "remove_folder"]

_COMMAND = "import sys; sys.path += eval(sys.argv[1]); from joulemark.meter.process import serve; serve()"
FILES = ("order", "ring", "wake")
MEMORY = "/dev/shm"  # noqa: S108 - folders there get fresh names that nobody can guess
PROC = "/proc"
RING_BYTES = 1_712_128
"""What a ring takes (`joulemark.meter.ring`), which is not imported here."""


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
        order: what it is to do, in types that `repr` and `eval` carry; ``parent`` and ``birth`` are added.

    Raises:
        OSError: if it cannot be started.
    """
    python = _interpreter()
    here = os.getpid()
    # The standard library's folders come first: nothing that lies beside the program takes the place of its modules.
    path = [os.path.abspath(place) for place in (*sys.path, f"{__file__}/../../..")]
    folder = _new_folder(repr({**order, "parent": here, "birth": birth(here)}))
    try:
        reading, writing = os.pipe()
        try:
            pid = _spawn(python, ["-ISc", _COMMAND, repr(path), folder], writing)
        except OSError:
            os.close(reading)
            raise
        finally:
            os.close(writing)
    except OSError:
        remove_folder(folder)
        raise
    return Launched(folder, pid, reading)


def _interpreter() -> str:
    """Give the path of this Python; what embeds Python would start itself anew under that name.

    Raises:
        OSError: if there is none.
    """
    path = sys.executable or ""
    if getattr(sys, "frozen", False) or not os.path.basename(path).lower().startswith(("python", "pypy")):
        raise FileNotFoundError(f"this program embeds Python: {path!r}")
    return path


def _spawn(python: str, arguments: list[str], answer: int) -> int:
    """Start Python in a session of its own, so that Ctrl-C does not reach it, with `answer` as its output."""

    def spawn(setsid: bool) -> int:
        return os.posix_spawn(
            python,
            [python, *arguments],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, answer, 1),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            ],
            setsid=setsid,
            setsigmask=(),
            setsigdef=(1, 2, 13, 15, 17),  # HUP, INT, PIPE, TERM, CHLD: `signal` takes long to import
        )

    try:
        return spawn(True)
    except NotImplementedError:  # an old C library; the process will see to it itself, a little later
        return spawn(False)


def _new_folder(order: str) -> str:
    """Make a folder with all that is needed, in memory if the system has room; only this user can read it.

    Raises:
        OSError: if there is room nowhere.
    """
    name = f"joulemark-{os.urandom(8).hex()}"
    try:
        return _filled(f"{MEMORY}/{name}", order)
    except OSError:
        return _filled(f"{os.environ.get('TMPDIR') or '/tmp'}/{name}", order)  # noqa: S108 - likewise


def _filled(folder: str, order: str) -> str:
    os.mkdir(folder, 0o700)
    try:
        os.mkfifo(f"{folder}/wake", 0o600)
        with open(f"{folder}/order", "w", encoding="utf-8") as file:
            file.write(order)
        with open(f"{folder}/ring", "wb") as ring:
            # A full disk shows now; later, at the first touch of a page, it would kill whoever touches it (SIGBUS).
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(ring.fileno(), 0, RING_BYTES)
            else:
                ring.write(bytes(RING_BYTES))
    except OSError:
        remove_folder(folder)
        raise
    return folder


def remove_folder(folder: str) -> None:
    """Remove what the sampling process and the program shared."""
    for remove, path in (*((os.unlink, f"{folder}/{name}") for name in FILES), (os.rmdir, folder)):
        try:
            remove(path)
        except OSError:
            continue


def birth(pid: int) -> tuple[str, ...] | None:
    """Tell a process from a later one of its number, and from another program that it may become (``exec``).

    Returns:
        What is its own (proc_pid_stat(5): ``starttime`` and ``startstack``; nothing where ``/proc`` does not tell), or
        None if it has ended, whether or not anybody has waited for it.
    """
    try:
        with open(f"{PROC}/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].decode().split()
        return None if fields[0] in "ZX" else (fields[19], fields[25])
    except (OSError, IndexError):
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass
    return ()
