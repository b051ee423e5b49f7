"""`escalon certify`: labelled tasks or live audits in, a promise or a refusal out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from escalon.cli import app
from features.batch import events_table
from serving.engine import Engine
from serving.policy.rules import Policy
from serving.policy.trigger import Threshold
from serving.store.outcomes import outcomes
from serving.store.sqlite import SqliteStore, read_only
from training.bundle import ModelBundle, SegmentBy
from training.model import Recipe
from training.simulate import World
from training.train import Order, Trained, train

START = datetime(2026, 6, 1, 12, tzinfo=UTC)
LATER = World(seed=9, start=datetime(2026, 3, 1, tzinfo=UTC))


@pytest.fixture(scope="module")
def trained() -> Trained:
    """Return a training on a simulated log, certified by domain."""
    rules = lambda data: np.zeros(len(data), dtype=bool)  # noqa: E731 - one line
    recipe = Recipe(rounds=30, rate=0.2, leaves=6)
    log = events_table(World(seed=4).log(500))
    order = Order(rules=rules, recipe=recipe, alpha=0.3, by=SegmentBy.DOMAIN)
    return train(log, order)


@pytest.fixture(scope="module")
def folder(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of its bundle."""
    path = tmp_path_factory.mktemp("model") / "bundle"
    trained.bundle.save(path)
    return path


