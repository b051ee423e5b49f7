"""Courier: carries what the outbox holds to the channels, outside any transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial

from serving.channels.channel import Channel, Message
from serving.channels.config import Channels
from serving.channels.envelope import cloud_event
from serving.crash import CrashPoint, passing
from serving.engine.delivery import Deliveries, Sending
from serving.policy.delivery import Attempt, Ending
from serving.rounds import Rounds
from serving.safely import Failure, attempt

EVERY = 0.5
# Sent to one channel at the same time. Each channel has its own: one that hangs holds
# up nobody else.
AT_ONCE = 8
_log = logging.getLogger(__name__)


class Courier:
    """Sends what is due to each channel, and notes what came of it.

    Parameters
    ----------
    deliveries : Deliveries
        What is due.
    channels : Channels
        Where to.
    worker : str
        Under whose name it is leased; unique among all that work on this store.
    clock : callable
        Returns the time, timezone-aware.
    made : Mapping of str to Channel, optional
        Channels in place of those that `channels` describes.
    """

    def __init__(
        self,
        deliveries: Deliveries,
        channels: Channels,
        *,
        worker: str,
        clock: Callable[[], datetime],
        made: Mapping[str, Channel] | None = None,
    ) -> None:
        self._deliveries = deliveries
        self._channels = channels
        self._worker = worker
        self._clock = clock
        self._made = {n: c.made(clock) for n, c in channels.configs.items()} | {
            **(made or {})
        }
        self._pools = {
            name: ThreadPoolExecutor(AT_ONCE, thread_name_prefix=f"to-{name}")
            for name in self._made
        }

    # --- rounds ---------------------------------------------------------------------

    def rounds(self) -> tuple[Rounds, ...]:
        """Return the rounds of this courier: one for each channel, one to sweep."""
        return (
            self._sweeping(),
            *(self._round_of(name) for name in self._made),
        )

    def _sweeping(self) -> Rounds:
        def work() -> None:
            # After a long outage there is more than one transaction should hold.
            if self.sweep():
                rounds.wake()

        rounds = Rounds("outbox", work, every=EVERY, clock=self._clock)
        return rounds

    def _round_of(self, name: str) -> Rounds:
        def work() -> None:
            # More may be due: the next round comes at once, unless we are to end.
            if self.deliver(name):
                rounds.wake()

        rounds = Rounds(f"to-{name}", work, every=EVERY, clock=self._clock)
        return rounds

    def close(self) -> None:
        """Let go of the channels, once nothing is under way."""
        for pool in self._pools.values():
            pool.shutdown()
        for channel in self._made.values():
            channel.close()

    # --- one round ------------------------------------------------------------------

    def sweep(self) -> int:
        """Give up what must be, turn to fallbacks; return how many there were."""
        routes = {**dict.fromkeys(self._made), **self._channels.routes}
        swept = self._deliveries.sweep(routes)
        if swept:
            said = {"action": "outbox_swept", "deliveries": swept}
            _log.warning("%d deliveries given up or sent elsewhere", swept, extra=said)
        return swept

    def deliver(self, name: str) -> int:
        """Send what is due to the channel `name`; return how many there were."""
        due = self._deliveries.take(self._worker, name, limit=AT_ONCE)
        for _ in self._pools[name].map(partial(self._carry, self._made[name]), due):
            pass
        return len(due)

    def deliver_all(self) -> int:
        """Send all that is due to every channel, and sweep; return how many there were.

        For a process that is not to stay, and for tests.
        """
        n = 0
        while swept := self.sweep():
            n += swept
        for name in self._made:
            while sent := self.deliver(name):
                n += sent
        return n

    def _carry(self, channel: Channel, sending: Sending) -> None:
        ended = attempt(lambda: channel.send(self.message(sending)))
        if isinstance(ended, Failure):
            # A channel that breaks its promise is a channel that failed.
            ended = Attempt(ending=Ending.FAILED, fault=ended.name)
        passing(CrashPoint.AFTER_SEND)
        self._deliveries.ended(sending, ended)
        _tell(sending, ended)

    def message(self, sending: Sending) -> Message:
        """Return what is sent: the same bytes at every attempt, by any worker."""
        config = self._channels.configs.get(sending.delivery.channel)
        most = {} if config is None else {"most_bytes": config.package_bytes}
        body = cloud_event(
            self._deliveries.told(sending),
            public_url=self._channels.public_url,
            **most,
        )
        return Message(message_id=sending.delivery.outbox_id, body=body)


def _tell(sending: Sending, ended: Attempt) -> None:
    """Write to the log what came of it; ids and our own words alone."""
    delivery = sending.delivery
    said = {
        "action": f"delivery_{ended.ending}",
        "outbox_id": delivery.outbox_id,
        "handoff_id": delivery.handoff_id,
        "channel": delivery.channel,
        "fault": ended.fault,
    }
    level = logging.INFO if ended.ending is Ending.TOLD else logging.WARNING
    _log.log(
        level, "%s to %s: %s", delivery.kind, delivery.channel, ended.ending, extra=said
    )
