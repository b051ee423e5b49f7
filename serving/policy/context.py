"""The context of a handover, as a value: all that the next one to work on it needs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from serving.policy.attempts import Attempt
from serving.policy.briefing import shortened
from serving.policy.trigger import Firing

SCHEMA = "escalon.package/2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One message, as it came.

    Attributes
    ----------
    speaker : str
        "user", "agent" or "person": whoever had the task for a while.
    text : str
        Byte for byte.
    attachments : tuple of dict
        As they came; content-addressed where they carry a ``sha256``.
    rest : dict
        Whatever else the message carried, as it came.
    """

    event_id: str
    at: datetime
    speaker: str
    text: str
    attachments: tuple[Any, ...]
    rest: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Thought:
    """Something the agent thought before it acted, as it came."""

    event_id: str
    at: datetime
    kind: str
    content: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """A file that an event names, and whether its bytes are here.

    Attributes
    ----------
    event_id : str
        The event that names it.
    sha256 : str
        Of its bytes: how it is fetched.
    name, media_type : str
        As the event has them; empty if it does not.
    size : int, optional
        In bytes, as the event has it.
    stored : int, optional
        In bytes, as kept here; None: it was not sent by the time of the handover.
    """

    event_id: str
    sha256: str
    name: str
    media_type: str
    size: int | None
    stored: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """A signal's part in the score.

    Attributes
    ----------
    value : float, optional
        None while unknown.
    contribution : float
        Log-odds; with the base, they add up to the score.
    says : str
        The same in words.
    """

    signal: str
    value: float | None
    contribution: float
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextPackage:
    """All of a task that the next one to work on it needs.

    Attributes
    ----------
    schema : str
        Version of this form.
    task_id : str
        The task.
    task : dict
        Facts it started with, as they came: domain, channel, agent, account, …
    at : datetime
        Of the last event packed.
    request : str
        The original request.
    conversation : tuple of Turn
        Verbatim, in log order.
    attempts : tuple of Attempt
        What was tried, step by step.
    reasoning : tuple of Thought
        Plans, and reasoning the agent logged with its acts.
    record : tuple of dict
        Every other event, in its wire form: documents, results, verifiers, kinds of
        the sender's own, and what became of earlier handovers.
    background : tuple of dict
        How the task began, usage and rates of its like, in their wire form: they say
        little to a human, and are here so that nothing of the log is left out.
    log : tuple of str
        Ids of all events packed, in log order; `unpacking.events_in` gives them back.
    attachments : tuple of Attached
        Every file that an event names.
    best_guess : str
        The agent's last plan or message.
    why : tuple of Firing
        What fired, in words.
    risk, threshold : float, optional
        As in the decision.
    base, score : float, optional
        Where the contributions start, and what they add up to; log-odds.
    reasons : tuple of Reason
        The contributions, largest first.
    to_decide : tuple of str
        What the human must decide.
    may_not_know : tuple of str
        What the agent may not know.
    done : tuple of Attempt
        What was changed already and cannot be undone by looking away.
    signals : dict
        The known signals.
    missing : tuple of str
        What should be here and is not, and why.
    lacking : tuple of str
        The same as names of parts, see `sufficiency.PackagePart`; each once.
    """

    schema: str = SCHEMA
    task_id: str
    task: dict[str, Any]
    at: datetime
    request: str
    conversation: tuple[Turn, ...]
    attempts: tuple[Attempt, ...]
    reasoning: tuple[Thought, ...]
    record: tuple[dict[str, Any], ...]
    background: tuple[dict[str, Any], ...] = ()
    log: tuple[str, ...] = ()
    attachments: tuple[Attached, ...] = ()
    best_guess: str
    why: tuple[Firing, ...]
    risk: float | None
    threshold: float | None
    base: float | None
    score: float | None
    reasons: tuple[Reason, ...]
    to_decide: tuple[str, ...]
    may_not_know: tuple[str, ...]
    done: tuple[Attempt, ...]
    signals: dict[str, float]
    missing: tuple[str, ...]
    lacking: tuple[str, ...] = ()

    @property
    def short_request(self) -> str:
        """The request on one line, for lists."""
        return shortened(self.request)

    @property
    def account(self) -> dict[str, Any]:
        """The account at stake, as it came."""
        return dict(self.task.get("account") or {})

    def to_json(self) -> dict[str, Any]:
        """Return the wire form."""
        wire: dict[str, Any] = orjson.loads(orjson.dumps(self, option=orjson.OPT_UTC_Z))
        return wire

    def canonical(self) -> bytes:
        """Return the JSON that is stored and sent: keys sorted, UTF-8."""
        # By way of the wire form: the keys of a dataclass would not be sorted.
        return orjson.dumps(self.to_json(), option=orjson.OPT_SORT_KEYS)

    def digest(self) -> str:
        """Return the SHA-256 (hex) of the canonical form: its address."""
        return hashlib.sha256(self.canonical()).hexdigest()
