"""A case: what its page shows, out of a handoff and its task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from serving.console.timeline import Timeline, as_text
from serving.console.views import Bars
from serving.console.words import say
from serving.engine.rating import PARTS

Answer = Mapping[str, Any]
# A handoff whose package is gone still has a page.
NO_PACKAGE: Answer = {
    "request": "",
    "conversation": [],
    "attempts": [],
    "reasoning": [],
    "record": [],
    "best_guess": "",
    "base": None,
    "score": None,
    "reasons": [],
    "to_decide": [],
    "may_not_know": [],
    "missing": [],
}
_ACCOUNT = ("tier", "value", "id")


def shown(handoff: Answer, task: Answer) -> dict[str, Any]:
    """Return what the page of `handoff` needs.

    Parameters
    ----------
    handoff, task : Mapping
        The engine's answers.
    """
    package = handoff["package"] or NO_PACKAGE
    timeline = Timeline.of(package)
    return {
        "case": {**handoff, "package": package},
        "timeline": timeline,
        "first_request": _first_request(package),
        "bars": Bars.of(package),
        "facts": tuple(_facts(handoff, task)),
        "how": tuple(_how(handoff, task)),
        "outcome": tuple(_outcome(handoff)),
        "parts": tuple((part, say(f"part_{part}")) for part in PARTS),
    }


def _first_request(package: Answer) -> str:
    """Return the request, unless the conversation opens with it anyway."""
    users = (t["text"] for t in package["conversation"] if t["speaker"] == "user")
    opening: str = next(users, "")
    request: str = package["request"]
    return "" if opening.strip().startswith(request.strip()) else request


def _facts(handoff: Answer, task: Answer) -> Iterator[tuple[str, str]]:
    yield say("in_queue"), handoff["queue"]
    account = handoff["account"]
    told = " · ".join(as_text(account[k]) for k in _ACCOUNT if account.get(k))
    if told:
        yield say("account"), told
    if handoff["domain"]:
        yield say("domain"), handoff["domain"]
    if agent := f"{task['agent_id']} {task['agent_version']}".strip():
        yield say("agent"), agent
    if acts := ", ".join(_acts(handoff)):
        yield say("acts_after_handover"), acts


def _acts(handoff: Answer) -> Iterator[str]:
    """Yield what the agent still did after the handover, each with its time."""
    for one in handoff.get("violations", ()):
        if one["acted"]:
            yield f"{one['tool'] or one['kind']} {one['at'][11:19]} UTC"


def _how(handoff: Answer, task: Answer) -> Iterator[tuple[str, str]]:
    decision = task["decision"]
    # The task's last decision is the one behind this handoff only as long as no other
    # came after: a task that was given back is decided on again.
    is_last = task["handoff_id"] == handoff["handoff_id"]
    if decision is not None and is_last and handoff["status"] != "RETURNED":
        yield say("decided_by"), decision["source"]
        yield say("mode"), decision["mode"]
        yield say("model"), decision["model_version"] or say("none")
        yield say("policy"), decision["policy_version"]
    yield say("task"), handoff["task_id"]
    yield say("handoff"), handoff["handoff_id"]
    yield say("epoch"), str(task["epoch"])


def _outcome(handoff: Answer) -> Iterator[tuple[str, str]]:
    said = handoff["resolution"] or {}
    if needed := said.get("needed"):
        yield say("verdict"), say(needed)
    for name in ("note", "guidance"):
        if said.get(name):
            yield say(name), said[name]
    if said.get("minutes") is not None:
        yield say("minutes"), as_text(said["minutes"])
    if rating := handoff["rating"]:
        enough = say("enough" if rating["sufficient"] else "not_enough")
        parts = [say(f"part_{part}") for part in rating["missing"] if part in PARTS]
        lacked = "; ".join(filter(None, [", ".join(parts), rating["note"]]))
        yield say("package"), f"{enough}: {lacked}" if lacked else enough
