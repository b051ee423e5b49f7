"""The records of a file, whether it has one per line or is one array of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from features.ingest._arrays import elements
from features.ingest._intake import Intake
from features.ingest._sources import MalformedLineError, RecordError


def records(intake: Intake) -> Iterator[tuple[int, Any]]:
    """Yield (line, value) of each record of the source; refuse what is malformed.

    A line may hold one record or a list of them; the whole file may be one array, or
    one record laid out over many lines.
    """
    if not intake.source.is_array:
        for line, value in intake.decoded(intake.source.lines()):
            yield from ((line, item) for item in _items(value))
        return
    try:
        yield from intake.decoded(elements(intake.source))
    except MalformedLineError as error:
        intake.refuse(intake.source.number, str(error))


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


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
