"""Bodies of the HTTP API, both ways. Integers are JSON numbers; ids are below 2^63."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Id = Annotated[int, msgspec.Meta(ge=1, le=(1 << 63) - 1)]
MAX_DEVICES = 1000
"""Devices that one request may ask tokens for."""


class Health(msgspec.Struct, frozen=True):
    """The API serves."""

    status: Literal["ok"] = "ok"


class DeviceOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A device and its user."""

    user: Id
    device: Id


class TokensRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/tokens."""

    devices: Annotated[list[DeviceOf], msgspec.Meta(min_length=1, max_length=MAX_DEVICES)]


class Token(msgspec.Struct, frozen=True):
    """A device's token; `expires` in seconds since 1970."""

    device: int
    token: str
    expires: int


class Tokens(msgspec.Struct, frozen=True):
    """In the order asked."""

    tokens: list[Token]


class ConversationRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/conversations. Repeating a request with the same key gives the same conversation."""

    kind: Literal["direct", "group"]
    members: Annotated[list[Id], msgspec.Meta(min_length=1, max_length=10_000)]
    key: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class Created(msgspec.Struct, frozen=True):
    """The conversation's id."""

    conversation: int


class MemberRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/conversations/{conversation}/members."""

    user: Id


class Changed(msgspec.Struct, frozen=True):
    """The number that the change took in the conversation."""

    seq: int


class UserOf(msgspec.Struct, frozen=True):
    """Whose device, in a query. A device that asks need not say it."""

    user: Id | None = None


class RevokedDevice(msgspec.Struct, frozen=True):
    """Tokens of this device that were issued up to `at` (seconds since 1970) are void."""

    user: int
    device: int
    at: int


class Discovery(msgspec.Struct, frozen=True):
    """WebSocket URLs of live gateways, in random order."""

    gateways: list[str]


class Problem(msgspec.Struct, frozen=True):
    """Why a request failed, in one line."""

    error: str
