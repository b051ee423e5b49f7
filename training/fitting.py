"""Fitting: labelled snapshots in, a bundle out that promises nothing yet."""

from __future__ import annotations

import importlib.metadata
from dataclasses import asdict

from threadpoolctl import threadpool_limits

from features.signals import NAMES, schema_lines
from training import calibrate, certify, model
from training.bundle import Certificate, ModelBundle, Refusal, now
from training.dataset import Snapshots
from training.order import Order
from training.search import search

FOLDS = 5  # of the cross-fit: so many customers it takes
_MANY_TASKS, _FOLDS_OF_MANY = 8_000, 4
_LIBRARIES = ("lightgbm", "numpy", "scipy", "escalon")


def fit_bundle(
    data: Snapshots, certificate: Certificate | None, order: Order
) -> ModelBundle:
    """Return booster and out-of-fold calibrator for `data`, with no certificate yet.

    Parameters
    ----------
    certificate : Certificate or None
        One to put in; None puts a refusal in its place that says why.
    """
    # More threads than one wait for each other by spinning: on a busy machine that
    # makes fits of milliseconds take seconds, and adds in another order.
    with threadpool_limits(1, user_api="blas"):
        return _fitted(data, certificate, order)


def _fitted(
    data: Snapshots, certificate: Certificate | None, order: Order
) -> ModelBundle:
    seen = data.thinned(order.recipe.rows_for(data.n_tasks))
    recipe = _recipe(seen, order)
    folds = FOLDS if data.n_tasks < _MANY_TASKS else _FOLDS_OF_MANY
    scores = model.cross_fit(seen, recipe, k=folds, progress=order.progress)
    share = model.best_share(scores, seen)
    order.progress("choosing a calibrator on the out-of-fold scores")
    sample = calibrate.Sample(
        score=scores.at(share),
        steps=seen.x[:, NAMES.index("steps")],
        y=seen.y,
        weight=seen.weight,
        expected=seen.x[:, NAMES.index("history_expected_rate")],
        spoke=seen.x[:, NAMES.index("since_agent_message")] == 0,
        groups=seen.groups,
    )
    calibrator = calibrate.choose(sample, seed=order.recipe.seed)
    order.progress("growing the boosters")
    scorer, floor = model.Model.grown(seen, recipe).weighed(share)
    fingerprint = data.fingerprint()
    return ModelBundle(
        scorer=scorer,
        floor=floor,
        calibrator=calibrator,
        sureness=calibrate.sureness(sample, seen.task_ids, seed=order.recipe.seed),
        certificate=certificate or _none_yet(order),
        signals=tuple(schema_lines()),
        facts={
            "version": f"{now()[:10]}-{fingerprint[:8]}",
            "made_at": now(),
            "fingerprint": fingerprint,
            "n_tasks": data.n_tasks,
            "n_needed": data.n_needed,
            "recipe": asdict(recipe),
            "twin_share": share,
            "libraries": {n: importlib.metadata.version(n) for n in _LIBRARIES},
        },
    )


def _recipe(seen: Snapshots, order: Order) -> model.Recipe:
    if order.trials:
        return search(seen, order.recipe, trials=order.trials, progress=order.progress)
    order.progress("choosing how to grow the boosters")
    return model.chosen(seen, order.recipe)


def _none_yet(order: Order) -> Certificate:
    return Certificate(
        alpha=order.alpha,
        delta=order.delta,
        n_needed=0,
        n_tasks=0,
        misses_allowed=0,
        method=certify.METHOD,
        threshold=None,
        escalation_rate=None,
        reason="no certificate was made: no tasks were set aside for one",
        refusal=Refusal.NOT_MADE,
    )
