"""The service as a process: started, called over HTTP along the whole path, stopped."""

from __future__ import annotations

import concurrent.futures
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.server import Server, preflight, start
from serving.settings import Settings, SettingsError
from serving.store.sqlite import SqliteStore
from serving.store.transaction import StoreBusyError

pytestmark = pytest.mark.slow

MEMBER = "general-1"
PATIENCE = 60.0


def free_port() -> int:
    """Return a port on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve an empty store, with a model directory in which nothing lies."""
    home = tmp_path_factory.mktemp("service")
    settings = Settings.load(
        store=home / "store.db", model=home / "model", port=free_port()
    )
    with start(settings) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    """Call the server as an agent or an operator does."""
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


def python(
    *arguments: str, cwd: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run Python to its end, and return what it wrote."""
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **variables},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def event(event_id: str, text: str, kind: str = "user_message") -> dict[str, Any]:
    """Return an event as an agent sends it."""
    return {
        "event_id": event_id,
        "at": "2026-11-24T12:00:00Z",
        "kind": kind,
        "text": text,
    }


def get(client: httpx.Client, path: str) -> Any:
    """Return what a GET that must succeed answers."""
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


def post(client: httpx.Client, path: str, body: Any, status: int = 200) -> Any:
    """Return what a POST that must end in `status` answers."""
    answer = client.post(path, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_task_goes_from_its_first_event_to_its_label(client: httpx.Client) -> None:
    """An agent's steps, a handover, a person's verdict: each where the next one looks."""
    task = "/v1/tasks/order-17"
    began = post(client, f"{task}/events", [event("e1", "Where is my parcel?")])
    assert began["decision"]["action"] == "CONTINUE"
    assert began["epoch"] == 1
    step = {"events": [event("e2", "I want to talk to a human")], "epoch": 1}
    handed = post(client, f"{task}/events", step)
    assert handed["decision"]["action"] == "ESCALATE"
    assert handed["decision"]["source"] == "rules"
    assert handed["message"]

    asked = {"task_id": "order-17", "epoch": 1}
    assert post(client, "/v1/ownership/verify", asked)["may_act"] is False
    late = {"events": [event("e3", "I go on", "plan")], "epoch": 1}
    stopped = post(client, f"{task}/events", late, status=409)
    assert stopped["type"] == "urn:escalon:problem:stale-epoch"
    assert stopped["message"] == handed["message"]

    at = f"/v1/handoffs/{handed['handoff']['handoff_id']}"
    assert get(client, at)["package"]["request"] == "Where is my parcel?"
    post(client, f"{at}/claim", {"by": MEMBER})
    post(client, f"{at}/rate", {"by": MEMBER, "sufficient": True})
    verdict = {"by": MEMBER, "needed": "yes", "note": "lost", "minutes": 3}
    assert post(client, f"{at}/resolve", verdict)["status"] == "RESOLVED"
    assert get(client, task)["owner"]["kind"] == "nobody"

    kinds = [record["body"]["type"] for record in get(client, "/v1/audit")["records"]]
    for kind in (
        "step.scored",
        "handoff.opened",
        "handoff.claimed",
        "handoff.resolved",
    ):
        assert kind in kinds


def test_missing_model_is_told_and_rules_decide(client: httpx.Client) -> None:
    """With nothing in the model's directory the service is ready, and says why."""
    ready = get(client, "/readyz")
    assert ready["model"].startswith("rules only: ")
    assert ready["model_version"] is None


def test_bentoml_client_finds_predict(client: httpx.Client) -> None:
    """BentoML's own client, given a flat body, gets what the surface answers."""
    body = {"events": [event("e1", "My lawyer will hear of this")]}
    code = (
        "import bentoml, json\n"
        f"with bentoml.SyncHTTPClient({str(client.base_url)!r}) as client:\n"
        f"    print(json.dumps(client.predict({body!r})))"
    )
    # Its own process: importing BentoML warns of what is none of ours.
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer == post(client, "/v1/score", body)
    assert answer["action"] == "ESCALATE"


def test_predict_refuses_as_the_surface_does(client: httpx.Client) -> None:
    """What /predict cannot use is a problem, not an error of BentoML's."""
    good, bad = event("e1", "hello"), {"kind": "x"}
    problem = post(client, "/predict", {"events": [good, bad]}, status=422)
    assert problem["type"] == "urn:escalon:problem:malformed-event"
    assert problem["refused"][0]["index"] == 1
    answer = client.post(
        "/predict", content=b"\x80", headers={"content-type": "application/x-pickle"}
    )
    assert answer.status_code == 415
    assert answer.headers["content-type"] == "application/problem+json"


def test_whole_surface_answers(client: httpx.Client) -> None:
    """Surface, console, metrics and BentoML's own pages answer from one process."""
    paths = get(client, "/v1/openapi.json")["paths"]
    assert "/v1/tasks/{task_id}/events" in paths
    assert "escalon_queue_waiting" in client.get("/metrics").text
    assert "Who are you?" in client.get("/console", follow_redirects=True).text
    assert client.get("/console/static/console.css").status_code == 200
    assert "/predict" in get(client, "/docs.json")["paths"]
    assert client.get("/nowhere").json()["type"].endswith("no-such-address")
    assert client.get("/healthz", headers={"host": "evil.example"}).status_code == 421


def test_claims_race_for_one_handoff(client: httpx.Client) -> None:
    """Of many claims at once exactly one wins, and the others learn who did."""
    post(client, "/v1/tasks/race/events", [event("e1", "hello")])
    wish = {"by": "user", "reason": "wants a person"}
    handed = post(client, "/v1/tasks/race/escalate", wish)
    at = f"/v1/handoffs/{handed['handoff']['handoff_id']}/claim"
    names = [f"general-{1 + n % 4}" for n in range(12)]
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda name: client.post(at, json={"by": name}), names))
    winner = next(a.json()["claimed_by"] for a in answers if a.status_code == 200)
    for name, answer in zip(names, answers, strict=True):
        if name == winner:
            assert answer.status_code == 200
        else:
            assert answer.status_code == 409
            assert answer.json()["holder"] == winner


