"""What the model is worth on each public data set, one seed at a time.

A study yields figures; `quality` runs it with several seeds and averages. A seed is
that of the split, of the order in which tasks come and of the model. Under
``SET.counts.`` stands a plain LightGBM on 27 counts, under ``SET.table.`` the base rate
by agent version and domain, both learned from the same tasks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np
from _found import Found, fewer, named, scores
from _protocols import (
    MODELS,
    Risk,
    auroc_of,
    end_of,
    errors,
    flagged,
    models,
    ours,
    out_of_fold,
    parted,
    within_of,
)
from _real import Real, load
from numpy.typing import NDArray

from features.signals import NAMES
from training.dataset import Floats, Mask, Snapshots
from training.evaluate.stream import Predict, Refit, stream
from training.evaluate.streamed import at_stream_steps

_FOLDS = 5
_LABELLED = 200
_REFIT_EVERY = 500
_INCIDENTS = 2_000
_SHARES = (0.4, 0.2, 0.4)
_RATES = (0.05, 0.1, 0.2)
_QUICK = ("hotpotqa", "math")
_OF_TYPE = [
    i
    for i, name in enumerate(NAMES)
    if name.startswith(("history_type", "history_pair", "history_expected"))
]


_once = lru_cache(maxsize=1)(load)  # some studies read the same set


# --- tau --------------------------------------------------------------------------


def tau(seed: int, *, quick: bool) -> Iterator[Found]:
    """Yield all figures of the customer-service runs."""
    yield from _unseen(seed, quick=quick)
    yield from _streamed(seed, quick=quick)
    yield from _domain(seed, quick=quick)


def _unseen(seed: int, *, quick: bool) -> Iterator[Found]:
    """Yield what the model is worth on customers, and agent models, never seen.

    The outcome history of a task is that of the tasks before it, whosever they were:
    the customer's own earlier ones too, once their labels were known. What is left
    without any history by type stands under ``tau.customers.no_type``.
    """
    data = _once("tau", seed=seed)
    if data is None:
        return
    rows = fewer(data, 20 if quick else None).rows
    for study, by in (("customers", rows.groups), ("models", rows.agent_version)):
        k = 2 if quick else _FOLDS
        risks = {
            name: out_of_fold(rows, by, model, k=k, seed=seed)
            for name, model in models(quick=quick).items()
        }
        yield from scores(f"tau.{study}", rows, risks)
    if seed == 0 and not quick:
        blind = replace(rows, x=_without(rows.x, _OF_TYPE))
        risk = out_of_fold(blind, blind.groups, ours, k=_FOLDS, seed=seed)
        yield from scores("tau.customers.no_type", rows, {"ours": risk})


def _without(x: Floats, columns: Sequence[int]) -> Floats:
    found = x.copy()
    found[:, list(columns)] = np.nan
    return found


def _domain(seed: int, *, quick: bool) -> Iterator[Found]:
    """Yield what the model is worth in retail, once 200 tasks of it are labelled.

    It has learned from telecom and from those 200, of other customers.
    """
    data = None if quick else _once("tau", seed=seed)
    if data is None:
        return
    rows = data.rows
    retail = rows.domain == "retail"
    names = np.random.default_rng(seed).permutation(np.unique(rows.groups[retail]))
    sizes = [len(np.unique(rows.task_ids[retail & (rows.groups == n)])) for n in names]
    local = names[: int(np.searchsorted(np.cumsum(sizes), _LABELLED)) + 1]
    known = ~retail | np.isin(rows.groups, local)
    test = rows.where(~known & ~np.isin(rows.groups, local))
    models = MODELS | {"base_rate": _overall}
    risks = {n: model(rows.where(known), test, seed) for n, model in models.items()}
    yield from scores("tau.domains", test, risks)


def _overall(train: Snapshots, test: Snapshots, seed: int) -> Floats:
    """Return the base rate of the labelled tasks of the domain to be judged."""
    local = train.where(np.isin(train.domain, test.domain))
    del seed
    return np.full(len(test), np.average(local.y, weights=local.weight))


def _streamed(seed: int, *, quick: bool) -> Iterator[Found]:
    """Yield figures of the real runs in random order, labels after 50 tasks."""
    data = _once("tau", seed=seed)
    if data is None:
        return
    data = fewer(data, 20 if quick else None)
    model = models(quick=quick)["ours"]
    grow = Refit(fit=partial(_grown, model, seed), every=_REFIT_EVERY)
    streamed = stream(data.rows, data.timeline(), grow)
    chosen = np.isin(data.rows.task_ids, streamed.rows.task_ids)
    found = at_stream_steps(streamed, step=data.step[chosen], replicates=100)
    for step, at in found.items():
        place = step if step == "end" else f"step{step}"
        yield Found.of(f"tau.stream.auroc_{place}", at.model.auroc)
        yield Found.of(f"tau.stream.log_loss_{place}", at.model.log_loss)
        yield Found.of(f"tau.stream.within_{place}", at.within_strata)
        yield Found.of(f"tau.stream.table.auroc_{place}", at.table.auroc)


def _grown(model: Risk, seed: int, known: Snapshots) -> Predict:
    return lambda rows: model(known, rows, seed)


# --- intercode --------------------------------------------------------------------

_TURN_3 = 7  # the request, then three calls, each with its result


def intercode(seed: int, *, quick: bool) -> Iterator[Found]:
    """Yield figures after the third turn: problem, model or domain never seen.

    By problem each seed takes one of five parts as its test.
    """
    data = None if quick else load("intercode", seed=seed)
    if data is None:
        return
    rows, third = data.rows, data.at(_TURN_3)
    model = _words(rows.agent_version)
    by = {"": rows.groups}
    if seed == 0:
        by |= {".models": model, ".domains": rows.domain}
    for study, names in by.items():
        tests = _folds(names, seed) if study == "" else np.unique(names)[:, None]
        part = _Part(name=f"intercode{study}", names=names, tests=tests)
        yield from _left_out(part, rows, third, seed)


def _words(versions: NDArray[np.str_]) -> NDArray[np.str_]:
    """Return the first word of each: the model, without how it was led."""
    names, place = np.unique(versions, return_inverse=True)
    return np.array([name.split()[0] for name in names])[place]


def _folds(groups: NDArray[np.str_], seed: int) -> NDArray[np.str_]:
    names = np.random.default_rng(0).permutation(np.unique(groups))
    return names[None, seed % _FOLDS :: _FOLDS]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """What is set aside: each row's name, and the names of each test."""

    name: str
    names: NDArray[np.str_]
    tests: NDArray[np.str_]


