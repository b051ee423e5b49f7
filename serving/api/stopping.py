"""Stopping: word that the process was told to stop, before it waits for its calls."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType

_NUMBERS = (signal.SIGTERM, signal.SIGINT)


def on_stop(call: Callable[[], None]) -> None:
    """Have `call` called when SIGTERM or SIGINT comes, before what handles it now.

    A server that stops waits for the answers it is giving; one that is given for as
    long as somebody listens has to hear of it. Where nothing handles the signal, or
    outside the main thread, nothing is done: whoever runs the server there ends it.

    Parameters
    ----------
    call : callable
        Runs within a signal handler: it must neither block nor raise.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _NUMBERS:
        before = signal.getsignal(number)
        if callable(before):
            signal.signal(number, _both(call, before))


def _both(
    call: Callable[[], None], before: Callable[[int, FrameType | None], object]
) -> Callable[[int, FrameType | None], None]:
    def handle(number: int, frame: FrameType | None) -> None:
        call()
        before(number, frame)

    return handle
