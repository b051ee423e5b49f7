"""Spans and log records of OpenTelemetry, whatever container they came in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from features.ingest._files.sources import RecordError
from features.ingest._talk.messages import Wire

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NANOS_END = 2**64  # the wire's own limit, in the year 2554
_SHOWN = 60


class MalformedSpanError(RecordError):
    """A span, log record or container that is not what OTLP says it is."""

    def __init__(self, *, place: str, expected: str, found: Any) -> None:
        shown = found if isinstance(found, str) else _shown(found)
        super().__init__(
            field=place,
            expected=expected,
            found=shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + "…",
        )
        self._told = (place, expected, found)

    def __str__(self) -> str:
        """Return which field must be what, and what stood there."""
        return f"`{self.field}` must be {self.expected}, found {self.found}"

    def within(self, place: str) -> MalformedSpanError:
        """Return the same error with its field inside of `place`."""
        inner, expected, found = self._told
        return MalformedSpanError(
            place=f"{place}.{inner}" if inner else place, expected=expected, found=found
        )


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return f"a {type(value).__name__} of {len(value)}"
    return repr(value) if value is not None else "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """An event of a span, or what a log record says.

    Attributes
    ----------
    name : str
        Its event name, such as ``"exception"``; empty where it has none.
    at : datetime or None
        UTC.
    attributes : dict
        By dotted name.
    body : Any
        Of a log record.
    """

    name: str
    at: datetime | None = None
    attributes: Wire = field(default_factory=dict)
    body: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A span that another one points to."""

    trace_id: str
    span_id: str
    attributes: Wire = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One span, its attributes by dotted name with plain values.

    Attributes
    ----------
    trace_id, span_id, parent_id : str
        Lower-case hex; `parent_id` is empty at a root.
    name, kind : str
        As told; the kind is one word in lower case, such as ``"client"``.
    started, ended : datetime or None
        UTC.
    attributes : dict
        Text, truth values, numbers, lists and objects of these.
    events, links : Sequence
        In order.
    failed : bool
        Whether its status is an error.
    status : str
        What the status says beside its code.
    resource : dict
        Attributes of the process that made it.
    scope : dict
        Name and version of the instrumentation.
    """

    trace_id: str
    span_id: str
    parent_id: str = ""
    name: str = ""
    kind: str = ""
    started: datetime | None = None
    ended: datetime | None = None
    attributes: Wire = field(default_factory=dict)
    events: Sequence[Moment] = ()
    links: Sequence[Link] = ()
    failed: bool = False
    status: str = ""
    resource: Wire = field(default_factory=dict)
    scope: Wire = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One log record that is an event of a span."""

    trace_id: str
    span_id: str
    said: Moment
    resource: Wire = field(default_factory=dict)


Item = Span | Record | MalformedSpanError  # of an export request, sound or not


def time_of_nanos(value: Any, place: str) -> datetime | None:
    """Return the time of `value` nanoseconds since 1970, a number or its digits.

    None for zero, which OTLP means by "not known".

    Raises
    ------
    MalformedSpanError
        If it is no whole number from 0 to 2**64 - 1.
    """
    if value is None:
        return None
    nanos = value
    if isinstance(value, str) and value.isdecimal() and len(value) <= len(str(2**64)):
        nanos = int(value)
    if type(nanos) is not int or not 0 <= nanos < _NANOS_END:
        raise MalformedSpanError(
            place=place, expected="nanoseconds since 1970", found=value
        )
    return _EPOCH + timedelta(microseconds=nanos // 1000) if nanos else None
