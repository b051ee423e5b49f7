"""Workers of several hosts on one PostgreSQL store share the work without doubling."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime

import pytest

from serving.channels.config import Channels
from serving.channels.courier import Courier
from serving.engine import Engine
from serving.engine.models import NoModel
from serving.policy.rules import Policy
from serving.store.opening import open_store
from serving.where import where_of
from tests.faults.faulty_channel import FaultyChannel

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - of the standard
HANDOFFS = 40


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


def policy() -> Policy:
    """Return the default policy with every queue telling the pager."""
    default = Policy.default()
    queues = [{**q.model_dump(), "notify": ["pager"]} for q in default.queues]
    return default.model_copy(update={"queues": queues})


@pytest.fixture
def engines(postgres_url: str) -> Iterator[list[Engine]]:
    """Open the same database as three hosts would."""
    with ExitStack() as opened:
        stores = [
            opened.enter_context(closing(open_store(where_of(postgres_url))))
            for _ in range(3)
        ]
        yield [Engine(s, policy(), NoModel(), now, b"s" * 32) for s in stores]


@pytest.mark.slow
def test_three_hosts_send_each_delivery_once(engines: list[Engine]) -> None:
    """One hands over, two deliver: the receiver gets each id in exactly one request."""
    for n in range(HANDOFFS):
        event = {"event_id": "e", "at": now().isoformat(), "kind": "user_message"}
        engines[0].observe(f"t{n}", [{**event, "text": "Where is my parcel?"}])
        engines[0].escalate(f"t{n}", by="user", reason="wants a person")
    with FaultyChannel() as receiver:
        channels = Channels.parse(
            f"pager: {{kind: webhook, url: '{receiver.url}', secret: {SECRET}, "
            "allow_private: true}"
        )
        works = [
            Courier(engine.deliveries, channels, worker=f"w{n}", clock=now)
            for n, engine in enumerate(engines[1:])
        ]
        threads = [threading.Thread(target=work.deliver_all) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(receiver.requests) == len(receiver.accepted) == HANDOFFS
    found = engines[0].deliveries.listed(limit=200)["deliveries"]
    assert [d["status"] for d in found] == ["done"] * HANDOFFS
