"""The OpenAPI 3.1 document, built from the table of routes and the types of their bodies. `python -m
sut.services.api.openapi` prints it, the API serves it, and openapi.json beside this file is a copy for readers.
"""

from __future__ import annotations

import sys
from http import HTTPStatus
from typing import Any, Final

import msgspec

from sut.services.api import ids
from sut.services.api.model import Problem
from sut.services.api.routes import ROUTES, Route, Who

_REF: Final = "#/components/schemas/{name}"
_SECURITY: Final[dict[Who, list[dict[str, list[str]]]]] = {
    Who.ANYBODY: [],
    Who.DEVICE: [{"device": []}],
    Who.OPERATOR: [{"operator": []}],
    Who.EITHER: [{"device": []}, {"operator": []}],
}
_MEANING: Final = {
    400: "Malformed: the body, the query or a header. In plain text: a line of the head over 8,190 bytes, or no HTTP",
    401: "Not authenticated: the token or key is missing or invalid",
    403: "Not allowed for this caller",
    404: "Not found",
    408: "The body came too slowly",
    409: "Conflict with the present state",
    413: "The body is over 1 MiB",
    415: "The body is not declared as JSON",
    429: "Too many requests",
    503: "Outcome unknown: repeat the same request",
}
_DESCRIPTION: Final = (
    "Devices and their tokens, conversations, members, history, receipts, presence, keys and discovery of"
    " Stormpetrel. Messages go over the WebSocket protocol, see"
    " docs/protocol.md and sut/protocol/asyncapi.json. Requests that change something may be repeated: the same"
    " request has the same effect and answer. Ids are text of digits, up to 2^63 - 1: in answers in the fields that end"
    " in _id. The same id as a number stands beside it, and is accepted too, for programs with 64-bit integers."
)


def document(routes: tuple[Route, ...] = ROUTES) -> dict[str, Any]:
    """Return the whole document as JSON values."""
    types = {Problem} | {kind for r in routes for kind in (r.takes, r.gives) if kind is not None}
    ordered = sorted(types, key=lambda kind: kind.__name__)
    schemas, components = msgspec.json.schema_components(ordered, schema_hook=ids.schema, ref_template=_REF)
    references = dict(zip(ordered, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        operation = paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, references)
        if links := _links(route, routes):
            operation["responses"][str(route.status)]["links"] = links
    return {
        "openapi": "3.1.0",
        "info": {"title": "Stormpetrel", "version": "1", "description": _DESCRIPTION},
        "paths": paths,
        "components": {
            "schemas": components | ids.SCHEMAS,
            "securitySchemes": {
                "device": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "A device token"},
                "operator": {"type": "http", "scheme": "bearer", "description": "The API key"},
            },
        },
    }


def encoded() -> bytes:
    """Return the document as indented JSON text."""
    return msgspec.json.format(msgspec.json.encode(document()), indent=1) + b"\n"


def _operation(route: Route, references: dict[type, dict[str, Any]]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "description": f"For {route.who.value}.",
        "security": _SECURITY[route.who],
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"$ref": _REF.format(name="IdText")}}
            for name in route.parameters
        ]
        + _query(route),
        "responses": {
            str(route.status): {
                "description": HTTPStatus(route.status).phrase,
                "content": _json({"type": "object"} if route.gives is None else references[route.gives]),
            },
            **{str(status): _refusal(status, references[Problem]) for status in route.statuses},
        },
    }
    if route.takes is not None:
        operation["requestBody"] = {"required": True, "content": _json(references[route.takes])}
    return operation


def _links(route: Route, routes: tuple[Route, ...]) -> dict[str, Any]:
    """Return links from the id of a created object to the routes with a path parameter of that name."""
    fields = route.gives.__struct_fields__ if route.gives is not None and route.status == 201 else ()
    return {
        other.name: {"operationId": other.name, "parameters": {name: f"$response.body#/{name}_id"}}
        for other in routes
        for name in other.parameters
        if f"{name}_id" in fields and name not in route.parameters
    }


def _query(route: Route) -> list[dict[str, Any]]:
    if route.query is None:
        return []
    schema = msgspec.json.schema(route.query, schema_hook=ids.schema)["$defs"][route.query.__name__]
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": kind}
        for name, kind in schema["properties"].items()
    ]


def _refusal(status: int, problem: dict[str, Any]) -> dict[str, Any]:
    refusal: dict[str, Any] = {"description": _MEANING[status], "content": _json(problem)}
    if status == 400:
        refusal["content"] |= {"text/plain": {"schema": {"type": "string"}}}
    if status == 401:
        refusal["headers"] = {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}}
    return refusal


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


if __name__ == "__main__":
    sys.stdout.buffer.write(encoded())
