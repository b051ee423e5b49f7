"""Views: a package as other systems are told it, whole, or with every cut declared.

A full view gives back the stored bytes. A view that had to be made smaller says of each
cut how much is left out, and what the whole of it hashes to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

SCHEMA = "escalon.view/1"
EVERYTHING = "GET /v1/handoffs/{handoff_id}/package"

# What a person needs last is cut first; what is in neither group is cut at the end.
_LAST_NEEDED = ("background", "log", "record", "signals", "task")
_NEEDED_LATER = ("attempts", "conversation", "reasoning", "reasons")
# In these the newest matters most.
_FROM_THE_END = frozenset({"attempts", "conversation", "record", "reasoning", "log"})
# Most characters of a text, most items of a list or object: from mild to all.
_LIMITS = ((20_000, 500), (4_000, 100), (1_000, 30), (300, 10), (100, 3), (0, 0))
# Room that saying so takes, in bytes.
_WORTH = 160


class ViewError(ValueError):
    """A view from which the package cannot be had; the message says why."""


def full(package: bytes) -> dict[str, Any]:
    """Return the view of a stored `package` that leaves nothing out, as JSON data.

    Parameters
    ----------
    package : bytes
        As stored: canonical JSON.

    Raises
    ------
    ViewError
        If `package` is not the canonical form of a JSON object.
    """
    value = orjson.loads(package)
    if not isinstance(value, dict) or _canonical(value) != package:
        msg = (
            "expected a package as it is stored, canonical JSON of an object, found "
            f"{len(package)} bytes that are not; pass the stored bytes"
        )
        raise ViewError(msg)
    return {**_head(package), "cuts": [], "package": value}


def whole(view: Mapping[str, Any]) -> bytes:
    """Return the stored bytes of the package that `view` shows in full.

    Raises
    ------
    ViewError
        If the view was cut, or its package is not the one it was made of.
    """
    if view["cuts"]:
        msg = (
            f"this view leaves out parts of {len(view['cuts'])} fields; {view['whole']}"
            f" gives all {view['bytes']} bytes, SHA-256 {view['sha256']}"
        )
        raise ViewError(msg)
    package = _canonical(view["package"])
    found = hashlib.sha256(package).hexdigest()
    if found != view["sha256"]:
        msg = (
            f"expected a package with SHA-256 {view['sha256']}, found {found}: it was "
            "changed on its way; fetch it again"
        )
        raise ViewError(msg)
    return package


def cut(
    package: bytes, most_bytes: int, *, whole_at: str = EVERYTHING
) -> dict[str, Any]:
    """Return a view of `package` whose JSON has at most `most_bytes` bytes.

    Whatever is cut is replaced by ``{"cut": true, "kept", "more_chars", "sha256"}``:
    what is left of it, how many characters of it are not, and the hash of all of it
    (of a text in UTF-8, of anything else in canonical JSON). `cuts` lists them all, as
    JSON pointers into the whole package: one that is not listed came with it.

    Parameters
    ----------
    package : bytes
        As stored.
    most_bytes : int
        Of the view, as compact JSON in UTF-8.
    whole_at : str
        Where the whole package can be had, for whoever reads the view.

    Raises
    ------
    ViewError
        If not even the hash of the package fits, or `package` is not as stored.
    """
    size = 0
    for view in _smaller_and_smaller({**full(package), "whole": whole_at}):
        size = len(orjson.dumps(view))
        if size <= most_bytes:
            return view
    msg = (
        f"expected room for at least {size} bytes, found {most_bytes}; send only the "
        "link to the handoff"
    )
    raise ViewError(msg)


def cut_text(text: str, most: int, *, whole_at: str) -> str:
    """Return `text` with at most `most` characters of it, and what was cut in words.

    Examples
    --------
    >>> cut_text("short", 10, whole_at="the console")
    'short'
    >>> cut_text("abcdef", 2, whole_at="the console")[:26]
    'ab… [4 more characters; SH'
    """
    if len(text) <= most:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()
    more = f"{len(text) - most:,} more characters"
    return f"{text[:most]}… [{more}; SHA-256 of all {digest}; whole in {whole_at}]"


# --- cutting -----------------------------------------------------------------

Limits = tuple[int, int]


def _canonical(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _plain(value: Any) -> bytes:
    """Return the bytes by which a cut value is known."""
    return value.encode() if isinstance(value, str) else _canonical(value)


def _head(package: bytes) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "sha256": hashlib.sha256(package).hexdigest(),
        "bytes": len(package),
        "whole": EVERYTHING,
    }


def _smaller_and_smaller(view: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield `view`, then with more and more cut, last with nothing but hashes."""
    yield view
    package = view["package"]
    for cutter in _cutters(package):
        smaller = cutter.cut(package)
        yield {**view, "cuts": cutter.cuts, "package": smaller}
    nothing = _Cutter({}).replaced(package, {}, {}, "")
    yield {**view, "cuts": [""], "package": nothing}


def _cutters(package: Mapping[str, Any]) -> Iterator[_Cutter]:
    """Yield what cuts the package, from the mildest to the hardest."""
    later = _LAST_NEEDED + _NEEDED_LATER
    groups = (_LAST_NEEDED, _NEEDED_LATER, tuple(k for k in package if k not in later))
    by_part: dict[str, Limits] = {}
    for group in groups:
        for limits in _LIMITS:
            by_part = {**by_part, **dict.fromkeys(group, limits)}
            yield _Cutter(by_part)


@dataclass(slots=True)
class _Cutter:
    """Cuts the parts of a package, each to its limits, and lists where it did."""

    by_part: Mapping[str, Limits]
    cuts: list[str] = field(default_factory=list)

    def cut(self, package: Mapping[str, Any]) -> dict[str, Any]:
        return {part: self._part(part, value) for part, value in package.items()}

    def _part(self, part: str, value: Any) -> Any:
        limits, at = self.by_part.get(part), _pointer("", part)
        if limits is None:
            return value
        is_newest_last = part in _FROM_THE_END and isinstance(value, list)
        first = max(len(value) - limits[1], 0) if is_newest_last else 0
        return self._value(value, at, limits, first)

    def _value(self, value: Any, at: str, limits: Limits, first: int = 0) -> Any:
        chars, items = limits
        match value:
            case str():
                left: Any = value[:chars]
                kept = left
            case list():
                left = value[first : first + items]
                kept = [
                    self._value(one, _pointer(at, str(place)), limits)
                    for place, one in enumerate(left, first)
                ]
            case dict():
                left = dict(list(value.items())[:items])
                kept = {
                    key: self._value(one, _pointer(at, key), limits)
                    for key, one in left.items()
                }
            case _:
                return value
        if len(left) == len(value):
            return kept
        plain = _plain(value)
        # What takes no more room than saying that it was cut is not cut.
        return value if len(plain) <= _WORTH else self.replaced(value, left, kept, at)

    def replaced(self, value: Any, left: Any, kept: Any, at: str) -> dict[str, Any]:
        """Return what stands for `value`, of which `left` remains, shown as `kept`."""
        self.cuts.append(at)
        plain = _plain(value)
        return {
            "cut": True,
            "kept": kept,
            "more_chars": len(plain.decode()) - len(_plain(left).decode()),
            "sha256": hashlib.sha256(plain).hexdigest(),
        }


def _pointer(at: str, key: str) -> str:
    """Return the JSON pointer (RFC 6901) of `key` in what stands at `at`."""
    return f"{at}/{key.replace('~', '~0').replace('/', '~1')}"