def _left_out(part: _Part, rows: Snapshots, at: Mask, seed: int) -> Iterator[Found]:
    """Yield AUROC over the rows `at`, each scored by what never saw its name."""
    for model, risk in MODELS.items():
        found, scored = np.zeros(len(rows)), np.zeros(len(rows), dtype=bool)
        for test in part.tests:
            inside = np.isin(part.names, test)
            scored |= inside & at
            asked = rows.where(inside & at)
            found[inside & at] = risk(rows.where(~inside), asked, seed)
        yield Found.of(
            named(part.name, model, "auroc_step3"),
            auroc_of(rows, found, scored, each_task=True),
        )
        yield Found.of(
            named(part.name, model, "within_step3"), within_of(rows, found, scored)
        )


# --- incidents --------------------------------------------------------------------

_LATER = 0.4  # of the incidents: those that are judged
_RIPE = 5 * 86_400.0  # by then most labels are known, the early and the late ones
_ANSWERED = NAMES.index("agent_words_last")
_SOLVED = NAMES.index("claims_done")


def servicenow(seed: int, *, quick: bool) -> Iterator[Found]:
    """Yield figures on the later incidents, as they come in.

    A model learns from what was known when it was grown: at the first incident that is
    judged, and after every 2,000 further ones. At event k stand the incidents that had
    k events and no handover yet; under `.open` those that were not resolved or closed
    by then either: of the others the outcome is all but told.
    """
    data = load("servicenow", seed=seed)
    if data is None:
        return
    if quick:
        first = float(np.quantile(data.rows.started[data.rows.starts], 0.9))
        data = data.where(data.rows.started >= first)
    for name, model in models(quick=quick).items():
        grow = Refit(
            fit=partial(_grown, model, seed), every=_INCIDENTS, ripe=_RIPE * (not quick)
        )
        streamed = stream(data.rows, data.timeline(), grow, share=_LATER)
        test = data.where(np.isin(data.rows.task_ids, streamed.rows.task_ids))
        yield from _incidents(partial(named, "servicenow", name), test, streamed.risk)


