"""HTTP surface v1 as a table: each call, who makes it, what it takes and answers."""

from __future__ import annotations

from serving.api import answers, wire
from serving.api.actions import ACTIONS
from serving.api.delivery import DELIVERY
from serving.api.health import HEALTH
from serving.api.live import LIVE
from serving.api.monitoring import MONITORING
from serving.api.operation import Operation
from serving.api.oversight import OVERSIGHT
from serving.problems import ProblemType

_P = ProblemType
_ON_TASK = (_P.UNKNOWN_TASK, _P.STALE_EPOCH, _P.EVENT_CONFLICT, _P.MALFORMED_EVENT)
_ON_HANDOFF = (
    _P.UNKNOWN_HANDOFF,
    _P.NOT_A_MEMBER,
    _P.ALREADY_CLAIMED,
    _P.ILLEGAL_TRANSITION,
)

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="POST",
        path="/v1/tasks/{task_id}/events",
        name="observe",
        who="agent",
        says="Append events to a task and decide whether the agent may go on.",
        body=wire.EventsRequest,
        answer=answers.StepAnswer,
        problems=_ON_TASK,
        run=lambda engine, call: engine.observe(
            call.path["task_id"], call.body.events, epoch=call.body.epoch
        ),
    ),
    *ACTIONS,
    Operation(
        method="POST",
        path="/v1/score",
        name="score",
        who="agent",
        says="Risk and reasons for the events of a task; nothing is stored.",
        body=wire.ScoreRequest,
        answer=answers.ScoreAnswer,
        problems=(_P.MALFORMED_EVENT,),
        is_read=True,
        run=lambda engine, call: engine.score(call.body.events),
    ),
    Operation(
        method="POST",
        path="/v1/tasks/{task_id}/escalate",
        name="escalate",
        who="agent, user",
        says="Ask for a human; always honoured.",
        body=wire.EscalateRequest,
        answer=answers.StepAnswer,
        problems=(_P.UNKNOWN_TASK,),
        run=lambda engine, call: engine.escalate(
            call.path["task_id"],
            by=call.body.by,
            reason=call.body.reason,
            epoch=call.body.epoch,
        ),
    ),
    Operation(
        method="GET",
        path="/v1/tasks/{task_id}",
        name="task",
        who="agent, operator",
        says="Owner, epoch and last decision of a task.",
        answer=answers.TaskAnswer,
        problems=(_P.UNKNOWN_TASK,),
        run=lambda engine, call: engine.task(call.path["task_id"]),
    ),
    Operation(
        method="GET",
        path="/v1/queues",
        name="queues",
        who="operator",
        says="Queues with load and waits.",
        answer=answers.QueueList,
        run=lambda engine, _: engine.queues(),
    ),
    Operation(
        method="GET",
        path="/v1/handoffs",
        name="handoffs",
        who="operator",
        says="Handoffs, the most urgent first.",
        query=wire.HandoffsQuery,
        answer=answers.HandoffList,
        problems=(_P.NO_SUCH_QUEUE,),
        run=lambda engine, call: engine.handoffs(**call.query.model_dump()),
    ),
    Operation(
        method="GET",
        path="/v1/handoffs/{handoff_id}",
        name="handoff",
        who="operator",
        says="One handoff with its whole package.",
        answer=answers.HandoffAnswer,
        problems=(_P.UNKNOWN_HANDOFF,),
        run=lambda engine, call: engine.handoff(call.path["handoff_id"]),
    ),
    Operation(
        method="POST",
        path="/v1/handoffs/{handoff_id}/claim",
        name="claim",
        who="operator",
        says="Take a waiting handoff; of two who try, one gets it.",
        body=wire.MemberRequest,
        answer=answers.HandoffItem,
        problems=_ON_HANDOFF,
        run=lambda engine, call: engine.claim(call.path["handoff_id"], by=call.body.by),
    ),
    Operation(
        method="POST",
        path="/v1/handoffs/{handoff_id}/renew",
        name="renew",
        who="operator",
        says="Go on working on it: a claim without a sign of life ends by itself.",
        body=wire.MemberRequest,
        answer=answers.HandoffItem,
        problems=_ON_HANDOFF,
        run=lambda engine, call: engine.renew(call.path["handoff_id"], by=call.body.by),
    ),
    Operation(
        method="POST",
        path="/v1/handoffs/{handoff_id}/release",
        name="release",
        who="operator",
        says="Put a claimed handoff back into its queue.",
        body=wire.MemberRequest,
        answer=answers.HandoffItem,
        problems=_ON_HANDOFF,
        run=lambda engine, call: engine.release(
            call.path["handoff_id"], by=call.body.by
        ),
    ),
    Operation(
        method="POST",
        path="/v1/handoffs/{handoff_id}/resolve",
        name="resolve",
        who="operator",
        says="Close a claimed handoff with a verdict; it becomes a label.",
        body=wire.ResolveRequest,
        answer=answers.HandoffItem,
        problems=_ON_HANDOFF,
        run=lambda engine, call: engine.resolve(
            call.path["handoff_id"],
            by=call.body.by,
            needed=call.body.needed,
            note=call.body.note,
            minutes=call.body.minutes,
        ),
    ),
    Operation(
        method="POST",
        path="/v1/handoffs/{handoff_id}/return",
        name="return",
        who="operator",
        says="Give the task back to the agent, with guidance, under a new epoch.",
        body=wire.ReturnRequest,
        answer=answers.HandoffItem,
        problems=_ON_HANDOFF,
        run=lambda engine, call: engine.return_(
            call.path["handoff_id"], by=call.body.by, guidance=call.body.guidance
        ),
    ),
    Operation(
        method="POST",
        path="/v1/handoffs/{handoff_id}/rate",
        name="rate",
        who="operator",
        says="Say whether the package was enough, and what was missing.",
        body=wire.RateRequest,
        answer=answers.HandoffItem,
        problems=(_P.UNKNOWN_HANDOFF, _P.NOT_A_MEMBER),
        run=lambda engine, call: engine.rate(
            call.path["handoff_id"],
            by=call.body.by,
            sufficient=call.body.sufficient,
            missing=call.body.missing,
            note=call.body.note,
        ),
    ),
    Operation(
        method="POST",
        path="/v1/outcomes",
        name="outcomes",
        who="any system of record",
        says="What became of tasks: complaints, reopenings, completions, verdicts.",
        body=wire.OutcomesRequest,
        answer=answers.OutcomesAnswer,
        problems=(_P.MALFORMED_EVENT, _P.UNKNOWN_TASK, _P.EVENT_CONFLICT),
        run=lambda engine, call: engine.outcomes(call.body.events),
    ),
    *LIVE,
    *DELIVERY,
    *MONITORING,
    Operation(
        method="GET",
        path="/v1/audit",
        name="audit",
        who="risk owner",
        says="Audit records with their leaf hashes, and the root over all of them.",
        query=wire.AuditQuery,
        answer=answers.AuditAnswer,
        run=lambda engine, call: engine.audit_records(
            call.query.start, call.query.limit
        ),
    ),
    Operation(
        method="GET",
        path="/v1/policy",
        name="policy",
        who="risk owner",
        says="The policy that decides now.",
        answer=answers.PolicyAnswer,
        run=lambda engine, _: {
            "version": engine.policy.version,
            "digest": engine.policy.digest,
            "document": engine.policy.model_dump(mode="json"),
        },
    ),
    *OVERSIGHT,
    *HEALTH,
)
