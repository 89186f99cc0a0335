"""Shared by the push providers' adapters: an HTTP/2 client over verified TLS, and the meaning of its errors."""

from __future__ import annotations

import email.utils
import logging
import ssl
import time
from typing import Final

import anyio
import httpx

from sut.ports import PushAnswer, Verdict

CONNECT_S: Final = 3.0
MAX_CONNECTIONS: Final = 4
KEEP_S: Final = 60.0
NO_ANSWER: Final = (httpx.HTTPError, httpx.InvalidURL, anyio.EndOfStream, ssl.SSLError)
"""The exceptions of a push without an answer. httpx wraps most of them, but not what TLS finds while it writes (the
connection has ended meanwhile, a record is broken)."""

logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs each URL, and Apple's hold push tokens


def client(url: str, *, tls: ssl.SSLContext, timeout_s: float) -> httpx.AsyncClient:
    """Return a client for pushes to this URL. It ignores the environment (proxies, .netrc)."""
    return httpx.AsyncClient(
        base_url=url,
        http2=True,
        verify=tls,
        trust_env=False,
        timeout=httpx.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s)),
        limits=httpx.Limits(
            max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS, keepalive_expiry=KEEP_S
        ),
    )


def retry_after_s(response: httpx.Response) -> float:
    """Return the seconds to wait by a Retry-After header, seconds or a date; 0 when there is none."""
    text = response.headers.get("retry-after", "").strip()
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return 0.0


def unreached(error: Exception) -> PushAnswer:
    """Return LATER if only this push got no answer, UNREACHABLE if the connection failed with all pushes on it."""
    reason = f"{type(error).__name__}: {error}".rstrip(": ")
    own = isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout | httpx.PoolTimeout) or "StreamReset" in reason
    return PushAnswer(Verdict.LATER if own else Verdict.UNREACHABLE, reason=reason)
