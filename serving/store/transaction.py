"""Transactions: what a store promises, whichever database is behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
Undo = Callable[[], None]


class StoreError(RuntimeError):
    """The store could not do what was asked; nothing of it was kept."""


class StoreBusyError(StoreError):
    """Another process writes to this store."""


class StoreVersionError(StoreError):
    """The file is no store of ours, or one of another version."""


class StoreLostError(StoreError):
    """The database went away while it committed: whether it kept that is not known.

    Nothing is answered as done. The same call again finds out: it is answered what it
    would have been answered, or it is done then.
    """


class StoreClosedError(StoreError):
    """The store was closed before the use case ran."""


class ConstraintError(StoreError):
    """A use case broke a rule of the schema; the message is the rule."""


class Row(Protocol):
    """One row of a result, by column name."""

    def __getitem__(self, column: str, /) -> Any:
        """Return the value of `column`."""
        ...


class Reader(Protocol):
    """A consistent view of what is committed; SQL has named parameters."""

    def one(self, query: str, **values: Any) -> Row | None:
        """Return the first row of `query`, or None."""
        ...

    def all(self, query: str, **values: Any) -> Iterator[Row]:
        """Yield the rows of `query`."""
        ...


class Transaction(Reader, Protocol):
    """What a use case reads and writes through."""

    def run(self, statement: str, **values: Any) -> int:
        """Run `statement`; return how many rows it changed."""
        ...

    def many(self, statement: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Run `statement` once for each of `rows`."""
        ...

    def on_rollback(self, undo: Undo) -> None:
        """Have `undo` called if what this use case did is rolled back."""
        ...


UseCase = Callable[[Transaction], T]


class Store(Protocol):
    """Keeps what it has answered, or answers with an error and keeps nothing.

    The contract, held by `tests/contract/test_store.py`: a future is done only once
    what its use case wrote is durable; use cases run one at a time, in the order of
    submission, and see what earlier ones wrote; one that raises leaves no trace and
    harms no other; a reader sees one moment, and nothing uncommitted.
    """

    @property
    def is_open(self) -> bool:
        """Whether use cases are still taken; if not, only a new store takes them."""
        ...

    def submit(self, use_case: UseCase[T]) -> Future[T]:
        """Return a future of what `use_case` returns, done once it is durable.

        Raises
        ------
        StoreClosedError
            If the store is closed.
        """
        ...

    def reading(self) -> AbstractContextManager[Reader]:
        """Return a context in which everything read is of one moment."""
        ...

    def close(self) -> None:
        """Finish what waits, then let go of the files."""
        ...
