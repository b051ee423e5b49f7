"""What the clients of the fault runs do: stories, each request of which is sent twice.

A story is told again from its beginning after every crash: whatever was answered before
must be answered so again, whatever was not must now be done once.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

_AT = "2026-11-24T12:00:00+00:00"
_WISH = "I want to talk to a human"
DONE = 200
_OURS_TO_MEND = 500
_BUSY = (409, "idempotency-in-flight")
# Longest and shortest time between two attempts at one request, in s.
_PAUSE = 0.02
_ODD = frozenset("13579")
MEMBER = "general-1"
_CLOSED, _RETURNED = 0, 1  # of ten kinds of tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request of a story.

    Attributes
    ----------
    what : str
        What it is in the story.
    expects : int
        The status that answers it.
    """

    what: str
    path: str
    body: Mapping[str, Any] | bytes
    task_id: str
    key: str = ""
    expects: int = DONE
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answered:
    """What a request was answered."""

    status: int
    body: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """Of what must not change, however often the request is sent."""
        said = [self.status, self.body]
        packed = orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(packed).hexdigest()

    @property
    def is_final(self) -> bool:
        """Whether it answers the request, or asks to send it again."""
        slug = str(self.body.get("type", "")).rpartition(":")[2]
        return self.status < _OURS_TO_MEND and (self.status, slug) != _BUSY


Call = Callable[[Asked], Awaitable[Answered]]
Story = Generator[Asked, Mapping[str, Any], None]


class WrongAnswerError(RuntimeError):
    """A request was answered as it must never be; says which, and how."""


def story(task_id: str) -> Story:
    """Tell what happens to a task, by its name: a fifth are worked on."""
    drawn = int(hashlib.sha256(task_id.encode()).hexdigest()[:4], 16) % 10
    handoff = yield from _handed_over(task_id)
    if drawn not in (_CLOSED, _RETURNED):
        return
    yield from _claimed(task_id, handoff)
    if drawn == _RETURNED:
        yield from _given_back(task_id, handoff)
    else:
        yield _verb(task_id, handoff, "resolve", needed="yes", note="done")


def _handed_over(task_id: str) -> Generator[Asked, Mapping[str, Any], str]:
    begun = {"kind": "task_started", "agent_id": "bot", "domain": "retail"}
    wish = {"kind": "user_message", "text": _WISH}
    answer = yield _events(task_id, "handed_over", begun, wish)
    return str(answer["handoff"]["handoff_id"])


def _claimed(task_id: str, handoff: str) -> Story:
    # The agent that does not know yet, and goes on.
    call = {"kind": "tool_call", "tool": "refund", "is_write": True, "call_id": "1"}
    yield _events(task_id, "late", call, epoch=1, expects=409)
    yield _verb(task_id, handoff, "claim")


def _given_back(task_id: str, handoff: str) -> Story:
    answer = yield _verb(task_id, handoff, "return", guidance="ask for the number")
    del answer
    said = {"kind": "agent_message", "text": f"What is the number of {task_id}?"}
    yield _events(task_id, "resumed", said)
    yield Asked(
        what="handed_over_again",
        path=f"/v1/tasks/{task_id}/escalate",
        body={"by": "user", "reason": "still not served"},
        task_id=task_id,
        key=f"{task_id}-again",
    )


def _events(
    task_id: str,
    what: str,
    *bodies: Mapping[str, Any],
    expects: int = DONE,
    **more: Any,
) -> Asked:
    events = [
        {"event_id": f"{what}-{n}", "at": _AT, **body} for n, body in enumerate(bodies)
    ]
    return Asked(
        what=what,
        path=f"/v1/tasks/{task_id}/events",
        body={"events": events, **more},
        task_id=task_id,
        expects=expects,
    )


def _verb(task_id: str, handoff: str, verb: str, **said: Any) -> Asked:
    return Asked(
        what=f"{verb}ed",
        path=f"/v1/handoffs/{handoff}/{verb}",
        body={"by": MEMBER, **said},
        task_id=task_id,
        key=f"{task_id}-{verb}",
    )


# --- telling -----------------------------------------------------------------


async def tell(
    task_id: str, call: Call, note: Callable[[Asked, Answered], None]
) -> None:
    """Tell the story of a task to its end; `note` each answer.

    Raises
    ------
    WrongAnswerError
        If a request got another status than it must get, or two answers.
    """
    telling = story(task_id)
    asked = next(telling, None)
    while asked is not None:
        answered = await _twice(asked, call)
        if answered.status != asked.expects:
            msg = f"{asked.what} of {task_id}: {answered.status} {answered.body}"
            raise WrongAnswerError(msg)
        note(asked, answered)
        try:
            asked = telling.send(answered.body)
        except StopIteration:
            return


async def _twice(asked: Asked, call: Call) -> Answered:
    """Send a request twice, at once or in turn; return the one answer."""
    both = (_until_answered(asked, call), _until_answered(asked, call))
    if asked.task_id[-1] in _ODD:
        first, second = await asyncio.gather(*both)
    else:
        first, second = await both[0], await both[1]
    if asked.expects == DONE and first.digest != second.digest:
        msg = f"{asked.what} of {asked.task_id}: {first.body}, then {second.body}"
        raise WrongAnswerError(msg)
    return first


async def _until_answered(asked: Asked, call: Call) -> Answered:
    while True:
        answered = await call(asked)
        if answered.is_final:
            return answered
        await asyncio.sleep(_PAUSE)


def headers_of(asked: Asked) -> dict[str, str]:
    """Return the headers with which `asked` is sent."""
    named = {"content-type": "application/json", **asked.headers}
    return named | ({"idempotency-key": asked.key} if asked.key else {})


def payload_of(asked: Asked) -> bytes:
    """Return the bytes that are sent."""
    return asked.body if isinstance(asked.body, bytes) else orjson.dumps(asked.body)


def in_process(app: Any) -> Call:
    """Return calls of an ASGI application that runs in this process."""

    async def call(asked: Asked) -> Answered:
        sent = _Exchange(payload_of(asked))
        headers = {"host": "localhost", **headers_of(asked)}
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": asked.method,
            "scheme": "http",
            "path": asked.path,
            "raw_path": asked.path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("localhost", 80),
        }
        await app(scope, sent.receive, sent.send)
        return sent.answered()

    return call


class _Exchange:
    """One request to an ASGI application, and what came back."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._status = 0
        self._parts: list[bytes] = []

    async def receive(self) -> dict[str, Any]:
        return {"type": "http.request", "body": self._payload, "more_body": False}

    async def send(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
        else:
            self._parts.append(message.get("body", b""))

    def answered(self) -> Answered:
        return Answered(self._status, orjson.loads(b"".join(self._parts)))
