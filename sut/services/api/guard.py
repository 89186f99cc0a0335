"""Runs before every handler: checks who asks, and whether the request has the form that its route documents.

Errors are `{"error": "one line"}` with their status, also those that aiohttp itself makes and those of a bug. No client
input can make a handler raise anything else: headers may hold any bytes, numbers any number of digits, text any code
point.
"""

from __future__ import annotations

import asyncio
import functools
import hmac
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

import msgspec
from aiohttp import web

from sut.ports import Unavailable
from sut.process.metrics.instruments import REQUESTS, Hop
from sut.process.revoked import Revoked
from sut.protocol.frames import Nack
from sut.protocol.tokens import Identity, Proof, TokenError, prove
from sut.services.api import ids
from sut.services.api.control import Denied
from sut.services.api.errors import ProblemError
from sut.services.api.model import Problem
from sut.services.api.routes import Route, Who

T = TypeVar("T", bound=msgspec.Struct)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MAX_REQUEST: Final = 1 << 20
"""Largest size of a body, in bytes."""
BODY_TIMEOUT_S: Final = 10.0
"""Time limit from the headers to the last byte of the body."""
CALLER: Final = web.RequestKey("caller", Identity)
"""The device that asks, if a token named it."""
LOGIN: Final = web.RequestKey("login", int)
"""The time when that device logged in, in Unix seconds."""
ROUTE: Final = web.RequestKey("route", str)
"""The name of the route that was found."""

log = logging.getLogger("api")
_HOP: Final = Hop("api")

_STATUS: Final[dict[int, int]] = {
    Nack.FOREIGN: 404,
    Nack.NOT_MEMBER: 404,
    Nack.GROUP_FULL: 409,
    Nack.NOT_ALLOWED: 403,
    Nack.OWNER_STAYS: 409,
    Nack.REUSED: 409,
}


