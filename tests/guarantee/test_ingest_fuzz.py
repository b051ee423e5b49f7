from __future__ import annotations

import contextlib
import copy
import gzip
import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features import ingest
from features.events import AgentEvent

HERE = Path(__file__).parent


def _load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SAMPLES: dict[str, Callable[[int], Any]] = dict(_load("ingest_samples").SAMPLES)
FORMATS = pytest.mark.parametrize("form", ingest.FORMATS)
MIB = 2**20
# Beyond twice the input: what the values of one line may occupy, see `_sources`, with
# what the allocator keeps.
ALLOWANCE = 72 * MIB
LONGEST = 30.0  # s that any reading here may take on a busy machine

Path_ = tuple[str | int, ...]


def land(form: str, path: Path) -> tuple[list[AgentEvent], list[ingest.Refusal]]:
    """Read a file to the end; all that lands can be written back."""
    refused: list[ingest.Refusal] = []
    events = list(ingest.read(form, [path], on_refused=refused.append))
    for event in events:
        orjson.dumps(event.to_json())
    return events, refused


def paths_of(value: Any, at: Path_ = ()) -> Iterator[Path_]:
    yield at
    inside = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, item in inside:
        yield from paths_of(item, (*at, key))


def replaced(value: Any, at: Path_, by: Any) -> Any:
    if not at:
        return by
    changed = copy.deepcopy(value)
    inner = changed
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = by
    return changed


def at_path(value: Any, at: Path_) -> Any:
    for key in at:
        value = value[key]
    return value


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_every_format_has_a_sample() -> None:
    """A format that is added is tested, or this fails."""
    assert set(SAMPLES) == set(ingest.FORMATS)


@FORMATS
def test_sample_is_recognised_and_lands(form: str, tmp_path: Path) -> None:
    """What the tests below damage is sound before."""
    path = tmp_path / "log"
    path.write_text("\n".join(json.dumps(SAMPLES[form](n)) for n in (1, 2)))
    assert ingest.detect(path) == form
    events, refused = land(form, path)
    assert refused == []
    assert len({event.task_id for event in events}) == 2


WRONG = [
    None,
    0,
    10**18,
    -0.5,
    "",
    "9223372036854775808",
    "2026-01-01",
    "{",
    '{"a": [1]}',
    "\x00\u2028\U0001f600",
    [None],
    [[1], {"a": 2}, "x"],
    {},
    {"type": 1, "role": 2, "id": []},
    nested(150),
]


@FORMATS
def test_wrong_type_anywhere_costs_its_record_alone(form: str, tmp_path: Path) -> None:
    """Any value in place of any node is an event or a refusal; the neighbour lands."""
    path = tmp_path / "log"
    sample, neighbour = SAMPLES[form](1), json.dumps(SAMPLES[form](2))
    path.write_text(neighbour)
    whole = {event.event_id for event in land(form, path)[0]}
    for at in paths_of(sample):
        for wrong in WRONG:
            damaged = json.dumps(replaced(sample, at, wrong))
            path.write_text(neighbour + "\n" + damaged)
            events, refused = land(form, path)
            # What is damaged may name the neighbour's task; it takes nothing away.
            assert whole <= {event.event_id for event in events}, (at, wrong)
            assert all(refusal.error for refusal in refused)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["user", "assistant", "tool", "text", "tool_use", "{", "[1]"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "type", "id", "name", "parts", "value"])
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@FORMATS
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_values_at_any_places_never_raise(
    form: str, tmp_path: Path, data: st.DataObject
) -> None:
    """Up to four nodes at once may be anything at all, NaN and huge numbers too."""
    record = SAMPLES[form](1)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.sampled_from(sorted(paths_of(record), key=str)))
        record = replaced(record, at, data.draw(values))
    path = tmp_path / "log"
    path.write_text(json.dumps(record))
    events, refused = land(form, path)
    assert isinstance(events, list)
    assert all(refusal.line == 1 for refusal in refused)


@FORMATS
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_never_raise(
    form: str, tmp_path: Path, data: st.DataObject
) -> None:
    """Bytes cut, doubled, flipped or put in between are refused or still a record."""
    log = bytearray(
        json.dumps(SAMPLES[form](1), indent=data.draw(st.none() | st.just(1))).encode()
    )
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(log)))
        end = data.draw(st.integers(place, min(len(log), place + 20)))
        log[place:end] = data.draw(
            st.binary(max_size=6)
            | st.sampled_from([b"\\", b'"', b"[" * 300, b"\xff", b"NaN"])
        )
    path = tmp_path / "log"
    path.write_bytes(bytes(log))
    land(form, path)
    with contextlib.suppress(ingest.UnknownFormatError):
        assert ingest.detect(path) in ingest.FORMATS


