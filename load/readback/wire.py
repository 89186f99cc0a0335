"""A WebSocket to a gateway for one question at a time: an asyncio protocol around sut.protocol.client_socket.

The asyncio client of a library takes several tasks a connection and more CPU than the gateway that answers. A read-back
opens a connection a device, and all of them at once are most of what a run with many devices reads.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from typing import Final, cast

from sut.protocol.client_socket import Address, ClientSocket, address_of

MAX_MESSAGE: Final = 4 << 20
_NORMAL: Final = 1000
CLOSE_S: Final = 0.5
"""Seconds that the gateway may take to end the connection after our close frame."""


class Closed(Exception):
    """The connection ended, or was refused. `code`: of the close frame, or the HTTP status of a refusal; 0: neither."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code


class Wire(asyncio.Protocol):
    """One connection. Make it with `connect`, end it with `close`."""

    def __init__(self, address: Address, token: str) -> None:
        self._web = ClientSocket.dial(address, token, MAX_MESSAGE)
        self._transport: asyncio.Transport | None = None
        self._came: deque[bytes] = deque()
        self._changed: asyncio.Future[None] | None = None
        """What somebody waits for: the next bytes, or the end."""
        self._gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the upgrade request."""
        self._transport = cast("asyncio.Transport", transport)
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        self._came.extend(self._web.receive(data))
        self._flush()
        self._wake()

    def eof_received(self) -> None:
        """The gateway has said all."""
        self.data_received(b"")

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._web.receive(b"")
        self._gone = True
        self._wake()

    def _wake(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    def _flush(self) -> None:
        data = self._web.output()
        if data and self._transport is not None:
            self._transport.write(data)

    async def opened(self) -> None:
        """Wait for the gateway's answer to the upgrade. Raises Closed."""
        while not self._web.open:
            refusal = self._web.refused
            if refusal is not None:
                raise Closed(str(refusal), refusal.status)
            if self._web.close_code is not None:
                raise self._closed()
            await self._change()

    def send(self, payload: bytes) -> None:
        """Send a message. Raises Closed."""
        if not self._web.open:
            raise self._closed()
        self._web.send(payload)
        self._flush()

    async def recv(self) -> bytes:
        """Return the next message. Raises Closed."""
        while not self._came:
            if not self._web.open:
                raise self._closed()
            await self._change()
        return self._came.popleft()

    async def _change(self) -> None:
        if not self._gone:
            self._changed = asyncio.get_running_loop().create_future()
            await self._changed

    def _closed(self) -> Closed:
        code = self._web.close_code
        return Closed("the connection broke" if code is None else f"closed, {code} {self._web.close_reason}", code or 0)

    def close(self) -> None:
        """Say good-bye. The connection ends when the gateway has answered, or after CLOSE_S; nobody waits for that."""
        self._web.close(_NORMAL)
        self._flush()
        if self._transport is not None and not self._gone:
            asyncio.get_running_loop().call_later(CLOSE_S, self._transport.abort)


async def connect(url: str, token: str, *, secure: ssl.SSLContext | None, timeout_s: float) -> Wire:
    """Return an open connection. Raises Closed, OSError, TimeoutError."""
    address = address_of(url)
    wire = Wire(address, token)
    try:
        async with asyncio.timeout(timeout_s):
            await asyncio.get_running_loop().create_connection(
                lambda: wire, address.host, address.port, ssl=secure if address.secure else None
            )
            await wire.opened()
    except BaseException:
        if wire._transport is not None:
            wire._transport.abort()
        raise
    return wire
