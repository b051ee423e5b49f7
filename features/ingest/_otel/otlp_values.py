"""Values and ids of OTLP in JSON, as plain Python ones."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from features.ingest._files.records import check_depth
from features.ingest._files.sources import RecordError
from features.ingest._otel.spans import MalformedSpanError
from features.ingest._talk.messages import Wire

TRACE_ID_BYTES, SPAN_ID_BYTES = 16, 8

_MAX_DEPTH = 64  # of a value within values
_INT64 = 2**63
_INT64_DIGITS = 20


def either(fields: Mapping[str, Any], *names: str) -> Any:
    """Return the first of `fields` under `names` that is not null."""
    for name in names:
        if (value := fields.get(name)) is not None:
            return value
    return None


def as_object(value: Any, place: str) -> Mapping[str, Any]:
    """Return `value`; raise MalformedSpanError if it is no object."""
    if not isinstance(value, dict):
        raise MalformedSpanError(place=place, expected="an object", found=value)
    return value


def as_list(value: Any, place: str) -> list[Any]:
    """Return `value`, or [] for null; raise MalformedSpanError if it is no list."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise MalformedSpanError(place=place, expected="a list", found=value)
    return value


def as_text(value: Any) -> str:
    """Return `value` if it is text, else the empty string."""
    return value if isinstance(value, str) else ""


def number(value: float) -> float | str:
    """Return `value`; where JSON has no word for it, OTLP's: NaN, Infinity."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else f"{'-' * (value < 0)}Infinity"


def _whole(value: Any) -> Any:
    """Return an int64 that came as a number or as its digits; else it as it came."""
    if isinstance(value, str) and len(value) <= _INT64_DIGITS:
        digits = value.removeprefix("-")
        if digits.isascii() and digits.isdecimal() and int(digits) <= _INT64:
            return int(value)
    return value


def _values(raw: Any, depth: int) -> list[Any]:
    items = as_list(as_object(raw, "arrayValue").get("values"), "arrayValue.values")
    return [value_of(item, depth + 1) for item in items]


_READERS: Mapping[str, Callable[[Any, int], Any]] = {
    "string": lambda raw, _: raw,
    "bool": lambda raw, _: raw,
    "int": lambda raw, _: _whole(raw),
    "double": lambda raw, _: raw,
    "bytes": lambda raw, _: raw,
    "array": _values,
    "kvlist": lambda raw, depth: attributes_of(
        as_object(raw, "kvlistValue").get("values"), "kvlistValue.values", depth + 1
    ),
}
_BY_NAME = {
    name: read
    for kind, read in _READERS.items()
    for name in (f"{kind}Value", f"{kind}_value")
}


def value_of(raw: Any, depth: int = 0) -> Any:
    """Return the plain value of an ``AnyValue``; one of a kind unknown, verbatim.

    Raises
    ------
    MalformedSpanError
        If it is no object, or nested too deeply.
    """
    if depth > _MAX_DEPTH:
        raise MalformedSpanError(
            place="value", expected=f"at most {_MAX_DEPTH} levels deep", found="more"
        )
    for name, inner in as_object(raw, "value").items():
        if name in _BY_NAME:
            return _BY_NAME[name](inner, depth)
    return shallow(raw, "value") or None


def shallow(value: Any, place: str) -> Any:
    """Return `value`, which may be nested as deep as an event.

    Raises
    ------
    MalformedSpanError
        If it is nested deeper.
    """
    try:
        check_depth(value, place)
    except RecordError as error:
        raise MalformedSpanError(
            place=place, expected=error.expected, found=error.found
        ) from error
    return value


def attributes_of(raw: Any, place: str, depth: int = 0) -> Wire:
    """Return attributes as an object; given as one, they are plain already.

    Raises
    ------
    MalformedSpanError
        If they are no list of keys and values.
    """
    if isinstance(raw, dict):
        return dict(shallow(raw, place))
    read: Wire = {}
    for index, item in enumerate(as_list(raw, place)):
        pair = as_object(item, f"{place}[{index}]")
        if not isinstance(pair.get("key"), str):
            raise MalformedSpanError(
                place=f"{place}[{index}].key", expected="text", found=pair.get("key")
            )
        given = pair.get("value")
        read[pair["key"]] = None if given is None else value_of(given, depth)
    return read


def identifier_of(value: Any, size: int, place: str) -> str:
    """Return an id of `size` bytes as lower-case hex.

    Raises
    ------
    MalformedSpanError
        If it is none, or all zeros.
    """
    text = as_text(value).removeprefix("0x")
    found = text.lower() if re.fullmatch(f"[0-9a-fA-F]{{{2 * size}}}", text) else ""
    if not found and len(text) == 4 * ((size + 2) // 3):
        try:
            found = base64.b64decode(text, validate=True).hex()
        except (binascii.Error, ValueError):
            found = ""
    if not found.strip("0") or len(found) != 2 * size:
        expected = f"an id of {2 * size} hex digits that are not all zero"
        raise MalformedSpanError(place=place, expected=expected, found=value)
    return found
