"""The contract of `Store`, for each store there is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from serving.store.opening import open_store as open_store_at
from serving.store.transaction import (
    ConstraintError,
    Reader,
    Store,
    StoreClosedError,
    Transaction,
)
from serving.where import Where, where_of

Open = Callable[[], Store]

ADD = "INSERT INTO audit_event (seq, body, leaf) VALUES (:seq, :body, :leaf)"
BODIES = "SELECT seq, body FROM audit_event ORDER BY seq"


class OopsError(Exception):
    """What a use case of a test fails with."""


@pytest.fixture(params=["sqlite", "postgres"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Open the same store again and again; close what was left open."""
    opened: list[Store] = []
    where: Where = tmp_path / "store.db"
    if request.param == "postgres":
        where = where_of(request.getfixturevalue("postgres_url"))

    def again() -> Store:
        opened.append(open_store_at(where))
        return opened[-1]

    yield again
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Open) -> Store:
    """Open a store."""
    return open_store()


def append(tx: Transaction, body: bytes = b"x") -> int:
    """Append a row whose place depends on what is there already."""
    row = tx.one("SELECT count(*) AS n FROM audit_event")
    assert row is not None
    tx.run(ADD, seq=row["n"], body=body, leaf=bytes(32))
    return int(row["n"])


def bodies(reader: Reader) -> list[bytes]:
    """Return the bodies of all rows."""
    return [row["body"] for row in reader.all(BODIES)]


def seen(store: Store) -> list[bytes]:
    """Return the bodies that a new reader sees."""
    with store.reading() as reader:
        return bodies(reader)


def test_what_was_answered_is_there_for_others(store: Store) -> None:
    """Once the future is done, a reader sees what the use case wrote."""
    assert store.submit(append).result() == 0
    assert seen(store) == [b"x"]


def test_what_was_answered_outlives_the_store(open_store: Open) -> None:
    """A store that is opened again has all that was answered."""
    first = open_store()
    first.submit(append).result()
    first.close()
    assert seen(open_store()) == [b"x"]


def test_use_cases_run_in_order_and_see_each_other(store: Store) -> None:
    """Each use case sees what those before it wrote, answered or not."""
    futures = [store.submit(append) for _ in range(200)]
    assert [future.result() for future in futures] == list(range(200))


def test_use_cases_of_many_threads_do_not_mix(store: Store) -> None:
    """Read-then-write from many threads at once loses no write."""
    places: list[int] = []

    def client() -> None:
        places.extend(store.submit(append).result() for _ in range(25))

    threads = [threading.Thread(target=client) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(places) == list(range(200))
    assert len(seen(store)) == 200


def test_a_failing_use_case_leaves_no_trace_and_harms_no_other(store: Store) -> None:
    """Its error reaches its caller; its neighbours of the same group are kept."""
    gate = threading.Event()

    def wait(tx: Transaction) -> int:
        gate.wait()
        return append(tx, b"first")

    def fail(tx: Transaction) -> int:
        append(tx, b"never")
        raise OopsError

    futures = [store.submit(wait), store.submit(fail), store.submit(append)]
    gate.set()
    assert futures[0].result() == 0
    with pytest.raises(OopsError):
        futures[1].result()
    assert futures[2].result() == 1
    assert seen(store) == [b"first", b"x"]


def test_a_broken_rule_is_a_constraint_error(store: Store) -> None:
    """The schema's refusal reaches the caller as what it is, in its words."""
    store.submit(append).result()
    future = store.submit(lambda tx: tx.run(ADD, seq=0, body=b"", leaf=bytes(32)))
    with pytest.raises(ConstraintError, match="without a gap"):
        future.result()


def test_rollback_undoes_what_was_remembered_elsewhere(store: Store) -> None:
    """What a use case gave to `on_rollback` is called, the latest first."""
    undone: list[str] = []

    def fail(tx: Transaction) -> None:
        tx.on_rollback(lambda: undone.append("first"))
        tx.on_rollback(lambda: undone.append("second"))
        raise OopsError

    with pytest.raises(OopsError):
        store.submit(fail).result()
    assert undone == ["second", "first"]


def test_nothing_is_undone_after_a_commit(store: Store) -> None:
    """What was remembered stays where the use case succeeds, whoever fails after."""
    undone: list[str] = []

    def succeed(tx: Transaction) -> int:
        tx.on_rollback(lambda: undone.append("never"))
        return append(tx)

    def fail(_: Transaction) -> None:
        raise OopsError

    first, second = store.submit(succeed), store.submit(fail)
    assert first.result() == 0
    with pytest.raises(OopsError):
        second.result()
    assert undone == []


def test_a_reader_sees_one_moment(store: Store) -> None:
    """What is committed while a reader reads is not seen until the next one."""
    store.submit(append).result()
    with store.reading() as reader:
        before = bodies(reader)
        store.submit(append).result()
        assert bodies(reader) == before == [b"x"]
    assert seen(store) == [b"x", b"x"]


def test_readers_can_be_nested_and_used_again(store: Store) -> None:
    """Readers do not share a moment, and giving one back harms none."""
    with store.reading() as one:
        assert bodies(one) == []
        store.submit(append).result()
        with store.reading() as two:
            assert bodies(two) == [b"x"]
        assert bodies(one) == []
    assert seen(store) == [b"x"]


def test_many_rows_are_written_at_once(store: Store) -> None:
    """`many` runs its statement for each row, in their order."""
    rows = [{"seq": n, "body": bytes([n]), "leaf": bytes(32)} for n in range(5)]
    store.submit(lambda tx: tx.many(ADD, rows)).result()
    assert seen(store) == [bytes([n]) for n in range(5)]


def test_what_waits_is_finished_before_the_store_closes(open_store: Open) -> None:
    """Closing answers what was submitted before it."""
    store = open_store()
    futures = [store.submit(append) for _ in range(50)]
    store.close()
    assert [future.result(timeout=0) for future in futures] == list(range(50))


def test_a_closed_store_takes_nothing(open_store: Open) -> None:
    """After closing, which may be done twice, use cases and readers are refused."""
    store = open_store()
    store.close()
    store.close()
    with pytest.raises(StoreClosedError, match="open it again"):
        store.submit(append)
    with pytest.raises(StoreClosedError, match="open it again"), store.reading():
        pass


# The thread ends on purpose here.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_nobody_waits_for_ever_when_the_writer_is_ended(open_store: Open) -> None:
    """A use case that ends the thread is answered, like those behind it, and undone."""
    gate = threading.Event()
    undone: list[str] = []

    def end(tx: Transaction) -> int:
        gate.wait()
        tx.on_rollback(lambda: undone.append("end"))
        append(tx)
        raise SystemExit

    store = open_store()
    futures = [store.submit(end), store.submit(append)]
    gate.set()
    for future in futures:
        with pytest.raises(StoreClosedError, match="open it again"):
            future.result(timeout=10)
    assert undone == ["end"]
    with pytest.raises(StoreClosedError):
        store.submit(append)
    store.close()
    assert seen(open_store()) == []
