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
from sut.ports import Registry, Unavailable
from sut.protocol.frames import Nack
from sut.protocol.tokens import Identity, TokenError, issue, verify
from sut.services.api.control import Control, Denied, direct_id, group_id
from sut.services.api.history import Conversations
from sut.services.api.model import (
    ROLES,
    Changed,
    ConversationRequest,
    Created,
    Discovery,
    MemberRequest,
    Problem,
    RoleRequest,
    Token,
    Tokens,
    TokensRequest,
)

T = TypeVar("T", bound=msgspec.Struct)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
MAX_REQUEST = 1 << 20

_STATUS = {
    Nack.FOREIGN: 403,
    Nack.NOT_MEMBER: 404,
    Nack.NO_CONVERSATION: 404,
    Nack.GROUP_FULL: 409,
    Nack.NOT_ALLOWED: 403,
    Nack.OWNER_STAYS: 409,
}


class ProblemError(Exception):
    """A request that fails with this status and line."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def make_app(topology: Topology, control: Control, registry: Registry, conversations: Conversations) -> web.Application:
    """The application with all its routes."""
    app = web.Application(middlewares=[_problems], client_max_size=MAX_REQUEST)
    api = _Api(topology, control, registry, conversations)
    app.add_routes(
        [
            web.get("/v1/health", api.health),
            web.get("/v1/discovery", api.discovery),
            web.post("/v1/tokens", api.tokens),
            web.post("/v1/conversations", api.create),
            web.post("/v1/conversations/{conv:[0-9]+}/members", api.add),
            web.get("/v1/conversations/{conv:[0-9]+}/members", api.members),
            web.get("/v1/conversations/{conv:[0-9]+}/messages", api.messages),
            web.put("/v1/conversations/{conv:[0-9]+}/members/{user:[0-9]+}", api.name),
            web.delete("/v1/conversations/{conv:[0-9]+}/members/{user:[0-9]+}", api.remove),
        ]
    )
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
    def __init__(self, topology: Topology, control: Control, registry: Registry, conversations: Conversations) -> None:
        self._settings = topology.settings
        self._token_key = bytes.fromhex(topology.token_key)
        self._api_key = topology.api_key
        self._control = control
        self._registry = registry
        self._conversations = conversations
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

    async def tokens(self, request: web.Request) -> web.Response:
        if not hmac.compare_digest(self._bearer(request).encode(), self._api_key.encode()):
            raise ProblemError(401, "wrong API key")
        wanted = await _body(request, TokensRequest)
        now_s = int(time.time())
        ttl_s = int(self._settings.token_ttl_s)
        return _answer(
            Tokens(
                [
                    Token(d.device, issue(self._token_key, d.user, d.device, ttl_s=ttl_s, now_s=now_s), now_s + ttl_s)
                    for d in wanted.devices
                ]
            )
        )

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
