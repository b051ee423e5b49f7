from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from features import ingest
from features.ingest._files import sources as _sources
from features.ingest._files.intake import MAX_DEPTH, MAX_EVENT_SIZE

EVENT = (
    b'{"task_id":"t","event_id":"%d","at":"2026-01-01T00:00:00Z","kind":"user_message"}'
)


def lines(count: int) -> bytes:
    return b"".join(EVENT % i + b"\n" for i in range(count))


def drain(path: Path, log_format: str = "jsonl") -> list[str]:
    """Return the event ids of `path`, nothing refused."""
    refused: list[ingest.Refusal] = []
    ids = [
        e.event_id for e in ingest.read(log_format, [path], on_refused=refused.append)
    ]
    assert refused == []
    return ids


def test_gzip_is_read_like_plain_text_whatever_the_name(tmp_path: Path) -> None:
    """A gzip file gives the same events, with and without the suffix."""
    plain, zipped, unnamed = (tmp_path / n for n in ("a.jsonl", "b.jsonl.gz", "c"))
    plain.write_bytes(lines(3))
    for path in (zipped, unnamed):
        path.write_bytes(gzip.compress(lines(3)))
    assert drain(plain) == drain(zipped) == drain(unnamed) == ["0", "1", "2"]


def test_missing_source_is_told_before_anything_is_read(tmp_path: Path) -> None:
    """A missing second file fails the call, not the middle of the reading."""
    there = tmp_path / "there"
    there.write_bytes(lines(1))
    with pytest.raises(ingest.MissingSourceError, match="nothing at this path"):
        ingest.read("jsonl", [there, tmp_path / "gone"], on_refused=print)


def test_directory_is_no_source(tmp_path: Path) -> None:
    """A directory is refused with the advice to name files."""
    with pytest.raises(ingest.NotAFileError, match="name the files in it"):
        ingest.read("jsonl", [tmp_path], on_refused=print)


def test_path_the_system_rejects_is_unreadable(tmp_path: Path) -> None:
    """A name too long for the file system is an error of ours."""
    with pytest.raises(ingest.UnreadableSourceError, match="a readable file"):
        ingest.read("jsonl", [tmp_path / ("x" * 5000)], on_refused=print)


def test_damaged_gzip_is_told_after_what_came_before(tmp_path: Path) -> None:
    """A gzip file cut short gives its first events and then the error."""
    path = tmp_path / "cut.gz"
    whole = gzip.compress(lines(20_000), compresslevel=0)
    path.write_bytes(whole[: len(whole) // 2])
    events = ingest.read("jsonl", [path], on_refused=print)
    assert next(events).event_id == "0"
    with pytest.raises(ingest.BrokenGzipError, match="a whole gzip file"):
        list(events)


@pytest.mark.parametrize("content", [b"", lines(1), b"\x1f\x8b and then text"])
def test_name_in_gz_without_gzip_inside_is_an_error(
    tmp_path: Path, content: bytes
) -> None:
    """A file that is gzip by name or by its first bytes alone is refused as broken."""
    path = tmp_path / "log.gz"
    path.write_bytes(content)
    with pytest.raises(ingest.BrokenGzipError):
        drain(path)


def test_byte_order_mark_blank_lines_and_crlf_are_no_content(tmp_path: Path) -> None:
    """Line numbers count blank lines; nothing else does."""
    path = tmp_path / "log"
    path.write_bytes(b"\xef\xbb\xbf\r\n \n" + EVENT % 1 + b"\r\n\n{\n" + EVENT % 2)
    refused: list[ingest.Refusal] = []
    events = ingest.read("auto", [path], on_refused=refused.append)
    assert [e.event_id for e in events] == ["1", "2"]
    assert [r.line for r in refused] == [5]


def nested(depth: int) -> bytes:
    return (EVENT % 0)[:-1] + b',"x":' + b"[" * depth + b"]" * depth + b"}"


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (b'{"text": "\xff\xfe"}', "one JSON value in UTF-8"),
        (b'{"text": "\\ud800"}', "one JSON value in UTF-8"),
        (b'{"score": NaN}', "one JSON value in UTF-8"),
        (b"{} {}", "one JSON value in UTF-8"),
        (b"[" * 100_000, "one JSON value in UTF-8"),
        (nested(MAX_DEPTH + 1), "levels of nesting"),
        (nested(900), "levels of nesting"),
        ((EVENT % 0)[:-1] + b',"text":"' + b"x" * 10_000_000 + b'"}', "characters"),
        (b'{"at": 1}', "`task_id` must be a non-empty string"),
        (b"7", "`event` must be an object"),
        (
            (EVENT % 0).replace(b"2026-01-01T00:00:00Z", b"9999-12-31T23:59:59-12:00"),
            "`at`",
        ),
    ],
)
def test_bad_line_is_refused_and_its_neighbours_land(
    tmp_path: Path, bad: bytes, says: str
) -> None:
    """One malformed line costs that line alone, and the refusal names its place."""
    path = tmp_path / "log"
    path.write_bytes(EVENT % 1 + b"\n" + bad + b"\n" + EVENT % 2)
    refused: list[ingest.Refusal] = []
    events = ingest.read("jsonl", [path], on_refused=refused.append)
    assert [e.event_id for e in events] == ["1", "2"]
    (refusal,) = refused
    assert (refusal.source, refusal.line) == (str(path), 2)
    assert says in refusal.error


