from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from features.ingest import langsmith

Take = Callable[..., Any]
Json = dict[str, Any]

ROOT = "11111111-1111-4111-8111-111111111111"
META: Json = {"thread_id": "th", "user_id": "u", "revision_id": "v1"}


def run(name: str, second: int, kind: str, **beside: Any) -> Json:
    return {
        "id": name,
        "trace_id": ROOT,
        "parent_run_id": ROOT,
        "dotted_order": f"20260101T000000000000Z{ROOT}.20260101T0000{second:02}5Z{name}",
        "name": f"{name}'s name",
        "run_type": kind,
        "start_time": f"2026-01-01T00:00:{second:02}",
        "end_time": f"2026-01-01T00:00:{second:02}.500000",
        "inputs": {},
        "outputs": None,
        "error": None,
        "extra": {"metadata": META},
        **beside,
    }


def llm(**beside: Any) -> Json:
    said = {
        "inputs": {"messages": [{"role": "user", "content": "hi"}], "model": "m"},
        "outputs": {"choices": [{"message": {"role": "assistant", "content": "yo"}}]},
    }
    return run("gen", 1, "llm", **{**said, **beside})


def root(**beside: Any) -> Json:
    order = f"20260101T000000000000Z{ROOT}"
    place = {"parent_run_id": None, "dotted_order": order}
    return run(ROOT, 9, "chain", **{**place, **beside})


def feedback(key: str = "polite", **beside: Any) -> Json:
    return {
        "id": f"f-{key}",
        "run_id": "gen",
        "trace_id": ROOT,
        "key": key,
        "score": 0.5,
        "created_at": "2026-01-01T00:00:03",
        "feedback_source": {"type": "model"},
        **beside,
    }


def test_runs_tell_task_facts_and_all_the_rest(take: Take) -> None:
    """The thread is the task; what nobody reads of a run stays."""
    row = llm(tags=["t"], session_id="project", status="success", events=[])
    landed = take("langsmith", row, root())
    assert landed.refusals == []
    assert {e.task_id for e in landed.events} == {"th"}
    assert landed["start"].body["group"] == "u"
    assert landed["start"].body["agent_version"] == "v1"
    assert landed["gen.in0"].text == "hi"
    assert landed["gen.out0"].text == "yo"
    kept = landed["gen.out0"].body["extra"]["span"]
    assert kept == {
        "parent_run_id": ROOT,
        "extra": {"metadata": META},
        "tags": ["t"],
        "session_id": "project",
        "status": "success",
        "inputs": {"model": "m"},
    }


def test_lines_and_a_list_of_runs_are_the_same(take: Take) -> None:
    """A file may have a run a line or be one array of them."""
    rows = [llm(), root()]
    events = take("langsmith", *rows).events
    assert take("langsmith", rows).events == events
    assert take("langsmith", json.dumps(rows, indent=1)).events == events
    text = {name: json.dumps(llm()[name]) for name in ("inputs", "outputs")}
    assert take("langsmith", {**llm(), **text}, root()).events == events


@pytest.mark.parametrize("name", ["session_id", "thread_id", "conversation_id"])
def test_task_is_what_metadata_calls_a_conversation(take: Take, name: str) -> None:
    """Three words for it; without one the trace is the task."""
    named = take("langsmith", llm(extra={"metadata": {name: "c"}}))
    assert {e.task_id for e in named.events} == {"c"}
    nameless = take("langsmith", llm(extra=None, session_id="project"))
    assert {e.task_id for e in nameless.events} == {ROOT}


def test_run_sent_at_its_start_and_at_its_end_is_one(take: Take) -> None:
    """A batch posts what begins and patches what ends, also in another request."""
    end = {"id": "gen", "end_time": llm()["end_time"], "outputs": llm()["outputs"]}
    begun = {k: v for k, v in llm().items() if k not in end or k == "id"}
    whole = take("langsmith", llm(), root()).events
    sent = take("langsmith", {"post": [begun, root()], "patch": [end]})
    assert sent.events == whole
    assert (
        take("langsmith", {"post": [begun]}, {"patch": [end, root()]}).events == whole
    )
    open_ = take("langsmith", {"post": [begun]})
    assert open_["gen.in0"].text == "hi"


def test_what_is_told_after_the_end_is_a_piece_of_the_run(take: Take) -> None:
    """Late words of a run are added to its log, and its first ones stay."""
    late = {"id": "gen", "end_time": "2026-01-01T00:00:05", "tags": ["late"]}
    landed = take("langsmith", {"post": [llm()], "patch": [late]})
    assert landed.refusals == []
    assert landed["gen.out0"].text == "yo"
    assert landed["gen.1"].body["extra"]["tags"] == ["late"]


