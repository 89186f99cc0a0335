"""A WebSocket to a gateway for one question at a time: an asyncio protocol around the sans-I/O client of `websockets`.

That library's own asyncio client takes several tasks a connection and more CPU than the gateway that answers. A
read-back opens a connection a device, and all of them at once are most of what a run with many devices reads.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from typing import Final, cast

from websockets.client import ClientProtocol
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import OPEN
from websockets.uri import WebSocketURI, parse_uri

MAX_MESSAGE: Final = 4 << 20
CLOSE_S: Final = 0.5
"""Seconds that the gateway may take to end the connection after our close frame."""


class Closed(Exception):
    """The connection ended, or was refused. `code`: of the close frame, or the HTTP status of a refusal; 0: neither."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code


class Wire(asyncio.Protocol):
    """One connection. Make it with `connect`, end it with `close`."""

    def __init__(self, address: WebSocketURI, token: str) -> None:
        self._web = ClientProtocol(address, max_size=MAX_MESSAGE)
        self._token = token
        self._transport: asyncio.Transport | None = None
        self._came: deque[bytes] = deque()
        self._fragments: list[bytes] = []
        self._changed = asyncio.Event()
        self._gone = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the upgrade request."""
        self._transport = cast("asyncio.Transport", transport)
        request = self._web.connect()
        request.headers["Authorization"] = f"Bearer {self._token}"
        self._web.send_request(request)
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        self._web.receive_data(data)
        self._hear()

    def eof_received(self) -> None:
        """The gateway has said all."""
        self._web.receive_eof()
        self._hear()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        if self._web.state is OPEN:
            self._web.receive_eof()
        self._gone.set()
        self._changed.set()

    def _hear(self) -> None:
        for event in self._web.events_received():
            if isinstance(event, Frame) and event.opcode in (Opcode.BINARY, Opcode.CONT):
                self._fragments.append(bytes(event.data))
                if event.fin:
                    self._came.append(b"".join(self._fragments))
                    self._fragments.clear()
        self._flush()
        self._changed.set()

    def _flush(self) -> None:
        data = b"".join(self._web.data_to_send())
        if data and self._transport is not None:
            self._transport.write(data)

    async def opened(self) -> None:
        """Wait for the gateway's answer to the upgrade. Raises Closed."""
        while self._web.state is not OPEN:
            refusal = self._web.handshake_exc
            if refusal is not None:
                status = getattr(getattr(refusal, "response", None), "status_code", 0)
                raise Closed(str(refusal), status)
            await self._change()

    def send(self, payload: bytes) -> None:
        """Send a message. Raises Closed."""
        if self._web.state is not OPEN:
            raise self._closed()
        self._web.send_binary(payload)
        self._flush()

    async def recv(self) -> bytes:
        """Return the next message. Raises Closed."""
        while not self._came:
            if self._web.state is not OPEN:
                raise self._closed()
            await self._change()
        return self._came.popleft()

    async def _change(self) -> None:
        if self._gone.is_set() and self._web.state is not OPEN and self._web.handshake_exc is None:
            raise self._closed()
        self._changed.clear()
        await self._changed.wait()

    def _closed(self) -> Closed:
        frame = self._web.close_rcvd
        return Closed(f"closed, {frame.code} {frame.reason}" if frame else "the connection broke",
                      frame.code if frame else 0)  # fmt: skip

    async def close(self) -> None:
        """Say good-bye and wait a little for the end."""
        if self._web.state is OPEN:
            self._web.send_close(CloseCode.NORMAL_CLOSURE)
            self._flush()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._gone.wait()
        except TimeoutError:
            pass
        finally:
            if self._transport is not None:
                self._transport.abort()


async def connect(url: str, token: str, *, secure: ssl.SSLContext | None, timeout_s: float) -> Wire:
    """Return an open connection. Raises Closed, OSError, TimeoutError."""
    address = parse_uri(url)
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
