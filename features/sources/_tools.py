"""What a tool's call and its result give."""

from __future__ import annotations

import re
from functools import lru_cache

from features.events import AgentEvent
from features.sources._memory import Talk, Work, actions_in
from features.sources._tokens import (
    identifiers,
    is_amount,
    key,
    leaves_of,
    likeness,
    share_outside,
    tokens,
)

Values = dict[str, float]

# A transfer of money or points is no handover, so "transfer" needs a whom.
_TRANSFER = re.compile(
    r"transfer(?:[_-]?(?:to|call|chat|conversation|task|user|customer).*)?"
    r"|(?:escalat|hand[_-]?(?:off|over)).*|.*human_?agent.*",
    re.IGNORECASE,
)
_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_NOTHING = {"", "[]", "{}", "null", "none", '""', "no results", "not found"}
_LIKE = 0.5  # of the words of two calls of one tool: nearly the same call


@lru_cache(maxsize=4096)
def _actions_of(tool: str) -> frozenset[str]:
    """Return the actions that a tool's name speaks of."""
    return frozenset(actions_in({part.lower() for part in _PART.findall(tool)}))


def call(event: AgentEvent, talk: Talk, work: Work) -> Values:
    """Return what a call does, against calls before it and what was said."""
    tool, arguments = event.body["tool"], event.body.get("arguments")
    writes = event.body.get("is_write") is True
    hands_over = _TRANSFER.fullmatch(tool) is not None
    if event.body.get("call_id"):
        work.open_calls[event.body["call_id"]] = (tool, writes)
    work.calls_in_turn += 1
    values = {
        "tool_call": 1.0,
        "tool_key": key(tool),
        "call_key": key(tool, arguments),
        "write": float(writes),
        "transfer_call": float(hands_over),
        "calls_in_turn": float(work.calls_in_turn),
    }
    parts = [p for leaf in leaves_of(arguments) for p in tokens(leaf)]
    values |= _repetition(tool, values["call_key"], set(parts), work)
    # What is told to whoever takes over is not argument but account.
    if parts and not hands_over:
        values |= _arguments(parts, talk, work)
    if writes:
        values["write_key"] = values["call_key"]
        values |= _write(identifiers(set(parts)), talk, work)
    work.last = (tool, writes)
    return values


def _repetition(tool: str, call_key: float, found: set[str], work: Work) -> Values:
    """Return in how far a call was made before."""
    before, latest = work.keys[1], work.keys[0]
    times = work.times.get(call_key, 0)
    values = {
        "same_tool": float(tool == work.last[0]),
        "call_again": float(times > 0),
        "call_back": float(call_key == before != latest),
    }
    if tool in work.arguments:
        like = likeness(found, work.arguments[tool])
        values["near_call"] = float(times == 0 and like >= _LIKE)
    work.times[call_key] = times + 1
    work.keys = (call_key, latest)
    work.arguments[tool] = found
    return values


def _arguments(parts: list[str], talk: Talk, work: Work) -> Values:
    """Return whose words a call's arguments are, by kind of argument."""
    values = {
        "unseen_arguments": sum(p not in work.mentioned for p in parts) / len(parts)
    }
    found = set(parts)
    named = identifiers(found)
    if named:
        values["unseen_identifiers"] = share_outside(named, work.mentioned)
        values["named_identifiers"] = 1.0 - share_outside(named, talk.by_user)
        values["fresh_identifiers"] = float(len(named - work.called))
        work.called |= named
    amounts = {p for p in found if is_amount(p)}
    words = found - named - amounts
    if words:
        values["unseen_words"] = share_outside(words, work.mentioned)
    return values


def _write(named: set[str], talk: Talk, work: Work) -> Values:
    """Return what a change rests on: a confirmation, and words that were said."""
    values = {
        "unconfirmed_write": float(not talk.confirmed),
    }
    if named:
        untold = named - talk.by_user - talk.by_agent
        values["untold_write"] = len(untold) / len(named)
        values["rewrite"] = float(not work.written.isdisjoint(named))
    return values


def result(event: AgentEvent, talk: Talk, work: Work) -> Values:
    """Return what came of a call, against results before it."""
    body = event.body
    tool, wrote = work.open_calls.pop(body.get("call_id") or "", work.last)
    failed = body.get("error") not in (None, False)
    told = body.get("text") is not None
    bare = told and event.text.strip().lower() in _NOTHING
    work.failed = failed or bare
    values = {
        "tool_error": float(failed),
        "empty_result": float(bare and not failed),
        "result_length": float(len(event.text)),
    }
    if told:
        values |= _news(event.text, work)
    if wrote:
        values |= _written(tool, failed=failed, talk=talk, work=work)
    if body.get("latency_ms") is not None:
        values["latency"] = float(body["latency_ms"])
    return values


def _news(words: str, work: Work) -> Values:
    """Return how much a result tells that nobody had mentioned; take it in."""
    found = tokens(words)
    values = {"result_news": share_outside(found, work.mentioned)} if found else {}
    work.mentioned |= found
    return values


def _written(tool: str, *, failed: bool, talk: Talk, work: Work) -> Values:
    """Return whether a change went well, and which have not."""
    if failed:
        work.failing.add(tool)
    else:
        work.failing.discard(tool)
        work.writes += 1
        work.written_in_turn = True
        work.written |= identifiers(work.arguments.get(tool, set()))
        talk.acted |= _actions_of(tool)
    return {
        "write_error": float(failed),
        "open_failures": float(len(work.failing)),
        "open_wishes": float(len(talk.wishes - talk.acted)),
    }
