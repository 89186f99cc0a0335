"""The API's devices: registered with their push tokens, revoked, and the tokens that let them connect.

An operator (Bearer API_KEY) registers and revokes any device. A device's own token sets that device's push address and
renews itself. Any device of a user may revoke another one of the same user (the stolen phone).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sut.ports import Devices, KeyStore, PushAddress, RegisteredDevice
from sut.process.revoked import Revoked
from sut.protocol.tokens import Identity, issue
from sut.services.api.errors import ProblemError
from sut.services.api.model import (
    ApnsPush,
    DeviceOf,
    DeviceToRegister,
    PushOf,
    Registered,
    Registration,
    RevokedDevice,
    Token,
    Tokens,
)


class DeviceDesk:
    """The decisions of the routes in device_routes.py. Each method may raise ProblemError or Unavailable."""

    def __init__(
        self,
        devices: Devices,
        keys: KeyStore,
        revoked: Revoked,
        *,
        token_key: bytes,
        token_ttl_s: float,
        now_s: Callable[[], float],
    ) -> None:
        self._devices = devices
        self._keys = keys
        self._revoked = revoked
        self._token_key = token_key
        self._ttl_s = int(token_ttl_s)
        self._now_s = now_s

    async def tokens(self, wanted: Sequence[DeviceOf]) -> Tokens:
        """Return a token for each device, in order. If one is revoked, 403 names the first and none gets a token."""
        now_s = int(self._now_s())  # before the check: a device revoked after it is revoked in this second or later
        revoked = await self._devices.revoked([d.device for d in wanted])
        for d in wanted:
            if d.device in revoked:
                raise ProblemError(403, f"device {d.device} is revoked")
        return Tokens([self._issue(d.user, d.device, now_s) for d in wanted])

    async def refresh(self, who: Identity) -> Token:
        """Return a new token for the device that showed a valid one."""
        return (await self.tokens([DeviceOf(who.user, who.device)])).tokens[0]

    async def register(self, wanted: Sequence[DeviceToRegister]) -> Registered:
        """Register all of them. Raises 409 for the first that cannot be; the others are registered."""
        taken = await self._devices.register([RegisteredDevice(d.user, d.device, _address(d.push)) for d in wanted])
        for d, done in zip(wanted, taken, strict=True):
            if not done:
                raise ProblemError(409, f"device {d.device} is revoked or another user's")
        return Registered(len(wanted))

    async def set_push(self, who: Identity, device: int, push: PushOf | None) -> Registration:
        """Set the device's push address. Only the device itself may."""
        if who.device != device:
            raise ProblemError(403, "a device sets its own push token, with its own device token")
        await self.register([DeviceToRegister(who.user, device, push)])
        return Registration(who.user, device)

    async def revoke(self, device: int, *, by: Identity | None, user: int | None) -> RevokedDevice:
        """Revoke a device: it gets no token, push or connection any more, and its keys are deleted.

        `by` None: the operator. `user`: the user that it is said to belong to. A repeat changes only the second in
        `at`. The directory comes first: once the tokens are void, no newer one is issued. A device that was never
        registered has no user. A user then voids only the tokens with their own id, and the operator must name the
        user.
        """
        if by is not None and user not in (None, by.user):
            raise ProblemError(403, "not a device of yours")
        said = by.user if by is not None else user
        owner = await self._devices.owner(device) or None
        if owner is not None and said not in (None, owner):
            raise ProblemError(404, f"you have no device {device}" if by else f"user {said} has no device {device}")
        whose = owner or said
        if whose is None:
            raise ProblemError(400, "query: this device was never registered; name its user by ?user=")
        if by is not None and by.device != device and await self._devices.revoked([by.device]):
            raise ProblemError(403, "your own device is revoked")
        if owner is not None or by is None or by.device == device:
            await self._devices.revoke(device, whose)
        done = await self._revoked.revoke(whose, device)
        await self._keys.remove(whose, device)
        return RevokedDevice(done.user, done.device, done.at_s)

    def _issue(self, user: int, device: int, now_s: int) -> Token:
        text = issue(self._token_key, user, device, ttl_s=self._ttl_s, now_s=now_s)
        return Token(device, text, now_s + self._ttl_s)


def _address(push: PushOf | None) -> PushAddress | None:
    if push is None:
        return None
    return PushAddress("apns" if isinstance(push, ApnsPush) else "fcm", push.token)
