"""PostgreSQL itself: connections that are lost, servers that go away, several writers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import psycopg
import pytest

from serving.store.dialect import translated
from serving.store.opening import open_store, reading
from serving.store.postgres import PostgresStore
from serving.store.transaction import (
    ConstraintError,
    Store,
    StoreBusyError,
    StoreError,
    StoreLostError,
    StoreVersionError,
    Transaction,
)
from serving.where import PostgresAddress

ADD = "INSERT INTO audit_event (seq, body, leaf) VALUES (:seq, :body, :leaf)"
KILL = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND datname = current_database()
"""


@pytest.fixture
def address(postgres_url: str) -> PostgresAddress:
    """Return the address of an empty database."""
    return PostgresAddress(postgres_url)


@pytest.fixture
def store(address: PostgresAddress) -> Iterator[Store]:
    """Open a store."""
    store = open_store(address)
    yield store
    store.close()


def append(tx: Transaction) -> int:
    """Append a row whose place depends on what is there already."""
    row = tx.one("SELECT count(*) AS n FROM audit_event")
    assert row is not None
    tx.run(ADD, seq=row["n"], body=b"x", leaf=bytes(32))
    return int(row["n"])


def count(store: Store) -> int:
    """Return how many rows there are."""
    with store.reading() as reader:
        row = reader.one("SELECT count(*) AS n FROM audit_event")
    assert row is not None
    return int(row["n"])


def kill(address: PostgresAddress) -> None:
    """Have the server end every other connection to the database."""
    with psycopg.connect(address.url, autocommit=True) as admin:
        admin.execute(KILL)


# --- several writers ---------------------------------------------------------


