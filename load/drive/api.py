"""The HTTP API as the swarm uses it: tokens, conversations, members, discovery.

It uses plain http.client with one kept-alive connection per thread. So it works under gevent (where a thread is a
greenlet), in a plain process, and in tests. Every call is idempotent: creations carry a key, and a repeated membership
change answers with the number that it took the first time. A call with an unknown outcome (503, a time-out, a broken
connection) is repeated after a growing random wait. It ends when the outcome is known or the time is up.
"""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Final, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec

from load.device.secure import client_context
from sut.protocol.api_answers import (
    Created,
    CreatedAll,
    Gateways,
    IssuedTokens,
    KeysOf,
    KeysPublished,
    Problem,
    Seq,
    decode,
)
from sut.protocol.push_tokens import push_token

MAX_TOKENS: Final = 1000
"""Maximum number of devices in one request for tokens or registrations."""
MAX_MADE: Final = 1000
"""Maximum number of conversations in one request."""
MAX_MEMBERS: Final = 30_000
"""Members in all conversations of one request: each takes up to 22 bytes of the 1 MiB that a request may have."""
Provider = Literal["apns", "fcm"]
_PROVIDERS: Final[tuple[Provider, ...]] = ("apns", "fcm")
_RETRY_BASE_S: Final = 0.05
_RETRY_CAP_S: Final = 1.0

Publication = tuple[bytes, int, bytes, bytes, tuple[tuple[int, bytes], ...]]
"""Identity key; number, key and signature of the signed prekey; (number, key) of one-time prekeys."""
T = TypeVar("T")
R = TypeVar("R")


class ApiError(Exception):
    """A call of the API failed; the text is one line. `definite`: it certainly had no effect."""

    def __init__(self, text: str, *, status: int = 0, definite: bool = False) -> None:
        super().__init__(text)
        self.status = status
        self.definite = definite


class _Devices(msgspec.Struct, frozen=True):
    user: str
    device: str


class _Push(msgspec.Struct, frozen=True):
    provider: Provider
    token: str


class _Phone(msgspec.Struct, frozen=True):
    user: str
    device: str
    push: _Push


class _Registered(msgspec.Struct, frozen=True):
    registered: int


