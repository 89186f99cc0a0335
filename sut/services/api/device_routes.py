"""The handlers of the routes about devices and their tokens. The decisions are in devices.py."""

from __future__ import annotations

from aiohttp import web

from sut.services.api.devices import DeviceDesk
from sut.services.api.guard import CALLER, LOGIN, answer, body, caller, number, query
from sut.services.api.model import DevicesRequest, PushRequest, TokensRequest, UserOf


class DeviceRoutes:
    """Handlers that decode the request, call the desk and encode its answer."""

    def __init__(self, desk: DeviceDesk) -> None:
        self._desk = desk

    async def tokens(self, request: web.Request) -> web.Response:
        """Issue tokens for any devices, for the operator."""
        return answer(await self._desk.tokens((await body(request, TokensRequest)).devices))

    async def refresh(self, request: web.Request) -> web.Response:
        """Issue a new token for the device that asks."""
        return answer(await self._desk.refresh(caller(request), login_s=request[LOGIN]))

    async def register(self, request: web.Request) -> web.Response:
        """Register any devices, for the operator."""
        return answer(await self._desk.register((await body(request, DevicesRequest)).devices))

    async def set_push(self, request: web.Request) -> web.Response:
        """Set the push address of the device that asks."""
        wanted = await body(request, PushRequest)
        return answer(await self._desk.set_push(caller(request), number(request, "device"), wanted.push))

    async def revoke_device(self, request: web.Request) -> web.Response:
        """Revoke a stolen or lost device, for its user or the operator."""
        device, user = number(request, "device"), query(request, UserOf).user
        return answer(await self._desk.revoke(device, by=request.get(CALLER), user=user))

    async def log_out(self, request: web.Request) -> web.Response:
        """A token that got into wrong hands: whoever owns the device, or the operator, takes all of its tokens back."""
        device, user = number(request, "device"), query(request, UserOf).user
        return answer(await self._desk.log_out(device, by=request.get(CALLER), user=user))
