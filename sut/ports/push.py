"""Devices with their push addresses, and the services that wake them up."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Literal, Protocol

import msgspec

Provider = Literal["apns", "fcm"]


class PushAddress(msgspec.Struct, frozen=True, array_like=True):
    """Where a device is reached while it is not connected: its token at a push provider."""

    provider: Provider
    token: str


class RegisteredDevice(msgspec.Struct, frozen=True, array_like=True):
    """A device of a user, for ever; `push` None: it gets none."""

    user: int
    device: int
    push: PushAddress | None


class Devices(Protocol):
    """Whose device is which, where it gets its pushes, and which are revoked. Ids are below 2^63."""

    async def register(self, devices: Sequence[RegisteredDevice]) -> list[bool]:
        """Add the devices, or set their push address anew. False, and nothing done, for one that is another user's or
        revoked. Repeating a call changes nothing. A push address is its newest user's: the devices of others lose it.
        """

    async def devices_of(self, users: Sequence[int]) -> dict[int, tuple[RegisteredDevice, ...]]:
        """The devices of these users that are not revoked, by device; users without one are left out."""

    async def owner(self, device: int) -> int | None:
        """Whose device it is or was; None when it was never registered."""

    async def retire(self, device: RegisteredDevice) -> None:
        """The provider says that this push token is dead: forget it, unless the device has another one by now."""

    async def revoke(self, device: int, user: int) -> None:
        """From now on the device gets no token, no push and no connection, for ever. `user`: whose it is; 0 when
        it was never registered.
        """

    async def revoked(self, devices: Sequence[int]) -> set[int]:
        """Those of these that are revoked. What hands out tokens, and what accepts connections, asks this."""

    async def close(self) -> None:
        """Release files and connections."""


class Push(msgspec.Struct, frozen=True, array_like=True):
    """What a push says: this conversation has reached this number. Never a body: providers are blind relays."""

    conv: int
    seq: int


class Verdict(IntEnum):
    """What became of one attempt to push."""

    ACCEPTED = 0
    REFUSED = 1
    """For ever: repeating the very same push would not help."""
    UNREGISTERED = 2
    """Refused, and the token is dead."""
    LATER = 3
    """Not now: slow, overloaded or failing. It may have been accepted all the same."""
    UNREACHABLE = 4
    """The connection failed: others would have no answer either just now. It may have been accepted all the same."""


class PushAnswer(msgspec.Struct, frozen=True, array_like=True):
    """The verdict, after how many seconds the provider wants to be asked again (0: it did not say), and its words."""

    verdict: Verdict
    retry_after_s: float = 0.0
    reason: str = ""


class PushProvider(Protocol):
    """One of the services that wake up phones. Never raises for what a provider or a network may do."""

    async def push(self, token: str, push: Push) -> PushAnswer:
        """One attempt, within a bounded time. A later push of a conversation replaces an earlier one on the device."""

    async def close(self) -> None:
        """End the connections."""