def test_model_run_tells_usage_and_model(take: Take) -> None:
    """Costs may be text; the model is in metadata or among the parameters."""
    counted = {
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "total_tokens": 5,
        "total_cost": "0.5",
        "prompt_token_details": {"cached": 1},
    }
    landed = take("langsmith", llm(**counted))
    usage = landed.body("gen.usage")
    assert (usage["tokens_in"], usage["tokens_out"], usage["cost"]) == (3, 2, 0.5)
    assert usage["extra"] == counted
    asked = llm(extra={"invocation_params": {"model": "m"}, "metadata": 5})
    assert take("langsmith", asked)["start"].body["model"] == "m"
    metadata = {"ls_model_name": "n", "usage_metadata": {"input_tokens": 4}}
    landed = take("langsmith", llm(extra={"metadata": metadata}))
    assert landed["start"].body["model"] == "n"
    assert landed["gen.usage"].body["tokens_in"] == 4
    named = take("langsmith", root(extra={"metadata": {"ls_model_name": "n"}}))
    assert "model" not in named["start"].body


def test_chain_repeats_a_sum_that_is_not_counted_again(take: Take) -> None:
    """Only runs of models spend; the sum stays where it was."""
    landed = take("langsmith", root(prompt_tokens=3, outputs={"output": "yo"}))
    assert "usage" not in landed.kinds()
    said = landed[f"{ROOT}.out0"].body
    assert said["extra"]["span"]["prompt_tokens"] == 3


def test_root_speaks_only_where_no_model_does(take: Take) -> None:
    """What a chain was asked and answered is told by its models if they tell it."""
    said = {"inputs": {"question": "hey"}, "outputs": {"answer": "ho"}}
    alone = take("langsmith", root(**said))
    assert [e.text for e in alone.events if e.kind.endswith("_message")] == [
        "hey",
        "ho",
    ]
    both = take("langsmith", root(**said), llm())
    assert [e.text for e in both.events if e.kind.endswith("_message")] == ["hi", "yo"]


def test_tool_run_tells_call_result_and_error(take: Take) -> None:
    """An error is text, with its type before its words."""
    ok = run("f", 1, "tool", inputs={"n": 1}, outputs={"output": "out"})
    bad = run("g", 2, "tool", error="ValueError('no')\n\nTraceback")
    odd = run("h", 3, "tool", error="it broke (badly)")
    landed = take("langsmith", ok, bad, odd)
    assert landed["f.call"].body["arguments"] == {"n": 1}
    assert landed["f.call"].body["tool"] == "f's name"
    result = landed["f.result"].body
    assert (result["text"], result["error"], result["latency_ms"]) == (
        "out",
        False,
        500,
    )
    error = landed["g.result"].body["error"]
    assert (error["type"], error["message"]) == (
        "ValueError",
        "ValueError('no')\n\nTraceback",
    )
    assert landed["h.result"].body["error"]["type"] == "error"


def test_retriever_tells_documents(take: Take) -> None:
    """What was found is kept; what was looked for too."""
    found = [{"page_content": "p"}]
    row = run("r", 1, "retriever", inputs={"query": "q"}, outputs={"documents": found})
    body = take("langsmith", row)["r.found"].body
    assert body["documents"] == found
    assert body["extra"]["span"]["inputs"] == {"query": "q"}


@pytest.mark.parametrize("kind", ["chain", "prompt", "parser", "embedding", "new"])
def test_inner_runs_are_kept_as_they_came(take: Take, kind: str) -> None:
    """What no signal reads is a span event with all of its data."""
    row = run("x", 1, kind, inputs={"a": 1}, outputs={"b": [2]}, attachments={"k": [1]})
    extra = take("langsmith", row)["x"].body["extra"]
    assert (extra["inputs"], extra["outputs"]) == ({"a": 1}, {"b": [2]})
    assert extra["attachments"] == {"k": [1]}


