from __future__ import annotations

from collections.abc import Callable
from datetime import date, time, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

import serving.policy
from features.signals import SIGNALS
from serving.policy.conditions import compile_condition
from serving.policy.faults import SELF_REPORTED
from serving.policy.rules import (
    Costs,
    Learned,
    Policy,
    PolicyError,
    Priority,
    check,
    json_schema,
)

FOLDER = Path(serving.policy.__file__).parent
WAIVER = {"by": "risk-owner", "why": "no people at night", "until": "2026-12-31"}
MORE_RULE = {"name": "more", "when": "steps > 9.0", "says": "many steps: {steps}"}


def refused(document: dict[str, Any]) -> str:
    with pytest.raises(PolicyError) as caught:
        Policy.parse(orjson.dumps(document).decode())
    assert len(caught.value.faults) == str(caught.value).count("\n- ")
    return str(caught.value)


# --- parse, load, default -----------------------------------------------------


def test_the_default_policy_loads_and_says_nothing_on_a_working_day() -> None:
    """The policy that comes with the package needs no change and no apology."""
    assert check(Policy.default(), today=date(2026, 11, 24)) == ()


def test_the_default_policy_is_told_to_editors() -> None:
    """Its first line names the schema, and the schema in the package is up to date."""
    first = (FOLDER / "default.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=policy.schema.json"
    stored = orjson.loads((FOLDER / "policy.schema.json").read_bytes())
    assert stored == json_schema(), "write it anew with `escalon policy schema`"


def test_the_schema_documents_each_part() -> None:
    """Editors show what the docstrings say, beside the field it is about."""
    schema = json_schema()
    assert schema["title"] == "Escalon policy"
    assert schema["additionalProperties"] is False
    assert "Attributes" not in str(schema)
    assert "terminal" in schema["$defs"]["Queue"]["properties"]["chain"]["description"]


def test_a_policy_is_loaded_from_a_file(
    document: dict[str, Any], tmp_path: Path
) -> None:
    """What a file says is the policy."""
    path = tmp_path / "policy.yaml"
    path.write_bytes(orjson.dumps(document))
    assert Policy.load(path) == Policy.parse(path.read_text(encoding="utf-8"))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """A file in another encoding is refused, with its name."""
    path = tmp_path / "policy.yaml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(PolicyError, match=r"policy\.yaml is not UTF-8 text"):
        Policy.load(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "not YAML"),
        ("version: '1'\nversion: '2'", "the key 'version' is given twice"),
        ("1: 2", "the key 1 is not a text"),
        ("- 1", "the document: Input should be a valid dictionary"),
        ("", "the document: Input should be a valid dictionary"),
    ],
)
def test_what_is_no_document_is_refused(text: str, message: str) -> None:
    """Text that is not one mapping with text keys is refused."""
    with pytest.raises(PolicyError, match=message):
        Policy.parse(text)


def test_yaml_is_read_as_it_is_meant(document: dict[str, Any]) -> None:
    """17:00 is five o'clock, `no` is Norwegian, and 15 min is a quarter of an hour."""
    del document["messages"], document["queues"]
    text = orjson.dumps(document).decode().removesuffix("}") + (
        ", queues: [{name: general, owner: lead, members: [ana, ben], hours: {opens: 09:00,"
        " closes: 17:00}, acknowledge_within: 15 min, resolve_within: PT1H},"
        " {name: billing, owner: x, members: [y]}],"
        " messages: {default: {en: &m {open: o, closed: c}, no: *m}}}"
    )
    policy = Policy.parse(text)
    general = policy.queue("general")
    assert general.hours.closes == time(17)
    assert general.acknowledge_within == timedelta(minutes=15)
    assert general.resolve_within == timedelta(hours=1)
    assert set(policy.messages["default"]) == {"en", "no"}


def test_the_digest_follows_the_meaning_and_not_the_form(
    policy_of: Callable[..., Policy],
) -> None:
    """A default written out changes nothing; a changed value does."""
    digest = policy_of().digest
    assert policy_of(mode="enforce", audit={"uniform": 0.02}).digest == digest
    assert policy_of(mode="shadow").digest != digest


