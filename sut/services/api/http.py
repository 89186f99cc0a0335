"""The routes of the HTTP API, on aiohttp: decode, check who asks, call, encode. Errors are one line of JSON."""

from __future__ import annotations

import hmac
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
from aiohttp import web

from sut.deploy.topology import Topology
from sut.ports import Devices, KeyStore, Registry, Unavailable
from sut.protocol.frames import Nack
from sut.protocol.tokens import Identity, TokenError, verify
from sut.services.api.control import Control, Denied, direct_id, group_id
from sut.services.api.devices import DeviceDesk
from sut.services.api.errors import ProblemError
from sut.services.api.history import Conversations
from sut.services.api.keys import KeyRoutes
from sut.services.api.model import (
    ROLES,
    Changed,
    ConversationRequest,
    Created,
    DevicesRequest,
    Discovery,
    MemberRequest,
    Problem,
    PushRequest,
    RoleRequest,
    TokensRequest,
)
from sut.services.api.people import People

T = TypeVar("T", bound=msgspec.Struct)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
MAX_REQUEST = 1 << 20
MAX_SEEN = 200
"""Users that one request for presence may name: a request line has 8 KB."""

_STATUS = {
    Nack.FOREIGN: 403,
    Nack.NOT_MEMBER: 404,
    Nack.NO_CONVERSATION: 404,
    Nack.GROUP_FULL: 409,
    Nack.NOT_ALLOWED: 403,
    Nack.OWNER_STAYS: 409,
}


def make_app(
    topology: Topology,
    control: Control,
    registry: Registry,
    *,
    conversations: Conversations,
    devices: Devices,
    keys: KeyStore,
    people: People,
) -> web.Application:
    """The application with all its routes."""
    app = web.Application(middlewares=[_problems], client_max_size=MAX_REQUEST)
    api = _Api(topology, control, registry, conversations, devices, people)
    app.add_routes(
        [
            web.get("/v1/health", api.health),
            web.get("/v1/discovery", api.discovery),
            web.post("/v1/tokens", api.tokens),
            web.post("/v1/tokens/refresh", api.refresh),
            web.post("/v1/devices", api.register),
            web.put("/v1/devices/{device:[0-9]+}/push", api.set_push),
            web.delete("/v1/devices/{device:[0-9]+}", api.revoke),
            web.post("/v1/conversations", api.create),
            web.post("/v1/conversations/{conv:[0-9]+}/members", api.add),
            web.get("/v1/conversations/{conv:[0-9]+}/members", api.members),
            web.get("/v1/conversations/{conv:[0-9]+}/messages", api.messages),
            web.put("/v1/conversations/{conv:[0-9]+}/members/{user:[0-9]+}", api.name),
            web.delete("/v1/conversations/{conv:[0-9]+}/members/{user:[0-9]+}", api.remove),
            web.get("/v1/conversations/{conv:[0-9]+}/receipts", api.receipts),
            web.get("/v1/presence", api.presence),
        ]
    )
    app.add_routes(KeyRoutes(keys, api._who).routes())
    return app


@web.middleware
async def _problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ProblemError as error:
        return _answer(Problem(str(error)), error.status)
    except Denied as error:
        return _answer(Problem(str(error)), _STATUS.get(Nack(error.code), 409))
    except Unavailable as error:
        return _answer(Problem(f"outcome unknown: {error}"), 503)
    except web.HTTPException as error:
        return _answer(Problem(error.reason.lower()), error.status)


