"""Whatever happens and however time passes, each open handoff has somebody or a timer.

Stories of people and clocks are drawn by chance and played on a whole engine; after
each act the deadlines that have passed are acted on, as a worker does every second.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.engine import Problem
from serving.policy.rules import Policy
from serving.store.verify import verify_store

# 200 in CI; a long run is asked for by ESCALON_SCHEDULES=10000.
EXAMPLES = int(os.environ.get("ESCALON_SCHEDULES", "200"))
# Where a commit costs no disk: what is tested here is not that it is one.
_MEMORY = Path("/dev/shm")  # noqa: S108 - only the tests' own files, in a directory of theirs

ALWAYS: dict[str, Any] = {}
OFFICE = {
    "timezone": "Europe/Berlin",
    "days": [0, 1, 2, 3, 4],
    "opens": "09:00",
    "closes": "12:30",
    "also": [{"days": [0, 1, 2, 3, 4], "opens": "13:30", "closes": "17:00"}],
}
NIGHT = {"timezone": "America/New_York", "opens": "22:00", "closes": "06:00"}
EARLY = {"timezone": "Europe/Berlin", "opens": "02:15", "closes": "02:45"}
HOLIDAYS = {"closed_on": ["2026-10-25", "2026-10-26", "2026-03-29"]}
NEVER = {
    "closed_on": [
        f"{datetime(2026, 3, 1) + timedelta(days=n):%Y-%m-%d}" for n in range(900)
    ]
}
HOURS = [ALWAYS, OFFICE, NIGHT, EARLY, HOLIDAYS, NEVER]

# Nights in which the clocks change in Berlin, and an ordinary week.
STARTS = [
    datetime(2026, 3, 28, 22, 30, tzinfo=UTC),
    datetime(2026, 10, 24, 20, 0, tzinfo=UTC),
    datetime(2026, 11, 24, 12, 0, tzinfo=UTC),
]
SPANS = [
    timedelta(seconds=1),
    timedelta(minutes=4),
    timedelta(minutes=15),
    timedelta(minutes=50),
    timedelta(hours=3),
    timedelta(hours=11),
    timedelta(days=3),
    -timedelta(hours=1),
]
NAMES = ("front", "billing", "duty")
PEOPLE = ("ana", "ben")

Act = tuple[str, int, int]


def policy_of(
    hours: Sequence[dict[str, Any]], *, names: Sequence[str] = NAMES
) -> Policy:
    """Return a policy of three queues in one chain, with these hours."""
    chains = {name: list(names[n + 1 :]) for n, name in enumerate(names)}
    document = Policy.default().model_dump(mode="json") | {
        "queues": [
            {
                "name": name,
                "owner": "lead",
                "members": list(PEOPLE),
                "hours": kept,
                "chain": chains[name],
                "acknowledge_within": "10 min",
                "resolve_within": "2 h",
                "lease": "30 min",
                "notify": [f"channel_{name}"],
                "capacity": 2,
                "on_overload": "shed" if chains[name] else "keep",
            }
            for name, kept in zip(names, hours, strict=True)
        ],
        "routes": [
            {"when": 'domain == "billing"', "queue": names[1]},
            {"queue": names[0]},
        ],
        "fallback_queue": None,
    }
    return Policy.parse(orjson.dumps(document).decode())


class Story:
    """One desk, what has happened at it, and what must hold after each act."""

    def __init__(self, desk: Any) -> None:
        self.desk = desk
        self.latest = desk.clock.now
        self.tasks = 0

    def play(self, act: Act) -> None:
        """Do one thing, let the worker act, and look."""
        kind, which, how = act
        # People try what they may not do; nothing comes of it.
        with contextlib.suppress(Problem):
            getattr(self, f"do_{kind}")(which, how)
        self.latest = max(self.latest, self.desk.clock.now)
        self.settle()
        self.look()

    def settle(self) -> None:
        """Have the worker act until nothing is due: it must come to an end."""
        for _ in range(12):
            if self.desk.engine.duties.run() == 0:
                return
        pytest.fail("the deadlines of one moment never end")

    # --- acts ----------------------------------------------------------------

    def do_begin(self, which: int, how: int) -> None:
        """Have a user ask for a person."""
        self.tasks += 1
        task_id = f"t{self.tasks}"
        domain = ("retail", "billing")[how % 2]
        started = self.desk.event("task_started", domain=domain, agent_id="bot")
        self.desk.engine.observe(task_id, [started])
        self.desk.engine.escalate(task_id, by="user", reason="")
        del which

    def do_wait(self, which: int, how: int) -> None:
        """Let time pass, or have the clock set back."""
        self.desk.clock.turn(SPANS[(which * 7 + how) % len(SPANS)])

    def do_people(self, which: int, how: int) -> None:
        """Have somebody do something with one of the handoffs."""
        found = self.rows("SELECT handoff_id FROM handoff ORDER BY handoff_id")
        if not found:
            return
        handoff_id = found[which % len(found)]["handoff_id"]
        engine, by = self.desk.engine, PEOPLE[how % 2]
        (
            lambda: engine.claim(handoff_id, by=by),
            lambda: engine.claim(handoff_id, by=by),
            lambda: engine.claim(handoff_id, by=by),
            lambda: engine.renew(handoff_id, by=by),
            lambda: engine.release(handoff_id, by=by),
            lambda: engine.resolve(handoff_id, by=by, needed="yes"),
            lambda: engine.return_(handoff_id, by=by, guidance="go on"),
        )[(which + how) % 7]()

    def do_reload(self, which: int, how: int) -> None:
        """Start the service again, under a policy that may have dropped queues."""
        names = (NAMES, ("front", "billing", "spare"), ("a", "b", "c"))[which % 3]
        kept = (HOURS[how % 6], HOURS[(how + which) % 6], ALWAYS)
        self.desk.close()
        self.desk.policy = policy_of(kept, names=names)
        self.desk.open()

    # --- what must hold ------------------------------------------------------

    def rows(self, query: str) -> list[Any]:
        """Return what `query` finds."""
        with self.desk.store.reading() as reader:
            return list(reader.all(query))

    def timers(self) -> dict[str, dict[str, datetime]]:
        """Return the deadlines that can pass, by handoff and kind."""
        found: dict[str, dict[str, datetime]] = {}
        for row in self.rows("SELECT * FROM timer WHERE settled_at IS NULL"):
            due = datetime.fromisoformat(row["due_at"])
            found.setdefault(row["handoff_id"], {})[row["kind"]] = due
        return found

    def look(self) -> None:
        """Check every handoff."""
        timers, now = self.timers(), self.desk.clock.now
        for row in self.rows("SELECT * FROM handoff"):
            pending = timers.get(row["handoff_id"], {})
            match row["status"]:
                case "QUEUED":
                    assert pending.keys() == {"acknowledge", "resolve"}
                    self.look_at_waiting(row, pending["acknowledge"])
                case "CLAIMED":
                    assert pending.keys() == {"lease", "resolve"}
                    lease = datetime.fromisoformat(row["lease_until"])
                    assert pending["lease"] == lease
                case _:
                    assert pending == {}
            assert all(due > now for due in pending.values())

    def look_at_waiting(self, row: Any, due: datetime) -> None:
        """Check that whoever waits, waits where somebody is, or for an opening."""
        policy, now = self.desk.policy, self.desk.clock.now
        if now < self.latest:
            return  # the clock was set back: it is put right when that time comes
        queue = policy.find(row["queue"])
        terms = orjson.loads(row["body"])
        rungs = [q for name in terms["rungs"] if (q := policy.find(name)) is not None]
        rungs = rungs or [
            policy.queue(n) for n in policy.rungs(policy.routes[-1].queue)
        ]
        openings = [q.hours.next_opening(now) for q in rungs]
        if queue is None or not queue.hours.is_open(now):
            assert not any(q.hours.is_open(now) for q in rungs), "somebody is there"
            first = min((o for o in openings if o is not None), default=None)
            if first is not None and queue is not None:
                assert due <= first + queue.acknowledge_within
        elif queue is not None:
            assert due <= now + timedelta(minutes=15)


@pytest.fixture
def stories(desk: Any) -> Iterator[Callable[[Policy, datetime], Story]]:
    """Make stories, each over a desk of its own that is gone with the next."""
    kind = type(desk)
    opened: list[tuple[Any, Any]] = []

    def make(policy: Policy, start: datetime) -> Story:
        end()
        where = _MEMORY if _MEMORY.is_dir() else None
        folder = tempfile.TemporaryDirectory(prefix="escalon-story-", dir=where)
        made = kind(Path(folder.name) / "store.db", policy)
        made.clock.now = start
        opened.append((made, folder))
        return Story(made)

    def end() -> None:
        while opened:
            made, folder = opened.pop()
            made.close()
            folder.cleanup()

    yield make
    end()


_acts = st.tuples(
    st.sampled_from(["begin", "wait", "wait", "wait", "people", "people", "reload"]),
    st.integers(0, 20),
    st.integers(0, 20),
)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    hours=st.tuples(*(st.sampled_from(HOURS) for _ in NAMES)),
    start=st.sampled_from(STARTS),
    acts=st.lists(_acts, min_size=1, max_size=25),
)
def test_no_open_handoff_is_without_a_person_or_a_deadline_ahead(
    stories: Callable[[Policy, datetime], Story],
    hours: tuple[dict[str, Any], ...],
    start: datetime,
    acts: list[Act],
) -> None:
    """Nothing ends, nothing is forgotten, nobody waits where nobody is."""
    story = stories(policy_of(hours), start)
    story.play(("begin", 0, 1))
    for act in acts:
        story.play(act)
    report = verify_store(story.desk.path)
    assert report.problems == ()
