"""Action tokens: what lets one tool call of an agent through a gateway, for seconds.

A token is ``base64url(claims).base64url(signature)``, without padding: the claims as
canonical JSON, an Ed25519 signature over those bytes. A gateway checks it offline, with
the public key and the highest epoch that it has seen of the task. Until the token ends
an agent that has just lost its task can still use it there; a gateway that has the
service check it, and consume it, has no such delay.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

VERSION: Final = 1
LONGEST: Final = timedelta(seconds=10)
# Clocks of service and gateway may differ by so much.
SKEW: Final = timedelta(seconds=2)

_LABEL = b"escalon action token"
_KEY_BYTES = 32
_KID_BYTES = 8
_HEX_DIGITS = 2 * hashlib.sha256().digest_size
_MOST_BYTES = 4_096


class Fault(StrEnum):
    """Why a token is not good. Order of declaration is the order of the checks."""

    MALFORMED = "malformed"
    UNKNOWN_KEY = "unknown_key"
    BAD_SIGNATURE = "bad_signature"
    NOT_YET = "not_yet"
    EXPIRED = "expired"
    OTHER_TASK = "other_task"
    OTHER_TOOL = "other_tool"
    OTHER_ARGUMENTS = "other_arguments"
    OLD_EPOCH = "old_epoch"
    USED = "used"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A token that is not good.

    Attributes
    ----------
    fault : Fault
    expected, found : str
        What a good one has there, and what this one has.
    """

    fault: Fault
    expected: str
    found: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a token says.

    Attributes
    ----------
    task, tool : str
        The task, and the tool that may be called once for it.
    epoch : int
        Under which the agent owned the task.
    args_sha256 : str
        SHA-256 (hex) of the arguments as canonical JSON.
    iat, exp : int
        From when until when it holds, whole s since 1970; not at `exp` any more.
    jti : str
        Of this token alone.
    """

    task: str
    epoch: int
    tool: str
    args_sha256: str
    iat: int
    exp: int
    jti: str

    @classmethod
    def made(
        cls,
        *,
        task: str,
        epoch: int,
        tool: str,
        args_sha256: str,
        jti: str,
        now: datetime,
        lasts: timedelta,
    ) -> Claims:
        """Return the claims of a token that holds from `now` on, for `lasts` at most.

        Parameters
        ----------
        lasts : timedelta
            Cut to `LONGEST`, and to whole s.
        """
        iat = int(now.timestamp())
        seconds = max(1, int(min(lasts, LONGEST).total_seconds()))
        return cls(
            task=task,
            epoch=epoch,
            tool=tool,
            args_sha256=args_sha256,
            iat=iat,
            exp=iat + seconds,
            jti=jti,
        )


def digest_of(arguments: Any) -> str:
    """Return the SHA-256 (hex) of `arguments` as canonical JSON: keys in order."""
    canonical = orjson.dumps(arguments, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(canonical).hexdigest()


# --- keys --------------------------------------------------------------------


def private_key(secret: bytes) -> Ed25519PrivateKey:
    """Return the key that a deployment with this secret signs with, on every replica.

    References
    ----------
    Krawczyk, Eronen: HMAC-based Extract-and-Expand Key Derivation (RFC 5869, 2010).
    """
    derive = HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=_LABEL)
    return Ed25519PrivateKey.from_private_bytes(derive.derive(secret))


def kid_of(key: Ed25519PublicKey) -> str:
    """Return the id of a public key: the head of its SHA-256, in hex."""
    return hashlib.sha256(key.public_bytes_raw()).digest()[:_KID_BYTES].hex()


# --- tokens ------------------------------------------------------------------


def sign(claims: Claims, key: Ed25519PrivateKey) -> str:
    """Return the token that says `claims`."""
    said = {
        "v": VERSION,
        "kid": kid_of(key.public_key()),
        **{name: getattr(claims, name) for name in _TYPES},
    }
    payload = orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
    return f"{_encoded(payload)}.{_encoded(key.sign(payload))}"


def read(token: str, keys: Mapping[str, Ed25519PublicKey]) -> Claims | Refused:
    """Return what `token` says if one of `keys`, by their ids, has signed it."""
    parts = _parts(token)
    if isinstance(parts, Refused):
        return parts
    payload, signature, said = parts
    key = keys.get(str(said["kid"]))
    if key is None:
        known = ", ".join(sorted(keys)) or "none"
        return _refused(Fault.UNKNOWN_KEY, f"one of {known}", str(said["kid"]))
    try:
        key.verify(signature, payload)
    except InvalidSignature:
        return _refused(Fault.BAD_SIGNATURE, "the signature of that key", "another")
    return Claims(**{name: said[name] for name in _TYPES})


def verify(
    token: str,
    keys: Mapping[str, Ed25519PublicKey],
    *,
    now: datetime,
    task: str | None = None,
    tool: str | None = None,
    args_sha256: str | None = None,
    last_epoch: int = 0,
) -> Claims | Refused:
    """Return what `token` says if it lets this call through now, or why it does not.

    Parameters
    ----------
    keys : Mapping of str to Ed25519PublicKey
        Public keys by their ids, as ``GET /v1/actions/key`` gives them.
    now : datetime
        Timezone-aware.
    task, tool, args_sha256 : str, optional
        What is about to be called; None: not compared.
    last_epoch : int
        The highest epoch of the task known to whoever asks. A lower one is old.
    """
    claims = read(token, keys)
    if isinstance(claims, Refused):
        return claims
    untimely = _untimely(claims, now)
    if untimely is not None:
        return untimely
    for fault, wanted, found in (
        (Fault.OTHER_TASK, task, claims.task),
        (Fault.OTHER_TOOL, tool, claims.tool),
        (Fault.OTHER_ARGUMENTS, args_sha256, claims.args_sha256),
    ):
        if wanted is not None and wanted != found:
            return _refused(fault, wanted, found)
    if claims.epoch < last_epoch:
        expected = f"epoch {last_epoch} or a later one"
        return _refused(Fault.OLD_EPOCH, expected, f"epoch {claims.epoch}")
    return claims


def _untimely(claims: Claims, now: datetime) -> Refused | None:
    at = now.timestamp()
    if claims.iat > at + SKEW.total_seconds():
        expected = f"a token that holds at {at:.0f} s since 1970"
        return _refused(Fault.NOT_YET, expected, f"one that holds from {claims.iat}")
    if claims.exp <= at or claims.exp - claims.iat > LONGEST.total_seconds():
        expected = f"a token that holds at {at:.0f} s since 1970"
        found = f"one that holds from {claims.iat} to {claims.exp}"
        return _refused(Fault.EXPIRED, expected, found)
    return None


def _refused(fault: Fault, expected: str, found: str) -> Refused:
    return Refused(fault=fault, expected=expected, found=found)


_TYPES: Mapping[str, type] = {
    "task": str,
    "epoch": int,
    "tool": str,
    "args_sha256": str,
    "iat": int,
    "exp": int,
    "jti": str,
}


def _parts(token: str) -> tuple[bytes, bytes, dict[str, Any]] | Refused:
    """Return payload, signature and claims of what has the form of a token."""
    head, dot, tail = token.partition(".")
    shape = "two parts in base64url with a dot between them"
    if not dot or len(token) > _MOST_BYTES:
        return _refused(Fault.MALFORMED, shape, f"{len(token)} characters")
    try:
        payload, signature = _decoded(head), _decoded(tail)
        said = orjson.loads(payload)
    except (binascii.Error, ValueError) as error:
        return _refused(Fault.MALFORMED, shape, type(error).__name__)
    known = {**_TYPES, "v": int, "kid": str}
    if not isinstance(said, dict) or said.keys() != known.keys():
        return _refused(Fault.MALFORMED, "claims " + ", ".join(known), "others")
    wrong = [n for n, kind in known.items() if type(said[n]) is not kind]
    if wrong or said["v"] != VERSION or len(said["args_sha256"]) != _HEX_DIGITS:
        expected = f"claims of version {VERSION}"
        return _refused(Fault.MALFORMED, expected, ", ".join(wrong) or "other ones")
    return payload, signature, said


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    padded = text.encode("ascii") + b"=" * (-len(text) % 4)
    return base64.b64decode(padded, altchars=b"-_", validate=True)
