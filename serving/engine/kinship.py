"""Kinship: each task is stamped, when it begins, with how earlier ones like it ended.

What is known is folded from the store in the order in which events arrived, so a
service that starts anew knows what the one before knew, to the bit. See
`features.history`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import orjson

from features.events import AgentEvent, EventKind
from features.history import Kin, OutcomeHistory, is_told
from serving.store import log
from serving.store.intake import Line
from serving.store.log import stored_event
from serving.store.tasks import new_id
from serving.store.transaction import Row, Transaction
from training.labels import LABELLING, Statement, label_from, statement_of

_NEWS = """
SELECT event.n, event.task_id, event.kind, event.body, task.facts
FROM event JOIN task USING (task_id)
WHERE event.n > :seen AND event.kind IN ({kinds}) ORDER BY event.n
""".format(
    kinds=", ".join(f"'{kind}'" for kind in (EventKind.HISTORY, *sorted(LABELLING))),
)


class Kinship:
    """Stamps tasks. Used by the writer's thread alone."""

    def __init__(self) -> None:
        self._forget()

    def stamped(
        self,
        tx: Transaction,
        task_id: str,
        facts: Mapping[str, Any],
        lines: tuple[Line, ...],
    ) -> tuple[Line, ...]:
        """Return `lines` with a stamp after the one by which enough is known.

        Parameters
        ----------
        facts : mapping
            What was known of the task before them.
        lines : tuple of Line
            About to be appended to the task's log.
        """
        n = log.length(tx, task_id)
        if is_told(facts, facts.get("request", ""), n):
            return lines  # and was stamped then
        for place, line in enumerate(lines, start=1):
            facts = log.facts_after(facts, [line.event])
            told = is_told(facts, facts.get("request", ""), n + place)
            if told and not line.event.is_outcome:
                stamp = self._stamp(tx, line.event, facts)
                return (*lines[:place], stamp, *lines[place:])
        return lines

    def _stamp(
        self, tx: Transaction, event: AgentEvent, facts: Mapping[str, Any]
    ) -> Line:
        tx.on_rollback(self._forget)
        self._catch_up(tx)
        body = self._history.begin(event.task_id, Kin.of(facts), _request(facts))
        return Line.of(
            AgentEvent(
                task_id=event.task_id,
                event_id=new_id("evt"),
                at=event.at,
                kind=EventKind.HISTORY,
                body=body,
            )
        )

    def _forget(self) -> None:
        """Start from nothing; the store says it again."""
        self._history = OutcomeHistory()
        self._said: defaultdict[str, list[Statement]] = defaultdict(list)
        self._seen = 0

    def _catch_up(self, tx: Transaction) -> None:
        for row in tx.all(_NEWS, seen=self._seen):
            self._seen = row["n"]
            if row["kind"] == EventKind.HISTORY:
                self._take_stamp(row)
            else:
                self._take_label(row)

    def _take_stamp(self, row: Row) -> None:
        if not self._history.knows(row["task_id"]):
            facts, stamp = orjson.loads(row["facts"]), orjson.loads(row["body"])
            # Facts may have been added since; the stamp says what it was made of.
            self._history.begin(row["task_id"], Kin.of(stamp["kin"]), _request(facts))

    def _take_label(self, row: Row) -> None:
        event = stored_event(row)
        said = statement_of(event.task_id, event.kind, event.at, event.body)
        if said is None:
            return
        self._said[event.task_id].append(said)
        label = label_from(self._said[event.task_id])
        self._history.tell(
            event.task_id,
            needed=None if label is None else label.needed,
            propensity=1.0 if label is None else label.propensity,
        )


def _request(facts: Mapping[str, Any]) -> str:
    return str(facts.get("request", ""))
