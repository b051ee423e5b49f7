"""Search: the recipe that does best out of fold, within a budget of trials."""

from __future__ import annotations

import warnings
from dataclasses import replace

import optuna

from training.dataset import Snapshots
from training.model import Progress, Recipe, loss_out_of_fold


def search(
    data: Snapshots, recipe: Recipe, *, trials: int, progress: Progress
) -> Recipe:
    """Return the best of `trials` recipes, `recipe` itself being the first.

    Judged by log-loss on groups a booster has not seen. The same seed, data and
    number of trials give the same recipe: the budget is not a time.

    Parameters
    ----------
    recipe : Recipe
        Where the search begins; its seed decides all draws.
    trials : int
        At least 1.
    progress : callable
        Told each trial in words.

    References
    ----------
    Akiba et al. "Optuna" (KDD 2019); tree-structured Parzen estimator.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=recipe.seed))
    study.enqueue_trial(_point(recipe))

    def objective(trial: optuna.Trial) -> float:
        found = loss_out_of_fold(data, _suggested(trial, recipe))
        progress(f"tried recipe {trial.number + 1} of {trials}: log-loss {found:.4f}")
        return found

    with warnings.catch_warnings():
        # A search may begin where it would not go by itself.
        warnings.filterwarnings("ignore", "Fixed parameter .* is out of range")
        study.optimize(objective, n_trials=trials)
    return _made(study.best_params, recipe)


def _point(recipe: Recipe) -> dict[str, float]:
    return {
        "rounds": recipe.rounds,
        "leaves": recipe.leaves,
        "rate": recipe.rate,
        "least_in_leaf": recipe.least_in_leaf,
        "share_of_signals": recipe.share_of_signals,
        "ridge": recipe.ridge,
        "random_cuts": recipe.random_cuts is not False,
    }


def _suggested(trial: optuna.Trial, recipe: Recipe) -> Recipe:
    found = {
        "rounds": trial.suggest_int("rounds", 50, 600, log=True),
        "leaves": trial.suggest_int("leaves", 3, 31, log=True),
        "rate": trial.suggest_float("rate", 0.01, 0.2, log=True),
        "least_in_leaf": trial.suggest_int("least_in_leaf", 20, 400, log=True),
        "share_of_signals": trial.suggest_float("share_of_signals", 0.1, 1.0),
        "ridge": trial.suggest_float("ridge", 0.5, 50.0, log=True),
        "random_cuts": trial.suggest_categorical("random_cuts", [True, False]),
    }
    return _made(found, recipe)


def _made(found: dict[str, float], recipe: Recipe) -> Recipe:
    return replace(
        recipe,
        rounds=int(found["rounds"]),
        leaves=int(found["leaves"]),
        rate=found["rate"],
        least_in_leaf=int(found["least_in_leaf"]),
        share_of_signals=found["share_of_signals"],
        ridge=found["ridge"],
        random_cuts=bool(found["random_cuts"]),
    )
