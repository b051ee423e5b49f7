"""Task: one task of an agent, asked about at each step and before each tool."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import inspect
import json
import logging
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ParamSpec, TypeVar, cast
from urllib.parse import quote

from escalon_client.decision import Action, Decision
from escalon_client.errors import OwnershipLost, Refused, SafeStop, ServiceAway
from escalon_client.rules import LocalRules, Watch
from escalon_client.service import Json, Service
from escalon_client.spool import Line, Spool

_log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """That a tool may be called now.

    Attributes
    ----------
    token : str or None
        Used up at the service already; None: a tool that is not irreversible.
    """

    task_id: str
    tool: str
    epoch: int | None
    token: str | None = None


class Task:
    """One task. `Escalon.task` makes it; in a process there is one for each id.

    Parameters
    ----------
    task_id : str
    service : Service
    spool : Spool
        Where events wait while the service is away.
    rules : LocalRules
        How far the agent may go on by itself then.
    """

    def __init__(
        self, task_id: str, service: Service, spool: Spool, rules: LocalRules
    ) -> None:
        self.task_id = task_id
        self._path = f"/v1/tasks/{quote(task_id, safe='')}"
        self._service = service
        self._spool = spool
        self._rules = rules
        self._watch = Watch(rules)
        self._gate = threading.RLock()
        self._epoch: int | None = None
        self._lost: OwnershipLost | None = None
        self._stopped: str | None = None

    @property
    def epoch(self) -> int | None:
        """Under which the agent has, or had, the task; None: not known yet."""
        return self._epoch

    def send(self, events: Iterable[Mapping[str, Any]]) -> Decision:
        """Append events to the task's log; return whether to go on.

        Parameters
        ----------
        events : iterable of mapping
            With `kind` and what goes with it. `event_id` and `at` are made where they
            are not given; whoever sends the same again must give the same.

        Raises
        ------
        OwnershipLost
            If the task belongs to somebody else. What the user said was passed on.
        Refused
            If the service will not have the events.
        ValueError
            If they are not JSON.
        """
        lines = [_whole(event) for event in events]
        json.dumps(lines, allow_nan=False)
        with self._gate:
            self._watch.take(lines)
            body = {"events": lines, **self._under()}
            try:
                self._reach()
                answer = self._call(f"{self._path}/events", body)
            except ServiceAway:
                return self._decided_here(body)
            self._learn(answer)
            return Decision.of(answer)

    def permit(self, tool: str, arguments: Any, *, irreversible: bool = True) -> Permit:
        """Return that `tool` may be called with `arguments`, once, now.

        One that is irreversible has its token used up: the act is then in the log of
        the service before any handover that follows. While the service is away it may
        not be called, and others may.

        Raises
        ------
        OwnershipLost, SafeStop
            If the agent has to stop.
        ServiceAway
            If the tool is irreversible and nobody can say that it may be called.
        Refused
            If the service does not know the task: send its first events before acting.
        """
        with self._gate:
            self._check()
            try:
                return self._permitted(tool, _digest(arguments), irreversible)
            except ServiceAway as away:
                if not irreversible:
                    return Permit(task_id=self.task_id, tool=tool, epoch=self._epoch)
                msg = (
                    f"expected the service to allow {tool!r}, found it away; "
                    "the tool did not run. Call it again later, or tell the user "
                    "that it is not done"
                )
                raise ServiceAway(msg) from away

    def guard(
        self, tool: Callable[P, R], *, irreversible: bool = True, name: str = ""
    ) -> Callable[P, R]:
        """Return `tool`, asking before each call whether it may be made.

        Parameters
        ----------
        tool : callable
            A function, or a coroutine function.
        irreversible : bool
            Whether what it does cannot be undone: money, mail, deletion.
        name : str, optional
            Of the tool; its own where not given.

        Raises
        ------
        OwnershipLost, SafeStop, ServiceAway, Refused
            As `permit`, in place of the call.
        """
        called = name or getattr(tool, "__name__", "tool")
        ask = functools.partial(self.permit, called, irreversible=irreversible)
        signature = inspect.signature(tool)

        def named(*args: P.args, **kwargs: P.kwargs) -> dict[str, Any]:
            return dict(signature.bind(*args, **kwargs).arguments)

        if inspect.iscoroutinefunction(tool):

            @functools.wraps(tool)
            async def later(*args: P.args, **kwargs: P.kwargs) -> Any:
                await asyncio.to_thread(ask, named(*args, **kwargs))
                return await tool(*args, **kwargs)

            return cast("Callable[P, R]", later)

        @functools.wraps(tool)
        def now(*args: P.args, **kwargs: P.kwargs) -> R:
            ask(named(*args, **kwargs))
            return tool(*args, **kwargs)

        return now

    def refresh(self) -> Json:
        """Return how the task stands at the service; tools work again once it is ours.

        `guidance` is what the human said who gave it back.

        Raises
        ------
        ServiceAway, Refused
        """
        with self._gate:
            self.replay()
            before, answer = self._epoch, self._call(self._path)
            self._learn(answer)
            if self._epoch != before:
                self._watch.forget()
            return answer

    def replay(self) -> int:
        """Send what waited for the service, in its order; return how many calls.

        Raises
        ------
        ServiceAway
            If it is away still; what was not sent waits on.
        """
        with self._gate:
            lines = self._spool.lines(self.task_id)
            for line in lines:
                self._send_again(line)
            if lines:
                self._spool.drop(self.task_id, len(lines))
            return len(lines)

    # --- while the service is there ------------------------------------------------

    def _reach(self) -> None:
        """Return once nothing waits any more that has to be sent first."""
        if self._service.is_away:
            msg = "the service did not answer a moment ago"
            raise ServiceAway(msg)
        if self._spool.has(self.task_id):
            self.replay()

    def _send_again(self, line: Line) -> None:
        is_wish = "escalate" in line
        body = {name: line[name] for name in ("events", "epoch") if name in line}
        if is_wish:
            body = {"by": "agent", "reason": line["escalate"]}
        try:
            path = f"{self._path}/{'escalate' if is_wish else 'events'}"
            self._learn(self._call(path, body))
        except (OwnershipLost, Refused) as refused:
            # The service has kept what it will ever keep of this.
            said = {"action": "replay_refused", "fault": type(refused).__name__}
            _log.warning("what had waited was refused", extra=said)
            return
        if is_wish:
            self._stopped = None

    def _permitted(self, tool: str, digest: str, irreversible: bool) -> Permit:  # noqa: FBT001
        if irreversible and self._spool.has(self.task_id):
            self.replay()
        elif not irreversible:
            self._reach()
        if self._epoch is None:
            self._learn(self._call(self._path))
        self._check()
        asked = {"tool": tool, "arguments_sha256": digest, **self._under()}
        token = None
        if irreversible:
            token = self._call(f"{self._path}/actions", asked)["token"]
            asked |= {"token": token, "consume": True}
        asked["task_id"] = self.task_id
        answer = self._call("/v1/ownership/verify", asked)
        if not answer["may_act"]:
            self._refuse(answer)
        return Permit(task_id=self.task_id, tool=tool, epoch=self._epoch, token=token)

    def _refuse(self, answer: Json) -> None:
        """Raise for a call that the service does not let through."""
        self._learn(answer)
        self._check()
        # Ours still: it was the token, as where the service's clock has jumped.
        msg = f"expected a token that holds, found {answer.get('token')}; call again"
        raise ServiceAway(msg)

    def _call(self, path: str, body: Json | None = None) -> Json:
        """Return the answer to a call; remember it if it says that the task is gone."""
        try:
            return self._service.call("GET" if body is None else "POST", path, body)
        except OwnershipLost as lost:
            self._lose(lost)
            raise
        except Refused as refused:
            # The good events of a bad batch were decided on all the same.
            self._learn(refused.problem)
            raise

    def _learn(self, answer: Json) -> None:
        """Take who has the task, unless `answer` is older than what is known."""
        owner, epoch = answer.get("owner"), answer.get("epoch")
        if not owner or epoch is None or epoch < (self._epoch or 0):
            return
        if owner["kind"] == "agent":
            self._epoch, self._lost = epoch, None
            return
        self._lose(
            OwnershipLost(
                self.task_id,
                owner=owner,
                epoch=epoch,
                message=answer.get("message"),
                message_id=answer.get("message_id"),
            )
        )

    def _lose(self, lost: OwnershipLost) -> None:
        if lost.message is None and self._lost is not None:
            return
        self._lost = lost

    # --- while it is away ----------------------------------------------------------

    def _decided_here(self, body: Json) -> Decision:
        """Keep what could not be sent, and decide by the local rules."""
        self._spool.add(self.task_id, body)
        if self._lost is not None:
            raise self._lost.with_traceback(None)
        reason = self._watch.reason()
        if reason is not None and self._stopped is None:
            self._stopped = reason
            self._spool.add(self.task_id, {"escalate": reason})
        is_over = self._stopped is not None
        return Decision(
            action=Action.SAFE_STOP if is_over else Action.CONTINUE,
            must_stop=is_over,
            message=self._rules.message if is_over else None,
            message_id=f"local-{self.task_id}" if is_over else None,
            epoch=self._epoch,
            reasons=() if self._stopped is None else (self._stopped,),
            is_local=True,
        )

    def _check(self) -> None:
        """Raise if the agent has to stop."""
        if self._lost is not None:
            raise self._lost.with_traceback(None)
        if self._stopped is not None:
            message = self._rules.message
            raise SafeStop(self.task_id, reason=self._stopped, message=message)

    def _under(self) -> dict[str, int]:
        return {} if self._epoch is None else {"epoch": self._epoch}


def _whole(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return `event` with an id and a time, which stay the same however often sent."""
    made = {"event_id": f"evt_{uuid.uuid4().hex}", "at": datetime.now(UTC).isoformat()}
    return {**made, **event}


def _digest(arguments: Any) -> str:
    """Return the SHA-256 of the arguments of a call: they stay in this process."""
    text = json.dumps(
        arguments,
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
        default=repr,
    )
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
