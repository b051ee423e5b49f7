from __future__ import annotations

import math
import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.signals import SIGNALS
from serving.policy.conditions import (
    FACTS,
    UNKNOWN,
    ConditionError,
    bind,
    compile_condition,
    holds_of_everything,
    outcome,
    reads,
)

COMPARISONS = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}


def test_every_signal_and_fact_can_be_read() -> None:
    """A condition may speak of each signal and of each fact by its name."""
    assert set(UNKNOWN) == {s.name for s in SIGNALS} | set(FACTS)
    for name, unknown in UNKNOWN.items():
        literal = '"x"' if isinstance(unknown, str) else "1.0"
        assert outcome(compile_condition(f"{name} == {literal}"), bind({})) is False


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ask_for_human > 0.0", "did you mean 'asks_for_human'"),
        (
            "domian == 'x'",
            "'domian' is neither a signal nor a fact; did you mean 'domain'",
        ),
        ("zzzzqqq > 1.0", r"'zzzzqqq' is neither a signal nor a fact$"),
        ("steps >= 3", r"a decimal number meets a whole one; write 3\.0$"),
        ("3 < steps", r"write 3\.0$"),
        ("2 < 5 && 7 < steps", r"write 7\.0$"),
        ("steps >= size(domain)", r"write double\(…\)$"),
        ("size(domain) < steps", r"write double\(…\)$"),
        ("steps > 3.0 &&\n tokens >= 4", r"write 4\.0$"),
        ("tokens > 5 && zz > 3.0", "write 5.0; 'zz' is neither"),
        ("domain > 2.0", "at 1:8: found no matching overload"),
        ("steps >=", "Syntax error"),
        ("steps", "must be true or false, it is of type double"),
        ("int(steps) > 3", "fails where nothing is known yet"),
        ("domain.matches('[')", "fails where nothing is known yet"),
    ],
)
def test_a_faulty_condition_is_refused_with_what_to_write(
    text: str, message: str
) -> None:
    """A condition that cannot be used is refused, and the message says what to do."""
    with pytest.raises(ConditionError, match=message):
        compile_condition(text)


def test_a_failure_without_a_place_is_passed_on_in_its_own_words() -> None:
    """Where the compiler names no place in the text, its own words are kept."""
    with pytest.raises(ConditionError, match=r"^`\({300}.*recursion"):
        compile_condition("(" * 300 + "steps > 1.0" + ")" * 300)


@given(
    value=st.floats(allow_nan=False), name=st.sampled_from([s.name for s in SIGNALS])
)
def test_a_comparison_with_an_unknown_signal_is_false(value: float, name: str) -> None:
    """While a signal is NaN, or not given, no order comparison with it holds."""
    for symbol, compared in COMPARISONS.items():
        condition = compile_condition(f"{name} {symbol} 1.0")
        assert outcome(condition, bind({})) is False
        assert outcome(condition, bind({name: math.nan})) is False
        assert outcome(condition, bind({name: value})) is compared(value, 1.0)


def test_a_condition_that_fails_has_no_outcome() -> None:
    """What cannot be evaluated is neither true nor false."""
    condition = compile_condition("steps > 0.0 && 1 / int(steps) == 1")
    assert outcome(condition, bind({"steps": 1.0})) is True
    assert outcome(condition, bind({"steps": 0.5})) is None


def test_names_that_no_signal_has_are_ignored() -> None:
    """Values of an older schema do not disturb a condition."""
    condition = compile_condition("steps > 1.0")
    assert outcome(condition, bind({"steps": 2.0, "gone": 1.0}, ["steps"])) is True


def test_a_quoted_name_is_not_read() -> None:
    """Only names outside of quotes count as read."""
    text = 'domain == \'steps\' && channel != "to\\"kens" && refusals > 1.0'
    assert reads(text) == {"domain", "channel", "refusals"}


def test_only_what_reads_nothing_and_is_true_holds_of_everything() -> None:
    """A catch-all is a constant truth."""
    assert holds_of_everything("true")
    assert holds_of_everything("1 < 2")
    assert not holds_of_everything("false")
    assert not holds_of_everything("steps >= 0.0 || steps < 0.0")
