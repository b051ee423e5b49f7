"""Service: calls over HTTP, again where that can help, and what their answers mean."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from escalon_client.errors import OwnershipLost, Refused, ServiceAway

Json = Mapping[str, Any]

_AWAY = frozenset({429, 500, 502, 503, 504})
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0


class Service:
    """The calls to one service. Safe from many threads.

    Every call made through it may be made twice: events are known by their ids, a wish
    for a human is one while it is open.

    Parameters
    ----------
    url : str
        Where the service answers.
    timeout : float
        Longest wait for one answer, in s.
    patience : float
        Longest time, in s, over which a call is made again.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float,
        patience: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._http = httpx.Client(base_url=url, timeout=timeout)
        self._patience = patience
        self._clock = clock
        self._sleep = sleep
        self._away_until = 0.0

    @property
    def is_away(self) -> bool:
        """Whether it did not answer a moment ago, so that asking again is waste."""
        return self._clock() < self._away_until

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def call(self, method: str, path: str, body: Json | None = None) -> Json:
        """Return the answer to a call, made again while nobody answers.

        Raises
        ------
        OwnershipLost
            If the task belongs to somebody else.
        Refused
            If the service will not have it.
        ServiceAway
            If nobody answered in time, or only that they cannot.
        """
        until, pause = self._clock() + self._patience, _FIRST_PAUSE
        while True:
            answer, why = self._once(method, path, body)
            if answer is not None and answer.status_code not in _AWAY:
                self._away_until = 0.0
                return _read(path, answer)
            wait = max(pause, _retry_after(answer))
            if self._clock() + wait > until:
                self._away_until = self._clock() + wait
                msg = f"expected an answer to {method} {path}, found {why}; try later"
                raise ServiceAway(msg)
            self._sleep(wait)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _once(
        self, method: str, path: str, body: Json | None
    ) -> tuple[httpx.Response | None, str]:
        try:
            answer = self._http.request(method, path, json=body)
        except httpx.TransportError as error:
            return None, type(error).__name__
        return answer, str(answer.status_code)


def _retry_after(answer: httpx.Response | None) -> float:
    """Return after how many s the service wants to be asked again; 0: it says none."""
    told = "" if answer is None else answer.headers.get("retry-after", "")
    return min(float(told), _LONGEST_PAUSE) if told.isdecimal() else 0.0


def _read(path: str, answer: httpx.Response) -> Json:
    try:
        found = answer.json()
    except ValueError:
        found = None
    told: Json = found if isinstance(found, dict) else {}
    if answer.is_success:
        return told
    refused = Refused(answer.status_code, told)
    if refused.slug != "stale-epoch":
        raise refused
    raise OwnershipLost(
        str(told.get("task_id", path)),
        owner=told.get("owner") or {},
        epoch=told.get("epoch"),
        message=told.get("message"),
        message_id=told.get("message_id"),
    ) from refused
