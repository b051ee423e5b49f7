"""Gates against rivals: the champion, and the plain table of base rates."""

from __future__ import annotations

from typing import Any

import numpy as np

from training.evaluate.baselines import base_rates
from training.evaluate.decisions import rates
from training.evaluate.intervals import Estimate
from training.evaluate.metrics import Floats, auroc_within, log_loss
from training.evaluate.rows import strata
from training.evaluate.scoring import Sample
from training.gates.evidence import Evidence, View
from training.gates.gate import Gate, Limits, Severity, shown

_COIN = 0.5


def not_worse_than_champion(evidence: Evidence, limits: Limits) -> Gate:
    """Return whether the champion would do better on tasks neither has learned from."""
    found = _against_champion(evidence)
    loss = found.get("log_loss_end")
    if evidence.champion is None:
        severity, passed, says = Severity.WARN, True, "there is no champion yet"
    elif loss is None:
        severity, passed = Severity.WARN, False
        says = "no task is left that neither has learned from; give later tasks"
    else:
        worse = loss.low > 0
        passed = not worse and loss.high <= limits.champion_margin
        severity = Severity.BLOCK if worse else Severity.WARN
        says = (
            f"log-loss at the end differs by {loss.value:+.4f} ({loss.low:+.4f} to "
            f"{loss.high:+.4f}) from the champion's, {limits.champion_margin:g} is "
            "allowed" + ("" if passed or worse else "; too few tasks to rule out more")
        )
    return Gate(
        code="ESC007",
        title="It is not worse than the champion",
        severity=severity,
        passed=passed,
        says=says,
        evidence={**found, "limit": limits.champion_margin},
    )


def _against_champion(evidence: Evidence) -> dict[str, Any]:
    view = evidence.unseen
    if evidence.champion is None or view is None:
        return {}
    ours, theirs = view.risks(evidence.bundle), view.risks(evidence.champion)
    scopes = {"end": Sample.end_of_task, "every_step": Sample.every_step}
    found: dict[str, Any] = {
        f"log_loss_{name}": _log_loss_over(
            view, of(view.rows, ours), of(view.rows, theirs)
        )
        for name, of in scopes.items()
    }
    return {
        "champion": evidence.champion.version,
        "n_tasks": view.rows.n_tasks,
        **found,
        "cost_per_task": _cost_over(evidence, view, ours, theirs),
    }


def _log_loss_over(view: View, ours: Sample, theirs: Sample) -> Estimate:
    def difference(weight: Floats) -> Floats:
        mine = log_loss(ours.y, ours.risk, weight)
        return np.asarray(mine - log_loss(theirs.y, theirs.risk, weight))

    return view.draws.estimate(difference, ours.weight, ours.cluster, n=ours.n_tasks)


def _cost_over(
    evidence: Evidence, view: View, ours: Floats, theirs: Floats
) -> Estimate | None:
    """Return cost per task minus the champion's, each at its own threshold."""
    champion = evidence.champion
    mine = evidence.bundle.certificate.threshold
    its = None if champion is None else champion.certificate.threshold
    if mine is None or its is None:
        return None
    peaks = view.rows.highest
    fired = np.column_stack([peaks(ours) >= mine, peaks(theirs) >= its])
    needed = view.rows.y[view.rows.last]

    def difference(weight: Floats) -> Floats:
        cost = rates(weight, needed, fired, evidence.costs)["cost_per_task"]
        return np.asarray(cost[..., 0] - cost[..., 1])

    return view.draws.estimate(
        difference,
        view.rows.task_weight,
        view.rows.cluster[view.rows.last],
        n=view.rows.n_tasks,
    )


def beats_the_table(evidence: Evidence, _limits: Limits) -> Gate:
    """Return whether it says more than base rates by agent version and domain."""
    view = evidence.view
    table = base_rates(evidence.data, strata(evidence.data))[view.rows.order]
    end = Sample.end_of_task(view.rows, evidence.risk)
    loss = _log_loss_over(view, end, Sample.end_of_task(view.rows, table))
    _, stratum = np.unique(view.rows.stratum[view.rows.last], return_inverse=True)
    within = view.draws.estimate(
        lambda weight: auroc_within(end.y, end.risk, weight, strata=stratum),
        end.weight,
        end.cluster,
        n=end.n_tasks,
    )
    passed = loss.high < 0 and within.low > _COIN
    # A model that looks better on too few tasks is another thing than one that is not.
    looks_better = loss.value < 0 and within.value > _COIN
    return Gate(
        code="ESC012",
        title="It says more than the table of base rates",
        severity=Severity.WARN if looks_better and not passed else Severity.BLOCK,
        passed=passed,
        says=(
            f"log-loss at the end differs by {loss.value:+.4f} ({loss.low:+.4f} to "
            f"{loss.high:+.4f}) from the table's; inside a stratum its AUROC is "
            f"{shown(within)}"
            + ("; too few tasks to be sure" if looks_better and not passed else "")
        ),
        evidence={"log_loss_over_table": loss, "auroc_within_strata": within},
    )
