"""Operations: what is known of one call of the HTTP surface."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from serving.engine import Engine
from serving.engine.keys import Key
from serving.problems import ProblemType


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, read and checked.

    Attributes
    ----------
    path : Mapping of str to str
        The parameters of the address.
    query, body : Any
        Instances of the operation's models; None where it has none.
    key : Key or None
        Under which it is made.
    """

    path: Mapping[str, str] = field(default_factory=dict)
    query: Any = None
    body: Any = None
    key: Key | None = None


KEY_HEADER = "Idempotency-Key"
REPLAYED_HEADER = "Idempotency-Replayed"
EPOCH_HEADER = "X-Task-Epoch"

Run = Callable[[Engine, Call], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One call of the surface.

    Attributes
    ----------
    method, path : str
        As in HTTP; path parameters in braces.
    name : str
        Unique; ``operationId`` of the OpenAPI document.
    who : str
        Who makes the call.
    says : str
        What it does, in one line.
    run : callable
        Makes the answer out of an engine and a `Call`.
    answer : type
        Model of the answer.
    body, query : type, optional
        Models of what is taken.
    problems : tuple of ProblemType
        What the engine can refuse it with.
    is_read : bool
        Whether it changes nothing, though it is no GET.
    """

    method: str
    path: str
    name: str
    who: str
    says: str
    run: Run
    answer: type[BaseModel]
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    problems: tuple[ProblemType, ...] = ()
    is_read: bool = False

    @property
    def takes_key(self) -> bool:
        """Whether it can be made under an Idempotency-Key."""
        return self.method != "GET" and not self.is_read

    @property
    def takes_epoch(self) -> bool:
        """Whether an agent may name its epoch in a header."""
        return self.body is not None and "epoch" in self.body.model_fields
