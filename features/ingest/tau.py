"""tau-bench and tau²-bench runs, one per line, as gathered in ``tau_runs.jsonl.gz``.

The messages are read as chat messages are. What is special to these runs:

* What became of a run (`reward`, `success`, `termination_reason`,
  `expected_actions_include_transfer`, `agent_transferred`, `need_human`, and every
  field we do not know) is told by the two last events alone, `completed` and `verdict`.
* The simulated user ends a run with ``###STOP###``, ``###TRANSFER###`` or
  ``###OUT-OF-SCOPE###``. No deployment has such words and they tell the ending, so
  they are cut from every text; the original stands under ``verbatim``.
* ``check_for_stop`` is a tool of the simulated user, who knows the hidden goal. Its
  calls and results get a kind of their own, `HARNESS`, which feeds no signal.
* Some agents keep subtasks by further roles: `plan` events with their `author`.
* One source answers in the form ``# var_0 = "Error: …"`` and leaves `error` false.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from features.events import AgentEvent, ContractError, EventKind
from features.ingest._files.intake import Intake
from features.ingest._talk.content import identifier, reads_as_error
from features.ingest._talk.messages import OTHER, Item, Wire, without_null
from features.ingest._talk.tasks import TaskRecord, task_events

LOOKS_FOR = "an object with `run_id`, `need_human` and `messages` (one run per line)"
HARNESS = "harness"

_NAMED = {"run_id", "need_human", "messages"}
_FACTS = ("benchmark", "task_id", "trial", "user_model", "source", "licence")
_ENDING = (
    "success",
    "reward",
    "termination_reason",
    "agent_transferred",
    "expected_actions_include_transfer",
)
_ANSWERS = {True: "yes", False: "no"}

_MARKER = re.compile(r"###[A-Z][A-Z-]*###")
_ASSIGNED = re.compile(r'# var_\d+ = "')
_HARNESS_TOOLS = frozenset({"check_for_stop"})
_AUTHORS = frozenset({"subtask_checker", "subtask_creator"})


def fits(value: Any) -> bool:
    """Return whether `value` looks like a run."""
    return isinstance(value, dict) and value.keys() >= _NAMED


def events(intake: Intake) -> Iterator[AgentEvent]:
    """Yield the events of the file, run by run, in file order."""
    for line, value in intake.decoded(intake.source.lines()):
        try:
            record = _record(value)
        except ContractError as error:
            intake.refuse(line, error)
        else:
            yield from task_events(intake, line, record)


def _record(run: Any) -> TaskRecord:
    """Return the task that `run` tells.

    Raises
    ------
    ContractError
        If it is not an object with `run_id` and a list of `messages`.
    """
    fields = run if isinstance(run, dict) else {}
    task_id, messages = identifier(fields.get("run_id")), fields.get("messages")
    if task_id is None or not isinstance(messages, list):
        raise ContractError(
            field="run",
            expected="an object with `run_id` and a list of `messages`",
            found=f"{type(run).__name__} with {sorted(fields)[:10]}",
        )
    model = fields.get("agent_model")
    facts = {
        "domain": fields.get("domain"),
        "channel": "chat",
        "task_type": _type(fields),
        "agent_version": model,
        "model": model,
        "group": fields.get("group_key"),
        "extra": without_null({name: fields.get(name) for name in _FACTS}),
    }
    return TaskRecord(
        task_id=task_id,
        facts=without_null(facts),
        messages=messages,
        outcomes=list(_outcomes(fields)),
        adjust=_adjusted,
    )


def _type(run: Mapping[str, Any]) -> str | None:
    """Return what the runs of one task of a benchmark have in common."""
    task = identifier(run.get("task_id"))
    return None if task is None else f"{run.get('benchmark', '')} {task}".strip()


def _outcomes(run: Mapping[str, Any]) -> Iterator[Item]:
    ending = {name: run.get(name) for name in _ENDING}
    known = {*_NAMED, *_FACTS, *_ENDING, "group_key", "domain", "agent_model"}
    ending["extra"] = {k: v for k, v in run.items() if k not in known} or None
    yield "completed", EventKind.COMPLETED, without_null(ending)
    needed = run.get("need_human")
    verdict = {
        "needed": _ANSWERS[needed] if isinstance(needed, bool) else needed,
        "by": "benchmark",
        "source": "benchmark",
        "propensity": 1.0,
    }
    yield "verdict", EventKind.VERDICT, verdict


def _adjusted(wire: Wire) -> Wire:
    """Return `wire` as an event of a task that was not simulated."""
    changed = dict(wire)
    text = wire.get("text", "")
    if wire["kind"] == OTHER and wire["author"] in _AUTHORS:
        changed["kind"] = EventKind.PLAN
    if isinstance(tool := wire.get("tool"), str) and tool in _HARNESS_TOOLS:
        changed["kind"] = HARNESS
    if wire.get("error") is False and (assigned := _ASSIGNED.match(text)):
        changed["error"] = reads_as_error(text[assigned.end() :])
    if _MARKER.search(text):
        changed |= {"text": _MARKER.sub("\n", text).strip(), "verbatim": text}
    return changed
