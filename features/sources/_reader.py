"""One task's events, read in log order."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from features import text
from features.events import AgentEvent, EventKind
from features.sources import _agent, _tools, _user
from features.sources._memory import Talk, Work
from features.sources._tokens import leaves_of, tokens

Values = dict[str, float]

_RATES = (
    "domain_rate",
    "version_rate",
    "cell_rate",
    "cell_n",
    "expected_rate",
    "type_rate",
    "type_excess",
    "type_n",
    "pair_rate",
)


class Reader:
    """Reads one task's events in log order; see `SOURCES` for what it gives."""

    __slots__ = ("_talk", "_work")

    def __init__(self) -> None:
        self._talk = Talk()
        self._work = Work()

    def read(self, event: AgentEvent) -> Values:
        """Return the values `event` gives, by source; absent where it gives none.

        An outcome, or an event of a kind we do not know, gives nothing.
        """
        if event.is_outcome:
            return {}
        if event.kind == EventKind.HISTORY:
            return _history(event)
        read = _BY_KIND.get(event.kind)
        if read is None:
            return {}
        values = {"step": 1.0}
        if not event.body.get("at_synthetic"):
            values["at"] = event.at.timestamp()
        # A user's own device or script calls tools too; they are not the agent's.
        if event.body.get("requestor") != "user":
            values.update(read(event, self._talk, self._work))
        return values


def _history(event: AgentEvent) -> Values:
    known = {name: event.body.get(name) for name in _RATES}
    return {f"history_{name}": float(v) for name, v in known.items() if v is not None}


def _plan(event: AgentEvent, _talk: Talk, _work: Work) -> Values:
    hedges = text.read(event.text, "plan")["hedges"]
    return {"plan": 1.0, "plan_hedges": hedges}


def _verifier(event: AgentEvent, _talk: Talk, _work: Work) -> Values:
    score = event.body.get("score")
    if score is None:
        score = event.body.get("agree")
    return {} if score is None else {"verifier": float(score)}


def _artifact(_event: AgentEvent, _talk: Talk, _work: Work) -> Values:
    # Whatever the agent makes for itself, it has not heard from anybody.
    return {}


def _retrieval(event: AgentEvent, _talk: Talk, work: Work) -> Values:
    documents = event.body.get("documents")
    work.mentioned |= tokens(" ".join(leaves_of(documents)))
    return {} if documents is None else {"documents": float(len(documents))}


def _usage(event: AgentEvent, _talk: Talk, _work: Work) -> Values:
    spent = {n: event.body.get(n) for n in ("tokens_in", "tokens_out", "cost")}
    counts = [v for n, v in spent.items() if n != "cost" and v is not None]
    values = {"tokens": float(sum(counts))} if counts else {}
    if spent["cost"] is not None:
        values["cost"] = float(spent["cost"])
    return values


_BY_KIND: Mapping[str, Callable[[AgentEvent, Talk, Work], Values]] = {
    EventKind.TASK_STARTED: _user.started,
    EventKind.USER_MESSAGE: _user.message,
    EventKind.AGENT_MESSAGE: _agent.message,
    EventKind.PLAN: _plan,
    EventKind.TOOL_CALL: _tools.call,
    EventKind.TOOL_RESULT: _tools.result,
    EventKind.VERIFIER: _verifier,
    EventKind.ARTIFACT: _artifact,
    EventKind.RETRIEVAL: _retrieval,
    EventKind.USAGE: _usage,
}
