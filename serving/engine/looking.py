"""Looking: each thing the auditor looks at, and what is said where it is not well."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from serving.engine.deciding import ModelState
from serving.policy.audit import rfc3339
from serving.store import announcements
from serving.store import looks as store
from serving.store.looks import Beat, Seen
from serving.store.transaction import Reader
from training.monitor.alarm import Alarm, Code, Severity

# How long after its time a deadline, a lost lease or a worker's beat is a trouble.
LATE = timedelta(seconds=60)
# Age of the 99th percentile of what is still to be told.
SLOW = timedelta(minutes=15)
# How long a channel has for taking a handoff, its fallback included.
UNHEARD = timedelta(minutes=10)
# A round that does not end well for so long has died, or fails each time.
STALE = timedelta(minutes=3)
# For how long a broken word is an alarm.
RECENT = timedelta(days=1)
# Rounds that come so seldom that nothing can be said of them after `STALE`.
SELDOM = frozenset({"attachments", "attendance", "auditor", "keys", "monitors"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One thing that was looked at.

    Attributes
    ----------
    code : Code
        What an alarm about it is called.
    seen : Seen
        How many are not as they must be, since when the oldest is not.
    says : str
        What is wrong and what to do, for people.
    is_standing : bool
        Whether it is still so: what was repaired, or is over, is told and is well.
    """

    code: Code
    seen: Seen
    says: str
    severity: Severity = Severity.SERIOUS
    is_standing: bool = True

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return self.seen.n == 0

    def alarm(self, at: datetime) -> Alarm:
        """Return the alarm to raise at `at`."""
        since = self.seen.since or at
        return Alarm(
            code=self.code,
            segment="",
            evidence={"count": self.seen.n, "since": rfc3339(since)},
            since=since.timestamp(),
            severity=self.severity,
            withdraws=None,
            says=f"{self.seen.n} {self.says}",
        )

    def to_json(self) -> dict[str, Any]:
        """Return the look as the surface answers it."""
        since = self.seen.since
        return {
            "look": str(self.code),
            "count": self.seen.n,
            "since": None if since is None else rfc3339(since),
            "says": "" if self.passed else f"{self.seen.n} {self.says}",
        }


def looks(
    reader: Reader,
    at: datetime,
    *,
    model: ModelState,
    repaired: int,
    begun: datetime,
) -> tuple[Look, ...]:
    """Return everything there is to look at, as it stands at `at`.

    Parameters
    ----------
    model : ModelState
        What decides now.
    repaired : int
        Handoffs that just got a deadline back.
    begun : datetime
        Since when somebody looks: a worker may take a moment to say that it is there.
    """
    return (
        *_duties(reader, at, repaired),
        *_deliveries(reader, at),
        _words(reader, at),
        _workers(reader, at, begun),
        _model(model, at),
    )


def _duties(reader: Reader, at: datetime, repaired: int) -> Iterator[Look]:
    yield Look(
        code=Code.HANDOFFS_REPAIRED,
        seen=Seen(repaired, at if repaired else None),
        says="handoffs had no deadline that could pass; each has one again",
        severity=Severity.NOTICE,
        is_standing=False,
    )
    yield Look(
        code=Code.TIMERS_LATE,
        seen=store.late_timers(reader, at - LATE),
        says="deadlines are over and nobody acted on them; see whether a worker runs",
        severity=Severity.CRITICAL,
    )
    yield Look(
        code=Code.HANDOFFS_UNACKNOWLEDGED,
        seen=store.unheard(reader, told=at - UNHEARD, due=at - LATE),
        says="handoffs wait that no channel took and no person has seen",
        severity=Severity.CRITICAL,
    )


def _deliveries(reader: Reader, at: datetime) -> Iterator[Look]:
    yield Look(
        code=Code.DELIVERIES_STUCK,
        seen=store.stuck_deliveries(reader, at - LATE),
        says="deliveries were taken by a worker that is gone, and by no other since",
    )
    pending = store.slowest_deliveries(reader)
    is_slow = pending.since is not None and pending.since < at - SLOW
    yield Look(
        code=Code.DELIVERIES_SLOW,
        seen=pending if is_slow else Seen(),
        says=f"deliveries wait, one in a hundred for more than {SLOW.seconds // 60} "
        "minutes; see the channels",
    )
    yield Look(
        code=Code.DEAD_LETTERS,
        seen=store.dead_letters(reader),
        says="deliveries of open handoffs were given up; redrive them once the "
        "channel works",
    )


def _words(reader: Reader, at: datetime) -> Look:
    n, first = announcements.counted(reader, at, within=RECENT)
    return Look(
        code=Code.HANDOVERS_NOT_RECORDED,
        seen=Seen(n, first),
        says="times in a day an agent announced a transfer and none was recorded; see "
        "whether the rule announced_transfer is waived, and what mode is in force",
        is_standing=False,
    )


def _workers(reader: Reader, at: datetime, begun: datetime) -> Look:
    silent, since = _silent(list(store.beats(reader)), at, begun)
    return Look(
        code=Code.WORKERS_SILENT,
        seen=Seen(len(silent), since),
        says=f"rounds of the worker did not end well lately: {', '.join(silent)}; see "
        "its log, and start it again",
        severity=Severity.CRITICAL,
    )


def _silent(
    beats: list[Beat], at: datetime, begun: datetime
) -> tuple[list[str], datetime | None]:
    """Return the rounds that no worker has ended well lately, and since when."""
    newest = max((beat.seen_at for beat in beats), default=begun)
    if newest < at - STALE:
        return ["all"], newest
    ends: dict[str, datetime] = {}
    for beat in (one for one in beats if one.seen_at >= at - STALE):
        for name, end in beat.rounds.items():
            ended = begun if end is None else end
            ends[name] = max(ends.get(name, ended), ended)
    silent = [
        name
        for name, end in sorted(ends.items())
        if name not in SELDOM and end < at - STALE
    ]
    return silent, min((ends[name] for name in silent), default=None)


def _model(model: ModelState, at: datetime) -> Look:
    # That none was given is a choice; anything else is not.
    is_down = model.rung > 0 and model.fault != "absent"
    decides = "the last good model decides" if model.rung == 1 else "rules decide alone"
    return Look(
        code=Code.MODEL_DEGRADED,
        seen=Seen(1, at) if is_down else Seen(),
        says=f"model is not in force ({model.fault}): {decides}; see /readyz",
    )
