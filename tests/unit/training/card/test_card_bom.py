"""The bill of materials: valid CycloneDX, and the same every time."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from training.bundle import Certificate
from training.card import bom, source_of, view
from training.card.facts import CardFacts


@pytest.fixture(scope="module")
def validator() -> JsonStrictValidator:
    """Return the validator of the newest specification."""
    return JsonStrictValidator(SchemaVersion.V1_7)


@pytest.fixture
def found(full_card: Path) -> dict[str, Any]:
    """Return the bill of the card without gaps."""
    held: dict[str, Any] = orjson.loads((full_card / "card.cdx.json").read_bytes())
    return held


def card_of(found: dict[str, Any]) -> dict[str, Any]:
    """Return the model card in a bill."""
    held: dict[str, Any] = found["metadata"]["component"]["modelCard"]
    return held


@pytest.mark.parametrize("name", ["card", "full_card"])
def test_bill_is_valid(
    name: str, request: pytest.FixtureRequest, validator: JsonStrictValidator
) -> None:
    """CycloneDX's own schema, read strictly, finds nothing wrong."""
    folder: Path = request.getfixturevalue(name)
    text = (folder / "card.cdx.json").read_text(encoding="utf-8")
    assert validator.validate_str(text) is None


def test_validator_would_find_a_fault(
    found: dict[str, Any], validator: JsonStrictValidator
) -> None:
    """A figure that is a number, where the schema wants text, is refused."""
    card_of(found)["quantitativeAnalysis"]["performanceMetrics"][0]["value"] = 0.9
    assert validator.validate_str(orjson.dumps(found).decode()) is not None


def test_bill_of_a_refused_version_is_valid(
    make_report: Any, facts: CardFacts, refusal: Certificate, validator: Any
) -> None:
    """Without a threshold there are fewer metrics, and a valid bill."""
    source = source_of(make_report(None), replace(facts, certificate=refusal))
    made = bom(view(source), source)
    assert validator.validate_str(orjson.dumps(made).decode()) is None
    metrics = card_of(made)["quantitativeAnalysis"]["performanceMetrics"]
    assert "miss_rate" not in {m["type"] for m in metrics}


def test_bill_names_the_model_its_files_its_data_and_its_libraries(
    found: dict[str, Any], full_facts: CardFacts
) -> None:
    """Everything has a digest or a version, and depends on what it was made with."""
    model = found["metadata"]["component"]
    assert model["type"] == "machine-learning-model"
    assert model["hashes"] == [{"alg": "SHA-256", "content": full_facts.digest}]
    parts = {part["bom-ref"]: part for part in found["components"]}
    data = parts["training-data"]
    assert data["hashes"][0]["content"] == full_facts.fingerprint
    assert card_of(found)["modelParameters"]["datasets"] == [{"ref": "training-data"}]
    for name, digest in full_facts.files.items():
        assert parts[f"file:{name}"]["hashes"][0]["content"] == digest
    for name, version in full_facts.libraries.items():
        assert parts[f"library:{name}"]["purl"] == f"pkg:pypi/{name}@{version}"
    (needs,) = found["dependencies"]
    assert set(needs["dependsOn"]) <= parts.keys()


def test_bill_has_each_slice_with_its_interval(
    found: dict[str, Any], report: dict[str, Any]
) -> None:
    """Metrics of slices and stages stand beside those of all tasks."""
    metrics = card_of(found)["quantitativeAnalysis"]["performanceMetrics"]
    by = {(m["type"], m["slice"]): m for m in metrics}
    told = report["by_group"]["domain"]["retail"]["auroc"]
    assert by["auroc", "domain: retail"] == {
        "type": "auroc",
        "value": f"{told['value']:.4f}",
        "slice": "domain: retail",
        "confidenceInterval": {
            "lowerBound": f"{told['low']:.4f}",
            "upperBound": f"{told['high']:.4f}",
        },
    }
    assert ("ece_debiased", "stage: early") in by
    assert ("miss_rate", "all tasks") in by
    assert len(by) == len(metrics)


def test_bill_has_a_serial_number_that_follows_from_what_it_is_of(
    report: dict[str, Any], full_facts: CardFacts, found: dict[str, Any]
) -> None:
    """The same version has the same number, another bundle another; no clock is read."""
    source = source_of(report, full_facts)
    assert bom(view(source), source)["serialNumber"] == found["serialNumber"]
    assert re.match(r"urn:uuid:[0-9a-f-]{36}$", found["serialNumber"])
    other = source_of(report, replace(full_facts, digest="00" * 32))
    assert bom(view(other), other)["serialNumber"] != found["serialNumber"]
    assert found["metadata"]["timestamp"] == full_facts.made_at


def test_bill_says_what_is_promised_open_and_not_measured(
    card: Path, facts: CardFacts
) -> None:
    """A machine can read the verdict and its gaps off the properties."""
    held = orjson.loads((card / "card.cdx.json").read_bytes())
    told: dict[str, list[str]] = {}
    for entry in card_of(held)["properties"]:
        told.setdefault(entry["name"], []).append(entry["value"])
    assert told["escalon:verdict"] == ["not-yet"]
    assert told["escalon:certificate.alpha"] == [str(facts.certificate.alpha)]
    assert "Nobody has approved it." in told["escalon:open"]
    assert any("Release gates" in line for line in told["escalon:not-measured"])
