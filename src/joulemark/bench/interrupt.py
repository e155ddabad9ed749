"""Ctrl-C during a trial: the trial is finished first."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

__all__ = ["finish_first"]


@contextlib.contextmanager
def finish_first() -> Iterator[None]:
    """Hold back the first Ctrl-C until the block is done; a second one is not held back.

    Only a program's main thread gets signals; in others this does nothing.

    Raises:
        KeyboardInterrupt: when the block is done, if there was one meanwhile.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed = False

    def note(number: int, frame: object) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(signal.SIGINT, before)

    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt
