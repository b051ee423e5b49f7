"""The documentation says what the code does: nothing missing, nothing stale."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import orjson
import pytest

from features import ingest
from features.events import _FIELDS, AgentEvent, EventKind, parse
from features.online import TaskState
from features.signals import NAMES
from serving.api.edge import EdgeProblem
from serving.api.metrics import Metrics
from serving.api.surface import OPERATIONS
from serving.policy.rules import Policy, json_schema
from serving.policy.trigger import Facts, evaluate
from serving.problems import ProblemType
from serving.settings import PREFIX, Settings
from training.bundle import Certificate
from training.evaluate.decisions import Decisions
from training.evaluate.report import Report, Scores, Slice

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), ROOT / "mlruns" / "README.md"])
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(#[^)\s]*)?\)")
BLOCK = re.compile(r"(?:^ {4}.*\n)+", re.MULTILINE)


def page(name: str) -> str:
    """Return the text of a page below docs."""
    return (DOCS / name).read_text(encoding="utf-8")


def made() -> dict[Path, str]:
    """Return the pages that code writes, as they should be."""
    path = DOCS / "make_reference.py"
    spec = importlib.util.spec_from_file_location("make_reference", path)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return dict(script.pages())


def coded(text: str) -> set[str]:
    """Return what stands between backticks."""
    return set(re.findall(r"`([^`\n]+)`", text))


def blocks(text: str) -> Iterator[str]:
    """Yield the indented blocks of a page, without their indent."""
    for found in BLOCK.findall(text):
        yield "\n".join(line[4:] for line in found.splitlines())


def test_pages_that_code_writes_are_what_it_would_write_now() -> None:
    """Signals and verbs stand in the reference as the code has them."""
    stale = [
        path.name
        for path, text in made().items()
        if path.read_text(encoding="utf-8") != text
    ]
    assert not stale, "run: python docs/make_reference.py"


def test_every_route_is_documented() -> None:
    """The page of the HTTP surface names each call."""
    known = coded(page("reference/http.md"))
    calls = {f"{op.method} {op.path}" for op in OPERATIONS}
    others = {"GET /metrics", "GET /v1/openapi.json", "POST /predict", "GET /console"}
    assert calls | others <= known


def test_every_problem_is_documented_with_its_status() -> None:
    """The page of the HTTP surface explains each problem."""
    rows = [ln for ln in page("reference/http.md").splitlines() if ln.startswith("| `")]
    for kind in (*ProblemType, *EdgeProblem):
        row = next((r for r in rows if f"`{kind.slug}`" in r), "")
        assert f"| {kind.status} |" in row, kind.slug


def test_every_setting_is_documented() -> None:
    """The page of the service names each variable."""
    known = coded(page("how-to/run-the-service.md"))
    assert {PREFIX + name.upper() for name in Settings.model_fields} <= known


def test_every_metric_is_documented() -> None:
    """The page of the service names each metric that is exposed."""
    policy = {"version": "1", "mode": "shadow"}
    live = {"model": {"version": "m"}, "policy": policy, "rung": 0}
    exposed = Metrics(lambda: {"queues": []}, lambda: live).exposed().decode()
    names = {line.split()[2] for line in exposed.splitlines() if "# HELP" in line}
    asked = {name for name in names if not name.endswith("_created")}
    assert asked <= coded(page("how-to/run-the-service.md"))


@pytest.mark.parametrize("kind", EventKind)
def test_every_field_of_an_event_is_documented(kind: EventKind) -> None:
    """The section of each kind names its fields and what they must be."""
    text = page("reference/events.md")
    _, _, rest = text.partition(f"### {kind}\n")
    section = re.split(r"^#", rest, maxsplit=1, flags=re.MULTILINE)[0]
    assert section.strip()
    asked = _FIELDS.get(kind, {})
    for path, check in ((marked.lstrip("!"), c) for marked, c in asked.items()):
        rows = [ln for ln in section.splitlines() if f"`{path}`" in ln]
        assert rows, path
        assert f"| {check.expected} |" in rows[0]
        assert ("Required" in rows[0]) == (f"!{path}" in asked)


def test_every_key_of_the_policy_is_documented() -> None:
    """How to write a policy leaves no key out."""
    text = page("how-to/write-a-policy.md")
    known = set(re.findall(r"[a-z_]+", text))
    schema = json_schema()
    parts = [schema, *schema["$defs"].values()]
    keys = {key for part in parts for key in part.get("properties", {})}
    assert keys <= known


def test_every_field_of_a_report_is_documented() -> None:
    """What an evaluation writes is explained, field by field."""
    known = coded(page("reference/report.md"))
    told = {f.name for kind in (Report, Scores, Decisions, Slice) for f in fields(kind)}
    assert told - {"decisions"} <= known


def test_every_field_of_a_certificate_is_documented() -> None:
    """What a certificate says is explained, field by field."""
    known = coded(page("reference/bundle.md"))
    assert {f.name for f in fields(Certificate)} <= known


@pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    """Each relative link names a file, and a heading where it names one."""
    for target, anchor in LINK.findall(path.read_text(encoding="utf-8")):
        found = (path.parent / target).resolve() if target else path
        assert found.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", found.read_text("utf-8"), re.MULTILINE)
            names = {
                re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings
            }
            assert anchor[1:] in names, target + anchor


@pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_page_has_a_gap_left_to_fill(path: Path) -> None:
    """Marks of unfinished text are gone."""
    assert "@@" not in path.read_text(encoding="utf-8")


def test_sample_logs_are_read_whole(tmp_path: Path) -> None:
    """The lines that are shown for a format can be ingested as they stand."""
    samples = {"jsonl": '{"task_id"', "chat": '{"id"'}
    for form, head in samples.items():
        shown = next(
            b for b in blocks(page("reference/log-formats.md")) if b.startswith(head)
        )
        file = tmp_path / f"{form}.jsonl"
        file.write_text(shown, encoding="utf-8")
        refused: list[Any] = []
        read = list(ingest.read("auto", [file], on_refused=refused.append))
        assert not refused
        assert ingest.detect(file) == form
        assert EventKind.VERDICT in {event.kind for event in read}


def first_call() -> list[AgentEvent]:
    """Return the events of the first call that the README shows."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = next(b for b in blocks(text) if b.startswith("curl") and "/events" in b)
    body = orjson.loads(shown.partition("-d '")[2].rstrip().removesuffix("'"))
    return [parse(event, task_id="T-1") for event in body["events"]]


def test_the_first_call_is_escalated_by_a_rule() -> None:
    """Whatever the model says, the README's call ends in a queue."""
    state = TaskState()
    for event in first_call():
        state.advance(event)
    signals = dict(zip(NAMES, state.read().tolist(), strict=True))
    fired = evaluate(signals, Facts(), None, Policy.default(), None)
    assert [firing.trigger for firing in fired] == ["write_failures"]
