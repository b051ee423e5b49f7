"""The part of the surface that platforms and their alarms ask: alive, ready, sound."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from serving.api.answers import Answer
from serving.api.operation import Operation
from serving.problems import ProblemType


class AliveAnswer(Answer):
    """The process answers."""

    status: Literal["alive"]


class ReadyAnswer(Answer):
    """What decides. Rules alone are ready, too."""

    status: Literal["ready"]
    model: str = Field(examples=["rules only: no model was given"])
    model_version: str | None
    model_problem: str | None
    model_made_at: datetime | None = Field(description="Null: it does not say.")
    degradation_rung: Literal[0, 1, 2] = Field(
        description="0: the model decides; 1: the last good one does; 2: rules alone."
    )
    policy_version: str
    mode: str
    audit_size: int
    audit_root: str


class LookItem(Answer):
    """One thing the auditor looks at, and how many are not as they must be."""

    look: str
    count: int
    since: datetime | None
    says: str


class EngineAnswer(Answer):
    """How old the last round of the auditor is in which all was well."""

    age_s: float
    last_good: datetime | None = Field(description="Null: none yet.")
    last: datetime | None = Field(description="Of this process; null: none yet.")
    repaired: int = Field(description="Handoffs that got their deadline back in it.")
    looks: list[LookItem]


_FAULTS = {
    "absent": "no model was given",
    "too_old": "the model is older than the policy allows; promote a new one",
}


def readiness(health: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``/readyz`` answers, of what the engine says of its health."""
    model = health["model"]
    why = model["problem"] or _FAULTS.get(model["fault"], model["fault"])
    if model["fault"] == "too_old":
        why = _FAULTS["too_old"]
    return {
        "status": "ready",
        "model": model["version"] if model["used"] else f"rules only: {why}",
        "model_version": model["version"],
        "model_problem": why if model["used"] else None,
        "model_made_at": model["made_at"],
        "degradation_rung": health["rung"],
        "policy_version": health["policy"]["version"],
        "mode": health["policy"]["mode"],
        "audit_size": health["store"]["records"],
        "audit_root": health["store"]["root"],
    }


HEALTH: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/healthz",
        name="healthz",
        who="platform",
        says="Whether the process answers.",
        answer=AliveAnswer,
        run=lambda *_: {"status": "alive"},
    ),
    Operation(
        method="GET",
        path="/healthz/engine",
        name="healthz_engine",
        who="platform",
        says="Whether handovers are on their way: age of the last good round.",
        answer=EngineAnswer,
        problems=(ProblemType.ENGINE_UNSOUND,),
        run=lambda engine, _: engine.auditor.found(),
    ),
    Operation(
        method="GET",
        path="/readyz",
        name="readyz",
        who="platform",
        says="Whether decisions are made and kept, and by what; rules alone are ready.",
        answer=ReadyAnswer,
        run=lambda engine, _: readiness(engine.ready()),
    ),
)
