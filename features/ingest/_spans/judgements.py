"""Scores, feedback and assessments as events: a verifier's, or a human's verdict.

Their numbers have no common range and their words no common meaning. A number in
[0, 1] is taken as the log gives it, more being better, save under a name that says the
opposite; any other number is kept and read by no signal.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

from features.events import EventKind
from features.ingest._spans.observation import Evaluation
from features.ingest._talk.messages import Wire, without_null

ANNOTATION = "annotation"  # kind of a judgement that is neither signal nor label
# Later than this after the task's last step, a judgement is hindsight.
_IN_TIME = timedelta(minutes=10)

_LONGEST = 100  # characters of a name or a label that are looked at
_NEEDED = frozenset(
    {
        "need_human",
        "needed_human",
        "needs_human",
        "human_needed",
        "escalation_needed",
        "escalation.needed",
    }
)
_GOOD = frozenset({"pass", "passed", "true", "yes", "correct", "ok", "success"})
_BAD = frozenset({"fail", "failed", "false", "no", "incorrect", "error", "failure"})
# Whole words of a name under which more is worse.
_WORSE = frozenset(
    {"toxicity", "hallucination", "bias", "harm", "harmfulness", "risk", "jailbreak"}
)


def judgement(told: Evaluation, latest: datetime | None) -> Wire:
    """Return the event of `told`, in wire form without task, id and time.

    Parameters
    ----------
    told : Evaluation
        What was judged.
    latest : datetime or None
        When the task's latest step ended.
    """
    if told.name[:_LONGEST].lower() in _NEEDED:
        return _verdict(told)
    hindsight = told.at is None or (latest is not None and told.at - latest > _IN_TIME)
    kind = ANNOTATION if told.is_human or hindsight else EventKind.VERIFIER
    body = {
        "verifier": told.name,
        "about": told.about,
        "text": told.text,
        "by": told.by,
        "raw_score": told.score,
        "label": told.label,
        "extra": dict(told.extra) or None,
    }
    return {"kind": kind} | without_null(body) | _read(told)


def _read(told: Evaluation) -> Wire:
    """Return `agree` or `score`, where the judgement can be read as one."""
    worse = bool(
        _WORSE & set(told.name[:_LONGEST].lower().replace("-", "_").split("_"))
    )
    answer = _answer(told)
    if answer is not None:
        return {"agree": answer != worse}
    score = told.score
    if score is None or not math.isfinite(score) or not 0 <= score <= 1:
        return {}
    return {"score": 1.0 - score if worse else float(score)}


def _answer(told: Evaluation) -> bool | None:
    if isinstance(told.score, bool):
        return told.score
    word = (told.label or "")[:_LONGEST].strip().lower()
    if told.score is None and word in _GOOD | _BAD:
        return word in _GOOD
    return None


def _verdict(told: Evaluation) -> Wire:
    body: dict[str, Any] = {
        "needed": _needed(told),
        "by": told.by,
        "note": told.text,
        "source": "human" if told.is_human else "log",
        "extra": dict(told.extra) or None,
    }
    return {"kind": EventKind.VERDICT} | without_null(body)


def _needed(told: Evaluation) -> str:
    word = (told.label or "")[:_LONGEST].strip().lower()
    if word == "uncertain" or (told.score is None and not word):
        return "uncertain"
    if word in _GOOD | _BAD:
        return "yes" if word in _GOOD else "no"
    if told.score in (0, 1):
        return "yes" if told.score else "no"
    # Neither: the contract refuses it and shows what stood there.
    return word or str(told.score)
