"""What a card says, in words and tables: the same for HTML, Markdown and JSON."""

from __future__ import annotations

from typing import Any

from training.card.facts import CardFacts
from training.card.figures import ReportJson
from training.card.tables import (
    at_steps,
    baselines,
    decisions,
    flags,
    per_thousand,
    scores,
    signals,
    slices,
)
from training.card.text import estimate, points, whole

_SELF_REPORTED_IS_MUCH = 0.2


def view(report: ReportJson, facts: CardFacts) -> dict[str, Any]:
    """Return everything the templates show.

    Parameters
    ----------
    report : mapping
        ``Report.to_json()``.
    facts : CardFacts
        The rest of what the card says.
    """
    return {
        "title": f"{facts.model}, version {facts.version}",
        "verdict": _verdict(report, facts),
        "identity": _identity(facts),
        "intended_use": facts.intended_use,
        "not_for": list(facts.not_for),
        "data": _data(report, facts),
        "scores": scores(report),
        "at_steps": at_steps(report),
        "decisions": decisions(report),
        "per_thousand": per_thousand(report),
        "baselines": baselines(report),
        "baseline_words": {
            name.replace("_", " "): found["says"]
            for name, found in report["baselines"].items()
        },
        "slices": slices(report),
        "signals": signals(facts),
        "limitations": _limitations(report, facts),
        "reading": _reading(facts),
        "made_with": _made_with(report),
    }


def _verdict(report: ReportJson, facts: CardFacts) -> dict[str, Any]:
    promise, missed = facts.certificate, report["miss_rate"]
    if promise.threshold is None:
        words = [_OFF, promise.reason]
        return {"state": "refused", "headline": "Certificate refused", "words": words}
    words = [
        (
            f"Escalating at a risk of {promise.threshold:.3f} or more misses at most "
            f"{whole(promise.alpha)} of the tasks that need a human, with confidence "
            f"{whole(1 - promise.delta)}."
        )
    ]
    if promise.escalation_rate is not None:
        words.append(f"It costs escalating {whole(promise.escalation_rate)} of tasks.")
    if missed:
        words.append(f"On the tasks of this card it missed {estimate(missed)}.")
    if missed and missed["low"] is not None and missed["low"] > promise.alpha:
        words.append(_DOUBT)
        return {"state": "doubted", "headline": "Certificate in doubt", "words": words}
    return {"state": "certified", "headline": "Certified", "words": words}


_OFF = (
    "No threshold could be certified. The learned trigger stays off and the hard rules "
    "decide alone."
)
_DOUBT = "That is more than was promised: do not promote before it is clear why."


def _identity(facts: CardFacts) -> dict[str, str]:
    nobody = "nobody yet"
    return {
        "Model": facts.model,
        "Version": facts.version,
        "Alias": ", ".join(facts.aliases) or "none",
        "Owner": facts.owner
        or f"{nobody}; a version without an owner must not go live",
        "Approved by": facts.approved_by or nobody,
        "Made on": facts.made.isoformat(),
        "Look again by": facts.expires.isoformat() if facts.expires else "no date set",
        "Bundle (SHA-256)": facts.digest,
    }


def _data(report: ReportJson, facts: CardFacts) -> dict[str, str]:
    labelled = sum(facts.label_sources.values())
    mix = ", ".join(
        f"{source.replace('_', ' ')} {whole(n / labelled)} ({n:,})"
        for source, n in sorted(facts.label_sources.items(), key=lambda item: -item[1])
        if labelled
    )
    seen = facts.n_tasks + facts.n_unlabelled
    window = "not recorded"
    if facts.window:
        first, last = facts.window
        window = f"{first.isoformat()} to {last.isoformat()}"
    return {
        "Learned from": f"{facts.n_tasks:,} labelled tasks",
        "Window": window,
        "Labels from": mix or "not recorded",
        "Left out, no label": f"{facts.n_unlabelled:,} tasks"
        + (f" ({whole(facts.n_unlabelled / seen)})" if seen else ""),
        "Fingerprint (SHA-256)": facts.fingerprint,
        "Figures are from": f"{report['n_tasks']:,} tasks of "
        f"{report['setting']['n_clusters']:,} customers, {report['n_rows']:,} steps: "
        f"{facts.evaluated_on}",
        "Needed a human": estimate(report["base_rate_interval"]),
    }


def _limitations(report: ReportJson, facts: CardFacts) -> list[str]:
    """Return the limits that the figures show, then those that always hold."""
    found = [*facts.limitations, *report["notes"], *flags(report)]
    slope = report["end_of_task"]["calibration_slope"]
    if slope and slope["high"] is not None and slope["high"] < 1:
        found.append("Risks are too extreme: high ones are too high, low ones too low.")
    if slope and slope["low"] is not None and slope["low"] > 1:
        found.append("Risks are too timid: high ones are too low, low ones too high.")
    told = sum(s.share for s in facts.signals if s.trust == "self_reported")
    if told > _SELF_REPORTED_IS_MUCH:
        found.append(
            f"{whole(told)} of the score rests on what the agent says of itself, which "
            "an agent may learn to say falsely."
        )
    found.append(
        "Predicting a failure is not preventing it: costs assume that a human who is "
        f"asked fixes {whole(report['costs']['fixable'])} of what would go wrong."
    )
    return [*found, *_ALWAYS]


_ALWAYS = (
    "Needed is what the label says. Where reviewers err, every rate here errs.",
    "Agent versions and domains outside the data start outside the evidence.",
)


def _reading(facts: CardFacts) -> list[str]:
    promise = facts.certificate
    made = (
        f"It was asked for on {promise.n_tasks:,} tasks, of which {promise.n_needed:,} "
        "needed a human."
    )
    if promise.threshold is not None:
        made = (
            f"It was made on {promise.n_tasks:,} tasks. {promise.n_needed:,} of them "
            f"needed a human, and at most {promise.misses_allowed:,} of those could be "
            f"missed ({promise.method})."
        )
    about = (
        "The promise is about the miss rate: of the tasks that need a human, at most "
        f"{whole(promise.alpha)} are never escalated. It says nothing of how many "
        "escalations are needless; that is the precision."
    )
    doubt = (
        f"Its confidence of {whole(1 - promise.delta)} is over the draw of those "
        f"tasks: of ten such certificates up to {points(10 * promise.delta)} may be "
        "wrong, and nobody can say which."
    )
    return [about, made, doubt, *_HOLDS]


_HOLDS = (
    (
        "It holds for tasks that come as those came, on average over them: not for "
        "each domain, customer or agent version, and not after the agent has changed."
    ),
    (
        "It counts a task as escalated if its risk reaches the threshold at any step, "
        "however late. How much time is left then is the lead time."
    ),
)


def _made_with(report: ReportJson) -> str:
    setting = report["setting"]
    return (
        f"In brackets: {setting['interval']}, {setting['replicates']:,} replicates, "
        f"seed {setting['seed']}. {setting['weighting'].capitalize()}."
    )