def _answer(body: msgspec.Struct, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")


async def _body(request: web.Request, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except msgspec.DecodeError as error:
        raise ProblemError(400, f"body: {error}") from None


class _Api:
    def __init__(
        self,
        topology: Topology,
        control: Control,
        registry: Registry,
        conversations: Conversations,
        devices: Devices,
        people: People,
    ) -> None:
        self._people = people
        self._settings = topology.settings
        self._token_key = bytes.fromhex(topology.token_key)
        self._api_key = topology.api_key
        self._control = control
        self._registry = registry
        self._conversations = conversations
        self._desk = DeviceDesk(
            devices,
            token_key=self._token_key,
            token_ttl_s=topology.settings.token_ttl_s,
            now_s=time.time,
        )
        self._all_gateways = [f"ws://{g.host}:{g.ports['ws']}/v1/ws" for g in topology.of_kind("gateway")]

    def _bearer(self, request: web.Request) -> str:
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not value:
            raise ProblemError(401, "send `Authorization: Bearer ...`")
        return value

    def _who(self, request: web.Request) -> Identity:
        try:
            return verify(self._bearer(request), self._token_key)
        except TokenError as error:
            raise ProblemError(401, str(error)) from None

    async def health(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def discovery(self, _request: web.Request) -> web.Response:
        try:
            gateways = [address for _, address in (await self._registry.gateways()).values()]
        except Unavailable:
            gateways = []
        urls = gateways or list(self._all_gateways)  # without a registry: all, and the client tries the next
        random.shuffle(urls)
        return _answer(Discovery(urls))

    def _is_operator(self, request: web.Request) -> bool:
        return hmac.compare_digest(self._bearer(request).encode(), self._api_key.encode())

    def _operator_only(self, request: web.Request) -> None:
        if not self._is_operator(request):
            raise ProblemError(401, "wrong API key")

    async def tokens(self, request: web.Request) -> web.Response:
        self._operator_only(request)
        wanted = await _body(request, TokensRequest)
        return _answer(await self._desk.tokens(wanted.devices))

    async def refresh(self, request: web.Request) -> web.Response:
        return _answer(await self._desk.refresh(self._who(request)))

    async def register(self, request: web.Request) -> web.Response:
        self._operator_only(request)
        wanted = await _body(request, DevicesRequest)
        return _answer(await self._desk.register(wanted.devices))

    async def set_push(self, request: web.Request) -> web.Response:
        who = self._who(request)
        wanted = await _body(request, PushRequest)
        return _answer(await self._desk.set_push(who, _number(request, "device"), wanted.push))

    async def revoke(self, request: web.Request) -> web.Response:
        by = None if self._is_operator(request) else self._who(request)
        return _answer(await self._desk.revoke(_number(request, "device"), by))

    async def create(self, request: web.Request) -> web.Response:
        creator = self._who(request).user
        wanted = await _body(request, ConversationRequest)
        others = tuple(sorted(set(wanted.members) - {creator}))
        if wanted.kind == "direct":
            if len(others) != 1:
                raise ProblemError(400, "a direct conversation has exactly one other member")
            conv = direct_id(creator, others[0])
        else:
            if len(others) >= self._settings.group_cap:
                raise ProblemError(409, f"a group has at most {self._settings.group_cap} members")
            conv = group_id(creator, wanted.key)
        kind = "m" if wanted.kind == "group" and wanted.adding == "admins" else wanted.kind[0]
        await self._control.create(conv, creator, kind=kind, members=(creator, *others))
        return _answer(Created(conv), 201)

    async def add(self, request: web.Request) -> web.Response:
        by = self._who(request).user
        wanted = await _body(request, MemberRequest)
        return _answer(Changed(await self._control.add(_number(request, "conv"), by, wanted.user)))

    async def remove(self, request: web.Request) -> web.Response:
        by = self._who(request).user
        return _answer(Changed(await self._control.remove(_number(request, "conv"), by, _number(request, "user"))))

    async def name(self, request: web.Request) -> web.Response:
        by = self._who(request).user
        role = ROLES.index((await _body(request, RoleRequest)).role)
        return _answer(Changed(await self._control.name(_number(request, "conv"), by, _number(request, "user"), role)))

    async def members(self, request: web.Request) -> web.Response:
        return _answer(await self._conversations.members(_number(request, "conv"), self._who(request).user))

    async def messages(self, request: web.Request) -> web.Response:
        user = self._who(request).user
        before, limit = _query(request, "before", (1 << 48) - 1), _query(request, "limit", 50)
        return _answer(await self._conversations.messages(_number(request, "conv"), user, before=before, limit=limit))

    async def receipts(self, request: web.Request) -> web.Response:
        user = self._who(request).user
        return _answer(await self._people.receipts(_number(request, "conv"), user))

    async def presence(self, request: web.Request) -> web.Response:
        self._who(request)
        asked = request.query.getall("user", [])
        users = [int(text) for text in asked if text.isdecimal() and 0 < int(text) < 1 << 63]
        if not 0 < len(asked) == len(users) <= MAX_SEEN:
            raise ProblemError(400, f"say user=ID, once to {MAX_SEEN} times")
        return _answer(await self._people.seen(users))


def _query(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdecimal()) or not 0 < int(text[:20]) < 1 << 63:
        raise ProblemError(400, f"{name} is a whole number above 0")
    return int(text)


def _number(request: web.Request, name: str) -> int:
    number = int(request.match_info[name])
    if not 0 < number < 1 << 63:
        raise ProblemError(404, f"no {name} {number}")
    return number
