"""Acts: whether what an agent sent of a task it had lost was done after the handover.

An agent in the middle of a turn cannot know of a handover that somebody else brought
about, and what it did before is no act of its after. So an event counts as done after
the handover only if it has an effect outside (a tool that is not known to read only, a
message to the user), and

* by the agent's own account it happened after the handover, by more than two clocks
  may differ; or
* it came in after the agent had been told to stop, by more than a call may be under
  way. The agent's own clock is no excuse then: whoever was told has no more to send.

All else is kept as in flight: tried, refused, shown to the human, but no alarm.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from features.events import AgentEvent, EventKind

# How far the clocks of agent and service may differ, and how long a call is under way.
TOLERANCE: Final = timedelta(seconds=2)

_TOOLS = frozenset({EventKind.TOOL_CALL, EventKind.TOOL_RESULT})
_HEARD = frozenset(
    {
        EventKind.TASK_STARTED,
        EventKind.USER_MESSAGE,
        EventKind.PERSON_MESSAGE,
        EventKind.HISTORY,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """When an agent lost its task, and when it came to know.

    Attributes
    ----------
    at : datetime
        Of the handover.
    told_at : datetime or None
        Of the first answer that told the agent; None: none did.
    """

    at: datetime
    told_at: datetime | None = None


def is_of_the_agent(event: AgentEvent) -> bool:
    """Whether the event says what the agent did, not what others said or decided."""
    return event.kind not in _HEARD and not event.is_outcome


def has_effect(event: AgentEvent) -> bool:
    """Whether something outside the agent may have changed by the event.

    A tool of which it is not known that it only reads may have changed something.
    """
    if event.kind in _TOOLS:
        return event.body.get("is_write") is not False
    return event.kind == EventKind.AGENT_MESSAGE


def acted(event: AgentEvent, lost: Lost, seen_at: datetime) -> bool:
    """Return whether `event` was done after the handover, see the module.

    Parameters
    ----------
    lost : Lost
        The handover by which the agent lost the task.
    seen_at : datetime
        When the event came in.
    """
    if not has_effect(event):
        return False
    if event.at > lost.at + TOLERANCE:
        return True
    return lost.told_at is not None and seen_at > lost.told_at + TOLERANCE
