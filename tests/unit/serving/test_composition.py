"""The service put together: from settings to answers, and what it says without a store."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from serving.api.reading import Refusal
from serving.composition import Application, engine_of, model_of, policy_of
from serving.door import checked_predict, is_bentos
from serving.policy.rules import Policy, PolicyError
from serving.settings import Settings
from serving.store.sqlite import SqliteStore
from serving.store.transaction import StoreClosedError

EVENT = {
    "event_id": "e1",
    "at": "2026-11-24T12:00:00Z",
    "kind": "user_message",
    "text": "hello",
}


class Call:
    """One HTTP request, as a server passes it on, and what came back."""

    def __init__(
        self, path: str, body: bytes = b"", method: str = "GET", **headers: str
    ) -> None:
        named = {"host": "127.0.0.1:3000", **headers}
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 3000),
            "headers": [
                (k.replace("_", "-").encode(), v.encode()) for k, v in named.items()
            ],
        }
        self._chunks = [body[i : i + 1_000] for i in range(0, len(body), 1_000)] or [
            b""
        ]
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""

    async def receive(self) -> dict[str, Any]:
        """Give the next chunk of the body."""
        if not self._chunks:
            return {"type": "http.disconnect"}
        chunk = self._chunks.pop(0)
        more = bool(self._chunks)
        return {"type": "http.request", "body": chunk, "more_body": more}

    async def send(self, message: Any) -> None:
        """Take what comes back."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {k.decode(): v.decode() for k, v in message["headers"]}
        self.body += message.get("body", b"")

    def to(self, app: Any) -> Any:
        """Send the request to `app` and return the JSON of the answer."""
        asyncio.run(app(self.scope, self.receive, self.send))
        return orjson.loads(self.body) if self.body.startswith(b"{") else self.body


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Make settings over a store of its own."""
    return Settings.load(store=tmp_path / "store.db", secret="s" * 32)


@pytest.fixture
def application(settings: Settings) -> Iterator[Application]:
    """Make an application, not yet open."""
    application = Application(settings)
    yield application
    application.close()


# --- what is put together ----------------------------------------------------


def test_engine_is_made_of_settings(settings: Settings) -> None:
    """Settings give an engine under the packaged policy, without a model."""
    with engine_of(settings) as (engine, model):
        assert engine.policy == Policy.default()
        assert model.current() is None
        assert engine.observe("t", [EVENT])["decision"]["source"] == "rules"
    SqliteStore(settings.store).close()


def test_policy_is_read_from_its_file(tmp_path: Path) -> None:
    """A policy file is used, and one that must not go live is refused."""
    path = tmp_path / "policy.yaml"
    path.write_text("version: '9'\n", encoding="utf-8")
    with pytest.raises(PolicyError, match="queues"):
        policy_of(Settings.load(policy=path))


def test_model_is_read_from_its_directory(tmp_path: Path) -> None:
    """Where no bundle lies there is no model, and the source says why."""
    for nothing in (tmp_path, tmp_path / "absent"):
        source = model_of(Settings.load(model=nothing))
        assert source.current() is None
        assert "not a bundle" in (source.problem or "")


def test_surface_and_console_share_one_engine(application: Application) -> None:
    """What is called on the surface is seen on the console's pages."""
    assert application.open()
    body = orjson.dumps([EVENT])
    call = Call("/v1/tasks/t/events", body, "POST")
    assert call.to(application)["decision"]["action"] == "CONTINUE"
    page = Call("/console")
    page.to(application)
    assert (page.status, page.headers["location"]) == (
        303,
        "/console/sign-in?next=%2Fconsole",
    )
    assert b"Who are you?" in Call("/console/sign-in").to(application)


def test_console_can_be_left_out(settings: Settings) -> None:
    """Without the console its address is nobody's."""
    application = Application(settings.model_copy(update={"console": False}))
    assert application.open()
    call = Call("/console")
    assert call.to(application)["type"].endswith("no-such-address")
    application.close()


def test_limits_come_from_the_settings(settings: Settings) -> None:
    """The limits of a call are those that were set."""
    application = Application(settings.model_copy(update={"max_events": 2}))
    assert application.open()
    call = Call("/v1/score", orjson.dumps([EVENT] * 3), "POST")
    assert call.to(application)["limit_events"] == 2
    application.close()


# --- without a store ---------------------------------------------------------


def test_opens_by_itself_when_called(application: Application) -> None:
    """A store that was not there at the start is opened by the first call."""
    assert application.engine is None
    assert Call("/readyz").to(application)["status"] == "ready"


def test_busy_store_is_told_to_every_caller(
    application: Application, settings: Settings
) -> None:
    """While another process writes, each call is 503, says by whom, and when to return."""
    other = SqliteStore(settings.store)
    assert not application.open()
    for path in ("/v1/queues", "/readyz", "/console"):
        call = Call(path)
        problem = call.to(application)
        assert call.status == 503
        assert problem["type"] == "urn:escalon:problem:unavailable"
        assert "has it open" in problem["detail"]
        assert "stop safely" in problem["detail"]
        assert int(call.headers["retry-after"]) > 0
    other.close()


