"""Headers: what a call says beside its body: under which key, under which epoch."""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final, TypeVar

import orjson
from pydantic import BaseModel
from starlette.datastructures import Headers

from serving.api.operation import EPOCH_HEADER, KEY_HEADER, REPLAYED_HEADER
from serving.api.reading import Refusal
from serving.engine.keys import Key
from serving.problems import ProblemType

__all__ = ["EPOCH_HEADER", "KEY_HEADER", "REPLAYED_HEADER", "key_of", "with_epoch"]

M = TypeVar("M", bound=BaseModel)

_LONGEST_KEY: Final = 255
_KEY = re.compile(rf"[!-~]{{1,{_LONGEST_KEY}}}")
_MOST_DIGITS: Final = 15


def key_of(headers: Headers, method: str, path: str, sent: Any) -> Key | None:
    """Return the key under which a call is made, or None.

    Parameters
    ----------
    sent : Any
        The JSON value of its body. The order of keys and white space do not matter.

    Raises
    ------
    Refusal
        malformed-request, if it is no such key, or there are several.
    """
    found = headers.getlist(KEY_HEADER)
    if not found:
        return None
    if len(found) > 1 or not _KEY.fullmatch(found[0]):
        expected = f"one of 1 to {_LONGEST_KEY} visible ASCII characters"
        shown = f"{len(found)} of them" if len(found) > 1 else ascii(found[0])
        raise _refused(KEY_HEADER, expected, shown)
    named = headers.getlist(EPOCH_HEADER)
    parts = [method, path, _canonical(sent), *named]
    fingerprint = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return Key(scope=f"{method} {path}", name=found[0], fingerprint=fingerprint)


def with_epoch(headers: Headers, body: M) -> M:
    """Return `body` with the epoch that the header names, where it takes one.

    Raises
    ------
    Refusal
        malformed-request, if that is no epoch, or not the one in the body.
    """
    found = headers.getlist(EPOCH_HEADER)
    if not found or "epoch" not in type(body).model_fields:
        return body
    text = found[0].strip()
    if len(found) > 1 or not text.isdecimal() or len(text) > _MOST_DIGITS:
        raise _refused(EPOCH_HEADER, "one whole number", ascii(", ".join(found)))
    said, epoch = getattr(body, "epoch", None), int(text)
    if said is not None and said != epoch:
        raise _refused(EPOCH_HEADER, f"{said}, as in the body, or absent", text)
    return body.model_copy(update={"epoch": epoch})


def _canonical(sent: Any) -> str:
    return orjson.dumps(sent, option=orjson.OPT_SORT_KEYS).decode()


def _refused(header: str, expected: str, found: str) -> Refusal:
    wrong = {"field": header, "expected": expected, "found": found}
    said = f"`{header}` must be {expected}, found {found}"
    return Refusal(ProblemType.MALFORMED_REQUEST, said, errors=[wrong])
