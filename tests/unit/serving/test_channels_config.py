"""Tests of the file that names the channels: what is refused, and how it is said."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from serving.channels.config import Channels, ChannelsError
from serving.channels.file import FileChannel
from serving.channels.signing import key_of
from serving.channels.webhook import Webhook
from serving.policy.rules import Policy

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - of the standard
HOOK = f"kind: webhook, secret: {SECRET}, url: https://hooks.example.com/x"


def policy(*notify: str) -> Policy:
    """Return the default policy with channels on its first queue."""
    default = Policy.default()
    first, *rest = (queue.model_dump() for queue in default.queues)
    return default.model_copy(update={"queues": [{**first, "notify": notify}, *rest]})


def test_a_good_file_gives_channels_and_routes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Kinds, secrets of the environment, fallbacks; each makes its channel."""
    monkeypatch.setenv("PAGER_SECRET", SECRET)
    monkeypatch.setenv("PAGER_NEXT", "whsec_" + "QUJD" * 8)
    path = tmp_path / "channels.yaml"
    path.write_text(
        "pager:\n  kind: webhook\n  url: https://hooks.example.com/x\n"
        "  secret_env: [PAGER_SECRET, PAGER_NEXT]\n  fallback: tray\n"
        "tray: {kind: file, path: tray.jsonl}\n",
        encoding="utf-8",
    )
    channels = Channels.load(path)
    assert channels.routes == {"pager": "tray", "tray": None}
    made = {n: c.made(lambda: datetime.now(UTC)) for n, c in channels.configs.items()}
    assert isinstance(made["pager"], Webhook)
    assert isinstance(made["tray"], FileChannel)
    for channel in made.values():
        channel.close()
    channels.check(policy("pager"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [", "not YAML"),
        ("a: {kind: pigeon}", "a: "),
        ("a: {kind: webhook, url: https://x.example}", "expected one secret, or two"),
        (f"a: {{{HOOK}, secrets: x}}", "a.webhook.secrets is no key"),
        (f"A: {{{HOOK}}}", "A"),
        ("a: {kind: file}", "a.file.path is missing"),
        (f"a: {{kind: webhook, secret: {SECRET}, url: /x}}", "like https://"),
        (f"a: {{kind: webhook, secret: {SECRET}, url: 'http://x.example'}}", "https"),
        (
            f"a: {{kind: webhook, secret: {SECRET}, url: 'https://u:p@x.example'}}",
            "no user, password",
        ),
        ("a: {kind: webhook, url: https://x.example, secret: hello}", "openssl rand"),
        (
            "a: {kind: webhook, url: https://x.example, secret_env: NOT_SET_HERE}",
            "NOT_SET_HERE is not set",
        ),
        ("a: {kind: file, path: x, fallback: b}", "expected one of a, found 'b'"),
        ("a: {kind: file, path: x, fallback: a}", "cannot stand in for itself"),
        ("a: {kind: file, path: x, package_bytes: 10}", "package_bytes"),
        ("a: {kind: file, path: x}\na: {kind: file, path: y}", "given twice"),
        ("- a", "the document"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_place(text: str, says: str) -> None:
    """One sentence for each fault: where, what was expected, what to do."""
    with pytest.raises(ChannelsError) as raised:
        Channels.parse(text)
    assert says in str(raised.value)
    assert raised.value.faults


def test_no_fault_shows_a_secret() -> None:
    """Whatever is wrong, the secret stays out of the message."""
    for text in (
        f"a: {{kind: webhook, url: /x, secret: {SECRET}}}",
        f"a: {{kind: webhook, url: 'https://x.example', secret: {SECRET}x}}",
        f"a: {{kind: webhook, url: 'https://x.example', secret: [{SECRET}, 5]}}",
    ):
        with pytest.raises(ChannelsError) as raised:
            Channels.parse(text)
        assert SECRET[6:] not in str(raised.value)


def test_a_channel_the_policy_notifies_must_be_there() -> None:
    """The fault names queue and channel, what there is, and what to do."""
    with pytest.raises(ChannelsError, match=r"notifies 'pager'.*here are: none"):
        Channels().check(policy("pager"))
    Channels.parse("pager: {kind: file, path: x}").check(policy("pager"))
    Channels().check(Policy.default())


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """No path is no channel; a wrong path is a fault."""
    assert Channels.load(None).routes == {}
    with pytest.raises(ChannelsError, match=r"nothing\.yaml cannot be read"):
        Channels.load(tmp_path / "nothing.yaml")


def test_http_will_do_inside() -> None:
    """An address inside need not be https, if it is said to be meant."""
    text = (
        f"a: {{kind: webhook, secret: {SECRET}, url: 'http://10.0.0.1/x', "
        "allow_private: true}"
    )
    config = Channels.parse(text).configs["a"]
    assert config.kind == "webhook"
    assert config.keys() == (key_of(SECRET),)
