"""Release gates: each passes where its claim holds, and is red where it does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from features.signals import NAMES, schema_lines
from training.bundle import Certificate, ModelBundle
from training.dataset import Snapshots
from training.gates import (
    GATES,
    Evidence,
    Gate,
    Limits,
    LimitsError,
    Part,
    Parts,
    Severity,
    judge,
)
from training.gates.parts import hashed
from training.labels import Evidence as Kind
from training.labels import Label

PAGES = Path(__file__).parents[3] / "docs" / "reference" / "gates"
STEPS = 3
RISK = NAMES.index("verifier_last")
NOW = datetime(2026, 11, 24, tzinfo=UTC)
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model whose risk stands in a column of its signals, bent as a test wants."""

    slope: float = 1.0
    shift: float = 0.0
    share: float = 0.1
    certificate: Certificate
    segments: tuple[Certificate, ...] = ()
    signals: tuple[str, ...] = tuple(schema_lines())
    version: str = "m"
    facts: Mapping[str, Any] = field(
        default_factory=lambda: {"made_at": "2026-11-20T00:00:00Z", "fingerprint": "f"}
    )

    def risks(self, x: Floats) -> Floats:
        """Return sigmoid(slope z + shift) for a risk whose log-odds are z."""
        z = np.log(x[:, RISK] / (1 - x[:, RISK]))
        return np.asarray(1 / (1 + np.exp(-(self.slope * z + self.shift))))

    def contributions(self, x: Floats) -> Floats:
        """Return `share` from the risk's column, the rest evenly from all others."""
        added = np.full(x.shape, (1 - self.share) / (x.shape[1] - 1))
        added[:, RISK] = self.share
        return added


def certificate(threshold: float | None = 0.2, **changes: Any) -> Certificate:
    """Return a certificate of a miss rate of at most 20 %."""
    made = Certificate(
        alpha=0.2,
        delta=0.1,
        n_needed=100,
        n_tasks=400,
        misses_allowed=10,
        method="test",
        threshold=threshold,
        escalation_rate=0.5,
        reason="too few labels: have 9 of 22" if threshold is None else "holds",
    )
    return replace(made, **changes)


def tasks(n: int = 600, *, seed: int = 0, prefix: str = "t") -> Snapshots:
    """Return tasks of three steps, whose outcome is drawn from the risk they show."""
    rng = np.random.default_rng(seed)
    risk = 1 / (1 + np.exp(-rng.normal(-0.5, 1.5, n)))
    needed = (rng.random(n) < risk).astype(float)
    x = rng.normal(0, 1, (n, len(NAMES)))
    x[:, RISK] = risk

    def rows(values: Any) -> Any:
        return np.repeat(np.asarray(values), STEPS, axis=0)

    return Snapshots(
        task_ids=rows([f"{prefix}{i:05d}" for i in range(n)]),
        groups=rows([f"{prefix}-c{i // 2}" for i in range(n)]),
        domain=rows(np.where(np.arange(n) % 3 == 0, "retail", "airline")),
        agent_version=rows(np.where(np.arange(n) % 4 == 0, "2", "1")),
        tier=rows(np.full(n, "basic")),
        started=rows(NOW.timestamp() - 86_400.0 * np.linspace(60, 30, n)),
        position=np.tile(np.arange(STEPS), n),
        x=rows(x),
        y=rows(needed),
        weight=np.full(n * STEPS, 1 / STEPS),
    )


def labels_for(data: Snapshots, *, age: float = 5.0) -> dict[str, Label]:
    """Return a verdict for each task, the newest `age` days old."""
    ids = [str(t) for t in data.task_ids[data.starts]]
    return {
        task: Label(
            task_id=task,
            needed=bool(y),
            evidence=Kind.VERDICT,
            source="human",
            propensity=1.0,
            matured_at=NOW - timedelta(days=age),
        )
        for task, y in zip(ids, data.y[data.starts], strict=True)
    }


