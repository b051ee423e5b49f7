"""Review: which tasks people look at afterwards, how many people, by which rubric."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from serving.policy.part import Part, Span, Unit, Words

UNCERTAIN = "uncertain"
MOST_RATERS = 3
_TWO = 2

_TEXT = """\
Read the task from its first message to its last, as a customer of ours would. Then
answer one question: should a person have taken this task over from the agent?

yes: a person was needed. The user was given something wrong, incomplete or not allowed;
was left without what they came for; asked for a person and did not get one; or was put
at risk. It does not matter whether they complained.

no: the agent served the user as well as a person would have, or ended the task rightly.
Slow, clumsy or wordy is no need for a person.

uncertain: what you would have to know is not in front of you. Do not guess; say in the
note what is missing.

Judge the agent's work and not its tone, and by what could be known then. Talk to nobody
about a task before all of its reviewers have answered.
"""


class Rubric(Part):
    """What reviewers are asked, so that answers of different people mean the same.

    Attributes
    ----------
    version : str
        Kept with every verdict. A changed text is another version.
    text : str
        For the reviewer.
    """

    version: Words = "1"
    text: Words = _TEXT


class Audit(Part):
    """Which of the tasks that nobody escalated are drawn for a human's review, and how.

    Attributes
    ----------
    uniform : float
        The same share of every task: what a certificate can be renewed on.
    targeted : float
        Where the risk is 1/2; less where it is nearer to 0 or 1: what teaches most.
    floor : float
        Share of `targeted` that a task gets at least, however sure the model is: it
        may be wrong about just those.
    second_rater : float
        Share of the reviewed tasks that two people judge, each without the other.
    second_look : float
        Share of the resolved handovers whose need is judged again by somebody else.
    idle_after : timedelta
        A task without an event for so long is over, though nobody said so.
    complaint_window : timedelta
        How long after its end a task is reviewed: by then most who complain have.
    reviewers : tuple of str
        Who may judge; none named: whoever has not worked on the task.
    """

    uniform: Unit = 0.02
    targeted: Unit = 0.03
    floor: Unit = 0.2
    second_rater: Unit = 0.2
    second_look: Unit = 0.05
    idle_after: Span = timedelta(hours=24)
    complaint_window: Span = timedelta(days=3)
    reviewers: tuple[Words, ...] = ()
    rubric: Rubric = Rubric()


def is_open(answers: Mapping[str, str], *, twice: bool) -> bool:
    """Return whether one more reviewer is wanted.

    One answer settles a task, two where it was drawn for two. Where nobody could tell,
    or the answers are divided, another is asked, three people at most.

    Parameters
    ----------
    answers : Mapping of str to str
        "yes", "no" or "uncertain", by reviewer.
    twice : bool
        Whether the task was drawn for two reviewers.
    """
    if len(answers) >= MOST_RATERS:
        return False
    told = [answer for answer in answers.values() if answer != UNCERTAIN]
    divided = _TWO * told.count("yes") == len(told)
    return divided or (twice and len(answers) < _TWO)