@pytest.fixture(scope="module")
def later(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the events of later tasks."""
    path = tmp_path_factory.mktemp("events") / "later.parquet"
    pq.write_table(events_table(LATER.log(500)), path)
    return path


def certified(folder: Path, *words: str, code: int = 0) -> dict[str, Any]:
    """Run the verb, and return what it prints as JSON."""
    mlruns = str(folder.parent / "mlruns")
    asked = ["certify", "--model", str(folder), "--mlruns", mlruns, "--json", *words]
    ran = CliRunner().invoke(app, asked)
    assert ran.exit_code == code, ran.output
    found: dict[str, Any] = orjson.loads(ran.stdout)
    return found


def refused(folder: Path, *words: str) -> str:
    """Run the verb with a mistake, and return what it says."""
    ran = CliRunner().invoke(app, ["certify", "--model", str(folder), *words])
    assert ran.exit_code == 2
    return " ".join(ran.stderr.split())


def test_later_tasks_certify_and_a_new_bundle_is_written(
    folder: Path, later: Path, tmp_path: Path, trained: Trained
) -> None:
    """The same boosters, with a certificate made on tasks it has not learned from."""
    target = tmp_path / "fresh"
    words = ("--events", str(later), "--alpha", "0.2", "--by", "domain")
    found = certified(folder, *words, "--out", str(target))
    assert found["certificate"]["n_tasks"] == 500
    assert found["certificate"]["alpha"] == 0.2
    assert {one["segment"].split("=")[0] for one in found["segments"]} == {"domain"}
    assert [row["alpha"] for row in found["frontier"]["rows"]][:2] == [0.02, 0.05]
    assert {one["rule"] for one in found["choices"]} == {
        "certified",
        "cheapest",
        "cost",
    }
    fresh = ModelBundle.load(target)
    assert fresh.certificate.threshold == found["certificate"]["threshold"]
    assert fresh.scorer == trained.bundle.scorer
    assert fresh.version == trained.bundle.version
    assert fresh.digest != trained.bundle.digest
    assert len(fresh.segments) == len(found["segments"])


def test_a_training_by_domain_certifies_each(trained: Trained, folder: Path) -> None:
    """Segments come with the bundle, and a task is held against its own, or the rest's.

    No task is held against more than all tasks are, where a segment has no threshold.
    """
    kept, found = ModelBundle.load(folder), trained.bundle.segments
    assert kept.segments == found
    named = {one.segment: one for one in found}
    assert len(named) == len(found) >= 4
    assert kept.certificate_for({"domain": "never seen"}).segment in {"", "domain=*"}
    for name, one in named.items():
        held = kept.certificate_for({"domain": name.removeprefix("domain=")})
        assert held == one or one.threshold is None
    top = kept.certificate.threshold
    if top is not None and any(one.threshold is None for one in found):
        assert all((one.threshold or 0.0) <= top for one in found)


def test_a_person_reads_promise_frontier_and_price(folder: Path, later: Path) -> None:
    """Without --json the same is told in words and a table."""
    asked = ["certify", "--model", str(folder), "--events", str(later)]
    ran = CliRunner().invoke(app, [*asked, "--alpha", "0.2", "--capacity", "2000"])
    assert ran.exit_code == 0, ran.output
    for told in ("certified", "missed at most", "the bound holds", "per task"):
        assert told in ran.stdout


def test_tasks_it_learned_from_are_not_certified_on(
    folder: Path, tmp_path: Path, trained: Trained
) -> None:
    """Of the log of the training only the customers set aside are left."""
    path = tmp_path / "log.parquet"
    pq.write_table(events_table(World(seed=4).log(500)), path)
    found = certified(folder, "--events", str(path), "--alpha", "0.3")
    mine = trained.bundle.certificate
    assert found["certificate"]["n_tasks"] == mine.n_tasks
    assert found["certificate"]["threshold"] == mine.threshold
    assert "of customers that the model may know" in found["left_out"]


def test_a_model_that_knows_all_customers_is_a_mistake(
    folder: Path, tmp_path: Path
) -> None:
    """There is nothing to certify on, and it says what to give."""
    path = tmp_path / "early.parquet"
    pq.write_table(events_table(World(seed=4).log(100)), path)
    assert "give tasks of later customers" in refused(folder, "--events", str(path))


def test_people_who_cannot_take_it_are_a_refusal(folder: Path, later: Path) -> None:
    """Exit code 1, no threshold, and the bound that is left."""
    words = ("--events", str(later), "--alpha", "0.2", "--capacity", "3")
    found = certified(folder, *words, code=1)
    assert found["certificate"]["refusal"] == "no such threshold"
    assert "the bound of 20% is lost" in found["certificate"]["reason"]
    assert found["capacity"]["per_day"] == 3


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "give either --events (labelled tasks) or --store"),
        (("--events", "a", "--store", "b"), "give either --events"),
        (
            ("--events", "a", "--by", "mood"),
            "--by must be one of domain, agent_version",
        ),
    ],
)
def test_what_cannot_be_asked_is_told(
    folder: Path, words: tuple[str, ...], says: str
) -> None:
    """One line, exit code 2."""
    assert says in refused(folder, *words)


# --- live audits ---------------------------------------------------------------


@dataclass(slots=True)
class Steady:
    """A model that gives what it is told, under the version of a real one."""

    version: str
    value: float = 0.1
    digest: str = "ab" * 32
    base: float = 0.0
    certificate: Threshold = Threshold(threshold=0.5)  # noqa: RUF009 - frozen

    def certificate_for(self, _: Mapping[str, str], /) -> Threshold:
        """Return that of all tasks."""
        return self.certificate

    def risk(self, _: NDArray[np.float64], /) -> float:
        """Return the risk."""
        return self.value

    def between(self, _: NDArray[np.float64], /) -> tuple[float, float]:
        """Return no more than the risk can be."""
        return 0.0, 1.0

    def explain(self, _: NDArray[np.float64], /) -> tuple[()]:
        """Return no reason."""
        return ()


@dataclass(slots=True)
class Source:
    """Always this model."""

    model: Steady
    problem: str | None = None

    def current(self) -> Any:
        """Return it."""
        return self.model


@pytest.fixture(scope="module")
def store(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the store of a service that judged 400 tasks and audits half of them.

    A quarter is handed over and needed a human; of the others none did, as far as an
    audit says.
    """
    path = tmp_path_factory.mktemp("store") / "escalon.db"
    base = Policy.default()
    policy = base.model_copy(update={"audit": {"uniform": 0.5, "targeted": 0.0}})
    model, held = Steady(trained.bundle.version), SqliteStore(path)
    engine = Engine(held, policy, Source(model), lambda: START, b"k" * 32)
    for i in range(400):
        model.value = 0.8 if i % 4 == 0 else 0.1 + i / 2000
        at = (START + timedelta(seconds=i)).isoformat()
        started = {
            "event_id": "1",
            "at": at,
            "kind": "task_started",
            "domain": "retail",
        }
        asked = {"event_id": "2", "at": at, "kind": "user_message", "text": "Hello."}
        engine.observe(f"t{i}", [started, asked])
    with read_only(path) as reader:
        known = outcomes(reader)
    for one in known:
        if one.escalated or one.uniform:
            kind = "verdict" if one.escalated else "audit_verdict"
            answer = "yes" if one.escalated else "no"
            body = {"task_id": one.task_id, "event_id": "v", "at": at, "kind": kind}
            engine.outcomes([body | {"needed": answer, "by": "r1", "propensity": 0.5}])
    held.close()
    return path


def test_live_audits_certify(folder: Path, store: Path) -> None:
    """What the service decided and its auditors found bounds what nobody saw."""
    found = certified(folder, "--store", str(store), "--by", "domain")
    made = found["certificate"]
    assert made["method"].startswith("uniform audits")
    assert (made["n_tasks"], made["n_needed"]) == (400, 100)
    assert made["threshold"] > 0.29
    assert [one["segment"] for one in found["segments"]] == ["domain=retail"]
    assert "0 decided by rules or by another model" in found["left_out"]


def test_a_window_without_decisions_is_told(folder: Path, store: Path) -> None:
    """With what was found instead."""
    says = refused(folder, "--store", str(store), "--since", "2027-01-01")
    assert "holds no decision of model" in says
    assert "no decision at all" in says


def test_tasks_to_come_can_be_asked_for(folder: Path, store: Path) -> None:
    """The promise is then about others than these."""
    found = certified(folder, "--store", str(store), "--ahead", "--alpha", "0.2")
    assert "tasks to come" in found["certificate"]["reason"]
