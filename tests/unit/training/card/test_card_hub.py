"""The head of the Markdown card, as model hubs read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml


@pytest.fixture
def head(full_card: Path) -> dict[str, Any]:
    """Return the YAML head of the card."""
    text = (full_card / "card.md").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return found


def test_head_has_what_an_evaluation_result_must_have(head: dict[str, Any]) -> None:
    """Task, data set and metrics have each the keys that a hub asks for."""
    (model,) = head["model-index"]
    (result,) = model["results"]
    assert result["task"]["type"] == head["pipeline_tag"] == "tabular-classification"
    assert {"type", "name", "revision"} <= result["dataset"].keys()
    assert all({"type", "value", "name"} <= m.keys() for m in result["metrics"])
    assert {m["type"] for m in result["metrics"]} >= set(head["metrics"])


def test_head_has_the_figures_of_the_report_with_intervals(
    head: dict[str, Any], report: dict[str, Any]
) -> None:
    """A metric is a number, rounded, and its interval stands beside it."""
    metrics = {m["name"]: m for m in head["model-index"][0]["results"][0]["metrics"]}
    told, found = report["end_of_task"]["auroc"], metrics["auroc, end of task"]
    assert found["type"] == "roc_auc"
    assert found["value"] == round(told["value"], 4)
    ends = {part: round(told[part], 4) for part in ("low", "high")}
    assert found["args"]["interval"] == ends
