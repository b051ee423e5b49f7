"""The contract of `Channel`, on every kind; and what a webhook owes beyond it."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook as Oracle

from serving.channels import webhook as webhook_module
from serving.channels.channel import Channel, Message
from serving.channels.file import FileChannel
from serving.channels.signing import SecretError, headers, key_of
from serving.channels.webhook import Webhook
from serving.policy.delivery import Ending
from tests.faults.faulty_channel import Act, FaultyChannel

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - the one of the standard
OTHER = "whsec_" + "QUJD" * 10
PUBLIC = "93.184.215.14"


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


def message(name: str = "out_1") -> Message:
    """Return a message under an id."""
    body = orjson.dumps({"id": name, "data": {"text": 'naïve "quotes" ☂'}})
    return Message(message_id=name, body=body)


@pytest.fixture
def receiver() -> Iterator[FaultyChannel]:
    """Start a receiver that is well until told otherwise."""
    with FaultyChannel() as channel:
        yield channel


def hook(receiver: FaultyChannel, **options: object) -> Webhook:
    """Return the webhook to a receiver on this machine."""
    given: dict[str, object] = {"allow_private": True, **options}
    return Webhook(receiver.url, [key_of(SECRET)], now, **given)  # type: ignore[arg-type]


@pytest.fixture(params=["webhook", "file"])
def kind(
    request: pytest.FixtureRequest, receiver: FaultyChannel, tmp_path: Path
) -> Iterator[tuple[Channel, Callable[[], list[bytes]]]]:
    """Make a channel of each kind, with a way to see what the other side keeps."""
    path = tmp_path / "deep" / "out.jsonl"
    channel: Channel
    if request.param == "file":
        channel = FileChannel(path)
        kept: Callable[[], list[bytes]] = lambda: path.read_bytes().splitlines()  # noqa: E731
    else:
        channel = hook(receiver)
        kept = lambda: [r.body for r in receiver.accepted.values()]  # noqa: E731
    with closing(channel):
        yield channel, kept


Kind = tuple[Channel, Callable[[], list[bytes]]]

# --- every kind --------------------------------------------------------------------


def test_what_was_told_arrived_as_it_was(kind: Kind) -> None:
    """The other side has the bytes, and its word for it is in the attempt."""
    channel, kept = kind
    attempt = channel.send(message())
    assert attempt.ending is Ending.TOLD
    assert attempt.remote_id
    assert kept() == [message().body]


def test_the_same_again_is_kept_once(kind: Kind) -> None:
    """A second attempt is told, too, under the same name."""
    channel, kept = kind
    first, second = channel.send(message()), channel.send(message())
    assert first == second
    assert kept() == [message().body]


def test_many_at_a_time_all_arrive(kind: Kind) -> None:
    """Threads may share a channel."""
    channel, kept = kind
    names = [f"out_{n}" for n in range(24)]
    threads = [
        threading.Thread(target=lambda name=name: channel.send(message(name)))
        for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(orjson.loads(line)["id"] for line in kept()) == sorted(names)


def test_closing_twice_is_harmless(kind: Kind) -> None:
    """A channel that was closed can be closed."""
    kind[0].close()
    kind[0].close()


# --- files -------------------------------------------------------------------------


def test_two_processes_share_a_file_without_doubling(tmp_path: Path) -> None:
    """What another appended is known, though this one never sent it."""
    path = tmp_path / "out.jsonl"
    one, two = FileChannel(path), FileChannel(path)
    for name in ("a", "b"):
        one.send(message(name))
        two.send(message(name))
    two.send(message("c"))
    one.send(message("c"))
    ids = [orjson.loads(line)["id"] for line in path.read_bytes().splitlines()]
    assert ids == ["a", "b", "c"]


def test_half_a_line_of_a_crash_is_written_anew(tmp_path: Path) -> None:
    """A torn line was never told; it is replaced by a whole one."""
    path = tmp_path / "out.jsonl"
    FileChannel(path).send(message("a"))
    whole = path.read_bytes()
    path.write_bytes(whole + message("b").body[:9])
    assert FileChannel(path).send(message("b")).ending is Ending.TOLD
    assert path.read_bytes() == whole + message("b").body + b"\n"


def test_a_file_that_cannot_be_written_is_a_failed_attempt(tmp_path: Path) -> None:
    """It is tried again later, and says what the system says."""
    attempt = FileChannel(tmp_path).send(message())
    assert (attempt.ending, attempt.fault) == (Ending.FAILED, "file-is-a-directory")


# --- webhooks: what is sent --------------------------------------------------------


def test_the_signature_is_the_one_of_the_standard(receiver: FaultyChannel) -> None:
    """The reference library takes the request as it arrived, and reads its body."""
    with closing(hook(receiver)) as channel:
        channel.send(message())
    request = receiver.accepted["out_1"]
    read = Oracle(SECRET).verify(request.body, dict(request.headers))
    assert read == orjson.loads(message().body)
    assert request.headers["idempotency-key"] == '"out_1"'
    assert request.headers["content-type"].startswith("application/cloudevents+json")


def test_the_published_vector_holds() -> None:
    """The example of the standard gives the signature it prints."""
    stamp = datetime.fromtimestamp(1614265330, UTC)
    name, body = "msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}'
    signed = headers([key_of(SECRET)], name, body, stamp)
    assert signed["webhook-signature"] == (
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


@given(st.binary(max_size=500), st.binary(min_size=24, max_size=64))
def test_any_body_and_key_sign_as_the_standard_says(body: bytes, key: bytes) -> None:
    """Against the reference library, for texts of any kind."""
    text = body.decode("utf-8", "replace")
    signed = headers([key], "out_1", text.encode(), now())
    Oracle(key).verify(text, dict(signed), json_parse=False)


def test_both_secrets_fit_while_one_replaces_the_other(
    receiver: FaultyChannel,
) -> None:
    """A receiver that knows either takes the message; one that knows none does not."""
    keys = [key_of(OTHER), key_of(SECRET)]
    with closing(Webhook(receiver.url, keys, now, allow_private=True)) as channel:
        channel.send(message())
    request = receiver.accepted["out_1"]
    for secret in (SECRET, OTHER):
        Oracle(secret).verify(request.body, dict(request.headers))
    with pytest.raises(Exception, match="No matching signature"):
        Oracle("whsec_" + "WFla" * 8).verify(request.body, dict(request.headers))


@pytest.mark.parametrize("secret", ["", "whsec_", "QUJD" * 10, "whsec_QUJD", "whsec_?"])
def test_what_is_no_secret_signs_nothing(secret: str) -> None:
    """The fault says what to do, and never what was given."""
    with pytest.raises(SecretError, match="openssl rand") as raised:
        key_of(secret)
    assert not secret.removeprefix("whsec_") or secret not in str(raised.value)


# --- webhooks: what comes back -----------------------------------------------------


@pytest.mark.parametrize(
    ("act", "ending", "fault"),
    [
        (Act.accept(202), Ending.TOLD, ""),
        (Act.slow(0.1), Ending.TOLD, ""),
        (Act.duplicate(), Ending.TOLD, ""),
        (Act.flood(3_000_000), Ending.TOLD, ""),
        (Act.fail(500), Ending.FAILED, "status-500"),
        (Act.fail(503), Ending.FAILED, "status-503"),
        (Act.fail(408), Ending.FAILED, "status-408"),
        (Act.late(0.05), Ending.FAILED, "status-504"),
        (Act.fail(400), Ending.REFUSED, "status-400"),
        (Act.fail(410), Ending.REFUSED, "status-410"),
        (Act.redirect("http://127.0.0.1:9/"), Ending.FAILED, "status-302"),
        (Act.hang(1.0), Ending.FAILED, "timeout"),
        (Act.reset_before(), Ending.FAILED, "read"),
        (Act.reset_after(), Ending.FAILED, "read"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_each_ending_is_told_apart(
    receiver: FaultyChannel, act: Act, ending: Ending, fault: str
) -> None:
    """Only a 2xx is proof; a refusal is not a failure; nothing raises."""
    receiver.play(act)
    with closing(hook(receiver, patience=0.5)) as channel:
        attempt = channel.send(message())
    assert attempt.ending is ending
    # A reset can meet us while we write, read, or read what is left.
    either = {fault, "write", "remoteprotocol"} if fault == "read" else {fault}
    assert attempt.fault in either


def test_a_lost_answer_and_a_second_try_are_one_message(
    receiver: FaultyChannel,
) -> None:
    """Stored, the answer lost, sent again: the receiver sees the same and keeps one."""
    receiver.play(Act.reset_after())
    with closing(hook(receiver)) as channel:
        assert channel.send(message()).ending is Ending.FAILED
        assert channel.send(message()).ending is Ending.TOLD
    assert len(receiver.accepted) == 1
    assert receiver.doubled == 1
    assert receiver.changed == []


def test_retry_after_is_passed_on(receiver: FaultyChannel) -> None:
    """Of 429 and the gateway's errors, in seconds; of others it is ignored."""
    receiver.play(Act.busy("7"), Act.busy("8", 503), Act.busy("9", 400))
    with closing(hook(receiver)) as channel:
        pauses = [channel.send(message()).retry_after for _ in range(3)]
    assert pauses == [timedelta(seconds=7), timedelta(seconds=8), None]


