"""The world of the state machine: an engine on a real store, and all that surrounds it.

Clock, model and outside channel do as they are told. The store is asked directly, not
through the engine, whenever something is to be proven.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from _faults_policy import policy_of
from _faults_stores import Place, fresh
from numpy.typing import NDArray

from serving.channels.channel import Message
from serving.channels.config import Channels
from serving.channels.courier import Courier
from serving.engine import Engine
from serving.policy.delivery import Attempt, Ending
from serving.policy.trigger import Threshold
from serving.store.transaction import Row

ANA, BEN = "general-1", "general-2"
CHANNEL = "desk"

Json = dict[str, Any]


class Model:
    """A model whose risk is set, and that can take the process down with it.

    It is its own source, so it can be absent, broken, or replaced by a newer one.
    """

    certificate = Threshold(threshold=0.5)
    base = 0.0
    problem = None

    def __init__(self) -> None:
        self.number = 1
        self.value = 0.0
        self.is_there = True
        self.is_broken = False
        self.ends_the_process = False

    @property
    def version(self) -> str:
        """Its version: changes when it is promoted."""
        return str(self.number)

    @property
    def digest(self) -> str:
        """Its digest: changes when it is promoted."""
        return f"{self.number:064x}"

    @property
    def decides(self) -> bool:
        """Whether a risk comes of it."""
        return self.is_there and not self.is_broken

    def current(self) -> Model | None:
        """Return itself, if it is there."""
        return self if self.is_there else None

    def certificate_for(self, _: Mapping[str, str], /) -> Threshold:
        """Return the threshold: it is the same for all tasks."""
        return self.certificate

    def risk(self, _: NDArray[np.float64], /) -> float:
        """Return the risk, or fail."""
        if self.is_broken:
            msg = "the trees have gone"
            raise RuntimeError(msg)
        return self.value

    def score(self, _: NDArray[np.float64], /) -> float:
        """Return what the contributions add up to."""
        return 0.0

    def between(self, _: NDArray[np.float64], /) -> tuple[float, float]:
        """Return no more than the risk can be."""
        return 0.0, 1.0

    def explain(self, _: NDArray[np.float64], /) -> tuple[()]:
        """Return no contributions; or end the thread, half way through a handover."""
        if self.ends_the_process:
            raise SystemExit
        return ()


class Desk:
    """An outside channel that keeps tickets, and can be away."""

    def __init__(self) -> None:
        self.is_away = False
        # Message ids by what they tell: handoff and place.
        self.tickets: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self.bytes: dict[str, bytes] = {}

    def send(self, message: Message) -> Attempt:
        """Keep a message once, by its id; refuse the connection while away."""
        if self.is_away:
            return Attempt(ending=Ending.FAILED, fault="refused")
        said = orjson.loads(message.body)
        assert self.bytes.setdefault(message.message_id, message.body) == message.body
        self.tickets[said["partitionkey"], said["sequence"]].add(message.message_id)
        return Attempt(ending=Ending.TOLD, remote_id=f"T-{message.message_id}")

    def close(self) -> None:
        """Have nothing to let go of."""


class World:
    """An engine on a store that may be left at any moment, and opened again."""

    def __init__(self, kind: str, server: str) -> None:
        self._made = ExitStack()
        self.place: Place = self._made.enter_context(fresh(kind, server))
        self.now = datetime(2026, 11, 24, 12, tzinfo=UTC)
        self.model, self.desk = Model(), Desk()
        self._policy = policy_of(
            self.place.folder, notify=[CHANNEL], members=[ANA, BEN], lease="30 min"
        )
        self._starts = 0
        self.start()

    def start(self) -> None:
        """Open the store as a service does when it starts, with a worker beside."""
        self._starts += 1
        self.store = self.place.open()
        secret = b"a secret of the test"
        self.engine = Engine(
            self.store, self._policy, self.model, lambda: self.now, secret
        )
        self.courier = Courier(
            self.engine.deliveries,
            Channels(),
            worker=f"worker-{self._starts}",
            clock=lambda: self.now,
            made={CHANNEL: self.desk},
        )

    def stop(self) -> None:
        """Let go of the store."""
        self.courier.close()
        self.store.close()

    def end(self) -> None:
        """Stop, and remove the store."""
        self.stop()
        self._made.close()

    def lose_power(self) -> None:
        """Go on from what is committed, as a copy of it stood at some moment."""
        if self.place.kind == "sqlite":
            old = Path(self.place.address)
            copy = old.with_name(f"store-{self._starts}.db")
            for suffix in ("", "-wal"):
                shutil.copy(f"{old}{suffix}", f"{copy}{suffix}")
            self.stop()
            self.place = replace(self.place, address=str(copy))
        else:
            self.stop()
        self.start()

    def turn(self, span: timedelta) -> None:
        """Let `span` pass, and all that is due by then happen."""
        self.now += span
        while self.engine.duties.run():
            pass
        self.engine.agents.run()
        self.courier.deliver_all()

    def rows(self, query: str, **values: Any) -> list[Row]:
        """Return rows as they are on the disk."""
        return self.place.rows(query, **values)

    def count(self, table: str) -> int:
        """Return how many rows `table` has."""
        return int(self.rows(f"SELECT count(*) AS n FROM {table}")[0]["n"])  # noqa: S608