def test_a_dumped_policy_parses_to_itself() -> None:
    """A policy can be stored as JSON and loaded again."""
    policy = Policy.default()
    again = Policy.parse(policy.model_dump_json())
    assert again == policy
    assert again.digest == policy.digest


def test_a_changed_copy_is_another_policy(policy_of: Callable[..., Policy]) -> None:
    """A copy with changes is checked, and has a digest of its own."""
    policy = policy_of()
    digest = policy.digest
    assert policy.model_copy() == policy
    shadow = policy.model_copy(update={"mode": "shadow"})
    assert shadow == policy_of(mode="shadow")
    assert shadow.digest != digest == policy.digest
    with pytest.raises(PolicyError, match=r"messages: default\.en is missing"):
        policy.model_copy(update={"messages": {}})


def test_an_unknown_queue_is_a_key_error(policy_of: Callable[..., Policy]) -> None:
    """Asking for a queue that is not there names it."""
    with pytest.raises(KeyError, match="vip"):
        policy_of().queue("vip")


# --- faults of parts ----------------------------------------------------------


def test_faults_of_parts_are_listed_together(document: dict[str, Any]) -> None:
    """Each fault has its place, what is wrong, and what stood there."""
    del document["review_by"]
    document["rulez"] = []
    document["queues"][0]["acknowledge_within"] = "soon"
    document["audit"] = {"uniform": 2}
    message = refused(document)
    assert "4 faults" in message
    assert "- review_by is missing" in message
    assert "- rulez is not a key of the policy; see `escalon policy schema`" in message
    assert "- queues.0.acknowledge_within: " in message
    assert "found 'soon'" in message
    assert (
        "- audit.uniform: Input should be less than or equal to 1, found 2" in message
    )


def test_a_span_of_no_time_is_refused(document: dict[str, Any]) -> None:
    """A deadline must lie ahead."""
    document["queues"][0]["resolve_within"] = "0 min"
    assert "queues.0.resolve_within: a deadline must lie ahead" in refused(document)


# --- faults between parts -----------------------------------------------------


