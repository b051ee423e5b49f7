"""Decision: what an agent is told after a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self


class Action(StrEnum):
    """What was decided."""

    CONTINUE = "CONTINUE"
    ESCALATE = "ESCALATE"
    SAFE_STOP = "SAFE_STOP"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What an agent is told after a step.

    Attributes
    ----------
    action : Action or None
        None where nothing was decided: on outcomes, or for whoever has the task.
    must_stop : bool
        Whether the agent has to stop now; the one thing to look at.
    message, message_id : str or None
        For the user; show each id once.
    owner : Mapping
        Who has the task now; empty where nobody could say.
    epoch : int or None
        Under which.
    reasons : sequence of str
        Why, for people.
    is_local : bool
        Whether it was decided here, because the service is away.
    answer : Mapping
        Everything the service answered.
    """

    action: Action | None
    must_stop: bool
    message: str | None = None
    message_id: str | None = None
    owner: Mapping[str, Any] = field(default_factory=dict)
    epoch: int | None = None
    reasons: Sequence[str] = ()
    is_local: bool = False
    answer: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """Return the decision in the service's `answer` to a step."""
        decided = answer.get("decision") or {}
        owner = answer.get("owner") or {}
        action = decided.get("action")
        return cls(
            action=None if action is None else Action(action),
            must_stop=owner.get("kind", "agent") != "agent",
            message=answer.get("message"),
            message_id=answer.get("message_id"),
            owner=owner,
            epoch=answer.get("epoch"),
            reasons=tuple(reason["says"] for reason in decided.get("reasons", ())),
            answer=answer,
        )
