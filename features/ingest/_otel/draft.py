"""A span on its way to an `Observation`: what was read of it, and what is left."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import orjson

from features.ingest._files.intake import MAX_DEPTH
from features.ingest._files.records import check_depth
from features.ingest._files.sources import RecordError
from features.ingest._otel.spans import Moment, Span
from features.ingest._spans.observation import (
    Evaluation,
    Observation,
    What,
)
from features.ingest._talk.content import as_json, identifier
from features.ingest._talk.messages import Wire, without_null

_MAX_LEVELS = 64  # of nesting that a dotted name may stand for
_INDEX_DIGITS = 9
_MILLISECOND = timedelta(milliseconds=1)


class _Branch(dict[str, Any]):
    """An object grown from dotted names, told apart from one that is a value."""


def nested(pairs: Iterable[tuple[str, Any]]) -> Any:
    """Return the object that dotted names stand for; names of digits make a list.

    >>> nested([("a.0.b", 1), ("a.1.b", 2)])
    {'a': [{'b': 1}, {'b': 2}]}
    """
    root = _Branch()
    for path, value in pairs:
        *way, last = path.split(".", _MAX_LEVELS)
        node = root
        for step in way:
            inner = node.get(step)
            if not isinstance(inner, _Branch):
                inner = node[step] = (
                    _Branch() if inner is None else _Branch({"": inner})
                )
            node = inner
        if isinstance(node.get(last), _Branch):
            node[last][""] = value
        else:
            node[last] = value
    return _settled(root)


def _settled(value: Any) -> Any:
    if not isinstance(value, _Branch):
        return value
    inner = {name: _settled(item) for name, item in value.items()}
    if inner and all(n.isdecimal() and len(n) <= _INDEX_DIGITS for n in inner):
        return [inner[name] for name in sorted(inner, key=int)]
    return inner


def parsed(value: Any) -> Any:
    """Return the object or list that `value` is the JSON text of; else it as it is.

    Text nested deeper than an event may be stays text.
    """
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return value
    try:
        read = orjson.loads(value)
        if value.count("{") + value.count("[") > MAX_DEPTH:
            check_depth(read, "text")
    except (orjson.JSONDecodeError, RecordError):
        return value
    return read


def number_of(value: Any) -> float | None:
    """Return a finite number, given as one or as its digits; None of anything else."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) else None


def text_or_none(value: Any) -> str | None:
    """Return `value` if it is text with something in it."""
    return value if isinstance(value, str) and value else None


def json_text(value: Any) -> str:
    """Return `value` as text: itself, or its JSON."""
    return value if isinstance(value, str) else as_json(value)


