"""The records of a file, whether it has one per line or is one array of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from features.ingest._files.intake import MAX_DEPTH, Intake
from features.ingest._files.sources import RecordError
from features.ingest._spans.observation import Observation
from features.ingest._talk.messages import Wire


def records(intake: Intake) -> Iterator[tuple[int, Any]]:
    """Yield (line, value) of each record of the source; refuse what is malformed.

    A line that holds a list holds several records.
    """
    for line, value in intake.records():
        yield from ((line, item) for item in _items(value))


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def objects(value: Any) -> list[Wire]:
    """Return the objects in the list `value`; what is no object is left out."""
    items = value if isinstance(value, list) else []
    return [item for item in items if isinstance(item, dict)]


def first_of(value: Any) -> Mapping[str, Any]:
    """Return the first record of a decoded head, to tell its format by."""
    first = value[0] if isinstance(value, list) and value else value
    return first if isinstance(first, dict) else {}


def need(record: Any, name: str, field: str, *, what: str) -> str:
    """Return the text `record` has under `field`.

    Parameters
    ----------
    record : Any
        What stood in the source.
    name : str
        What a record of this kind is called.
    what : str
        What the text is, for whoever has to mend it.

    Raises
    ------
    RecordError
        If it is not an object, or has no such text.
    """
    if not isinstance(record, dict):
        raise RecordError(
            field=name, expected="an object", found=f"{type(record).__name__}"
        )
    value = record.get(field)
    if isinstance(value, str) and value:
        return value
    found = "nothing" if value in (None, "") else type(value).__name__
    raise RecordError(
        field=f"{name}.{field}", expected=f"{what} (text) in `{field}`", found=found
    )


def check_depth(value: Any, name: str) -> None:
    """Raise if `value` is nested deeper than an event may be.

    Raises
    ------
    RecordError
        Above `MAX_DEPTH` levels.
    """
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return
    raise RecordError(
        field=name, expected=f"at most {MAX_DEPTH} levels of nesting", found="more"
    )


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def each(
    intake: Intake,
    placed: Iterable[tuple[int, Any]],
    translate: Callable[[Any], Iterable[Observation]],
) -> Iterator[tuple[int, Observation]]:
    """Yield (line, observation) of what `translate` makes; refuse what it refuses."""
    for line, record in placed:
        try:
            told = list(translate(record))
        except RecordError as error:
            intake.refuse(line, error)
        else:
            yield from ((line, observation) for observation in told)
