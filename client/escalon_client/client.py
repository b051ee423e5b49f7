"""Client: the way to one Escalon service, and the tasks of this process."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Self

from escalon_client.errors import ServiceAway
from escalon_client.rules import LocalRules
from escalon_client.service import Service
from escalon_client.spool import Spool
from escalon_client.task import Task


class Escalon:
    """The way to one service. Safe to share between threads.

    Parameters
    ----------
    url : str
        Where the service answers, such as ``"http://127.0.0.1:3000"``.
    timeout : float
        Longest wait for one answer, in s.
    patience : float
        Longest time, in s, over which one call is made again before the service
        counts as away.
    spool : str or Path
        Directory in which events wait while it is; of this process alone.
    rules : LocalRules, optional
        How far agents may go on by themselves then.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 5.0,
        patience: float = 5.0,
        spool: str | Path = "var/escalon-spool",
        rules: LocalRules | None = None,
    ) -> None:
        self._service = Service(url, timeout=timeout, patience=patience)
        self._spool = Spool(Path(spool))
        self._rules = rules or LocalRules()
        self._tasks: dict[str, Task] = {}
        self._gate = threading.Lock()

    def task(self, task_id: str) -> Task:
        """Return the task called `task_id`, the same one each time."""
        with self._gate:
            if task_id not in self._tasks:
                made = Task(task_id, self._service, self._spool, self._rules)
                self._tasks[task_id] = made
            return self._tasks[task_id]

    def replay(self) -> int:
        """Send what waited for the service, of every task; return how many calls.

        Also what an earlier process left. Whatever could not be sent waits on.
        """
        sent = 0
        for task_id in self._spool.task_ids():
            try:
                sent += self.task(task_id).replay()
            except ServiceAway:
                break
        return sent

    def close(self) -> None:
        """Let go of the connections; what waits, waits on the disk."""
        self._service.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