@dataclass(slots=True)
class Draft:
    """What the conventions have read of a span so far.

    The first that fills a place keeps it; what none of them took ends up in ``extra``
    as it came. So the conventions are asked from the most specific on.

    Attributes
    ----------
    span : Span
        The span.
    left : dict
        Its attributes that nobody has taken.
    moments : list
        Its events that nobody has taken.
    links : list
        The same of its links, each as an object.
    others
        As in `Observation`.
    """

    span: Span
    left: Wire = field(default_factory=dict)
    moments: list[Moment] = field(default_factory=list)
    trace_id: str = ""
    piece: str = ""
    task_id: str | None = None
    what: What | None = None
    facts: Wire = field(default_factory=dict)
    system: str | None = None
    inputs: list[Any] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    tool: Wire = field(default_factory=dict)
    documents: list[Mapping[str, Any]] | None = None
    usage: Wire = field(default_factory=dict)
    confidence: Wire | None = None
    interpretations: int | list[Any] | None = None
    error: Wire | None = None
    evaluations: list[Evaluation] = field(default_factory=list)

    @classmethod
    def of(cls, span: Span) -> Draft:
        """Return a draft of `span` of which nothing is read yet."""
        return cls(
            span=span,
            left=dict(span.attributes),
            moments=list(span.events),
            trace_id=span.trace_id,
        )

    def peek(self, *names: str) -> Any:
        """Return the first attribute under `names` that is not null; it is left."""
        for name in names:
            if (value := self.left.get(name)) is not None:
                return value
        return None

    def take(self, *names: str) -> Any:
        """Return the first attribute under `names` that is not null, and take it."""
        for name in names:
            if self.left.get(name) is not None:
                return self.left.pop(name)
        return None

    def has(self, *prefixes: str) -> bool:
        """Return whether an attribute begins with one of `prefixes`."""
        return any(name.startswith(prefixes) for name in self.left)

    def take_all(self, prefix: str) -> Wire:
        """Take all attributes whose name begins with `prefix`; return them as left."""
        names = [name for name in self.left if name.startswith(prefix)]
        return {name: self.left.pop(name) for name in names}

    def take_nested(self, prefix: str) -> Any:
        """Take the attributes below `prefix` as one object or list; None if none."""
        found = self.take_all(prefix + ".")
        cut = len(prefix) + 1
        pairs = [(name[cut:], value) for name, value in found.items()]
        return nested(pairs) if pairs else None

    def take_moments(self, wanted: Callable[[Moment], bool]) -> list[Moment]:
        """Take the events that are `wanted`, in order."""
        taken = [moment for moment in self.moments if wanted(moment)]
        if taken:
            self.moments = [m for m in self.moments if not wanted(m)]
        return taken

    def is_task(self, *names: str) -> None:
        """Take the task's id from the first of `names` that is one, unless known."""
        for name in names if self.task_id is None else ():
            if (found := identifier(self.left.get(name))) is not None:
                self.task_id = found
                del self.left[name]
                return

    def fact(self, name: str, value: Any) -> None:
        """Note a fact of the task, unless known."""
        if value is not None and value != "":
            self.facts.setdefault(name, value)

    def take_call(self, field: str, *names: str) -> Any:
        """Take what tells `field` of a tool's call, unless that is known."""
        return None if field in self.tool else self.take(*names)

    def called(self, **fields: Any) -> None:
        """Note what is known of a tool's call, unless known."""
        for name, value in fields.items():
            if value is not None:
                self.tool.setdefault(name, value)

    def spent(self, words: Mapping[str, Any], **amounts: Any) -> None:
        """Note usage: `amounts` in our words, and the log's own `words` beside."""
        for name, value in amounts.items():
            if (amount := number_of(value)) is not None:
                self.usage.setdefault(name, amount)
        if words:
            self.usage["extra"] = self.usage.get("extra", {}) | dict(words)

    @property
    def milliseconds(self) -> float | None:
        """How long the span took."""
        began, ended = self.span.started, self.span.ended
        return (ended - began) / _MILLISECOND if began and ended else None

    def observation(self) -> Observation:
        """Return what was read, with what was not under ``extra``."""
        return Observation(
            trace_id=self.trace_id,
            span_id=self.span.span_id,
            piece=self.piece,
            task_id=self.task_id,
            what=self.what or What.OTHER,
            name=self.span.name,
            started=self.span.started,
            ended=self.span.ended,
            facts=self.facts,
            system=self.system,
            inputs=self.inputs,
            outputs=self.outputs,
            tool=self.tool,
            documents=self.documents,
            usage=self.usage,
            confidence=self.confidence,
            interpretations=self.interpretations,
            error=self.error,
            evaluations=self.evaluations,
            extra=self._extra(),
        )

    def _extra(self) -> Wire:
        span = self.span
        beside = {
            "events": [_moment(moment) for moment in self.moments] or None,
            "links": [
                without_null(
                    {
                        "trace_id": link.trace_id,
                        "span_id": link.span_id,
                        "attributes": link.attributes or None,
                    }
                )
                for link in span.links
            ]
            or None,
            # The process's own attributes once a trace, not on each of its spans.
            "resource": (span.resource or None) if not span.parent_id else None,
            "scope": (span.scope or None) if not span.parent_id else None,
        }
        return self.left | without_null(beside)


def _moment(moment: Moment) -> Wire:
    return without_null(
        {
            "name": moment.name,
            "at": moment.at.isoformat() if moment.at else None,
            "attributes": moment.attributes or None,
            "body": moment.body,
        }
    )
