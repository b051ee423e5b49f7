"""Live: words between a person and the user while the person has the task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from features.events import AgentEvent, ContractError, EventKind, parse
from serving.engine import claims, following, views
from serving.engine.checks import check
from serving.engine.following import News, Seen, message
from serving.engine.noticing import telling
from serving.engine.ways import Answer, Ways
from serving.policy.audit import rfc3339
from serving.policy.handoff import Handoff, HandoffStatus
from serving.problems import Problem, ProblemType
from serving.store import (
    handoffs,
    intake,
    notices,
    presence,
    talk,
    tasks,
)
from serving.store.intake import Line
from serving.store.presence import Doing, Present, Role
from serving.store.talk import Placed, Stamp
from serving.store.tasks import OwnerKind, Task, new_id
from serving.store.transaction import Reader, Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What somebody says.

    Attributes
    ----------
    by : str or None
        The person who has the task; None: the user says it.
    text : str
        Kept byte for byte.
    attachments : sequence of dict
        As in events.
    message_id : str or None
        Its idempotency key, and its id as an event; None: a new one.
    handoff_id : str or None
        Of which handover it is meant to be; None: of the one that is live.
    """

    text: str
    by: str | None = None
    attachments: Sequence[Any] = ()
    message_id: str | None = None
    handoff_id: str | None = None


class Live:
    """What a person, the user and who relays for them do while the task is handed over.

    Safe to call from many threads.

    Parameters
    ----------
    ways : Ways
        The engine's.
    """

    def __init__(self, ways: Ways) -> None:
        self.written = ways.written
        self._ways = ways

    # --- what is said --------------------------------------------------------

    def say(self, task_id: str, said: Said) -> Answer:
        """Keep a message in the log of a task, from where every follower is told it.

        The same message again, under its id, changes nothing and is answered alike,
        even once nobody is live any more.

        Raises
        ------
        Problem
            unknown-task, not-live, event-conflict, malformed-event.
        """
        return self._ways.do(partial(self._say, task_id=task_id, said=said))

    def _say(self, tx: Transaction, *, task_id: str, said: Said) -> Answer:
        task = tasks.get(tx, task_id)
        before = None
        if said.message_id is not None:
            before = talk.find(tx, task_id, said.message_id)
        at = self._ways.clock() if before is None else before.event.at
        held = _active(tx, task_id)
        handoff_id = said.handoff_id or _named(held, before)
        event = _event(task_id, replace(said, handoff_id=handoff_id), at)
        line = Line.of(event)
        # Raises where another message was kept under this id.
        if not intake.sort(tx, task_id, [line]).new:
            return self._answered(tx, task_id, event.event_id)
        _check_live(task, held, said)
        if said.by is not None and held is not None:
            self._renew(tx, held, said.by, at)
        self._ways.steps.keep(
            tx, task, task_id, [line], at=at, accepted=(event.event_id,)
        )
        return self._answered(tx, task_id, event.event_id)

    def _answered(self, tx: Transaction, task_id: str, message_id: str) -> Answer:
        task = tasks.get(tx, task_id)
        held = _active(tx, task_id)
        placed = talk.find(tx, task_id, message_id)
        until = None if held is None else held.lease_until
        return {
            "task_id": task_id,
            **({} if placed is None else message(placed)),
            "owner": task.owner,
            "epoch": task.epoch,
            "lease_until": None if until is None else rfc3339(until),
        }

    def _renew(self, tx: Transaction, held: Handoff, by: str, at: datetime) -> None:
        """Renew the claim of whoever speaks, once half of it has passed."""
        claims.keep_alive(tx, self._ways.policy, held, by=by, at=at)

    # --- what is told --------------------------------------------------------

    def shown(self, task_id: str, message_id: str) -> Answer:
        """Keep that the user has seen the message of a handover.

        Raises
        ------
        Problem
            unknown-task, malformed-request.
        """
        return self._ways.do(
            partial(self._shown, task_id=task_id, message_id=message_id)
        )

    def _shown(self, tx: Transaction, *, task_id: str, message_id: str) -> Answer:
        tasks.get(tx, task_id)
        found = notices.of_task(tx, task_id, message_id)
        if found is None:
            raise Problem(
                ProblemType.MALFORMED_REQUEST,
                f"`message_id` must be the id of a handover's message to the user of "
                f"task {task_id!r}, found {message_id!r}",
            )
        shown = found.show(tx, task_id, self._ways.clock())
        return {
            "task_id": task_id,
            "handoff_id": shown.handoff_id,
            "message_id": message_id,
            "state": str(shown.state),
            "shown_at": None if shown.shown_at is None else rfc3339(shown.shown_at),
        }

    def task(self, task_id: str) -> Answer:
        """Return how a task stands, what its user is told, and who is there.

        Raises
        ------
        Problem
            unknown-task.
        """
        return self._ways.read(partial(self._task, task_id=task_id))

    def _task(self, reader: Reader, *, task_id: str) -> Answer:
        at = self._ways.clock()
        stands = views.task(reader, task_id)
        told = telling(reader, self._ways.policy, tasks.get(reader, task_id), at)
        there = presence.there(reader, task_id, at)
        return {
            **stands,
            **told.to_json(),
            "notice": told.noted(),
            "expected_wait_s": None if told.wait is None else told.wait.total_seconds(),
            "presence": [one.to_json() for one in there],
        }

    # --- who is there --------------------------------------------------------

    def here(
        self, task_id: str, *, who: str, role: Role, doing: Doing = Doing.NOTHING
    ) -> Answer:
        """Keep that `who` is there, and what they are doing; return who is present.

        Raises
        ------
        Problem
            unknown-task, malformed-request.
        """
        check(bool(who.strip()), "who", "a name", who)
        at = self._ways.clock()
        present = Present(who=who, role=role, doing=doing, seen_at=at)

        def use_case(tx: Transaction) -> Answer:
            tasks.get(tx, task_id)
            presence.seen(tx, task_id, present)
            there = presence.there(tx, task_id, at)
            return {"task_id": task_id, "present": [one.to_json() for one in there]}

        return self._ways.do(use_case)

    def beat(self, there: Iterable[tuple[str, str, Role]]) -> None:
        """Keep that all these still follow: task, who, role."""
        listed, at = tuple(there), self._ways.clock()
        if listed:
            self._ways.do(lambda tx: presence.beat(tx, listed, at))

    # --- following -----------------------------------------------------------

    def begin(self, task_id: str, after: int | None) -> Seen:
        """Return where a follower begins who knows the log up to the place `after`.

        Raises
        ------
        Problem
            unknown-task.
        """
        return self._ways.read(lambda reader: following.begin(reader, task_id, after))

    def news(self, task_id: str, seen: Seen) -> News:
        """Return what is new to a follower who has been told what `seen` says.

        Raises
        ------
        Problem
            unknown-task.
        """
        at, policy = self._ways.clock(), self._ways.policy
        return self._ways.read(
            lambda reader: following.news(reader, policy, task_id, seen, at)
        )

    def stamps(self, task_ids: Iterable[str]) -> Mapping[str, Stamp]:
        """Return for each task what differs once its followers have news."""
        listed = tuple(task_ids)
        return self._ways.read(
            lambda reader: {one: talk.stamp(reader, one) for one in listed}
        )


