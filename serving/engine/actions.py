"""Actions: what lets single tool calls of an agent through, as long as it may act."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from serving.engine import fencing
from serving.engine.checks import check
from serving.engine.ways import Answer, Ways
from serving.policy import tokens
from serving.policy.audit import rfc3339
from serving.policy.tokens import LONGEST, SKEW, Claims, Fault, Refused
from serving.store import actions, agent_leases, tasks
from serving.store.tasks import Task, new_id
from serving.store.transaction import Reader, Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a gateway asks before a write.

    Attributes
    ----------
    epoch : int or None
        Under which the agent acts; None: the token says it.
    token : str or None
        None: only the epoch is asked about.
    tool, args_sha256 : str or None
        What is about to be called; None: not compared with the token.
    consume : bool
        Whether to use up the token: then `may_act` is true once for it, and never
        after the task has changed hands.
    """

    task_id: str
    epoch: int | None = None
    token: str | None = None
    tool: str | None = None
    args_sha256: str | None = None
    consume: bool = False


class Actions:
    """Gives tokens to agents, and tells gateways whether they are good.

    Parameters
    ----------
    ways : Ways
        The engine's. The key is derived from its secret, so every replica has it.
    lasts : timedelta
        For how long a token holds, at most `LONGEST`.
    """

    def __init__(self, ways: Ways, *, lasts: timedelta = LONGEST) -> None:
        self._ways = ways
        self._lasts = lasts
        self._private = tokens.private_key(ways.secret)
        public = self._private.public_key()
        self._keys: Mapping[str, Ed25519PublicKey] = {tokens.kid_of(public): public}

    def authorize(
        self, task_id: str, *, epoch: int | None, tool: str, args_sha256: str
    ) -> Answer:
        """Return a token for one call of `tool`, if the agent owns the task.

        Raises
        ------
        Problem
            unknown-task, stale-epoch, malformed-request.
        """
        check(epoch is not None, "epoch", "the epoch the agent was told last", epoch)
        check(bool(tool.strip()), "tool", "the name of a tool", tool)
        now, policy = self._ways.clock(), self._ways.policy

        def view(reader: Reader) -> tuple[Task, bool]:
            task = fencing.owned(reader, task_id, epoch or 0, policy, now)
            lease = agent_leases.find(reader, task_id)
            return task, lease is not None and not lease.is_fresh(now)

        task, is_beat = self._ways.read(view)
        if is_beat:
            self._ways.do(lambda tx: agent_leases.heard(tx, task_id, now))
        claims = Claims.made(
            task=task_id,
            epoch=task.epoch,
            tool=tool,
            args_sha256=args_sha256,
            jti=new_id("act"),
            now=now,
            lasts=self._lasts,
        )
        return {
            "token": tokens.sign(claims, self._private),
            "jti": claims.jti,
            "expires_at": rfc3339(datetime.fromtimestamp(claims.exp, now.tzinfo)),
            "task_id": task_id,
            "epoch": task.epoch,
        }

    def verify(self, asked: Asked) -> Answer:
        """Return whether an agent may act, and whether its token is good.

        Raises
        ------
        Problem
            unknown-task, malformed-request.
        """
        needs_token = asked.consume or asked.epoch is None
        check(
            asked.token is not None or not needs_token,
            "token",
            "a token, as there is no epoch or it is to be consumed",
            asked.token,
        )
        now = self._ways.clock()
        if asked.token is None:
            return self._ways.read(lambda reader: _answer(reader, asked, None))
        said = tokens.verify(
            asked.token,
            self._keys,
            now=now,
            task=asked.task_id,
            tool=asked.tool,
            args_sha256=asked.args_sha256,
            last_epoch=asked.epoch or 0,
        )
        if asked.consume:
            return self._ways.do(lambda tx: _consumed(tx, asked, said, now))
        return self._ways.read(lambda reader: _answer(reader, asked, said))

    def key(self) -> Answer:
        """Return the public keys with which gateways check tokens offline."""
        return {
            "keys": [
                {
                    "kid": kid,
                    "alg": "Ed25519",
                    "raw": base64.b64encode(key.public_bytes_raw()).decode(),
                    "pem": key.public_bytes(
                        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
                    ).decode(),
                }
                for kid, key in self._keys.items()
            ],
            "lasts_s": self._lasts.total_seconds(),
            "skew_s": SKEW.total_seconds(),
        }


def _consumed(
    tx: Transaction, asked: Asked, said: Claims | Refused, now: datetime
) -> Answer:
    """Use up a token if it is good; the log then has the act before any handover."""
    answer = _answer(tx, asked, said)
    if answer["may_act"] and isinstance(said, Claims):
        actions.add(tx, said, now)
        answer["token"]["consumed"] = True
    return answer


def _answer(reader: Reader, asked: Asked, said: Claims | Refused | None) -> Answer:
    task = tasks.get(reader, asked.task_id)
    standing = {"owner": task.owner, "epoch": task.epoch}
    if said is None:
        may_act = task.may_act(asked.epoch)
        return {"may_act": may_act, **standing, "token": None}
    judged = said if isinstance(said, Refused) else _refusal(reader, task, said)
    is_named = asked.epoch is None or task.may_act(asked.epoch)
    return {
        "may_act": judged is None and is_named,
        **standing,
        "token": _told(judged),
    }


def _refusal(reader: Reader, task: Task, claims: Claims) -> Refused | None:
    """Return why a well-signed token is not good by what the store says now."""
    if not task.may_act(claims.epoch):
        owner = f"{task.owner_kind} {task.owner_id}".strip()
        return Refused(
            fault=Fault.OLD_EPOCH,
            expected=f"epoch {task.epoch}, under which {owner} has the task",
            found=f"epoch {claims.epoch}",
        )
    if actions.is_used(reader, claims.jti):
        return Refused(
            fault=Fault.USED, expected="a token not used before", found=claims.jti
        )
    return None


def _told(refused: Refused | None) -> dict[str, Any]:
    return {
        "good": refused is None,
        "fault": None if refused is None else str(refused.fault),
        "expected": None if refused is None else refused.expected,
        "found": None if refused is None else refused.found,
        "consumed": False,
    }
