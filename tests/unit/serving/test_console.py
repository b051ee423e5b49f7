"""The console's pages, over a real engine, as a browser without JavaScript sees them."""

from __future__ import annotations

import html
import re
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from serving.console.pages import make_console
from serving.console.words import WORDS, say

with warnings.catch_warnings():
    # The test client would rather have another HTTP library, and says so.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

BASE = "http://127.0.0.1:3000"
OURS = {"origin": BASE, "sec-fetch-site": "same-origin"}
KEY = b"k" * 32
CONSOLE = Path("serving/console")
TAG = re.compile(r"<[^>]*>")


class Browser:
    """A browser at the console: keeps its cookie, posts as a page of ours would."""

    def __init__(self, app: Any) -> None:
        self.client = TestClient(app, base_url=BASE, follow_redirects=False)

    def get(self, path: str) -> Any:
        """Follow a link."""
        return self.client.get(path)

    def post(self, path: str, **fields: Any) -> Any:
        """Send a form."""
        return self.client.post(path, data=fields, headers=OURS)

    def sign_in(self, who: str = "general-1") -> Browser:
        """Sign in as `who`."""
        assert (
            self.post("/console/sign-in", who=who, next="/console").status_code == 303
        )
        return self


@pytest.fixture
def app(desk: Any) -> Any:
    """Make the console over the engine of the desk."""
    return make_console(desk.engine, key=KEY, model=desk.source, clock=desk.clock)


@pytest.fixture
def browser(app: Any) -> Browser:
    """Open a browser, signed in as a member of the general queue."""
    return Browser(app).sign_in()


@pytest.fixture
def case(desk: Any) -> str:
    """Hand a task over, and return the address of its case."""
    return f"/console/handoffs/{desk.hand_over()}"


def words_of(answer: Any) -> str:
    """Return what a page says, without its tags."""
    return " ".join(html.unescape(TAG.sub(" ", answer.text)).split())


# --- who asks ----------------------------------------------------------------


def test_pages_ask_who_is_there(app: Any, case: str) -> None:
    """Without a session every page leads to the sign-in, which leads back."""
    browser = Browser(app)
    for path in ("/console", case, "/console/overview", "/console/pulse"):
        answer = browser.get(path)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/console/sign-in?next=%2Fconsole")


def test_sign_in_offers_the_members(app: Any, desk: Any) -> None:
    """The sign-in names every member of every queue, and that there are no passwords."""
    said = words_of(Browser(app).get("/console/sign-in"))
    for queue in desk.policy.queues:
        for member in queue.members:
            assert member in said
    assert say("sign_in_caution") in said


def test_sign_in_leads_back(app: Any, case: str) -> None:
    """After the sign-in one is where one wanted to be; never at another site."""
    browser = Browser(app)
    answer = browser.post("/console/sign-in", who="general-1", next=case)
    assert answer.headers["location"] == case
    for elsewhere in (
        "https://evil.example",
        "//evil.example",
        "/consoles",
        "/console/\\x",
    ):
        answer = browser.post("/console/sign-in", who="general-1", next=elsewhere)
        assert answer.headers["location"] == "/console"


def test_cookie_is_for_us_alone(app: Any) -> None:
    """The session cookie is no business of scripts or other sites."""
    answer = Browser(app).post("/console/sign-in", who="general-1")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "path=/console" in cookie


def test_forged_session_is_nobody(app: Any, browser: Browser) -> None:
    """A cookie that was changed, or signed by somebody else, signs nobody in."""
    name, value = next(iter(browser.client.cookies.items()))
    body, _, mac = value.partition(".")
    for forged in (f"{body}x.{mac}", f"{body}.{mac[:-2]}AA", body, "", "a.b", "%.="):
        fresh = Browser(app)
        fresh.client.cookies.set(name, forged)
        assert fresh.get("/console").status_code == 303


def test_session_ends(browser: Browser, desk: Any) -> None:
    """A session lasts a working day, and ends at the sign-out."""
    desk.clock.turn(timedelta(hours=11))
    assert browser.get("/console").status_code == 200
    desk.clock.turn(timedelta(hours=2))
    assert browser.get("/console").status_code == 303
    browser.sign_in()
    assert browser.post("/console/sign-out").status_code == 303
    assert browser.get("/console").status_code == 303


def test_stranger_cannot_sign_in(app: Any) -> None:
    """Only a name of the policy signs in."""
    browser = Browser(app)
    assert browser.post("/console/sign-in", who="mallory").status_code == 303
    assert browser.get("/console").status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site", "origin": BASE},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
    ],
)
def test_forms_of_other_sites_do_nothing(
    headers: dict[str, str], browser: Browser, case: str, desk: Any
) -> None:
    """A form that no page of ours sent is refused, and nothing changes."""
    answer = browser.client.post(f"{case}/claim", headers=headers)
    assert answer.status_code == 403
    assert say("not_ours") in words_of(answer)
    assert "handoff.claimed" not in desk.types()


# --- headers -----------------------------------------------------------------


def test_every_answer_is_locked_down(app: Any, browser: Browser, case: str) -> None:
    """Pages, refusals, assets: nothing inline, nothing from elsewhere, no framing."""
    fresh = Browser(app)
    answers = [
        browser.get("/console"),
        browser.get(case),
        browser.get("/console/handoffs/none"),
        browser.get("/console/static/console.css"),
        browser.client.post(f"{case}/claim"),
        fresh.get("/console"),
    ]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert policy.startswith(
            "default-src 'none'; script-src 'self'; style-src 'self'"
        )
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert answers[0].headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path", sorted((CONSOLE / "templates").glob("*.html")), ids=str
)
def test_templates_have_nothing_inline(path: Path) -> None:
    """No template has a script, style or handler of its own, or an outside address."""
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"<script(?! src=\"/console/)|<style|\sstyle=|\son\w+=", text)
    assert "://" not in text
    assert "| safe" not in text


def test_assets_load_nothing(browser: Browser) -> None:
    """Style and script are ours, and ask nobody else for anything."""
    for name in ("console.css", "console.js", "icon.svg"):
        answer = browser.get(f"/console/static/{name}")
        assert answer.status_code == 200
        outside = re.findall(r"https?://[^\s\"')]+", answer.text)
        assert outside in ([], ["http://www.w3.org/2000/svg"])
        assert "innerHTML" not in answer.text


# --- the queue ---------------------------------------------------------------


def test_empty_queue_says_so(browser: Browser) -> None:
    """An empty view says in words that there is nothing."""
    for view in ("waiting", "mine", "all"):
        assert say(f"nothing_{view}") in words_of(browser.get(f"/console?view={view}"))


def test_queue_shows_what_matters(browser: Browser, desk: Any, case: str) -> None:
    """A waiting handoff shows request, reason, risk, deadline, wait and queue."""
    desk.clock.turn(timedelta(minutes=5))
    said = words_of(browser.get("/console"))
    for part in ("Where is my parcel?", "wants a person", "10%", "in 10 min", "5 min"):
        assert part in said
    assert "general" in said
    assert case in browser.get("/console").text


def test_late_answer_is_marked(browser: Browser, desk: Any, case: str) -> None:
    """A deadline that has passed says by how much, in words and not by colour alone."""
    assert case
    desk.clock.turn(timedelta(minutes=40))
    assert "25 min late" in words_of(browser.get("/console"))


def test_queue_is_sorted_by_urgency(browser: Browser, desk: Any) -> None:
    """The more urgent comes first, then the earlier deadline."""
    for task_id, text in (("slow", "Where is it?"), ("fast", "My lawyer will sue you")):
        desk.begin(task_id)
        desk.clock.turn(timedelta(minutes=1))
        if task_id == "slow":
            desk.model.value = 0.9
        desk.say(text, task_id)
        desk.model.value = 0.1
    listed = desk.engine.handoffs()["handoffs"]
    priorities = {one["task_id"]: one["priority"] for one in listed}
    assert priorities["slow"] == "normal"
    assert priorities["fast"] != "normal"
    page = browser.get("/console?view=all").text
    ids = {one["task_id"]: one["handoff_id"] for one in listed}
    assert page.index(ids["fast"]) < page.index(ids["slow"])


def test_views_tell_whose(app: Any, browser: Browser, case: str) -> None:
    """Mine shows what I hold, waiting what my queues hold, all everything."""
    browser.post(f"{case}/claim")
    assert case in browser.get("/console?view=mine").text
    assert case not in browser.get("/console?view=waiting").text
    other = Browser(app).sign_in("billing-1")
    assert case not in other.get("/console?view=mine").text
    assert case in other.get("/console?view=all").text
    assert "general-1" in words_of(other.get("/console?view=all"))


def test_only_members_are_offered_a_claim(
    app: Any, browser: Browser, case: str
) -> None:
    """Who is no member of the queue sees the case without the button."""
    assert f'action="{case}/claim"' in browser.get("/console").text
    assert f'action="{case}/claim"' in browser.get(case).text
    other = Browser(app).sign_in("billing-1")
    assert f'action="{case}/claim"' not in other.get("/console?view=all").text
    assert f'action="{case}/claim"' not in other.get(case).text
    assert say("not_member", queue="general") in words_of(other.get(case))


def test_long_queue_has_pages(browser: Browser, desk: Any) -> None:
    """Fifty stand on a page; links lead on and back, and none is shown twice."""
    for n in range(53):
        desk.hand_over(f"t{n}")
    for view in ("waiting", "all"):
        first = browser.get(f"/console?view={view}")
        assert first.text.count("data-row") == 50
        assert f"view={view}&amp;offset=50" in first.text
        second = browser.get(f"/console?view={view}&offset=50")
        assert second.text.count("data-row") == 3
        assert f"view={view}&amp;offset=0" in second.text
    assert browser.get("/console?view=x&offset=-1").text.count("data-row") == 50


def test_pulse_changes_with_the_queue(browser: Browser, desk: Any, case: str) -> None:
    """The stamp of a page stays while nothing moves, and changes when something does."""
    page = browser.get("/console").text
    stamp = browser.get("/console/pulse?view=waiting").json()["stamp"]
    assert f'data-stamp="{stamp}"' in page
    handoff_id = case.rpartition("/")[2]
    held = browser.get(f"/console/pulse?handoff={handoff_id}").json()["stamp"]
    assert f'data-stamp="{held}"' in browser.get(case).text
    desk.engine.claim(handoff_id, by="general-2")
    assert browser.get("/console/pulse?view=waiting").json()["stamp"] != stamp
    assert browser.get(f"/console/pulse?handoff={handoff_id}").json()["stamp"] != held


# --- a case ------------------------------------------------------------------


def story(desk: Any) -> str:
    """Hand over a task in which a refund failed twice, and return its case."""
    started = desk.event("task_started", domain="retail", text="Refund order 17.")
    call = {"tool": "refund", "arguments": {"order": 17}, "is_write": True}
    note = {"tool": "note", "arguments": {"text": "asked"}, "is_write": True}
    events = [
        started,
        desk.event(text="Refund order 17, please. It never came."),
        desk.event("plan", text="Refund it at once."),
        desk.event("tool_call", call_id="n1", **note),
        desk.event("tool_result", call_id="n1", text="noted"),
        desk.event("tool_call", call_id="c1", **call),
        desk.event("tool_result", call_id="c1", text="gateway down", error=True),
        desk.event("tool_call", call_id="c2", **call),
        desk.event("tool_result", call_id="c2", text="gateway down", error=True),
        desk.event("agent_message", text="It is refunded."),
    ]
    desk.engine.observe("story", events)
    handoff_id = desk.engine.task("story")["handoff_id"]
    return f"/console/handoffs/{handoff_id}"


def test_case_says_why_you(browser: Browser, desk: Any) -> None:
    """The trigger in words, risk against threshold, and what moved the score."""
    desk.model.value = 0.3
    page = browser.get(story(desk))
    said = words_of(page)
    assert "Changes to the user's data failed 2 times" in said
    assert "30%" in said
    assert "threshold 50%" in said
    assert "Start \u22121.00" in said
    assert "+2.00" in said
    assert "Score +1.00" in said
    assert '<rect class="up" x="50" y="0" width="50.0" height="6"/>' in page.text


def test_case_says_what_happened(browser: Browser, desk: Any) -> None:
    """Each speaker framed apart, failures open, repeats counted, the last one linked."""
    page = browser.get(story(desk))
    for frame in ("frame user", "frame agent", "frame thought", "frame tool failed"):
        assert f'class="{frame}"' in page.text
    said = words_of(page)
    assert "same call 1 of 2" in said
    assert "same call 2 of 2" in said
    assert 'href="#attempt-3"' in page.text
    failed = page.text[page.text.index('id="attempt-3"') :]
    assert "<details open>" in failed[: failed.index("</li>")]
    kept = page.text[page.text.index('id="attempt-1"') :]
    assert "<details open>" not in kept[: kept.index("</li>")]


def test_case_warns_of_what_is_done(browser: Browser, desk: Any) -> None:
    """Writes that succeeded stand on top; those that failed do not."""
    page = browser.get(story(desk)).text
    top = page[page.index('class="done"') : page.index('class="steps"')]
    assert "note" in top
    assert "refund" not in top


def test_case_folds_the_agents_guess(browser: Browser, desk: Any) -> None:
    """What the agent would have answered is there, and folded."""
    page = browser.get(story(desk)).text
    guess = page[page.index('<details class="guess">') :]
    assert "It is refunded." in guess[: guess.index("</details>")]


def test_case_says_what_to_decide(browser: Browser, desk: Any) -> None:
    """What the human must decide stands at the verbs."""
    handoff_id = story(desk).rpartition("/")[2]
    package = desk.engine.handoff(handoff_id)["package"]
    said = words_of(browser.get(f"/console/handoffs/{handoff_id}"))
    assert package["to_decide"]
    for line in package["to_decide"] + package["may_not_know"] + package["missing"]:
        assert line[1:].replace("`", " ").split() == [
            word for word in line[1:].replace("`", " ").split() if word in said
        ]


def test_rules_alone_are_named(browser: Browser, desk: Any) -> None:
    """Without a model the case says that rules decided, and shows no risk."""
    desk.source.model = None
    said = words_of(browser.get(story(desk)))
    assert say("rules_decided") in said
    assert say("risk_of_need") not in said


HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}",
    "\u202etxt.exe",
    "\x1b[31mred",
    "zero\u200bwidth",
    "tag\U000e0041",
    "W" * 5_000,
)


def test_hostile_words_are_only_words(browser: Browser, desk: Any) -> None:
    """Nothing that anybody wrote becomes markup, hides, or reorders the page."""
    nasty = " ".join(HOSTILE)
    files = [{"name": HOSTILE[0], "media_type": HOSTILE[1]}, {"name": None}]
    desk.engine.observe(
        "t",
        [
            desk.event(
                "task_started", domain=HOSTILE[0], text=nasty, agent_id=HOSTILE[1]
            ),
            desk.event(text=nasty, attachments=files, extra={HOSTILE[0]: [nasty]}),
            desk.event("plan", text=nasty),
            desk.event("tool_call", tool=HOSTILE[0], arguments={"q": nasty}),
            desk.event(
                "tool_result", tool=HOSTILE[0], text=nasty, error={"type": nasty}
            ),
            desk.event(nasty[:40], text=nasty, **{HOSTILE[1]: nasty}),
            desk.event("agent_message", text=nasty),
        ],
    )
    answer = desk.engine.escalate("t", by=HOSTILE[0], reason=nasty)
    case = f"/console/handoffs/{answer['handoff']['handoff_id']}"
    for page in (browser.get("/console"), browser.get(case)):
        assert page.status_code == 200
        assert "<script>alert" not in page.text
        assert "<img" not in page.text
        assert not re.search(
            "[\x00-\x08\x0b-\x1f\u200b-\u200f\u202a-\u202e\U000e0041]", page.text
        )
        assert "U+202E" in page.text
        assert "U+001B" in page.text
        assert "49" not in page.text or "{{ 7 * 7 }}" in page.text
    assert words_of(browser.get(case)).count("W" * 600) > 3


def test_case_without_package_still_opens(
    browser: Browser, desk: Any, case: str
) -> None:
    """A handoff whose package cannot be read still has a page with its verbs."""
    whole = desk.engine.handoff

    def without(handoff_id: str) -> dict[str, Any]:
        return {**whole(handoff_id), "package": None}

    desk.engine.handoff = without
    page = browser.get(case)
    assert page.status_code == 200
    assert say("nothing_happened") in words_of(page)
    assert f'action="{case}/claim"' in page.text


def test_unknown_case_is_not_found(browser: Browser) -> None:
    """A case that does not exist is a page that says so, with 404."""
    for path in ("/console/handoffs/none", "/console/nowhere"):
        answer = browser.get(path)
        assert answer.status_code == 404
        assert say("not_here") in words_of(answer)


# --- taking over -------------------------------------------------------------


def test_claim_makes_it_mine(browser: Browser, case: str) -> None:
    """A claim leads to the case, which now offers what its holder can do."""
    answer = browser.post(f"{case}/claim")
    assert (answer.status_code, answer.headers["location"]) == (303, case)
    page = browser.get(case).text
    for verb in ("resolve", "return", "release"):
        assert f'action="{case}/{verb}"' in page
    assert f'action="{case}/claim"' not in page


def test_lost_claim_says_to_whom(app: Any, browser: Browser, case: str) -> None:
    """Who comes second is told who was first, with 409, on the page of the case."""
    Browser(app).sign_in("general-2").post(f"{case}/claim")
    answer = browser.post(f"{case}/claim")
    assert answer.status_code == 409
    said = words_of(answer)
    assert say("lost_claim", who="general-2") in said
    assert say("held_by", who="general-2") in said


def test_resolution_is_a_label(browser: Browser, case: str, desk: Any) -> None:
    """Verdict, note, minutes and rating reach the log; then the queue says so."""
    browser.post(f"{case}/claim")
    answer = browser.post(
        f"{case}/resolve",
        needed="yes",
        note="Lost in transit.",
        minutes="4,5",
        sufficient="no",
        missing=["attempts", "why"],
        lacked="The number of the order.",
    )
    assert answer.status_code == 303
    assert say("told_resolved") in words_of(browser.get(answer.headers["location"]))
    shown = desk.engine.handoff(case.rpartition("/")[2])
    assert shown["status"] == "RESOLVED"
    assert shown["rating"]["missing"] == ["attempts", "why"]
    said = {k: shown["resolution"][k] for k in ("needed", "note", "minutes", "by")}
    assert said == {
        "needed": "yes",
        "note": "Lost in transit.",
        "minutes": 4.5,
        "by": "general-1",
    }
    closed = words_of(browser.get(case))
    for part in (
        "Lost in transit.",
        "4.5",
        "Not enough: attempts, why; The number of the order.",
        "Closed by general-1",
    ):
        assert part in closed


def test_resolution_needs_no_rating(browser: Browser, case: str, desk: Any) -> None:
    """Only the verdict is required."""
    browser.post(f"{case}/claim")
    assert browser.post(f"{case}/resolve", needed="uncertain").status_code == 303
    shown = desk.engine.handoff(case.rpartition("/")[2])
    assert shown["resolution"]["minutes"] is None
    assert shown["rating"] is None


@pytest.mark.parametrize(
    ("fields", "trouble"),
    [
        ({}, "no_verdict"),
        ({"needed": "perhaps"}, "no_verdict"),
        ({"needed": "yes", "minutes": "x"}, "bad_minutes"),
        ({"needed": "yes", "minutes": "-1"}, "bad_minutes"),
        ({"needed": "yes", "minutes": "nan"}, "bad_minutes"),
    ],
)
def test_incomplete_form_keeps_what_was_entered(
    fields: dict[str, str], trouble: str, browser: Browser, case: str
) -> None:
    """What is missing is said on the case's page, and nothing typed is lost."""
    browser.post(f"{case}/claim")
    answer = browser.post(f"{case}/resolve", note="my <words>", **fields)
    assert answer.status_code == 422
    assert say(trouble) in words_of(answer)
    assert ">my &lt;words&gt;</textarea>" in answer.text
    assert f'action="{case}/resolve"' in browser.get(case).text


def test_return_needs_guidance(browser: Browser, case: str) -> None:
    """Without a word of guidance nothing is given back, and the form stays open."""
    browser.post(f"{case}/claim")
    answer = browser.post(f"{case}/return", guidance="  ")
    assert answer.status_code == 422
    assert say("no_guidance") in words_of(answer)
    assert '<details class="verb" open>' in answer.text


def test_return_gives_guidance(browser: Browser, case: str, desk: Any) -> None:
    """A returned task is the agent's again, with the person's words."""
    browser.post(f"{case}/claim")
    answer = browser.post(f"{case}/return", guidance="Ask for the postcode.")
    assert say("told_returned") in words_of(browser.get(answer.headers["location"]))
    assert desk.engine.task("t")["guidance"] == "Ask for the postcode."
    assert "Ask for the postcode." in words_of(browser.get(case))


