"""What users and agents of the simulated world say, by category.

No sentence stands in two families and none contains another, so a category can be
read back from a text; a family has more sentences than a task has turns, so nothing is
said twice in a task by accident.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from training.simulate.categories import Claim, Plan, Sentiment, Wish

CLEAR: Mapping[str, tuple[str, ...]] = {
    "orders": (
        "I would like to return the blue jacket from my last order.",
        "Please change the delivery address of my order.",
        "My parcel shows as delivered, but the box held the wrong size.",
        "Please cancel the second item of yesterday's order.",
        "Where is my order, the tracking page has not moved since Monday?",
        "I need a replacement for the lamp that came with a cracked shade.",
    ),
    "billing": (
        "I was charged two times for the same month, please refund one.",
        "Please move my plan from monthly to yearly payment.",
        "The invoice of March lists three seats and we have two.",
        "I need my invoices of last year with our new address on them.",
        "Please update the card that my subscription is paid with.",
        "A discount was agreed for this quarter, and the bill does not show it.",
    ),
    "accounts": (
        "I changed my phone number and the sign-in code goes to the old one.",
        "Please add a colleague to our workspace as an editor.",
        "The password link I was sent has expired.",
        "Please merge my two accounts, both run under my name.",
        "I need to export our project history as a spreadsheet.",
        "Our single sign-on stopped working this morning after the update.",
    ),
    "bookings": (
        "Please move my hotel stay by two nights, same room.",
        "I need to change the name on one of the two tickets.",
        "My flight was moved to the evening and I would miss the connection.",
        "Please add a checked bag to my trip on Friday.",
        "The rental car I booked is not listed in my itinerary.",
        "Please cancel the return leg and keep the outbound one.",
    ),
}

VAGUE: Mapping[str, tuple[str, ...]] = {
    "orders": (
        "Something about my order is off, please have a look.",
        "It is about the thing I bought the other day.",
        "Can you sort out the delivery for me?",
        "The usual one, but the other way round this time.",
        "I need that changed, the one we spoke about.",
        "Can it come sooner, or the rest of it at least?",
    ),
    "billing": (
        "The amount looks different from what it was.",
        "There is a charge, or maybe two, that I do not recognise from before.",
        "Can you make the payment thing the way it was?",
        "The plan should be the smaller one, or what do you suggest?",
        "Please fix the invoice, you will see what I mean.",
        "I think one of the bills went to the other company.",
    ),
    "accounts": (
        "I cannot get in, or at least not to the right place.",
        "It looks different since last week, can that be undone?",
        "Can you set it up like the other team has it?",
        "The name is not the one it should be somewhere.",
        "Some of it is missing, I do not know since when.",
        "Please give them access to what they need.",
    ),
    "bookings": (
        "The trip has to change a bit, can you help?",
        "One of the dates is not right any more.",
        "Can we have the better one, like last time?",
        "I am not sure which booking it is, it is the one in spring.",
        "Is there anything earlier, or with fewer stops, or cheaper?",
        "My plans moved, so the rest has to move too.",
    ),
}

# Before a request that is put in anger, after one that touches a sensitive topic.
UPSET = (
    "This is the third time I write about this and I am really annoyed.",
    "I am very disappointed with how this has been handled.",
    "Honestly, this whole thing has been a terrible experience.",
    "I have wasted hours on this already and I am fed up.",
    "It is unacceptable that I have to ask for this again.",
    "I am angry, nobody has answered my last two messages.",
)
SENSITIVE = (
    "My lawyer will be in touch if this is not put right.",
    "I want all my personal data deleted under data protection law.",
    "Somebody used my identity without permission and I want it investigated as fraud.",
    "I will take this to the ombudsman and the regulator.",
    "The device caught fire and I burned my hand.",
    "My doctor says the medication dosage on your page is dangerous.",
)

SENTIMENTS: Mapping[int, tuple[str, ...]] = {
    Sentiment.POSITIVE: (
        "Thank you, that is very helpful.",
        "Great, that works for me.",
        "Perfect, I appreciate the quick reply.",
        "Wonderful, that looks good so far.",
        "Thanks a lot, this is going well.",
        "Excellent, I am happy with that.",
    ),
    Sentiment.NEUTRAL: (
        "The number is on the second page of the letter.",
        "It was ordered from the desktop site.",
        "Yes, the address on file is the current one.",
        "It concerns the entry from Tuesday.",
        "The last four digits are the ones on the account.",
        "I am at my desk and can look things up.",
    ),
    Sentiment.UNHAPPY: (
        "That is not what I asked for.",
        "It still shows the old value on my side, this is annoying.",
        "I already told you that, please do not ask again.",
        "No, that is wrong, and it is a bit disappointing.",
        "I am not happy with this answer.",
        "This does not help me, the problem is still there.",
    ),
    Sentiment.ANGRY: (
        "This is ridiculous, you are wasting my time!",
        "This is the worst service I have ever had, terrible.",
        "I am really angry now, this is totally unacceptable!",
        "Useless, absolutely useless, nothing you said is true.",
        "I hate this, you keep giving me the same stupid answer.",
        "What an awful mess, I am sick of it!",
    ),
}

WISHES: Mapping[int, tuple[str, ...]] = {
    Wish.HUMAN: (
        "Can I talk to a human please?",
        "I want to speak to a real person.",
        "Please connect me with someone from your team.",
        "Put me through to your supervisor.",
        "Is there a representative I can speak with?",
        "I would rather have a colleague of yours do this, not a machine.",
    ),
    Wish.SENSITIVE: SENSITIVE,
}

PLANS: Mapping[int, tuple[str, ...]] = {
    Plan.STEADY: (
        "Look the record up, apply the change, confirm it to the customer.",
        "Check the entry first, then carry out the request as written.",
        "Go on with the next step of the procedure.",
        "Verify the account, make the update, read it back.",
        "Continue as planned, one entry is left.",
        "Finish the open step and then summarise.",
    ),
    Plan.CHANGED: (
        "The first approach did not work, try the other lookup instead.",
        "Start over with a different record.",
        "New plan: go through the history before changing anything.",
        "Drop the earlier idea and search by name.",
        "The request may mean something else, take the other reading.",
        "Change of plan: use the general procedure.",
    ),
}

CLAIMS: Mapping[int, tuple[str, ...]] = {
    Claim.DONE: (
        "Your request has been completed successfully.",
        "All set, I have updated your record.",
        "That is done, the change is now processed.",
        "I have successfully made the change you asked for.",
        "Everything is complete and has been saved.",
        "The update has been processed, nothing is left to do.",
    ),
    Claim.PROGRESS: (
        "I am looking at your record now.",
        "I found the entry and am going through it.",
        "One step is finished, the next one is running.",
        "Let me check that in our system.",
        "I am working on it and will report back in a moment.",
        "The details are here, I am comparing them.",
    ),
    Claim.CLARIFY: (
        "Which of the two entries do you mean?",
        "Could you tell me a little more about what should change?",
        "Do you mean the current one or the one before?",
        "Is it the whole of it, or one part only?",
        "What would you like the result to look like?",
        "Can you give me the date, so that I take the right one?",
    ),
    Claim.HEDGE: (
        "I think this might be the right entry, though I am not certain.",
        "It seems that the change possibly went through.",
        "This is probably what you need, as far as I can tell.",
        "I am not sure, perhaps the record is held elsewhere.",
        "It appears to be fine, but it is unclear from here.",
        "Maybe the other entry is the one, I believe so.",
    ),
    Claim.STUCK: (
        "Sorry, I am unable to do that from here.",
        "Unfortunately I cannot find a way to complete this.",
        "I apologise, this is not possible with what I have.",
        "Sorry, the system does not let me go further.",
        "I could not get this to work, sorry for the inconvenience.",
        "I regret that I have no option left to try.",
    ),
}

EMPTY_RESULTS = ("", "[]", "{}", "null")
ERRORS = ("timeout", "permission_denied", "not_found", "conflict", "rate_limited")

# Reading tools first, then the two that write.
TOOLS: Mapping[str, tuple[str, ...]] = {
    "orders": ("find_order", "track_parcel", "update_order", "refund_item"),
    "billing": ("find_invoice", "list_charges", "issue_credit", "change_plan"),
    "accounts": ("find_account", "list_members", "reset_access", "update_member"),
    "bookings": ("find_booking", "search_offers", "change_booking", "cancel_leg"),
}
N_READING = 2


def one_of(family: Sequence[str], number: int) -> str:
    """Return the sentence of `family` that `number` points at, going round."""
    return family[number % len(family)]


def family_in(text: str, families: Mapping[int, Sequence[str]]) -> int:
    """Return the key of the family one of whose sentences stands in `text`, or 0."""
    for key, family in families.items():
        if any(sentence in text for sentence in family):
            return int(key)
    return 0
