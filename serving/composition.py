"""Composition: from settings to an engine with its routes, and back to nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from serving.api.app import make_api
from serving.api.edge import EdgeProblem, problem_json
from serving.api.reading import Refusal
from serving.channels.config import Channels, ChannelsError
from serving.clock import SteadyClock
from serving.console.pages import make_console
from serving.door import Receive, Scope, Send, check_host, send_problem
from serving.engine import Engine
from serving.engine.models import DirectoryModel, ModelSource
from serving.policy.attendance import attended
from serving.policy.rules import Policy, PolicyError
from serving.settings import Settings
from serving.store import ledger
from serving.store.opening import open_store
from serving.store.transaction import Store, StoreError
from serving.worker import at_work

# What keeps the service from deciding, and may pass: it is tried again.
FAULTS = (StoreError, PolicyError, ChannelsError, OSError)
_TRY_AGAIN = 2.0
_log = logging.getLogger(__name__)


def steady(store: Store) -> SteadyClock:
    """Return a clock that gives no time before that of the last record of `store`."""
    with store.reading() as reader:
        return SteadyClock(ledger.last_at(reader))


def policy_of(settings: Settings) -> Policy:
    """Return the policy document in force.

    Raises
    ------
    PolicyError
        If it must not go live, or somebody would wait where nobody is.
    """
    path = settings.policy
    found = Policy.default() if path is None else Policy.load(path)
    return attended(found, datetime.now(UTC).date())


def channels_of(settings: Settings) -> Channels:
    """Return where handoffs are told, beside the console.

    Raises
    ------
    ChannelsError
        If what the file says cannot be used.
    """
    return Channels.load(settings.channels, public_url=settings.public_url or "")


def model_of(settings: Settings) -> ModelSource:
    """Return where the model comes from; while there is none, rules decide."""
    return DirectoryModel(settings.model)


@contextlib.contextmanager
def engine_of(settings: Settings) -> Iterator[tuple[Engine, ModelSource]]:
    """Yield the engine that `settings` describe, and its model; then close the store.

    Raises
    ------
    PolicyError, ChannelsError
        If the policy, or the file of the channels, must not go live.
    StoreError
        If the store cannot be opened for writing.
    """
    with (
        contextlib.closing(open_store(settings.store)) as store,
        engine_over(store, settings) as engine_and_model,
    ):
        yield engine_and_model


@contextlib.contextmanager
def engine_over(
    store: Store, settings: Settings
) -> Iterator[tuple[Engine, ModelSource]]:
    """Yield the engine that `settings` describe over a store that is open.

    Raises
    ------
    PolicyError, ChannelsError
        If the policy, or the file of the channels, must not go live.
    StoreError
        If the store cannot be written to.
    """
    policy, model = policy_of(settings), model_of(settings)
    channels = channels_of(settings)
    with contextlib.ExitStack() as opened:
        engine = Engine(
            store,
            policy,
            model,
            steady(store),
            settings.key(),
            matures=timedelta(days=settings.monitor_maturity_days),
            token_lasts=timedelta(seconds=settings.action_token_seconds),
            attachments=settings.files,
        )
        if settings.worker == "inside":
            worker = at_work(
                engine,
                channels,
                monitor_seconds=settings.monitor_seconds,
                heartbeat_url=settings.heartbeat_url,
            )
            opened.enter_context(worker)
        yield engine, model


class Application:
    """The routes of the service over one store; a problem while that is not there.

    Parameters
    ----------
    settings : Settings
        What to serve.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._gate = threading.Lock()
        self._opened = contextlib.ExitStack()
        self._routes: Any = None
        self._trouble = "the service has not started"
        self._next_try = 0.0
        self._store: Store | None = None
        self.engine: Engine | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is an engine, and a store that takes what it does."""
        store = self._store
        return self.engine is not None and store is not None and store.is_open

    def open(self) -> bool:
        """Open the store unless it is open; whether it is now.

        One whose writer has ended is let go of and opened again. What keeps it from
        opening is logged and told to whoever calls: an agent must learn that it has to
        stop, which a dead process cannot tell it.
        """
        with self._gate:
            if not self.is_open and time.monotonic() >= self._next_try:
                self._next_try = time.monotonic() + _TRY_AGAIN
                self._let_go()
                self._try()
            return self.is_open

    def close(self) -> None:
        """Finish what is under way and let go of the store."""
        with self._gate:
            self._let_go()

    def _let_go(self) -> None:
        self.engine = self._store = None
        self._opened.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        try:
            check_host(scope, self._settings.known_hosts)
        except Refusal as refusal:
            await send_problem(send, refusal.problem)
            return
        if not self.is_open and not await asyncio.to_thread(self.open):
            await send_problem(
                send, self.unavailable(), headers={"retry-after": f"{_TRY_AGAIN:.0f}"}
            )
            return
        await self._routes(scope, receive, send)

    def unavailable(self) -> dict[str, Any]:
        """Return the problem of a service that cannot decide, and why."""
        return problem_json(
            EdgeProblem.UNAVAILABLE,
            f"{self._trouble}; nothing was kept: stop safely, and send the same again",
        )

    def _try(self) -> None:
        with contextlib.ExitStack() as opening:
            try:
                store = open_store(self._settings.store)
                opening.enter_context(contextlib.closing(store))
                engine, model = opening.enter_context(
                    engine_over(store, self._settings)
                )
            except FAULTS as error:
                self._trouble = str(error)
                _log.error("not serving: %s", error, extra={"action": "not_serving"})
                return
            self._routes = _routes(engine, model, self._settings)
            self.engine, self._store = engine, store
            self._opened = opening.pop_all()


def _routes(engine: Engine, model: ModelSource, settings: Settings) -> Any:
    """Return surface and console as one ASGI application."""
    api = make_api(
        engine,
        max_body_bytes=settings.max_body_bytes,
        max_events=settings.max_events,
        max_export_bytes=settings.max_export_bytes,
        max_attachment_bytes=settings.max_attachment_bytes,
    )
    if not settings.console:
        return api
    console = make_console(engine, key=settings.key(), model=model)

    async def either(scope: Scope, receive: Receive, send: Send) -> None:
        is_page = scope["path"] == "/console" or scope["path"].startswith("/console/")
        await (console if is_page else api)(scope, receive, send)

    return either
