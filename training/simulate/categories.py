"""The closed sets of the simulated world: hidden states and what can be observed.

Integer enums, because they are indices of tables and arrays. Category 0 of a factor
means "not there", so an array of zeros says that nothing has been observed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from features.events import EventKind


class Hidden(IntEnum):
    """How a task really stands. Nobody sees it; it decides who is needed."""

    FINE = 0
    CONFUSED = 1
    LOOPING = 2
    SILENT = 3
    UPSET = 4
    BEYOND = 5


class Request(IntEnum):
    """How the first request is put."""

    CLEAR = 0
    VAGUE = 1
    UPSET = 2
    SENSITIVE = 3


class Sentiment(IntEnum):
    """Tone of a user's message."""

    ABSENT = 0
    POSITIVE = 1
    NEUTRAL = 2
    UNHAPPY = 3
    ANGRY = 4


class Wish(IntEnum):
    """What else a user's message says: a human is wanted, a sensitive topic."""

    NONE = 0
    HUMAN = 1
    SENSITIVE = 2


class Plan(IntEnum):
    """Whether the agent's plan is the old one."""

    ABSENT = 0
    STEADY = 1
    CHANGED = 2


class Call(IntEnum):
    """Whether a tool call repeats the one before it, word for word."""

    ABSENT = 0
    NEW = 1
    REPEAT = 2


class Result(IntEnum):
    """What a tool gave back. PARTIAL and EMPTY come without an error."""

    ABSENT = 0
    FULL = 1
    PARTIAL = 2
    EMPTY = 3
    ERROR = 4


class Claim(IntEnum):
    """What the agent's message says; ECHO repeats its last one word for word."""

    ABSENT = 0
    DONE = 1
    PROGRESS = 2
    CLARIFY = 3
    HEDGE = 4
    STUCK = 5
    ECHO = 6


class Interpretations(IntEnum):
    """How many readings of the request the agent counts; MANY is three to five."""

    ABSENT = 0
    ONE = 1
    TWO = 2
    MANY = 3


# Edges of the bands of a value in [0, 1], in thousandths, the last one inclusive.
# Band i of the value is category i + 1 of its factor; 0 is "no value given".
CONFIDENCE_EDGES = (0, 500, 700, 850, 950, 1001)
VERIFIER_EDGES = (0, 200, 400, 600, 800, 1001)


class Factor(IntEnum):
    """One observable of a turn; the index of its column in observation arrays."""

    SENTIMENT = 0
    WISH = 1
    PLAN = 2
    CALL = 3
    RESULT = 4
    AGAIN = 5
    RESULT_AGAIN = 6
    CLAIM = 7
    CONFIDENCE = 8
    INTERPRETATIONS = 9
    VERIFIER = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A place in a turn where one event stands or is missing.

    Attributes
    ----------
    kind : EventKind
        Of the event.
    factors : tuple of Factor
        What the event shows. The first one tells whether it is there at all.
    gate : Factor or None
        If this one is 0 the event cannot be there, and its absence says nothing.
    """

    kind: EventKind
    factors: tuple[Factor, ...]
    gate: Factor | None = None


# A turn, in log order. The agent's message is always there, so the log alone tells
# where a turn ends.
SLOTS = (
    Slot(kind=EventKind.USER_MESSAGE, factors=(Factor.SENTIMENT, Factor.WISH)),
    Slot(kind=EventKind.PLAN, factors=(Factor.PLAN,)),
    Slot(kind=EventKind.TOOL_CALL, factors=(Factor.CALL,)),
    Slot(kind=EventKind.TOOL_RESULT, factors=(Factor.RESULT,), gate=Factor.CALL),
    Slot(kind=EventKind.TOOL_CALL, factors=(Factor.AGAIN,), gate=Factor.CALL),
    Slot(kind=EventKind.TOOL_RESULT, factors=(Factor.RESULT_AGAIN,), gate=Factor.AGAIN),
    Slot(
        kind=EventKind.AGENT_MESSAGE,
        factors=(Factor.CLAIM, Factor.CONFIDENCE, Factor.INTERPRETATIONS),
    ),
    Slot(kind=EventKind.VERIFIER, factors=(Factor.VERIFIER,)),
)
