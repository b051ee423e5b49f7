"""What a human must decide, and what the agent may not know, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from features.events import AgentEvent, EventKind
from serving.policy.attempts import Attempt, Outcome
from serving.policy.trigger import Firing

# For whoever gets a task of which nothing says what is to be decided.
HOW_TO_GO_ON = "how to go on, given why it was handed over"
_SHORT = 140


def shortened(text: str) -> str:
    """Return `text` on one line, cut to 140 characters with a mark where it was."""
    line = " ".join(text.split())
    return line if len(line) <= _SHORT else line[: _SHORT - 1] + "…"


def _error_in_words(error: object) -> str:
    """Return ``": timeout"`` for an error that has a type, else the empty string."""
    kind = error.get("type") if isinstance(error, dict) else None
    return f": {kind}" if kind else ""


def _last_words(events: Sequence[AgentEvent]) -> AgentEvent | None:
    """Return the user's last message if the agent has not answered it."""
    said = [
        event
        for event in events
        if event.kind in (EventKind.USER_MESSAGE, EventKind.AGENT_MESSAGE)
    ]
    unanswered = bool(said) and said[-1].kind == EventKind.USER_MESSAGE
    return said[-1] if unanswered else None


def _readings(events: Sequence[AgentEvent]) -> list[str]:
    """Return the readings of the request between which the agent last wavered."""
    for event in reversed(events):
        readings = event.body.get("interpretations")
        if event.kind == EventKind.AGENT_MESSAGE and readings is not None:
            return [str(r) for r in readings] if isinstance(readings, list) else []
    return []


def _stuck(attempts: Sequence[Attempt]) -> dict[str, list[Attempt]]:
    """Return the failures of each tool that has not succeeded since."""
    failed: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        if attempt.outcome is Outcome.FAILED:
            failed.setdefault(attempt.tool, []).append(attempt)
        elif attempt.outcome is Outcome.SUCCEEDED:
            failed.pop(attempt.tool, None)
    return failed


def _questions(
    events: Sequence[AgentEvent],
    attempts: Sequence[Attempt],
    firings: Sequence[Firing],
) -> Iterator[str]:
    yield from (firing.asks for firing in firings if firing.asks)
    readings = _readings(events)
    if len(readings) > 1:
        yield "which reading of the request is meant: " + " | ".join(readings)
    for attempt in attempts:
        if attempt.is_write and attempt.outcome is Outcome.UNANSWERED:
            yield f"whether {attempt.name} took effect, before anything is repeated"
    for tool, failures in _stuck(attempts).items():
        yield f"how to go on without `{tool}`{_error_in_words(failures[-1].error)}"
    words = _last_words(events)
    if words is not None:
        said = shortened(words.text)
        more = "" if said[-1:] != "…" else f" (all of it in event {words.event_id!r})"
        yield f"what to answer to the user's last words: {said}{more}"


def questions(
    events: Sequence[AgentEvent],
    attempts: Sequence[Attempt],
    firings: Sequence[Firing],
) -> tuple[str, ...]:
    """Return what the human must decide, as far as log and policy say, each once."""
    return tuple(dict.fromkeys(_questions(events, attempts, firings)))


def _gaps(events: Sequence[AgentEvent], attempts: Sequence[Attempt]) -> Iterator[str]:
    for tool, failures in _stuck(attempts).items():
        times = "once" if len(failures) == 1 else f"{len(failures)} times"
        yield f"what `{tool}` would have answered: it failed {times}"
    for attempt in attempts:
        if attempt.outcome is Outcome.UNANSWERED:
            what = "whether it took effect" if attempt.is_write else "what it answered"
            yield f"{what}: no result of {attempt.name} was logged"
    if not any(event.kind == EventKind.VERIFIER for event in events):
        yield "whether its answers are right: nothing in the log checked them"
    if _last_words(events) is not None:
        yield "what follows from the user's last words: it has not answered them"


def may_not_know(
    events: Sequence[AgentEvent], attempts: Sequence[Attempt]
) -> tuple[str, ...]:
    """Return what the agent may not know, as far as its log shows."""
    return tuple(_gaps(events, attempts))
