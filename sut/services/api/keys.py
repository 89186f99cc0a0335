"""Published keys over HTTP: a device puts its own, and takes what it needs to write to somebody. Bytes are base64.

The service checks lengths and bounds and nothing else: whose keys they are is for the devices to check, by signatures.
Taking is limited, so that nobody drains a user's one-time prekeys: beyond the first limit the bundle comes without one,
which is still a session; beyond the second there is no answer at all.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Final

import msgspec
from aiohttp import web

from sut.ports import KeyStore, OneTimePrekey, SignedPrekey
from sut.protocol.tokens import Identity
from sut.services.api.allowance import Allowance

Key = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Signature = Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]
Number = Annotated[int, msgspec.Meta(ge=1, le=(1 << 32) - 1)]
MAX_BATCH: Final = 100
"""One-time prekeys of one request."""
MAX_LEFT: Final = 200
"""With so many left, a device's further ones are refused."""
TAKES_BURST, TAKES_PER_S = 600, 1.0
"""Of one requesting user: the keys of a group of 500 at once, then one user's a second."""
ONE_TIME_BURST, ONE_TIME_PER_S = 8, 1 / 600
"""One-time prekeys of one user for another: a few devices, then one in ten minutes."""


class Signed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A signed prekey."""

    number: Number
    key: Key
    signature: Signature


class OneTime(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A one-time prekey."""

    number: Number
    key: Key


class DeviceListOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A user's signed device list; `version` as in it."""

    version: Number
    data: Annotated[bytes, msgspec.Meta(min_length=1, max_length=1024)]


class KeysRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """PUT /v1/keys: what a device publishes of itself. Repeating a request changes nothing."""

    identity_key: Key
    signed_prekey: Signed
    one_time: Annotated[list[OneTime], msgspec.Meta(max_length=MAX_BATCH)] = []
    device_list: DeviceListOf | None = None


class KeysLeft(msgspec.Struct, frozen=True):
    """One-time prekeys left of the asking device."""

    one_time: int


class BundleOf(msgspec.Struct, frozen=True):
    """One device's. `one_time` null: used up, not asked for, or asked for too often."""

    device: int
    identity_key: bytes
    signed_prekey: Signed
    one_time: OneTime | None


class KeysOf(msgspec.Struct, frozen=True):
    """GET /v1/users/{user}/keys. `device_list` empty: none was published."""

    devices: list[BundleOf]
    device_list: bytes


class KeyRoutes:
    """The routes. `who`: the identity in a request's device token; raises what the application answers with 401."""

    def __init__(
        self,
        keys: KeyStore,
        who: Callable[[web.Request], Identity],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = keys
        self._who = who
        self._clock = clock
        self._takes = Allowance(burst=TAKES_BURST, per_s=TAKES_PER_S)
        self._one_time = Allowance(burst=ONE_TIME_BURST, per_s=ONE_TIME_PER_S)

    def routes(self) -> list[web.RouteDef]:
        """To be added to the application."""
        return [
            web.put("/v1/keys", self.publish),
            web.get("/v1/keys/count", self.count),
            web.get("/v1/users/{user:[0-9]+}/keys", self.take),
        ]

    async def publish(self, request: web.Request) -> web.Response:
        """PUT /v1/keys."""
        who = self._who(request)
        try:
            wanted = msgspec.json.decode(await request.read(), type=KeysRequest)
        except msgspec.DecodeError as error:
            raise web.HTTPBadRequest(reason=f"body: {error}".replace("\n", " ")) from None
        listed = wanted.device_list
        if listed is not None and not await self._keys.put_device_list(who.user, listed.version, listed.data):
            raise web.HTTPConflict(reason="there is another device list, of this version or a later one")
        left = await self._keys.count(who.user, who.device)
        await self._keys.publish(
            who.user,
            who.device,
            identity_key=wanted.identity_key,
            signed_prekey=SignedPrekey(*msgspec.structs.astuple(wanted.signed_prekey)),
            one_time=[OneTimePrekey(one.number, one.key) for one in wanted.one_time] if left < MAX_LEFT else [],
        )
        return _answer(KeysLeft(await self._keys.count(who.user, who.device)))

    async def count(self, request: web.Request) -> web.Response:
        """GET /v1/keys/count."""
        who = self._who(request)
        return _answer(KeysLeft(await self._keys.count(who.user, who.device)))

    async def take(self, request: web.Request) -> web.Response:
        """GET /v1/users/{user}/keys; `?one_time=no` only looks."""
        who, user, now_s = self._who(request), int(request.match_info["user"]), self._clock()
        if not 0 < user < 1 << 63:
            raise web.HTTPNotFound(reason=f"no user {user}")
        if not self._takes.take(who.user, now_s):
            raise web.HTTPTooManyRequests(reason="too many keys asked for; wait a second for each user")
        one_time = request.query.get("one_time") != "no" and self._one_time.take((who.user, user), now_s)
        found = await self._keys.take(user, with_one_time=one_time)
        devices = [
            BundleOf(
                bundle.device,
                bundle.identity_key,
                Signed(*msgspec.structs.astuple(bundle.signed_prekey)),
                OneTime(bundle.one_time.number, bundle.one_time.key) if bundle.one_time is not None else None,
            )
            for bundle in found.bundles
        ]
        return _answer(KeysOf(devices, found.device_list))


def _answer(body: msgspec.Struct) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), content_type="application/json")
