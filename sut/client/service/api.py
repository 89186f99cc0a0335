"""The HTTP API as a person's client uses it, with aiohttp. Each call is one attempt; the caller decides about retries.

Every call may be repeated without harm, see docs/protocol.md. This module keeps only the connection pool and the token.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import Final, Literal, NamedTuple, Self, TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec

from sut.client.errors import ApiProblem, UserMistake, sentence
from sut.protocol.api_answers import (
    Created,
    Gateways,
    IssuedToken,
    IssuedTokens,
    KeysOf,
    KeysPublished,
    OneTimePrekeyOf,
    Problem,
    Seq,
    SignedPrekeyOf,
    decode,
)

TIMEOUT_S: Final = 8.0
"""The time limit of one attempt in seconds. The API itself answers within 5 s."""
RENEW_S: Final = 60.0
"""Seconds before its expiry at which a token is replaced."""
AGAIN_S: Final = 60.0
"""Seconds after a failed refresh at which the token is refreshed again, or if it seems to have expired already."""
LATEST_S: Final = 3600.0
"""The most seconds between two refreshes."""


class Access(NamedTuple):
    """The address of a system and the credentials for it."""

    url: str
    operator_key: str = ""
    """Authorizes tokens for any device. If empty, `token` is the only token."""
    token: str = ""
    device: int = 0
    """The device that `token` is for; 0: any device."""
    ca: str = ""
    """PEM file of the authority that signed the system's certificates.

    Empty: the authorities that the machine trusts.
    """
    labels: Mapping[str, str] = MappingProxyType({})
    """host:port of a gateway -> its name, for display."""


class _Member(msgspec.Struct, frozen=True):
    user: int = msgspec.field(name="user_id")
    first: int = 1


class Members(msgspec.Struct, frozen=True):
    """The kind and the members of a conversation."""

    kind: str
    members: tuple[_Member, ...]


class Progress(msgspec.Struct, frozen=True):
    """The numbers up to which a user has received and read the messages of a conversation."""

    user: int = msgspec.field(name="user_id")
    delivered: int
    read: int


AddedBy = Literal["anybody", "nobody"]


class _Settings(msgspec.Struct, frozen=True):
    added_by: AddedBy


class _Progresses(msgspec.Struct, frozen=True):
    receipts: tuple[Progress, ...]


T = TypeVar("T")


class Api:
    """A client of one API, for one device."""

    def __init__(self, access: Access, *, user: int, device: int) -> None:
        self._access = access
        self._user = user
        self._device = device
        self._token = access.token
        self._expires_s = 0.0
        self._refreshed_s = 0.0
        """When it was refreshed last. An earlier time now: the clock was set back, and nobody knows for how long."""
        self._refresh_at_s = 0.0
        """When a token that was given by hand is refreshed next: at the first use, then at half of its life."""
        try:
            self._trust = ssl.create_default_context(cafile=access.ca or None)
        except (OSError, ssl.SSLError) as error:
            raise UserMistake(f"{access.ca}: no certificates: {error}") from None
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=self._trust)
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S), connector=connector)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._http is not None:
            await self._http.close()

    @property
    def trust(self) -> ssl.SSLContext:
        """The TLS settings, which the connections to gateways use as well."""
        return self._trust

    def label(self, gateway: str) -> str:
        """Return the display name of the gateway at this host:port."""
        name = self._access.labels.get(gateway)
        return f"{name} ({gateway})" if name else gateway

    async def token(self, *, fresh: bool = False) -> str:
        """Return this device's token. `fresh`: the last one was refused. Raises ApiProblem, definite if there is no
        other token.
        """
        if not self._access.operator_key:
            if fresh:
                raise ApiProblem("the token was refused; start again with a new --token", status=401, definite=True)
            if not self._refreshed_s <= time.time() < self._refresh_at_s:
                await self._refresh()
            return self._token
        if fresh or time.time() > self._expires_s - RENEW_S:
            wanted = {"devices": [{"user": str(self._user), "device": str(self._device)}]}
            answer = await self._ask("POST", "/v1/tokens", IssuedTokens, wanted, bearer=self._access.operator_key)
            self._token, self._expires_s = answer.tokens[0].token, answer.tokens[0].expires
        return self._token

    async def _refresh(self) -> None:
        """Replace the token by a newer one of the same login. Keeps it where there is none just now."""
        self._refreshed_s = now_s = time.time()
        self._refresh_at_s = now_s + AGAIN_S
        try:
            issued = await self._ask("POST", "/v1/tokens/refresh", IssuedToken, bearer=self._token)
        except ApiProblem:
            return  # whoever uses it hears why, if it is not valid any more
        half_s = (issued.expires - now_s) / 2  # by this machine's clock, which may be wrong
        self._token, self._refresh_at_s = issued.token, now_s + min(half_s if half_s > 0 else AGAIN_S, LATEST_S)

    async def create(self, kind: Literal["direct", "group"], members: Sequence[int], key: str) -> int:
        """Create a conversation, or find the one that was created with this key. Returns its id. Raises ApiProblem."""
        body = {"kind": kind, "members": [str(member) for member in members], "key": key}
        return (await self._ask("POST", "/v1/conversations", Created, body)).conversation

    async def members(self, conv: int) -> Members:
        """Return the kind and the members of a conversation. Raises ApiProblem."""
        return await self._ask("GET", f"/v1/conversations/{conv}/members", Members)

    async def add(self, conv: int, user: int) -> int:
        """Add a user to a group. Returns the sequence number of the change. Raises ApiProblem."""
        return (await self._ask("POST", f"/v1/conversations/{conv}/members", Seq, {"user": str(user)})).seq

    async def remove(self, conv: int, user: int) -> int:
        """Remove a user from a group; one's own id means leaving it. Returns the change's sequence number. Raises
        ApiProblem.
        """
        return (await self._ask("DELETE", f"/v1/conversations/{conv}/members/{user}", Seq)).seq

    async def added_by(self, who: AddedBy | None = None) -> AddedBy:
        """Return who may add this user to groups, after setting it to `who` unless that is None. Raises ApiProblem."""
        if who is None:
            return (await self._ask("GET", "/v1/settings", _Settings)).added_by
        return (await self._ask("PUT", "/v1/settings", _Settings, _Settings(who))).added_by

    async def receipts(self, conv: int) -> tuple[Progress, ...]:
        """Return the receipts of the members of a conversation. Raises ApiProblem."""
        return (await self._ask("GET", f"/v1/conversations/{conv}/receipts", _Progresses)).receipts

    async def keys(self, user: int, *, one_time: bool = True) -> KeysOf:
        """Return a user's keys. Uses up one one-time prekey of each device unless `one_time` is False. Raises
        ApiProblem.
        """
        query = "" if one_time else "?one_time=no"
        return await self._ask("GET", f"/v1/users/{user}/keys{query}", KeysOf)

    async def publish(
        self,
        *,
        identity_key: bytes,
        signed: SignedPrekeyOf,
        one_time: Sequence[OneTimePrekeyOf],
        list_version: int,
        list_data: bytes,
    ) -> KeysPublished:
        """Publish this device's keys, and the device list unless it is empty. Raises ApiProblem."""
        body = {
            "identity_key": identity_key,
            "signed_prekey": signed,
            "one_time": list(one_time),
            "device_list": {"version": list_version, "data": list_data} if list_data else None,
        }
        return await self._ask("PUT", "/v1/keys", KeysPublished, body)

    async def register(self) -> None:
        """Register this device with the service, without push notifications, so that it can be revoked. Raises
        ApiProblem.

        Does nothing if the token was given from outside: its issuer has registered the device, perhaps with push.
        """
        if not self._access.token:
            await self._ask("PUT", f"/v1/devices/{self._device}/push", msgspec.Raw, {"push": None})

    async def revoke(self, device: int) -> None:
        """Revoke another device of this user for ever. May be repeated. Raises ApiProblem."""
        await self._ask("DELETE", f"/v1/devices/{device}", msgspec.Raw)

    async def gateways(self) -> tuple[str, ...]:
        """Return the WebSocket URLs of live gateways, in random order. Raises ApiProblem."""
        return (await self._ask("GET", "/v1/discovery", Gateways, bearer="")).gateways

    async def _ask(self, method: str, path: str, kind: type[T], body: object = None, *, bearer: str | None = None) -> T:
        """Make one call with `bearer`. Without it the device's token is used, and renewed once if it is refused."""
        if bearer is not None:
            return await self._attempt(method, path, kind, body, bearer)
        try:
            return await self._attempt(method, path, kind, body, await self.token())
        except ApiProblem as problem:
            if problem.status != 401:
                raise
        return await self._attempt(method, path, kind, body, await self.token(fresh=True))

    async def _attempt(self, method: str, path: str, kind: type[T], body: object, bearer: str) -> T:
        assert self._http is not None, "entered"
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        data = None
        if body is not None:
            data = msgspec.json.encode(body)
            headers["Content-Type"] = "application/json"
        try:
            async with self._http.request(method, self._access.url + path, data=data, headers=headers) as response:
                answer, status = await response.read(), response.status
        except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError, OSError) as error:
            reason = sentence(error)
            raise ApiProblem(f"no answer from the API at {urlsplit(self._access.url).netloc}: {reason}") from None
        if status in (200, 201):
            try:
                return decode(answer, kind)
            except msgspec.DecodeError as error:
                raise ApiProblem(f"{method} {path}: an answer that is not as documented: {error}") from None
        try:
            text = msgspec.json.decode(answer, type=Problem).error
        except msgspec.DecodeError:
            text = f"status {status}"
        raise ApiProblem(text, status=status, definite=400 <= status < 500 and status != 429)
