"""The card as a machine-learning bill of materials, CycloneDX 1.7."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

from training.card.blocks import Points
from training.card.shown import Node, Phrase, Shown
from training.card.source import SCOPES, Source
from training.card.view import View

SPEC = "1.7"
_MODEL, _DATA = "model", "training-data"
_DIGITS = 4
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "escalon.card")
_SCORES = (
    "auroc",
    "auprc",
    "brier",
    "log_loss",
    "ece_debiased",
    "calibration_slope",
    "calibration_intercept",
)
_DECIDED = (
    "escalation_rate",
    "miss_rate",
    "precision",
    "false_alarm_rate",
    "lead_steps_median",
    "cost_per_task",
)
_SLICED = (
    "base_rate",
    "auroc",
    "brier",
    "calibration_gap",
    "escalation_rate",
    "miss_rate",
)

Show = Callable[[Shown], str]


def bom(shown: View, source: Source, show: Show | None = None) -> dict[str, Any]:
    """Return the bill of materials as plain JSON data.

    The same card gives the same bytes: the serial number follows from the digests of
    the bundle and of the evaluation, the time is that of the training.

    Parameters
    ----------
    show : callable, optional
        What becomes of a piece that was read off the data; default: its text.

    References
    ----------
    ECMA-424, CycloneDX 1.7 (2025): ``modelCard``.
    """
    put = show or (lambda piece: piece.text)
    facts = source.facts
    made = facts["made_at"] if facts["made_at"].value else facts["made"]
    time = f"{_word(made, put)}{'' if facts['made_at'].value else 'T00:00:00Z'}"
    libraries = list(_libraries(facts, put))
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPEC}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC,
        "serialNumber": f"urn:uuid:{_serial(source)}",
        "version": 1,
        "metadata": {"timestamp": time, "component": _model(shown, source, put)},
        "components": [_data(source, put), *_files(facts, put), *libraries],
        "dependencies": [
            {
                "ref": _MODEL,
                "dependsOn": [_DATA, *(library["bom-ref"] for library in libraries)],
            }
        ],
    }


def _serial(source: Source) -> uuid.UUID:
    digests = source.facts["digest"].value, source.derived["report_sha256"].value
    return uuid.uuid5(_NAMESPACE, "/".join(digests))


def _word(node: Node, put: Show) -> str:
    return put(Shown(str(node.value), node.at, node.value))


def _sentence(phrase: Phrase, put: Show) -> str:
    return "".join(part if isinstance(part, str) else put(part) for part in phrase)


def _hashes(node: Node, put: Show) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": _word(node, put)}]


def _model(shown: View, source: Source, put: Show) -> dict[str, Any]:
    facts = source.facts
    return {
        "type": "machine-learning-model",
        "bom-ref": _MODEL,
        "name": _word(facts["model"], put),
        "version": _word(facts["version"], put),
        "description": _sentence(shown.verdict.headline, put),
        "hashes": _hashes(facts["digest"], put),
        "modelCard": {
            "modelParameters": {
                "approach": {"type": "supervised"},
                "task": "classification: does this task need a human",
                "architectureFamily": "gradient-boosted trees and logistic regression",
                "modelArchitecture": "LightGBM and logistic twin, monotone, calibrated",
                "datasets": [{"ref": _DATA}],
                "inputs": [{"format": "signals of an events log, one row per step"}],
                "outputs": [{"format": "risk in the unit interval, per step"}],
            },
            "quantitativeAnalysis": {
                "performanceMetrics": list(_metrics(source.report, put))
            },
            "considerations": _considerations(shown, source, put),
            "properties": list(_properties(shown, source, put)),
        },
    }


# --- figures -----------------------------------------------------------------


def _metrics(report: Node, put: Show) -> Iterator[dict[str, Any]]:
    for scope, words in SCOPES.items():
        for key in _SCORES:
            yield from _metric(report[scope][key], key, words, put)
        within = report["within_strata"][scope]
        yield from _metric(within, "auroc_within_strata", words, put)
    for name, stage in report.get("by_stage").items() if report.get("by_stage") else ():
        for key in ("auroc", "log_loss", "ece_debiased"):
            where = f"stage: {_sentence(name, put)}"
            yield from _metric(stage["scores"][key], key, where, put)
    for key in _DECIDED:
        yield from _metric(report[key], key, "all tasks", put)
    yield from _sliced(report["by_group"], put)


def _sliced(by: Node, put: Show) -> Iterator[dict[str, Any]]:
    for grouping, values in by.items():
        for kind, found in values.items():
            if found["suppressed"].value:
                continue
            where = f"{_sentence(grouping, put)}: {_sentence(kind, put)}"
            for key in _SLICED:
                yield from _metric(found[key], key, where, put)


def _metric(found: Node, kind: str, where: str, put: Show) -> Iterator[dict[str, Any]]:
    if not found:
        return
    metric: dict[str, Any] = {
        "type": kind,
        "value": _number(found["value"], put),
        "slice": where,
    }
    if found["low"] and found["high"]:
        metric["confidenceInterval"] = {
            "lowerBound": _number(found["low"], put),
            "upperBound": _number(found["high"], put),
        }
    yield metric


def _number(node: Node, put: Show) -> str:
    return put(Shown(f"{node.value:.{_DIGITS}f}", node.at, node.value))


# --- words -------------------------------------------------------------------


def _considerations(shown: View, source: Source, put: Show) -> dict[str, Any]:
    by_key = {section.key: section for section in shown.sections}
    limits = [
        _sentence(point, put)
        for block in by_key["limits"].blocks
        if isinstance(block, Points)
        for point in block.points
    ]
    return {
        "users": ["risk owners", "the people who take tasks over"],
        "useCases": [_word(source.facts["intended_use"], put)],
        "technicalLimitations": [
            *limits,
            *(f"Not for: {_word(line, put)}" for line in source.facts["not_for"]),
        ],
        "performanceTradeoffs": [
            _sentence(by_key[key].answer, put) for key in ("frontier", "people")
        ],
        "ethicalConsiderations": [
            {
                "name": by_key[key].title,
                "mitigationStrategy": _sentence(by_key[key].answer, put),
            }
            for key in ("gaming", "labels", "slices")
        ],
    }


def _properties(shown: View, source: Source, put: Show) -> Iterator[dict[str, str]]:
    yield _property("verdict", shown.verdict.state)
    for line in shown.verdict.against:
        yield _property("open", _sentence(line, put))
    promise = source.facts["certificate"]
    for key in ("alpha", "delta", "threshold", "escalation_rate", "method", "reason"):
        if promise[key]:
            yield _property(f"certificate.{key}", _word(promise[key], put))
    for _, gap in shown.gaps:
        yield _property("not-measured", f"{gap.what}: {gap.how}")
    if source.facts["expires"]:
        yield _property("look-again-by", _word(source.facts["expires"], put))
    yield _property("evaluation.digest", _word(source.derived["report_sha256"], put))


def _property(name: str, value: str) -> dict[str, str]:
    return {"name": f"escalon:{name}", "value": value}


# --- parts -------------------------------------------------------------------


def _data(source: Source, put: Show) -> dict[str, Any]:
    facts = source.facts
    window = facts["window"]
    known = {
        "tasks": facts["n_tasks"],
        "unlabelled": facts["n_unlabelled"],
        **({"first-day": window[0], "last-day": window[1]} if window else {}),
    }
    return {
        "type": "data",
        "bom-ref": _DATA,
        "name": "labelled tasks",
        "version": put(Shown(facts["fingerprint"].value[:12], facts["fingerprint"].at)),
        "hashes": _hashes(facts["fingerprint"], put),
        "data": [
            {
                "type": "dataset",
                "name": "signals and labels of tasks",
                "contents": {
                    "properties": [
                        _property(name, _word(node, put))
                        for name, node in known.items()
                    ]
                },
                "sensitiveData": ["signals of tasks of customers; no text of theirs"],
            }
        ],
    }


def _files(facts: Node, put: Show) -> Iterator[dict[str, Any]]:
    for name, digest in facts["files"].items():
        words = _sentence(name, put)
        yield {
            "type": "file",
            "bom-ref": f"file:{digest.at.rsplit('/', 1)[1]}",
            "name": words,
            "hashes": _hashes(digest, put),
        }


def _libraries(facts: Node, put: Show) -> Iterator[dict[str, Any]]:
    for name in facts["libraries"].value:
        version = facts["libraries"][name]
        yield {
            "type": "library",
            "bom-ref": f"library:{name}",
            "name": name,
            "version": _word(version, put),
            "purl": f"pkg:pypi/{name}@{_word(version, put)}",
        }
