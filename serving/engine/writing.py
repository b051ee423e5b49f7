"""Writing: whether the store can be written; it was the last time, or it is tried."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from serving.store.looks import clear, probe
from serving.store.transaction import ConstraintError, StoreError, UseCase

T = TypeVar("T")


class Writing:
    """What came of the last writes. Safe to call from many threads.

    A use case that went well proves nothing, for it may have written nothing: once a
    write has failed, only another that lasted says that it is over.
    """

    def __init__(self) -> None:
        self._has_failed = False

    @property
    def is_well(self) -> bool:
        """Whether no write has failed since the last that surely lasted."""
        return not self._has_failed

    def watched(self, work: Callable[[], T]) -> T:
        """Return what `work`, a write, returns; take note if the store failed it."""
        try:
            return work()
        except ConstraintError:
            # A rule of the schema was broken: the store has worked.
            raise
        except StoreError:
            self._has_failed = True
            raise

    def check(self, do: Callable[[UseCase[None]], None]) -> None:
        """Return if the store can be written, having tried it where that failed.

        Parameters
        ----------
        do : callable
            Runs a use case, and returns once it is durable.

        Raises
        ------
        StoreError
            If it cannot.
        """
        if self._has_failed:
            self.prove(do)

    def prove(self, do: Callable[[UseCase[None]], None]) -> None:
        """Return once something that takes room was durable, and is gone again.

        Raises
        ------
        StoreError
            If the store cannot be written.
        """
        do(probe)
        do(clear)
        self._has_failed = False
