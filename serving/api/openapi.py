"""OpenAPI: the document of the surface, made from the table that serves it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from serving.api.answers import ProblemAnswer
from serving.api.bytes_doc import byte_paths
from serving.api.edge import PROBLEM_MEDIA, EdgeProblem
from serving.api.live import StreamQuery
from serving.api.operation import (
    EPOCH_HEADER,
    KEY_HEADER,
    REPLAYED_HEADER,
    Operation,
)
from serving.problems import ProblemType

_REFERENCE = "#/components/schemas/{model}"
_PARAMETER = re.compile(r"\{(\w+)\}")
# What answers in a form of its own: name, summary, media type.
_PLAIN = {
    "/metrics": ("metrics", "Metrics for Prometheus.", "text/plain"),
    "/v1/openapi.json": ("openapi", "This document.", "application/json"),
}
_STREAMED = ("/v1/tasks/{task_id}/stream", "stream", "A task, followed live.")
_EXPORTS = {
    "/v1/traces": ("otlp_traces", "Spans of an instrumented agent, as OTLP/HTTP."),
    "/v1/logs": ("otlp_logs", "Log records of an instrumented agent, as OTLP/HTTP."),
}
_KEY = {
    "name": KEY_HEADER,
    "in": "header",
    "description": "The call has its effect once, and its first answer whenever it is "
    "sent again under the same key: for 72 hours, and 30 days where it changed hands.",
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": 255,
        "pattern": "^[!-~]+$",
    },
}
_EPOCH = {
    "name": EPOCH_HEADER,
    "in": "header",
    "description": "The epoch under which the agent acts, in place of the body's.",
    "schema": {"type": "integer", "minimum": 0},
}
_REPLAYED = {
    REPLAYED_HEADER: {
        "description": "There where this is the answer of an earlier call.",
        "schema": {"type": "string", "enum": ["true"]},
    }
}
# What any call can meet, and any call with a body.
_ALWAYS = (EdgeProblem.UNAVAILABLE,)
_WITH_BODY = (
    EdgeProblem.MALFORMED_JSON,
    EdgeProblem.FOREIGN_PAGE,
    EdgeProblem.BODY_TOO_LARGE,
    EdgeProblem.NOT_JSON,
)


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of `operations`."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        item = paths.setdefault(operation.path, {})
        item[operation.method.lower()] = _described(operation)
    paths |= {path: {"get": _plain(*said)} for path, said in _PLAIN.items()}
    paths |= {path: {"post": _export(*said)} for path, said in _EXPORTS.items()}
    paths |= byte_paths(_refusals)
    paths[_STREAMED[0]] = {"get": _stream(*_STREAMED)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Escalon",
            "version": metadata.version("escalon"),
            "summary": "Decides when an AI agent must hand its whole task to a human.",
        },
        "paths": paths,
        "components": {"schemas": _schemas(operations)},
    }


def _plain(name: str, says: str, media: str) -> dict[str, Any]:
    content: dict[str, Any] = {media: {}}
    return {
        "operationId": name,
        "summary": says,
        "tags": ["platform"],
        "responses": {"200": {"description": says, "content": content}},
    }


def _stream(path: str, name: str, says: str) -> dict[str, Any]:
    """Return a call that is answered with events until nobody is live."""
    followed = Operation(
        method="GET",
        path=path,
        name=name,
        who="host application, operator",
        says=says,
        query=StreamQuery,
        answer=ProblemAnswer,
        problems=(ProblemType.UNKNOWN_TASK,),
        run=lambda *_: None,
    )
    kinds = (
        *_kinds(followed),
        EdgeProblem.FOREIGN_PAGE,
        EdgeProblem.TOO_MANY_FOLLOWERS,
    )
    told = "Server-sent events; `id` is a place in the task's log, to go on from."
    return {
        **_described(followed),
        "responses": {
            "200": {"description": told, "content": {"text/event-stream": {}}},
            "204": {"description": "Nobody is live, and everything was told."},
            **_refusals(kinds),
        },
    }


def _export(name: str, says: str) -> dict[str, Any]:
    """Return a call whose messages the OpenTelemetry protocol defines."""
    media: dict[str, Any] = {"application/json": {}, "application/x-protobuf": {}}
    taken = "What was not kept, and why, stands in its partial success."
    kinds = (*_ALWAYS, *_WITH_BODY, EdgeProblem.MALFORMED_EXPORT)
    return {
        "operationId": name,
        "summary": says,
        "tags": ["agent"],
        "requestBody": {"required": True, "content": media},
        "responses": {
            "200": {"description": taken, "content": media},
            **_refusals(
                kind for kind in kinds if kind is not EdgeProblem.MALFORMED_JSON
            ),
        },
    }


def _schemas(operations: Sequence[Operation]) -> dict[str, Any]:
    taken = (op.body for op in operations if op.body is not None)
    given = (op.answer for op in operations)
    wanted: dict[tuple[type[BaseModel], Any], None] = {
        **{(model, "validation"): None for model in taken},
        **{(model, "serialization"): None for model in given},
        (ProblemAnswer, "serialization"): None,
    }
    _, schema = models_json_schema(list(wanted), ref_template=_REFERENCE)
    definitions: dict[str, Any] = schema["$defs"]
    return definitions


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(model=model.__name__)}


def _described(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.says,
        "tags": [operation.who],
        "responses": _responses(operation),
    }
    parameters = [*_in_path(operation), *_in_query(operation), *_in_header(operation)]
    if parameters:
        described["parameters"] = parameters
    if operation.body is not None:
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _reference(operation.body)}},
        }
    return described


def _responses(operation: Operation) -> dict[str, Any]:
    content = {"application/json": {"schema": _reference(operation.answer)}}
    responses: dict[str, Any] = {
        "200": {"description": operation.answer.__doc__, "content": content}
    }
    if operation.takes_key:
        responses["200"]["headers"] = _REPLAYED
    return responses | _refusals(_kinds(operation))


def _refusals(kinds: Iterable[EdgeProblem | ProblemType]) -> dict[str, Any]:
    """Return the answers that are problems, by status."""
    content = {PROBLEM_MEDIA: {"schema": _reference(ProblemAnswer)}}
    by_status: dict[str, list[str]] = {}
    for kind in sorted(kinds, key=lambda kind: (kind.status, kind.slug)):
        by_status.setdefault(str(kind.status), []).append(kind.slug)
    return {
        status: {"description": ", ".join(slugs), "content": content}
        for status, slugs in by_status.items()
    }


def _kinds(operation: Operation) -> list[EdgeProblem | ProblemType]:
    """Return the problems of `operation`."""
    kinds: list[EdgeProblem | ProblemType] = [*operation.problems, *_ALWAYS]
    if operation.body is not None:
        kinds += _WITH_BODY
    if operation.body is not None or operation.query is not None:
        kinds.append(ProblemType.MALFORMED_REQUEST)
    if operation.takes_key:
        kinds.append(ProblemType.KEY_REUSED)
    return kinds


def _in_path(operation: Operation) -> Iterator[dict[str, Any]]:
    for name in _PARAMETER.findall(operation.path):
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "minLength": 1},
        }


def _in_header(operation: Operation) -> Iterator[dict[str, Any]]:
    if operation.takes_key:
        yield _KEY
    if operation.takes_epoch:
        yield _EPOCH


def _in_query(operation: Operation) -> Iterable[dict[str, Any]]:
    if operation.query is None:
        return ()
    schema = operation.query.model_json_schema(ref_template=_REFERENCE)
    inlined = schema.get("$defs", {})
    return [
        {"name": name, "in": "query", "schema": _inline(field, inlined)}
        for name, field in schema["properties"].items()
    ]


def _inline(schema: Any, definitions: dict[str, Any]) -> Any:
    """Return `schema` with its references replaced by what they refer to."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            return definitions[schema["$ref"].rpartition("/")[2]]
        return {key: _inline(value, definitions) for key, value in schema.items()}
    if isinstance(schema, list):
        return [_inline(value, definitions) for value in schema]
    return schema
