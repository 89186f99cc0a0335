"""Stand-in for FCM: an OAuth 2 token endpoint and FCM's HTTP v1 endpoint, with Google's errors.

https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qs

import jwt
import msgspec

from sut.protocol.push_tokens import device_of
from sut.standins.accepted import AcceptedPushes
from sut.standins.behaviour import Behaviour, Waits, harm_to, is_gone, strikes
from sut.standins.h2_server import Harm, Request, Response

GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPE: Final = "https://www.googleapis.com/auth/firebase.messaging"
ACCESS_S: Final = 3600
MAX_DATA: Final = 4096
_TYPE: Final = "type.googleapis.com/google.firebase.fcm.v1.FcmError"


class _Data(msgspec.Struct, frozen=True):
    conv: str
    seq: str


class _Android(msgspec.Struct, frozen=True):
    collapse_key: str = ""
    priority: str = "NORMAL"
    ttl: str = ""


class _Message(msgspec.Struct, frozen=True):
    token: str
    data: _Data
    android: _Android = _Android()


class _Send(msgspec.Struct, frozen=True):
    message: _Message


class FcmStandIn:
    """Answers the requests of an H2Server as FCM would."""

    def __init__(
        self,
        *,
        public_key: str,
        account: str,
        project: str,
        token_uri: str,
        accepted: AcceptedPushes,
        behaviour: Callable[[], Behaviour],
        rng: random.Random,
    ) -> None:
        """`account`: the service account's e-mail address."""
        self._public_key = public_key
        self._account = account
        self._send_path = f"/v1/projects/{project}/messages:send"
        self._token_uri = token_uri
        self._accepted = accepted
        self._behaviour = behaviour
        self._rng = rng
        self._granted: dict[str, float] = {}
        self.grants = 0
        self.dead: dict[str, int] = {}
        """Tokens that are dead: what a test says, besides what the behaviour says."""
        self.waits = Waits()

    async def handle(self, request: Request) -> Response | Harm:
        """Answer one token request or one push, or return the harm to do to its connection."""
        if request.method != "POST":
            return _no(405, "INVALID_ARGUMENT", "")
        if request.path == "/token":
            return self._grant(request)
        if request.path != self._send_path:
            return _no(404, "NOT_FOUND", "")
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or self._granted.get(token, 0.0) < time.time():
            return _no(401, "UNAUTHENTICATED", "")
        if len(request.body) > 4 * MAX_DATA:
            return _no(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT")
        try:
            message = msgspec.json.decode(request.body, type=_Send).message
            conv, seq = int(message.data.conv), int(message.data.seq)
        except (msgspec.DecodeError, ValueError):
            return _no(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT")
        if device_of("fcm", message.token) is None:
            return _no(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT")
        return await self._trouble(message.token, conv, seq)

    async def _trouble(self, token: str, conv: int, seq: int) -> Response | Harm:
        behaviour, rng = self._behaviour(), self._rng
        self.waits.came(token, conv)
        if harm := await harm_to(behaviour, rng):
            return harm
        if token in self.dead or is_gone(token, behaviour.gone):
            return _no(404, "NOT_FOUND", "UNREGISTERED")
        if strikes(rng, behaviour.expired):
            self._granted.clear()
            return _no(401, "UNAUTHENTICATED", "")
        if strikes(rng, behaviour.throttled):
            self.waits.told(token, conv, behaviour.retry_after_s)
            return _no(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", after_s=behaviour.retry_after_s)
        if strikes(rng, behaviour.failing):
            if rng.random() < 0.5:
                return _no(500, "INTERNAL", "INTERNAL")
            self.waits.told(token, conv, behaviour.retry_after_s)
            return _no(503, "UNAVAILABLE", "UNAVAILABLE", after_s=behaviour.retry_after_s)
        device = device_of("fcm", token)
        assert device is not None
        self._accepted.add(provider="fcm", token=token, device=device, conv=conv, seq=seq)
        if strikes(rng, behaviour.lost):
            return Harm.CUT
        name = f"{self._send_path.removeprefix('/v1/').removesuffix(':send')}/0:{time.time_ns()}"
        return _json(200, {"name": name}, goaway=strikes(rng, behaviour.drained))

    def _grant(self, request: Request) -> Response:
        form = parse_qs(request.body.decode("ascii", "replace"))
        if form.get("grant_type") != [GRANT] or len(form.get("assertion", [])) != 1:
            return _json(400, {"error": "unsupported_grant_type", "error_description": "Invalid grant_type"})
        try:
            claims = jwt.decode(
                form["assertion"][0],
                self._public_key,
                algorithms=["RS256"],
                audience=self._token_uri,
                options={"require": ["iss", "scope", "aud", "iat", "exp"]},
            )
        except jwt.InvalidTokenError as error:
            return _json(400, {"error": "invalid_grant", "error_description": f"Invalid JWT: {error}"})
        if claims["iss"] != self._account or claims["exp"] - claims["iat"] > ACCESS_S:
            return _json(400, {"error": "invalid_grant", "error_description": "Invalid JWT"})
        if SCOPE not in str(claims["scope"]).split():
            return _json(400, {"error": "invalid_scope", "error_description": "Invalid OAuth scope"})
        token = f"ya29.{secrets.token_urlsafe(48)}"
        self._granted[token] = time.time() + ACCESS_S
        self.grants += 1
        return _json(200, {"access_token": token, "expires_in": ACCESS_S - 1, "token_type": "Bearer"})


def _json(status: int, body: dict[str, Any], *, after_s: int = 0, goaway: bool = False) -> Response:
    headers = {"content-type": "application/json; charset=UTF-8"}
    if after_s:
        headers["retry-after"] = str(after_s)
    return Response(status, msgspec.json.encode(body), headers, goaway)


def _no(status: int, text: str, code: str, *, after_s: int = 0) -> Response:
    error: dict[str, Any] = {"code": status, "message": text.replace("_", " ").capitalize(), "status": text}
    if code:
        error["details"] = [{"@type": _TYPE, "errorCode": code}]
    return _json(status, {"error": error}, after_s=after_s)
