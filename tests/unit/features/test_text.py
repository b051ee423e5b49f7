from __future__ import annotations

import re
import string
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.lexicons import LEXICONS, SPEAKERS
from features.text import normalised, read, sentiment

# What each lexicon must hear, and what it must not.
USER: dict[str, tuple[list[str], list[str]]] = {
    "asks_human": (
        [
            "I want to talk to a human",
            "I'd like to speak with an actual person, please",
            "I\u2019d like to speak to someone",
            "Can I get a human?",
            "let me talk to your supervisor",
            "I want to speak with customer support",
            "is there a person I can talk to?",
            "Is there someone you can connect me with?",
            "Yes, please transfer me.",
            "please put me through to an agent",
            "Can you escalate this to a manager?",
            "I need a real person",
            "human please",
            "Representative!",
            "I don't want to talk to a bot",
            "give me a customer service representative",
            "pass my case over to the billing team",
        ],
        [
            "Are you a human?",
            "it was a human error",
            "I work in human resources",
            "the travel agent told me so",
            "I am the manager of the store",
            "transfer this to my savings account",
            "can you connect my phone to the wifi",
            "please pass this to the kitchen",
            "it's just nice having someone to talk to",
            "no need to transfer me",
            "a representative sample",
        ],
    ),
    "frustration": (
        [
            "This is ridiculous.",
            "I'm so frustrated",
            "it is still not working",
            "I already told you that",
            "you keep asking the same",
            "what a waste of my time",
        ],
        ["the rest is still to come", "I told you", "this is a keepsake"],
    ),
    "comparisons": (
        ["the cheapest one", "the same colour", "more of the larger ones"],
        ["a summary", "cheaply made", "at last", "moreover"],
    ),
    "corrections": (
        ["Actually, make it two", "that's wrong", "I meant Tuesday", "never mind"],
        ["that's right", "I mentioned it", "the waiter"],
    ),
    "additions": (
        ["also the blue one", "and one more thing", "both of them", "me too"],
        ["tools", "nothing", "the bother"],
    ),
    "confirms": (
        ["Yes.", "go ahead", "that is correct", "I confirm", "sounds good"],
        ["yesterday", "that's not correct", "incorrect", "no"],
    ),
    "thanks": (
        ["Thanks!", "thank you", "I appreciate it", "have a good day"],
        ["no", "the greater part"],
    ),
    "user_closes": (
        ["that's all", "nothing else", "no, thanks", "Bye"],
        ["all of my orders", "I know that", "bygone"],
    ),
    "pleads": (
        [
            "is there any other way?",
            "can't you make an exception",
            "please check again",
            "why not?",
        ],
        ["please cancel it", "the way is clear"],
    ),
    "safety": (
        [
            "he said he will kill himself",
            "I want to end my life",
            "the battery caught fire",
            "I can\u2019t breathe",
            "this is an emergency",
            "he threatened me",
            "there is a gas leak",
        ],
        [
            "I want to end my subscription",
            "just kill my order",
            "please end it",
            "the emergence of",
            "fire up the app",
        ],
    ),
    "regulated": (
        [
            "my lawyer will call you",
            "I am going to sue you",
            "we will take you to court",
            "delete all my personal data",
            "it was fraudulent",
            "I need a medical diagnosis",
            "what dosage of my medication",
            "a GDPR request",
        ],
        [
            "run the diagnostic tool",
            "Hi, this is Sue from 12 Cedar Court",
            "I'd like to pursue it",
            "the tennis court is booked",
            "the regular price",
            "a courteous reply",
        ],
    ),
}
AGENT: dict[str, tuple[list[str], list[str]]] = {
    "promises": (
        ["I'll check that", "Let me look", "One moment, please", "please hold"],
        ["I would", "please let me know", "a household", "at the moment"],
    ),
    "hedges": (
        ["I think it is done", "it might be late", "I'm not entirely sure", "perhaps"],
        ["it is done", "the mighty", "I thought"],
    ),
    "apologies": (["Sorry about that", "we apologise", "I apologize"], ["done"]),
    "refusals": (
        [
            "I am unable to do that",
            "I can\u2019t change it",
            "that's against our policy",
            "Unfortunately, no",
            "you are not eligible",
        ],
        ["I can", "I am able to do that", "a cantata"],
    ),
    "promises_transfer": (
        [
            "I will escalate this to a human agent.",
            "YOU ARE BEING TRANSFERRED TO A HUMAN AGENT. PLEASE HOLD ON.",
            "I've successfully transferred you to a human agent",
            "Let me connect you with a specialist.",
            "Your case has been escalated to our support team",
            "I'll hand this over to a colleague.",
            "I\u2019m now transferring you to the billing department",
            "I am going to hand you off now",
            "please hold while I transfer you",
        ],
        [
            "I will transfer the funds to your account.",
            "Let me connect to the database.",
            "I have transferred 500 points to the new account.",
            "Would you like me to transfer you to a human agent?",
            "I cannot transfer you to an agent.",
            "I've forwarded the invoice to your email address.",
        ],
    ),
    "claims_done": (
        [
            "Your order has been cancelled",
            "I've updated your address",
            "You're all set",
            "it is now complete",
        ],
        ["I will cancel it", "it has been a pleasure", "an incomplete form"],
    ),
    "troubles": (
        ["we had trouble", "the lookup failed", "there is a system error", "try again"],
        ["no worries", "the unfailing"],
    ),
    "closings": (
        ["Is there anything else?", "feel free to ask", "You're welcome!"],
        ["anything", "welcome to the shop"],
    ),
    "offers": (
        [
            "Would you like that?",
            "Do you confirm? (yes/no)",
            "Shall I go on",
            "please let me know",
        ],
        ["you would like it", "I shall"],
    ),
}
SPOKEN = [
    *(("user", *row) for row in USER.items()),
    *(("agent", *row) for row in AGENT.items()),
]
COUNTED = {"words", "questions", "exclamations", "shouting", "numbers"}


def examples(which: int) -> list[tuple[str, str, str]]:
    """Return (speaker, lexicon, text) of the positive (0) or negative (1) texts."""
    return [
        (speaker, lexicon, text)
        for speaker, lexicon, texts in SPOKEN
        for text in texts[which]
    ]


@pytest.mark.parametrize(("speaker", "lexicon", "text"), examples(0))
def test_a_lexicon_hears_what_it_is_for(speaker: str, lexicon: str, text: str) -> None:
    """Each lexicon counts at least one place in a text of its kind."""
    assert read(text, speaker)[lexicon] >= 1


@pytest.mark.parametrize(("speaker", "lexicon", "text"), examples(1))
def test_a_lexicon_hears_nothing_else(speaker: str, lexicon: str, text: str) -> None:
    """Each lexicon is silent where the words only look alike."""
    assert read(text, speaker)[lexicon] == 0


def test_a_plan_is_read_for_its_hedges_alone() -> None:
    """What nothing asks of a plan is not looked for."""
    said = read("I think I cannot, sorry", "plan")
    assert said["hedges"] == 1
    assert said.keys() == COUNTED | {"hedges"}


def counted(text: str, speaker: str) -> dict[str, float]:
    """Return the places of each lexicon, each looked for on its own."""
    return {
        name: len(re.findall(rf"\b(?:{'|'.join(LEXICONS[name])})\b", text.lower()))
        for name in SPEAKERS[speaker]
    }


HEARD = [text for _, _, texts in SPOKEN for some in texts for text in some]


@pytest.mark.parametrize("speaker", SPEAKERS)
@given(
    parts=st.lists(st.sampled_from(HEARD), max_size=6), glue=st.sampled_from(" .-'x")
)
def test_one_scan_hears_what_many_would(
    speaker: str, parts: list[str], glue: str
) -> None:
    """Reading all lexicons in one pass counts what each finds on its own."""
    text = glue.join(parts).replace("\u2019", "'")
    said = read(text, speaker)
    assert {name: said[name] for name in SPEAKERS[speaker]} == counted(text, speaker)


@pytest.mark.parametrize("speaker", ["user", "agent"])
def test_every_reading_is_exercised_here(speaker: str) -> None:
    """No lexicon is read without examples of what it must and must not hear."""
    here = USER if speaker == "user" else AGENT
    assert read("", speaker).keys() == here.keys() | COUNTED


TERMS = [(name, term) for name, terms in LEXICONS.items() for term in terms]


@settings(max_examples=40, derandomize=True)
@pytest.mark.parametrize(("lexicon", "term"), TERMS)
@given(data=st.data())
def test_no_term_is_dead(lexicon: str, term: str, data: st.DataObject) -> None:
    """Whatever a term describes is counted when it stands between other words."""
    speaker = "user" if lexicon in USER else "agent"
    letters = string.ascii_lowercase + string.digits + " '-.,()/"
    words = data.draw(st.from_regex(term, fullmatch=True, alphabet=letters))
    # An apostrophe goes on with the word before it.
    before = "we" if words.startswith("'") else "so "
    text = words if term.startswith("^") else f"{before}{words.strip()} then"
    assert read(text, speaker)[lexicon] >= 1, text


