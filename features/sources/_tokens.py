"""Words, identifiers and keys: what repetition and mention are told by."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import orjson

_TOKEN = re.compile(r"[\w#@.+-]+")
_TOKENS_READ = 20_000  # characters of one text that are searched for identifiers
_DIGIT = re.compile(r"\d")
_SHORTEST_IDENTIFIER = 3
_SHORTEST_WORD = 4  # shorter ones are in every message
_LONGEST_AMOUNT = 6  # digits and point: longer numbers are identifiers


def key(*parts: Any) -> float:
    """Return a hash of `parts` that a float64 holds exactly (52 bits, >= 0)."""
    canonical = orjson.dumps(parts, option=orjson.OPT_SORT_KEYS, default=str)
    digest = hashlib.blake2b(canonical, digest_size=8).digest()
    return float(int.from_bytes(digest) >> 12)


def leaves_of(value: Any, depth: int = 0) -> Iterator[str]:
    """Yield the strings and numbers inside `value`, in order, as text."""
    if depth > 20:  # noqa: PLR2004 - deeper nesting carries no identifier we know of
        return
    if isinstance(value, Mapping):
        for item in value.values():
            yield from leaves_of(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from leaves_of(item, depth + 1)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield str(value)


def tokens(words: str) -> set[str]:
    """Return the different words of a text: lower case, identifiers in one piece."""
    found = _TOKEN.findall(words[:_TOKENS_READ].lower())
    return {token.strip("#@.+-") for token in found} - {""}


def identifiers(found: AbstractSet[str]) -> set[str]:
    """Return those of the tokens that look like an identifier: with a digit."""
    return {t for t in found if len(t) >= _SHORTEST_IDENTIFIER and _DIGIT.search(t)}


def is_amount(token: str) -> bool:
    """Return whether a token is a number short enough for an amount or a count."""
    return len(token) <= _LONGEST_AMOUNT and token.replace(".", "", 1).isdecimal()


def telling(found: AbstractSet[str]) -> frozenset[str]:
    """Return the tokens by which two messages are compared: the longer ones."""
    return frozenset(t for t in found if len(t) >= _SHORTEST_WORD)


def likeness(a: AbstractSet[str], b: AbstractSet[str]) -> float:
    """Return the share of the tokens of both that both have (Jaccard), 0 if none."""
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared) if shared else 0.0


def share_outside(found: AbstractSet[str], known: AbstractSet[str]) -> float:
    """Return the share of the tokens `found` (not none) that are not `known`."""
    return len(found - known) / len(found)
