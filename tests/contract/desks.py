"""The desk that the engine's own tests work with, over whichever store there is."""

from __future__ import annotations

from serving.engine import Engine
from serving.store.opening import open_store
from serving.store.transaction import Store
from tests.unit.serving.conftest import SECRET, Desk


class StoreDesk(Desk):
    """A desk over a store of whichever kind; others may share that store."""

    def open(self) -> None:
        """Open the store, and an engine on it."""
        self.store: Store = open_store(self.path)
        self.engine = Engine(self.store, self.policy, self.source, self.clock, SECRET)
