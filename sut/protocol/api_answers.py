"""The answers of the HTTP API as clients read them: a person's client and the swarm (see docs/protocol.md, "HTTP API").

Only the fields that a client uses are named. Other fields are ignored, so a service may add some. The service checks
the form of requests (sut/services/api). An id is read from its text, in the field that ends in _id: `decode` does that.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

T = TypeVar("T")


def decode(answer: bytes, kind: type[T]) -> T:
    """Return a decoded answer; numbers may be text, as ids are. Raises msgspec.DecodeError."""
    return msgspec.json.decode(answer, type=kind, strict=False)


class IssuedToken(msgspec.Struct, frozen=True):
    """A device's token. `expires` is Unix time in seconds."""

    device: int = msgspec.field(name="device_id")
    token: str
    expires: int


class IssuedTokens(msgspec.Struct, frozen=True):
    """The answer to POST /v1/tokens."""

    tokens: tuple[IssuedToken, ...]


class Created(msgspec.Struct, frozen=True):
    """The answer to POST /v1/conversations."""

    conversation: int = msgspec.field(name="conversation_id")


class CreatedAll(msgspec.Struct, frozen=True):
    """The answer to POST /v1/conversations/bulk."""

    conversations: tuple[Created, ...]


class Seq(msgspec.Struct, frozen=True):
    """The sequence number of a change of members or of a role."""

    seq: int


class Gateways(msgspec.Struct, frozen=True):
    """The answer to GET /v1/discovery."""

    gateways: tuple[str, ...]


class SignedPrekeyOf(msgspec.Struct, frozen=True):
    """A signed prekey as its device published it."""

    number: int
    key: bytes
    signature: bytes


class OneTimePrekeyOf(msgspec.Struct, frozen=True):
    """A one-time prekey. The service hands it out only once."""

    number: int
    key: bytes


class BundleOf(msgspec.Struct, frozen=True):
    """The keys that start a session with one device."""

    device: int = msgspec.field(name="device_id")
    identity_key: bytes
    signed_prekey: SignedPrekeyOf
    one_time: OneTimePrekeyOf | None


class KeysOf(msgspec.Struct, frozen=True):
    """The answer to GET /v1/users/{user}/keys; the default means that nothing was published."""

    devices: tuple[BundleOf, ...] = ()
    device_list: bytes = b""


class KeysPublished(msgspec.Struct, frozen=True):
    """The answer to PUT /v1/keys: the number of one-time prekeys that the service now holds for the device."""

    one_time: int
    highest: int = 0
    """The highest number of a one-time prekey that the device ever published; 0: none, or the service does not say."""


class Problem(msgspec.Struct, frozen=True):
    """The answer to any refused request: one line of text."""

    error: str