def answer(body: msgspec.Struct, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Return a JSON answer with this body."""
    return web.Response(body=msgspec.json.encode(body), status=status, headers=headers, content_type="application/json")


@web.middleware
async def measured(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count each request by route and status, and how long it took."""
    began_s = time.monotonic()
    response = await handler(request)
    REQUESTS.labels(request.get(ROUTE, "none"), str(response.status)).inc()
    if response.status >= 500:
        _HOP.failed()
    _HOP.took(time.monotonic() - began_s)
    return response


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every failure into JSON, with the headers that its status requires."""
    try:
        return await handler(request)
    except ProblemError as error:
        headers = {"WWW-Authenticate": 'Bearer realm="petrel"'} if error.status == 401 else None
        return answer(Problem(str(error)), error.status, headers)
    except Denied as error:
        return answer(Problem(str(error)), _STATUS.get(error.code, 409))
    except Unavailable as error:
        return answer(Problem(f"outcome unknown: {error}"), 503)
    except web.HTTPException as error:
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        return answer(Problem(error.reason.lower()), error.status, allow)
    except Exception:
        log.exception("%s %s", request.method, request.path)
        return answer(Problem("internal error; see the API's log"), 500)


def _whole(text: str) -> int | float:
    """Convert a JSON float: to JSON, and to the document's schemas, 5.0 and 5 are the same number."""
    value = float(text)
    return int(value) if value.is_integer() else value


_decoder: Final = msgspec.json.Decoder(float_hook=_whole)


async def body(request: web.Request, kind: type[T]) -> T:
    """Return the decoded JSON body. Raises ProblemError: 400 malformed, 408 too slow, 415 not JSON; aiohttp's 413."""
    if request.content_type != "application/json":
        raise ProblemError(415, "send Content-Type: application/json")
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            data = await request.read()
    except TimeoutError:
        raise ProblemError(408, f"body: not complete within {BODY_TIMEOUT_S:g} s") from None
    except (web.RequestPayloadError, ConnectionError):  # the latter: it hung up in the middle
        raise ProblemError(400, "body: incomplete, or not in its declared encoding") from None
    try:
        return msgspec.convert(_decoder.decode(data), kind, dec_hook=ids.decoded)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ProblemError(400, f"body: {error}") from None
    except RecursionError:
        raise ProblemError(400, "body: nested too deep") from None


def number(request: web.Request, name: str) -> int:
    """Return an id from the path. Raises ProblemError 404 for a number that no id can have."""
    text = request.match_info[name]
    value = ids.parse(text)
    if value is None:
        raise ProblemError(404, f"no {name} {text[:32]}")
    return value


def query(request: web.Request, kind: type[T]) -> T:
    """Return the query's parameters; numbers as text, lists as repeated parameters. Raises ProblemError 400."""
    values: dict[str, str | list[str]] = dict(request.query)
    lists = _lists(kind)
    for name in values:
        given = request.query.getall(name)
        if name in lists:
            values[name] = given
        elif len(given) > 1:
            raise ProblemError(400, f"query: parameter {name[:64]!r} given twice")
    try:
        return msgspec.convert(values, kind, strict=False, dec_hook=ids.decoded)
    except msgspec.ValidationError as error:
        raise ProblemError(400, f"query: {error}") from None


@functools.cache
def _lists(kind: type[msgspec.Struct]) -> frozenset[str]:
    """Return the names of the fields that are lists."""
    fields = msgspec.inspect.type_info(kind).fields  # type: ignore[attr-defined]
    return frozenset(field.name for field in fields if isinstance(field.type, msgspec.inspect.ListType))


def bearer(request: web.Request) -> str:
    """Return the bearer credential of the request. Raises ProblemError 401."""
    headers = request.headers.getall("Authorization", [])
    scheme, _, value = headers[0].partition(" ") if len(headers) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not value.strip():
        raise ProblemError(401, "send `Authorization: Bearer ...`, once")
    return value.strip()


class Guard:
    """Checks requests against their routes' rules before it calls the handlers."""

    def __init__(self, *, token_key: bytes, api_key: str, revoked: Revoked) -> None:
        self._token_key = token_key
        self._revoked = revoked
        self._api_key = api_key.encode()

    def bound(self, routes: Iterable[Route], *handlers: object) -> list[web.RouteDef]:
        """Return a guarded route for each of `routes`, with the handler of its name, for aiohttp's add_routes."""
        return [
            web.route(
                route.method,
                route.pattern,
                self._guarded(route, _method(handlers, route.name)),
                expect_handler=_expect,
            )
            for route in routes
        ]

    def _guarded(self, route: Route, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            request[ROUTE] = route.name
            if route.who is not Who.ANYBODY:
                self._admit(request, route.who)
            known = route.query.__struct_fields__ if route.query is not None else ()
            if unknown := [name for name in request.query if name not in known]:
                raise ProblemError(400, f"query: unknown parameter {unknown[0][:64]!r}")
            return await handler(request)

        return guarded

    def _admit(self, request: web.Request, who: Who) -> None:
        """Check the credential against `who`. Raises ProblemError 401."""
        shown = bearer(request)
        if who is not Who.DEVICE and hmac.compare_digest(shown.encode(errors="surrogateescape"), self._api_key):
            return
        if who is Who.OPERATOR:
            raise ProblemError(401, "wrong API key")
        proven = self.identify(shown)
        request[CALLER], request[LOGIN] = Identity(proven.user, proven.device), proven.login_s

    def identify(self, token: str) -> Proof:
        """Return what a device token proves. Raises ProblemError 401."""
        try:
            proven = prove(token, self._token_key, time.time())
        except TokenError as error:
            raise ProblemError(401, str(error)) from None
        if self._revoked.is_void(proven.user, proven.device, proven.login_s):
            raise ProblemError(401, "token was revoked")
        return proven


async def _expect(request: web.Request) -> None:
    """Ask for the body that a client keeps until then. Other expectations are ignored, as RFC 9110 allows."""
    if request.version >= (1, 1) and request.headers["Expect"].lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # it is no part of the answer


def _method(handlers: tuple[object, ...], name: str) -> Handler:
    found: Handler = next(getattr(one, name) for one in handlers if hasattr(one, name))
    return found


def caller(request: web.Request) -> Identity:
    """Return the device that asks. Only for routes that are for devices alone."""
    return request[CALLER]