HOSTILE = {
    "empty": b"",
    "blank": b" \r\n\t\n",
    "byte order mark alone": b"\xef\xbb\xbf",
    "NUL bytes": b"\0" * 5_000,
    "not UTF-8": b'{"id": "\xff\xfe\xed\xa0\x80"}',
    "lone surrogate": b'{"id": "\\ud800"}',
    "NaN": b'{"id": NaN, "messages": [Infinity, -Infinity]}',
    "beyond 64 bits": b'{"id": 99999999999999999999999999, "messages": 1e999}',
    "a million digits": b'{"id": ' + b"9" * 1_000_000 + b"}",
    "nested lists": b"[" * 10_000 + b"]" * 10_000,
    "nested objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "nested, on lines": b"[\n" * 10_000 + b"]\n" * 10_000,
    "never closed": b'{"messages": [' * 3_000,
    "never opened": b"]}" * 5_000,
    "quotes": b'"' * 10_001,
    "backslashes": b'{"a": "' + b"\\" * 100_001,
    "commas": b"[" + b"," * 10_000 + b"]",
    "lists of nothing": b"[[],[[]],{},null,0,[{}]]",
    "two values": b"{} {}",
    "gzip's first bytes": b"\x1f\x8b" + b"x" * 100,
    "half a gzip": gzip.compress(b'{"id": "x", "messages": []}\n' * 999)[:-20],
    "a line cut open": b'{"id": "a", "messages": [\n' + b'{"id": "b"}\n' * 999,
}


@FORMATS
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file_is_told_in_words(form: str, name: str, tmp_path: Path) -> None:
    """No bytes raise anything but the documented errors, or take long."""
    path = tmp_path / "log"
    path.write_bytes(HOSTILE[name])
    began = time.perf_counter()
    try:
        events, refused = land(form, path)
    except ingest.BrokenGzipError:
        assert "gzip" in name
    else:
        assert events or refused or not HOSTILE[name].strip(b"\xef\xbb\xbf \r\n\t")
    assert time.perf_counter() - began < LONGEST


@FORMATS
def test_layout_of_the_file_is_not_its_content(form: str, tmp_path: Path) -> None:
    """Mark, line ends, blank lines, indents and compression change nothing."""
    path = tmp_path / "log"
    records = [json.dumps(SAMPLES[form](n)) for n in (1, 2)]
    path.write_text("\n".join(records))
    plain = [event.event_id for event in land(form, path)[0]]
    odd = b"\xef\xbb\xbf\r\n\r\n" + "\r\n \r\n".join(records).encode() + b"\r\n\r\n"
    for content in (odd, gzip.compress(odd)):
        path.write_bytes(content)
        events, refused = land(form, path)
        assert refused == []
        assert [event.event_id for event in events] == plain


@FORMATS
def test_name_told_twice_is_read_once(form: str, tmp_path: Path) -> None:
    """Of duplicate names in one object the last counts; nothing lands twice."""
    record = json.dumps(SAMPLES[form](1))
    path = tmp_path / "log"
    path.write_text(record[:-1] + "," + record[1:])
    events, refused = land(form, path)
    assert refused == []
    names = [(event.task_id, event.event_id) for event in events]
    assert len(set(names)) == len(names) > 0


# --- memory -----------------------------------------------------------------


def grown(*asked: tuple[str, Path]) -> list[tuple[int, int, int]]:
    """Return (bytes grown, events, refusals) of reading each file in a new process."""
    words = [str(word) for pair in asked for word in pair]
    done = subprocess.run(
        [sys.executable, str(HERE / "ingest_peak.py"), *words],
        capture_output=True,
        check=True,
        text=True,
        timeout=240,
    )
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def _leaves(sample: Any) -> list[Path_]:
    return [at for at in paths_of(sample) if isinstance(at_path(sample, at), str)]


def _objects(sample: Any) -> list[Path_]:
    return [at for at in paths_of(sample) if isinstance(at_path(sample, at), dict)]


def _long(form: str) -> bytes:
    """Return a record with a text of 10 MB in place of its longest."""
    sample = SAMPLES[form](1)
    at = max(_leaves(sample), key=lambda at: len(str(at_path(sample, at))))
    return json.dumps(replaced(sample, at, "x" * 10_000_000)).encode()


def _wide(form: str) -> bytes:
    """Return a record with a text of 10 MB whose characters take four bytes each."""
    sample = SAMPLES[form](1)
    text = "x" * 10_000_000 + "\U0001f600"
    damaged = replaced(sample, _leaves(sample)[-1], text)
    return json.dumps(damaged, ensure_ascii=False).encode()


def _names(count: int) -> Callable[[str], bytes]:
    def make(form: str) -> bytes:
        sample = SAMPLES[form](1)
        at = _objects(sample)[-1]
        names = {f"k{n}": n for n in range(count)}
        return json.dumps(replaced(sample, at, at_path(sample, at) | names)).encode()

    return make


