"""Stand-in for APNs: makes Apple's checks and answers with Apple's statuses and reasons.

https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns
"""

from __future__ import annotations

import random
import re
import time
import uuid
from collections.abc import Callable
from typing import Final

import jwt
import msgspec

from sut.protocol.push_tokens import device_of
from sut.standins.accepted import AcceptedPushes
from sut.standins.behaviour import Behaviour, Waits, harm_to, is_gone, strikes
from sut.standins.h2_server import Harm, Request, Response

MAX_PAYLOAD: Final = 4096
MAX_COLLAPSE_ID: Final = 64
TOKEN_LIFE_S: Final = 3600
TYPES: Final = frozenset({"alert", "background", "voip", "complication", "fileprovider", "mdm", "liveactivity"})
_PATH: Final = re.compile(r"/3/device/([^/]*)")


class _Reason(msgspec.Struct, frozen=True, omit_defaults=True):
    reason: str
    timestamp: int = 0
    """When the token died, in Unix milliseconds; 0: not about a dead token."""


class _Payload(msgspec.Struct, frozen=True):
    aps: dict[str, object]
    conv: int
    seq: int


class ApnsStandIn:
    """Answers the requests of an H2Server as APNs would."""

    def __init__(
        self,
        *,
        public_key: str,
        key_id: str,
        team_id: str,
        topic: str,
        accepted: AcceptedPushes,
        behaviour: Callable[[], Behaviour],
        rng: random.Random,
    ) -> None:
        self._public_key = public_key
        self._key_id = key_id
        self._team_id = team_id
        self._topic = topic
        self._accepted = accepted
        self._behaviour = behaviour
        self._rng = rng
        self._tokens: dict[str, int] = {}
        """Provider tokens with a valid signature, and when each was issued (Unix seconds)."""
        self.dead: dict[str, int] = {}
        """Tokens that are dead, since when (ms): what a test says, besides what the behaviour says."""
        self.waits = Waits()

    async def handle(self, request: Request) -> Response | Harm:
        """Answer one push, or return the harm to do to its connection."""
        if (refusal := self._refusal(request)) is not None:
            return refusal
        return await self._trouble(request)

    def _refusal(self, request: Request) -> Response | None:
        """Return the refusal of an invalid request, or None. The order is Apple's, as far as it is known."""
        path = _PATH.fullmatch(request.path)
        if path is None:
            return _no(404, "BadPath")
        if request.method != "POST":
            return _no(405, "MethodNotAllowed")
        if (refused := self._provider_token(request.headers.get("authorization", ""))) is not None:
            return refused
        headers = request.headers
        if not headers.get("apns-topic"):
            return _no(400, "MissingTopic")
        if headers["apns-topic"] != self._topic:
            return _no(400, "DeviceTokenNotForTopic")
        if headers.get("apns-push-type") not in TYPES:
            return _no(400, "InvalidPushType")
        if headers.get("apns-priority", "10") not in ("1", "5", "10"):
            return _no(400, "BadPriority")
        if not headers.get("apns-expiration", "0").isdigit():
            return _no(400, "BadExpirationDate")
        if len(headers.get("apns-collapse-id", "").encode()) > MAX_COLLAPSE_ID:
            return _no(400, "BadCollapseId")
        if not _is_uuid(headers.get("apns-id", str(uuid.UUID(int=0)))):
            return _no(400, "BadMessageId")
        if device_of("apns", path[1]) is None:
            return _no(400, "BadDeviceToken")
        if not request.body:
            return _no(400, "PayloadEmpty")
        if len(request.body) > MAX_PAYLOAD:
            return _no(413, "PayloadTooLarge")
        return None

    async def _trouble(self, request: Request) -> Response | Harm:
        behaviour, rng = self._behaviour(), self._rng
        token = request.path.rpartition("/")[2]
        try:
            payload = msgspec.json.decode(request.body, type=_Payload)
        except msgspec.DecodeError:  # Apple would pass it on; here nobody could tell what it was for
            return _no(400, "BadMessageId")
        self.waits.came(token, payload.conv)
        if harm := await harm_to(behaviour, rng):
            return harm
        if token in self.dead or is_gone(token, behaviour.gone):
            return _no(410, "Unregistered", timestamp=self.dead.get(token, 0) or _now_ms())
        if strikes(rng, behaviour.expired):
            return _no(403, "ExpiredProviderToken")
        if strikes(rng, behaviour.throttled):
            self.waits.told(token, payload.conv, behaviour.retry_after_s)
            return _no(429, "TooManyRequests", after_s=behaviour.retry_after_s)
        if strikes(rng, behaviour.failing):
            if rng.random() < 0.5:
                return _no(500, "InternalServerError")
            self.waits.told(token, payload.conv, behaviour.retry_after_s)
            return _no(503, "ServiceUnavailable", after_s=behaviour.retry_after_s)
        device = device_of("apns", token)
        assert device is not None
        self._accepted.add(provider="apns", token=token, device=device, conv=payload.conv, seq=payload.seq)
        if strikes(rng, behaviour.lost):
            return Harm.CUT
        headers = {"apns-id": request.headers.get("apns-id") or str(uuid.uuid4()).upper()}
        return Response(200, headers=headers, goaway=strikes(rng, behaviour.drained))

    def _provider_token(self, authorization: str) -> Response | None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            return _no(403, "MissingProviderToken")
        issued_s = self._tokens.get(token)
        if issued_s is None:
            try:
                claims = jwt.decode(token, self._public_key, algorithms=["ES256"], options={"require": ["iss", "iat"]})
                good = jwt.get_unverified_header(token).get("kid") == self._key_id and claims["iss"] == self._team_id
            except jwt.InvalidTokenError:
                good = False
            if not good:
                return _no(403, "InvalidProviderToken")
            if len(self._tokens) >= 100:
                self._tokens.clear()
            issued_s = self._tokens[token] = int(claims["iat"])
        return _no(403, "ExpiredProviderToken") if time.time() - issued_s > TOKEN_LIFE_S else None


def _no(status: int, reason: str, *, timestamp: int = 0, after_s: int = 0) -> Response:
    headers = {"content-type": "application/json", "apns-id": str(uuid.uuid4()).upper()}
    if after_s:
        headers["retry-after"] = str(after_s)
    return Response(status, msgspec.json.encode(_Reason(reason, timestamp)), headers)


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
