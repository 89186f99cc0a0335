"""The TLS connection to APNs ends under the first write of a process, and under every 40th after it.

That is no defect of the chat system by itself.

httpx passes such an error on as it is: ssl.SSLError.
"""

from __future__ import annotations

import ssl
from typing import Any

import httpx

from sut.adapters.push import apns
from sut.deploy.topology import Topology
from sut.services.push.pieces import PushPieces

EVERY = 40
_open_client = apns.client


class Ending(httpx.AsyncClient):
    """Ends under some of the writes."""

    written = 0

    async def post(self, *args: Any, **named: Any) -> httpx.Response:
        self.written += 1
        if self.written % EVERY == 1:
            raise ssl.SSLError(ssl.SSL_ERROR_SSL, "the connection ended under a write")
        return await super().post(*args, **named)


def _client(url: str, *, tls: ssl.SSLContext, timeout_s: float) -> httpx.AsyncClient:
    client = _open_client(url, tls=tls, timeout_s=timeout_s)
    client.__class__ = Ending
    return client


def push(_topology: Topology) -> PushPieces:
    apns.client = _client
    return PushPieces()
