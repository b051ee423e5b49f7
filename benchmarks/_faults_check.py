"""What is wrong with a store after crashes, by what was answered before them.

Asked are the rows themselves, beside `escalon audit verify`: what the service says of
itself proves nothing here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import orjson
from _faults_stores import Place
from _faults_story import MEMBER

Note = Mapping[str, Any]

_CLOSED_AS = {"resolved": "RESOLVED", "returned": "RETURNED"}
_ONCE = ("handoff.opened", "handoff.resolved", "handoff.returned")


@dataclass(slots=True)
class Found:
    """What was found, in words.

    Attributes
    ----------
    lost, doubled, torn : list of str
        Answers of which nothing is there; things that are there twice; states that
        should never be seen.
    handovers : int
        In the store.
    """

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    handovers: int = 0

    def __iadd__(self, other: Found) -> Self:
        self.lost += other.lost
        self.doubled += other.doubled
        self.torn += other.torn
        self.handovers += other.handovers
        return self


def check(place: Place, notes: Iterable[Note]) -> Found:
    """Return what is wrong with the store at `place`.

    Parameters
    ----------
    notes : iterable of mapping
        What was answered, in order: task, what, digest, ids, handoff, message_id.
    """
    rows, kept, told = _Rows.of(place), list(notes), _told(place)
    return Found(
        lost=[*_lost(rows, kept), *_untold(rows, told)],
        doubled=[*_answered_twice(kept), *_there_twice(rows, kept), *_told_twice(told)],
        torn=[*place.verify().problems, *place.faults(), *_torn(rows, kept)],
        handovers=len(rows.handoffs),
    )


def standing(place: Place) -> list[str]:
    """Return what is torn in the store at `place`, whatever was answered before."""
    rows = _Rows.of(place)
    messages = Counter(rows.duties["notice"])
    doubled = [f"{n} messages for {h}" for h, n in messages.items() if n > 1]
    return [*doubled, *_without_duties(rows), *_owners(rows), *_epochs(rows)]


def _told(place: Place) -> Counter[tuple[str, str]]:
    """Return how often the channel was told what, by handoff and place."""
    if not place.tray.exists():
        return Counter()
    messages = map(orjson.loads, place.tray.read_bytes().splitlines())
    return Counter((m["partitionkey"], m["sequence"]) for m in messages)


def _untold(rows: _Rows, told: Counter[tuple[str, str]]) -> Iterator[str]:
    handoffs = {handoff_id for handoff_id, _ in told}
    for handoff_id, n in rows.duties["outbox"].items():
        if n and handoff_id not in handoffs:
            yield f"the channel was not told of {handoff_id}"


def _told_twice(told: Counter[tuple[str, str]]) -> Iterator[str]:
    yield from (
        f"the channel was told {key} {n} times" for key, n in told.items() if n > 1
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """The tables, as they are on the disk."""

    tasks: dict[str, Any]
    handoffs: dict[str, Any]
    events: set[tuple[str, str]]
    records: list[dict[str, Any]]
    duties: dict[str, Counter[str]]

    @classmethod
    def of(cls, place: Place) -> _Rows:
        with place.reading() as reader:
            return cls(
                tasks={r["task_id"]: r for r in reader.all("SELECT * FROM task")},
                handoffs={
                    r["handoff_id"]: r for r in reader.all("SELECT * FROM handoff")
                },
                events={
                    (r["task_id"], r["event_id"])
                    for r in reader.all("SELECT task_id, event_id FROM event")
                },
                records=[
                    orjson.loads(bytes(r["body"]))
                    for r in reader.all("SELECT body FROM audit_event ORDER BY seq")
                ],
                duties={
                    table: Counter(
                        r["handoff_id"]
                        for r in reader.all(f"SELECT handoff_id FROM {table}")  # noqa: S608
                    )
                    for table in ("package", "notice", "timer", "outbox")
                },
            )


def _lost(rows: _Rows, notes: Iterable[Note]) -> Iterator[str]:
    claims = {
        (record["handoff"]["id"], record["by"])
        for record in rows.records
        if record["type"] == "handoff.claimed"
    }
    for note in notes:
        for event_id in note["ids"]:
            if (note["task"], event_id) not in rows.events:
                yield f"event {event_id} of {note['task']}"
        handoff = rows.handoffs.get(note["handoff"])
        if note["handoff"] and handoff is None:
            yield f"handoff {note['handoff']} of {note['task']}"
        if note["what"] == "claimed" and (note["handoff"], MEMBER) not in claims:
            yield f"the claim of {note['handoff']}"
        closed = _CLOSED_AS.get(note["what"])
        if closed and handoff is not None and handoff["status"] != closed:
            yield f"{note['handoff']} is {handoff['status']}, it was {note['what']}"


def _answered_twice(notes: Iterable[Note]) -> Iterator[str]:
    told: dict[tuple[str, str], str] = {}
    for note in notes:
        key = note["task"], note["what"]
        if told.setdefault(key, note["digest"]) != note["digest"]:
            yield f"{note['what']} of {note['task']} was answered in two ways"


def _there_twice(rows: _Rows, notes: Iterable[Note]) -> Iterator[str]:
    again = {note["task"] for note in notes if note["what"] in _AGAIN}
    handoffs = Counter(row["task_id"] for row in rows.handoffs.values())
    for task_id, n in handoffs.items():
        if n > 1 + (task_id in again):
            yield f"{n} handoffs of {task_id}"
    times = Counter(
        (record["type"], record["handoff"]["id"])
        for record in rows.records
        if record["type"] in _ONCE
    )
    yield from (f"{key} happened {n} times" for key, n in times.items() if n > 1)
    for handoff_id in rows.handoffs:
        if rows.duties["notice"][handoff_id] > 1:
            yield f"two messages to the user for {handoff_id}"


# After these the story may have gone on to a second handover, unanswered as yet.
_AGAIN = ("resumed", "handed_over_again")


def _torn(rows: _Rows, notes: Iterable[Note]) -> Iterator[str]:
    yield from _without_duties(rows)
    yield from _owners(rows)
    yield from _epochs(rows)
    for note in notes:
        if note["what"] == "late" and (note["task"], "late-0") in rows.events:
            yield f"an act of {note['task']} after its handover was taken in"


def _without_duties(rows: _Rows) -> Iterator[str]:
    opened = {
        record["handoff"]["id"]: record
        for record in rows.records
        if record["type"] == "handoff.opened"
    }
    for handoff_id in opened.keys() ^ rows.handoffs.keys():
        yield f"{handoff_id} is in the log or in its table alone"
    for handoff_id, record in opened.items():
        least = {"package": 1, "notice": 1, "timer": 2, "outbox": len(record["outbox"])}
        for table, n in least.items():
            if rows.duties[table][handoff_id] < n:
                yield f"{handoff_id} has no {table}"


def _owners(rows: _Rows) -> Iterator[str]:
    active: defaultdict[str, list[Any]] = defaultdict(list)
    for row in rows.handoffs.values():
        if row["status"] in ("QUEUED", "CLAIMED"):
            active[row["task_id"]].append(row)
    for task_id, task in rows.tasks.items():
        owner = task["owner_kind"], task["owner_id"]
        match active[task_id]:
            case []:
                right = owner[0] in ("agent", "nobody")
            case [row]:
                waits = ("queue", row["queue"])
                held = ("person", row["claimed_by"])
                right = owner == (waits if row["status"] == "QUEUED" else held)
            case _:
                right = False
        if not right:
            yield f"{task_id} is owned by {owner}, its handoffs say otherwise"


def _epochs(rows: _Rows) -> Iterator[str]:
    """Hold each task's epoch against the changes of owner that the log tells."""
    owners: dict[str, Any] = {}
    epochs: dict[str, int] = {}
    for record in rows.records:
        if "owner" not in record:
            continue
        task_id = record["task"]
        changed = task_id in owners and owners[task_id] != record["owner"]
        expected = epochs.get(task_id, 1) + changed
        if record["epoch"] != expected:
            yield f"epoch {record['epoch']} of {task_id} follows {epochs.get(task_id)}"
        owners[task_id], epochs[task_id] = record["owner"], record["epoch"]
    for task_id, task in rows.tasks.items():
        if task["epoch"] != epochs.get(task_id):
            yield f"{task_id} stands at epoch {task['epoch']}, the log says otherwise"
