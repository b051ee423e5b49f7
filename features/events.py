"""The event contract: what one line of a task's log may say."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import orjson


class EventKind(StrEnum):
    """What happened. Outcome kinds carry labels and never feed a signal.

    `HISTORY` is written by the service itself, see `features.history`.
    """

    TASK_STARTED = "task_started"
    USER_MESSAGE = "user_message"
    AGENT_MESSAGE = "agent_message"
    PLAN = "plan"
    TOOL_CALL = "tool_call"
    TOOL_RESULT = "tool_result"
    VERIFIER = "verifier"
    RETRIEVAL = "retrieval"
    ARTIFACT = "artifact"
    USAGE = "usage"
    HISTORY = "history"
    PERSON_MESSAGE = "person_message"
    PACKAGE_RATING = "package_rating"
    HANDOFF = "handoff"
    CLAIMED = "claimed"
    RETURNED = "returned"
    RESOLVED = "resolved"
    VERDICT = "verdict"
    COMPLAINT = "complaint"
    REOPENED = "reopened"
    AUDIT_VERDICT = "audit_verdict"
    COMPLETED = "completed"


OUTCOME_KINDS = frozenset(
    {
        # Words of whoever took over: no signal of how the agent does.
        EventKind.PERSON_MESSAGE,
        # What they say of the package: a label of our packer, not of the task.
        EventKind.PACKAGE_RATING,
        EventKind.HANDOFF,
        EventKind.CLAIMED,
        EventKind.RETURNED,
        EventKind.RESOLVED,
        EventKind.VERDICT,
        EventKind.COMPLAINT,
        EventKind.REOPENED,
        EventKind.AUDIT_VERDICT,
        EventKind.COMPLETED,
    }
)


class ContractError(ValueError):
    """Input that breaks the event contract.

    Attributes
    ----------
    event_id : str or None
        The event that is wrong, where it could be read.
    field : str
        Path of the field, such as ``"confidence.value"``.
    expected, found : str
        What the contract asks for, and what stood there.
    """

    def __init__(
        self, *, field: str, expected: str, found: str, event_id: str | None = None
    ) -> None:
        super().__init__(
            f"event {event_id!r}: `{field}` must be {expected}, found {found}"
        )
        self.event_id = event_id
        self.field = field
        self.expected = expected
        self.found = found


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentEvent:
    """One immutable line of a task's log.

    Attributes
    ----------
    task_id : str
        The task the event belongs to.
    event_id : str
        Idempotency key, unique in its task.
    at : datetime
        When it happened, timezone-aware. Informative: log order is the order.
    kind : str
        An `EventKind` value, or a kind of the sender's own, kept as it came.
    body : Mapping
        Every other field, by kind, kept as it came. Not to be mutated.

    Raises
    ------
    ContractError
        If `at` has no timezone.
    """

    task_id: str
    event_id: str
    at: datetime
    kind: str
    body: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.at.utcoffset() is None:
            raise ContractError(
                event_id=self.event_id,
                field="at",
                expected="timezone-aware (attach UTC where the log is read)",
                found=self.at.isoformat(),
            )

    @property
    def is_outcome(self) -> bool:
        """Whether the event reveals what became of the task."""
        return self.kind in OUTCOME_KINDS

    @property
    def text(self) -> str:
        """The event's text, or the empty string."""
        text = self.body.get("text")
        return text if isinstance(text, str) else ""

    def to_json(self) -> dict[str, Any]:
        """Return the wire form: one flat object, `at` in RFC 3339 UTC."""
        head = {
            "task_id": self.task_id,
            "event_id": self.event_id,
            "at": self.at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "kind": str(self.kind),
        }
        return head | dict(self.body)

    def digest(self) -> str:
        """Return the SHA-256 (hex) of the canonical wire form."""
        canonical = orjson.dumps(self.to_json(), option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(canonical).hexdigest()


# --- the contract, field by field -------------------------------------------

_WHOLE = 2**63


@dataclass(frozen=True, slots=True)
class _Check:
    """A named condition on one value."""

    expected: str
    holds: Callable[[Any], bool]


def _is_number(value: Any) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    # Beyond 64 bits a whole number has no wire form, and may be no float at all.
    return abs(value) < _WHOLE if isinstance(value, int) else math.isfinite(value)


def _is_list_of(kind: type) -> Callable[[Any], bool]:
    return lambda v: isinstance(v, list) and all(isinstance(x, kind) for x in v)


def _one_of(*values: str) -> _Check:
    return _Check("one of " + ", ".join(values), lambda v: v in values)


_TEXT = _Check("a string", lambda v: isinstance(v, str))
_ID = _Check("a non-empty string", lambda v: isinstance(v, str) and v != "")
_BOOL = _Check("true or false", lambda v: isinstance(v, bool))
_UNIT = _Check("a number in [0, 1]", lambda v: _is_number(v) and 0 <= v <= 1)
# What was never drawn has no label, so a label's propensity is not zero.
_CHANCE = _Check("a number in (0, 1]", lambda v: _is_number(v) and 0 < v <= 1)
_AMOUNT = _Check("a number >= 0", lambda v: _is_number(v) and v >= 0)
_NUMBER = _Check("a number", _is_number)
_OBJECTS = _Check("a list of objects", _is_list_of(dict))
_NAMES = _Check("a list of strings", _is_list_of(str))
_ANY = _Check("any JSON value", lambda _: True)
_INTERPRETATIONS = _Check(
    "a whole number >= 0 or a list",
    lambda v: isinstance(v, list) or (type(v) is int and 0 <= v < _WHOLE),
)
_ERROR = _Check(
    "true, false, or an object with a `type`",
    lambda v: isinstance(v, bool) or (isinstance(v, dict) and "type" in v),
)
_NEEDED = _one_of("yes", "no", "uncertain")

_MESSAGE = {"text": _TEXT, "attachments": _OBJECTS}
_REVIEW = {"needed": _NEEDED, "by": _ID, "note": _TEXT, "propensity": _CHANCE}

# Path -> check; a leading "!" marks a required field.
_FIELDS: dict[str, dict[str, _Check]] = {
    EventKind.TASK_STARTED: {
        "domain": _TEXT,
        "channel": _TEXT,
        "locale": _TEXT,
        "agent_id": _TEXT,
        "agent_version": _TEXT,
        "model": _TEXT,
        "text": _TEXT,
        "group": _TEXT,
        "tenant": _TEXT,
        "task_type": _TEXT,
        "account.id": _TEXT,
        "account.value": _AMOUNT,
        "account.tier": _TEXT,
    },
    EventKind.USER_MESSAGE: _MESSAGE,
    EventKind.AGENT_MESSAGE: _MESSAGE
    | {
        "confidence.value": _UNIT,
        "confidence.source": _one_of("logprob", "verbalized", "self_critique"),
        "interpretations": _INTERPRETATIONS,
    },
    EventKind.PERSON_MESSAGE: _MESSAGE | {"by": _ID, "handoff_id": _ID},
    EventKind.PACKAGE_RATING: {
        "by": _ID,
        "handoff_id": _ID,
        "sufficient": _BOOL,
        "missing": _NAMES,
        "note": _TEXT,
    },
    EventKind.PLAN: {"text": _TEXT},
    EventKind.TOOL_CALL: {
        "!tool": _ID,
        "arguments": _ANY,
        "call_id": _TEXT,
        "is_write": _BOOL,
    },
    EventKind.TOOL_RESULT: {
        "call_id": _TEXT,
        "tool": _TEXT,
        "text": _TEXT,
        "reference": _TEXT,
        "error": _ERROR,
        "latency_ms": _AMOUNT,
    },
    EventKind.VERIFIER: {
        "verifier": _TEXT,
        "score": _UNIT,
        "agree": _BOOL,
        "about": _TEXT,
        "text": _TEXT,
    },
    EventKind.RETRIEVAL: {"documents": _OBJECTS, "attachments": _OBJECTS},
    EventKind.ARTIFACT: {"text": _TEXT, "attachments": _OBJECTS},
    EventKind.USAGE: {"tokens_in": _AMOUNT, "tokens_out": _AMOUNT, "cost": _AMOUNT},
    EventKind.HISTORY: {
        "task_type": _TEXT,
        "domain_rate": _UNIT,
        "version_rate": _UNIT,
        "cell_rate": _UNIT,
        "cell_n": _AMOUNT,
        "expected_rate": _UNIT,
        "type_rate": _NUMBER,
        "type_excess": _NUMBER,
        "type_n": _AMOUNT,
        "pair_rate": _NUMBER,
    },
    EventKind.VERDICT: _REVIEW | {"!needed": _NEEDED},
    EventKind.AUDIT_VERDICT: _REVIEW | {"!needed": _NEEDED, "!propensity": _CHANCE},
    EventKind.RESOLVED: _REVIEW,
    EventKind.COMPLAINT: {"verified": _BOOL, "text": _TEXT},
    EventKind.REOPENED: {"text": _TEXT},
}


def known_fields(kind: str) -> frozenset[str]:
    """Return the fields of a body that the contract knows for events of `kind`."""
    paths = _FIELDS.get(kind, {})
    return frozenset(path.removeprefix("!").partition(".")[0] for path in paths)


_MAX_SHOWN = 60


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except RecursionError:
        text = f"a {type(value).__name__} nested beyond any use"
    except ValueError:
        text = f"a {type(value).__name__} of too many digits to show"
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"


_MISSING = object()


def _at_path(body: Mapping[str, Any], path: str) -> Any:
    value: Any = body
    for key in path.split("."):
        if not isinstance(value, Mapping) or key not in value:
            return _MISSING
        value = value[key]
    return value


def _check_body(kind: str, event_id: str, body: Mapping[str, Any]) -> None:
    for marked, check in _FIELDS.get(kind, {}).items():
        path = marked.removeprefix("!")
        head, dot, _ = path.partition(".")
        value = _at_path(body, path)
        if dot and body.get(head) is not None and not isinstance(body[head], Mapping):
            raise ContractError(
                event_id=event_id,
                field=head,
                expected="an object",
                found=_shown(body[head]),
            )
        if value is _MISSING or value is None:
            if path != marked:
                raise ContractError(
                    event_id=event_id,
                    field=path,
                    expected=f"present, {check.expected}",
                    found="nothing",
                )
            continue
        if not check.holds(value):
            raise ContractError(
                event_id=event_id,
                field=path,
                expected=check.expected,
                found=_shown(value),
            )


# Levels that a value may have to be written at all, and those kept for what is around.
_DEEPEST, _AROUND = 254, 54


def _wrapped(value: Any) -> Any:
    for _ in range(_AROUND):
        value = [value]
    return value


def _check_wire_form(event_id: str, line: Mapping[str, Any]) -> None:
    """Raise unless `line` can be written back: what lands is stored and hashed."""
    try:
        written = orjson.dumps(line)
        if written.count(b"[") + written.count(b"{") > _DEEPEST - _AROUND:
            # Packages, answers and envelopes of other systems are written around it.
            orjson.dumps(_wrapped(line))
    except TypeError as error:
        raise ContractError(
            event_id=event_id,
            field="event",
            expected="JSON with text in UTF-8, whole numbers of 64 bits and at most "
            f"{_DEEPEST - _AROUND} levels",
            found=str(error),
        ) from error


def parse_time(value: Any, *, event_id: str | None = None) -> datetime:
    """Return `value` (RFC 3339 text) as an aware datetime in UTC.

    Raises
    ------
    ContractError
        If it is not such a text, or names no timezone.
    """
    try:
        at = datetime.fromisoformat(value)
        utc = at.astimezone(UTC) if at.utcoffset() is not None else None
    except (TypeError, ValueError, OverflowError):
        utc = None
    if utc is None:
        raise ContractError(
            event_id=event_id,
            field="at",
            expected="RFC 3339 with a timezone, like 2026-01-31T09:00:00Z",
            found=_shown(value),
        )
    return utc


_HEAD = ("task_id", "event_id", "at", "kind")


def parse(line: Any, *, task_id: str | None = None) -> AgentEvent:
    """Return the event that the JSON object `line` describes.

    Parameters
    ----------
    line : dict
        The wire form, see `AgentEvent.to_json`. Unknown kinds and fields are kept.
    task_id : str, optional
        Taken where the line names none; a different one in the line is an error.

    Raises
    ------
    ContractError
        If a field breaks the contract; names field, expected and found.
    """
    if not isinstance(line, dict):
        raise ContractError(field="event", expected="an object", found=_shown(line))
    event_id = line.get("event_id")
    known = event_id if isinstance(event_id, str) else None
    head = {"task_id": task_id, **{k: line[k] for k in _HEAD if k in line}}
    for name in ("task_id", "event_id", "kind"):
        if not _ID.holds(head.get(name)):
            raise ContractError(
                event_id=known,
                field=name,
                expected=_ID.expected,
                found=_shown(head[name]) if head.get(name) is not None else "nothing",
            )
    if task_id is not None and head["task_id"] != task_id:
        raise ContractError(
            event_id=known,
            field="task_id",
            expected=f"{task_id!r}, the task it was sent to",
            found=_shown(head["task_id"]),
        )
    body = {k: v for k, v in line.items() if k not in _HEAD}
    _check_body(head["kind"], head["event_id"], body)
    at = parse_time(head.get("at"), event_id=known)
    _check_wire_form(head["event_id"], line)
    return AgentEvent(
        task_id=head["task_id"],
        event_id=head["event_id"],
        at=at,
        kind=head["kind"],
        body=body,
    )
