"""The API's devices: registered with their push tokens, revoked, and the tokens that let them connect.

An operator (Bearer API_KEY) registers and revokes any device. A device's own token sets that device's push address and
renews itself, for LOGIN_S from the login. Any device of a user may revoke another one of the same user (the stolen
phone), or void its tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sut.ports import Devices, KeyStore, PushAddress, RegisteredDevice
from sut.process.revoked import Revoked
from sut.protocol.tokens import LOGIN_S, Identity, issue
from sut.services.api.allowance import Allowance
from sut.services.api.errors import ProblemError
from sut.services.api.ids import both
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

PLACES_BURST, PLACES_PER_S = 16, 1 / 3600
"""Places that one user takes in the list of revocations for devices that were never registered."""


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
        self._ttl_s = int(min(token_ttl_s, LOGIN_S))
        self._now_s = now_s
        self._places = Allowance(burst=PLACES_BURST, per_s=PLACES_PER_S)

    async def tokens(self, wanted: Sequence[DeviceOf]) -> Tokens:
        """Return a token for each device, in order. If one is revoked, 403 names the first and none gets a token."""
        now_s = int(self._now_s())
        # Before the check: a revocation after it is above these seconds.
        logins = [self._revoked.login_s(d.user, d.device, now_s) for d in wanted]
        revoked = await self._devices.revoked([d.device for d in wanted])
        for d in wanted:
            if d.device in revoked:
                raise ProblemError(403, f"device {d.device} is revoked")
        return Tokens([self._issue(d, now_s, login_s) for d, login_s in zip(wanted, logins, strict=True)])

    async def refresh(self, who: Identity, *, login_s: int) -> Token:
        """Return a new token of the same login for the device that showed a valid one. 401: the login is too old."""
        now_s = int(self._now_s())
        left_s = int(login_s + LOGIN_S) - now_s
        if left_s <= 0:
            raise ProblemError(401, f"the login is {LOGIN_S / 86_400:g} days old: log in again")
        if await self._devices.revoked([who.device]):
            raise ProblemError(403, f"device {who.device} is revoked")
        ttl_s = min(self._ttl_s, left_s)
        text = issue(self._token_key, who.user, who.device, ttl_s=ttl_s, now_s=now_s, login_s=login_s)
        return Token(*both(who.device), text, now_s + ttl_s)

    async def register(self, wanted: Sequence[DeviceToRegister]) -> Registered:
        """Register all of them. Raises 409 for the first that cannot be; the others are registered."""
        await self._register([RegisteredDevice(d.user, d.device, _address(d.push)) for d in wanted])
        return Registered(len(wanted))

    async def _register(self, wanted: Sequence[RegisteredDevice]) -> None:
        taken = await self._devices.register(wanted)
        for d, done in zip(wanted, taken, strict=True):
            if not done:
                raise ProblemError(409, f"device {d.device} is revoked or another user's")

    async def set_push(self, who: Identity, device: int, push: PushOf | None) -> Registration:
        """Set the device's push address. Only the device itself may."""
        if who.device != device:
            raise ProblemError(403, "a device sets its own push token, with its own device token")
        await self._register([RegisteredDevice(who.user, device, _address(push))])
        return Registration(*both(who.user), *both(device))

    async def revoke(self, device: int, *, by: Identity | None, user: int | None) -> RevokedDevice:
        """Revoke a device: it gets no token, push or connection any more, and its keys are deleted.

        `by` None: the operator. `user`: the user that it is said to belong to. A repeat changes only the second in
        `at`. The directory comes first: once the tokens are void, no newer one is issued. A device that was never
        registered has no user. A user then voids only the tokens with their own id, and the operator must name the
        user.
        """
        whose, registered = await self._whose(device, by=by, user=user)
        self._count(by, registered=registered)
        if by is not None and by.device != device and await self._devices.revoked([by.device]):
            raise ProblemError(403, "your own device is revoked")
        if registered or by is None or by.device == device:
            await self._devices.revoke(device, whose)
        keep_s = self._ttl_s if registered else LOGIN_S
        done = await self._revoked.revoke(whose, device, keep_s=keep_s, always=registered)
        await self._keys.remove(whose, device)
        return RevokedDevice(*both(done.user), *both(done.device), done.at_s)

    async def log_out(self, device: int, *, by: Identity | None, user: int | None) -> RevokedDevice:
        """Void all tokens that the device has, however often they were refreshed. It may log in again.

        `by` and `user` as for `revoke`. Its connection closes, and its keys stay.
        """
        whose, registered = await self._whose(device, by=by, user=user)
        self._count(by, registered=registered)
        done = await self._revoked.revoke(whose, device, keep_s=LOGIN_S, always=registered)
        return RevokedDevice(*both(done.user), *both(done.device), done.at_s)

    async def _whose(self, device: int, *, by: Identity | None, user: int | None) -> tuple[int, bool]:
        """Return the device's user, and whether it is registered. Raises ProblemError if it is not the asker's.

        A device that was never registered counts as the asker's: only tokens with the asker's own id are voided.
        """
        if by is not None and user not in (None, by.user):
            raise ProblemError(403, "not a device of yours")
        said = by.user if by is not None else user
        owner = await self._devices.owner(device) or None
        if owner is not None and said not in (None, owner):
            raise ProblemError(404, f"you have no device {device}" if by else f"user {said} has no device {device}")
        if owner is not None:
            return owner, True
        if said is None:
            raise ProblemError(400, "query: this device was never registered; name its user by ?user=")
        return said, False

    def _count(self, by: Identity | None, *, registered: bool) -> None:
        """Raise ProblemError 429 when a user has taken too many places in the list for unregistered devices."""
        if by is not None and not registered and not self._places.take(by.user, self._now_s()):
            raise ProblemError(429, "too many revocations of devices that were never registered")

    def _issue(self, who: DeviceOf, now_s: int, login_s: int) -> Token:
        text = issue(self._token_key, who.user, who.device, ttl_s=self._ttl_s, now_s=now_s, login_s=login_s)
        return Token(*both(who.device), text, now_s + self._ttl_s)


def _address(push: PushOf | None) -> PushAddress | None:
    if push is None:
        return None
    return PushAddress("apns" if isinstance(push, ApnsPush) else "fcm", push.token)
