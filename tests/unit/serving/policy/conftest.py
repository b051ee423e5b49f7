"""A small policy that loads, to be changed by each test in what it is about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from serving.policy.decision import Decision, Threshold
from serving.policy.inputs import Draw, Facts, Firing, Load
from serving.policy.rules import Policy
from serving.policy.trigger import decide

DOCUMENT: dict[str, Any] = {
    "version": "7",
    "owner": "risk-owner",
    "review_by": "2027-01-31",
    "rules": [
        {
            "name": "user_asks_for_human",
            "when": "asks_for_human >= 1.0",
            "says": "the user asked for a person {asks_for_human} times",
            "asks": "what the user wants",
            "priority": "high",
        },
        {
            "name": "loop",
            "when": "call_repeats >= 3.0",
            "says": "the same call came again {call_repeats} times in {domain}",
        },
    ],
    "queues": [
        {"name": "general", "owner": "lead", "members": ["ana", "ben"]},
        {"name": "billing", "owner": "lead", "members": ["chi"], "chain": ["general"]},
    ],
    "routes": [
        {"when": 'domain == "billing"', "queue": "billing"},
        {"queue": "general"},
    ],
    "messages": {"default": {"en": {"open": "Wait {wait}.", "closed": "Closed."}}},
}


@pytest.fixture
def document() -> dict[str, Any]:
    """Return a document of which a test may change anything."""
    copy: dict[str, Any] = orjson.loads(orjson.dumps(DOCUMENT))
    return copy


@pytest.fixture
def policy_of() -> Callable[..., Policy]:
    """Return a function that makes a policy of the document and what it is given."""

    def made(**changes: Any) -> Policy:
        return Policy.parse(orjson.dumps(DOCUMENT | changes).decode())

    return made


@pytest.fixture
def decided() -> Callable[..., Decision]:
    """Return a function that decides; what it is not given is unremarkable."""

    def made(
        policy: Policy,
        *,
        signals: dict[str, float] | None = None,
        facts: Facts | None = None,
        risk: float | None = None,
        load: Load | None = None,
        draw: Draw | None = None,
        certified: float | None = None,
        wishes: tuple[Firing, ...] = (),
        withdrawn: bool = False,
    ) -> Decision:
        return decide(
            signals or {},
            facts or Facts(),
            risk,
            policy,
            load or Load(),
            draw or Draw(uniform=0.5, targeted=0.5, canary=0.5),
            certificate=Threshold(threshold=certified),
            model_version="3",
            wishes=wishes,
            withdrawn=withdrawn,
        )

    return made
