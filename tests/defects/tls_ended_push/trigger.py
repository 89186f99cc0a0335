"""The TLS connection to a push provider ends under the first push of a process, and under every 200th after it.

That is no defect of the chat system by itself. The event loop then hands the connection its error: ssl.SSLError.
"""

from __future__ import annotations

import ssl

from sut.adapters.push import h2_client
from sut.adapters.push.h2_client import Response
from sut.deploy.topology import Topology
from sut.services.push.pieces import PushPieces

EVERY = 200
"""Seldom: a push that is under way at an end may have been accepted, and goes again. None is to go three times."""


class Ending(h2_client._Connection):
    """Ends under some of the requests."""

    asked = 0

    async def ask(self, fields: list[tuple[str, str]], body: bytes) -> Response | None:
        Ending.asked += 1
        if Ending.asked % EVERY == 1:
            self._loop.call_soon(self._end)
        return await super().ask(fields, body)

    def _end(self) -> None:
        if self._transport is not None:
            self._transport.abort()
        self.connection_lost(ssl.SSLError(ssl.SSL_ERROR_SSL, "the connection ended under a write"))


def push(_topology: Topology) -> PushPieces:
    h2_client._Connection = Ending  # type: ignore[misc]
    return PushPieces()
