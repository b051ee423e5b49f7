"""Playing recorded tasks against a running service, as agents would."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from features.events import AgentEvent

PLAYED = "live-"


class ServiceError(RuntimeError):
    """The service answered something that an agent cannot work with."""


class Client(Protocol):
    """What is needed of an HTTP client: `httpx.Client` fits."""

    def post(self, url: str, *, json: Any) -> Any:
        """Send JSON, return the response."""


@dataclass(slots=True)
class Played:
    """What came of the tasks that were played.

    Attributes
    ----------
    tasks, steps : int
        Tasks begun, and decisions asked for.
    handed_over : list of (int, str)
        Handoffs that now stand in a queue, with the steps taken before.
    seconds : list of float
        Time from sending a step to having its decision, s.
    """

    tasks: int = 0
    steps: int = 0
    handed_over: list[tuple[int, str]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def quantile(self, share: float) -> float:
        """Return the time within which this share of the decisions came, s."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _step(client: Client, event: AgentEvent, played: Played) -> dict[str, Any]:
    line = event.to_json() | {"task_id": PLAYED + event.task_id}
    began = time.perf_counter()
    answer = client.post(f"/v1/tasks/{line['task_id']}/events", json={"events": [line]})
    played.seconds.append(time.perf_counter() - began)
    played.steps += 1
    if answer.status_code != 200:  # noqa: PLR2004 - the one status of a decision
        msg = f"step {event.event_id} of {line['task_id']}: {answer.text[:300]}"
        raise ServiceError(msg)
    return dict(answer.json())


def play(
    client: Client,
    tasks: Iterable[Sequence[AgentEvent]],
    *,
    until: Callable[[Played], bool],
) -> Played:
    """Play tasks step by step until `until` holds or none is left.

    Each event is one call, as an agent would make it, and a task stops where it is
    handed over. Outcomes are not sent: the agent does not know them.

    Raises
    ------
    ServiceError
        If a step is not answered with a decision.
    """
    played = Played()
    for task in tasks:
        played.tasks += 1
        events = (event for event in task if not event.is_outcome)
        for steps, event in enumerate(events, start=1):
            answer = _step(client, event, played)
            if answer["handoff"] is not None:
                handoff_id = str(answer["handoff"]["handoff_id"])
                played.handed_over.append((steps, handoff_id))
                break
        if until(played):
            break
    return played