def test_nesting_and_size_at_the_limit_land(take: Callable[..., Any]) -> None:
    """The limits are the last values allowed."""
    text = b"x" * (MAX_EVENT_SIZE - 200)
    long = (EVENT % 1)[:-1] + b',"text":"' + text + b'"}'
    assert take("jsonl", nested(MAX_DEPTH), long).refusals == []


def test_line_over_the_limit_is_skipped_without_being_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line above the byte limit is refused; the next line lands."""
    monkeypatch.setattr(_sources, "MAX_LINE_BYTES", 200)
    path = tmp_path / "log"
    path.write_bytes(EVENT % 1 + b"\n" + b"x" * 300_000 + b"\n" + EVENT % 2)
    refused: list[ingest.Refusal] = []
    events = ingest.read("jsonl", [path], on_refused=refused.append)
    assert [e.event_id for e in events] == ["1", "2"]
    assert [(r.line, "at most 200 bytes" in r.error) for r in refused] == [(2, True)]


@pytest.mark.parametrize(
    ("head", "found"),
    [
        ('{"event_id": "1", "kind": "plan", "messages": []}', "jsonl"),
        ('{"run_id": "1", "need_human": true, "messages": []}', "tau"),
        ('{"messages": [], "id": "1"}', "chat"),
        ('[{"role": "user"}]', "chat"),
        ("[", "chat"),
    ],
)
def test_format_is_told_by_the_first_line(
    tmp_path: Path, head: str, found: str
) -> None:
    """Each format is recognised by its own fields."""
    path = tmp_path / "log"
    path.write_text("\n\n" + head + "\nnot JSON")
    assert ingest.detect(path) == found


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ('{"foo": 1}', "found dict with ['foo']"),
        ("7", "found int"),
        ("", "found an empty file"),
        ("a,b,c", "found expected one JSON value"),
    ],
)
def test_unknown_format_says_what_was_looked_for(
    tmp_path: Path, content: str, found: str
) -> None:
    """The error names the file, the line, every format's looks and what stood there."""
    path = tmp_path / "log"
    path.write_text(content)
    with pytest.raises(ingest.UnknownFormatError) as caught:
        list(ingest.read("auto", [path], on_refused=print))
    message = str(caught.value)
    assert str(path) in message
    assert "line 1" in message
    assert found in message
    for fields in ("`event_id` and `kind`", "`run_id`, `need_human`", "`messages`, or"):
        assert fields in message


def test_format_of_no_such_name_lists_the_names() -> None:
    """A wrong name fails at once and lists the right ones."""
    with pytest.raises(
        ingest.UnknownFormatError, match=r"auto, jsonl, .*chat.*, found"
    ):
        ingest.read("csv", [], on_refused=print)


def test_each_source_may_have_a_format_of_its_own(tmp_path: Path) -> None:
    """With auto, an event log and a chat log are read in one call."""
    ours, chat = tmp_path / "a", tmp_path / "b"
    ours.write_bytes(lines(1))
    chat.write_text('{"id": "c", "messages": [{"role": "user", "content": "hi"}]}')
    events = list(ingest.read("auto", [ours, chat], on_refused=print))
    assert [e.task_id for e in events] == ["t", "c", "c"]


def test_second_record_of_a_task_is_refused(tmp_path: Path) -> None:
    """A task told twice, in one file or two, lands once; the refusal says where."""
    record = '{"id": "c", "messages": [{"role": "user", "content": "hi"}]}'
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text(record + "\n" + record)
    two.write_text(record)
    refused: list[ingest.Refusal] = []
    events = list(ingest.read("chat", [one, two], on_refused=refused.append))
    assert [e.event_id for e in events] == ["start", "m0"]
    assert [(r.source, r.line) for r in refused] == [(str(one), 2), (str(two), 1)]
    assert all(f"after {one}:1" in r.error for r in refused)


def test_reading_does_not_run_ahead_of_the_reader() -> None:
    """The first event comes before the rest of a large file has been read."""
    log = lines(50_000)
    source = _sources.Source(Path("log"), io.BytesIO(log))
    source.begin()
    next(source.lines())
    assert source.stream.tell() < len(log) / 20
