"""The handlers of the HTTP API, on aiohttp: they call and encode. routes.py states what a request must be and who may
ask.

The handlers about devices and about keys are in device_routes.py and keys.py.
"""

from __future__ import annotations

import random
import time

from aiohttp import web

from sut.deploy.topology import Topology
from sut.ports import Devices, KeyStore, Registry, Unavailable
from sut.process.revoked import Revoked
from sut.process.trace import OFF, Trace
from sut.protocol.handshake import PATH
from sut.protocol.tokens import LOGIN_S
from sut.services.api import openapi
from sut.services.api.additions import Additions
from sut.services.api.control import Control, Creation, direct_id, group_id
from sut.services.api.device_routes import DeviceRoutes
from sut.services.api.devices import DeviceDesk
from sut.services.api.errors import ProblemError
from sut.services.api.guard import MAX_REQUEST, Guard, answer, body, caller, measured, number, problems, query
from sut.services.api.history import Conversations
from sut.services.api.ids import both
from sut.services.api.keys import KeyRoutes
from sut.services.api.model import (
    ROLES,
    Changed,
    ConversationRequest,
    ConversationsRequest,
    Created,
    CreatedAll,
    Discovery,
    Health,
    HistoryQuery,
    MemberRequest,
    RoleRequest,
    SeenQuery,
    Settings,
)
from sut.services.api.people import People
from sut.services.api.routes import ROUTES


def make_app(
    topology: Topology,
    control: Control,
    registry: Registry,
    revoked: Revoked | None = None,
    *,
    conversations: Conversations,
    devices: Devices,
    keys: KeyStore,
    people: People,
    trace: Trace = OFF,
) -> web.Application:
    """Return the application with all its routes."""
    token_key, ttl_s = bytes.fromhex(topology.token_key), topology.settings.token_ttl_s
    if revoked is None:
        revoked = Revoked(keep_s=LOGIN_S)
    desk = DeviceDesk(devices, keys, revoked, token_key=token_key, token_ttl_s=ttl_s, now_s=time.time)
    app = web.Application(middlewares=[measured, problems], client_max_size=MAX_REQUEST)
    guard = Guard(token_key=token_key, api_key=topology.api_key, revoked=revoked)
    api = _Api(topology, control, registry, conversations, people, additions=Additions(devices, conversations))
    app.add_routes(guard.bound(ROUTES, api, DeviceRoutes(desk), KeyRoutes(keys, trace=trace)))
    return app


class _Api:
    def __init__(
        self,
        topology: Topology,
        control: Control,
        registry: Registry,
        conversations: Conversations,
        people: People,
        *,
        additions: Additions,
    ) -> None:
        self._settings = topology.settings
        self._secret = topology.conversation_secret
        self._additions = additions
        self._control = control
        self._registry = registry
        self._conversations = conversations
        self._people = people
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
        urls = gateways or list(self._all_gateways)  # without a registry: all; the client tries one after the other
        random.shuffle(urls)
        return answer(Discovery(urls))

    async def create(self, request: web.Request) -> web.Response:
        creator = caller(request).user
        wanted = await body(request, ConversationRequest)
        creation = self._creation(creator, wanted)
        if wanted.kind == "group":
            await self._additions.check_group(creation.conv, creator, creation.members[1:])
        await self._control.create([creation])
        return answer(Created(*both(creation.conv)), 201)

    async def create_all(self, request: web.Request) -> web.Response:
        wanted = (await body(request, ConversationsRequest)).conversations
        creations = [self._creation(one.creator, one) for one in wanted]
        groups = [made for made, one in zip(creations, wanted, strict=True) if one.kind == "group"]
        await self._additions.check_willing([(made.conv, made.creator, made.members[1:]) for made in groups])
        await self._control.create(creations)
        return answer(CreatedAll([Created(*both(made.conv)) for made in creations]), 201)

    def _creation(self, creator: int, wanted: ConversationRequest) -> Creation:
        """Return what is to be created. Raises ProblemError 409 for a number of members that cannot be."""
        others = tuple(sorted(set(wanted.members) - {creator}))
        if wanted.kind == "direct":
            if len(others) != 1:
                raise ProblemError(409, "a direct conversation has exactly one other member")
            return Creation(direct_id(self._secret, creator, others[0]), creator, "d", (creator, *others))
        if len(others) >= self._settings.group_cap:
            raise ProblemError(409, f"a group has at most {self._settings.group_cap} members")
        kind = "m" if wanted.adding == "admins" else "g"
        return Creation(group_id(self._secret, creator, wanted.key), creator, kind, (creator, *others))

    async def add(self, request: web.Request) -> web.Response:
        by = caller(request).user
        wanted = await body(request, MemberRequest)
        conv = number(request, "conversation")
        await self._additions.check(conv, by, (wanted.user,))
        return answer(Changed(await self._control.add(conv, by, wanted.user)))

    async def remove(self, request: web.Request) -> web.Response:
        by = caller(request).user
        conv, user = number(request, "conversation"), number(request, "user")
        return answer(Changed(await self._control.remove(conv, by, user)))

    async def set_role(self, request: web.Request) -> web.Response:
        by = caller(request).user
        conv, user = number(request, "conversation"), number(request, "user")
        role = ROLES.index((await body(request, RoleRequest)).role)
        return answer(Changed(await self._control.name(conv, by, user, role)))

    async def members(self, request: web.Request) -> web.Response:
        return answer(await self._conversations.members(number(request, "conversation"), caller(request).user))

    async def messages(self, request: web.Request) -> web.Response:
        conv, user, wanted = number(request, "conversation"), caller(request).user, query(request, HistoryQuery)
        page = await self._conversations.messages(conv, user, before=wanted.before, limit=wanted.limit)
        return answer(page)

    async def receipts(self, request: web.Request) -> web.Response:
        return answer(await self._people.receipts(number(request, "conversation"), caller(request).user))

    async def presence(self, request: web.Request) -> web.Response:
        return answer(await self._people.seen(query(request, SeenQuery).user))

    async def settings(self, request: web.Request) -> web.Response:
        return answer(await self._additions.settings(caller(request).user))

    async def change_settings(self, request: web.Request) -> web.Response:
        return answer(await self._additions.change(caller(request).user, await body(request, Settings)))
