"""The API as data: one row per route. The application and the OpenAPI document are both built from it.

A row says what its handler may rely on: who asks, that the query has no unknown names, that a body is JSON. It also
says what a client may rely on: the types in both directions, every status. The guard (guard.py) enforces the first,
openapi.py documents the second. A test fails if the served routes and these differ.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

import msgspec

from sut.services.api import key_model, model


class Who(Enum):
    """The callers that a route admits."""

    ANYBODY = "anybody"
    DEVICE = "a device, by its token"
    OPERATOR = "the operator, by the API key"
    EITHER = "a device by its token, or the operator by the API key"


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One route. `path` has its parameters in braces; each parameter is an id."""

    name: str
    """The handler's method, and the document's operationId."""
    method: str
    path: str
    summary: str
    who: Who
    takes: type[msgspec.Struct] | None = None
    """The type of the JSON body; None: it has none, and a body is not read."""
    query: type[msgspec.Struct] | None = None
    """The query's parameters, as fields of integers or text; None: there must be none."""
    gives: type[msgspec.Struct] | None = None
    """The type of the JSON answer; None: any JSON object."""
    status: int = 200
    refuses: tuple[int, ...] = ()
    """Statuses of refusal in addition to those that `statuses` derives."""

    @property
    def parameters(self) -> tuple[str, ...]:
        """Return the names of the path's parameters, in order."""
        return tuple(re.findall(r"\{(\w+)\}", self.path))

    @property
    def pattern(self) -> str:
        """The path as aiohttp matches it: an id has at most 19 digits."""
        return re.sub(r"\{(\w+)\}", r"{\1:[0-9]{1,19}}", self.path)

    @property
    def statuses(self) -> tuple[int, ...]:
        """Return every status with which the route may refuse, rising."""
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
        summary="Check that the API serves requests",
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
        summary="Tokens for devices; none for any if one of them is revoked",
        who=Who.OPERATOR,
        takes=model.TokensRequest,
        gives=model.Tokens,
        refuses=(403, 503),
    ),
    Route(
        name="refresh",
        method="POST",
        path="/v1/tokens/refresh",
        summary="Renew the token of the asking device",
        who=Who.DEVICE,
        gives=model.Token,
        refuses=(403, 503),
    ),
    Route(
        name="register",
        method="POST",
        path="/v1/devices",
        summary="Register devices of users with their push addresses",
        who=Who.OPERATOR,
        takes=model.DevicesRequest,
        gives=model.Registered,
        refuses=(409, 503),
    ),
    Route(
        name="set_push",
        method="PUT",
        path="/v1/devices/{device}/push",
        summary="Set the push address of the asking device",
        who=Who.DEVICE,
        takes=model.PushRequest,
        gives=model.Registration,
        refuses=(403, 409, 503),
    ),
    Route(
        name="revoke_device",
        method="DELETE",
        path="/v1/devices/{device}",
        summary="Revoke a device for ever: its tokens are void, and its connection closes within seconds",
        who=Who.EITHER,
        query=model.UserOf,
        gives=model.RevokedDevice,
        refuses=(403, 429, 503),
    ),
    Route(
        name="log_out",
        method="DELETE",
        path="/v1/devices/{device}/tokens",
        summary="Take back all tokens that a device has, refreshed ones too; it may log in again",
        who=Who.EITHER,
        query=model.UserOf,
        gives=model.RevokedDevice,
        refuses=(403, 429, 503),
    ),
    Route(
        name="create",
        method="POST",
        path="/v1/conversations",
        summary="Create a conversation, or return the one that the same request created before",
        who=Who.DEVICE,
        takes=model.ConversationRequest,
        gives=model.Created,
        status=201,
        refuses=(403, 409, 429, 503),
    ),
    Route(
        name="create_all",
        method="POST",
        path="/v1/conversations/bulk",
        summary="Create conversations for users; none if one of them cannot be put into one",
        who=Who.OPERATOR,
        takes=model.ConversationsRequest,
        gives=model.CreatedAll,
        status=201,
        refuses=(403, 409, 503),
    ),
    Route(
        name="members",
        method="GET",
        path="/v1/conversations/{conversation}/members",
        summary="List the members of a conversation, for its members",
        who=Who.DEVICE,
        gives=model.MemberList,
        refuses=(403, 503),
    ),
    Route(
        name="add",
        method="POST",
        path="/v1/conversations/{conversation}/members",
        summary="Add a user to a group",
        who=Who.DEVICE,
        takes=model.MemberRequest,
        gives=model.Changed,
        refuses=(403, 409, 429, 503),
    ),
    Route(
        name="set_role",
        method="PUT",
        path="/v1/conversations/{conversation}/members/{user}",
        summary="Give a member of a group another role",
        who=Who.DEVICE,
        takes=model.RoleRequest,
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
        name="messages",
        method="GET",
        path="/v1/conversations/{conversation}/messages",
        summary="Messages and changes of members, in pages from the newest backwards",
        who=Who.DEVICE,
        query=model.HistoryQuery,
        gives=model.HistoryPage,
        refuses=(403, 503),
    ),
    Route(
        name="receipts",
        method="GET",
        path="/v1/conversations/{conversation}/receipts",
        summary="The highest numbers delivered to and read by each member of a conversation",
        who=Who.DEVICE,
        gives=model.Progresses,
        refuses=(403, 503),
    ),
    Route(
        name="presence",
        method="GET",
        path="/v1/presence",
        summary="Which users are online, and when each was last seen",
        who=Who.DEVICE,
        query=model.SeenQuery,
        gives=model.SeenUsers,
        refuses=(503,),
    ),
    Route(
        name="settings",
        method="GET",
        path="/v1/settings",
        summary="The settings of the asking device's user",
        who=Who.DEVICE,
        gives=model.Settings,
        refuses=(503,),
    ),
    Route(
        name="change_settings",
        method="PUT",
        path="/v1/settings",
        summary="Set who may add the asking device's user to groups",
        who=Who.DEVICE,
        takes=model.Settings,
        gives=model.Settings,
        refuses=(503,),
    ),
    Route(
        name="publish_keys",
        method="PUT",
        path="/v1/keys",
        summary="Publish the keys of the asking device",
        who=Who.DEVICE,
        takes=key_model.KeysRequest,
        gives=key_model.KeysPublished,
        refuses=(409, 429, 503),
    ),
    Route(
        name="count_keys",
        method="GET",
        path="/v1/keys/count",
        summary="Count the one-time prekeys that the asking device has left",
        who=Who.DEVICE,
        gives=key_model.KeysLeft,
        refuses=(503,),
    ),
    Route(
        name="take_keys",
        method="GET",
        path="/v1/users/{user}/keys",
        summary="The keys of all devices of a user",
        who=Who.DEVICE,
        query=key_model.KeysQuery,
        gives=key_model.KeysOf,
        refuses=(429, 503),
    ),
)
