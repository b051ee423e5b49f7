"""Sessions: who sits at the console, in a signed cookie; and who may post."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import orjson

COOKIE = "escalon_console"
LASTS = timedelta(hours=12)


def signed(who: str, *, key: bytes, now: datetime) -> str:
    """Return the cookie that says `who` signed in at `now`."""
    claim = orjson.dumps({"who": who, "until": (now + LASTS).timestamp()})
    return f"{_encode(claim)}.{_encode(_mac(claim, key))}"


def who(cookie: str | None, *, key: bytes, now: datetime) -> str | None:
    """Return who `cookie` names; None if it is absent, not ours, or too old."""
    body, _, mac = (cookie or "").partition(".")
    try:
        claim = _decode(body)
        ours = hmac.compare_digest(_decode(mac), _mac(claim, key))
    except (binascii.Error, ValueError):
        return None
    if not ours:
        return None
    said = orjson.loads(claim)
    return str(said["who"]) if now.timestamp() < said["until"] else None


def is_ours(headers: Mapping[str, str]) -> bool:
    """Whether a form was posted from a page of this console.

    Browsers say where a post comes from, in headers no page can set. One that says
    nothing is turned away: every browser of today says it.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc == headers.get("host")


def _mac(claim: bytes, key: bytes) -> bytes:
    # The name of the use keeps this signature from passing as one of another kind.
    return hmac.digest(key, b"console-session\0" + claim, hashlib.sha256)


def _encode(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode("ascii").rstrip("=")


def _decode(text: str) -> bytes:
    return base64.b64decode(
        text + "=" * (-len(text) % 4), altchars=b"-_", validate=True
    )
