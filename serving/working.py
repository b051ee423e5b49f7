"""Working: the worker as a process of its own, beside services that share its store."""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType

from serving.composition import channels_of, engine_of, policy_of
from serving.settings import PREFIX, Settings
from serving.store.transaction import StoreBusyError

_log = logging.getLogger(__name__)


def work(settings: Settings, *, stop: threading.Event | None = None) -> None:
    """Do every round over the store until SIGTERM or Ctrl-C, then end each in order.

    Parameters
    ----------
    settings : Settings
        Those of the services; where to listen means nothing here.
    stop : Event, optional
        Ends it when set; signals are then left to whoever gives it.

    Raises
    ------
    PolicyError, ChannelsError
        If the policy or the file of the channels must not go live.
    StoreBusyError
        If the store is a file that another process writes to.
    StoreError
        If the store cannot be opened.
    """
    channels_of(settings).check(policy_of(settings))
    told = _on_signals() if stop is None else stop
    inside = settings.model_copy(update={"worker": "inside"})
    try:
        with engine_of(inside):
            told.wait()
    except StoreBusyError as error:
        msg = (
            f"{error}; a service on a SQLite file does the rounds itself unless "
            f"{PREFIX}WORKER is none: for workers of their own use PostgreSQL"
        )
        raise StoreBusyError(msg) from error


def _on_signals() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set."""
    told = threading.Event()

    def tell(number: int, _: FrameType | None) -> None:
        _log.info("stopping on signal %d", number, extra={"action": "worker_stopping"})
        told.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, tell)
    return told
