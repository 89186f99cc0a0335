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
    """One key of a batch. A device's numbers only rise."""

    number: int
    key: bytes


class PrekeyBundle(msgspec.Struct, frozen=True, array_like=True):
    """The keys that begin a session with a device. `one_time` is None when none is left or none was asked for."""

    device: int
    identity_key: bytes
    signed_prekey: SignedPrekey
    one_time: OneTimePrekey | None


class UserKeys(msgspec.Struct, frozen=True, array_like=True):
    """All published keys of a user. `device_list` is signed by the user and opaque here; b"" if there is none."""

    bundles: tuple[PrekeyBundle, ...]
    device_list: bytes


class KeyStore(Protocol):
    """Public keys of devices. The store checks nothing: whoever fetches keys checks their signatures.

    A one-time prekey is handed out at most once, ever: over processes, crashes, and repeated calls of publish. A key
    whose taker died, or for which the backend's answer was lost, is lost; that costs only the key. An adapter may then
    take another key: a call loses one key for each missing answer, and no more.
    """

    async def publish(
        self,
        user: int,
        device: int,
        *,
        identity_key: bytes,
        signed_prekey: SignedPrekey,
        one_time: Sequence[OneTimePrekey],
    ) -> int:
        """Replace the device's identity key and signed prekey, and add the one-time prekeys.

        A one-time prekey counts only if its number is above every number published for the device before, so a
        repeated call adds nothing. A different identity key removes the one-time prekeys of the old one. Returns the
        highest number ever published for the device, 0 if none: prekeys that are numbered up to it never count again.
        """

    async def put_device_list(self, user: int, version: int, data: bytes) -> bool:
        """Replace the list if `version` is above the stored one. Return True if `data` is the stored list now."""

    async def take(self, user: int, *, with_one_time: bool = True) -> UserKeys:
        """Return a bundle of each of the user's devices, each with a one-time prekey that nobody else gets."""

    async def count(self, user: int, device: int) -> int:
        """Return the number of one-time prekeys that are left of a device."""

    async def remove(self, user: int, device: int) -> None:
        """Delete all keys of a revoked device: none is handed out until it publishes again."""

    async def close(self) -> None:
        """Release files and connections."""
