"""`escalon demo`: the whole path, from logs to cases in a human's queue."""

from __future__ import annotations

import itertools
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa

from escalon.learning import MISTAKES, costs_of, order_for
from escalon.live import Played, ServiceError, play
from escalon.logs import read_sources
from escalon.promoting import Asked as Promotion
from escalon.promoting import GateError, decide
from escalon.terminal import fail, mistakes, out, print_pairs, progress
from features import batch, ingest
from features.events import AgentEvent
from serving.policy.rules import Policy
from serving.server import ServerError, start
from serving.settings import Settings, SettingsError
from serving.store.transaction import StoreError
from training.registry import Registry, Version
from training.simulate import World
from training.train import Trained, summary, train

_SEED = 7
_QUEUED = 12  # cases that should stand in the queues before the demo rests
_MOST_PLAYED = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class _Log:
    """Where the demo learns from, and the tasks it then plays."""

    events: pa.Table
    live: list[Sequence[AgentEvent]]
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a user asks of a demo; see `escalon demo --help`."""

    data: Path | None
    tasks: int
    alpha: float
    once: bool
    port: int


def run(asked: Asked, *, home: Path, mlruns: Path) -> None:
    """Learn from logs, start the service, and play tasks until cases are queued."""
    began = time.monotonic()
    shutil.rmtree(home, ignore_errors=True)
    log = _own_log(asked.data, home) if asked.data else _simulated(asked.tasks, home)
    trained, version = _learn(log, mlruns, asked.alpha)
    red = _promote(version, home, mlruns)
    model = home / "model"
    settings = Settings.load(
        store=home / "escalon.db", model=model, port=_free_port(asked.port)
    )
    _serve(
        settings,
        log,
        (trained, version),
        red=red,
        runs=Registry(mlruns).tracking_uri,
        once=asked.once,
        began=began,
    )


def _simulated(tasks: int, home: Path) -> _Log:
    path = home / "events.parquet"
    with progress() as tell:
        tell(f"simulating {tasks} tasks whose truth is known")
        batch.write_events(World(seed=_SEED).log(tasks), path)
    fresh = World(seed=_SEED + 1).tasks(_MOST_PLAYED)
    live: list[Sequence[AgentEvent]] = [task.events for task in fresh]
    return _Log(
        events=batch.read_events(path),
        live=live,
        says=f"{tasks} simulated tasks",
    )


def _own_log(data: Path, home: Path) -> _Log:
    path = home / "events.parquet"
    reading = read_sources(ingest.AUTO, [data], path)
    n, refused = reading.events, reading.refused.total
    if n == 0:
        msg = f"no event of {data} landed; {refused} lines were refused"
        raise fail(msg)
    events = batch.read_events(path)
    says = f"{n} events of {data}, {refused} refused"
    return _Log(events=events, live=list(_last_tasks(events)), says=says)


def _last_tasks(events: pa.Table) -> Iterator[list[AgentEvent]]:
    """Yield the tasks that began last, to be played again as if live."""
    grouped = itertools.groupby(batch.log_events(events), lambda e: e.task_id)
    everything = sorted((list(task) for _, task in grouped), key=lambda t: t[0].at)
    yield from everything[-_MOST_PLAYED:]


def _learn(log: _Log, mlruns: Path, alpha: float) -> tuple[Trained, Version]:
    with mistakes(*MISTAKES), progress() as tell:
        asked = order_for(Policy.default(), alpha=alpha, progress=tell)
        trained = train(log.events, asked)
        tell("registering with MLflow")
        return trained, Registry(mlruns).log(trained, asked)


def _promote(version: Version, home: Path, mlruns: Path) -> tuple[str, ...]:
    """Make the version champion; return the codes of its red gates.

    A demo goes on whatever they say, and tells it.
    """
    with mistakes(*MISTAKES, GateError), progress() as tell:
        tell("running the release gates")
        gates, _ = decide(
            Registry(mlruns),
            version,
            Promotion(events=(home / "events.parquet",), reason="a demo", refit=False),
            into=home / "model",
            tell=tell,
        )
    return tuple(gate.code for gate in gates if gate.blocks)


def _free_port(wanted: int) -> int:
    """Return `wanted`, or a free port where somebody else listens on it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _serve(
    settings: Settings,
    log: _Log,
    model: tuple[Trained, Version],
    *,
    red: tuple[str, ...],
    runs: str,
    once: bool,
    began: float,
) -> None:
    with mistakes(SettingsError, ServerError, StoreError), progress() as tell:
        tell("starting the service")
        server = start(settings)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with (
            mistakes(ServiceError),
            progress() as tell,
            httpx.Client(base_url=server.url, timeout=30) as client,
        ):
            tell("playing live tasks through HTTP")
            played = play(client, log.live, until=_enough)
            queues = client.get("/v1/queues").json()["queues"]
        _report(log, model, played, queues, red=red)
        _addresses(server.url, played, runs, time.monotonic() - began)
        if not once:
            out.print("Press Ctrl-C to stop.", style="dim")
            server.wait()
    except KeyboardInterrupt:  # raised by SIGTERM too
        out.print("stopping")
    finally:
        server.stop()


def _enough(played: Played) -> bool:
    return len(played.handed_over) >= _QUEUED


def _report(
    log: _Log,
    model: tuple[Trained, Version],
    played: Played,
    queues: list[dict[str, Any]],
    *,
    red: tuple[str, ...],
) -> None:
    trained, version = model
    found = summary(trained)
    median, worst = (1000 * played.quantile(q) for q in (0.5, 0.99))
    waiting = ", ".join(f"{q['queue']} {q['waiting']}" for q in queues if q["waiting"])
    certificate = trained.bundle.certificate
    print_pairs(
        "Escalon demo",
        [
            ("learned from", f"{log.says}, {trained.n_tasks} labelled"),
            ("model", f"{version.uri} (champion)"),
            ("AUROC, end of task", found["end_of_task.auroc"]),
            ("AUROC, every step", found["every_step.auroc"]),
            ("Brier, end of task", found["end_of_task.brier"]),
            ("calibration error, end", found["end_of_task.ece_debiased"]),
            ("certificate", certificate.reason),
            ("other bounds would cost", costs_of(trained)),
            ("release gates", f"red: {', '.join(red)}" if red else "none blocks"),
            ("played live", f"{played.tasks} tasks, {played.steps} decisions"),
            ("handed over", f"{len(played.handed_over)} tasks"),
            ("decision latency", f"{median:.1f} ms median, {worst:.1f} ms p99"),
            ("waiting in queues", waiting or "nobody"),
        ],
    )


def _addresses(url: str, played: Played, runs: str, seconds: float) -> None:
    pairs = [("the queue", f"{url}/console")]
    if played.handed_over:
        _, longest = max(played.handed_over)
        pairs.append(("the longest case", f"{url}/console/handoffs/{longest}"))
    mlflow = Path(sys.executable).with_name("mlflow")
    pairs += [
        ("the API", f"{url}/v1/openapi.json"),
        ("the model's runs", f"{mlflow} ui --backend-store-uri {runs}"),
        ("ready after", f"{seconds:.0f} s"),
    ]
    print_pairs("Open", pairs)
