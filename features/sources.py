"""What can be read off one event: the sources that aggregates summarise.

A `Reader` follows one task and turns each event into the values it gives, by source.
It is the only place where the meaning of an event is decided, and it runs once per
event, at ingest, for training and serving alike. It remembers only what later events
refer to: open tool calls, the user's last words, and which identifiers were ever said.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson

from features import text
from features.events import AgentEvent, EventKind

SOURCES: Mapping[str, str] = {
    "step": "1 for each event of a kind we know",
    "at": "time of the event, s since 1970; unknown where the log had none",
    "account_value": "value of the account at stake, in the policy's currency",
    "user_message": "1 for each message of the user",
    "user_words": "words of a user's message",
    "user_questions": "question marks in a user's message",
    "user_numbers": "numbers in a user's message",
    "user_shouting": "words in capitals in a user's message",
    "user_displeasure": "negated sentiment of a user's message, [-1, 1]",
    "user_frustration": "words of frustration in a user's message",
    "user_corrections": "words of correction in a user's message",
    "user_conditions": "conditional words in a user's message",
    "user_additions": "words that add a request in a user's message",
    "user_confirms": "1 if a user's message confirms, else 0",
    "user_thanks": "1 if a user's message thanks, else 0",
    "user_lacks": "1 if the user does not know or have what was asked, else 0",
    "user_closes": "1 if the user says that this was all, else 0",
    "user_pleads": "words by which the user asks for another way or a second look",
    "user_gives_up": "1 if the user gives up on a wish, else 0",
    "user_asks_human": "1 if the user asks for a human, else 0",
    "safety": "1 if the user's message touches safety, else 0",
    "regulated": "1 if the user's message touches a regulated topic, else 0",
    "user_key": "what the user said, as a hash",
    "agent_message": "1 for each message of the agent",
    "agent_words": "words of an agent's message",
    "agent_questions": "question marks in an agent's message",
    "agent_numbers": "numbers in an agent's message",
    "agent_hedges": "hedging words in an agent's message",
    "agent_apologies": "apologies in an agent's message",
    "agent_refusals": "refusals in an agent's message",
    "agent_troubles": "words of technical trouble in an agent's message",
    "agent_next_steps": "words that say what happens next in an agent's message",
    "agent_closes": "1 if the agent rounds off, else 0",
    "agent_offers": "offers and questions of confirmation in an agent's message",
    "unseen_numbers": "share of an agent's numbers that nobody had mentioned",
    "agent_claims_done": "1 if the agent says that something is done, else 0",
    "empty_claim": "1 if the agent says done and nothing was written since, else 0",
    "transfer_promise": "1 if the agent announces a transfer, else 0",
    "agent_key": "what the agent said, as a hash",
    "confidence": "the agent's own confidence, [0, 1]",
    "interpretations": "readings of the request that the agent holds possible",
    "plan": "1 for each plan or piece of reasoning",
    "plan_hedges": "hedging words in a plan or piece of reasoning",
    "tool_call": "1 for each tool call",
    "tool_key": "which tool was called, as a hash",
    "call_key": "tool and arguments of a call, as a hash",
    "write": "1 if a call changes something, 0 if it only reads",
    "write_key": "tool and arguments of a writing call, as a hash",
    "unconfirmed_write": "1 if a write did not follow a user's confirmation, else 0",
    "unseen_arguments": "share of a call's arguments that nobody had mentioned",
    "transfer_call": "1 if a call hands the task to a human, else 0",
    "calls_in_turn": "tool calls since the user last spoke",
    "tool_error": "1 if a tool's result is an error, else 0",
    "write_error": "1 if a writing call's result is an error, else 0",
    "empty_result": "1 if a tool answered with nothing and no error, else 0",
    "result_length": "characters of a tool's result",
    "latency": "how long a tool took, ms",
    "verifier": "a verifier's score, or 1 for agree and 0 for disagree",
    "documents": "documents that a retrieval found",
    "tokens": "tokens in and out",
    "cost": "cost of a model call, in the log's currency",
}

# A transfer of money or points is no handover, so "transfer" needs a whom.
_TRANSFER = re.compile(
    r"transfer(?:[_-]?(?:to|call|chat|conversation|task|user|customer).*)?"
    r"|(?:escalat|hand[_-]?(?:off|over)).*|.*human_?agent.*",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"[\w#@.+-]+")
_TOKENS_READ = 20_000  # characters of one text that are searched for identifiers
_NOTHING = {"", "[]", "{}", "null", "none", '""', "no results", "not found"}


def key(*parts: Any) -> float:
    """Return a hash of `parts` that a float64 holds exactly (52 bits, >= 0)."""
    canonical = orjson.dumps(parts, option=orjson.OPT_SORT_KEYS, default=str)
    digest = hashlib.blake2b(canonical, digest_size=8).digest()
    return float(int.from_bytes(digest) >> 12)


def _leaves_of(value: Any, depth: int = 0) -> Iterator[str]:
    """Yield the strings and numbers inside `value`, in order, as text."""
    if depth > 20:  # noqa: PLR2004 - deeper nesting carries no identifier we know of
        return
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _leaves_of(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves_of(item, depth + 1)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield str(value)


def _tokens(words: str) -> set[str]:
    found = _TOKEN.findall(words[:_TOKENS_READ].lower())
    return {token.strip("#@.+-") for token in found} - {""}


class Reader:
    """Reads one task's events in log order; see `SOURCES` for what it gives."""

    def __init__(self) -> None:
        self._open_calls: dict[str, bool] = {}
        self._last_write = False
        self._confirmed = False
        self._written_since_user = False
        self._calls_in_turn = 0
        self._mentioned: set[str] = set()
        self._request = ""

    def read(self, event: AgentEvent) -> dict[str, float]:
        """Return the values `event` gives, by source; absent where it gives none.

        An outcome, or an event of a kind we do not know, gives nothing.
        """
        if event.is_outcome:
            return {}
        read = _BY_KIND.get(event.kind)
        if read is None:
            return {}
        values = {"step": 1.0}
        if not event.body.get("at_synthetic"):
            values["at"] = event.at.timestamp()
        # A user's own device or script calls tools too; they are not the agent's.
        if event.body.get("requestor") != "user":
            values.update(read(self, event))
        return values

    def _started(self, event: AgentEvent) -> dict[str, float]:
        account = event.body.get("account") or {}
        value = account.get("value")
        values = {} if value is None else {"account_value": float(value)}
        if event.text:
            self._request = text.normalised(event.text)
            values |= self._heard(event.text)
        return values

    def _user(self, event: AgentEvent) -> dict[str, float]:
        said = text.normalised(event.text)
        self._written_since_user = False
        self._calls_in_turn = 0
        values = {"user_message": 1.0, "user_key": key(said)}
        # Many logs state the request twice, in the task's head and as the first
        # message: it was said once, so it is read once.
        if not said or said != self._request:
            values |= self._heard(event.text)
        self._request = ""
        return values

    def _heard(self, words: str) -> dict[str, float]:
        """Return what the user's `words` say."""
        said = text.read(words, "user")
        self._confirmed = said["confirms"] > 0
        self._mentioned |= _tokens(words)
        return {
            "user_words": said["words"],
            "user_questions": said["questions"],
            "user_numbers": said["numbers"],
            "user_shouting": said["shouting"],
            "user_displeasure": -text.sentiment(words),
            "user_frustration": said["frustration"],
            "user_corrections": said["corrections"],
            "user_conditions": said["conditions"],
            "user_additions": said["additions"],
            "user_confirms": float(said["confirms"] > 0),
            "user_thanks": float(said["thanks"] > 0),
            "user_lacks": float(said["dont_know"] > 0),
            "user_closes": float(said["user_closes"] > 0),
            "user_pleads": said["pleads"],
            "user_gives_up": float(said["gives_up"] > 0),
            "user_asks_human": float(said["asks_human"] > 0),
            "safety": float(said["safety"] > 0),
            "regulated": float(said["regulated"] > 0),
        }

    def _agent(self, event: AgentEvent) -> dict[str, float]:
        said = text.read(event.text, "agent")
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
            "agent_next_steps": said["next_steps"],
            "agent_closes": float(said["closings"] > 0),
            "agent_offers": said["offers"],
            "agent_claims_done": float(claims),
            "empty_claim": float(claims and not self._written_since_user),
            "transfer_promise": float(said["promises_transfer"] > 0),
            "agent_key": key(text.normalised(event.text)),
        }
        numbers = {t for t in _tokens(event.text) if t[0].isdigit()}
        if numbers:
            values["unseen_numbers"] = len(numbers - self._mentioned) / len(numbers)
        confidence = event.body.get("confidence") or {}
        if confidence.get("value") is not None:
            values["confidence"] = float(confidence["value"])
        readings = event.body.get("interpretations")
        if readings is not None:
            count = len(readings) if isinstance(readings, list) else readings
            values["interpretations"] = float(count)
        return values

    def _plan(self, event: AgentEvent) -> dict[str, float]:
        hedges = text.read(event.text, "agent")["hedges"]
        return {"plan": 1.0, "plan_hedges": hedges}

    def _call(self, event: AgentEvent) -> dict[str, float]:
        tool, arguments = event.body["tool"], event.body.get("arguments")
        writes = event.body.get("is_write") is True
        self._last_write = writes
        if event.body.get("call_id"):
            self._open_calls[event.body["call_id"]] = writes
        self._calls_in_turn += 1
        values = {
            "tool_call": 1.0,
            "tool_key": key(tool),
            "call_key": key(tool, arguments),
            "write": float(writes),
            "transfer_call": float(_TRANSFER.fullmatch(tool) is not None),
            "calls_in_turn": float(self._calls_in_turn),
        }
        parts = [p for leaf in _leaves_of(arguments) for p in _tokens(leaf)]
        if parts:
            unseen = sum(part not in self._mentioned for part in parts)
            values["unseen_arguments"] = unseen / len(parts)
        if writes:
            values["write_key"] = values["call_key"]
            values["unconfirmed_write"] = float(not self._confirmed)
        return values

    def _result(self, event: AgentEvent) -> dict[str, float]:
        body = event.body
        wrote = self._open_calls.pop(body.get("call_id") or "", self._last_write)
        failed = body.get("error") not in (None, False)
        if wrote and not failed:
            self._written_since_user = True
        self._mentioned |= _tokens(event.text)
        told = body.get("text") is not None
        bare = told and event.text.strip().lower() in _NOTHING
        values = {
            "tool_error": float(failed),
            "empty_result": float(bare and not failed),
            "result_length": float(len(event.text)),
        }
        if wrote:
            values["write_error"] = float(failed)
        if body.get("latency_ms") is not None:
            values["latency"] = float(body["latency_ms"])
        return values

    def _verifier(self, event: AgentEvent) -> dict[str, float]:
        score = event.body.get("score")
        if score is None:
            score = event.body.get("agree")
        return {} if score is None else {"verifier": float(score)}

    def _artifact(self, event: AgentEvent) -> dict[str, float]:
        self._mentioned |= _tokens(event.text)
        return {}

    def _retrieval(self, event: AgentEvent) -> dict[str, float]:
        documents = event.body.get("documents")
        self._mentioned |= _tokens(" ".join(_leaves_of(documents)))
        return {} if documents is None else {"documents": float(len(documents))}

    def _usage(self, event: AgentEvent) -> dict[str, float]:
        spent = {n: event.body.get(n) for n in ("tokens_in", "tokens_out", "cost")}
        tokens = [v for n, v in spent.items() if n != "cost" and v is not None]
        values = {"tokens": float(sum(tokens))} if tokens else {}
        if spent["cost"] is not None:
            values["cost"] = float(spent["cost"])
        return values


_BY_KIND: Mapping[str, Callable[[Reader, AgentEvent], dict[str, float]]] = {
    EventKind.TASK_STARTED: Reader._started,  # noqa: SLF001
    EventKind.USER_MESSAGE: Reader._user,  # noqa: SLF001
    EventKind.AGENT_MESSAGE: Reader._agent,  # noqa: SLF001
    EventKind.PLAN: Reader._plan,  # noqa: SLF001
    EventKind.TOOL_CALL: Reader._call,  # noqa: SLF001
    EventKind.TOOL_RESULT: Reader._result,  # noqa: SLF001
    EventKind.VERIFIER: Reader._verifier,  # noqa: SLF001
    EventKind.ARTIFACT: Reader._artifact,  # noqa: SLF001
    EventKind.RETRIEVAL: Reader._retrieval,  # noqa: SLF001
    EventKind.USAGE: Reader._usage,  # noqa: SLF001
}
