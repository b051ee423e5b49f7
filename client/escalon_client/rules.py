"""Rules: when an agent has to stop by itself, while nobody can be asked.

They are few and plain on purpose. The service decides by far more, and it decides
again on the same events once it is back.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalRules:
    """How far an agent may go on while the service is away.

    Attributes
    ----------
    tool_errors : int
        Tool calls in a row that failed.
    repeats : int
        Calls of one tool with the same arguments.
    tool_calls : int
        Tool calls in all, since the task began here.
    message : str
        What the user is told.
    """

    tool_errors: int = 3
    repeats: int = 3
    tool_calls: int = 50
    message: str = (
        "I cannot go on with this by myself just now, so I have stopped. What you "
        "wrote is kept, and a colleague will be asked to take over."
    )


class Watch:
    """Counts over the events of one task what local rules ask.

    Parameters
    ----------
    rules : LocalRules
        The limits.
    """

    def __init__(self, rules: LocalRules) -> None:
        self._rules = rules
        self._errors = 0
        self._calls = 0
        self._made: Counter[str] = Counter()
        self._taken: set[object] = set()

    def take(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Take in what happened; what was taken in before changes nothing."""
        for event in events:
            if event.get("event_id") in self._taken:
                continue
            self._taken.add(event.get("event_id"))
            match event.get("kind"):
                case "tool_call":
                    self._calls += 1
                    self._made[_call(event)] += 1
                case "tool_result":
                    self._errors = self._errors + 1 if event.get("error") else 0
                case _:
                    pass

    def forget(self) -> None:
        """Begin anew: somebody has looked at the task."""
        self._errors = self._calls = 0
        self._made.clear()

    def reason(self) -> str | None:
        """Return why the agent has to stop; None: it may go on."""
        rules = self._rules
        if self._errors >= rules.tool_errors:
            return f"{self._errors} tool calls in a row failed"
        most = max(self._made.values(), default=0)
        if most >= rules.repeats:
            return f"the same tool call was made {most} times"
        if self._calls >= rules.tool_calls:
            return f"{self._calls} tool calls were made"
        return None


def _call(event: Mapping[str, Any]) -> str:
    made = [event.get("tool"), event.get("arguments")]
    return json.dumps(made, sort_keys=True, default=repr)
