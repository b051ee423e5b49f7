"""Delivery: how an outside channel is told, how often it is tried, when given up."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any

from serving.policy.audit import rfc3339

OPENED = "opened"
# From being queued, or sent again by a person, to being a dead letter.
LIFE = timedelta(days=3)
# Attempts that a channel refuses before it is believed.
MOST_REFUSALS = 3
# Failed attempts, or time without success, after which another channel is told, too.
# It is found out a little before the two minutes that are promised.
FALLBACK_ATTEMPTS = 3
FALLBACK_AFTER = timedelta(seconds=110)
MOST_PAUSE = timedelta(hours=1)

# Waits after the first attempt, the second, …; the last goes on, in s.
_OPENED_WAITS = (2, 5, 15, 30, 60, 120, 300, 600, 900)
_OTHER_WAITS = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
_JITTER = 0.2


class DeliveryStatus(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    DONE = "done"
    DEAD = "dead"


class Ending(StrEnum):
    """How an attempt ended."""

    TOLD = "told"
    # Not now: it is tried again until the delivery expires.
    FAILED = "failed"
    # The channel is there and does not want this: a few more tries at most.
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What came of one attempt.

    Attributes
    ----------
    remote_id : str, optional
        What the channel calls what it was told.
    fault : str
        Our word for what went wrong, such as ``"status-503"``; never theirs.
    retry_after : timedelta, optional
        How long the channel asks to be left alone.
    """

    ending: Ending
    remote_id: str | None = None
    fault: str = ""
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """Something a channel is to be told of a handoff.

    Attributes
    ----------
    outbox_id : str
        Stays the same over retries: receivers dedupe by it.
    place : int
        Among what this channel is told of this handoff; told in this order.
    kind : str
        What happened, in one word.
    attempts, refusals : int
        Tries so far, and those that were refused; of a dead letter that is sent again,
        since then.
    queued_at, next_at, expires_at, tried_at : datetime
        Timezone-aware.
    """

    outbox_id: str
    handoff_id: str
    channel: str
    place: int
    kind: str
    queued_at: datetime
    next_at: datetime
    expires_at: datetime
    status: DeliveryStatus = DeliveryStatus.PENDING
    attempts: int = 0
    refusals: int = 0
    tried_at: datetime | None = None
    fell_back: bool = False
    remote_id: str | None = None
    last_error: str | None = None

    @property
    def is_opening(self) -> bool:
        """Whether it tells that there is a handoff at all."""
        return self.kind == OPENED

    @classmethod
    def queued(
        cls, handoff_id: str, channel: str, place: int, *, kind: str, at: datetime
    ) -> Delivery:
        """Return the delivery of what happened to a handoff `at`; due at once."""
        return cls(
            outbox_id=outbox_id(handoff_id, channel, place),
            handoff_id=handoff_id,
            channel=channel,
            place=place,
            kind=kind,
            queued_at=at,
            next_at=at,
            expires_at=at + LIFE,
        )

    def ended(self, attempt: Attempt, at: datetime) -> Delivery:
        """Return this delivery after one more `attempt`, which ended `at`."""
        n = self.attempts + 1
        tried = replace(self, attempts=n, tried_at=at)
        if attempt.ending is Ending.TOLD:
            done = DeliveryStatus.DONE
            told = attempt.remote_id
            return replace(tried, status=done, remote_id=told, last_error=None)
        refusals = self.refusals + (attempt.ending is Ending.REFUSED)
        failed = replace(tried, refusals=refusals, last_error=attempt.fault)
        if refusals >= MOST_REFUSALS:
            return failed.buried(attempt.fault)
        pause = held(attempt.retry_after)
        due = at + max(wait_after(self.kind, self.outbox_id, n), pause)
        return replace(failed, next_at=due)

    def buried(self, fault: str) -> Delivery:
        """Return this delivery as a dead letter, because of `fault`."""
        return replace(self, status=DeliveryStatus.DEAD, last_error=fault)

    def fallen_back(self) -> Delivery:
        """Return this delivery with another channel told in its place, too."""
        return replace(self, fell_back=True)

    def redriven(self, at: datetime) -> Delivery:
        """Return this dead letter as one to be sent again, from `at` on."""
        return replace(
            self,
            status=DeliveryStatus.PENDING,
            attempts=0,
            refusals=0,
            next_at=at,
            expires_at=at + LIFE,
        )

    def standing(self) -> dict[str, Any]:
        """Return what may change of it, as columns hold it."""
        return {
            "status": str(self.status),
            "attempts": self.attempts,
            "refusals": self.refusals,
            "next_at": rfc3339(self.next_at),
            "expires_at": rfc3339(self.expires_at),
            "tried_at": None if self.tried_at is None else rfc3339(self.tried_at),
            "fell_back": int(self.fell_back),
            "remote_id": self.remote_id,
            "last_error": self.last_error,
        }

    def terms(self) -> dict[str, Any]:
        """Return what never changes of it, as columns hold it."""
        return {
            "outbox_id": self.outbox_id,
            "handoff_id": self.handoff_id,
            "channel": self.channel,
            "place": self.place,
            "kind": self.kind,
            "queued_at": rfc3339(self.queued_at),
        }

    def audited(self) -> dict[str, Any]:
        """Return what the record that its changed row points at must say of it.

        What the channel calls it are words from outside: the log has their hash.
        """
        said = self.standing()
        remote = said.pop("remote_id")
        digest = None if remote is None else hashlib.sha256(remote.encode()).hexdigest()
        return {"delivery": {**self.terms(), **said, "remote_sha256": digest}}

    def to_json(self) -> dict[str, Any]:
        """Return the item of a list of deliveries."""
        item: dict[str, Any] = {**self.terms(), **self.standing()}
        return {**item, "fell_back": self.fell_back}


