"""The API's devices: registered with their push tokens, revoked, and the tokens that let them connect.

An operator (Bearer API_KEY) registers and revokes any device; a device's own token sets that device's push address
and renews itself; any device of a user may revoke another one of the same user (the stolen phone).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sut.ports import Devices, PushAddress, RegisteredDevice
from sut.protocol.tokens import Identity, issue
from sut.services.api.errors import ProblemError
from sut.services.api.model import (
    DeviceOf,
    DeviceToRegister,
    PushOf,
    Registered,
    Registration,
    Token,
    Tokens,
)

APNS_TOKEN = range(64, 201)
"""Characters of an APNs device token: hexadecimal, 32 bytes now, longer some day."""


class DeviceDesk:
    """What the routes of http.py call. Each method raises ProblemError or Unavailable."""

    def __init__(self, devices: Devices, *, token_key: bytes, token_ttl_s: float, now_s: Callable[[], float]) -> None:
        self._devices = devices
        self._token_key = token_key
        self._ttl_s = int(token_ttl_s)
        self._now_s = now_s

    async def tokens(self, wanted: Sequence[DeviceOf]) -> Tokens:
        """A token each, in order; 403 names the first revoked one, and then there is none for any."""
        revoked = await self._devices.revoked([d.device for d in wanted])
        for d in wanted:
            if d.device in revoked:
                raise ProblemError(403, f"device {d.device} is revoked")
        return Tokens([self._issue(d.user, d.device) for d in wanted])

    async def refresh(self, who: Identity) -> Token:
        """A new token for the device that shows a valid one."""
        return (await self.tokens([DeviceOf(who.user, who.device)])).tokens[0]

    async def register(self, wanted: Sequence[DeviceToRegister]) -> Registered:
        """All of them, or 409 for those that cannot be: the others are registered."""
        taken = await self._devices.register([RegisteredDevice(d.user, d.device, _address(d.push)) for d in wanted])
        for d, done in zip(wanted, taken, strict=True):
            if not done:
                raise ProblemError(409, f"device {d.device} is revoked or another user's")
        return Registered(len(wanted))

    async def set_push(self, who: Identity, device: int, push: PushOf | None) -> Registration:
        """The device's own doing."""
        if who.device != device:
            raise ProblemError(403, "a device sets its own push token, with its own device token")
        await self.register([DeviceToRegister(who.user, device, push)])
        return Registration(who.user, device)

    async def revoke(self, device: int, by: Identity | None) -> Registration:
        """`by` None: the operator. Repeating it changes nothing."""
        owner = await self._devices.owner(device)
        if by is not None:
            if owner is None and by.device == device:
                owner = by.user  # it was never registered, and its token says whose it is
            if by.user != owner:
                raise ProblemError(404, f"you have no device {device}")
            if by.device != device and await self._devices.revoked([by.device]):
                raise ProblemError(403, "your own device is revoked")
        # Who has tokens need not be registered: the operator can revoke such a device too, and it is nobody's.
        await self._devices.revoke(device, owner or 0)
        return Registration(owner or 0, device)

    def _issue(self, user: int, device: int) -> Token:
        now_s = int(self._now_s())
        text = issue(self._token_key, user, device, ttl_s=self._ttl_s, now_s=now_s)
        return Token(device, text, now_s + self._ttl_s)


def _address(push: PushOf | None) -> PushAddress | None:
    if push is None:
        return None
    if push.provider == "apns" and (len(push.token) not in APNS_TOKEN or not _is_hex(push.token)):
        raise ProblemError(400, "an APNs token is 64 to 200 hexadecimal digits")
    return PushAddress(push.provider, push.token)


def _is_hex(text: str) -> bool:
    return all(digit in "0123456789abcdefABCDEF" for digit in text)
