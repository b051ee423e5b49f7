"""What changed between two versions, as far as their cards tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from training.card.evidence import Change, Delta, Measured
from training.card.facts import CardFacts
from training.card.source import SCOPES

Json = Mapping[str, Any]

_SCORES = (
    ("auroc", "AUROC"),
    ("log_loss", "log-loss"),
    ("ece_debiased", "calibration error"),
)
_DECISIONS = ("miss_rate", "escalation_rate", "precision", "cost_per_task")


def change_from(
    before: tuple[Json, CardFacts], now: tuple[Json, CardFacts], *, role: str = ""
) -> Change:
    """Return what is different between two versions, each as its own card has it.

    Each was measured on the tasks set aside for it, so the differences carry no
    interval. For one, put in what a comparison on the same tasks found.

    Parameters
    ----------
    before, now : (report, facts)
        As `training.card.read_card` returns them.
    role : str
        What the earlier one is, such as "champion".
    """
    (old, old_facts), (new, new_facts) = before, now
    had = [s.name for s in old_facts.signals]
    has = [s.name for s in new_facts.signals]
    return Change(
        version=old_facts.version,
        digest=old_facts.digest,
        role=role,
        deltas=tuple(_deltas(old, new)),
        threshold_before=old_facts.certificate.threshold,
        signals_added=tuple(sorted(set(has) - set(had))),
        signals_removed=tuple(sorted(set(had) - set(has))),
    )


def _deltas(old: Json, new: Json) -> Iterator[Delta]:
    for scope, words in SCOPES.items():
        for key, name in _SCORES:
            yield _delta(f"{name}, {words}", old[scope][key], new[scope][key])
    for key in _DECISIONS:
        yield _delta(key.replace("_", " "), old[key], new[key])


def _delta(name: str, old: Json | None, new: Json | None) -> Delta:
    return Delta(name=name, before=_measured(old), now=_measured(new))


def _measured(found: Json | None) -> Measured | None:
    return Measured(**found) if found else None