def test_steps_of_many_tasks_at_once(client: httpx.Client) -> None:
    """Steps that come together are each answered with their own task."""
    names = [f"many-{n}" for n in range(60)]
    body = [event("e1", "hello")]
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(
            pool.map(
                lambda name: post(client, f"/v1/tasks/{name}/events", body)["task_id"],
                names,
            )
        )
    assert answers == names


def test_answer_survives_a_killed_worker(server: Server, client: httpx.Client) -> None:
    """After kill -9 the service is back by itself, and what was answered still holds."""
    body = [event("e1", "hello")]
    answer = post(client, "/v1/tasks/killed/events", body)
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    for child in children.read_text(encoding="ascii").split():
        os.kill(int(child), signal.SIGKILL)
    await_ready(server.url, server.process)
    with httpx.Client(base_url=server.url, timeout=30) as again:
        assert post(again, "/v1/tasks/killed/events", body) == answer


def test_second_server_is_turned_away(server: Server) -> None:
    """A store that is served and a port that is taken stop a second server at once."""
    store = server.log.with_name("store.db")
    with pytest.raises(StoreBusyError, match="has it open"):
        preflight(Settings.load(store=store, port=free_port()))
    taken = int(server.url.rpartition(":")[2])
    other = server.log.with_name("other.db")
    with pytest.raises(SettingsError, match="ESCALATION_PORT"):
        preflight(Settings.load(store=other, port=taken))


@pytest.mark.parametrize(
    ("command", "how"),
    [
        (("-m", "serving"), signal.SIGINT),
        (("-m", "bentoml", "serve", "serving.service:Escalon"), signal.SIGTERM),
    ],
    ids=["ours", "bentoml"],
)
def test_stops_without_remains(
    command: tuple[str, ...], how: signal.Signals, tmp_path: Path
) -> None:
    """Started by us or by BentoML, it ends with its worker, and the store is whole."""
    port = free_port()
    settings = Settings.load(store=tmp_path / "store.db", port=port)
    told = {"BENTOML_HOST": settings.host, "BENTOML_PORT": str(port)}
    process = subprocess.Popen(
        [sys.executable, *command],
        env={**os.environ, **settings.environment(), **told},
        start_new_session=True,
    )
    assert await_ready(settings.url, process)["status"] == "ready"
    with httpx.Client(base_url=settings.url) as client:
        post(client, "/v1/tasks/t/events", [event("e1", "hello")])
    process.send_signal(how)
    assert process.wait(PATIENCE) == 0
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{settings.url}/healthz")
    # Opens only where no worker lives on; and what was answered is there.
    store = SqliteStore(settings.store)
    with store.reading() as reader:
        row = reader.one("SELECT count(DISTINCT task_id) AS n FROM event")
    store.close()
    assert row is not None
    assert row["n"] == 1


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("WORKERS", "2", "has one writer"),
        ("POLICY", "nowhere.yaml", "nowhere.yaml"),
        ("PORT", "x", "ESCALATION_PORT"),
    ],
)
def test_bad_settings_end_at_once(
    variable: str, value: str, says: str, tmp_path: Path
) -> None:
    """What cannot be served is one line and exit code 2, not a server that restarts."""
    done = python(
        "-m",
        "serving",
        ESCALATION_STORE=str(tmp_path / "store.db"),
        **{f"ESCALATION_{variable}": value},
    )
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_import_has_no_side_effects(tmp_path: Path) -> None:
    """Importing the service opens nothing, and brings neither MLflow nor the store."""
    code = (
        "import serving.service, sys\n"
        "import serving.composition\n"
        "assert 'mlflow' not in sys.modules, 'mlflow'\n"
        "assert not [t for t in __import__('threading').enumerate() if 'store' in t.name]"
    )
    done = python("-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def await_ready(url: str, process: subprocess.Popen[bytes]) -> Any:
    """Return what /readyz answers once it is ready."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        try:
            answer = httpx.get(f"{url}/readyz")
        except httpx.TransportError:
            time.sleep(0.1)
            continue
        if answer.status_code == 200:
            return answer.json()
    pytest.fail(f"{url} is not ready; the process ended with {process.poll()}")
