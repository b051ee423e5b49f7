"""Trajectories of software-engineering agents: a run per record, usually per file.

Three layouts: ``trajectory`` as steps of ``thought``, ``action`` and ``observation``
(with ``history`` and ``info`` beside); ``messages`` with ``info`` and
``trajectory_format``; ``trajectory`` as turns of ``role`` and ``text``. An action is a
call of the program that its command begins with, an observation the call's result, a
thought a plan. What became of the run (``info``, and every field that we do not know)
is told by the last event alone. A step's ``query``, which repeats all that came before
it, is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from features.events import AgentEvent, ContractError, EventKind
from features.ingest._files.intake import Intake
from features.ingest._talk.content import identifier, text_of
from features.ingest._talk.lists import pop_outcomes
from features.ingest._talk.messages import (
    SYSTEM_ROLES,
    Item,
    Wire,
    taken,
    without_null,
)
from features.ingest._talk.shell import failed, first_word, writes
from features.ingest._talk.tasks import TaskRecord, task_events

LOOKS_FOR = (
    "an object with a list `trajectory` (of steps with `action` and `observation`, or "
    "of turns), or with `messages` and `trajectory_format` (a run per record)"
)

_IDS = ("instance_id", "traj_id", "task_id")
_START = ("environment", "replay_config", "repo", "base_commit", "trajectory_format")
_TOLD = frozenset({"trajectory", "history", "messages", *_START})
_OF_STEP = frozenset({"thought", "action", "observation", "execution_time"})
_REPEATED = frozenset({"query", "messages"})
_ENDING = ("exit_status", "submission", "done")
_SECONDS_END = 1e9  # no command runs for thirty years
_ROLES = {"ai": "assistant", "human": "user"}
_FENCED = re.compile(r"```(?:[\w-]*)\n(.*?)\n?```", re.DOTALL)


def fits(value: Any) -> bool:
    """Return whether `value` looks like a run."""
    run = value[0] if isinstance(value, list) and value else value
    if not isinstance(run, dict):
        return False
    steps = run.get("trajectory")
    if isinstance(steps, list) and (not steps or isinstance(steps[0], dict)):
        return isinstance(run.get("info"), dict) or any(map(_is_step, steps[:1]))
    return isinstance(run.get("messages"), list) and "trajectory_format" in run


def _is_step(step: Wire) -> bool:
    return step.keys() >= {"action", "observation"} or step.keys() >= {"role", "text"}


def events(intake: Intake) -> Iterator[AgentEvent]:
    """Yield the events of the file, run by run, in file order."""
    stem = intake.source.path.name.partition(".")[0]
    is_first = True
    for line, value in intake.records():
        runs = value if isinstance(value, list) else [value]
        for index, run in enumerate(runs):
            place = f"{intake.source.path.name}:{line}"
            place = place if len(runs) == 1 else f"{place}.{index}"
            try:
                record = _record(run, stem if is_first and stem else place)
            except ContractError as error:
                intake.refuse(line, error)
            else:
                yield from task_events(intake, line, record)
            is_first = False


def _record(run: Any, place: str) -> TaskRecord:
    """Return the task that `run` tells, named `place` where it has no id.

    Raises
    ------
    ContractError
        If it has neither steps nor messages.
    """
    fields = run if isinstance(run, dict) else {}
    steps = fields.get("trajectory")
    told = steps if isinstance(steps, list) else taken(fields, ("messages", "history"))
    if not isinstance(told, list) or not told:
        raise ContractError(
            field="run",
            expected="an object with a list `trajectory` or `messages`",
            found=f"{type(run).__name__} with {sorted(fields)[:10]}",
        )
    info = fields.get("info")
    info = info if isinstance(info, dict) else {}
    named = next(filter(None, (identifier(fields.get(n)) for n in _IDS)), None)
    extra = without_null({n: fields.get(n) for n in (*_IDS, *_START)})
    model = _model(fields, info)
    return TaskRecord(
        task_id=named or identifier(info.get("instance_id")) or place,
        facts=without_null({"model": model, "extra": extra or None}),
        messages=list(_messages(fields, told)),
        outcomes=list(_outcomes(fields)),
        adjust=_adjusted,
    )


def _model(fields: Wire, info: Wire) -> str | None:
    config = info.get("config")
    inner = config.get("model") if isinstance(config, dict) else None
    given = [fields.get("model"), fields.get("model_name")]
    if isinstance(inner, dict):
        given.append(inner.get("model_name"))
    return next((name for name in given if isinstance(name, str) and name), None)


def _outcomes(run: Wire) -> Iterator[Item]:
    """Yield what became of the run; nothing of it stands anywhere else."""
    left = {k: v for k, v in run.items() if k not in _TOLD and k not in _IDS}
    verdicts = list(pop_outcomes(left))
    last = run.get("trajectory") or run.get("messages")
    ending = last[-1] if isinstance(last, list) else None
    if isinstance(ending, dict):
        told = {n: ending[n] for n in _ENDING if ending.get(n) is not None}
        if ending.get("role") == "exit":
            told = ending
        left |= {"last": told} if told else {}
    yield "completed", EventKind.COMPLETED, {"extra": without_null(left)}
    yield from verdicts


# --- steps and turns as chat messages ---------------------------------------


def _messages(run: Wire, told: list[Any]) -> Iterator[Any]:
    has_turns = isinstance(told[0], dict) and "role" in told[0]
    if has_turns or told is not run.get("trajectory"):
        yield from _turns(told)
        return
    yield from _opening(run.get("history"))
    for index, step in enumerate(told):
        yield from _step(index, step)


def _opening(history: Any) -> Iterator[Any]:
    """Yield the instructions and the request, up to the agent's first own answer."""
    for message in history if isinstance(history, list) else []:
        if not isinstance(message, dict) or message.get("is_demo"):
            continue
        if message.get("role") not in (*SYSTEM_ROLES, "user"):
            return
        yield message


