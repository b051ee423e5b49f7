"""What went wrong, as the person at the console is told."""

from __future__ import annotations

from starlette.exceptions import HTTPException

from serving.console.forms import FormError
from serving.console.words import say
from serving.problems import Problem, ProblemType
from serving.store.transaction import StoreError


def said_of(problem: Problem) -> str:
    """Return what a person is told of `problem`."""
    if problem.kind is ProblemType.ALREADY_CLAIMED:
        return say("lost_claim", who=problem.extra.get("holder") or say("unknown"))
    return problem.detail


def trouble_of(error: Exception) -> tuple[int, str, str]:
    """Return status, title and detail of what went wrong."""
    match error:
        case Problem(status=404) | HTTPException(status_code=404):
            said = 404, "not_here", say("not_here_hint")
        case Problem():
            said = error.status, "went_wrong", said_of(error)
        case HTTPException():
            said = error.status_code, "went_wrong", error.detail
        case StoreError():
            said = 503, "no_store", say("no_store_hint")
        case FormError():
            said = 422, "went_wrong", str(error)
        case _:
            said = 500, "went_wrong", say("our_fault")
    status, title, detail = said
    return status, say(title), detail
