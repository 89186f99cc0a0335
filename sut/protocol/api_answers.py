"""Answers of the HTTP API, as clients read them: a person's and the swarm's (see docs/protocol.md, "HTTP API").

Only what a client uses is named here; fields that are not are passed over, so a service may add some. What a request
must look like is the service's to check (sut/services/api).
"""

from __future__ import annotations

import msgspec


class IssuedToken(msgspec.Struct, frozen=True):
    """A device's token. `expires` in seconds since 1970."""

    device: int
    token: str
    expires: int


class IssuedTokens(msgspec.Struct, frozen=True):
    """POST /v1/tokens."""

    tokens: tuple[IssuedToken, ...]


class Created(msgspec.Struct, frozen=True):
    """POST /v1/conversations."""

    conversation: int


class Seq(msgspec.Struct, frozen=True):
    """The number that a change of members or of a role took."""

    seq: int


class Gateways(msgspec.Struct, frozen=True):
    """GET /v1/discovery."""

    gateways: tuple[str, ...]


class SignedPrekeyOf(msgspec.Struct, frozen=True):
    """As it was published."""

    number: int
    key: bytes
    signature: bytes


class OneTimePrekeyOf(msgspec.Struct, frozen=True):
    """Handed out to nobody else."""

    number: int
    key: bytes


class BundleOf(msgspec.Struct, frozen=True):
    """What begins a session with one device."""

    device: int
    identity_key: bytes
    signed_prekey: SignedPrekeyOf
    one_time: OneTimePrekeyOf | None


class KeysOf(msgspec.Struct, frozen=True):
    """GET /v1/users/{user}/keys; the default: nothing was published."""

    devices: tuple[BundleOf, ...] = ()
    device_list: bytes = b""


class KeysLeft(msgspec.Struct, frozen=True):
    """PUT /v1/keys: how many one-time prekeys of the device there are now."""

    one_time: int


class Problem(msgspec.Struct, frozen=True):
    """Any refusal: one line."""

    error: str