def _step(index: int, step: Any) -> Iterator[Any]:
    """Yield a thought and its action, then what was observed."""
    if not isinstance(step, dict):
        yield step
        return
    left = {k: v for k, v in step.items() if k not in _OF_STEP | _REPEATED}
    left = {k: v for k, v in left.items() if k not in _ENDING and v is not None}
    action, seen = step.get("action"), step.get("observation")
    state = left.pop("state", None)
    if not isinstance(action, str) or not action.strip():
        said = text_of(step.get("response")) or text_of(step.get("thought"))
        yield {"role": "assistant", "content": said} | left
        if seen:
            yield {"role": "environment", "content": seen}
        return
    yield _acted(f"s{index}", step.get("thought"), action) | left
    beside = {"latency_ms": _milliseconds(step.get("execution_time")), "state": state}
    yield _observed(f"s{index}", seen) | without_null(beside)


def _milliseconds(seconds: Any) -> float | None:
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        return None
    return float(seconds) * 1000 if abs(seconds) < _SECONDS_END else None


def _acted(call_id: str, thought: Any, action: str) -> Wire:
    function = {"name": first_word(action), "arguments": {"command": action}}
    return without_null(
        {
            "role": "assistant",
            "reasoning": thought if isinstance(thought, str) and thought else None,
            "tool_calls": [{"id": call_id, "function": function}],
        }
    )


def _observed(call_id: str, seen: Any) -> Wire:
    seen = "" if seen is None else seen
    says = {"error": True} if failed(text_of(seen)) else {}
    return {"role": "tool", "tool_call_id": call_id, "content": seen} | says


def _turns(told: list[Any]) -> Iterator[Any]:
    """Yield turns: the agent's action stands fenced in its words, or is a tool call."""
    asked: str | None = None
    for index, turn in enumerate(told):
        if not isinstance(turn, dict):
            yield turn
            continue
        message = _plain(turn)
        role, text = message.get("role"), text_of(message.get("content"))
        if role == "exit":
            continue
        if role == "assistant" and not message.get("tool_calls"):
            found = list(_FENCED.finditer(text))
            asked = f"m{index}" if found else None
            yield _from_text(f"m{index}", message, text, found)
        elif role == "user" and asked is not None:
            yield message | _observed(asked, message.get("content"))
            asked = None
        else:
            yield message | ({"error": True} if role == "tool" and failed(text) else {})


def _plain(turn: Wire) -> Wire:
    """Return a turn with the names of chat messages: role, content, time, cost."""
    role = turn.get("role")
    message = turn | {"role": _ROLES.get(role, role) if isinstance(role, str) else role}
    if "content" not in message:
        told = taken(message, ("text", "system_prompt"))
        message = {k: v for k, v in message.items() if k != "text"}
        message["content"] = told
    beside = message.get("extra")
    if not isinstance(beside, dict):
        return message
    answer = beside.get("response")
    usage = answer.get("usage") if isinstance(answer, dict) else None
    usage = (usage if isinstance(usage, dict) else {}) | without_null(
        {"cost": beside.get("cost")}
    )
    return message | without_null(
        {"timestamp": beside.get("timestamp"), "usage": usage or None}
    )


def _from_text(name: str, message: Wire, text: str, found: list[re.Match[str]]) -> Wire:
    """Return the agent's turn: what it says before its last command is its thought."""
    if not found:
        return message
    thought = text[: found[-1].start()].strip()
    acted = _acted(name, thought, found[-1][1])
    return {k: v for k, v in message.items() if k != "content"} | acted


def _adjusted(wire: Wire) -> Wire:
    """Return `wire` with the call named and judged by its command."""
    if wire["kind"] != EventKind.TOOL_CALL:
        return dict(wire)
    arguments = wire.get("arguments")
    command = arguments.get("command") if isinstance(arguments, Mapping) else None
    if not isinstance(command, str):
        return dict(wire)
    changed = dict(wire) | {"tool": first_word(command) or wire.get("tool")}
    told = writes(command)
    changed.pop("is_write", None)
    return changed if told is None else changed | {"is_write": told}
