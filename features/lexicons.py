"""The words that `features.text` looks up, as regular expressions by reading.

Matched on whole words of a lower-cased text whose apostrophes are straight.
"""

from __future__ import annotations

from collections.abc import Mapping

_SOMEONE = (
    r"(?:human|person|people|agent|representative|rep|manager|supervisor|someone|"
    r"somebody|anyone|advis[eo]r|operator|specialist|colleague|staff|"
    r"(?:customer )?(?:service|support|care))s?"
)
_WHICH = (
    r"(?:(?:a|an|the|some|any|your|our|another|one of (?:y?our|the)) )?"
    r"(?:(?:real|live|actual|human|customer|service|support|billing|sales) )*"
)
_WHERE = rf"{_WHICH}(?:{_SOMEONE}|(?:\w+ )?(?:team|department|desk|billing|sales))"

LEXICONS: Mapping[str, tuple[str, ...]] = {
    "hedges": (
        r"i think",
        r"i believe",
        r"i guess",
        r"i assume",
        r"probably",
        r"possibly",
        r"perhaps",
        r"maybe",
        r"might",
        r"may be",
        r"seems?",
        r"appears?",
        r"likely",
        r"not (?:entirely |completely |quite )?(?:sure|certain)",
        r"unsure",
        r"unclear",
        r"as far as i (?:know|can tell)",
        r"should be able",
        r"roughly",
        r"approximately",
        r"presumably",
    ),
    "apologies": (
        r"sorry",
        r"apologi[sz]e",
        r"apologies",
        r"regret",
        r"inconvenience",
    ),
    "refusals": (
        r"unable to",
        r"cannot",
        r"can'?t",
        r"could(?: not|n't)",
        r"not (?:able|possible|allowed|permitted|available|eligible|supported)",
        r"not an option",
        r"unfortunately",
        r"don't have (?:the )?(?:ability|access|option)",
        r"doesn't (?:support|allow)",
        r"no longer (?:possible|available)",
        r"against (?:our|the) polic(?:y|ies)",
    ),
    "asks_human": (
        rf"(?:speak|talk|chat|deal) (?:to|with) {_WHICH}{_SOMEONE}",
        rf"(?:real|live|actual) {_SOMEONE}",
        r"(?:someone|somebody|anyone) (?:real|human)",
        r"human (?:agent|being|representative|support|help|assistance|please)",
        # Not "are you a human?", which asks another thing.
        (
            r"(?<!you )(?<!this )(?<!not )(?:a|another|any) human"
            r"(?! (?:error|mistake|resource|right|touch))"
        ),
        (
            r"(?:want|need|get|give|find|see|ask for|have|is there)(?: me)? an?"
            r" (?:person|agent|representative|rep|operator|supervisor|manager)"
        ),
        r"your (?:supervisor|manager)",
        (
            r"(?:person|human|someone|somebody|anyone)(?: else)?"
            r" (?:i|we|you) (?:can|could) (?:talk|speak|chat|connect)"
        ),
        r"(?<!need to )transfer me(?! (?:(?:the|my|some)\b|\d))",
        r"put me through",
        rf"(?:connect|pass|hand) me (?:over )?(?:to|with) {_WHERE}",
        rf"(?:transfer|pass|hand|forward) (?:this|it|my \w+) (?:over )?to {_WHERE}",
        r"escalate (?:this|it|me|my \w+)",
        (
            r"(?:not|don't|didn't) want (?:to (?:talk|speak|chat) (?:to|with) )?"
            r"(?:a|this|the) (?:bot|chatbot|robot|machine|computer)"
        ),
        r"customer service (?:representative|agent)",
        r"^(?:agent|representative|operator|human|supervisor)(?=\W*$)",
    ),
    "promises": (
        r"i(?:'ll| will|'m going to| am going to|'m now| am now)",
        r"let me(?! know)",
        r"(?:one|just a) moment",
        r"please hold",
        r"hold on",
        r"i'm (?:checking|looking|processing)",
    ),
    "promises_transfer": (
        # To somebody: an agent that transfers money promises no human.
        (
            r"(?:i(?:'m| am|'ll| will|'ve| have)|let me|you(?:'re| are|'ll| will)|"
            r"(?:has|have) been|is being|going to|need to)"
            r"(?: (?:now|be|been|being|also|already|successfully|going to|need to))*"
            r" (?:transferr?|connect|escalat|forward|hand)(?:ing|ed|e)?"
            r"(?: \w+){0,5}? (?:to|with) (?:\w+ ){0,3}?"
            rf"(?:{_SOMEONE}|team|department|desk|billing)"
        ),
        (
            r"(?:i(?:'m| am|'ll| will|'ve| have)|let me|going to|need to) (?:now )?"
            r"hand(?:ed|ing)? (?:you|this|it|your \w+) (?:over|off)"
        ),
        r"(?:while|as) i (?:transfer|connect) you",
    ),
    "frustration": (
        r"ridiculous",
        r"unacceptable",
        r"frustrat\w+",
        r"annoy\w+",
        r"terrible",
        r"awful",
        r"useless",
        r"waste of (?:my )?time",
        r"fed up",
        r"angry",
        r"disappoint\w+",
        r"still (?:not|haven't|hasn't|doesn't|isn't)",
        r"already (?:told|said|gave|provided|explained)",
        r"(?:you|this) (?:keep|keeps)",
        r"not (?:helpful|working|what i)",
        r"complain\w*",
        r"third time",
        r"again and again",
        r"this is taking",
    ),
    "corrections": (
        r"actually",
        r"wait",
        r"instead",
        r"rather than",
        r"i meant",
        r"i mean",
        r"that'?s (?:not|wrong|incorrect)",
        r"(?:is|are|was) (?:not|in)correct",
        r"wrong",
        r"mistake",
        r"not what",
        r"on second thought",
        r"change my mind",
        r"never ?mind",
    ),
    "additions": (
        r"also",
        r"another",
        r"additionally",
        r"as well",
        r"too",
        r"both",
        r"and then",
        r"one more",
        r"besides",
        r"all (?:of )?(?:my|the|them|items|orders)",
        r"everything",
        r"in addition",
        r"while you're at it",
    ),
    "comparisons": (
        r"same",
        r"similar",
        r"most",
        r"least",
        r"best",
        r"(?:cheap|high|low|larg|small|big|short|long)(?:er|est)",
        r"more",
        r"less",
        r"better",
    ),
    "confirms": (
        r"yes",
        r"yep",
        r"yeah",
        r"confirm(?:ed)?",
        r"go ahead",
        r"please proceed",
        r"proceed",
        r"(?<!not )correct",
        r"that's right",
        r"sounds good",
    ),
    "thanks": (
        r"thanks?",
        r"thank you",
        r"appreciate",
        r"great",
        r"perfect",
        r"wonderful",
        r"have a (?:great|good|nice)",
    ),
    "troubles": (
        r"(?:an|the|this|some|technical|system) (?:issue|problem|error|limitation)s?",
        (
            r"(?:having|had|encounter\w*|experienc\w+) (?:some )?"
            r"(?:trouble|difficult\w+|issues?|problems?|errors?)"
        ),
        r"system",
        r"not (?:found|match\w*|valid)",
        r"couldn'?t (?:find|locate)",
        r"failed",
        r"try again",
    ),
    "closings": (
        r"anything else",
        r"any (?:other|further|more) (?:questions?|help|assistance|concerns?)",
        r"feel free to",
        r"you're (?:very |most )?welcome",
        r"glad (?:i|to|that)",
        r"happy to (?:help|hear|assist)",
        r"have a (?:great|good|nice|wonderful|lovely)",
    ),
    "offers": (
        r"would you (?:like|prefer)",
        r"do you (?:want|confirm)",
        r"shall i",
        r"should i",
        r"please (?:confirm|let me know|reply)",
        r"yes/no",
        r"let me know (?:if|how|which|what)",
    ),
    "user_closes": (
        r"that'?(?:s| is| was|ll be)? (?:all|it|everything)",
        r"all (?:i|that i) need(?:ed)?",
        r"nothing else",
        r"no,? (?:thanks?|that|i'?m good)",
        r"bye",
        r"for your (?:help|assistance|time)",
        r"have a (?:great|good|nice)",
    ),
    "pleads": (
        r"(?:any|another|other|some) (?:other )?(?:way|option|alternative)s?",
        r"exception",
        r"just (?:this once|do it|cancel|make)",
        r"are you sure",
        r"(?:check|try|look|verify) (?:it |this |that )?again",
        r"double[- ]check",
        r"why (?:not|can'?t|is|do|does|did)",
        r"can'?t you",
        r"but (?:i|you|that|it|why)",
        r"please,? just",
    ),
    "claims_done": (
        r"(?:has|have) been (?:successfully )?(?:\w+ed|sent|made)",
        r"successfully",
        r"(?:is|are) (?:now )?(?:complete|completed|done|processed|confirmed)",
        (
            r"i(?:'ve| have) (?:successfully )?"
            r"(?:\w+ed|sent|made) (?:your|the|it)"
        ),
        r"all set",
        r"done",
    ),
    "safety": (
        r"suicid\w*",
        r"kill (?:my|your|him|her|them)sel(?:f|ves)",
        r"kill (?:you|him|her|them|someone|somebody|people)",
        r"self[- ]harm\w*",
        r"hurt (?:myself|someone|him|her)",
        r"end (?:my life|it all)",
        r"emergency",
        r"threat(?:en|ened|ening|s)?",
        r"abus(?:e|ed|ive)",
        r"violen(?:t|ce)",
        r"unsafe",
        r"in danger",
        r"chest pain",
        r"overdose\w*",
        r"bleeding",
        r"can'?t breathe",
        r"caught fire",
        r"smoke (?:is )?coming",
        r"gas leak",
        r"electrocut\w*",
    ),
    "regulated": (
        r"lawyer",
        r"attorney",
        r"lawsuit",
        r"legal action",
        # Not Sue, who lives in Cedar Court.
        r"(?:to|will|ll|can|could|would|may|might|gonna) sue",
        r"sue (?:you|them|your|the|this)",
        r"suing",
        r"(?:to|in|small claims) court",
        r"court (?:order|case|date|hearing)",
        r"gdpr",
        r"data protection",
        r"privacy (?:request|rights|breach)",
        r"delete (?:all )?my (?:personal )?data",
        r"ombudsman",
        r"regulator",
        r"chargeback",
        r"fraud\w*",
        r"identity theft",
        r"stolen",
        r"unauthori[sz]ed",
        r"discriminat\w+",
        r"medical diagnos\w+",
        r"prescription",
        r"medication",
        r"dosage",
        r"investment advice",
        r"tax advice",
        r"insurance claim",
        r"bankrupt\w*",
        r"money laundering",
    ),
}

# Who says it matters: an agent's "sorry" and a user's are different signals. Reading
# each speaker for what is used of them halves the cost.
SPEAKERS: Mapping[str, tuple[str, ...]] = {
    "agent": (
        "hedges",
        "apologies",
        "refusals",
        "promises",
        "promises_transfer",
        "claims_done",
        "troubles",
        "closings",
        "offers",
    ),
    "plan": ("hedges",),
    "user": (
        "asks_human",
        "frustration",
        "corrections",
        "additions",
        "comparisons",
        "confirms",
        "thanks",
        "user_closes",
        "pleads",
        "safety",
        "regulated",
    ),
}
