"""From the events of a simulated log back to its categories: what an oracle sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

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
from training.simulate.chain import Ints, Observations
from training.simulate.tables import DOMAINS, TIERS, VERSIONS

Body = Mapping[str, Any]


class ForeignEventError(ValueError):
    """An event that the simulated world cannot have written, so it has no truth."""


def config_of(body: Body) -> int:
    """Return the configuration that the facts of a first event name."""
    domain, version, tier = (
        list(known).index(value)
        for known, value in (
            (DOMAINS, body["domain"]),
            (VERSIONS, body["agent_version"]),
            (TIERS, body["account"]["tier"]),
        )
    )
    return (domain * len(VERSIONS) + version) * len(TIERS) + tier


def _request(text: str, domain: str) -> Request:
    if any(said in text for said in words.UPSET):
        return Request.UPSET
    if any(said in text for said in words.SENSITIVE):
        return Request.SENSITIVE
    return Request.VAGUE if text in words.VAGUE[domain] else Request.CLEAR


def _band(edges: Sequence[int], value: float) -> int:
    return int(np.searchsorted(edges, round(value * 1000), side="right"))


def _result(body: Body) -> Result:
    if body["error"]:
        return Result.ERROR
    if body["text"] in words.EMPTY_RESULTS:
        return Result.EMPTY
    return Result.PARTIAL if '"truncated"' in body["text"] else Result.FULL


@dataclass(slots=True)
class _Reader:
    """Walks a log and notes which place each event fills.

    Attributes
    ----------
    turn, slot : int
        Of the event read last.
    turns : list of list of int
        The categories of each turn.
    places : list of int
        Column of `Observations.present` for each event.
    """

    n_turns: int
    turn: int = 0
    slot: int = -1
    turns: list[list[int]] = field(default_factory=lambda: [[0] * len(Factor)])
    places: list[int] = field(default_factory=lambda: [0])
    call: object = None
    said: str | None = None

    def read(self, event: AgentEvent) -> None:
        """Note what `event` shows, in the next place that it fits."""
        self._advance(event)
        row = self.turns[-1]
        first, body = SLOTS[self.slot].factors[0], event.body
        row[first] = _READERS[first](self, body)
        if first == Factor.SENTIMENT:
            row[Factor.WISH] = words.family_in(body["text"], words.WISHES)
        if first == Factor.CLAIM:
            stated = body.get("confidence")
            row[Factor.CONFIDENCE] = (
                _band(CONFIDENCE_EDGES, stated["value"]) if stated else 0
            )
            row[Factor.INTERPRETATIONS] = min(
                body.get("interpretations", 0), Interpretations.MANY
            )
        self.places.append(1 + self.turn * len(SLOTS) + self.slot)

    def _advance(self, event: AgentEvent) -> None:
        after = [
            i
            for i, slot in enumerate(SLOTS)
            if slot.kind == event.kind and i > self.slot
        ]
        closed = self.turns[-1][Factor.CLAIM] > 0
        if not after or (closed and event.kind != EventKind.VERIFIER):
            self.turn, self.slot = self.turn + 1, -1
            self.turns.append([0] * len(Factor))
            after = [i for i, slot in enumerate(SLOTS) if slot.kind == event.kind]
        if not after or self.turn >= self.n_turns:
            msg = (
                f"event {event.event_id!r} of task {event.task_id!r}: kind "
                f"{str(event.kind)!r} has no place here; give a log of this world, "
                "from its first event, without outcomes"
            )
            raise ForeignEventError(msg)
        self.slot = after[0]

    def read_call(self, body: Body) -> int:
        """Return the category of a tool call, and remember it."""
        call = (body["tool"], body["arguments"])
        repeated, self.call = call == self.call, call
        return Call.REPEAT if repeated else Call.NEW

    def read_claim(self, body: Body) -> int:
        """Return the category of an agent's message, and remember it."""
        repeated, self.said = body["text"] == self.said, body["text"]
        return Claim.ECHO if repeated else words.family_in(body["text"], words.CLAIMS)


_READERS: dict[Factor, Callable[[_Reader, Body], int]] = {
    Factor.SENTIMENT: lambda _, b: words.family_in(b["text"], words.SENTIMENTS),
    Factor.PLAN: lambda _, b: words.family_in(b["text"], words.PLANS),
    Factor.CALL: _Reader.read_call,
    Factor.RESULT: lambda _, b: _result(b),
    Factor.AGAIN: _Reader.read_call,
    Factor.RESULT_AGAIN: lambda _, b: _result(b),
    Factor.CLAIM: _Reader.read_claim,
    Factor.VERIFIER: lambda _, b: _band(VERIFIER_EDGES, b["score"]),
}


def read(events: Sequence[AgentEvent], n_turns: int) -> tuple[Observations, Ints]:
    """Return what `events`, a task's log or a prefix of it, let one observe.

    Parameters
    ----------
    events : sequence of AgentEvent
        From the first event on, without outcomes.
    n_turns : int
        The largest number of turns a task can have.

    Returns
    -------
    Observations
        Of one task.
    ndarray of shape (n_events,), int
        The place of each event in `Observations.present`.

    Raises
    ------
    ForeignEventError
        If the log does not start with a `task_started`, or has an event out of place.
    """
    if not events or events[0].kind != EventKind.TASK_STARTED:
        msg = (
            "a log must start with its task_started, found "
            f"{events[0].kind if events else 'nothing'!r}; give the whole prefix"
        )
        raise ForeignEventError(msg)
    reader, start = _Reader(n_turns), events[0].body
    closed = events[-1].kind == EventKind.USAGE
    for event in events[1:-1] if closed else events[1:]:
        reader.read(event)
    observed = np.zeros((1, n_turns, len(Factor)), dtype=np.int64)
    observed[0, : len(reader.turns)] = reader.turns
    end = [1 + n_turns * len(SLOTS)] if closed else []
    seen = Observations(
        config=np.array([config_of(start)]),
        request=np.array([_request(start["text"], start["domain"])], dtype=np.int64),
        observed=observed,
        last=np.array([reader.turn if closed else -1]),
    )
    return seen, np.array([*reader.places, *end])
