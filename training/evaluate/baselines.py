"""What a model has to beat: always, never, rules, confidence, a table of base rates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.signals import NAMES
from training.evaluate.metrics import Floats
from training.evaluate.rows import LabelledRows, Rows, strata

# Tasks that a stratum's own rate must outweigh before it is believed over the mean.
_PRIOR_TASKS = 10.0
CONFIDENCE_SIGNAL = "confidence_last"


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """A rule that is judged beside the model.

    Attributes
    ----------
    risk : ndarray of shape (n_rows,), float in [0, 1]
        Its forecast, scored like the model's.
    alarm : ndarray of shape (n_rows,), bool
        Whether it escalates at this row.
    says : str
        What it is and how its alarm was chosen, in words for a reader.
    certain : bool
        It escalates always, or never, whatever it sees.
    """

    risk: Floats
    alarm: NDArray[np.bool_]
    says: str
    certain: bool = False


def standard_baselines(
    rows: LabelledRows,
    risk: Floats,
    threshold: float | None,
    *,
    rules: NDArray[Any],
    confidence: Floats,
) -> dict[str, Baseline]:
    """Return the five rules every model is compared with.

    Rules that rank tasks (confidence, base rates) get the threshold at which they
    escalate about as many tasks as the model, so that their misses can be compared.

    Parameters
    ----------
    rows : LabelledRows
        Labelled rows.
    risk : ndarray of shape (n_rows,), float in [0, 1]
        The model's risk.
    threshold : float or None
        The model's threshold; None where its certificate was refused, and rules that
        rank then escalate at 0.5.
    rules : ndarray of shape (n_rows,), 0 or 1
        Whether a hard rule of the policy fires at this row.
    confidence : ndarray of shape (n_rows,), float in [0, 1]
        The agent's last word on how sure it is; NaN while it has said nothing.
        `last_confidence` reads it off the signals.

    Returns
    -------
    dict of str to Baseline
        always, never, rules_only, confidence_only, base_rate_table.
    """
    table = base_rates(rows, strata(rows))
    fired = np.asarray(rules, dtype=bool)
    ever = _so_far(rows, fired)
    base = float(np.average(rows.y, weights=rows.weight))
    doubt = np.where(np.isnan(confidence), base, 1 - np.nan_to_num(confidence))
    n_rows = len(fired)
    return {
        "always": _constant(1.0, n_rows, "every task is escalated at its first step"),
        "never": _constant(0.0, n_rows, "no task is escalated"),
        "rules_only": Baseline(
            risk=base_rates(rows, ever.astype(np.str_)),
            alarm=fired,
            says="hard rules decide; the forecast is the share that needed a human "
            "of tasks in which a rule has, or has not, fired so far",
        ),
        "confidence_only": _matched(
            rows,
            np.clip(doubt, 0.0, 1.0),
            (risk, threshold),
            "1 - the agent's last stated confidence, the base rate while it has "
            "stated none",
        ),
        "base_rate_table": _matched(
            rows,
            table,
            (risk, threshold),
            "share of tasks of this agent version in this domain that needed a human",
        ),
    }


def last_confidence(signals: Floats) -> Floats:
    """Return the self-reported confidence column of a matrix of signals.

    Parameters
    ----------
    signals : ndarray of shape (n_rows, n_signals)
        Columns as in `features.signals.SIGNALS`.

    Returns
    -------
    ndarray of shape (n_rows,), float in [0, 1]
        NaN while the agent has stated none.
    """
    return signals[:, NAMES.index(CONFIDENCE_SIGNAL)]


def base_rates(rows: LabelledRows, key: NDArray[np.str_]) -> Floats:
    """Return the share of needed tasks with the same key.

    Drawn towards the overall share as if by ten average tasks. A row's own label is
    among those it is made from, which favours the table a little. Leaving it out would
    do worse: inside a cell, rates without the own label rank the labels backwards.

    Parameters
    ----------
    rows : LabelledRows
        Labelled rows.
    key : ndarray of shape (n_rows,), str
        What is tabulated.

    Returns
    -------
    ndarray of shape (n_rows,), float in [0, 1]
    """
    _, cell = np.unique(key, return_inverse=True)
    weight = np.asarray(rows.weight, dtype=np.float64)
    n = np.bincount(cell, weight)
    yes = np.bincount(cell, weight * rows.y)
    table = (yes + _PRIOR_TASKS * yes.sum() / n.sum()) / (n + _PRIOR_TASKS)
    return np.asarray(table[cell])


def _constant(risk: float, n_rows: int, says: str) -> Baseline:
    return Baseline(
        risk=np.full(n_rows, risk),
        alarm=np.full(n_rows, risk > 0),
        says=says,
        certain=True,
    )


def _so_far(rows: LabelledRows, fired: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return whether a rule has fired in the task up to and including this row."""
    ordered = Rows.of(rows)
    step = np.where(fired[ordered.order], ordered.step, np.inf)
    first = np.minimum.reduceat(step, ordered.first)[ordered.task]
    out = np.empty(len(fired), dtype=bool)
    out[ordered.order] = ordered.step >= first
    return out


def _matched(
    rows: LabelledRows, risk: Floats, model: tuple[Floats, float | None], says: str
) -> Baseline:
    """Return the rule at the threshold that asks for the model's workload."""
    model_risk, model_threshold = model
    if model_threshold is None:
        at, how = 0.5, "at 0.5"
    else:
        ordered = Rows.of(rows)
        weight = ordered.task_weight
        peaks = ordered.highest(model_risk[ordered.order])
        wanted = float(weight @ (peaks >= model_threshold))
        at = _threshold_for(ordered.highest(risk[ordered.order]), weight, wanted)
        how = "at the threshold whose escalation rate is nearest the model's"
    return Baseline(risk=risk, alarm=risk >= at, says=f"{says}; {how}")


def _threshold_for(peaks: Floats, weight: Floats, wanted: float) -> float:
    """Return the threshold with nearest to `wanted` weight at or above it.

    Tasks with equal peaks are escalated together, so it cannot always be met.
    """
    values, group = np.unique(peaks, return_inverse=True)
    above = np.cumsum(np.bincount(group, weight)[::-1])[::-1]
    nearest = int(np.argmin(np.abs(np.append(above, 0.0) - wanted)))
    return float(np.append(values, math.inf)[nearest])
