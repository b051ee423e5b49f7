"""Actions on the surface: tokens for single tool calls, and the beats of agents."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, model_validator

from serving.api.answers import Answer, Owner, TokenState
from serving.api.operation import Call, Operation
from serving.api.wire import Epoch, Name, Request
from serving.engine import Engine
from serving.engine.actions import Asked
from serving.engine.agents import LONGEST_BEAT, SHORTEST_BEAT
from serving.policy.tokens import digest_of
from serving.problems import ProblemType

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Token = Annotated[str, StringConstraints(min_length=1, max_length=4_096)]

# --- what is taken ----------------------------------------------------------------


class WithArguments(Request):
    """A call that names the arguments of a tool: themselves, or by their hash."""

    arguments_sha256: Sha256 | None = Field(
        default=None,
        description="SHA-256 (hex) of the arguments as JSON: keys in order, no spaces.",
    )
    arguments: Any = Field(default=None, description="Or the arguments themselves.")

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        given = self.model_fields_set & {"arguments_sha256", "arguments"}
        if len(given) > 1:
            msg = "expected `arguments` or `arguments_sha256`, not both"
            raise ValueError(msg)
        return self

    @property
    def digest(self) -> str | None:
        """The hash of the arguments; None where they were not named."""
        if "arguments" in self.model_fields_set:
            return digest_of(self.arguments)
        return self.arguments_sha256


class ActionRequest(WithArguments):
    """What an agent, or the gateway of its tools, is about to do."""

    epoch: Epoch | None = None
    tool: Name

    @model_validator(mode="after")
    def _names_arguments(self) -> Self:
        if self.digest is None:
            msg = "expected `arguments` or `arguments_sha256`"
            raise ValueError(msg)
        return self


class VerifyRequest(WithArguments):
    """What a tool gateway asks before a write."""

    task_id: Name
    epoch: Epoch | None = Field(
        default=None, description="May be absent where there is a token, which has it."
    )
    token: Token | None = None
    tool: Name | None = Field(
        default=None, description="What is called; held against the token."
    )
    consume: bool = Field(
        default=False,
        description="Use the token up: the act is then in the log, before any handover "
        "that follows. Act only if the answer says `may_act`.",
    )


class BeatRequest(Request):
    """A sign of life of an agent, and when the next one comes."""

    epoch: Epoch | None = None
    every_s: Annotated[
        float, Field(ge=SHORTEST_BEAT, le=LONGEST_BEAT, allow_inf_nan=False)
    ] = 30.0
    last: bool = Field(
        default=False, description="It is done: do not wait for it any longer."
    )


# --- what is answered -------------------------------------------------------------


class ActionAnswer(Answer):
    """A token for one call of one tool."""

    token: str
    jti: str
    expires_at: datetime
    task_id: str
    epoch: int


class OwnershipAnswer(Answer):
    """Whether an agent may act, and who owns the task."""

    may_act: bool
    owner: Owner
    epoch: int
    token: TokenState | None


class KeyItem(Answer):
    """A public key with which tokens are signed."""

    kid: str
    alg: str
    raw: str = Field(description="Its 32 bytes in base64.")
    pem: str


class KeysAnswer(Answer):
    """The public keys, for gateways that check tokens offline."""

    keys: list[KeyItem]
    lasts_s: float = Field(description="For how long a token holds.")
    skew_s: float = Field(description="By how much clocks may differ.")


class BeatAnswer(Answer):
    """Until when the agent is believed to be there."""

    task_id: str
    owner: Owner
    epoch: int
    silent_at: datetime | None


# --- the calls --------------------------------------------------------------------


def _authorize(engine: Engine, call: Call) -> Any:
    body: ActionRequest = call.body
    return engine.actions.authorize(
        call.path["task_id"],
        epoch=body.epoch,
        tool=body.tool,
        args_sha256=body.digest or "",
    )


def _verify(engine: Engine, call: Call) -> Any:
    body: VerifyRequest = call.body
    return engine.actions.verify(
        Asked(
            task_id=body.task_id,
            epoch=body.epoch,
            token=body.token,
            tool=body.tool,
            args_sha256=body.digest,
            consume=body.consume,
        )
    )


_ON_TASK = (ProblemType.UNKNOWN_TASK, ProblemType.STALE_EPOCH)

ACTIONS: tuple[Operation, ...] = (
    Operation(
        method="POST",
        path="/v1/ownership/verify",
        name="verify",
        who="tool gateway",
        says="Ask, before a write, whether the agent may still act; use up its token.",
        body=VerifyRequest,
        answer=OwnershipAnswer,
        problems=(ProblemType.UNKNOWN_TASK,),
        run=_verify,
    ),
    Operation(
        method="POST",
        path="/v1/tasks/{task_id}/actions",
        name="authorize",
        who="agent, tool gateway",
        says="A signed token for one call of one tool, while the agent owns the task.",
        body=ActionRequest,
        answer=ActionAnswer,
        problems=_ON_TASK,
        is_read=True,
        run=_authorize,
    ),
    Operation(
        method="GET",
        path="/v1/actions/key",
        name="action_key",
        who="tool gateway",
        says="The public keys of action tokens, to check them offline.",
        answer=KeysAnswer,
        run=lambda engine, _: engine.actions.key(),
    ),
    Operation(
        method="POST",
        path="/v1/tasks/{task_id}/heartbeat",
        name="heartbeat",
        who="agent",
        says="I am there, and will be again; three missed beats, and I am gone.",
        body=BeatRequest,
        answer=BeatAnswer,
        problems=_ON_TASK,
        run=lambda engine, call: engine.agents.beat(
            call.path["task_id"],
            epoch=call.body.epoch,
            every=call.body.every_s,
            is_last=call.body.last,
        ),
    ),
)
