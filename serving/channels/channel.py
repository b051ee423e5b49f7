"""Channel: what every way to tell an outside system promises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from serving.policy.delivery import Attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One thing to tell.

    Attributes
    ----------
    message_id : str
        The same at every attempt, as are the bytes: receivers dedupe by it.
    body : bytes
        A CloudEvent, as JSON.
    """

    message_id: str
    body: bytes


class Channel(Protocol):
    """Tells an outside system. Safe from many threads.

    The contract, held by `tests/contract/test_channel.py`: an attempt says that it was
    told only with the other side's word for it; whatever the other side does is an
    `Attempt`, never an exception; it ends within `serving.engine.delivery.LEASE`; the
    same message again is the same message, which the other side keeps once.
    """

    def send(self, message: Message) -> Attempt:
        """Send `message` once, and return what came of it."""
        ...

    def close(self) -> None:
        """Let go of what it holds. Closing twice is harmless."""
        ...
