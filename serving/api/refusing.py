"""Refusing: what a failed request is answered, and the headers that go with it."""

from __future__ import annotations

import logging
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from serving.api.edge import EdgeProblem, problem_json
from serving.api.reading import Refusal
from serving.problems import Problem
from serving.store.transaction import StoreError

# Long enough for a restart, short enough for an agent that waits, in s.
_RETRY_AFTER = "2"

logger = logging.getLogger(__name__)


def problem_of(error: Exception) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the problem that `error` is, and the headers that go with it.

    Raises
    ------
    Exception
        `error` itself, where it is none that a request may end in.
    """
    match error:
        case Problem():
            return error.to_json(), {}
        case Refusal():
            busy = error.problem["status"] == EdgeProblem.UNAVAILABLE.status
            return error.problem, {"retry-after": _RETRY_AFTER} if busy else {}
        # The disk is full, a file cannot be opened: of the machine, and may pass.
        case StoreError() | OSError():
            logger.error("store unavailable", extra={"action": "store_unavailable"})
            detail = "nothing was kept; stop safely, and send the same call again"
            kind = EdgeProblem.UNAVAILABLE
            return problem_json(kind, detail), {"retry-after": _RETRY_AFTER}
        case HTTPException():
            return _routing_problem(error)
        case ClientDisconnect():
            detail = "the caller left before its body was whole; nothing was kept"
            return problem_json(EdgeProblem.MALFORMED_JSON, detail), {}
        case _:
            raise error


def _routing_problem(error: HTTPException) -> tuple[dict[str, Any], dict[str, str]]:
    headers = dict(error.headers or {})
    if error.status_code == EdgeProblem.NO_SUCH_METHOD.status:
        known = headers.get("Allow", "")
        detail = f"this address takes {known}"
        return problem_json(EdgeProblem.NO_SUCH_METHOD, detail), headers
    detail = "nothing has this address; GET /v1/openapi.json lists those that exist"
    return problem_json(EdgeProblem.NO_SUCH_ADDRESS, detail), headers