def outbox_id(handoff_id: str, channel: str, place: int) -> str:
    """Return the id of a delivery; whoever has its row can make it again."""
    named = f"{handoff_id}\n{channel}\n{place}".encode()
    return f"out_{hashlib.sha256(named).hexdigest()[:32]}"


# --- when ------------------------------------------------------------------------


def wait_after(kind: str, outbox_id: str, attempt: int) -> timedelta:
    """Return how long to wait after failed attempt number `attempt`, from 1.

    Spread by up to a fifth either way, so that what failed together does not come
    again together; the same for the same delivery, whoever asks.

    References
    ----------
    Standard Webhooks, specification 1.0.0: deliverability and reliability.
    """
    waits = _OPENED_WAITS if kind == OPENED else _OTHER_WAITS
    base = waits[min(attempt, len(waits)) - 1]
    drawn = hashlib.sha256(f"{outbox_id}:{attempt}".encode()).digest()
    share = int.from_bytes(drawn[:8], "big") / 2**64
    return timedelta(seconds=base * (1 + _JITTER * (2 * share - 1)))


def retry_after(said: str | None, now: datetime) -> timedelta | None:
    """Return what a Retry-After header asks for, counted from `now`; None: nothing.

    Examples
    --------
    >>> now = datetime(2026, 11, 24, 12, tzinfo=UTC)
    >>> retry_after("90", now)
    datetime.timedelta(seconds=90)
    >>> retry_after("Tue, 24 Nov 2026 12:01:00 GMT", now)
    datetime.timedelta(seconds=60)
    """
    text = (said or "").strip()
    if text.isascii() and text.isdigit():
        return timedelta(seconds=min(int(text[:12]), MOST_PAUSE.total_seconds()))
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return held(until - now)


def held(pause: timedelta | None) -> timedelta:
    """Return `pause` within what is honoured."""
    return min(max(pause or timedelta(0), timedelta(0)), MOST_PAUSE)
