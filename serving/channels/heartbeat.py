"""Heartbeat: an outside address hears from us while all is well; silence alarms it.

Whoever is asked whether they work can be dead and not answer, or be cut off from the
one who asks. So it is turned round: a watch elsewhere (a dead man's switch) expects a
call every minute, and raises the alarm when it does not come.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import httpx

_log = logging.getLogger(__name__)

_TIMEOUT = 10.0


class Heartbeat:
    """Calls an address after each round that ended well.

    Parameters
    ----------
    url : str
        What to GET. It may hold a secret, so it is never logged.
    timeout : float
        Longest wait for an answer, in s.
    """

    def __init__(self, url: str, *, timeout: float = _TIMEOUT) -> None:
        self._url = url
        self._timeout = timeout

    def after(self, check: Callable[[], object]) -> Callable[[], None]:
        """Return `check` with a beat behind it, which comes only if it does not raise.

        Parameters
        ----------
        check : callable
            One round; raises where anything is wrong.
        """

        def round_() -> None:
            check()
            self.send()

        return round_

    def send(self) -> bool:
        """Call the address; return whether it took the call.

        That it did not is no reason to end a round as bad: it is what the watch
        elsewhere is for.
        """
        try:
            answer = httpx.get(self._url, timeout=self._timeout)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            fault = type(error).__name__
        else:
            if answer.is_success:
                return True
            fault = str(answer.status_code)
        said = {"action": "heartbeat_failed", "fault": fault}
        _log.warning("the heartbeat did not arrive: %s", fault, extra=said)
        return False
