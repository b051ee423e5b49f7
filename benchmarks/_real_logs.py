"""The public data sets as events: what each log says, and what is kept out of it.

Every event's id begins with ``m<k>``, the k-th step of the log from 0: a message, a
verifier's score or an incident's update. What became of a task is told by one `verdict`
alone, at the time when it was known.

* *tau*, *intercode*, *whoandwhen*: messages, read by the adapter `tau`. InterCode's
  and Who&When's results stand under another name, which is all that is changed.
* *evaluator*: per step one `verifier` event with the judge's probability, after the
  `usage` (tokens) or the `tool_call` of the step where the log has them. Domain is the
  subject that the problem's id begins with. Chess counts the first 60 plies. That a run
  is over is a step of its own, the agent's answer: nobody judges an answer before it is
  there, and the steps before it do not know that it comes next.
* *servicenow*: per update who made it and what it changed (`tool_call`), whether an
  article was at hand (`retrieval`), and the state in the words it stands for
  (`agent_message`). An incident that was handed to another group ends before that
  update: the group's change *is* the label. Never read: `reassignments`, `reopens`,
  `mods` (the count of updates, some of which the log lacks) and all fields of the
  ending. A label is known when the incident is handed over, or else resolved.
"""

from __future__ import annotations

import ast
import csv
import gzip
import io
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import orjson

from features import ingest
from features.events import AgentEvent, EventKind

Fields = Mapping[str, Any]

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_PLIES = 60


