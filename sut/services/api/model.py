"""Bodies of the HTTP API, in both directions. Ids are text (ids.py), other integers are numbers."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from sut.services.api.ids import MAX_ID, Id, Number, Text

Position = Annotated[int, msgspec.Meta(ge=1, le=MAX_ID)]
"""A number of a conversation, or a count."""
MAX_DEVICES = 1000
"""Devices that one request may ask tokens for."""
MAX_MADE = 1000
"""Conversations that one request of the operator may create."""
MAX_SEEN = 200
"""Users that one request for presence may name."""


class Health(msgspec.Struct, frozen=True):
    """The API serves requests."""

    status: Literal["ok"] = "ok"


class DeviceOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A device and its user."""

    user: Id
    device: Id


class TokensRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/tokens: the devices to issue tokens for."""

    devices: Annotated[list[DeviceOf], msgspec.Meta(min_length=1, max_length=MAX_DEVICES)]


class Token(msgspec.Struct, frozen=True):
    """A device's token; `expires` in seconds since 1970."""

    device: Number
    device_id: Text
    token: str
    expires: int


class Tokens(msgspec.Struct, frozen=True):
    """The tokens in the order of the request."""

    tokens: list[Token]


class ApnsPush(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="provider", tag="apns"):
    """A device's token at APNs: hexadecimal, 32 bytes at present, possibly longer later."""

    token: Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Fa-f]{64,200}(?!\n)$")]


class FcmPush(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="provider", tag="fcm"):
    """A device's token at FCM."""

    token: Annotated[str, msgspec.Meta(min_length=1, max_length=4096, pattern=r"^[!-~]+(?!\n)$")]


PushOf = ApnsPush | FcmPush
"""Where a device gets its pushes."""


class DeviceToRegister(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A device, its user and its push address, if it has one."""

    user: Id
    device: Id
    push: PushOf | None = None


class DevicesRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/devices. Repeating it changes nothing."""

    devices: Annotated[list[DeviceToRegister], msgspec.Meta(min_length=1, max_length=MAX_DEVICES)]


class Registered(msgspec.Struct, frozen=True):
    """The number of devices registered."""

    registered: int


class PushRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """PUT /v1/devices/{device}/push: the new push address; null: no pushes."""

    push: PushOf | None


class Registration(msgspec.Struct, frozen=True):
    """The device that was changed."""

    user: Number
    user_id: Text
    device: Number
    device_id: Text


class UserOf(msgspec.Struct, frozen=True):
    """The device's user. Required only from the operator, for a device that was never registered."""

    user: Id | None = None


class RevokedDevice(msgspec.Struct, frozen=True):
    """Tokens of this device's logins up to `at` (seconds since 1970) are void. It is a minute ahead: clocks differ."""

    user: Number
    user_id: Text
    device: Number
    device_id: Text
    at: int


class ConversationRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/conversations. Repeating a request with the same key gives the same conversation."""

    kind: Literal["direct", "group"]
    members: Annotated[list[Id], msgspec.Meta(min_length=1, max_length=10_000)]
    key: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    adding: Literal["members", "admins"] = "members"
    """The members who may add users to a group."""


class ConversationToMake(ConversationRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A conversation and the user who creates it."""

    creator: Id


class ConversationsRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/conversations/bulk. Repeating it gives the same conversations."""

    conversations: Annotated[list[ConversationToMake], msgspec.Meta(min_length=1, max_length=MAX_MADE)]


class Created(msgspec.Struct, frozen=True):
    """The id of the conversation."""

    conversation: Number
    conversation_id: Text


class CreatedAll(msgspec.Struct, frozen=True):
    """The ids of the conversations, in the order of the request."""

    conversations: list[Created]


class MemberRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/conversations/{conversation}/members: the user to add."""

    user: Id


RoleName = Literal["member", "admin", "owner"]
ROLES: tuple[RoleName, ...] = ("member", "admin", "owner")
"""The names of ports.Role, by value."""


class RoleRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """PUT /v1/conversations/{conversation}/members/{user}: the new role."""

    role: RoleName


class Member(msgspec.Struct, frozen=True):
    """A member of a conversation; `first` is the lowest number the member may see of this stay."""

    user: Number
    user_id: Text
    role: RoleName
    first: int


class MemberList(msgspec.Struct, frozen=True):
    """GET /v1/conversations/{conversation}/members: the members by rising user id."""

    kind: Literal["direct", "group"]
    adding: Literal["members", "admins", "nobody"]
    members: list[Member]


class HistoryQuery(msgspec.Struct, frozen=True):
    """The newest `limit` messages (at most 200) below `before`, or of all if `before` is missing."""

    before: Position = (1 << 48) - 1
    limit: Position = 50


Change = Literal["", "added", "removed", "role"]
"""A change of members, with the meaning of a PAGE's flags; "" for a message."""


class HistoryMessage(msgspec.Struct, frozen=True):
    """A message or a change of members; `body` is base64."""

    seq: int
    user: Number
    user_id: Text
    device: Number
    device_id: Text
    client_seq: Number
    client_seq_id: Text
    body: bytes
    change: Change = ""


class HistoryPage(msgspec.Struct, frozen=True):
    """GET /v1/conversations/{conversation}/messages: numbers from `through` to below `before`, in rising order."""

    head: int
    through: int
    messages: list[HistoryMessage]


class Changed(msgspec.Struct, frozen=True):
    """The number that the change took in the conversation."""

    seq: int


class Discovery(msgspec.Struct, frozen=True):
    """WebSocket URLs of live gateways, in random order."""

    gateways: list[str]


class Progress(msgspec.Struct, frozen=True):
    """The highest numbers delivered to and read by a user in a conversation; 0: none, or not known."""

    user: Number
    user_id: Text
    delivered: int
    read: int


class Progresses(msgspec.Struct, frozen=True):
    """The progress of each user that is known, by id."""

    receipts: list[Progress]


class SeenQuery(msgspec.Struct, frozen=True):
    """The users to look up; repeat the parameter for each. A request line has at most 8 KB."""

    user: Annotated[list[Id], msgspec.Meta(min_length=1, max_length=MAX_SEEN)]


class Seen(msgspec.Struct, frozen=True):
    """True in `online` if the user is connected; `last_seen_ms` is Unix time in ms, 0: not known."""

    user: Number
    user_id: Text
    online: bool
    last_seen_ms: int


class SeenUsers(msgspec.Struct, frozen=True):
    """The users in the order of the request."""

    users: list[Seen]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A user's settings, the same for all devices. `added_by`: who may add this user to groups."""

    added_by: Literal["anybody", "nobody"]


class Problem(msgspec.Struct, frozen=True):
    """The reason why a request failed, in one line."""

    error: str