def test_capitals_and_apostrophes_do_not_matter() -> None:
    """Words are the same in capitals and with a typographic apostrophe."""
    plain = read("i can't breathe and can't you", "user")
    curly = read("I CAN\u2019T BREATHE and CAN\u2019T you", "user")
    assert curly["safety"] == plain["safety"] == 1
    assert curly["pleads"] == plain["pleads"] == 1
    assert curly["words"] == plain["words"] == 6


def test_places_are_counted() -> None:
    """Every reading is a number of places, and `words` the number of words."""
    said = read("Also A-1, and also not 3.50, WELL then? Really? NOW! 1,200", "user")
    assert said["additions"] == 2
    assert said["numbers"] == 3
    assert said["questions"] == 2
    assert said["exclamations"] == 1
    assert said["shouting"] == 1  # a word of four letters or more
    assert said["words"] == 13


@pytest.mark.parametrize(
    "text", ["", " ", "¿Dónde está mi pedido?", "我的订单在哪里", "🙂"]
)
@pytest.mark.parametrize("speaker", ["user", "agent"])
def test_another_language_is_silence(text: str, speaker: str) -> None:
    """In a language the lexicons do not know every reading is zero."""
    said = read(text, speaker)
    assert {v for name, v in said.items() if name not in COUNTED} == {0.0}


# --- long texts --------------------------------------------------------------


def test_texts_up_to_the_limit_are_read_whole() -> None:
    """In 4,000 characters nothing is left out."""
    middle = "i think "
    text = "x" * 1995 + " " + middle + "x" * (4000 - 1996 - len(middle))
    assert len(text) == 4000
    assert read(text, "agent")["hedges"] == 1


def test_long_texts_are_read_at_both_ends() -> None:
    """Of a longer text the beginning and the end are read, the middle is not."""
    filler = "word " * 1000
    text = "I want a human. " + filler + "this is ridiculous " + filler + " my lawyer"
    said = read(text, "user")
    assert (said["asks_human"], said["frustration"], said["regulated"]) == (1, 0, 1)
    assert sentiment("awful " * 3 + filler + "terrible " * 3) < -0.9
    assert sentiment(filler + "great " * 50 + filler) == 0


@pytest.mark.parametrize(
    "piece",
    [
        "i'm now be ",
        "speak to the real live actual human customer ",
        "i will transfer you you you you ",
        "a-b'c-d'",
        "1,2.3",
        "talk to " * 3,
        " ",
        "AAAA",
        "?!",
    ],
)
def test_reading_takes_bounded_time(piece: str) -> None:
    """A text of a million characters is read about as fast as one of 4,000."""

    def spent(text: str) -> float:
        times = []
        for _ in range(3):
            begin = time.perf_counter()
            read(text, "user"), read(text, "agent")
            times.append(time.perf_counter() - begin)
        return min(times)

    short, huge = piece * (4000 // len(piece)), piece * (1_000_000 // len(piece))
    assert spent(huge) < 10 * spent(short) + 0.02
    assert spent(short) < 0.5


# --- sentiment ---------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["Thank you, that is wonderful!", "Great, perfect.", "I love it", "not bad at all"],
)
def test_pleased_words_are_positive(text: str) -> None:
    """Praise and thanks have a sentiment above zero."""
    assert 0 < sentiment(text) <= 1


@pytest.mark.parametrize(
    "text",
    [
        "This is awful.",
        "I am furious and disappointed",
        "This isn't good at all.",
        "This isn\u2019t good at all.",
        "I don\u2019t love it",
    ],
)
def test_displeased_words_are_negative(text: str) -> None:
    """Complaint has a sentiment below zero, negation and typography included."""
    assert -1 <= sentiment(text) < 0


@given(st.text(max_size=60))
def test_any_text_has_a_sentiment(text: str) -> None:
    """Whatever the text, its sentiment is a number in [-1, 1]."""
    assert -1 <= sentiment(text) <= 1
    assert all(value >= 0 for value in read(text, "user").values())


# --- repetition --------------------------------------------------------------


@given(st.text(max_size=40))
def test_normalising_twice_changes_nothing(text: str) -> None:
    """A normalised text is its own normal form up to case folding, spaces folded."""
    once = normalised(text)
    assert once == once.strip()
    assert "  " not in once
    assert normalised(f"  {text}\n\t ") == once


def test_repetition_ignores_case_and_spaces_only() -> None:
    """Two texts are one if they differ in case or spaces, and else they are two."""
    assert normalised(" Where is\n my  ORDER? ") == normalised("where is my order?")
    assert normalised("Where is my order?") != normalised("Where is my order!")
