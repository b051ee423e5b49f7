"""Signing: a message as its receiver can prove it came from here, and when.

References
----------
Standard Webhooks, specification 1.0.0: symmetric signatures, `v1`.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime

PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64


class SecretError(ValueError):
    """A secret that cannot sign."""


def key_of(secret: str) -> bytes:
    """Return the key in `secret`, ``whsec_`` and 24 to 64 bytes in base64.

    Raises
    ------
    SecretError
        If it is no such thing. The message never holds the secret.
    """
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or not SHORTEST <= len(key) <= LONGEST:
        msg = (
            f"expected a secret like {PREFIX}… with {SHORTEST} to {LONGEST} bytes in "
            f"base64, found {len(secret)} characters that are not; make one with "
            f"`openssl rand -base64 32` and write {PREFIX} before it"
        )
        raise SecretError(msg)
    return key


def headers(
    keys: Sequence[bytes], message_id: str, body: bytes, at: datetime
) -> Mapping[str, str]:
    """Return the headers that sign `body`, sent at `at`, with each of `keys`.

    Two keys while one replaces the other: a receiver accepts any that fits.
    """
    stamp = str(int(at.timestamp()))
    signed = b".".join((message_id.encode(), stamp.encode(), body))
    signatures = (hmac.digest(key, signed, "sha256") for key in keys)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": stamp,
        "webhook-signature": " ".join(
            "v1," + base64.b64encode(signature).decode() for signature in signatures
        ),
    }
