"""The directory of devices and push addresses, and the push services that wake devices up."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Literal, Protocol

import msgspec

Provider = Literal["apns", "fcm"]


class PushAddress(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A device's token at a push provider, used while the device is not connected."""

    provider: Provider
    token: str


class RegisteredDevice(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A device and its user, who never changes. `push` None: the device gets no pushes."""

    user: int
    device: int
    push: PushAddress | None


class Devices(Protocol):
    """The user, push address and revocation of each device, and what users refuse. Ids are below 2^63."""

    async def register(self, devices: Sequence[RegisteredDevice]) -> list[bool]:
        """Add the devices, or replace their push addresses. Repeating a call changes nothing.

        A device that belongs to another user or is revoked is left unchanged and yields False. A push address is its
        newest user's: the devices of other users lose it.
        """

    async def devices_of(self, users: Sequence[int]) -> dict[int, tuple[RegisteredDevice, ...]]:
        """Map each user to their devices that are not revoked; users without one are left out."""

    async def owner(self, device: int) -> int | None:
        """The user that the device belongs or belonged to; None if it was never registered."""

    async def retire(self, device: RegisteredDevice) -> None:
        """Forget a push token that its provider reported dead, unless the device has a different one now."""

    async def revoke(self, device: int, user: int) -> None:
        """Revoke the device for ever: no token, push or connection. `user`: its user, 0 if it was never registered."""

    async def revoked(self, devices: Sequence[int]) -> set[int]:
        """The subset of `devices` that is revoked. Issuers of tokens and acceptors of connections ask this."""

    async def set_refusing(self, user: int, *, refuses: bool) -> None:
        """Record whether this user refuses to be added to groups. The newest call counts."""

    async def refusing(self, users: Sequence[int]) -> set[int]:
        """The subset of `users` that refuses to be added to groups."""

    async def close(self) -> None:
        """Release files and connections."""


class Push(msgspec.Struct, frozen=True, array_like=True):
    """The content of a push: the conversation has reached `seq`. Never a body: a provider must learn no content."""

    conv: int
    seq: int


class Verdict(IntEnum):
    """The result of one push attempt."""

    ACCEPTED = 0
    REFUSED = 1
    """Permanent: repeating the same push would not help."""
    UNREGISTERED = 2
    """Refused, and the token is dead."""
    LATER = 3
    """Temporary: slow, overloaded or failing. The provider may have accepted the push nevertheless."""
    UNREACHABLE = 4
    """The connection failed, so other pushes would fail now too. The push may have been accepted nevertheless."""


class PushAnswer(msgspec.Struct, frozen=True, array_like=True):
    """The verdict, the seconds to wait before the next attempt (0: not said), and the provider's reason."""

    verdict: Verdict
    retry_after_s: float = 0.0
    reason: str = ""


class PushProvider(Protocol):
    """A push service that wakes phones up. Never raises for a failure of the provider or the network."""

    async def push(self, token: str, push: Push) -> PushAnswer:
        """Try once, within a bounded time. A later push of a conversation replaces an earlier one on the device."""

    async def renew(self) -> None:
        """Throw away all connections with what is in flight on them, and begin anew."""

    async def close(self) -> None:
        """Close the connections to the provider."""
