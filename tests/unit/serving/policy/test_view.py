from __future__ import annotations

import hashlib
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.policy.view import EVERYTHING, ViewError, cut, cut_text, full, whole

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=400),
    lambda inner: (
        st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=9), inner)
    ),
    max_leaves=12,
)
PACKAGE = st.dictionaries(
    st.sampled_from(["request", "conversation", "record", "log", "why", "a/b~c"])
    | st.text(max_size=5),
    JSON,
    max_size=8,
)


def stored(value: Any) -> bytes:
    """Return a package as it is stored."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


LONG = stored(
    {
        "request": "Where is it?",
        "conversation": [{"text": f"{n} " + "é" * 900} for n in range(400)],
        "record": [{"kind": "x_own", "deep": [{"more": "y" * 5_000}]}] * 40,
        "log": [f"e{n}" for n in range(400)],
        "why": [{"trigger": "loop", "says": "the same call came again"}],
    }
)


def at_pointer(value: Any, pointer: str) -> Any:
    """Return what stands at a JSON pointer in `value`."""
    for step in pointer.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        value = value[int(key)] if isinstance(value, list) else value[key]
    return value


def cuts_in(value: Any) -> list[dict[str, Any]]:
    """Return everything in a view that says it was cut."""
    found = []
    if isinstance(value, dict):
        if value.get("cut") is True and set(value) >= {"more_chars", "sha256"}:
            found.append(value)
        found += [cut for inner in value.values() for cut in cuts_in(inner)]
    if isinstance(value, list):
        found += [cut for inner in value for cut in cuts_in(inner)]
    return found


@given(PACKAGE)
def test_a_full_view_gives_back_the_stored_bytes(package: dict[str, Any]) -> None:
    """Also after it went as JSON through another program."""
    body = stored(package)
    view = full(body)
    assert whole(view) == body
    assert whole(json.loads(json.dumps(view))) == body
    assert (view["cuts"], view["bytes"]) == ([], len(body))
    assert view["sha256"] == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize("body", [b"[]", b'{"b":1,"a":2}', b'{"a": 1}'])
def test_only_stored_bytes_have_a_view(body: bytes) -> None:
    """What is not canonical could not be given back."""
    with pytest.raises(ViewError, match="expected a package as it is stored"):
        full(body)


def test_a_changed_view_is_not_taken_for_the_package() -> None:
    """Whoever changed a word on the way is found out by the hash."""
    view = full(LONG)
    view["package"]["request"] = "Where is he?"
    with pytest.raises(ViewError, match="it was changed on its way"):
        whole(view)


@pytest.mark.parametrize("most", [300_000, 60_000, 20_000, 6_000, 2_000, 900, 400])
def test_every_cut_is_declared(most: int) -> None:
    """A view fits, and says of each cut how much is left out and what it hashes to."""
    view = cut(LONG, most, whole_at="https://desk.example/h")
    package = orjson.loads(LONG)
    assert len(orjson.dumps(view)) <= most
    assert len(cuts_in(view["package"])) == len(view["cuts"]) > 0
    assert view["whole"] == "https://desk.example/h"
    hashes = {one["sha256"] for one in cuts_in(view["package"])}
    texts = [o for o in cuts_in(view["package"]) if isinstance(o["kept"], str)]
    for pointer in view["cuts"]:
        value = at_pointer(package, pointer)
        plain = value.encode() if isinstance(value, str) else stored(value)
        assert hashlib.sha256(plain).hexdigest() in hashes
        if isinstance(value, str):
            said = {(one["kept"], one["more_chars"]) for one in texts}
            assert any(
                value[: len(k)] == k and len(value) - len(k) == n for k, n in said
            )
    assert all(one["more_chars"] > 0 for one in cuts_in(view["package"]))
    with pytest.raises(ViewError, match="leaves out parts of"):
        whole(view)


def test_what_is_needed_first_is_cut_last() -> None:
    """Reasons and request stay while the record goes; of a talk the end stays."""
    view = cut(LONG, 20_000)
    assert view["package"]["why"] == orjson.loads(LONG)["why"]
    assert view["package"]["request"] == "Where is it?"
    assert view["package"]["record"]["kept"] == []
    last = view["package"]["conversation"]["kept"][-1]["text"]
    assert (last["kept"] if isinstance(last, dict) else last).startswith("399 ")
    assert view["whole"] == EVERYTHING


def test_a_cut_that_a_stranger_wrote_is_not_listed() -> None:
    """What looks like a declared cut and came with the package deceives nobody."""
    forged = {"cut": True, "kept": "", "more_chars": 9, "sha256": "0" * 64}
    view = cut(stored({"record": [forged]}), 10_000)
    assert view["package"]["record"] == [forged]
    assert view["cuts"] == []


def test_what_fits_is_not_cut() -> None:
    """A view that has room is a full one."""
    assert whole(cut(LONG, 10_000_000)) == LONG


def test_a_view_that_cannot_even_hold_hashes_is_refused() -> None:
    """The error says how much room it takes, and what to send instead."""
    with pytest.raises(ViewError, match="send only the link"):
        cut(LONG, 100)


@given(PACKAGE, st.integers(400, 4_000))
def test_any_package_fits_its_room(package: dict[str, Any], most: int) -> None:
    """Whatever is in it, a view is no larger than was asked, and no cut is hidden."""
    body = stored(package)
    view = cut(body, most)
    assert len(orjson.dumps(view)) <= most
    if not view["cuts"]:
        assert whole(view) == body


def test_a_text_says_how_much_of_it_is_cut() -> None:
    """For channels that take plain text."""
    text = "ü" * 2_000
    said = cut_text(text, 500, whole_at="the console")
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert said == "ü" * 500 + (
        f"… [1,500 more characters; SHA-256 of all {digest}; whole in the console]"
    )
    assert cut_text(text, 2_000, whole_at="the console") == text