# --- who may speak -----------------------------------------------------------


def _active(reader: Reader, task_id: str) -> Handoff | None:
    """Return the handoff of a task that waits for a person, or is with one."""
    row = handoffs.last_of(reader, task_id)
    if row is None or not handoffs.is_active(row):
        return None
    return handoffs.get(reader, row["handoff_id"])


def _named(held: Handoff | None, before: Placed | None) -> str | None:
    """Return of which handover a message is: the one it was kept for, else of now."""
    if before is not None:
        return before.event.body.get("handoff_id")
    return None if held is None else held.handoff_id


def _check_live(task: Task, held: Handoff | None, said: Said) -> None:
    """Return if `said` reaches somebody now.

    Raises
    ------
    Problem
        not-live, with the owner and the epoch.
    """
    if held is None or said.handoff_id not in (None, held.handoff_id):
        raise _not_live(task, held, "it was not handed over, or is handed over no more")
    if said.by is None:
        return
    if held.status is not HandoffStatus.CLAIMED or held.claimed_by != said.by:
        raise _not_live(task, held, f"{said.by!r} does not have it; claim it first")


_ELSEWHERE = {
    OwnerKind.AGENT: "what the user says goes to POST /v1/tasks/{task_id}/events",
    OwnerKind.NOBODY: "POST /v1/tasks/{task_id}/escalate asks for a human again",
}


def _not_live(task: Task, held: Handoff | None, why: str) -> Problem:
    owner = f"{task.owner_kind} {task.owner_id}".strip()
    hint = _ELSEWHERE.get(task.owner_kind, "GET /v1/tasks/{task_id} says how it stands")
    return Problem(
        ProblemType.NOT_LIVE,
        f"nothing was kept: task {task.task_id!r} belongs to {owner} under epoch "
        f"{task.epoch}, {why}; {hint}",
        task_id=task.task_id,
        owner=task.owner,
        epoch=task.epoch,
        handoff_id=None if held is None else held.handoff_id,
    )


def _event(task_id: str, said: Said, at: datetime) -> AgentEvent:
    """Return `said` as an event of the task.

    Raises
    ------
    Problem
        malformed-event.
    """
    from_user = said.by is None
    kind = EventKind.USER_MESSAGE if from_user else EventKind.PERSON_MESSAGE
    line: dict[str, Any] = {
        "event_id": said.message_id or new_id("say"),
        "at": rfc3339(at),
        "kind": str(kind),
        "text": said.text,
    }
    if said.attachments:
        line["attachments"] = list(said.attachments)
    if not from_user:
        line |= {"by": said.by, "handoff_id": said.handoff_id}
    try:
        return parse(line, task_id=task_id)
    except ContractError as error:
        raise Problem(
            ProblemType.MALFORMED_EVENT,
            f"nothing was kept: {error}",
            refused=[intake.refusal(0, error)],
        ) from error
