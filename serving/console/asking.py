"""Requests to the console: the form, view and page they ask for."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse

from serving.console import session
from serving.console.forms import Fields, fields_of
from serving.console.queues import View
from serving.console.words import say

HOME = "/console"
_MAX_FORM_BYTES = 262_144


async def form_of(request: Request) -> Fields:
    """Return the form in `request`, if a page of ours sent it.

    Raises
    ------
    HTTPException
        If another site sent it, or it is too large.
    """
    if not session.is_ours(request.headers):
        raise HTTPException(403, say("not_ours"))
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_FORM_BYTES:
            raise HTTPException(413, say("too_long"))
    return fields_of(bytes(body))


def view_of(request: Request) -> View:
    """Return the view that `request` asks for; what waits, if it asks for none."""
    view = request.query_params.get("view", View.WAITING)
    return View(view) if view in list(View) else View.WAITING


def offset_of(request: Request) -> int:
    """Return after how many handoffs the page begins; 0 where that is no number."""
    text = request.query_params.get("offset", "0")
    return int(text) if text.isascii() and text.isdigit() else 0


def address_of(request: Request) -> str:
    """Return path and query of `request`, to come back to."""
    query = f"?{request.url.query}" if request.url.query else ""
    return request.url.path + query


def local(address: str) -> str:
    """Return `address` if it is one of ours, else where everybody starts."""
    is_ours = address == HOME or address.startswith((HOME + "/", HOME + "?"))
    return address if is_ours and "\\" not in address else HOME


def redirect(address: str, **query: str) -> RedirectResponse:
    """Return the answer that makes the browser GET `address`."""
    after = f"?{urlencode(query)}" if query else ""
    return RedirectResponse(address + after, status_code=303)