def test_store_is_tried_again(
    application: Application, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When what stood in the way has gone, calls are answered; until then, few tries."""
    monkeypatch.setattr("serving.composition._TRY_AGAIN", 0.0)
    other = SqliteStore(settings.store)
    assert not application.open()
    other.close()
    assert Call("/readyz").to(application)["status"] == "ready"


def test_no_second_try_at_once(application: Application, settings: Settings) -> None:
    """A store that does not open is not tried again at every call."""
    other = SqliteStore(settings.store)
    assert not application.open()
    other.close()
    assert not application.open()


# The thread ends on purpose here.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_store_whose_writer_ended_is_opened_again(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call after that finds a new store, and is answered."""
    monkeypatch.setattr("serving.composition._TRY_AGAIN", 0.0)
    assert application.open()
    first = application.engine
    assert first is not None

    def end(_: object) -> None:
        raise SystemExit

    with pytest.raises(StoreClosedError):
        first.ways.do(end)
    assert not application.is_open
    assert Call("/readyz").to(application)["status"] == "ready"
    assert application.engine is not first


def test_bad_policy_is_told(settings: Settings, tmp_path: Path) -> None:
    """A policy that must not go live keeps the service from deciding, and is named."""
    path = tmp_path / "policy.yaml"
    path.write_text("version: '9'\n", encoding="utf-8")
    application = Application(settings.model_copy(update={"policy": path}))
    assert not application.open()
    assert "policy refused" in application.unavailable()["detail"]


def test_closed_application_lets_go(
    application: Application, settings: Settings
) -> None:
    """Once closed, the store is another's to open."""
    assert application.open()
    application.close()
    assert application.engine is None
    SqliteStore(settings.store).close()


# --- the door to BentoML -----------------------------------------------------


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:3000", 200),
        ("localhost", 200),
        ("[::1]:3000", 200),
        ("[::1]", 200),
        ("evil.example:3000", 421),
        ("127.0.0.1.evil.example", 421),
        ("", 421),
    ],
)
def test_other_names_are_not_ours(
    host: str, status: int, application: Application
) -> None:
    """A call under a name that is not this machine's is turned away."""
    assert application.open()
    call = Call("/healthz", host=host)
    call.to(application)
    assert call.status == status


@pytest.mark.parametrize(
    ("path", "passes"),
    [
        ("/predict", True),
        ("/", True),
        ("/docs.json", True),
        ("/static_content/swagger-ui.css", True),
        ("/predict/submit", False),
        ("/v1/score", False),
        ("/metrics", False),
        ("/readyz", False),
        ("/anything", False),
    ],
)
def test_little_passes_on(path: str, *, passes: bool) -> None:
    """BentoML answers its own API and pages; everything else is ours."""
    assert is_bentos({"path": path}) is passes


def predict(call: Call, most_bytes: int = 10_000, most_events: int = 5) -> bytes:
    """Return the body that BentoML would read."""

    async def read() -> bytes:
        receive = await checked_predict(
            call.scope, call.receive, most_bytes=most_bytes, most_events=most_events
        )
        message = await receive()
        assert message["more_body"] is False
        assert (await receive())["type"] == "http.disconnect"
        return bytes(message["body"])

    return asyncio.run(read())


def test_predict_passes_on_whole() -> None:
    """A call that is in order reaches BentoML with the bytes that came."""
    body = orjson.dumps({"events": [{**EVENT, "text": "x" * 3_000}]})
    media = "Application/JSON; charset=utf-8"
    assert predict(Call("/predict", body, "POST", content_type=media)) == body


@pytest.mark.parametrize(
    ("body", "headers", "slug"),
    [
        (b"{}", {}, "not-json"),
        (b"\x80\x04.", {"content_type": "application/vnd.bentoml+pickle"}, "not-json"),
        (b"a=1", {"content_type": "multipart/form-data; boundary=x"}, "not-json"),
        (b"{", {"content_type": "application/json"}, "malformed-json"),
        (b"7", {"content_type": "application/json"}, "malformed-request"),
        (
            b"[{},{},{},{},{},{}]",
            {"content_type": "application/json"},
            "too-many-events",
        ),
        (b" " * 10_001, {"content_type": "application/json"}, "body-too-large"),
        (
            b"[]",
            {"content_type": "application/json", "origin": "https://evil.example"},
            "foreign-page",
        ),
    ],
)
def test_predict_is_checked_first(
    body: bytes, headers: dict[str, str], slug: str
) -> None:
    """Pickles, forms, broken and oversized bodies never reach BentoML."""
    with pytest.raises(Refusal) as refused:
        predict(Call("/predict", body, "POST", **headers))
    assert refused.value.problem["type"] == f"urn:escalon:problem:{slug}"


@pytest.mark.parametrize(("seconds", "runs"), [(60.0, True), (0.0, False)])
def test_monitors_run_while_the_service_does(
    tmp_path: Path, seconds: float, *, runs: bool
) -> None:
    """On a thread of their own, which ends with it; not where they are switched off."""
    settings = Settings(
        store=tmp_path / "s.db", model=tmp_path / "model", monitor_seconds=seconds
    )
    with engine_of(settings):
        assert ("monitors" in {thread.name for thread in threading.enumerate()}) == runs
    assert "monitors" not in {thread.name for thread in threading.enumerate()}
