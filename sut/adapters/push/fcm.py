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

import httpx
import jwt
import msgspec

from sut.adapters.push.http import NO_ANSWER, client, retry_after_s, unreached
from sut.deploy.servers.push_files import ServiceAccount
from sut.ports import Push, PushAnswer, Verdict

SCOPE: Final = "https://www.googleapis.com/auth/firebase.messaging"
GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_S: Final = 3600
SPARE_S: Final = 60.0
"""Seconds before its end from which an access token is not used any more."""
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
        """`timeout_s`: seconds for one push."""
        self._client = client(url, tls=tls, timeout_s=timeout_s)
        self._account = account
        self._path = f"/v1/projects/{account.project_id}/messages:send"
        self._now_s = now_s
        self._access_token = ""
        self._until_s = 0.0
        self._fetching = asyncio.Lock()

    async def push(self, token: str, push: Push) -> PushAnswer:
        """Try once to push; fetch an access token first if there is none."""
        try:
            access_token = await self._token()
            if isinstance(access_token, PushAnswer):
                return access_token
            response = await self._client.post(
                self._path, content=_message(token, push), headers={"authorization": f"Bearer {access_token}",
                                                                    "content-type": "application/json"},
            )  # fmt: skip
        except NO_ANSWER as error:
            return unreached(error)
        if response.status_code == 401 and access_token == self._access_token:
            self._access_token = ""
        return _answer(response)

    async def close(self) -> None:
        """Close the connections to Google."""
        await self._client.aclose()

    async def _token(self) -> str | PushAnswer:
        async with self._fetching:
            if self._access_token and self._now_s() < self._until_s:
                return self._access_token
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
            response = await self._client.post(account.token_uri, data={"grant_type": GRANT, "assertion": assertion})
            try:
                granted = msgspec.json.decode(response.content, type=_Grant)
            except msgspec.DecodeError:
                # Whatever the cause, an operator or time fixes it: pushes wait.
                told = f"no access token: {response.status_code}"
                return PushAnswer(Verdict.LATER, retry_after_s(response), told)
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


def _answer(response: httpx.Response) -> PushAnswer:
    status = response.status_code
    if status == 200:
        return PushAnswer(Verdict.ACCEPTED)
    try:
        error = msgspec.json.decode(response.content, type=_Refusal).error
    except msgspec.DecodeError:
        error = _Error()
    code = next((detail.errorCode for detail in error.details if detail.errorCode), error.status)
    told = f"{status} {code}".strip()
    if code == "UNREGISTERED":
        return PushAnswer(Verdict.UNREGISTERED, reason=told)
    if status in (401, 403, 429) or status >= 500 or code in OUR_FAULT:
        return PushAnswer(Verdict.LATER, retry_after_s(response), told)
    return PushAnswer(Verdict.REFUSED, reason=told)
