"""The calls that take or give bytes as they are, for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from serving.api.edge import EdgeProblem
from serving.problems import ProblemType

Kind = EdgeProblem | ProblemType
Refusals = Callable[[Iterable[Kind]], dict[str, Any]]

_P, _E = ProblemType, EdgeProblem
_ANY_BYTES: dict[str, Any] = {"application/octet-stream": {}}
_KEPT = {
    "type": "object",
    "required": ["sha256", "size", "is_new"],
    "properties": {
        "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "size": {"type": "integer", "minimum": 0, "description": "In bytes."},
        "is_new": {"type": "boolean", "description": "False: it was here before."},
    },
}
_SENDING = (
    _E.UNAVAILABLE,
    _E.FOREIGN_PAGE,
    _E.BODY_TOO_LARGE,
    _P.NO_ATTACHMENTS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Raw:
    """One call: where, what it is called, what it says, who makes it, what fails."""

    path: str
    method: str
    name: str
    says: str
    who: str
    kinds: tuple[Kind, ...]
    gives: dict[str, Any] = field(default_factory=lambda: _ANY_BYTES)
    parameter: str = ""

    @property
    def is_sent(self) -> bool:
        return self.method in {"post", "put"}

    def described(self, refusals: Refusals) -> dict[str, Any]:
        answer = {"description": self.says, "content": self.gives}
        answers = {"200": answer} | ({"201": answer} if self.is_sent else {})
        said: dict[str, Any] = {
            "operationId": self.name,
            "summary": self.says,
            "tags": [self.who],
            "responses": {**answers, **refusals(self.kinds)},
        }
        if self.parameter:
            schema = {"type": "string", "minLength": 1}
            named = {"name": self.parameter, "in": "path", "required": True}
            said["parameters"] = [{**named, "schema": schema}]
        if self.is_sent:
            said["requestBody"] = {"required": True, "content": _ANY_BYTES}
        return said


_STORED = {"application/json": {"schema": _KEPT}}
_CALLS = (
    _Raw(
        path="/v1/attachments",
        method="post",
        name="attach",
        says="Keep a file; its hash is told back, for events to name it by.",
        who="agent",
        kinds=_SENDING,
        gives=_STORED,
    ),
    _Raw(
        path="/v1/attachments/{sha256}",
        method="put",
        name="attach_as",
        says="Keep a file under the SHA-256 (hex) that its bytes must have.",
        who="agent",
        kinds=(*_SENDING, _P.WRONG_HASH),
        gives=_STORED,
        parameter="sha256",
    ),
    _Raw(
        path="/v1/attachments/{sha256}",
        method="get",
        name="attachment",
        says="A file, as it was sent, to be saved.",
        who="operator",
        kinds=(
            _E.UNAVAILABLE,
            _P.UNKNOWN_ATTACHMENT,
            _P.DAMAGED_ATTACHMENT,
            _P.NO_ATTACHMENTS,
        ),
        parameter="sha256",
    ),
    _Raw(
        path="/v1/handoffs/{handoff_id}/package",
        method="get",
        name="package",
        says="A package as it is stored, byte for byte.",
        who="operator",
        kinds=(_E.UNAVAILABLE, _P.UNKNOWN_HANDOFF),
        gives={"application/json": {"schema": {"type": "object"}}},
        parameter="handoff_id",
    ),
)


def byte_paths(refusals: Refusals) -> dict[str, dict[str, Any]]:
    """Return the path items of the calls.

    Parameters
    ----------
    refusals : callable
        Returns the answers that are problems of these kinds.
    """
    paths: dict[str, dict[str, Any]] = {}
    for call in _CALLS:
        paths.setdefault(call.path, {})[call.method] = call.described(refusals)
    return paths
