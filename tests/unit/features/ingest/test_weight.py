from __future__ import annotations

import json
import sys
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.ingest._files.weight import is_heavy, size_of
from features.ingest._talk.content import arguments_of

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.dictionaries(st.text(max_size=10), inner, max_size=8)
    ),
    max_leaves=60,
)


def occupied(value: Any) -> int:
    """Return the bytes of a value and all in it, names counted once each."""
    names: set[str] = set()
    size, inside = 0, [value]
    while inside:
        one = inside.pop()
        size += sys.getsizeof(one)
        if isinstance(one, dict):
            names |= one.keys()
            inside.extend(one.values())
        elif isinstance(one, list):
            inside.extend(one)
    return size + sum(sys.getsizeof(name) for name in names)


@given(value=values, ascii_only=st.booleans())
def test_no_value_is_heavier_than_was_estimated(
    value: Any, *, ascii_only: bool
) -> None:
    """A text told to be light enough decodes to no more than was told."""
    text = json.dumps(value, ensure_ascii=ascii_only).encode()
    small = occupied(orjson.loads(text)) - 1
    assert is_heavy(text, small)


@pytest.mark.parametrize(
    "text",
    [
        b"[" + b"1," * 50_000 + b"1]",
        b"[" + b"0.5," * 50_000 + b"1]",
        b"[" + b"{}," * 50_000 + b"1]",
        b"[" + b"[]," * 50_000 + b"1]",
        b'["' + b"x" * 500_000 + "\U0001f600".encode() + b'"]',
        b'["' + b"x" * 500_000 + b'\\ud83d\\ude00"]',
        b'["' + b"x" * 500_000 + b'\\u2019"]',
        json.dumps({f"k{n}": n for n in range(20_000)}).encode(),
        json.dumps([{"role": "user", "n": n} for n in range(20_000)]).encode(),
    ],
)
def test_estimate_is_close_where_values_are_dense(text: bytes) -> None:
    """Above what the value occupies, and below five times that and its text."""
    real = occupied(orjson.loads(text))
    assert is_heavy(text, real)
    assert not is_heavy(text, 5 * real + len(text))


def test_marks_in_prose_weigh_nothing_and_nested_json_does() -> None:
    """A long text full of commas and brackets is light; JSON in a text is not."""
    prose = json.dumps({"text": "a, [b], {c: d}, " * 10_000}).encode()
    assert not is_heavy(prose, 2 * len(prose))
    nested = json.dumps({"text": "[" + "{}," * 50_000 + "1]"}).encode()
    assert is_heavy(nested, occupied(orjson.loads(nested[10:-2])))
    names = {f"k{n}": n for n in range(10_000)}
    inner = json.dumps({"text": " " + json.dumps(names)}).encode()
    assert is_heavy(inner, occupied(names))


@given(st.text(max_size=50) | st.sampled_from(["[1]", " {}", "5", '"x"', "x" * 2_000]))
def test_arguments_that_were_not_weighed_stay_text(raw: str) -> None:
    """Long text that does not begin like JSON is not decoded."""
    long = " " * 1_001 + raw
    assert arguments_of(long) == long


def test_size_counts_what_is_inside() -> None:
    """Every value counts, of lists and of objects."""
    inner = [1.5, "x" * 100, {"a": ["y" * 1_000]}]
    assert size_of(inner) > 1_100
    assert size_of([]) == sys.getsizeof([])