def test_stores_at_once_write_one_sequence(address: PostgresAddress) -> None:
    """Use cases run one at a time over all stores: read-then-write loses nothing."""
    stores = [open_store(address) for _ in range(3)]
    futures: list[Future[int]] = []

    def client(store: Store) -> None:
        futures.extend([store.submit(append) for _ in range(40)])

    threads = [threading.Thread(target=client, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(future.result() for future in futures) == list(range(120))
    assert {count(store) for store in stores} == {120}
    for store in stores:
        store.close()


def test_stores_that_start_at_once_make_one_schema(address: PostgresAddress) -> None:
    """Of several processes on an empty database one makes it, the others find it."""
    opened: list[Store] = []
    threads = [
        threading.Thread(target=lambda: opened.append(open_store(address)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 4
    for store in opened:
        store.close()


def test_who_keeps_the_right_to_write_is_not_waited_for(
    address: PostgresAddress, store: Store
) -> None:
    """A process that hangs costs the others seconds, each call an error, no more."""
    with psycopg.connect(address.url) as hung:
        hung.execute("SELECT pg_advisory_xact_lock(%s)", (0x45534341,))
        began = time.monotonic()
        futures = [store.submit(append) for _ in range(20)]
        for future in futures:
            with pytest.raises(StoreBusyError, match="another process"):
                future.result()
        assert time.monotonic() - began < 12
    assert store.submit(append).result() == 0


# --- connections that are lost -----------------------------------------------


def test_a_connection_lost_while_idle_is_not_noticed(
    address: PostgresAddress, store: Store
) -> None:
    """Writer and readers make a new one; no call fails for it."""
    store.submit(append).result()
    assert count(store) == 1
    kill(address)
    assert count(store) == 1
    assert store.submit(append).result() == 1


def test_a_connection_lost_on_the_way_fails_its_group_alone(
    address: PostgresAddress, store: Store
) -> None:
    """Nothing of the group is kept or remembered, and the next use case succeeds."""
    undone: list[str] = []

    def doomed(tx: Transaction) -> None:
        tx.on_rollback(lambda: undone.append("doomed"))
        append(tx)
        kill(address)
        append(tx)

    with pytest.raises(StoreError, match="nothing was kept"):
        store.submit(doomed).result()
    assert undone == ["doomed"]
    assert store.submit(append).result() == 0
    assert count(store) == 1


def test_a_commit_of_unknown_fate_is_not_answered_as_done(
    address: PostgresAddress, store: Store
) -> None:
    """Where the connection goes with the commit, the call is told to ask again."""

    def doomed(tx: Transaction) -> int:
        place = append(tx)
        kill(address)
        return place

    with pytest.raises(StoreLostError, match="send the same again"):
        store.submit(doomed).result()
    assert store.submit(append).result() in {0, 1}


def test_a_transaction_that_was_broken_is_not_answered_as_done(store: Store) -> None:
    """PostgreSQL answers COMMIT with a rollback then; nobody is told it was kept."""

    def careless(tx: Transaction) -> str:
        append(tx)
        with pytest.raises(psycopg.Error):
            tx.run("SELECT no_such_function()")
        return "done"

    with pytest.raises(StoreError):
        store.submit(careless).result()
    assert count(store) == 0


def test_a_server_that_goes_away_and_comes_back(postgres_server: Any) -> None:
    """While it is away every call gets an error soon; then it works, unaided."""
    store = open_store(PostgresAddress(f"{postgres_server.url}/postgres"))
    kept = [store.submit(append).result() for _ in range(3)]
    postgres_server.stop()
    for _ in range(5):
        began = time.monotonic()
        with pytest.raises(StoreError, match="the database answered"):
            store.submit(append).result()
        with pytest.raises(StoreError), store.reading():
            pass
        assert time.monotonic() - began < 5
    postgres_server.start()
    until = time.monotonic() + 10
    while True:
        try:
            kept.append(store.submit(append).result())
            break
        except StoreError:
            assert time.monotonic() < until
            time.sleep(0.1)
    assert kept == [0, 1, 2, 3]
    assert count(store) == 4
    store.close()


def test_nothing_answered_is_lost_in_a_crash_of_the_server(
    postgres_server: Any,
) -> None:
    """A server stopped in the middle of everything has what was answered."""
    store = open_store(PostgresAddress(f"{postgres_server.url}/postgres"))
    answered: list[int] = []
    stop = threading.Event()

    def client() -> None:
        while not stop.is_set():
            try:
                answered.append(store.submit(append).result())
            except StoreError:
                time.sleep(0.05)

    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        time.sleep(0.4)
        postgres_server.stop()
        postgres_server.start()
    time.sleep(1.5)
    stop.set()
    for thread in threads:
        thread.join()
    with store.reading() as reader:
        there = {row["seq"] for row in reader.all("SELECT seq FROM audit_event")}
    assert len(answered) == len(set(answered)) > 20
    assert set(answered) <= there
    assert there == set(range(len(there)))
    store.close()


# --- what it asks of a database ----------------------------------------------


def test_commits_are_durable_whatever_the_database_says(
    address: PostgresAddress,
) -> None:
    """A database set to answer before it has synced is overruled."""
    with psycopg.connect(address.url, autocommit=True) as admin:
        name = admin.info.dbname
        admin.execute(f"ALTER DATABASE {name} SET synchronous_commit = off".encode())
    store = open_store(address)

    def asked(tx: Transaction) -> str:
        row = tx.one("SHOW synchronous_commit")
        return "" if row is None else str(row["synchronous_commit"])

    assert store.submit(asked).result() == "on"
    store.close()


def test_a_database_of_something_else_is_refused(address: PostgresAddress) -> None:
    """Tables that are not ours are neither read nor added to."""
    with psycopg.connect(address.url) as other:
        other.execute("CREATE TABLE somebody (name TEXT)")
    with pytest.raises(StoreVersionError, match="no store of ours"):
        open_store(address)
    with pytest.raises(StoreVersionError, match="choose another"), reading(address):
        pass


def test_a_store_of_another_version_is_refused(
    address: PostgresAddress, store: Store
) -> None:
    """A database that was upgraded is not written to by an older release."""
    store.close()
    with psycopg.connect(address.url) as admin:
        admin.execute("UPDATE alembic_version SET version_num = '0009'")
    with pytest.raises(StoreVersionError, match=r"version 0003, found one of .*0009"):
        open_store(address)


def test_an_address_where_nobody_answers_is_an_error_at_once(tmp_path: Path) -> None:
    """Neither the password nor the whole address is in what is said."""
    del tmp_path
    began = time.monotonic()
    with pytest.raises(StoreError, match="refused") as error:
        PostgresStore(PostgresAddress("postgresql://ana:secret@127.0.0.1:1/escalon"))
    assert time.monotonic() - began < 10
    assert "secret" not in str(error.value)


def test_a_reader_cannot_write(store: Store) -> None:
    """A reading connection refuses every change."""
    with pytest.raises(StoreError, match="read-only"), store.reading() as reader:
        list(reader.all("DELETE FROM channel WHERE channel = 'x' RETURNING channel"))


def test_a_whole_table_is_read_in_parts(store: Store) -> None:
    """More rows than are fetched at a time arrive, in order, beside other queries."""
    rows = [{"seq": n, "body": b"x", "leaf": bytes(32)} for n in range(1_234)]
    store.submit(lambda tx: tx.many(ADD, rows)).result()
    with store.reading() as reader:
        seen = []
        for row in reader.all("SELECT seq FROM audit_event ORDER BY seq"):
            one = reader.one("SELECT seq FROM audit_event WHERE seq = :n", n=row["seq"])
            assert one is not None
            seen.append(one["seq"])
    assert seen == list(range(1_234))


def test_what_is_refused_quotes_no_value(store: Store) -> None:
    """The words of a broken rule are ours and never those of a user."""
    add = "INSERT INTO channel (channel, changed_at) VALUES (:name, 'at')"
    store.submit(lambda tx: tx.run(add, name="a secret")).result()
    with pytest.raises(ConstraintError) as error:
        store.submit(lambda tx: tx.run(add, name="a secret")).result()
    assert str(error.value) == "UNIQUE constraint failed: channel.channel"


@pytest.mark.parametrize(
    ("query", "nulls", "expected"),
    [
        ("a = :a", set(), "a = %(a)s"),
        ("a = :a", {"a"}, "a = NULL"),
        ("':a' || \":b\" || :c", set(), "':a' || \":b\" || %(c)s"),
        (
            "a::text LIKE 'x%' -- :no\n AND :b",
            set(),
            "a::text LIKE 'x%%' -- :no\n AND %(b)s",
        ),
        ("'it''s :a' || :a", set(), "'it''s :a' || %(a)s"),
    ],
)
def test_parameters_are_what_stands_outside_of_quotes(
    query: str, nulls: set[str], expected: str
) -> None:
    """A colon in a literal, a name, a comment or a cast begins none."""
    assert translated(query, frozenset(nulls)) == expected
