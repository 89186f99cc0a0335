"""The handlers of the HTTP API, on aiohttp: call, and encode. What a request must be and who may ask: routes.py."""

from __future__ import annotations

import random
import time

from aiohttp import web

from sut.deploy.topology import Topology
from sut.ports import Registry, Unavailable
from sut.protocol.handshake import PATH
from sut.protocol.tokens import issue
from sut.revoked import Revoked
from sut.services.api import openapi
from sut.services.api.control import Control, direct_id, group_id
from sut.services.api.guard import MAX_REQUEST, Guard, ProblemError, answer, body, caller, number, problems
from sut.services.api.model import (
    Changed,
    ConversationRequest,
    Created,
    Discovery,
    Health,
    MemberRequest,
    Token,
    Tokens,
    TokensRequest,
)
from sut.services.api.revoking import Revoking
from sut.services.api.routes import ROUTES


def make_app(
    topology: Topology, control: Control, registry: Registry, revoked: Revoked | None = None
) -> web.Application:
    """The application with all its routes."""
    if revoked is None:
        revoked = Revoked(keep_s=topology.settings.token_ttl_s)
    app = web.Application(middlewares=[problems], client_max_size=MAX_REQUEST)
    api = _Api(topology, control, registry)
    guard = Guard(token_key=bytes.fromhex(topology.token_key), api_key=topology.api_key, revoked=revoked)
    app.add_routes(guard.bound(ROUTES, api, Revoking(revoked)))
    return app


class _Api:
    def __init__(self, topology: Topology, control: Control, registry: Registry) -> None:
        self._settings = topology.settings
        self._token_key = bytes.fromhex(topology.token_key)
        self._control = control
        self._registry = registry
        self._all_gateways = [topology.gateway_url(gateway, PATH) for gateway in topology.of_kind("gateway")]
        self._document = openapi.encoded()

    async def health(self, _request: web.Request) -> web.Response:
        return answer(Health())

    async def openapi(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._document, content_type="application/json")

    async def discovery(self, _request: web.Request) -> web.Response:
        try:
            gateways = [address for _, address in (await self._registry.gateways()).values()]
        except Unavailable:
            gateways = []
        urls = gateways or list(self._all_gateways)  # without a registry: all, and the client tries the next
        random.shuffle(urls)
        return answer(Discovery(urls))

    async def tokens(self, request: web.Request) -> web.Response:
        wanted = await body(request, TokensRequest)
        now_s = int(time.time())
        ttl_s = int(self._settings.token_ttl_s)
        return answer(
            Tokens(
                [
                    Token(d.device, issue(self._token_key, d.user, d.device, ttl_s=ttl_s, now_s=now_s), now_s + ttl_s)
                    for d in wanted.devices
                ]
            )
        )

    async def create(self, request: web.Request) -> web.Response:
        creator = caller(request).user
        wanted = await body(request, ConversationRequest)
        others = tuple(sorted(set(wanted.members) - {creator}))
        if wanted.kind == "direct":
            if len(others) != 1:
                raise ProblemError(409, "a direct conversation has exactly one other member")
            conv = direct_id(creator, others[0])
        else:
            if len(others) >= self._settings.group_cap:
                raise ProblemError(409, f"a group has at most {self._settings.group_cap} members")
            conv = group_id(creator, wanted.key)
        await self._control.create(conv, creator, kind=wanted.kind[0], members=(creator, *others))
        return answer(Created(conv), 201)

    async def add(self, request: web.Request) -> web.Response:
        by = caller(request).user
        wanted = await body(request, MemberRequest)
        return answer(Changed(await self._control.add(number(request, "conversation"), by, wanted.user)))

    async def remove(self, request: web.Request) -> web.Response:
        by = caller(request).user
        conv, user = number(request, "conversation"), number(request, "user")
        return answer(Changed(await self._control.remove(conv, by, user)))
