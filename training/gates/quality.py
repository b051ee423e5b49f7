"""Gates on how good a model is: honest risks, a bound that holds, no weak part."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binom, norm

from training.bundle import Certificate, ModelBundle
from training.certify import Evidence as Peaks
from training.evaluate.decisions import Alarms
from training.evaluate.intervals import Estimate
from training.evaluate.report import Slice
from training.evaluate.scoring import Sample, score
from training.evaluate.slices import by_group
from training.evaluate.stages import END, by_stage
from training.gates.evidence import Evidence
from training.gates.gate import Gate, Limits, Severity, shown

# A figure over its limit whose interval reaches below: nothing is shown against it.
_NOT_SHOWN = ", which the interval includes"
_INTERVAL = 1.96  # standard errors on each side of a 95 % interval


def calibrated_by_stage(evidence: Evidence, limits: Limits) -> Gate:
    """Return whether the risks are honest over all steps, in each stage, at the end."""
    view = evidence.view
    stages = by_stage(view.rows, evidence.risk, view.draws)
    every = score(Sample.every_step(view.rows, evidence.risk), view.draws).scores()
    errors = {name: stage.scores.ece_debiased for name, stage in stages.items()}
    held = [("every step", every.ece_debiased, limits.ece_every_step)]
    held += [
        (name, error, limits.ece_end if name == END else limits.ece_stage)
        for name, error in errors.items()
    ]
    red = [name for name, error, limit in held if error.low > limit]
    worst = max(held, key=lambda one: one[1].value - one[2])
    over = worst[1].value > worst[2]
    return Gate(
        code="ESC005",
        title="Risks are honest at every stage",
        severity=Severity.BLOCK,
        passed=not red and bool(errors),
        says=(
            f"calibration error {shown(worst[1])} at worst ({worst[0]}, limit "
            f"{worst[2]:g}"
            + (f"); too large: {', '.join(red)}" if red else _NOT_SHOWN * over + ")")
            if errors
            else "too few tasks to tell"
        ),
        evidence={
            "ece_debiased": {name: error for name, error, _ in held},
            "limits": {name: limit for name, _, limit in held},
        },
    )


def certificate_holds(evidence: Evidence, limits: Limits) -> Gate:
    """Return whether fresh tasks are missed no more often than was certified."""
    bundle = evidence.bundle
    fresh = evidence.data.where(evidence.is_fresh)
    made = [
        c for c in (bundle.certificate, *bundle.segments) if c.threshold is not None
    ]
    tests = [
        test
        for certificate in made
        if (test := _retested(bundle, fresh, certificate)) is not None
    ]
    lowest = min((test["p_value"] for test in tests), default=math.nan)
    broken = lowest < limits.certificate_p / max(len(tests), 1)
    if not made:
        says = f"there is no certificate: {bundle.certificate.reason}"
    elif not tests:
        says = "no fresh task needed a human: it stands untested, give later tasks"
    else:
        whole = tests[0]
        says = (
            f"{whole['misses']} of {whole['n_needed']} fresh tasks that needed a human "
            f"are missed, at most {whole['alpha']:.0%} were promised (p = "
            f"{whole['p_value']:.3f})"
        )
    return Gate(
        code="ESC006",
        title="The certificate holds on fresh tasks",
        severity=Severity.BLOCK if tests else Severity.WARN,
        passed=bool(tests) and not broken,
        says=says,
        evidence={"tests": tests, "limit": limits.certificate_p},
    )


def _retested(
    bundle: ModelBundle, fresh: Any, certificate: Certificate
) -> dict[str, Any] | None:
    """Return the exact binomial test of a certificate on tasks it does not know."""
    part = fresh.where(_in_segment(fresh, certificate.segment))
    if len(part) == 0 or certificate.threshold is None:
        return None
    peaks = Peaks(
        highest=part.running_maximum(bundle.risks(part.x)),
        needed=part.y[part.starts] > 0,
        group=part.groups[part.starts],
    ).independent(seed=0)
    if len(peaks) == 0:
        return None
    misses = int((peaks < certificate.threshold).sum())
    return {
        "segment": certificate.segment,
        "alpha": certificate.alpha,
        "threshold": certificate.threshold,
        "n_needed": len(peaks),
        "misses": misses,
        "p_value": float(binom.sf(misses - 1, len(peaks), certificate.alpha)),
    }


def _in_segment(data: Any, segment: str) -> Any:
    if not segment:
        return np.ones(len(data), dtype=bool)
    name, _, value = segment.partition("=")
    return getattr(data, {"account_tier": "tier"}.get(name, name)) == value


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lag:
    """By how much a slice is worse than what is allowed, in standard errors."""

    grouping: str
    value: str
    what: str
    figure: Estimate
    against: float
    errors: float


def no_slice_left_behind(evidence: Evidence, limits: Limits) -> Gate:
    """Return whether some part of the tasks fares much worse than the rest."""
    view, data = evidence.view, evidence.data
    threshold = evidence.bundle.certificate.threshold
    alarms = None
    if threshold is not None:
        alarms = Alarms.of(view.rows, evidence.risk >= threshold)
    groupings = {
        "domain": data.domain,
        "agent_version": data.agent_version,
        "account_tier": data.tier,
    }
    slices = by_group(
        view.rows,
        evidence.risk,
        alarms,
        {name: of[view.rows.order] for name, of in groupings.items()},
        view.draws,
    )
    lags = list(_lags(evidence, limits, slices))
    # Looking at many slices finds a bad one by chance: each is held to a stricter test.
    enough = float(norm.isf(limits.slice_doubt / max(len(lags), 1)))
    red = sorted((x for x in lags if x.errors > enough), key=lambda x: -x.errors)
    hidden = sum(bool(s.suppressed) for of in slices.values() for s in of.values())
    named = "; ".join(
        f"{x.grouping} {x.value}: {x.what} {shown(x.figure)} against {x.against:.3f}"
        for x in red
    )
    return Gate(
        code="ESC008",
        title="No part of the tasks fares much worse",
        severity=Severity.BLOCK,
        passed=not red,
        says=named
        or f"{len(lags)} figures of slices lie within what is allowed; {hidden} slices "
        "have too few tasks to tell",
        evidence={
            "worse": red,
            "looked_at": len(lags),
            "too_few_tasks": hidden,
            "standard_errors": enough,
        },
    )


def _lags(evidence: Evidence, limits: Limits, slices: Any) -> Iterator[_Lag]:
    end = Sample.end_of_task(evidence.view.rows, evidence.risk)
    overall = float(score(end, evidence.view.draws).value[0])
    alpha = evidence.bundle.certificate.alpha
    for grouping, values in slices.items():
        for value, one in values.items():
            for what, figure, sign, limit in _held(one, limits, overall, alpha):
                if figure is None or not math.isfinite(figure.low):
                    continue
                error = max((figure.high - figure.low) / (2 * _INTERVAL), 1e-9)
                yield _Lag(
                    grouping=grouping,
                    value=value,
                    what=what,
                    figure=figure,
                    against=limit,
                    errors=sign * (figure.value - limit) / error,
                )


def _held(
    one: Slice, limits: Limits, overall: float, alpha: float
) -> Iterator[tuple[str, Estimate | None, int, float]]:
    """Yield name, figure, which way is worse, and where it begins to be too bad."""
    if one.suppressed:
        return
    yield "AUROC", one.auroc, -1, overall - limits.slice_auroc
    yield "risk minus base rate", one.calibration_gap, 1, limits.slice_gap
    yield "risk minus base rate", one.calibration_gap, -1, -limits.slice_gap
    yield "miss rate", one.miss_rate, 1, alpha + limits.slice_misses
