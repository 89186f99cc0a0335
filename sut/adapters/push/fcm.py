"""PushProvider for Google: FCM's HTTP v1 API, authenticated by an OAuth 2 access token of a service account.

The account's token URI issues the access token for an assertion signed with the account's key (RS256, the JWT-bearer
grant). It is used until a minute before it expires. Pushes that come while it is being fetched wait for it together.
The message is data only: conversation and number. The conversation also collapses it with earlier ones.

https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import jwt
import msgspec

from sut.adapters.push.h2_client import H2Client, NoAnswer, Response
from sut.adapters.push.http import retry_after_s, unanswered
from sut.adapters.shared.patience import patience
from sut.deploy.servers.push_files import ServiceAccount
from sut.ports import Push, PushAnswer, Verdict

SCOPE: Final = "https://www.googleapis.com/auth/firebase.messaging"
GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_S: Final = 3600
SPARE_S: Final = 60.0
"""Seconds before its expiry at which an access token is not used any more."""
GRANT_SHARE: Final = 0.5
"""The largest share of a push's time for fetching an access token. A slow request is then repeated."""
TTL: Final = "86400s"
OUR_FAULT: Final = frozenset({"SENDER_ID_MISMATCH", "THIRD_PARTY_AUTH_ERROR"})


class _Grant(msgspec.Struct, frozen=True):
    access_token: str
    expires_in: float


class _Detail(msgspec.Struct, frozen=True):
    errorCode: str = ""  # noqa: N815 (Google's name)


class _Error(msgspec.Struct, frozen=True):
    status: str = ""
    message: str = ""
    details: tuple[_Detail, ...] = ()


class _Refusal(msgspec.Struct, frozen=True):
    error: _Error


class Fcm:
    """Sends the pushes of one project. Belongs to one event loop; connects with the first push."""

    def __init__(
        self,
        url: str,
        *,
        account: ServiceAccount,
        tls: ssl.SSLContext,
        timeout_s: float,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """`timeout_s`: for one push, in seconds."""
        self._client = H2Client(url, tls=tls, timeout_s=timeout_s)
        self._grants = H2Client(account.token_uri, tls=tls, timeout_s=GRANT_SHARE * timeout_s)
        self._timeout_s = timeout_s
        self._account = account
        self._path = f"/v1/projects/{account.project_id}/messages:send"
        self._now_s = now_s
        self._access_token = ""
        self._until_s = 0.0
        self._fetching: asyncio.Task[str | PushAnswer] | None = None

    async def push(self, token: str, push: Push) -> PushAnswer:
        """Make one attempt to send the push; fetch an access token first if there is none."""
        try:
            async with patience(self._timeout_s):
                access_token = await self._token()
                if isinstance(access_token, PushAnswer):
                    return access_token
                headers = {"authorization": f"Bearer {access_token}", "content-type": "application/json"}
                response = await self._client.post(self._path, _message(token, push), headers)
        except TimeoutError:
            return PushAnswer(
                Verdict.LATER, reason=f"no answer within {self._timeout_s:g} s, the access token's included"
            )
        except NoAnswer as error:
            return unanswered(error)
        if response.status == 401 and access_token == self._access_token:
            self._access_token = ""
        return _answer(response)

    async def renew(self) -> None:
        """Give up the pushes in flight, and start with new connections."""
        if self._fetching is not None:
            self._fetching.cancel()
        await self._client.renew()
        await self._grants.renew()

    async def close(self) -> None:
        """Close all connections of this client."""
        await self.renew()

    async def _token(self) -> str | PushAnswer:
        """Return an access token. All callers that need a new one wait for the same request. Raises NoAnswer."""
        if self._access_token and self._now_s() < self._until_s:
            return self._access_token
        fetching = self._fetching
        if fetching is None:
            fetching = self._fetching = asyncio.create_task(self._fetch(), name="access token")
        await asyncio.wait({fetching})
        return PushAnswer(Verdict.LATER, reason="the client was closed") if fetching.cancelled() else fetching.result()

    async def _fetch(self) -> str | PushAnswer:
        now_s = int(self._now_s())
        account = self._account
        claims = {
            "iss": account.client_email,
            "scope": SCOPE,
            "aud": account.token_uri,
            "iat": now_s,
            "exp": now_s + ASSERTION_S,
        }
        headers = {"kid": account.private_key_id}
        assertion = jwt.encode(claims, account.private_key, algorithm="RS256", headers=headers)
        form = urlencode({"grant_type": GRANT, "assertion": assertion}).encode()
        try:
            response = await self._grants.post(
                urlsplit(account.token_uri).path or "/", form, {"content-type": "application/x-www-form-urlencoded"}
            )
        except NoAnswer as error:
            return unanswered(error)
        finally:
            self._fetching = None
        try:
            granted = msgspec.json.decode(response.body, type=_Grant)
        except msgspec.DecodeError:
            # An operator or time will fix any cause: pushes wait.
            return PushAnswer(Verdict.LATER, retry_after_s(response.headers), f"no access token: {response.status}")
        self._access_token = granted.access_token
        self._until_s = self._now_s() + max(0.0, granted.expires_in - SPARE_S)
        return self._access_token


def _message(token: str, push: Push) -> bytes:
    message: dict[str, Any] = {
        "token": token,
        "data": {"conv": str(push.conv), "seq": str(push.seq)},
        "android": {"collapse_key": str(push.conv), "priority": "HIGH", "ttl": TTL},
    }
    return msgspec.json.encode({"message": message})


def _answer(response: Response) -> PushAnswer:
    status = response.status
    if status == 200:
        return PushAnswer(Verdict.ACCEPTED)
    try:
        error = msgspec.json.decode(response.body, type=_Refusal).error
    except msgspec.DecodeError:
        error = _Error()
    code = next((detail.errorCode for detail in error.details if detail.errorCode), error.status)
    told = f"{status} {code}".strip()
    if code == "UNREGISTERED":
        return PushAnswer(Verdict.UNREGISTERED, reason=told)
    if status in (401, 403, 429) or status >= 500 or code in OUR_FAULT:
        return PushAnswer(Verdict.LATER, retry_after_s(response.headers), told)
    return PushAnswer(Verdict.REFUSED, reason=told)
