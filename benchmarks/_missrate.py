"""How well the miss rate is known at 2 % audits, with a score learned from data.

The world is that of the reference figures: risks from Beta(.3, 4), 7 % on average,
40,000 tasks in a window, a quarter of the missed ones complain. What is new is that
nobody knows the risks: a booster and its logistic twin learn them from other tasks,
and both the threshold and the audit draws follow what they learned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import beta, norm
from sklearn.linear_model import LogisticRegression

from training.monitor.missrate import Method, miss_rate
from training.monitor.outcome import Outcomes

Floats = NDArray[np.float64]

N_TASKS = 40_000
N_LEARNED_FROM = 6_000
N_FEATURES = 8
AUDITED = 0.02  # of the tasks that were not handed over
UNIFORM = 0.15  # of the audits; the rest follows sqrt(p(1-p))
COMPLAINS = 0.25
MISSED = 0.36
_FOLDS = 5
_EDGE = 1e-6
# The other estimators are shown beside it; fewer replays will do for them.
_OTHERS_EVERY = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Tasks: their true risk, and what a model learned from others makes of it."""

    truth: Floats
    risk: Floats


def _tasks(n: int, slope: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    x = rng.standard_normal((n, N_FEATURES))
    return x, beta.ppf(norm.cdf(x @ slope), 0.3, 4)


def _learners() -> tuple[Any, Any]:
    grown = lgb.LGBMClassifier(
        n_estimators=200,
        num_leaves=15,
        learning_rate=0.05,
        min_child_samples=40,
        reg_lambda=5.0,
        num_threads=1,
        deterministic=True,
        verbose=-1,
    )
    return grown, LogisticRegression()


def _log_odds(model: Any, x: Floats) -> Floats:
    p = model.predict_proba(x)[:, 1]
    return np.asarray(logit(np.clip(p, _EDGE, 1 - _EDGE)))


def _learned(x: Floats, y: NDArray[np.bool_], others: Floats) -> Floats:
    """Return the risk of `others`: both learners stacked on out-of-fold scores."""
    fold = np.arange(len(y)) % _FOLDS
    out = np.zeros((len(y), 2))
    for i in range(_FOLDS):
        for j, model in enumerate(_learners()):
            model.fit(x[fold != i], y[fold != i])
            out[fold == i, j] = _log_odds(model, x[fold == i])
    stack = LogisticRegression(C=10.0).fit(out, y)
    scores = [_log_odds(m.fit(x, y), others) for m in _learners()]
    z, seen = (
        stack.decision_function(np.stack(scores, axis=1)),
        stack.decision_function(out),
    )
    # Quadratic in log-odds: the tail of the safe tasks is where the audits go.
    square = LogisticRegression(C=1e3).fit(np.stack([seen, seen**2], axis=1), y)
    turn = -square.coef_[0, 0] / (2 * square.coef_[0, 1])
    z = np.minimum(z, turn) if square.coef_[0, 1] < 0 else np.maximum(z, turn)
    return np.asarray(expit(square.decision_function(np.stack([z, z**2], axis=1))))


def world(seed: int, n_tasks: int = N_TASKS) -> World:
    """Return a window of tasks, with a risk that was learned from others."""
    rng = np.random.default_rng(seed)
    slope = rng.standard_normal(N_FEATURES)
    slope /= np.linalg.norm(slope)
    x, p = _tasks(N_LEARNED_FROM, slope, rng)
    others, truth = _tasks(n_tasks, slope, rng)
    return World(truth=truth, risk=_learned(x, rng.random(len(p)) < p, others))


def _threshold(made: World) -> float:
    """Return the risk below which about `MISSED` of all need lies."""
    order = np.argsort(made.risk)
    below = np.cumsum(made.truth[order]) / made.truth.sum()
    return float(made.risk[order][np.searchsorted(below, MISSED)])


def _plain(made: World, escalated: NDArray[np.bool_], uniform: float) -> Outcomes:
    """Return the window with everything in place but the draws and the labels."""
    n = len(made.risk)
    spread = np.sqrt(made.risk * (1 - made.risk))
    most = (1 - uniform) * AUDITED / spread[~escalated].mean()
    nothing = np.zeros(n, dtype=np.bool_)
    words = np.full(n, "")
    ids = np.arange(n).astype(np.str_)
    return Outcomes(
        task_id=ids,
        group=ids,
        at=np.arange(n, dtype=np.float64),
        escalated=escalated,
        risk=made.risk,
        threshold=np.full(n, np.nan),
        q_uniform=np.full(n, uniform * AUDITED),
        q_targeted=np.minimum(most * spread, 1.0),
        uniform=nothing,
        targeted=nothing,
        needed=np.full(n, np.nan),
        evidence=words,
        matured=np.full(n, np.nan),
        domain=words,
        agent_version=words,
        tier=words,
        trigger=words,
        model_version=words,
        confidence=np.full(n, np.nan),
        transferred=nothing,
        complained=nothing,
        draw=np.full(n, np.nan),
    )


def _lived(
    plain: Outcomes, truth: Floats, rng: np.random.Generator
) -> tuple[Outcomes, float]:
    """Return the window as it went once, and the miss rate there was."""
    n = len(truth)
    needed, silent = rng.random(n) < truth, ~plain.escalated
    complained = needed & silent & (rng.random(n) < COMPLAINS)
    uniform = rng.random(n) < plain.q_uniform
    targeted = rng.random(n) < plain.q_targeted
    seen = plain.escalated | complained | (silent & (uniform | targeted))
    went = replace(
        plain,
        uniform=uniform,
        targeted=targeted,
        complained=complained,
        needed=np.where(seen, needed.astype(np.float64), np.nan),
    )
    return went, float((needed & silent).sum() / needed.sum())


def measure(
    *, replays: int = 300, seed: int = 0, uniform: float = UNIFORM
) -> dict[str, Any]:
    """Return bias, RMSE and coverage of each estimator over many replays.

    Returns
    -------
    dict
        ``truth`` (mean), ``audits`` (mean number), and by estimator (``labelled``,
        ``ipw``, ``ipw_complaints``, ``aipw``) ``bias``, ``rmse`` with its 95 % range
        (``low``, ``high``), ``coverage`` of the 95 % interval.
    """
    made = world(seed)
    rng = np.random.default_rng(seed + 1)
    plain = _plain(made, made.risk >= _threshold(made), uniform)
    errors: dict[str, list[float]] = {_name(method): [] for method in Method}
    covered = dict.fromkeys(errors, 0)
    truths, audits = [], []
    for i in range(replays):
        went, truth = _lived(plain, made.truth, rng)
        truths.append(truth)
        audits.append(int((~went.escalated & (went.uniform | went.targeted)).sum()))
        for method in Method if i % _OTHERS_EVERY == 0 else (Method.AIPW,):
            found = miss_rate(went, method=method)
            if found.value is None or found.low is None or found.high is None:
                continue
            errors[_name(method)].append(found.value - truth)
            covered[_name(method)] += found.low <= truth <= found.high
    told = {name: _summary(np.array(e), covered[name]) for name, e in errors.items()}
    return {"truth": float(np.mean(truths)), "audits": float(np.mean(audits)), **told}


def _name(method: Method) -> str:
    return method.name.lower()


def _summary(errors: Floats, covered: int) -> Mapping[str, float]:
    square = np.square(errors)
    spread = 1.96 * square.std() / np.sqrt(len(square))
    low, high = (np.sqrt(max(square.mean() + s, 0.0)) for s in (-spread, spread))
    return {
        "bias": float(errors.mean()),
        "rmse": float(np.sqrt(square.mean())),
        "low": float(low),
        "high": float(high),
        "coverage": covered / len(errors),
    }
