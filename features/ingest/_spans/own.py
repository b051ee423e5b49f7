"""What a span says in our own words: attributes and metadata under ``escalation.``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from features.ingest._spans.observation import Evaluation
from features.ingest._talk.content import identifier
from features.ingest._talk.messages import Wire, without_null

_P = "escalation."
_FACTS = ("domain", "channel", "locale")
_ACCOUNT = ("id", "value", "tier")
_MEAN = _P + "logprob.mean"
_SURE = _P + "self.confidence"


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """What our own attributes of one span say; the fields of an `Observation`."""

    task_id: str | None = None
    facts: Wire = field(default_factory=dict)
    confidence: Wire | None = None
    interpretations: Any = None
    evaluations: tuple[Evaluation, ...] = ()


def number_of(value: Any) -> Any:
    """Return `value` as a number where it is one in text; else as it came."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return value


def own(attributes: Mapping[Any, Any], span_id: str, ended: datetime | None) -> Own:
    """Return what `attributes` of a span say in our words.

    Parameters
    ----------
    attributes : Mapping
        By dotted name.
    span_id : str
        The span.
    ended : datetime or None
        When it ended; a verifier on it spoke then.
    """
    if not any(isinstance(n, str) and n.startswith(_P) for n in attributes):
        return Own()
    account = {n: attributes.get(f"{_P}account.{n}") for n in _ACCOUNT}
    account["id"] = identifier(account["id"])
    account["value"] = number_of(account["value"])
    facts = {n: attributes.get(f"{_P}task.{n}") for n in _FACTS}
    return Own(
        task_id=identifier(attributes.get(_P + "task.id")),
        facts=without_null(facts | {"account": without_null(account) or None}),
        confidence=_confidence(attributes),
        interpretations=number_of(attributes.get(_P + "self.interpretations")),
        evaluations=_verifier(attributes, span_id, ended),
    )


def _confidence(attributes: Mapping[str, Any]) -> Wire | None:
    value = number_of(attributes.get(_SURE))
    if value is not None:
        source = attributes.get(_SURE + "_source") or "verbalized"
        return {"value": value, "source": source}
    mean = number_of(attributes.get(_MEAN))
    if isinstance(mean, bool) or not isinstance(mean, int | float):
        return None
    return {"value": math.exp(min(0.0, mean)), "source": "logprob"}


def _verifier(
    attributes: Mapping[str, Any], span_id: str, ended: datetime | None
) -> tuple[Evaluation, ...]:
    name = attributes.get(_P + "verifier.name")
    told = {
        "agree": _truth(attributes.get(_P + "verifier.agree")),
        "score": number_of(attributes.get(_P + "verifier.score")),
    }
    if name is None and told["agree"] is None and told["score"] is None:
        return ()
    answers = (v for v in told.values() if isinstance(v, bool | int | float))
    answer = next(answers, None)
    judged = Evaluation(
        name=str(name or "verifier"),
        key=f"{span_id}.verifier",
        score=answer,
        at=ended,
        about=span_id,
        extra={k: v for k, v in told.items() if v is not None and v is not answer},
    )
    return (judged,)


def _truth(value: Any) -> Any:
    words = {"true": True, "false": False}
    return words.get(value.lower(), value) if isinstance(value, str) else value
