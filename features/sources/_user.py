"""What a user's message gives."""

from __future__ import annotations

from features import text
from features.events import AgentEvent
from features.sources._memory import Talk, Work, actions_in
from features.sources._tokens import tokens

_UPSET = 0.4  # displeasure above which a message is angry without angry words
Values = dict[str, float]


def started(event: AgentEvent, talk: Talk, work: Work) -> Values:
    """Return what the head of a task says: the account, and the request."""
    account = event.body.get("account") or {}
    value = account.get("value")
    values = {} if value is None else {"account_value": float(value)}
    if event.text:
        talk.request = text.normalised(event.text)
        values |= _heard(event.text, talk, work)
    return values


def message(event: AgentEvent, talk: Talk, work: Work) -> Values:
    """Return what a user's message says, and what the agent did before it."""
    said = text.normalised(event.text)
    values = {"user_message": 1.0} | _turn(talk, work)
    # Many logs state the request twice, in the task's head and as the first
    # message: it was said once, so it is read once.
    if not said or said != talk.request:
        values |= _heard(event.text, talk, work)
    talk.request = ""
    return values


def _turn(talk: Talk, work: Work) -> Values:
    """Return what the agent did since the user last spoke; nothing if it was mute."""
    values = {}
    if talk.agent_message or work.calls_in_turn:
        idle = work.calls_in_turn == 0
        values = {
            "idle_turn": float(idle),
            "idle_promise": float(idle and talk.promised),
        }
    work.written_in_turn = False
    work.calls_in_turn = 0
    talk.promised = False
    return values


def _heard(words: str, talk: Talk, work: Work) -> Values:
    """Return what the user's `words` say."""
    said = text.read(words, "user")
    found = tokens(words)
    talk.confirmed = said["confirms"] > 0
    talk.by_user |= found
    work.mentioned |= found
    values = {
        "user_words": said["words"],
        "user_questions": said["questions"],
        "user_numbers": said["numbers"],
        "user_shouting": said["shouting"],
        "user_displeasure": -text.sentiment(words),
        "user_frustration": said["frustration"],
        "user_corrections": said["corrections"],
        "user_additions": said["additions"],
        "user_comparisons": said["comparisons"],
        "user_confirms": float(said["confirms"] > 0),
        "user_closes": float(said["user_closes"] > 0),
        "user_pleads": said["pleads"],
        "user_asks_human": float(said["asks_human"] > 0),
        "safety": float(said["safety"] > 0),
        "regulated": float(said["regulated"] > 0),
    }
    values["open_anger"] = _anger(values, talk, thanks=said["thanks"] > 0)
    return values | _wishes(values, found, talk, work)


def _anger(said: Values, talk: Talk, *, thanks: bool) -> float:
    """Return the anger that is open: kind words of thanks take back all of it."""
    if said["user_frustration"] > 0 or said["user_displeasure"] > _UPSET:
        talk.anger += 1.0
    elif thanks and said["user_displeasure"] < 0:
        talk.anger = 0.0
    return talk.anger


def _wishes(said: Values, found: set[str], talk: Talk, work: Work) -> Values:
    """Return what the user wants done, against what was done."""
    named = actions_in(found)
    talk.wishes |= named
    values = {
        "wishes": float(len(talk.wishes)),
        "open_wishes": float(len(talk.wishes - talk.acted)),
    }
    if work.writes:
        values["late_correction"] = said["user_corrections"]
    return values
