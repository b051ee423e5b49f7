"""Silence: what becomes of a task whose agent is not heard of any more."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Final

from serving.policy.document import Priority
from serving.policy.part import Part

# Beats in a row that an agent may miss; at the third one it is taken to be gone.
MISSED_BEATS: Final = 3


class OnSilence(StrEnum):
    """What becomes of the task of an agent that missed its beats."""

    HAND_OVER = "hand_over"
    IGNORE = "ignore"


class AgentSilence(Part):
    """What happens when an agent that said it would go on beating does not.

    Attributes
    ----------
    on_silence : OnSilence
        hand_over: its task goes to a human. ignore: it is audited, and that is all.
    priority : Priority
        Of the handover.
    asks : str
        What the person who takes over must decide.
    """

    on_silence: OnSilence = OnSilence.HAND_OVER
    priority: Priority = Priority.NORMAL
    asks: str = "how far the agent got, and whether what it began must be undone"

    def says(self, silent_for: timedelta) -> str:
        """Return the reason that the person who takes over reads."""
        seconds = int(silent_for.total_seconds())
        return (
            f"the agent has not been heard of for {seconds} s, {MISSED_BEATS} of its "
            "beats were missed"
        )