def _lines(source: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(source) as lines:
        yield from map(orjson.loads, lines)


def tau(source: Path, scratch: Path) -> Iterator[AgentEvent]:
    """Yield the events of the customer-service runs."""
    del scratch
    yield from ingest.read("tau", [source], on_refused=print)


def intercode(source: Path, scratch: Path) -> Iterator[AgentEvent]:
    """Yield the events of the bash and SQL runs; a group is a problem.

    The type of a task is its language: were it the problem, its outcome history would
    tell of the very problems that a split by problem sets aside.
    """

    def told(run: Fields) -> dict[str, Any]:
        return {
            "group_key": f"{run['domain']}/{run['task_id']}",
            "agent_model": f"{run['agent_model']} {run['agent_impl']}",
            "benchmark": "intercode",
            "task_id": run["domain"],
        }

    yield from _messages(source, scratch / "intercode.jsonl", told)


def whoandwhen(source: Path, scratch: Path) -> Iterator[AgentEvent]:
    """Yield the events of the failed runs of several agents."""
    yield from _messages(source, scratch / "whoandwhen.jsonl", lambda _: {})


def _messages(source: Path, target: Path, told: Any) -> Iterator[AgentEvent]:
    """Yield the events of runs whose tool results stand under `tool_result`."""
    with target.open("wb") as out:
        for run in _lines(source):
            for message in run["messages"]:
                if message.get("tool_result") is not None:
                    message["content"] = message.pop("tool_result")
            out.write(orjson.dumps(run | told(run)) + b"\n")
    yield from ingest.read("tau", [target], on_refused=print)


# --- verifier scores --------------------------------------------------------------


def evaluator(source: Path, scratch: Path) -> Iterator[AgentEvent]:
    """Yield the events of the runs with a verifier's score per step."""
    del scratch
    name = source.name.partition(".")[0]
    with gzip.open(source, "rb") as binary, io.TextIOWrapper(binary) as text:
        rows = csv.DictReader(text)
        for problem, steps in groupby(rows, itemgetter("uq_problem_idx")):
            yield from _scored(name, problem, list(steps))


def _scored(
    name: str, problem: str, steps: list[dict[str, str]]
) -> Iterator[AgentEvent]:
    log = _Log(f"{name}/{problem}", _EPOCH)
    domain = problem.rpartition("_")[0] or name
    start = {
        "domain": domain,
        "task_type": domain,
        "agent_version": name,
        "text": steps[0].get("problem_text"),
    }
    yield log.event("start", EventKind.TASK_STARTED, start)
    kept = steps[:_PLIES] if name == "chessgames" else steps
    for k, step in enumerate(kept):
        log.at += timedelta(seconds=1)
        yield from _step(log, k, step)
    if len(kept) == len(steps):
        answer = {"text": "That is my answer."}
        yield log.event(f"m{len(kept)}", EventKind.AGENT_MESSAGE, answer)
    needed = "no" if step["solved"] in {"1", "True"} else "yes"
    yield log.event("verdict", EventKind.VERDICT, _verdict(needed))


def _step(log: _Log, k: int, step: Fields) -> Iterator[AgentEvent]:
    if tokens := step.get("generated_tokens"):
        usage = {"tokens_out": float(tokens)}
        yield log.event(f"m{k}.usage", EventKind.USAGE, usage)
    if called := step.get("tools_called"):
        # The list holds every call of the run so far; the last is this step's.
        names, arguments = (
            ast.literal_eval(step[field])
            for field in ("tools_called", "tool_arguments")
        )
        if called != "[]":
            call = {"tool": names[-1], "arguments": arguments[-1]}
            yield log.event(f"m{k}.call", EventKind.TOOL_CALL, call)
    score = {"verifier": "judge", "score": float(step["judge_probability"])}
    yield log.event(f"m{k}", EventKind.VERIFIER, score)


class _Log:
    """One task's log as it is written."""

    def __init__(self, task_id: str, at: datetime) -> None:
        self.task_id, self.at = task_id, at

    def event(self, event_id: str, kind: str, body: Fields) -> AgentEvent:
        told = {k: v for k, v in body.items() if v is not None}
        if self.at.year == _EPOCH.year:
            told["at_synthetic"] = True
        return AgentEvent(
            task_id=self.task_id, event_id=event_id, at=self.at, kind=kind, body=told
        )


def _verdict(needed: str) -> dict[str, Any]:
    return {"needed": needed, "by": "log", "source": "benchmark", "propensity": 1.0}


# --- incidents --------------------------------------------------------------------

_SAYS = {
    "New": "",
    "Active": "",
    "Awaiting User Info": "Could you give us more information?",
    "Awaiting Vendor": "We are waiting for the vendor.",
    "Awaiting Problem": "We are waiting for a known problem to be solved.",
    "Awaiting Evidence": "We are waiting for evidence.",
    "Resolved": "Done: resolved.",
    "Closed": "Closed. Goodbye.",
}
_CHANGING = (
    "contact_type", "location", "category", "subcategory", "u_symptom", "impact",
    "urgency", "priority", "u_priority_confirmation",
)  # fmt: skip


def servicenow(source: Path, scratch: Path) -> Iterator[AgentEvent]:
    """Yield the events of the support incidents, each up to its first handover."""
    del scratch
    for incident in _lines(source):
        yield from _incident(incident)


def _incident(incident: Fields) -> Iterator[AgentEvent]:
    updates = incident["messages"][: incident.get("escalation_index")]
    log = _Log(incident["case_id"], _time(updates[0]["timestamp"]))
    yield log.event("start", EventKind.TASK_STARTED, _head(updates[0]["attrs"]))
    before: Fields = {}
    for k, update in enumerate(updates):
        log.at = _time(update["timestamp"])
        yield from _update(log, k, update, before)
        before = update["attrs"]
    log.at = max(log.at, _known(incident))
    needed = "yes" if incident["need_human"] else "no"
    yield log.event("verdict", EventKind.VERDICT, _verdict(needed))


def _known(incident: Fields) -> datetime:
    """Return when it was known whether the incident would be handed over."""
    if incident["need_human"]:
        handed_over = incident["messages"][incident["escalation_index"]]
        return _time(handed_over["timestamp"])
    return _time(incident.get("resolved_at") or incident["closed_at"])


def _head(attrs: Fields) -> dict[str, Any]:
    """Return who has it, at which desk, and what it is about."""
    return {
        "domain": attrs.get("assignment_group") or "no group",
        "agent_version": attrs.get("updated_by") or "nobody",
        "channel": attrs.get("contact_type"),
        "task_type": f"{attrs.get('category')}/{attrs.get('subcategory')}",
        "account": {"id": attrs.get("caller_id"), "tier": attrs.get("priority")},
    }


def _update(log: _Log, k: int, update: Fields, before: Fields) -> Iterator[AgentEvent]:
    attrs = update["attrs"]
    if attrs.get("knowledge") != before.get("knowledge", False):
        found = [{"text": "an article"}] if attrs.get("knowledge") else []
        yield log.event(f"m{k}.article", EventKind.RETRIEVAL, {"documents": found})
    changed = {
        n: attrs[n] for n in _CHANGING if n in attrs and attrs[n] != before.get(n)
    }
    call = {"tool": "update", "arguments": {"by": attrs.get("updated_by"), **changed}}
    yield log.event(f"m{k}.call", EventKind.TOOL_CALL, call)
    if says := _SAYS[update["content"]]:
        yield log.event(f"m{k}", EventKind.AGENT_MESSAGE, {"text": says})


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
