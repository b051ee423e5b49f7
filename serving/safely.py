"""Safely: the one place where any failure whatever is caught, and becomes a value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Failure:
    """What a piece of work ended in instead of a result."""

    error: Exception

    @property
    def name(self) -> str:
        """The class of the error: safe to log, unlike its message."""
        return type(self.error).__name__


def attempt(work: Callable[[], T]) -> T | Failure:
    """Return what `work` returns, or the `Failure` it ended in.

    A model, a policy or a use case may fail in ways nobody listed. The caller must turn
    each into something safe (an answer to whoever waits, a decision to stop), so it
    gets a value it cannot overlook. Nothing else in serving catches `Exception`.
    """
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - see above: this is the one place
        return Failure(error)
