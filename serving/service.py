"""The BentoML service, and the composition root.

Our own routes answer in front of BentoML's; what remains, ``/predict`` and BentoML's
pages, passes on to it. Importing this module defines the service and does nothing else:
the store opens when a worker starts.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

# Read by BentoML when it is imported.
os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")

import bentoml

from serving.api.reading import Refusal
from serving.api.wire import ScoreRequest
from serving.door import (
    PREDICT,
    Receive,
    Scope,
    Send,
    check_host,
    checked_predict,
    is_bentos,
    send_problem,
)
from serving.orphan import end_with_parent
from serving.problems import Problem
from serving.server import run, start
from serving.settings import Settings, workers_of

if TYPE_CHECKING:
    from serving.composition import Application

__all__ = ["Escalon", "run", "start"]


class HotPath:
    """Middleware: answers what is ours, checks what passes on.

    Parameters
    ----------
    app : ASGI application
        BentoML's.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or let BentoML do so."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        service = bentoml.get_current_service()
        if not is_bentos(scope):
            await service.application(scope, receive, send)
            return
        try:
            passed = await service.checked(scope, receive)
        except Refusal as refusal:
            await send_problem(send, refusal.problem)
            return
        await self._app(scope, passed, send)


@bentoml.service(
    name="escalon",
    # `Settings` refuses more than one with a store that has one writer, and says why.
    workers=workers_of(os.environ),
    # A decision waits for the disk, not for the processor.
    threads=16,
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": ".*"},
)
class Escalon:
    """Decides when an agent must hand its task to a human, and makes it hold.

    The whole surface is at ``/v1/openapi.json``, the pages for people at ``/console``.
    """

    def __init__(self) -> None:
        # Here, because BentoML's supervisor imports this module only to find the
        # service, and the model's libraries take seconds to load.
        from serving.composition import Application  # noqa: PLC0415

        end_with_parent()
        self._settings = Settings.load()
        self.application: Application = Application(self._settings)
        self.application.open()

    @bentoml.api(route=PREDICT)
    def predict(self, request: ScoreRequest, /, ctx: bentoml.Context) -> dict[str, Any]:
        """Return risk and reasons for the events of a task; nothing is stored."""
        engine = self.application.engine
        try:
            if engine is not None:
                return engine.score(request.events)
            problem = self.application.unavailable()
        except Problem as error:
            problem = error.to_json()
        ctx.response.status_code = problem["status"]
        return problem

    async def checked(self, scope: Scope, receive: Receive) -> Receive:
        """Return how to receive a request that may pass on to BentoML.

        Raises
        ------
        Refusal
            If it may not.
        """
        check_host(scope, self._settings.known_hosts)
        if scope["path"] != PREDICT or scope["method"] != "POST":
            return receive
        return await checked_predict(
            scope,
            receive,
            most_bytes=self._settings.max_body_bytes,
            most_events=self._settings.max_events,
        )

    @bentoml.on_shutdown
    def close(self) -> None:
        """Let go of the store."""
        self.application.close()


# A type checker does not see that the decorator made a service of the class.
cast("Any", Escalon).add_asgi_middleware(HotPath)
