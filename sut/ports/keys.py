"""Public keys of devices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec


class SignedPrekey(msgspec.Struct, frozen=True, array_like=True):
    """A device's current signed prekey."""

    number: int
    key: bytes
    signature: bytes


class OneTimePrekey(msgspec.Struct, frozen=True, array_like=True):
    """One of a batch. Numbers of a device only rise."""

    number: int
    key: bytes


class PrekeyBundle(msgspec.Struct, frozen=True, array_like=True):
    """What begins a session with a device; without a one-time prekey when none is left or was asked for."""

    device: int
    identity_key: bytes
    signed_prekey: SignedPrekey
    one_time: OneTimePrekey | None


class UserKeys(msgspec.Struct, frozen=True, array_like=True):
    """All that is published of a user. `device_list` is signed by the user and not understood here; b"" for none."""

    bundles: tuple[PrekeyBundle, ...]
    device_list: bytes


class KeyStore(Protocol):
    """Public keys of devices: a blind shelf. Whoever fetches them checks their signatures.

    A one-time prekey is handed out at most once, ever: over processes, crashes, and repeated calls of publish. One that
    was taken by somebody who then died, or for whom the backend's answer was lost, is lost, which costs nothing but the
    key. An adapter may take another instead: so a call loses one for each answer that it did not get, and no more.
    """

    async def publish(
        self,
        user: int,
        device: int,
        *,
        identity_key: bytes,
        signed_prekey: SignedPrekey,
        one_time: Sequence[OneTimePrekey],
    ) -> None:
        """Put these in the place of the device's identity key and signed prekey, and add the one-time prekeys.

        Of these only those count whose number is above every number that was published for the device before, so a
        repeated call adds nothing. Another identity key removes what is left of the old one's.
        """

    async def put_device_list(self, user: int, version: int, data: bytes) -> bool:
        """Replace a list if `version` is above that of the one that is there. Returns whether it is there now."""

    async def take(self, user: int, *, with_one_time: bool = True) -> UserKeys:
        """A bundle of each of the user's devices, each with a one-time prekey that nobody else gets."""

    async def count(self, user: int, device: int) -> int:
        """One-time prekeys left of a device."""

    async def remove(self, user: int, device: int) -> None:
        """The device is revoked: nothing of it is handed out any more, until it publishes again."""

    async def close(self) -> None:
        """Release files and connections."""
