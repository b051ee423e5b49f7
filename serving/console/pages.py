"""The pages of the console: who asks, what they see, and what they did."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from serving.console import case, overview, session
from serving.console.asking import (
    HOME,
    address_of,
    form_of,
    local,
    offset_of,
    redirect,
    view_of,
)
from serving.console.downloads import Downloads
from serving.console.forms import (
    Entered,
    FormError,
    Resolution,
    guidance_of,
    one,
    words_of,
)
from serving.console.headers import SafeHeaders
from serving.console.queues import PAGE, Queues, stamp_of
from serving.console.rendering import Templates
from serving.console.troubles import said_of, trouble_of
from serving.console.words import say
from serving.engine import Engine
from serving.engine.live import Said
from serving.engine.models import ModelSource, NoModel
from serving.problems import Problem
from serving.store.tasks import new_id
from serving.store.transaction import StoreError

_TOLD = ("resolved", "returned", "released")

Page = Callable[[Request, str], Response]
Act = Callable[[str, str, Entered], str]


def _now() -> datetime:
    return datetime.now(UTC)


class Console:
    """The pages over one engine.

    Parameters
    ----------
    engine : Engine
        Answers.
    key : bytes
        Signs sessions.
    model : ModelSource
        Whose certificate the overview shows.
    clock : callable
        Returns the time, timezone-aware.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        key: bytes,
        model: ModelSource,
        clock: Callable[[], datetime],
    ) -> None:
        self._engine = engine
        self._model = model
        self._key = key
        self._clock = clock
        self._queues = Queues(engine)
        self._downloads = Downloads(engine)
        self._templates = Templates()

    def routes(self) -> list[Route | Mount]:
        """Return every route."""
        at = HOME + "/handoffs/{handoff_id}"
        static = StaticFiles(directory=Path(__file__).parent / "static")
        return [
            Route(HOME, self._for_me(self._queue)),
            Route(HOME + "/", RedirectResponse(HOME)),
            Route(HOME + "/pulse", self._for_me(self._pulse)),
            Route(HOME + "/overview", self._for_me(self._overview)),
            Route(at, self._for_me(self._case)),
            Route(at + "/package.json", self._for_me(self._downloads.package)),
            Route(
                HOME + "/attachments/{sha256}",
                self._for_me(self._downloads.attachment),
            ),
            Route(at + "/claim", self._posted(self._claim), methods=["POST"]),
            Route(at + "/say", self._posted(self._say), methods=["POST"]),
            Route(at + "/release", self._posted(self._release), methods=["POST"]),
            Route(at + "/resolve", self._posted(self._resolve), methods=["POST"]),
            Route(at + "/return", self._posted(self._return), methods=["POST"]),
            Route(HOME + "/sign-in", self._sign_in_page),
            Route(HOME + "/sign-in", self._sign_in, methods=["POST"]),
            Route(HOME + "/sign-out", self._sign_out, methods=["POST"]),
            Mount(HOME + "/static", static),
        ]

    # --- who asks ------------------------------------------------------------

    def _me(self, request: Request) -> str | None:
        cookie = request.cookies.get(session.COOKIE)
        name = session.who(cookie, key=self._key, now=self._clock())
        return name if name in self._queues.people() else None

    def _for_me(self, page: Page) -> Callable[[Request], Response]:
        """Return `page` as an endpoint that asks who is there first."""

        def endpoint(request: Request) -> Response:
            me = self._me(request)
            if me is None:
                return redirect(HOME + "/sign-in", next=address_of(request))
            return page(request, me)

        return endpoint

    def _sign_in_page(self, request: Request) -> Response:
        return self._page(
            "sign_in.html",
            me=None,
            queues={q.name: q.members for q in self._engine.policy.queues if q.members},
            next=local(request.query_params.get("next", "")),
        )

    async def _sign_in(self, request: Request) -> Response:
        fields = await form_of(request)
        name = one(fields, "who")
        if name not in self._queues.people():
            return redirect(HOME + "/sign-in")
        answer = redirect(local(one(fields, "next")))
        answer.set_cookie(
            session.COOKIE,
            session.signed(name, key=self._key, now=self._clock()),
            path=HOME,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
            max_age=int(session.LASTS.total_seconds()),
        )
        return answer

    async def _sign_out(self, request: Request) -> Response:
        await form_of(request)
        answer = redirect(HOME + "/sign-in")
        answer.delete_cookie(session.COOKIE, path=HOME)
        return answer

    # --- what they see -------------------------------------------------------

    def _queue(self, request: Request, me: str) -> Response:
        view, offset = view_of(request), offset_of(request)
        listing = self._queues.listing(view, me, offset)
        told = request.query_params.get("told")
        return self._page(
            "queue.html",
            me=me,
            view=str(view),
            rows=listing.rows,
            stamp=listing.stamp,
            counts=self._queues.counts(me),
            my_queues=self._queues.people()[me],
            back=None if offset == 0 else max(0, offset - PAGE),
            more=None if listing.is_last else offset + PAGE,
            told=say(f"told_{told}") if told in _TOLD else None,
        )

    def _case(self, request: Request, me: str) -> Response:
        return self._case_page(request.path_params["handoff_id"], me)

    def _case_page(
        self,
        handoff_id: str,
        me: str,
        *,
        entered: Entered | None = None,
        trouble: str | None = None,
        status: int = 200,
    ) -> Response:
        handoff = self._engine.handoff(handoff_id)
        task = self._engine.task(handoff["task_id"])
        return self._page(
            "case.html",
            status=status,
            me=me,
            member=handoff["queue"] in self._queues.people()[me],
            stamp=stamp_of([handoff]),
            entered=entered or Entered(),
            # Sent twice, the same form says it once.
            next_message=new_id("say"),
            trouble=trouble,
            **case.shown(handoff, task),
        )

    def _pulse(self, request: Request, me: str) -> Response:
        """Answer with the stamp of a page, so that it can tell it is out of date."""
        if handoff_id := request.query_params.get("handoff"):
            return JSONResponse({"stamp": stamp_of([self._engine.handoff(handoff_id)])})
        listing = self._queues.listing(view_of(request), me, offset_of(request))
        return JSONResponse({"stamp": listing.stamp})

    def _overview(self, _: Request, me: str) -> Response:
        engine = self._engine
        shown = overview.shown(
            engine.queues(), engine.health(), engine.policy, self._model
        )
        return self._page("overview.html", me=me, **shown)

    # --- what they did -------------------------------------------------------

    def _posted(self, act: Act) -> Callable[[Request], Awaitable[Response]]:
        """Return `act` as an endpoint: do it and redirect, or say why not."""

        async def endpoint(request: Request) -> Response:
            entered = Entered.of(await form_of(request))
            return await run_in_threadpool(self._done, request, act, entered)

        return endpoint

    def _done(self, request: Request, act: Act, entered: Entered) -> Response:
        me = self._me(request)
        if me is None:
            return redirect(HOME + "/sign-in")
        handoff_id = request.path_params["handoff_id"]
        try:
            return redirect(act(handoff_id, me, entered))
        except FormError as error:
            status, said = 422, str(error)
        except Problem as problem:
            status, said = problem.status, said_of(problem)
        return self._case_page(
            handoff_id, me, entered=entered, trouble=said, status=status
        )

    def _claim(self, handoff_id: str, me: str, _: Entered) -> str:
        self._engine.claim(handoff_id, by=me)
        return f"{HOME}/handoffs/{quote(handoff_id, safe='')}"

    def _say(self, handoff_id: str, me: str, entered: Entered) -> str:
        said = Said(
            text=words_of(entered),
            by=me,
            message_id=entered.message_id or None,
            handoff_id=handoff_id,
        )
        self._engine.live.say(self._engine.handoff(handoff_id)["task_id"], said)
        return f"{HOME}/handoffs/{quote(handoff_id, safe='')}#talk"

    def _release(self, handoff_id: str, me: str, _: Entered) -> str:
        self._engine.release(handoff_id, by=me)
        return f"{HOME}?told=released"

    def _resolve(self, handoff_id: str, me: str, entered: Entered) -> str:
        said = Resolution.of(entered)
        if said.sufficient is not None:
            self._engine.rate(
                handoff_id,
                by=me,
                sufficient=said.sufficient,
                missing=said.missing,
                note=said.lacked,
            )
        self._engine.resolve(
            handoff_id, by=me, needed=said.needed, note=said.note, minutes=said.minutes
        )
        return f"{HOME}?told=resolved"

    def _return(self, handoff_id: str, me: str, entered: Entered) -> str:
        self._engine.return_(handoff_id, by=me, guidance=guidance_of(entered))
        return f"{HOME}?told=returned"

    # --- answers -------------------------------------------------------------

    def _page(
        self, name: str, *, me: str | None, status: int = 200, **values: Any
    ) -> Response:
        here = name.removesuffix(".html")
        page = self._templates.render(
            name, now=self._clock(), me=me, here=here, **values
        )
        return Response(page, status_code=status, media_type="text/html")

    def troubled(self, request: Request, error: Exception) -> Response:
        """Return the page that says what went wrong and what to do."""
        status, title, detail = trouble_of(error)
        return self._page(
            "trouble.html",
            me=self._me(request),
            status=status,
            title=title,
            detail=detail,
        )


def make_console(
    engine: Engine,
    *,
    key: bytes,
    model: ModelSource | None = None,
    clock: Callable[[], datetime] = _now,
) -> Starlette:
    """Return the console over `engine`, as an ASGI application under ``/console``.

    Parameters
    ----------
    engine : Engine
        Answers; on threads of their own.
    key : bytes
        Signs sessions.
    model : ModelSource, optional
        Whose certificate the overview shows.
    clock : callable
        Returns the time, timezone-aware.
    """
    console = Console(engine, key=key, model=model or NoModel(), clock=clock)
    errors = (Problem, FormError, StoreError, HTTPException, Exception)
    return Starlette(
        routes=console.routes(),
        middleware=[Middleware(SafeHeaders)],
        exception_handlers=dict.fromkeys(errors, console.troubled),
    )
