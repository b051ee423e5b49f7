"""The head of the Markdown card, as model hubs read it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from training.card.shown import Node, Shown
from training.card.source import SCOPES, Source

# Names that Hugging Face's `evaluate` knows them by; the rest keep ours.
_TYPES = {"auroc": "roc_auc", "auprc": "average_precision", "brier": "brier_score"}
_SCORES = ("auroc", "auprc", "brier", "log_loss", "ece_debiased")
_DECISIONS = ("escalation_rate", "miss_rate", "precision")
_DIGITS = 4


def front_matter(source: Source, show: Callable[[Shown], str]) -> dict[str, Any]:
    """Return the YAML head of a card: what it is, and its ``model-index``.

    Parameters
    ----------
    show : callable
        What becomes of a piece that was read off the data.

    References
    ----------
    Hugging Face Hub, ``ModelCardData`` and ``EvalResult``.
    """
    facts, report = source.facts, source.report
    name = _shown(facts["model"], show)
    return {
        "model_name": name,
        "library_name": "lightgbm",
        "pipeline_tag": "tabular-classification",
        "tags": ["escalation", "calibrated", "human-oversight"],
        "metrics": [_TYPES.get(key, key) for key in _SCORES],
        "model-index": [
            {
                "name": name,
                "results": [
                    {
                        "task": {
                            "type": "tabular-classification",
                            "name": "does this task need a human",
                        },
                        "dataset": {
                            "type": "escalon-events",
                            "name": _shown(facts["evaluated_on"], show),
                            "revision": _shown(facts["fingerprint"], show),
                        },
                        "metrics": list(_metrics(report, show)),
                    }
                ],
            }
        ],
    }


def _metrics(report: Node, show: Callable[[Shown], str]) -> Iterator[dict[str, Any]]:
    for scope, words in SCOPES.items():
        for key in _SCORES:
            yield from _metric(report[scope][key], key, f"{key}, {words}", show)
    for key in _DECISIONS:
        yield from _metric(report[key], key, key.replace("_", " "), show)


def _metric(
    found: Node, key: str, name: str, show: Callable[[Shown], str]
) -> Iterator[dict[str, Any]]:
    if not found:
        return
    ends = {part: _number(found[part], show) for part in ("low", "high") if found[part]}
    metric = {
        "type": _TYPES.get(key, key),
        "name": name,
        "value": _number(found["value"], show),
    }
    yield {**metric, "args": {"interval": ends}} if ends else metric


def _number(node: Node, show: Callable[[Shown], str]) -> float | str:
    """Return a rounded number; text where `show` makes more of it than the number."""
    text = f"{node.value:.{_DIGITS}f}"
    told = show(Shown(text, node.at, node.value))
    return float(text) if told == text else told


def _shown(node: Node, show: Callable[[Shown], str]) -> str:
    return show(Shown(str(node.value), node.at, node.value))