def part(data: Snapshots, *, customers: frozenset[str] | None = None) -> Part:
    """Return `data` as a part of a training."""
    made = Part.of(data, labels_for(data))
    return made if customers is None else replace(made, customers=customers)


LEARNED = tasks(200, seed=1, prefix="l")
CERTIFIED = tasks(200, seed=2, prefix="k")
GAMING = {
    "worst": {
        "auroc_lost": {"value": 0.004, "low": 0.002, "high": 0.006},
        "misses_gained": {"value": 0.0, "low": 0.0, "high": 0.01},
    }
}


def evidence(**changes: Any) -> Evidence:
    """Return the evidence of a model with which nothing is wrong."""
    data = changes.pop("data", tasks())
    bundle = changes.pop("bundle", Model(certificate=certificate()))
    judged = part(CERTIFIED)
    plain: dict[str, Any] = {
        "data": data,
        "labels": labels_for(data),
        "parts": Parts(learned=part(LEARNED), certified=judged, tested=judged),
        "gaming": GAMING,
        "refit": True,
        "now": NOW,
        "here": tuple(schema_lines()),
        "replicates": 200,
    }
    return Evidence(bundle=cast("ModelBundle", bundle), **{**plain, **changes})


def answer(code: str, limits: Limits | None = None, **changes: Any) -> Gate:
    """Return what one gate says."""
    return GATES[code](evidence(**changes), limits or Limits())


def model(**changes: Any) -> Model:
    """Return the sound model, changed."""
    return Model(**{"certificate": certificate(), **changes})


def proxy() -> Snapshots:
    """Return tasks in which one signal is the label."""
    data = tasks()
    data.x[:, NAMES.index("tool_errors")] = data.y
    return data


def missing_proxy() -> Snapshots:
    """Return tasks in which a signal is known exactly where a human was needed."""
    data = tasks()
    data.x[:, NAMES.index("cost")] = np.where(data.y > 0, 1.0, np.nan)
    return data


def weak_domain() -> Snapshots:
    """Return tasks whose risks say nothing in one domain."""
    data = tasks(900)
    here = data.domain == "retail"
    shuffled = np.random.default_rng(5).permutation(data.x[here, RISK][::STEPS])
    data.x[here, RISK] = np.repeat(shuffled, STEPS)
    return data


def late_labels() -> Parts:
    """Return parts that learned from a label of a day after the model was made."""
    judged = part(CERTIFIED)
    late = replace(judged, matured=(0.0, NOW.timestamp()))
    return Parts(learned=late, certified=judged, tested=judged)


def shared_customers() -> Parts:
    """Return parts with a customer on both sides."""
    judged = part(CERTIFIED)
    both = replace(judged, customers=judged.customers | {hashed("l-c0")})
    return Parts(learned=part(LEARNED), certified=both, tested=both)


def of_known_customers() -> Parts:
    """Return parts whose certificate was made on the tasks that are given."""
    judged = part(tasks())
    return Parts(learned=part(LEARNED), certified=judged, tested=judged)


EARLY = tasks()
CASES: list[tuple[str, dict[str, Any], str]] = [
    ("ESC001", {"data": proxy()}, "tool_errors ranks best"),
    ("ESC001", {"data": missing_proxy()}, "cost ranks best"),
    ("ESC001", {"bundle": model(share=0.7)}, "70%"),
    ("ESC002", {"leaks": ("steps",)}, "1 signals change"),
    ("ESC003", {"parts": late_labels()}, "not known when it was made"),
    ("ESC003", {"parts": None}, "not recorded"),
    ("ESC003", {"labels": labels_for(EARLY, age=100.0)}, "older than their tasks"),
    ("ESC004", {"parts": shared_customers()}, "2 customers were learned from"),
    ("ESC004", {"parts": None}, "not recorded"),
    ("ESC005", {"bundle": model(shift=1.0)}, "too large: every step"),
    ("ESC006", {"bundle": model(certificate=certificate(0.7))}, "were promised"),
    ("ESC008", {"data": weak_domain()}, "domain retail: AUROC"),
    ("ESC009", {"gaming": None}, "not measured"),
    ("ESC010", {"here": tuple(schema_lines()[1:])}, "1 lines of the two schemas"),
    ("ESC012", {"bundle": model(slope=-1.0)}, "from the table's"),
    ("ESC013", {"data": tasks(40)}, "40 of 60 tasks"),
    ("ESC014", {"refit": False}, "another model"),
]