def _incidents(figure: partial[str], test: Real, risk: Floats) -> Iterator[Found]:
    rows = test.rows
    for event in (1, 2, 3):
        at = test.at(event)
        found = auroc_of(rows, risk, at, each_task=True)
        yield Found.of(figure(f"auroc_event{event}"), found)
        seen = errors(test.where(at), risk[at])
        yield Found(name=figure(f"ece_event{event}"), value=seen.end)
    still = test.at(3) & ~_is_over(rows)
    found = auroc_of(rows, risk, still, each_task=True)
    yield Found.of(figure("open.auroc_event3"), found)


def _is_over(rows: Snapshots) -> Mask:
    """Return where an incident has been resolved or closed."""
    return rows.x[:, _SOLVED] > 0


# --- verifier scores --------------------------------------------------------------


def evaluator(name: str, seed: int, *, quick: bool) -> Iterator[Found]:
    """Yield failures flagged at certified false alarms, and calibration errors.

    Of the runs 40 % are learned from, 20 % certify, 40 % are judged.
    """
    if quick and name not in _QUICK:
        return
    data = load(name, seed=seed)
    if data is None:
        return
    data = fewer(data.where(data.step > 0), 700 if quick else None)
    rows = data.rows
    train, certify, test = parted(rows, _SHARES, seed)
    both = rows.where(certify | test)
    for title in ("ours", "table"):
        model, risk = models(quick=quick)[title], np.zeros(len(rows))
        risk[certify | test] = model(rows.where(train), both, seed)
        parts = [_highest(rows.where(part), risk[part]) for part in (certify, test)]
        figure = partial(named, name, title)
        for rate in _RATES:
            caught = flagged(parts[0], parts[1], rate)
            yield Found(
                name=figure(f"flagged_at_fa{round(100 * rate):02}"), value=caught
            )
        yield from _honest(figure, data.where(test), risk[test])
        # As the reference has it: no alarm once the run is over, see `_real_logs`.
        running = np.isnan(rows.x[:, _ANSWERED])
        parts = [
            _highest(rows.where(part & running), risk[part & running])
            for part in (certify, test)
        ]
        caught = flagged(parts[0], parts[1], _RATES[0])
        yield Found(name=figure("running.flagged_at_fa05"), value=caught)


def _highest(rows: Snapshots, risk: Floats) -> tuple[Floats, Mask]:
    return rows.running_maximum(risk), rows.y[rows.starts] > 0


def _honest(figure: partial[str], data: Real, risk: Floats) -> Iterator[Found]:
    seen = errors(data, risk)
    yield Found(name=figure("ece_every_step"), value=seen.every_step)
    yield Found(name=figure("ece_worst_stage"), value=seen.worst_stage)
    yield Found(name=figure("ece_end"), value=seen.end)
    end = end_of(data.rows)
    yield Found.of(figure("auroc_end"), auroc_of(data.rows, risk, end, each_task=True))