def _items(form: str) -> bytes:
    """Return a record of 10 MB of the elements of its longest list."""
    sample = SAMPLES[form](1)
    lists = [at for at in paths_of(sample) if isinstance(at_path(sample, at), list)]
    at = max(lists, key=lambda at: len(json.dumps(at_path(sample, at))))
    one = json.dumps(at_path(sample, at)[-1])
    text = json.dumps(replaced(sample, at, ["HERE"]))
    count = 10_000_000 // (len(one) + 1)
    return text.replace('"HERE"', ",".join([one] * count)).encode()


def _records(form: str) -> bytes:
    """Return 1.5 MB of sound records."""
    one = len(json.dumps(SAMPLES[form](0))) + 1
    many = (json.dumps(SAMPLES[form](n)) for n in range(1_500_000 // one))
    return "\n".join(many).encode()


INPUTS: dict[str, Callable[[str], bytes]] = {
    "a long text": _long,
    "a wide text": _wide,
    "names that fit": _names(150_000),
}
REFUSED: dict[str, Callable[[str], bytes]] = {
    "a million names": _names(1_000_000),
    "10 MB of items": _items,
}


@pytest.mark.slow
@FORMATS
def test_memory_stays_within_twice_the_input(form: str, tmp_path: Path) -> None:
    """No record takes more than twice its size and the allowance, whatever is in it."""
    asked = []
    for number, make in enumerate(INPUTS.values()):
        path = tmp_path / f"{number}.jsonl"
        path.write_bytes(make(form))
        asked.append((form, path))
    for name, (_, path), told in zip(INPUTS, asked, grown(*asked), strict=True):
        size, (growth, events, refused) = path.stat().st_size, told
        assert growth <= 2 * size + ALLOWANCE, (name, growth / MIB, size / MIB)
        assert events or refused


@pytest.mark.slow
@pytest.mark.parametrize("form", ["jsonl", "chat"])
def test_record_of_too_many_values_is_refused_unread(form: str, tmp_path: Path) -> None:
    """A record whose values would not fit in memory never becomes values."""
    asked = []
    for number, make in enumerate(REFUSED.values()):
        path = tmp_path / f"{number}.jsonl"
        path.write_bytes(make(form))
        asked.append((form, path))
    for name, (_, path), told in zip(REFUSED, asked, grown(*asked), strict=True):
        size, (growth, _, refused) = path.stat().st_size, told
        assert size >= 9_900_000
        assert growth <= 2 * size + ALLOWANCE, (name, growth / MIB, size / MIB)
        assert refused == 1


RECORD_FORMATS = ("jsonl", "tau", "swe-agent", "anthropic", "chat")


@pytest.mark.slow
def test_many_records_take_no_more_memory_than_few(tmp_path: Path) -> None:
    """A file of small records is read in the memory of one, whatever its size."""
    asked = []
    for form in RECORD_FORMATS:
        path = tmp_path / form
        path.write_bytes(_records(form))
        asked.append((form, path))
    for (form, _), (growth, events, refused) in zip(asked, grown(*asked), strict=True):
        assert growth <= 16 * MIB, (form, growth / MIB)
        assert events > 2_000
        assert refused == 0


BOMBS = {
    "one endless line": lambda: b"x" * 400_000_000,
    "blank lines": lambda: b"\n" * 100_000_000,
    "one endless array": lambda: b"[" + b"1," * 100_000_000,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_gzip_bomb_is_read_in_bounded_memory(name: str, tmp_path: Path) -> None:
    """What a few kilobytes blow up to is refused without being held."""
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(BOMBS[name](), compresslevel=1))
    ((growth, events, refused),) = grown(("jsonl", path))
    assert growth <= 2 * path.stat().st_size + ALLOWANCE
    assert events == 0
    assert refused == (name != "blank lines")


_CALL = '{"id":"t","messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"ARGUMENTS"}}]}]}'
DENSE = {
    "json in a text": _CALL.replace("ARGUMENTS", "[" + "{}," * 3_400_000 + "1]"),
    "an array of messages": "[\n"
    + '{"role":"user","content":"hi"},\n' * 330_000
    + '{"role":"user"}]',
    "numbers": '{"messages":[' + "1," * 6_000_000 + "1]}",
}


@pytest.mark.slow
def test_values_denser_than_their_text_are_refused_unread(tmp_path: Path) -> None:
    """What would take many times its text as objects never becomes objects."""
    asked = []
    for number, text in enumerate(DENSE.values()):
        path = tmp_path / str(number)
        path.write_text(text)
        asked.append(("chat", path))
    for name, (_, path), told in zip(DENSE, asked, grown(*asked), strict=True):
        growth, events, refused = told
        assert growth <= 2 * path.stat().st_size + ALLOWANCE, (name, growth / MIB)
        assert (events, refused) == (0, 1), name
