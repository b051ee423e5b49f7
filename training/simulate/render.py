"""From categories to the events of a log.

Whatever is not a category (wording, times, ids, amounts) is drawn beside the hidden
states and never from them: it makes the log look alive and tells nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from features.events import AgentEvent, EventKind
from training.simulate import words
from training.simulate.categories import (
    CONFIDENCE_EDGES,
    SLOTS,
    VERIFIER_EDGES,
    Call,
    Claim,
    Factor,
    Interpretations,
    Request,
    Result,
)

# The categories of a turn and its harmless dice (0 to 999), one per factor.
Turn = Sequence[int]
Body = dict[str, Any]
DICE = 1000


@dataclass(slots=True, kw_only=True)
class Sheet:
    """One task before it is written: its facts, categories and harmless variation.

    Attributes
    ----------
    facts : dict
        Body of the first event, without the text.
    request : int
        A `Request`.
    turns, dice : sequences of shape (n_turns, n_factors)
        Categories, and one die for each.
    at : list of datetime
        Time of each event present, in log order.
    phrase : int
        Where in its families this task starts to take sentences from.
    call : tuple of (str, dict)
        Tool and arguments of the latest call.
    said : str
        The agent's latest message.
    n_calls : int
        So far.
    """

    task_id: str
    facts: Body
    request: int
    turns: Sequence[Turn]
    dice: Sequence[Turn]
    at: list[datetime]
    phrase: int
    call: tuple[str, Body] = ("", {})
    said: str = ""
    n_calls: int = 0
    events: list[AgentEvent] = field(default_factory=list)

    def write(self, kind: EventKind, body: Body) -> None:
        """Append one event, at its time."""
        n = len(self.events)
        self.events.append(
            AgentEvent(
                task_id=self.task_id,
                event_id=f"e{n + 1}",
                at=self.at[n],
                kind=kind,
                body=body,
            )
        )


def _banded(edges: Sequence[int], band: int, die: int) -> float:
    """Return a value in [0, 1] of the `band` (1 is the lowest), in thousandths."""
    low, high = edges[band - 1], edges[band]
    return (low + die * (high - low) // DICE) / 1000


def _request(sheet: Sheet) -> str:
    clear = sheet.request != Request.VAGUE
    family = (words.CLEAR if clear else words.VAGUE)[sheet.facts["domain"]]
    text = words.one_of(family, sheet.phrase)
    if sheet.request == Request.UPSET:
        return f"{words.one_of(words.UPSET, sheet.phrase // 7)} {text}"
    if sheet.request == Request.SENSITIVE:
        return f"{text} {words.one_of(words.SENSITIVE, sheet.phrase // 7)}"
    return text


def _user(sheet: Sheet, turn: int, row: Turn, dice: Turn) -> Body:
    tone = words.SENTIMENTS[row[Factor.SENTIMENT]]
    text = words.one_of(tone, sheet.phrase + turn)
    wish = row[Factor.WISH]
    if wish:
        said = words.one_of(words.WISHES[wish], dice[Factor.WISH])
        text = f"{text} {said}"
    return {"text": text}


def _plan(sheet: Sheet, turn: int, row: Turn, _: Turn) -> Body:
    return {"text": words.one_of(words.PLANS[row[Factor.PLAN]], sheet.phrase + turn)}


def _new_call(sheet: Sheet, die: int) -> tuple[str, Body]:
    sheet.n_calls += 1
    tool = words.one_of(words.TOOLS[sheet.facts["domain"]], die)
    arguments = {
        "account_id": sheet.facts["account"]["id"],
        # The running number keeps a new call from repeating an old one.
        "reference": f"R{sheet.phrase % 9000 + 1000}-{sheet.n_calls}",
    }
    return tool, arguments


def _call(sheet: Sheet, turn: int, category: int, die: int) -> Body:
    if category != Call.REPEAT:
        sheet.call = _new_call(sheet, die)
    tool, arguments = sheet.call
    return {
        "tool": tool,
        "arguments": arguments,
        "call_id": f"c{turn + 1}-{len(sheet.events)}",
        "is_write": tool in words.TOOLS[sheet.facts["domain"]][words.N_READING :],
    }


def _result_text(sheet: Sheet, category: int, die: int) -> str:
    reference = sheet.call[1]["reference"]
    if category == Result.EMPTY:
        return words.one_of(words.EMPTY_RESULTS, die)
    if category == Result.PARTIAL:
        return f'{{"items": [], "total": {die % 8 + 1}, "truncated": true}}'
    return (
        f'{{"items": [{{"reference": "{reference}", "revision": {die}}}], "total": 1}}'
    )


def _result(sheet: Sheet, category: int, die: int) -> Body:
    called = sheet.events[-1]
    # A tool takes what lies between its call and its result, to the millisecond.
    took = sheet.at[len(sheet.events)] - called.at
    body = {
        "call_id": called.body["call_id"],
        "tool": called.body["tool"],
        "error": False,
        "latency_ms": round(took.total_seconds() * 1000),
    }
    if category == Result.ERROR:
        kind = words.one_of(words.ERRORS, die)
        return body | {"error": {"type": kind}, "text": f"error: {kind}"}
    return body | {"text": _result_text(sheet, category, die)}


def _message(sheet: Sheet, turn: int, row: Turn, dice: Turn) -> Body:
    claim, band, readings = (
        row[Factor.CLAIM],
        row[Factor.CONFIDENCE],
        row[Factor.INTERPRETATIONS],
    )
    if claim != Claim.ECHO:
        sheet.said = words.one_of(words.CLAIMS[claim], sheet.phrase + turn)
    body: Body = {"text": sheet.said}
    if band:
        value = _banded(CONFIDENCE_EDGES, band, dice[Factor.CONFIDENCE])
        body["confidence"] = {"value": value, "source": "verbalized"}
    if readings:
        more = dice[Factor.INTERPRETATIONS] % 3
        many = readings == Interpretations.MANY
        body["interpretations"] = readings + more if many else readings
    return body


def _verifier(sheet: Sheet, _: int, row: Turn, dice: Turn) -> Body:
    band = row[Factor.VERIFIER]
    return {
        "verifier": "critic",
        "score": _banded(VERIFIER_EDGES, band, dice[Factor.VERIFIER]),
        "about": sheet.events[-1].event_id,
    }


def _called(factor: Factor) -> Callable[[Sheet, int, Turn, Turn], Body]:
    return lambda sheet, turn, row, dice: _call(sheet, turn, row[factor], dice[factor])


def _returned(factor: Factor) -> Callable[[Sheet, int, Turn, Turn], Body]:
    return lambda sheet, _, row, dice: _result(sheet, row[factor], dice[factor])


_WRITERS: dict[Factor, Callable[[Sheet, int, Turn, Turn], Body]] = {
    Factor.SENTIMENT: _user,
    Factor.PLAN: _plan,
    Factor.CALL: _called(Factor.CALL),
    Factor.RESULT: _returned(Factor.RESULT),
    Factor.AGAIN: _called(Factor.AGAIN),
    Factor.RESULT_AGAIN: _returned(Factor.RESULT_AGAIN),
    Factor.CLAIM: _message,
    Factor.VERIFIER: _verifier,
}
_PLACES = [(s.factors[0], s.kind, _WRITERS[s.factors[0]]) for s in SLOTS]


def _usage(sheet: Sheet) -> Body:
    tokens = 300 * len(sheet.events) + sheet.phrase % 900
    return {
        "tokens_in": tokens,
        "tokens_out": tokens // 6,
        "cost": round(tokens * 4e-6, 6),
    }


def render(sheet: Sheet) -> tuple[AgentEvent, ...]:
    """Return the events of `sheet`, in log order, the last one its `usage`.

    An agent reports usage when it considers the task closed, so the end of a task can
    be seen in its log, and a rule may wait for it.
    """
    sheet.write(EventKind.TASK_STARTED, sheet.facts | {"text": _request(sheet)})
    for turn, (row, dice) in enumerate(zip(sheet.turns, sheet.dice, strict=True)):
        for present, kind, writer in _PLACES:
            if row[present]:
                sheet.write(kind, writer(sheet, turn, row, dice))
    sheet.write(EventKind.USAGE, _usage(sheet))
    return tuple(sheet.events)