def test_nothing_is_red_of_a_sound_model() -> None:
    """Every gate passes, in the order of the codes, and none blocks."""
    gates = judge(evidence())
    assert [gate.code for gate in gates] == list(GATES)
    assert [gate.code for gate in gates if not gate.passed] == []
    for gate in gates:
        page = (PAGES / f"{gate.code}.md").read_text(encoding="utf-8")
        assert page.startswith(f"# {gate.code}: {gate.title}\n")


@pytest.mark.parametrize(
    ("code", "changes", "says"), CASES, ids=[f"{c}-{s}" for c, _, s in CASES]
)
def test_a_gate_blocks_for_the_reason_it_is_there_for(
    code: str, changes: dict[str, Any], says: str
) -> None:
    """What is wrong turns that gate red, and its sentence says so."""
    gate = answer(code, **changes)
    assert not gate.passed
    assert gate.blocks
    assert says in gate.says
    assert gate.title
    assert gate.to_json()["evidence"] is not None


def test_a_certificate_without_fresh_tasks_stands_untested() -> None:
    """On the tasks it was made on nothing can be tested: a note, no stop."""
    gate = answer("ESC006", parts=of_known_customers())
    assert (gate.passed, gate.severity) == (False, Severity.WARN)
    assert "untested" in gate.says


def test_a_refused_certificate_is_told_and_does_not_stop() -> None:
    """Where there is no threshold the policy says so itself; the gate notes why."""
    gate = answer("ESC006", bundle=model(certificate=certificate(None)))
    assert (gate.passed, gate.severity) == (False, Severity.WARN)
    assert "too few labels" in gate.says


def test_each_segments_certificate_is_tested_on_its_own_tasks() -> None:
    """A bound that breaks in one domain turns the gate red, whatever all tasks say."""
    wrong = certificate(0.9, segment="domain=retail")
    gate = answer("ESC006", bundle=model(segments=(wrong,)))
    assert not gate.passed
    tests = gate.evidence["tests"]
    assert [test["segment"] for test in tests] == ["", "domain=retail"]
    assert tests[1]["p_value"] < 0.025 < tests[0]["p_value"]


def test_a_true_certificate_is_rarely_called_broken() -> None:
    """A miss rate of just the promised size is red in about one draw of twenty."""
    many = tasks(20_000, seed=99)
    peaks = many.x[::STEPS, RISK][many.y[::STEPS] > 0]
    at = certificate(float(np.quantile(peaks, 0.2)))
    red = [
        not answer(
            "ESC006", data=tasks(150, seed=s), bundle=model(certificate=at)
        ).passed
        for s in range(200)
    ]
    assert np.mean(red) <= 0.08


@pytest.mark.parametrize(
    ("ours", "passed", "severity"),
    [
        ({}, True, Severity.WARN),
        ({"slope": 0.2}, False, Severity.BLOCK),
    ],
)
def test_a_challenger_is_held_against_the_champion_on_the_same_draws(
    ours: dict[str, Any], severity: Severity, *, passed: bool
) -> None:
    """As good passes; a worse one is stopped, with cost and log-loss as evidence."""
    gate = answer("ESC007", bundle=model(**ours), champion=model(), champion_parts=None)
    assert (gate.passed, gate.severity) == (passed, severity)
    assert gate.evidence["cost_per_task"] is not None
    assert gate.evidence["n_tasks"] == 600


