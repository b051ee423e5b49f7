"""Logs of several formats as `AgentEvent` streams, one module per format.

Nothing is held but one line (of a whole-file array, one element) at a time, and the
ids of the tasks already read. `jsonl` yields events in file order, where tasks may
interleave; message lists have one task per record and yield it whole. Grouping events
by task is the work of `features.batch.write_events`. Spans of one task may be in many
files, so what they tell comes last, when every source is read (`_spans.traces`).

What a format has no name for is kept under ``extra`` of the event it belongs to. Where
a log tells no time, events are a second apart and say ``at_synthetic``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from features.events import AgentEvent
from features.ingest import (
    anthropic,
    chat,
    jsonl,
    langfuse,
    langsmith,
    mlflow,
    openai_agents,
    openinference,
    otlp,
    swe_agent,
    tau,
)
from features.ingest._files.arrays import first_element
from features.ingest._files.intake import Account, Intake, Refusal
from features.ingest._files.sources import (
    BrokenGzipError,
    MalformedLineError,
    MissingSourceError,
    NotAFileError,
    Source,
    SourceError,
    UnreadableSourceError,
    check_exists,
    decode,
    opened,
)
from features.ingest._spans.traces import Traces

__all__ = [
    "AUTO",
    "FORMATS",
    "Account",
    "BrokenGzipError",
    "MissingSourceError",
    "NotAFileError",
    "Refusal",
    "SourceError",
    "UnknownFormatError",
    "UnreadableSourceError",
    "detect",
    "read",
]


class _Adapter(NamedTuple):
    looks_for: str
    fits: Callable[[Any], bool]
    events: Callable[[Intake], Iterator[AgentEvent]]


# In the order in which they are tried: a tau run has `messages` too.
_ADAPTERS: Mapping[str, _Adapter] = {
    "jsonl": _Adapter(jsonl.LOOKS_FOR, jsonl.fits, jsonl.events),
    "otlp": _Adapter(otlp.LOOKS_FOR, otlp.fits, otlp.events),
    "openinference": _Adapter(
        openinference.LOOKS_FOR, openinference.fits, openinference.events
    ),
    "openai-agents": _Adapter(
        openai_agents.LOOKS_FOR, openai_agents.fits, openai_agents.events
    ),
    "mlflow": _Adapter(mlflow.LOOKS_FOR, mlflow.fits, mlflow.events),
    "langsmith": _Adapter(langsmith.LOOKS_FOR, langsmith.fits, langsmith.events),
    "langfuse": _Adapter(langfuse.LOOKS_FOR, langfuse.fits, langfuse.events),
    "tau": _Adapter(tau.LOOKS_FOR, tau.fits, tau.events),
    "swe-agent": _Adapter(swe_agent.LOOKS_FOR, swe_agent.fits, swe_agent.events),
    "anthropic": _Adapter(anthropic.LOOKS_FOR, anthropic.fits, anthropic.events),
    "chat": _Adapter(chat.LOOKS_FOR, chat.fits, chat.events),
}
FORMATS: tuple[str, ...] = tuple(_ADAPTERS)
AUTO = "auto"


class UnknownFormatError(ValueError):
    """A format that is not known by name, or cannot be told from the file."""


def read(
    format: str,  # noqa: A002 - the word of the command line, `--format`
    sources: Sequence[Path],
    *,
    on_refused: Callable[[Refusal], None],
    on_source: Callable[[Account], None] = lambda _: None,
) -> Iterator[AgentEvent]:
    """Return the events of `sources`, one file after the other, as they are read.

    Parameters
    ----------
    format : str
        One of `FORMATS`, or ``"auto"``: told from each file's first line.
    sources : Sequence of Path
        Files, plain or gzip.
    on_refused : Callable[[Refusal], None]
        Told of every malformed line or event; the others still land.
    on_source : Callable[[Account], None], optional
        Told of every source as it is begun; its account grows while it is read.

    Raises
    ------
    UnknownFormatError
        If no format has this name, or (while reading) if a file fits none.
    MissingSourceError, NotAFileError
        If a source does not exist or is a directory; before anything is read.
    UnreadableSourceError, BrokenGzipError
        If a source turns out to be unreadable, while reading.
    """
    if format not in {AUTO, *FORMATS}:
        msg = f"expected a format of {AUTO}, {', '.join(FORMATS)}, found {format!r}"
        raise UnknownFormatError(msg)
    for path in sources:
        check_exists(path)
    return _events(format, sources, on_refused, on_source)


def _events(
    name: str,
    sources: Sequence[Path],
    on_refused: Callable[[Refusal], None],
    on_source: Callable[[Account], None],
) -> Iterator[AgentEvent]:
    seen: dict[str, str] = {}
    with closing(Traces()) as traces:
        for path in sources:
            with opened(path) as source:
                form = _recognised(source) if name == AUTO else name
                account = Account(source=str(path), format=form)
                on_source(account)
                intake = Intake(
                    source=source,
                    on_refused=on_refused,
                    traces=traces,
                    seen=seen,
                    account=account,
                )
                yield from _ADAPTERS[form].events(intake)
        yield from traces.events()


def detect(path: Path) -> str:
    """Return which of `FORMATS` the file at `path` is in, by its first line.

    Raises
    ------
    UnknownFormatError
        If it is none of them; says what each would have looked like.
    SourceError
        If it cannot be read.
    """
    with opened(path) as source:
        return _recognised(source)


def _recognised(source: Source) -> str:
    if otlp.fits_bytes(source):
        return "otlp"
    try:
        value = _sample(source)
    except MalformedLineError as error:
        if source.is_array:
            return "chat"  # no other format says nothing of itself
        found = str(error) if source.head else "an empty file"
    else:
        for name, adapter in _ADAPTERS.items():
            if adapter.fits(value):
                return name
        found = type(value).__name__
        if isinstance(value, dict):
            found += f" with {sorted(value)[:10]}"
    looked = "; ".join(f"{n}: {a.looks_for}" for n, a in _ADAPTERS.items())
    msg = (
        f"source {str(source.path)!r}, line {source.number}: expected one of {looked}; "
        f"found {found}. Name the format if it is one of these"
    )
    raise UnknownFormatError(msg)


def _sample(source: Source) -> Any:
    """Return the value that the file begins with; of an array, its first element.

    Raises
    ------
    MalformedLineError
        If that is no JSON.
    """
    return [decode(first_element(source))] if source.is_array else decode(source.head)
