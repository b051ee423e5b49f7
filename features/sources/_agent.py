"""What an agent's message gives."""

from __future__ import annotations

from features import text
from features.events import AgentEvent
from features.sources._memory import Talk, Work
from features.sources._tokens import (
    identifiers,
    key,
    likeness,
    share_outside,
    telling,
    tokens,
)

Values = dict[str, float]


def message(event: AgentEvent, talk: Talk, work: Work) -> Values:
    """Return what an agent's message says, against what it has done."""
    said = text.read(event.text, "agent")
    found = tokens(event.text)
    claims = said["claims_done"] > 0
    values = {
        "agent_message": 1.0,
        "agent_words": said["words"],
        "agent_questions": said["questions"],
        "agent_numbers": said["numbers"],
        "agent_hedges": said["hedges"],
        "agent_apologies": said["apologies"],
        "agent_refusals": said["refusals"],
        "agent_troubles": said["troubles"],
        "agent_closes": float(said["closings"] > 0),
        "agent_offers": said["offers"],
        "agent_identifiers": float(len(identifiers(found))),
        "agent_claims_done": float(claims),
        "empty_claim": float(claims and not work.written_in_turn),
        "claim_after_failure": float(claims and work.failed),
        "failure_passed_over": float(work.failed),
        "transfer_promise": float(said["promises_transfer"] > 0),
        "agent_key": key(text.normalised(event.text)),
    }
    talk.promised = said["promises"] > 0
    return values | _novelty(found, talk) | _self_reported(event)


def _novelty(found: set[str], talk: Talk) -> Values:
    """Return in how far an agent repeats itself."""
    words = telling(found)
    values = {"agent_echo": likeness(words, talk.agent_message)}
    if words:
        values["agent_news"] = share_outside(words, talk.by_agent)
    talk.agent_message = words
    talk.by_agent |= found
    return values


def _self_reported(event: AgentEvent) -> Values:
    values = {}
    confidence = event.body.get("confidence") or {}
    if confidence.get("value") is not None:
        values["confidence"] = float(confidence["value"])
    readings = event.body.get("interpretations")
    if readings is not None:
        count = len(readings) if isinstance(readings, list) else readings
        values["interpretations"] = float(count)
    return values
