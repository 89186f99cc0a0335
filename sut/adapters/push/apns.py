"""PushProvider for Apple: HTTP/2, `POST /3/device/TOKEN`, authenticated by a provider token.

The provider token is a JWT (ES256). Apple requires that it is replaced after 20 to 60 minutes. Here it is replaced at
40, and at once when Apple says that it has expired. All pushes share a connection. The collapse id is the conversation,
so that a later push replaces an earlier one on the device. The payload holds the conversation and the number, and
nothing else: the app fetches and decrypts the message.

https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns
"""

from __future__ import annotations

import ssl
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

import jwt
import msgspec

from sut.adapters.push.h2_client import H2Client, NoAnswer, Response
from sut.adapters.push.http import retry_after_s, unanswered
from sut.ports import Push, PushAnswer, Verdict

TOKEN_LIFE_S: Final = 40 * 60
TOKEN_MIN_LIFE_S: Final = 20 * 60
"""Apple answers 429 TooManyProviderTokenUpdates if the token changes more often."""
EXPIRATION_S: Final = 24 * 3600
"""Seconds for which Apple keeps a push for a phone that is off."""
DEAD: Final = frozenset({"Unregistered", "ExpiredToken"})
RENEW: Final = frozenset({"ExpiredProviderToken"})
OUR_FAULT: Final = frozenset({"InvalidProviderToken", "MissingProviderToken", "BadCertificate", "Forbidden"})
"""Refusals that an operator can fix: pushes are kept until then."""


class _Aps(msgspec.Struct, frozen=True, omit_defaults=True):
    alert: dict[str, str]
    mutable: int = msgspec.field(name="mutable-content")


class _Payload(msgspec.Struct, frozen=True):
    aps: _Aps
    conv: int
    conv_id: str
    """`conv` as text, for clients whose numbers are doubles."""
    seq: int


class _Refusal(msgspec.Struct, frozen=True):
    reason: str = ""


_APS: Final = _Aps({"loc-key": "NEW_MESSAGE"}, 1)


@dataclass(frozen=True, kw_only=True)
class ApnsKey:
    """The key that signs provider tokens."""

    private_key: str = field(repr=False)
    """PEM text (the content of a .p8 file)."""
    key_id: str
    team_id: str


class Apns:
    """Sends the pushes of one app. Belongs to one event loop; connects with the first push."""

    def __init__(
        self,
        url: str,
        *,
        key: ApnsKey,
        topic: str,
        tls: ssl.SSLContext,
        timeout_s: float,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """`topic`: names the app. `timeout_s`: for one push, in seconds."""
        self._client = H2Client(url, tls=tls, timeout_s=timeout_s)
        self._key = key
        self._topic = topic
        self._now_s = now_s
        self._token = ""
        self._issued_s = 0.0

    async def push(self, token: str, push: Push) -> PushAnswer:
        """Make one attempt to send the push."""
        payload = msgspec.json.encode(_Payload(_APS, push.conv, str(push.conv), push.seq))
        provider_token = self._provider_token()
        headers = {
            "authorization": f"bearer {provider_token}",
            "apns-topic": self._topic,
            "apns-push-type": "alert",
            "apns-priority": "10",
            "apns-expiration": str(int(self._now_s()) + EXPIRATION_S),
            "apns-collapse-id": str(push.conv),
            "apns-id": str(uuid.uuid4()),
        }
        try:
            response = await self._client.post(f"/3/device/{quote(token, safe='')}", payload, headers)
        except NoAnswer as error:
            return unanswered(error)
        return self._answer(response, provider_token)

    async def renew(self) -> None:
        """Give up the pushes in flight, and start with new connections."""
        await self._client.renew()

    async def close(self) -> None:
        """Close all connections of this client."""
        await self._client.renew()

    def _answer(self, response: Response, provider_token: str) -> PushAnswer:
        if response.status == 200:
            return PushAnswer(Verdict.ACCEPTED)
        try:
            reason = msgspec.json.decode(response.body, type=_Refusal).reason
        except msgspec.DecodeError:
            reason = ""
        told = f"{response.status} {reason}".strip()
        if reason in DEAD or response.status == 410:
            return PushAnswer(Verdict.UNREGISTERED, reason=told)
        if response.status == 429 or response.status >= 500:
            return PushAnswer(Verdict.LATER, retry_after_s(response.headers), told)
        if reason in RENEW:
            if provider_token == self._token and self._now_s() - self._issued_s >= TOKEN_MIN_LIFE_S:
                self._token = ""
            return PushAnswer(Verdict.LATER, reason=told)
        if reason in OUR_FAULT:
            return PushAnswer(Verdict.LATER, reason=told)
        return PushAnswer(Verdict.REFUSED, reason=told)

    def _provider_token(self) -> str:
        now_s = self._now_s()
        if not self._token or not 0 <= now_s - self._issued_s < TOKEN_LIFE_S:
            claims = {"iss": self._key.team_id, "iat": int(now_s)}
            headers = {"kid": self._key.key_id}
            self._token = jwt.encode(claims, self._key.private_key, algorithm="ES256", headers=headers)
            self._issued_s = now_s
        return self._token
