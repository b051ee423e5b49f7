"""A report on tasks made by hand, and facts: the least a card needs, and everything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from training.bundle import Certificate, Refusal
from training.card import write_card
from training.card.evidence import (
    Alarm,
    Change,
    Delta,
    Desk,
    Drift,
    LabelProcess,
    Measured,
    Staffing,
)
from training.card.facts import CardFacts, SignalShare
from training.evaluate import evaluate
from training.evaluate.baselines import standard_baselines

Json = dict[str, Any]
MakeReport = Callable[..., Json]

PROMISE = Certificate(
    alpha=0.4,
    delta=0.1,
    n_needed=412,
    n_tasks=1100,
    misses_allowed=32,
    method="exact binomial",
    threshold=0.4,
    escalation_rate=0.38,
    reason="32 of 412 may be missed",
)
REFUSED = replace(
    PROMISE,
    threshold=None,
    escalation_rate=None,
    reason="have 14 of 22",
    refusal=Refusal.TOO_FEW_LABELS,
    still_needed=8,
)
FACTS = CardFacts(
    model="escalon",
    version="7",
    digest="9f" * 32,
    certificate=PROMISE,
    made=date(2026, 11, 24),
    expires=date(2027, 2, 24),
    n_tasks=1800,
    n_unlabelled=200,
    label_sources={"verdict": 600, "audit_verdict": 1200},
    window=(date(2026, 5, 1), date(2026, 10, 31)),
    fingerprint="ab" * 32,
    evaluated_on="held-out customers",
    owner="Claims operations",
    aliases=("challenger",),
    signals=(
        SignalShare(
            name="confidence_last",
            doc="What it says",
            share=0.7,
            direction=-1,
            trust="self_reported",
        ),
        SignalShare(
            name="tool_errors",
            doc="Errors & more",
            share=0.3,
            direction=1,
            trust="observed",
        ),
    ),
)


def estimate(value: float, half: float) -> Json:
    """Return an estimate as JSON data."""
    return {"value": value, "low": value - half, "high": value + half}


def attack(name: str, lost: float) -> Json:
    """Return one way to lie, as in gaming.json."""
    loss = {"honest": 0.86, "forged": 0.86 - lost, "lost": estimate(lost, 0.002)}
    return {
        "name": name,
        "says": f"the agent tries {name}",
        "values": {"confidence_last": 1.0},
        "auroc_end": loss,
        "auroc_every_step": loss,
        "escalations_suppressed": estimate(0.021, 0.011),
        "misses_gained": estimate(0.0083, 0.004),
    }


GAMING = {
    "schema": "escalon.gaming/1",
    "threshold": 0.4,
    "n_tasks": 613,
    "n_needed": 187,
    "signals": ["confidence_last"],
    "attacks": [attack("full confidence", 0.0031), attack("everything", 0.0067)],
    "worst": {
        "name": "everything",
        "auroc_lost": estimate(0.0067, 0.002),
        "misses_gained": estimate(0.0083, 0.004),
        "escalations_suppressed": estimate(0.021, 0.011),
    },
}
GATES = {
    "schema": "escalon.gates/1",
    "model": "models:/escalon/7",
    "override": None,
    "verdict": "promoted",
    "gates": [
        {
            "code": "ESC001",
            "title": "No signal stands in for the label",
            "severity": "block",
            "passed": True,
            "says": "the strongest signal alone has AUROC 0.71",
            "evidence": {},
        },
        {
            "code": "ESC009",
            "title": "Labels are recent",
            "severity": "warn",
            "passed": False,
            "says": "half of the labels are older than 97 days",
            "evidence": {},
        },
    ],
}


COMPARISON = {
    "schema": "escalon.comparison/1",
    "challenger": "models:/escalon/7",
    "champion": "models:/escalon/6",
    "n_tasks": 2411,
    "n_labelled": 377,
    "ways": {
        "champion": {
            "escalation_rate": estimate(0.412, 0.02),
            "miss_rate": estimate(0.121, 0.03),
            "lead_steps_median": estimate(6.0, 1.0),
        },
        "challenger": {
            "escalation_rate": estimate(0.398, 0.02),
            "miss_rate": estimate(0.109, 0.03),
            "lead_steps_median": None,
        },
    },
    "difference": {
        "escalation_rate": estimate(-0.014, 0.011),
        "miss_rate": estimate(-0.012, 0.017),
        "lead_steps_median": None,
    },
    "added": {
        "n": 83,
        "n_labelled": 14,
        "needed": estimate(31.4, 9.0),
        "share_needed": estimate(0.378, 0.11),
    },
    "removed": {"n": 117, "n_labelled": 0, "needed": None, "share_needed": None},
}
_FIGURE = {"n": 211, "method": "AIPW", "missing": ""}
LIVE = {
    name: {"value": value, "low": value - 0.03, "high": value + 0.03, **_FIGURE}
    for name, value in (
        ("escalation_rate", 0.391),
        ("appropriateness", 0.713),
        ("miss_rate", 0.118),
        ("miss_bound", 0.187),
        ("agreement", 0.894),
    )
} | {
    name: {"value": None, "low": None, "high": None, "n": 0, "method": "", "missing": m}
    for name, m in (
        ("context_sufficiency", "no package was rated"),
        ("kappa", "no task was judged by two"),
    )
}


def rung(alpha: float, threshold: float, rate: float) -> Certificate:
    """Return a certificate of another bound."""
    return replace(PROMISE, alpha=alpha, threshold=threshold, escalation_rate=rate)


def everything() -> CardFacts:
    """Return facts of a version on which all was measured, and nothing is open."""
    return replace(
        FACTS,
        made_at="2026-11-24T13:07:51Z",
        approved_by="Head of risk",
        files={"booster.txt": "1d" * 32, "calibrator.json": "2e" * 32},
        libraries={"lightgbm": "4.7.1", "numpy": "2.4.0"},
        calibrator="platt by stage",
        twin_share=0.35,
        frontier=(
            replace(REFUSED, alpha=0.05),
            rung(0.1, 0.223, 0.71),
            rung(0.2, 0.312, 0.55),
        ),
        segments=(
            replace(PROMISE, segment="domain=retail", threshold=0.377),
            replace(REFUSED, segment="domain=<b>&|"),
        ),
        self_report_bound=0.5,
        gates=GATES,
        gaming=GAMING,
        comparison=COMPARISON,
        live=LIVE,
        labels=LabelProcess(
            propensity_low=0.02,
            propensity_high=1.0,
            effective=911.4,
            selected=37,
            delay_days_median=3.2,
            delay_days_p90=11.7,
            audited=Measured(value=0.021, low=0.018, high=0.024),
            n_double=141,
            kappa=Measured(value=0.77, low=0.66, high=0.87),
            n_uncertain=23,
            rubric="r4",
        ),
        drift=Drift(
            since=date(2026, 11, 1),
            until=date(2026, 11, 20),
            n_tasks=5432,
            n_labelled=211,
            alarms=(
                Alarm(
                    kind="signal drift",
                    segment="agent_version=v2",
                    raised=date(2026, 11, 19),
                    evidence="PSI 0.31 of tool_errors in 812 tasks",
                ),
            ),
        ),
        change=Change(
            version="6",
            digest="c3" * 32,
            role="champion",
            same_tasks=613,
            deltas=(
                Delta(
                    name="AUROC, end of task",
                    before=Measured(value=0.838, low=0.79, high=0.88),
                    now=Measured(value=0.861, low=0.803, high=0.901),
                    difference=Measured(value=0.0231, low=0.0042, high=0.0417),
                ),
            ),
            threshold_before=0.433,
            signals_added=("repeats_of_task_type",),
        ),
        staffing=Staffing(
            desks=(
                Desk(name="general", people=2, hours_a_day=24, minutes_per_handoff=8),
                Desk(
                    name="billing", people=2, hours_a_day=7.1, minutes_per_handoff=12.5
                ),
            ),
            source="policy 1 of support-risk-owner",
            tasks_a_day=730,
            audit_share=0.05,
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Snap:
    """Labelled rows, so many steps a task."""

    task_ids: Any
    groups: Any
    domain: Any
    agent_version: Any
    tier: Any
    position: Any
    y: Any
    weight: Any


def made(
    threshold: float | None, *, shift: float = 0.0, n_steps: int = 6, alpha: float = 0.4
) -> Json:
    """Return a report on 200 tasks in two domains, one of which has a nasty name."""
    rng = np.random.default_rng(0)
    n_rows = 200 * n_steps
    task = np.repeat(np.arange(200), n_steps)
    step = np.tile(np.arange(n_steps), 200)
    p = rng.random(200)
    domain = np.where(np.arange(200) % 2 == 0, "retail", "<b>&|")
    snap = Snap(
        task_ids=task,
        groups=task,
        domain=domain[task],
        agent_version=np.where(np.arange(200) < 190, "v1", "v2")[task],
        tier=np.full(n_rows, "?"),
        position=step,
        y=(rng.random(200) < p)[task].astype(float),
        weight=np.full(n_rows, 1 / n_steps),
    )
    known = 0.75 + 0.25 * step / (n_steps - 1)
    risk = np.clip(p[task] * known - shift * (snap.domain == "retail"), 0, 1)
    baselines = standard_baselines(
        snap,
        risk,
        threshold,
        rules=(step == 2) & (task % 17 == 0),
        confidence=1 - risk / 3,
    )
    found = evaluate(
        snap, risk, threshold, baselines=baselines, alpha=alpha, replicates=40
    ).to_json()
    return orjson.loads(orjson.dumps(found))


@pytest.fixture(scope="session")
def make_report() -> MakeReport:
    """Return a maker of reports, by threshold."""
    return made


@pytest.fixture(scope="session")
def report() -> Json:
    """Return a report at the threshold of the certificate, 0.4."""
    return made(0.4)


@pytest.fixture(scope="session")
def facts() -> CardFacts:
    """Return the facts of a version of which little more is known than its report."""
    return FACTS


@pytest.fixture(scope="session")
def refusal() -> Certificate:
    """Return a certificate that was refused."""
    return REFUSED


@pytest.fixture(scope="session")
def full_facts() -> CardFacts:
    """Return the facts of a version on which all was measured."""
    return everything()


@pytest.fixture(scope="session")
def card(
    report: Json, facts: CardFacts, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return the directory of the card that has gaps."""
    return write_card(report, facts, tmp_path_factory.mktemp("card")).parent


@pytest.fixture(scope="session")
def full_card(
    report: Json, full_facts: CardFacts, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return the directory of the card without gaps."""
    return write_card(report, full_facts, tmp_path_factory.mktemp("full")).parent
