"""Headers that keep a browser from doing more than show our pages."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Nothing comes from elsewhere, nothing runs or is styled inline, nobody frames us.
# What presumes TLS (HSTS, upgrade-insecure-requests) is for the proxy that ends it.
_CONTENT = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "'none'",
}
HEADERS = {
    "content-security-policy": "; ".join(f"{k} {v}" for k, v in _CONTENT.items()),
    # Not `no-referrer`: under it browsers hide the origin of our own forms, which is
    # what tells them from those of other sites. Others learn nothing under this one.
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=()",
    "cache-control": "no-store",
}
_ASSETS = "/console/static/"


class SafeHeaders:
    """Middleware that sets `HEADERS` on every answer; assets may be kept, and checked.

    Parameters
    ----------
    app : ASGI application
        What answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                # A download is not ours: it brings a policy that lets it do nothing.
                sandbox = headers.get("content-security-policy")
                headers.update(HEADERS)
                if sandbox is not None:
                    headers["content-security-policy"] = sandbox
                if scope["path"].startswith(_ASSETS):
                    headers["cache-control"] = "no-cache"
            await send(message)

        await self._app(scope, receive, send_safely)
