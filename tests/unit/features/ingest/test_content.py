from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest

from features.ingest._talk import content as _content


@pytest.mark.parametrize(
    ("tool", "writes"),
    [
        ("cancel_pending_order", True),
        ("modifyUserAddress", True),
        ("HTTPUpdate", True),
        ("mcp__crm__update-contact", True),
        ("orders.refund", True),
        ("find_or_create_user", True),
        ("send_payment_request", True),
        ("make_payment", True),
        ("transfer_funds", True),
        ("get_order_details", False),
        ("getUser", False),
        ("crm.lookup", False),
        ("book_search", False),
        ("return_policy_lookup", False),
        ("verify_cancel_policy", False),
        ("find_order_by_id", False),
        ("calculate", False),
        ("think", False),
        ("run_speed_test", False),
        ("transfer_to_human_agents", None),
        ("goto_node", None),
        ("bookkeeping", None),
        ("", None),
        (["cancel"], None),
        (None, None),
    ],
)
def test_verb_of_the_tool_tells_whether_it_writes(
    *, tool: Any, writes: bool | None
) -> None:
    """Known verbs decide; a tool without one, or a transfer to a person, is unknown."""
    assert _content.is_write(tool) is writes


@pytest.mark.parametrize(
    ("text", "is_error"),
    [
        ("Error: user not found", True),
        ("  ERROR 12", True),
        ('{"error": "no such order"}', True),
        ('{"isError": true}', True),
        ('{"status": 404}', True),
        ('{"status_code": 599}', True),
        ('{"error": null}', False),
        ('{"error": false, "status": 200}', False),
        ('{"status": 650}', False),
        ('{"status": true}', False),
        ('{"status": "delivered"}', False),
        ('{"error": "cut', False),
        ('["error"]', False),
        ("no error", False),
        ("", False),
    ],
)
def test_answer_reads_as_error(*, text: str, is_error: bool) -> None:
    """An answer is an error by its first word, its error field, or its HTTP status."""
    assert _content.reads_as_error(text) is is_error


@pytest.mark.parametrize(
    ("message", "text", "error"),
    [
        ({"error": True}, "fine", True),
        ({"error": "timeout"}, "", {"type": "error", "message": "timeout"}),
        ({"error": {"type": "T", "n": 1}}, "", {"type": "T", "n": 1}),
        ({"error": {"n": 1}}, "", {"type": "error", "n": 1}),
        ({"is_error": True}, "fine", True),
        ({"status": 500}, "fine", True),
        ({"error": False}, "Error: all the same", True),
        ({"error": False, "status": 200}, "fine", False),
        ({"error": None}, "fine", False),
    ],
)
def test_error_of_a_result_is_its_own_account_or_what_its_text_says(
    message: dict[str, Any], text: str, error: Any
) -> None:
    """A flag, a status or the text each suffices; the sender's own words are kept."""
    assert _content.error_of(message, text) == error


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, ""),
        ("as is ", "as is "),
        ([{"type": "text", "text": "a"}, "b", {"type": "image_url"}, 7], "a\nb"),
        ([{"type": "text", "text": {"value": "a"}}, {"type": "text", "text": 1}], "a"),
        ([{"type": "refusal", "refusal": "no"}], "no"),
        ({"type": "text", "text": "one part"}, "one part"),
        ({"order": 1}, '{"order":1}'),
        (3, "3"),
        ([], ""),
    ],
)
def test_text_of_content(content: Any, text: str) -> None:
    """Text parts are joined by newlines; JSON that is no part is read as JSON text."""
    assert _content.text_of(content) == text


def test_content_too_deep_to_write_has_no_text() -> None:
    """Nesting beyond what can be written back gives no text and no crash."""
    deep: Any = 1
    for _ in range(500):
        deep = {"x": deep}
    assert _content.text_of(deep) == ""


def test_attachments_are_kept_verbatim() -> None:
    """Image, file and audio parts become attachments as they are, other parts do not."""
    parts = [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "input_file", "file_id": "f1"},
        {"type": "input_audio", "input_audio": {"format": "wav"}},
        {"type": "thinking"},
        {"type": ["image"]},
        {},
        "image",
    ]
    assert _content.attachments_of(parts) == parts[1:4]
    assert _content.attachments_of(parts[1]) == [parts[1]]


@pytest.mark.parametrize(
    ("logprobs", "value"),
    [
        ({"content": [{"logprob": -1.0}, {"logprob": -3}]}, math.exp(-2)),
        ({"token_logprobs": [None, -2.0]}, math.exp(-2)),
        ([{"logprob": 0.5}], 1.0),
    ],
)
def test_confidence_is_the_geometric_mean_token_probability(
    logprobs: Any, value: float
) -> None:
    """Exp of the mean log-probability, never above one."""
    confidence = _content.confidence_of(logprobs)
    assert confidence == {"value": pytest.approx(value), "source": "logprob"}


@pytest.mark.parametrize("logprobs", [None, {}, {"content": []}, [True, "x"], "x", 3])
def test_no_logprobs_no_confidence(logprobs: Any) -> None:
    """Without a single number there is no confidence."""
    assert _content.confidence_of(logprobs) is None


@pytest.mark.parametrize(
    ("value", "at"),
    [
        ("2026-01-31T10:00:00+01:00", datetime(2026, 1, 31, 9, tzinfo=UTC)),
        ("2026-01-31T09:00:00", datetime(2026, 1, 31, 9, tzinfo=UTC)),
        (1_769_850_000, datetime(2026, 1, 31, 9, tzinfo=UTC)),
        (1_769_850_000_000, datetime(2026, 1, 31, 9, tzinfo=UTC)),
        ("yesterday", None),
        ("9999-12-31T23:59:59-12:00", None),
        ("0001-01-01T00:00:00+12:00", None),
        (1e300, None),
        (True, None),
        (None, None),
        ([], None),
    ],
)
def test_time_of_a_log(value: Any, at: datetime | None) -> None:
    """RFC 3339 and Unix times are read as UTC; all else is no time."""
    assert _content.time_of(value) == at


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("a", "a"),
        (7, "7"),
        ({"id": 7}, "7"),
        ("", None),
        (True, None),
        (1.5, None),
        ([], None),
        ({}, None),
    ],
)
def test_identifier(value: Any, found: str | None) -> None:
    """Text, whole numbers and objects with an id name something; nothing else does."""
    assert _content.identifier(value) == found