def test_dotted_order_tells_tree_and_time_where_nothing_else_does(take: Take) -> None:
    """Trace and start are in it; without one, a run is a trace of its own."""
    bare = {"trace_id": None, "parent_run_id": None, "start_time": None, "extra": None}
    landed = take("langsmith", {**llm(), **bare, "end_time": None})
    said = landed["gen.out0"]
    assert (said.task_id, said.at.isoformat()) == (
        ROOT,
        "2026-01-01T00:00:01.500000+00:00",
    )
    inner = {**run("x", 1, "chain", outputs={"output": "x"}), **bare}
    assert take("langsmith", inner).kinds() == ["task_started", "span"]
    orderless = {**llm(), **bare, "dotted_order": 5, "end_time": None}
    landed = take("langsmith", orderless)
    assert {e.task_id for e in landed.events} == {"gen"}


def test_feedback_is_read_by_who_gave_it(take: Take) -> None:
    """Models may feed signals; people in the application are outcomes."""
    person = {"type": "app", "user_id": "r"}
    rows = [
        feedback(),
        feedback("tone", score=None, value="pass", comment="why"),
        feedback("count", score=None, value=1, modified_at="2026-01-01T00:00:04"),
        feedback("liked", feedback_source=person),
        feedback("needed_human", score=1, feedback_source=person, correction={"a": 1}),
        feedback("rubric", score=None, value={"k": 1}, feedback_source=None, id=None),
    ]
    landed = take("langsmith", llm(), *rows)
    assert landed.refusals == []
    polite = landed["feedback.f-polite"].body
    assert (polite["score"], polite["about"], polite["by"]) == (0.5, "gen", "model")
    tone = landed["feedback.f-tone"].body
    assert (tone["agree"], tone["label"], tone["text"]) == (True, "pass", "why")
    assert landed["feedback.f-count"].body["score"] == 1.0
    assert landed["feedback.f-count"].at.second == 4
    assert landed["feedback.f-liked"].kind == "annotation"
    verdict = landed["feedback.f-needed_human"].body
    assert (verdict["needed"], verdict["source"], verdict["by"]) == (
        "yes",
        "human",
        "r",
    )
    assert verdict["extra"]["correction"] == {"a": 1}
    assert landed["feedback.gen.rubric"].body["extra"]["value"] == {"k": 1}
    assert landed.kinds().count("span") == 0


def test_feedback_without_its_trace_is_of_the_run_it_names(take: Take) -> None:
    """An older row names only the run."""
    landed = take("langsmith", feedback(trace_id=None))
    assert {e.task_id for e in landed.events} == {"gen"}


def test_average_feedback_is_an_annotation(take: Take) -> None:
    """Nobody knows when it was given."""
    stats = {"polite": {"n": 2, "avg": 0.75}, "odd": 5, "none": {"avg": None}}
    landed = take("langsmith", llm(feedback_stats=stats))
    body = landed["gen.stats.polite"].body
    assert landed["gen.stats.polite"].kind == "annotation"
    assert (body["score"], body["extra"]) == (0.75, {"stats": {"n": 2, "avg": 0.75}})
    assert landed.kinds().count("annotation") == 3


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (5, "run"),
        ({"post": 5}, "run.id"),
        ({**llm(), "id": None}, "run.id"),
        ({**llm(), "id": 5}, "run.id"),
        ({**llm(), "id": "b", "run_type": 5}, "run.run_type"),
        ({**llm(), "id": "b", "deep": nested(200)}, "run"),
        (feedback(key=""), "feedback.key"),
        (feedback(run_id=None, trace_id=None), "feedback.run_id"),
    ],
)
def test_malformed_row_costs_itself_alone(take: Take, bad: Any, field: str) -> None:
    """The refusal names the field; the rows around it land."""
    landed = take("langsmith", llm(), bad, root())
    (refusal,) = landed.refusals
    assert (refusal.line, refusal.field) == (2, field)
    assert landed["gen.out0"].text == "yo"
    assert landed[ROOT].body["what"] == "agent"


def test_field_of_ours_in_a_row_changes_nothing(take: Take) -> None:
    """A log cannot call a run a piece of another."""
    landed = take("langsmith", {**llm(), "\0piece": ["x"]})
    assert landed["gen.out0"].text == "yo"
    assert landed.refusals == []


def test_own_kind_of_record_is_told_apart() -> None:
    """Runs, feedback and batches fit; other objects with the same names do not."""
    assert langsmith.fits(llm())
    assert langsmith.fits([feedback()])
    assert langsmith.fits({"post": [llm()], "patch": []})
    assert langsmith.fits({"patch": [{"id": "x", "dotted_order": "y"}]})
    assert not langsmith.fits({"key": "x"})
    assert not langsmith.fits({"post": [{"id": "x"}]})
    assert not langsmith.fits("x")
