from __future__ import annotations

import pytest

from serving.policy.words import fill, is_tautology, shown, template_fault


@pytest.mark.parametrize(
    "sentence",
    [
        "needs a human because it needs a human",
        "Human review required.",
        "The case was escalated since escalation was needed",
        "Der Nutzer braucht jemanden, weil der Nutzer jemanden braucht.",
        "the refund failed because the refund failed",
        "",
    ],
)
def test_a_sentence_that_fits_any_escalation_is_a_tautology(sentence: str) -> None:
    """What says nothing of this task, or repeats itself, is no reason."""
    assert is_tautology(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "the user asked for a person",
        "needs a human because the card was declined",
        "the refund failed because the card had expired",
        "weil die Karte abgelaufen ist",
    ],
)
def test_a_sentence_about_this_task_is_a_reason(sentence: str) -> None:
    """One word about the task makes it a reason."""
    assert not is_tautology(sentence)


@pytest.mark.parametrize(
    ("template", "fault"),
    [
        ("wait {wait}", None),
        ("plain {{braces}}", None),
        ("wait {wiat}", "{wiat} is not known here; did you mean 'wait'?"),
        ("wait {}", "{} is not known here"),
        ("wait {wait:.2f}", "write {wait} alone"),
        ("wait {wait!r}", "write {wait} alone"),
        ("wait {wait", "write {{ for a brace"),
    ],
)
def test_placeholders_are_checked(template: str, fault: str | None) -> None:
    """A placeholder must be a known name and nothing else."""
    found = template_fault(template, {"wait"})
    assert fault in found if fault and found else found == fault


def test_numbers_are_shown_as_a_person_reads_them() -> None:
    """Counts have no decimals, ratios three digits, the unknown is called so."""
    values = [0.0, 3.0, 0.73125, -0.5, 99.96, 1234.56, 1e9, float("nan"), "", "billing"]
    assert [shown(v) for v in values] == [
        *("0", "3", "0.731", "-0.5", "100", "1235", "1000000000"),
        *("unknown", "unknown", "billing"),
    ]


def test_what_is_not_known_is_filled_as_unknown() -> None:
    """A placeholder without a value says that it is unknown, and stays harmless."""
    assert fill("{a} {b} {{c}}", {"a": "{b}"}) == "{b} unknown {c}"