def change(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Return a function that sets what `path` leads to."""
    *steps, last = (int(p) if p.isdigit() else p for p in path.split("."))

    def apply(document: dict[str, Any]) -> None:
        at: Any = document
        for step in steps:
            at = at[step]
        if isinstance(at, list) and last == len(at):
            at.append(value)
        else:
            at[last] = value

    return apply


FAULTS: list[tuple[str, Any, str]] = [
    # rules
    ("rules.1.when", "stepz > 1.0", "rule 'loop': `stepz > 1.0`: 'stepz' is neither"),
    ("rules.1.name", "learned", "the name 'learned' is taken by Escalon"),
    ("rules.2", MORE_RULE | {"name": "loop"}, "rule 'loop' is defined 2 times"),
    ("rules.1.says", "stop {nothing}", "{nothing} is not known here"),
    ("rules.1.says", "needs a human", "`needs a human` gives no reason"),
    ("learned", {"says": "{risk} {thresholt}"}, "did you mean 'threshold'?"),
    ("rules.1.when", "confidence_last < 0.3", "reads confidence_last, which the agent says"),
    ("rules.0.name", "asks", "there is no rule 'user_asks_for_human'; add it"),
    ("rules.0.when", "asks_for_human > 1.0", "does not fire when the user asks once"),
    ("rules.0.when", "asks > 1.0", "'asks' is neither a signal nor a fact"),
    # queues
    ("queues.2", {"name": "general"}, "queue 'general' is defined 2 times"),
    ("queues.1.chain", ["generel"], "names 'generel', no such queue; did you mean 'general'?"),
    ("queues.1.chain", ["billing"], "its chain comes to 'billing' 2 times"),
    ("queues.0.staff", 3, "queue 'general': staff is 3, but it has 2 members"),
    # routes
    ("routes.0.queue", "biling", "there is no queue 'biling'; did you mean 'billing'?"),
    ("routes.0.triggers", ["loops"], "no trigger is called 'loops'; did you mean 'loop'?"),
    ("routes.0.when", "domain == 1", "route 1 (to 'billing'): `domain == 1`: "),
    ("routes.0.when", "true", "route 2 (to 'general') is never reached: route 1 takes everything"),
    ("routes.1.when", "steps > 1.0", "no route takes what the others leave"),
    ("routes.1.when", "steps >", "no route takes what the others leave"),
    ("routes.1.triggers", ["loop"], "no route takes what the others leave"),
    # messages
    ("messages.default", {}, "messages: default.en is missing"),
    ("messages", {}, "messages: default.en is missing"),
    ("messages.lopp", {}, "messages: no trigger is called 'lopp'; did you mean 'loop'?"),
    ("messages.default.en.open", "{weit}", "messages: default.en: `{weit}`: {weit} is not"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "message"), FAULTS)
def test_a_fault_between_parts_is_refused(
    document: dict[str, Any], path: str, value: Any, message: str
) -> None:
    """A document that contradicts itself does not load, and the message says where."""
    change(path, value)(document)
    assert message in refused(document)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"owner": " "}, "which has no owner"),
        ({"members": []}, "which has no members"),
    ],
)
def test_a_route_to_a_queue_that_nobody_owns_does_not_load(
    document: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    """The queue is named with each route that ends there, directly or by a chain."""
    document["queues"][0] |= changes
    found = refused(document)
    assert f"route 2 (to 'general'): ends at queue 'general', {message}" in found
    assert (
        "route 1 (to 'billing'): ends by the chain of 'billing' at queue 'general', "
        + message
    ) in found


@pytest.mark.parametrize(
    ("queue", "fallback", "message"),
    [
        (
            {"skills": {"anna": ["tact"]}},
            None,
            "queue 'general': skills: 'anna' is no member",
        ),
        (
            {"on_overload": "shed"},
            None,
            "queue 'general': it sheds, but nothing takes over for it",
        ),
        (
            {"on_overload": "shed"},
            "general",
            "queue 'general': it sheds, but nothing takes over for it",
        ),
        ({}, "genral", "fallback_queue: there is no queue 'genral'"),
        (
            {"owner": ""},
            "general",
            "ends by the chain of 'billing' at queue 'general', which has no owner",
        ),
        ({"capacity": 0}, None, "queues.0.capacity: Input should be greater than"),
    ],
)
def test_queues_that_cannot_keep_their_word_are_refused(
    document: dict[str, Any], queue: dict[str, Any], fallback: str | None, message: str
) -> None:
    """Skills of nobody, work shed to nowhere, a last rung that is none."""
    document["queues"][0] |= queue
    document["queues"][1]["chain"] = []
    document["fallback_queue"] = fallback
    assert message in refused(document)


def test_a_queue_may_shed_to_the_fallback_queue(document: dict[str, Any]) -> None:
    """Who takes over for all takes what is too much, too."""
    document["queues"][1] |= {"on_overload": "shed", "chain": []}
    document["fallback_queue"] = "general"
    policy = Policy.parse(orjson.dumps(document).decode())
    assert policy.rungs("billing") == ("billing", "general")


def test_a_queue_that_nobody_owns_may_stand_where_no_route_leads(
    document: dict[str, Any],
) -> None:
    """What nobody reaches harms nobody; the owner of the policy is told."""
    document["queues"].append({"name": "idle"})
    policy = Policy.parse(orjson.dumps(document).decode())
    assert check(policy) == ("queue 'idle' is reached by no route and no chain",)


def test_all_faults_between_parts_are_listed_at_once(document: dict[str, Any]) -> None:
    """Whoever writes a policy sees every fault in one go."""
    paths = ("rules.1.when", "queues.0.staff", "routes.0.queue", "messages.lopp")
    chosen = {
        path: (value, message) for path, value, message in FAULTS if path in paths
    }
    for path, (value, _) in chosen.items():
        change(path, value)(document)
    found = refused(document)
    assert len(chosen) == found.count("\n- ") == 4
    assert all(message in found for _, message in chosen.values())


def test_every_self_reported_signal_counts_as_confidence() -> None:
    """The refusal covers what the catalogue says is self-reported, no list of its own."""
    assert {s.name for s in SIGNALS if s.trust == "self_reported"} == SELF_REPORTED
    assert "confidence_last" in SELF_REPORTED


def test_the_wish_for_a_human_can_be_waived_by_name_only(
    document: dict[str, Any],
) -> None:
    """A waiver with by, why and until lets a weaker rule pass, and is always told."""
    document["rules"][0] |= {"when": "asks_for_human > 5.0", "waived": WAIVER}
    policy = Policy.parse(orjson.dumps(document).decode())
    told = "rule 'user_asks_for_human' is waived by risk-owner until 2026-12-31: no people at night"
    assert check(policy) == (told,)
    assert check(policy, today=date(2027, 1, 1))[0] == told + (
        " (this is over: the rule fires again)"
    )
    document["rules"][0]["waived"] = {"by": "", "why": "x", "until": "2026-12-31"}
    assert "rules.0.waived.by" in refused(document)


# --- what the owner should know -----------------------------------------------


@pytest.mark.parametrize(
    ("path", "value", "warning"),
    [
        ("learned", {"enabled": False}, "the learned trigger is disabled: rules alone decide"),
        ("audit", {"uniform": 0}, "audit.uniform is 0: misses will not be seen"),
        ("rules.1.when", "steps != 3.0", "rule 'loop' fires while nothing is known"),
        ("rules.1.when", "!(steps < 3.0)", "rule 'loop' fires while nothing is known"),
        ("routes.0.when", "confidence_last > 0.9", "it can choose its queue by it"),
    ],
)  # fmt: skip
def test_what_may_go_live_but_should_be_known_is_told(
    document: dict[str, Any], path: str, value: Any, warning: str
) -> None:
    """A policy that gives something up says so."""
    change(path, value)(document)
    (told,) = check(Policy.parse(orjson.dumps(document).decode()))
    assert warning in told


def test_a_policy_in_which_nothing_can_fire_is_told(document: dict[str, Any]) -> None:
    """With the learned trigger off and every rule waived, nothing escalates."""
    document["learned"] = {"enabled": False}
    for rule in document["rules"]:
        rule["waived"] = WAIVER
    told = check(Policy.parse(orjson.dumps(document).decode()))
    assert told[-1].startswith("nothing can fire")


def test_a_review_that_is_due_is_told(policy_of: Callable[..., Policy]) -> None:
    """The day after `review_by` its owner is named."""
    policy = policy_of()
    assert check(policy, today=date(2027, 1, 31)) == ()
    assert check(policy, today=date(2027, 2, 1)) == (
        "the review was due on 2027-01-31; ask risk-owner",
    )


# --- values -------------------------------------------------------------------


def test_priorities_are_ranked_by_urgency() -> None:
    """Urgent comes before high, high before normal."""
    assert sorted(Priority, key=lambda p: p.rank) == ["urgent", "high", "normal"]


def test_a_review_pays_above_the_threshold_of_costs() -> None:
    """At the threshold, a review costs what it saves."""
    costs = Costs(review=5, miss=40, miss_per_account_value=0.01, fixable=0.8)
    for value in (0.0, 1000.0):
        threshold = costs.threshold(value)
        assert threshold * costs.saved(value) == pytest.approx(costs.review)
    assert costs.threshold(1000.0) < costs.threshold(0.0) == 5 / 32


@pytest.mark.parametrize(
    ("learned", "certified", "held"),
    [
        ({}, 0.3, 0.3),
        ({}, None, None),
        ({"enabled": False}, 0.3, None),
        ({"threshold": "cost"}, 0.9, 0.25),
        ({"threshold": "cost"}, 0.1, 0.1),
        ({"threshold": "cost"}, None, 0.25),
        ({"threshold": 0.5}, 0.4, 0.4),
        ({"threshold": 0.5}, 0.6, 0.5),
        ({"threshold": 0.5}, None, 0.5),
    ],
)
def test_the_certified_threshold_is_never_raised(
    learned: dict[str, Any], certified: float | None, held: float | None
) -> None:
    """Costs and the owner's own number may only lower what is certified."""
    costs = Costs(review=8, miss=40, fixable=0.8)
    assert Learned.model_validate(learned).held_against(costs, certified, 0.0) == held


def test_conditions_are_compiled_once(policy_of: Callable[..., Policy]) -> None:
    """A policy keeps one compiled expression for each condition."""
    policy = policy_of()
    assert policy.conditions is policy.conditions
    assert set(policy.conditions) == {
        *("asks_for_human >= 1.0", "call_repeats >= 3.0"),
        *('domain == "billing"', "true"),
    }
    assert compile_condition("true").return_type().name() == "BOOL"
