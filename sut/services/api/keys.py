"""Published keys over HTTP: a device publishes its own, and takes those of a user to write to. Bytes are base64.

The service checks lengths, bounds, and the signature of a device list (device_lists.py). Devices check by signatures
whose keys they are. Taking is limited, so that nobody drains a user's one-time prekeys. Beyond the first limit a bundle
comes without one, which still allows a session. Beyond the second the request fails with 429.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

import msgspec
from aiohttp import web

from sut.ports import KeyStore, OneTimePrekey, SignedPrekey
from sut.process.metrics.instruments import BUNDLES
from sut.process.trace import OFF, Hop, Trace
from sut.protocol import rising
from sut.protocol.tokens import Identity
from sut.services.api.allowance import Allowance
from sut.services.api.device_lists import why_not
from sut.services.api.errors import ProblemError
from sut.services.api.guard import answer, body, caller, number, query
from sut.services.api.ids import both
from sut.services.api.key_model import (
    BundleOf,
    DeviceListOf,
    KeysLeft,
    KeysOf,
    KeysPublished,
    KeysQuery,
    KeysRequest,
    OneTime,
    Signed,
)

MAX_LEFT: Final = 200
"""If a device has this many left, further ones are ignored."""
TAKES_BURST, TAKES_PER_S = 600, 1.0
"""Limit of one requesting user: the keys of a group of 500 at once, then one user's a second."""
ONE_TIME_BURST, ONE_TIME_PER_S = 8, 1 / 600
"""Limit of one-time prekeys that one user takes of another: a few devices', then one in ten minutes."""

LISTS_BURST, LISTS_PER_S = 30, 0.1
"""New device lists of one device. At this rate and at the largest step the versions last for five years."""


class KeyRoutes:
    """The handlers of the routes about keys."""

    def __init__(self, keys: KeyStore, *, clock: Callable[[], float] = time.monotonic, trace: Trace = OFF) -> None:
        self._keys = keys
        self._trace = trace
        self._clock = clock
        self._takes = Allowance(burst=TAKES_BURST, per_s=TAKES_PER_S)
        self._lists = Allowance(burst=LISTS_BURST, per_s=LISTS_PER_S)
        self._one_time = Allowance(burst=ONE_TIME_BURST, per_s=ONE_TIME_PER_S)

    async def publish_keys(self, request: web.Request) -> web.Response:
        """Publish the prekeys that the device has not published before, while it has fewer than MAX_LEFT."""
        who, wanted = caller(request), await body(request, KeysRequest)
        if wanted.device_list is not None:
            await self._put_list(who, wanted.identity_key, wanted.device_list)
        last = max((one.number for one in wanted.one_time), default=0)
        if wait_s := rising.prekey_ahead_s(last, time.time()):
            raise ProblemError(429, f"one-time prekey {last}: not taken yet; wait {math.ceil(wait_s)} seconds")
        left = await self._keys.count(who.user, who.device)
        highest = await self._keys.publish(
            who.user,
            who.device,
            identity_key=wanted.identity_key,
            signed_prekey=SignedPrekey(*msgspec.structs.astuple(wanted.signed_prekey)),
            one_time=[OneTimePrekey(one.number, one.key) for one in wanted.one_time] if left < MAX_LEFT else [],
        )
        left = await self._keys.count(who.user, who.device)
        self._trace.stamp(Hop.KEYS_PUBLISHED, device=who.device, seq=left)
        return answer(KeysPublished(left, highest))

    async def _put_list(self, who: Identity, identity_key: bytes, listed: DeviceListOf) -> None:
        """Store a list, or raise ProblemError. Repeating the one that is there costs no allowance."""
        stored = (await self._keys.take(who.user, with_one_time=False)).device_list
        if listed.data == stored:
            return
        if not self._lists.take(who, self._clock()):
            raise ProblemError(429, "too many device lists; wait ten seconds for each")
        wrong = why_not(
            listed.data, listed.version, stored, user=who.user, device=who.device, identity_key=identity_key
        )
        if wrong is not None:
            raise ProblemError(409, wrong)
        if not await self._keys.put_device_list(who.user, listed.version, listed.data):
            raise ProblemError(409, "there is another device list, of this version or a later one")

    async def count_keys(self, request: web.Request) -> web.Response:
        """Count the one-time prekeys of the asking device."""
        who = caller(request)
        return answer(KeysLeft(await self._keys.count(who.user, who.device)))

    async def take_keys(self, request: web.Request) -> web.Response:
        """Return a bundle for each device of a user."""
        who, user, now_s = caller(request), number(request, "user"), self._clock()
        wanted = query(request, KeysQuery)
        if not self._takes.take(who.user, now_s):
            raise ProblemError(429, "too many keys asked for; wait a second for each user")
        one_time = wanted.one_time == "yes" and self._one_time.take((who.user, user), now_s)
        found = await self._keys.take(user, with_one_time=one_time)
        if one_time:
            for bundle in found.bundles:
                BUNDLES.labels("no" if bundle.one_time is None else "yes").inc()
        for bundle in found.bundles:
            taken = bundle.one_time.number if bundle.one_time is not None else 0
            self._trace.stamp(Hop.KEYS_TAKEN, device=who.device, client_seq=bundle.device, seq=taken)
        devices = [
            BundleOf(
                *both(bundle.device),
                bundle.identity_key,
                Signed(*msgspec.structs.astuple(bundle.signed_prekey)),
                OneTime(bundle.one_time.number, bundle.one_time.key) if bundle.one_time is not None else None,
            )
            for bundle in found.bundles
        ]
        return answer(KeysOf(devices, found.device_list))