def test_tasks_the_champion_learned_from_do_not_judge_it() -> None:
    """They would flatter it; where nothing else is left there is only a note."""
    data = tasks()
    some = replace(part(LEARNED), customers=part(tasks(300)).customers)
    its = Parts(learned=some, certified=some, tested=some)
    gate = answer("ESC007", data=data, champion=model(), champion_parts=its)
    assert gate.evidence["n_tasks"] == 300
    everybody = Parts(learned=part(data), certified=some, tested=some)
    gate = answer("ESC007", data=data, champion=model(), champion_parts=everybody)
    assert (gate.passed, gate.severity) == (False, Severity.WARN)


def test_a_price_of_lies_between_aim_and_limit_is_a_note() -> None:
    """Beyond what is aimed at it is told; beyond what is let pass it stops."""

    def priced(lost: float, gained: float) -> Gate:
        worst = {"auroc_lost": {"value": lost}, "misses_gained": {"value": gained}}
        return answer("ESC009", gaming={"worst": worst})

    assert priced(0.01, 0.01).passed
    note = priced(0.03, 0.0)
    assert (note.passed, note.blocks) == (False, False)
    assert priced(0.06, 0.0).blocks
    assert priced(0.0, 0.06).blocks


def test_a_model_that_looks_better_on_few_tasks_is_not_stopped() -> None:
    """That it beats the table cannot be told of few tasks: a note, no stop."""
    gate = answer("ESC012", data=tasks(20, seed=3))
    assert (gate.passed, gate.severity) == (False, Severity.WARN)
    assert "too few tasks to be sure" in gate.says


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"now": NOW + timedelta(days=120)}, "the newest is older than 90 days"),
        ({"limits": Limits(young_days=50)}, "overturned by a complaint"),
    ],
)
def test_stale_and_unripe_labels_are_told(changes: dict[str, Any], says: str) -> None:
    """Labels of long ago, and those a complaint may still overturn, get a note."""
    gate = answer("ESC011", **changes)
    assert (gate.passed, gate.severity) == (False, Severity.WARN)
    assert says in gate.says


# --- limits ------------------------------------------------------------------


def test_limits_can_be_given_and_their_rest_stays() -> None:
    """A document changes the limits it names, and severities by code."""
    limits = Limits.of({"least_tasks": 2000, "severity": {"ESC011": "block"}})
    assert limits.slice_auroc == Limits().slice_auroc
    gates = {g.code: g for g in judge(evidence(), limits)}
    assert gates["ESC013"].blocks
    assert gates["ESC011"].severity is Severity.BLOCK


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"least_task": 3}, "did you mean 'least_tasks'"),
        ({"least_tasks": "many"}, "must be a number"),
        ({"ece_end": -1}, "must be a number"),
        ({"severity": {"ESC001": "maybe"}}, "block or warn"),
        ([1], "must be a mapping"),
    ],
)
def test_limits_that_cannot_be_used_are_refused(document: Any, says: str) -> None:
    """An unknown name, a value of a wrong kind, an unknown severity: one sentence."""
    with pytest.raises(LimitsError, match=says):
        Limits.of(document)


def test_a_severity_for_a_gate_that_is_not_there_is_refused() -> None:
    """A code that is no gate's is a mistake, not a wish."""
    with pytest.raises(LimitsError, match="ESC099 is no gate"):
        judge(evidence(), Limits(severity={"ESC099": Severity.WARN}))


# --- parts -------------------------------------------------------------------


def test_parts_come_back_from_json_and_name_nobody() -> None:
    """Customers stand in them as hashes; what was written is read again."""
    parts = evidence().parts
    assert parts is not None
    stored = parts.to_json()
    assert Parts.of(stored) == parts
    assert "l-c0" not in str(stored)
    assert parts.learned.holds(LEARNED).all()
    assert not parts.learned.holds(CERTIFIED).any()