class ApiClient:
    """A client of one API. Several threads (or greenlets) may use it at once."""

    def __init__(
        self,
        base_url: str,
        *,
        timeout_s: float = 8.0,
        give_up_s: float = 60.0,
        ca_file: str = "",
        allowed: Collection[str] = (),
        rng: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`timeout_s` bounds each attempt, `give_up_s` all attempts of one call together. `ca_file`: for https.

        `allowed`: the only hosts of gateways that are returned; empty: any.
        """
        self._allowed = frozenset(allowed)
        parts = urlsplit(base_url)
        self._secure = client_context(ca_file) if parts.scheme == "https" else None
        self._host, self._port = parts.hostname or "", parts.port or (443 if self._secure else 80)
        self._timeout_s = timeout_s
        self._give_up_s = give_up_s
        self._rng = rng or random.Random()
        self._clock = clock
        self._sleep = sleep
        self._local = threading.local()

    def tokens(self, api_key: str, devices: Iterable[int]) -> dict[int, str]:
        """Return a token for each device (of the user with the same id). Raises ApiError."""
        wanted = list(devices)
        return dict(zip(wanted, self.each_token(api_key, wanted), strict=True))

    def each_token(self, api_key: str, devices: Iterable[int]) -> Iterator[str]:
        """Yield a token for each device in order, MAX_TOKENS of them with one request. Raises ApiError."""
        rest = iter(devices)
        while wanted := list(islice(rest, MAX_TOKENS)):
            batch = [_Devices(str(device), str(device)) for device in wanted]
            answer = self._call("POST", "/v1/tokens", api_key, IssuedTokens, {"devices": batch})
            tokens = {issued.device: issued.token for issued in answer.tokens}
            if missing := set(wanted) - tokens.keys():
                raise ApiError(f"the API gave no token for device {min(missing)}")
            yield from (tokens[device] for device in wanted)

    def register(self, api_key: str, devices: Iterable[int]) -> None:
        """Register each device (of the user with the same id) with a push token at alternating providers.

        Raises ApiError.
        """
        wanted = [
            _Phone(str(device), str(device), _Push(provider, push_token(provider, device)))
            for device in devices
            for provider in (_PROVIDERS[device % len(_PROVIDERS)],)
        ]
        for start in range(0, len(wanted), MAX_TOKENS):
            self._call("POST", "/v1/devices", api_key, _Registered, {"devices": wanted[start : start + MAX_TOKENS]})

    def create(self, token: str, *, kind: Literal["direct", "group"], members: Sequence[int], key: str) -> int:
        """Create a conversation, or find the one this creator made with this key. Returns its id. Raises ApiError."""
        body = {"kind": kind, "members": [str(member) for member in members], "key": key}
        return self._call("POST", "/v1/conversations", token, Created, body).conversation

    def create_all(self, api_key: str, wanted: Iterable[tuple[str, Sequence[int], str]]) -> list[int]:
        """Create conversations, or find those made before, as `create` does. Returns their ids. Raises ApiError.

        A conversation: its kind, its members, of whom the first creates it, and its key.
        """
        made: list[int] = []
        for batch in batches(wanted):
            bodies = [
                {"kind": kind, "creator": str(members[0]), "members": [str(member) for member in members], "key": key}
                for kind, members, key in batch
            ]
            answer = self._call("POST", "/v1/conversations/bulk", api_key, CreatedAll, {"conversations": bodies})
            made += [created.conversation for created in answer.conversations]
        return made

    def add(self, token: str, conv: int, user: int, *, give_up_s: float | None = None) -> int:
        """Add a user to a group. Returns the number that the change took. Raises ApiError."""
        path = f"/v1/conversations/{conv}/members"
        return self._call("POST", path, token, Seq, {"user": str(user)}, give_up_s=give_up_s).seq

    def remove(self, token: str, conv: int, user: int, *, give_up_s: float | None = None) -> int:
        """Remove a user from a group. Returns the number that the change took. Raises ApiError."""
        path = f"/v1/conversations/{conv}/members/{user}"
        return self._call("DELETE", path, token, Seq, give_up_s=give_up_s).seq

    def name(self, token: str, conv: int, user: int, *, role: str, give_up_s: float | None = None) -> int:
        """Give a member of a group a role. Returns the number that the change took. Raises ApiError."""
        path = f"/v1/conversations/{conv}/members/{user}"
        return self._call("PUT", path, token, Seq, {"role": role}, give_up_s=give_up_s).seq

    def publish_keys(self, token: str, publication: Publication, *, device_list: bytes, version: int) -> int:
        """Publish a device's keys. Returns the number of one-time prekeys left at the service. Raises ApiError."""
        identity_key, number, key, signature, one_time = publication
        body = {
            "identity_key": identity_key,
            "signed_prekey": {"number": number, "key": key, "signature": signature},
            "one_time": [{"number": number, "key": key} for number, key in one_time],
            "device_list": {"version": version, "data": device_list},
        }
        return self._call("PUT", "/v1/keys", token, KeysPublished, body).one_time

    def keys_of(self, token: str, user: int, *, one_time: bool) -> KeysOf:
        """Return a user's published keys, with a one-time prekey of each device if `one_time`. Raises ApiError."""
        path = f"/v1/users/{user}/keys{'' if one_time else '?one_time=no'}"
        return self._call("GET", path, token, KeysOf, give_up_s=5.0)

    def gateways(self) -> tuple[str, ...]:
        """Return the WebSocket URLs of live gateways on allowed hosts, shuffled; one attempt. Raises ApiError."""
        urls = self._call("GET", "/v1/discovery", "", Gateways, give_up_s=0.0).gateways
        return tuple(url for url in urls if not self._allowed or urlsplit(url).hostname in self._allowed)

    def _call(
        self,
        method: str,
        path: str,
        token: str,
        answer: type[R],
        body: object = None,
        *,
        give_up_s: float | None = None,
    ) -> R:
        """Make one call, repeated while its outcome is unknown. Raises ApiError."""
        deadline = self._clock() + (self._give_up_s if give_up_s is None else give_up_s)
        wait_s = _RETRY_BASE_S
        while True:
            try:
                return decode(self._attempt(method, path, token, body), answer)
            except msgspec.DecodeError as error:
                raise ApiError(f"{method} {path}: an answer that is not as documented: {error}") from None
            except ApiError as error:
                if error.definite or self._clock() + wait_s > deadline:
                    raise
            self._sleep(wait_s * (0.5 + self._rng.random() / 2))
            wait_s = min(_RETRY_CAP_S, wait_s * 2)

    def _attempt(self, method: str, path: str, token: str, body: object) -> bytes:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        reused = connection is not None
        if connection is None:
            connection = self._connection()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        content = None
        if body is not None:
            content = msgspec.json.encode(body)
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, path, content, headers)
            response = connection.getresponse()
            data = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            self._local.connection = None
            if reused and isinstance(error, http.client.RemoteDisconnected | ConnectionError):
                return self._attempt(method, path, token, body)  # an idle connection was closed: retry once
            said = error.strerror if isinstance(error, OSError) else ""
            reason = said or str(error) or type(error).__name__
            raise ApiError(f"{method} {path} at {self._host}:{self._port}: {reason}") from None
        self._local.connection = connection
        if response.status in (200, 201):
            return data
        raise _refusal(f"{method} {path}", response.status, data)

    def _connection(self) -> http.client.HTTPConnection:
        if self._secure is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout_s, context=self._secure)


def batches(
    wanted: Iterable[tuple[str, Sequence[int], str]], *, most: int = MAX_MADE
) -> Iterator[list[tuple[str, Sequence[int], str]]]:
    """Cut conversations into requests: at most `most` in one, and MAX_MEMBERS members unless one alone has more."""
    batch: list[tuple[str, Sequence[int], str]] = []
    members = 0
    for one in wanted:
        if batch and (len(batch) == most or members + len(one[1]) > MAX_MEMBERS):
            yield batch
            batch, members = [], 0
        batch.append(one)
        members += len(one[1])
    if batch:
        yield batch


def _refusal(what: str, status: int, data: bytes) -> ApiError:
    try:
        text = msgspec.json.decode(data, type=Problem).error
    except msgspec.DecodeError:
        text = "no reason given"
    return ApiError(f"{what}: {status}: {text}", status=status, definite=400 <= status < 500)


def parallel(work: Callable[[T], R], items: Sequence[T], *, at_once: int) -> list[R]:
    """Call `work` on every item, `at_once` in parallel; returns the results in order. Raises the first error."""
    if not items:
        return []
    with ThreadPoolExecutor(min(at_once, len(items)), thread_name_prefix="api") as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()
