"""The API as data: one row a route, from which the application and the OpenAPI document both come.

A row says what its handler may rely on (who asks, that the query has no unknown names, that a body is JSON) and what a
client may rely on (the types both ways, every status). The guard (guard.py) holds the first, openapi.py tells the
second. A route that is served and not here, or here and not served, fails a test.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

import msgspec

from sut.services.api import model


class Who(Enum):
    """Who may ask."""

    ANYBODY = "anybody"
    DEVICE = "a device, by its token"
    OPERATOR = "the operator, by the API key"
    EITHER = "a device by its token, or the operator by the API key"


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One route. `path` has its parameters in braces; each is an id."""

    name: str
    """The handler's method, and the document's operationId."""
    method: str
    path: str
    summary: str
    who: Who
    takes: type[msgspec.Struct] | None = None
    """The type of the JSON body; None: it has none, and what comes is not read."""
    query: type[msgspec.Struct] | None = None
    """The query's parameters, as fields of integers or text; None: there must be none."""
    gives: type[msgspec.Struct] | None = None
    """The type of the JSON answer; None: any JSON object."""
    status: int = 200
    refuses: tuple[int, ...] = ()
    """Statuses of refusal beside those that follow from the rest, see `statuses`."""

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the path's parameters, in order."""
        return tuple(re.findall(r"\{(\w+)\}", self.path))

    @property
    def pattern(self) -> str:
        """The path as aiohttp matches it: an id has at most 19 digits."""
        return re.sub(r"\{(\w+)\}", r"{\1:[0-9]{1,19}}", self.path)

    @property
    def statuses(self) -> tuple[int, ...]:
        """Every status with which it may refuse, rising."""
        found = {400, *self.refuses}
        if self.who is not Who.ANYBODY:
            found.add(401)
        if self.takes is not None:
            found |= {408, 413, 415}
        if self.parameters:
            found.add(404)
        return tuple(sorted(found))


ROUTES: Final = (
    Route(
        name="health",
        method="GET",
        path="/v1/health",
        summary="Whether the API serves",
        who=Who.ANYBODY,
        gives=model.Health,
    ),
    Route(
        name="discovery",
        method="GET",
        path="/v1/discovery",
        summary="The gateways to connect to, in random order",
        who=Who.ANYBODY,
        gives=model.Discovery,
    ),
    Route(
        name="openapi",
        method="GET",
        path="/v1/openapi.json",
        summary="This document",
        who=Who.ANYBODY,
    ),
    Route(
        name="tokens",
        method="POST",
        path="/v1/tokens",
        summary="Tokens for devices",
        who=Who.OPERATOR,
        takes=model.TokensRequest,
        gives=model.Tokens,
    ),
    Route(
        name="create",
        method="POST",
        path="/v1/conversations",
        summary="Create a conversation, or find the one that was created by the same request",
        who=Who.DEVICE,
        takes=model.ConversationRequest,
        gives=model.Created,
        status=201,
        refuses=(403, 409, 503),
    ),
    Route(
        name="add",
        method="POST",
        path="/v1/conversations/{conversation}/members",
        summary="Add a user to a group",
        who=Who.DEVICE,
        takes=model.MemberRequest,
        gives=model.Changed,
        refuses=(403, 409, 503),
    ),
    Route(
        name="remove",
        method="DELETE",
        path="/v1/conversations/{conversation}/members/{user}",
        summary="Remove a user from a group, or leave it",
        who=Who.DEVICE,
        gives=model.Changed,
        refuses=(403, 409, 503),
    ),
    Route(
        name="revoke_device",
        method="DELETE",
        path="/v1/devices/{device}",
        summary="Take back every token that a device has; its connection closes within seconds",
        who=Who.EITHER,
        query=model.UserOf,
        gives=model.RevokedDevice,
        refuses=(403, 503),
    ),
)