def test_a_redirect_is_not_followed(receiver: FaultyChannel) -> None:
    """Wherever it points, one request is made."""
    with FaultyChannel() as elsewhere, closing(hook(receiver)) as channel:
        receiver.play(Act.redirect(elsewhere.url))
        channel.send(message())
        assert elsewhere.requests == []
    assert len(receiver.requests) == 1


def test_an_answer_that_never_ends_is_cut_off(receiver: FaultyChannel) -> None:
    """Bytes that come now and then do not hold a worker past the whole time."""
    receiver.play(Act.drip(5.0))
    began = time.monotonic()
    with closing(hook(receiver, patience=2.0, whole=0.4)) as channel:
        assert channel.send(message()).ending is Ending.FAILED
    assert time.monotonic() - began < 2.0


def test_nobody_there_is_a_failed_attempt(receiver: FaultyChannel) -> None:
    """Refused connections, unknown names and silence end alike."""
    receiver.stop()
    with closing(hook(receiver)) as channel:
        assert channel.send(message()).fault == "connect"
    url = "http://no-such-host.invalid/hook"
    with closing(Webhook(url, [key_of(SECRET)], now, allow_private=True)) as channel:
        assert channel.send(message()).fault == "unresolved"


def test_a_proxy_of_the_environment_is_not_used(
    receiver: FaultyChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request goes where it was checked to go."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with closing(hook(receiver)) as channel:
        assert channel.send(message()).ending is Ending.TOLD


# --- webhooks: where to -----------------------------------------------------------


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Have names resolve to what the test says; return what was asked."""

    def to(*addresses: str) -> list[str]:
        asked: list[str] = []

        def fake(host: str, port: int, **_: object) -> list[object]:
            asked.append(host)
            return [(0, 0, 0, "", (address, port)) for address in addresses]

        monkeypatch.setattr("serving.channels.guard.getaddrinfo", fake)
        return asked

    return to


def test_a_name_that_leads_inside_is_never_called(
    receiver: FaultyChannel, resolve: Callable[..., list[str]]
) -> None:
    """One inner address among outer ones is enough; nothing connects."""
    resolve(PUBLIC, "127.0.0.1")
    url = receiver.url.replace("127.0.0.1", "hooks.example.com")
    with closing(Webhook(url, [key_of(SECRET)], now)) as channel:
        assert channel.send(message()).fault == "forbidden-address"
    assert receiver.requests == []


def test_a_name_is_resolved_at_each_attempt(
    receiver: FaultyChannel, resolve: Callable[..., list[str]]
) -> None:
    """What was good before may not be now: it is looked at each time."""
    url = receiver.url.replace("127.0.0.1", "hooks.example.com")
    asked = resolve("127.0.0.1")
    with closing(Webhook(url, [key_of(SECRET)], now, allow_private=True)) as channel:
        for _ in range(3):
            assert channel.send(message()).ending is Ending.TOLD
    assert asked == ["hooks.example.com"] * 3
    request = receiver.requests[0]
    assert request.headers["host"].startswith("hooks.example.com:")


def test_tls_is_spoken_in_the_name_not_the_address(
    tmp_path: Path,
    resolve: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The certificate of the name holds, though the address was connected to."""
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes"),
            *("-subj", "/CN=hooks.example.com", "-keyout", str(key), "-days", "2"),
            *("-addext", "subjectAltName=DNS:hooks.example.com"),
            *("-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.sni_callback = lambda _s, name, _c: names.append(name)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with context.wrap_socket(connection, server_side=True) as tls:
            # All of it, and the body comes last: hanging up before that is a reset.
            asked = part = tls.recv(65_536)
            while part and not asked.endswith(message().body):
                part = tls.recv(65_536)
                asked += part
            tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    resolve("127.0.0.1")
    made = ssl.create_default_context(cafile=str(certificate))
    monkeypatch.setattr(webhook_module, "_trusted", lambda: made)
    port = listener.getsockname()[1]
    url = f"https://hooks.example.com:{port}/hook"
    with (
        listener,
        closing(Webhook(url, [key_of(SECRET)], now, allow_private=True)) as channel,
    ):
        assert channel.send(message()).ending is Ending.TOLD
    thread.join(5)
    assert names == ["hooks.example.com"]
