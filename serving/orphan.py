"""Orphan: a serving process ends with the supervisor that started it.

A supervisor that was killed leaves its processes behind. They would go on serving, and
hold the store, while nobody can stop or replace them.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time

_EVERY = 0.5  # s
_log = logging.getLogger(__name__)


def end_with_parent() -> None:
    """Have this process end, as by SIGTERM, soon after the one that started it has."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_EVERY)
        _log.warning("the supervisor is gone", extra={"action": "orphaned"})
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="orphan", daemon=True).start()