def test_later_decisions_are_not_shown_as_this_one(
    browser: Browser, case: str, desk: Any
) -> None:
    """A case tells what decided it, and not what decided the task after its return."""
    shown = (say("decided_by"), say("mode"), say("policy"))
    assert all(part in words_of(browser.get(case)) for part in shown)
    browser.post(f"{case}/claim")
    browser.post(f"{case}/return", guidance="Ask for the postcode.")
    desk.say("Still no parcel", epoch=4)
    assert say("decided_by") not in words_of(browser.get(case))


def test_release_puts_it_back(browser: Browser, case: str, desk: Any) -> None:
    """A released handoff waits again."""
    browser.post(f"{case}/claim")
    answer = browser.post(f"{case}/release")
    assert say("told_released") in words_of(browser.get(answer.headers["location"]))
    assert desk.engine.handoff(case.rpartition("/")[2])["status"] == "QUEUED"


def test_verb_out_of_turn_is_explained(browser: Browser, case: str) -> None:
    """A verb that does not fit the state is refused with the reason, on the page."""
    answer = browser.post(f"{case}/resolve", needed="yes")
    assert answer.status_code == 409
    assert "claim it first" in words_of(answer)


def test_form_without_session_asks_who(app: Any, case: str) -> None:
    """A form after the session's end leads to the sign-in, and does nothing."""
    answer = Browser(app).post(f"{case}/claim")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/console/sign-in"


def test_odd_forms_are_refused(browser: Browser, case: str) -> None:
    """A form that is none, or far too long, is refused."""
    for body, status in ((b"\xff\xfe", 422), (b"a=" + b"x" * 300_000, 413)):
        answer = browser.client.post(f"{case}/claim", content=body, headers=OURS)
        assert answer.status_code == status
        assert say("went_wrong") in words_of(answer)


# --- the overview, and what goes wrong ---------------------------------------


def test_overview_answers_for_the_risk(browser: Browser, desk: Any, case: str) -> None:
    """Load of each queue, model, policy, and size and root of the audit log."""
    assert case
    said = words_of(browser.get("/console/overview"))
    audit = desk.engine.audit_records(0, 1)
    for part in (
        "support-lead",
        audit["root"],
        desk.policy.digest,
        f"Records {audit['size']}",
        "Model 7",
    ):
        assert part in said
    desk.source.model = None
    desk.source.problem = "signals differ"
    said = words_of(browser.get("/console/overview"))
    assert say("rules_only") in said
    assert "signals differ" in said


def test_store_away_is_said(browser: Browser, desk: Any) -> None:
    """Without a store the page says that nothing was changed, with 503."""
    desk.close()
    answer = browser.get("/console")
    assert answer.status_code == 503
    assert say("no_store") in words_of(answer)


def test_page_that_fails_says_so(app: Any, desk: Any) -> None:
    """A failure of ours is a page with 500 that shows nothing of it."""

    def fail(**_: Any) -> None:
        msg = "hunter2"
        raise KeyError(msg)

    desk.engine.handoffs = fail
    browser = Browser(app).sign_in()
    browser.client = TestClient(
        app,
        base_url=BASE,
        cookies=browser.client.cookies,
        raise_server_exceptions=False,
    )
    answer = browser.get("/console")
    assert answer.status_code == 500
    assert say("our_fault") in words_of(answer)
    assert "hunter2" not in answer.text


# --- words -------------------------------------------------------------------


def test_every_word_exists_and_is_used() -> None:
    """The pages say nothing that is not in the one list, and the list has nothing idle."""
    sources = [*CONSOLE.glob("*.py"), *(CONSOLE / "templates").glob("*.html")]
    text = "\n".join(
        path.read_text(encoding="utf-8") for path in sources if path.name != "words.py"
    )
    asked = set(re.findall(r"\bsay\(\s*\"(\w+)\"(?! ~)", text))
    assert asked <= set(WORDS)
    named = set(re.findall(r"\"(\w+)\"", text)) | asked
    # Names that are put together, or that the engine gives: states, priorities.
    made = re.compile(
        r"(nothing_|told_|by_|part_)\w+|\w+_hint|[A-Z]+|urgent|high|normal|unanswered"
    )
    idle = {word for word in WORDS if word not in named and not made.fullmatch(word)}
    assert idle == set()
