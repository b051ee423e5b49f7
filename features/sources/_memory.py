"""What a reader remembers of a task: whatever a later event may refer to.

Sets and dicts by word, tool or key; nothing is kept per event, so an event costs the
same however long the task already is.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

# Actions by the words that ask for them and by the words in names of tools.
_ACTIONS = {
    "cancel": "cancel cancelled canceled cancelling cancellation terminate",
    "return": "return returned returning returns refund refunded refunding",
    "exchange": "exchange exchanged exchanging exchanges swap replace replacement",
    "change": "change changed changing modify modified modifying update updated edit",
    "add": "add adding book booking buy purchase reserve create",
    "remove": "remove removing removed delete deleted",
    "pay": "pay paying paid",
    "enable": "enable activate resume restore unlock reset reboot",
}
_ACTION_OF = {
    word: action for action, words in _ACTIONS.items() for word in words.split()
}


def actions_in(found: AbstractSet[str]) -> set[str]:
    """Return the actions that words of a message or parts of a tool's name call for."""
    return {_ACTION_OF[word] for word in found & _ACTION_OF.keys()}


@dataclass(slots=True)
class Talk:
    """What was said, and what is still open of it.

    Attributes
    ----------
    request : str
        The words of the task's head, until the first message came.
    by_user, by_agent : set of str
        Every word either has used.
    agent_message : frozenset
        Longer words of the agent's latest message.
    wishes, acted : set of str
        Actions the user has asked for, and those that changes have carried out.
    confirmed : bool
        Whether the user's latest words confirm.
    anger : float
        Angry messages of the user that nothing has made good yet.
    promised : bool
        Whether the agent's latest message promises to act.
    """

    request: str = ""
    by_user: set[str] = field(default_factory=set)
    by_agent: set[str] = field(default_factory=set)
    agent_message: frozenset[str] = frozenset()
    wishes: set[str] = field(default_factory=set)
    acted: set[str] = field(default_factory=set)
    confirmed: bool = False
    anger: float = 0.0
    promised: bool = False


@dataclass(slots=True)
class Work:
    """What was called and what came of it.

    Attributes
    ----------
    open_calls : dict
        By call id: the tool and whether it writes.
    last : tuple of (str, bool)
        The same of the latest call.
    keys : tuple of (float, float)
        The latest call's key, and that of the one before.
    times : dict
        How often each call was made, by key.
    arguments : dict
        Words of the latest call's arguments, by tool.
    called, written : set of str
        Identifiers that calls have named, and that changes have carried.
    failing : set of str
        Tools whose latest writing call failed.
    mentioned : set of str
        Words that the user, tools or documents have brought in.
    writes : int
        Changes that went well.
    written_in_turn : bool
        Whether one did since the user last spoke.
    calls_in_turn : int
        Calls since then.
    failed : bool
        Whether the latest result was an error or held nothing.
    """

    open_calls: dict[str, tuple[str, bool]] = field(default_factory=dict)
    last: tuple[str, bool] = ("", False)
    keys: tuple[float, float] = (-1.0, -1.0)
    times: dict[float, int] = field(default_factory=dict)
    arguments: dict[str, set[str]] = field(default_factory=dict)
    called: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    failing: set[str] = field(default_factory=set)
    mentioned: set[str] = field(default_factory=set)
    writes: int = 0
    written_in_turn: bool = False
    calls_in_turn: int = 0
    failed: bool = False
