"""A minimal device, for benches that run many in one process and count every byte.

It implements the WebSocket framing of a gateway (whole binary frames, not masked) and no retries: the benches measure
the system without faults. A swarm whose history is judged uses load/device/device.py.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

from sut.protocol import frames as f

Frames = Callable[["Phone", f.ServerFrame], None]


class Phone(asyncio.Protocol):
    """One connection of one device. WELCOME sets `welcomed`; the end of the connection sets `ended`."""

    def __init__(self, device: int, url: str, token: str, on_frame: Frames) -> None:
        self.device = device
        self._url = urlsplit(url)
        self._token = token
        self._on_frame = on_frame
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self.upgraded = False
        self.welcomed = asyncio.Event()
        self.ended = asyncio.Event()
        self.frames: Counter[int] = Counter()
        """Number of received frames, by type."""
        self.bytes: Counter[int] = Counter()
        """Their bytes on the wire, WebSocket header included, by type."""
        self.cursors: dict[int, int] = {}
        """Conversation -> number up to which it was read; the owner updates it."""

    async def connect(self, timeout_s: float) -> None:
        """Connect and wait for WELCOME. Raises OSError, TimeoutError."""
        async with asyncio.timeout(timeout_s):
            loop = asyncio.get_running_loop()
            await loop.create_connection(lambda: self, self._url.hostname or "", self._url.port or 80)
            await self.welcomed.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the upgrade request."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(
            f"GET {self._url.path} HTTP/1.1\r\nHost: {self._url.netloc}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            f"Authorization: Bearer {self._token}\r\n\r\n".encode()
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """Set `ended`, as the connection is gone."""
        self._transport = None
        self.ended.set()

    def send(self, frame: f.ClientFrame) -> None:
        """Send a frame; does nothing if the connection is gone."""
        self.send_bytes(f.encode(frame))

    def send_bytes(self, data: bytes) -> None:
        """Send one binary message, masked with zeros; does nothing if the connection is gone."""
        if self._transport is None:
            return
        size = len(data)
        head = bytes((0x82, 0x80 | size)) if size < 126 else b"\x82\xfe" + size.to_bytes(2, "big")
        self._transport.write(head + bytes(4) + data)

    def close(self) -> None:
        """Abort the connection, if there is one."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Split the stream into messages and handle each."""
        self._buffer += data
        if not self.upgraded:
            head, found, rest = bytes(self._buffer).partition(b"\r\n\r\n")
            if not found:
                return
            if b" 101 " not in head.split(b"\r\n", 1)[0]:
                self.close()
                return
            self.upgraded = True
            self._buffer = bytearray(rest)
        buffer, start = self._buffer, 0
        while (length := _whole(buffer, start)) is not None:
            size, header = length
            end = start + header + size
            if buffer[start] == 0x82:
                payload = bytes(buffer[start + header : end])
                self.frames[payload[0]] += 1
                self.bytes[payload[0]] += header + size
                self.take(payload)
            start = end
        del buffer[:start]

    def take(self, payload: bytes) -> None:
        """Handle one binary message."""
        frame = f.decode_server(payload)
        if isinstance(frame, f.Welcome):
            self.welcomed.set()
        self._on_frame(self, frame)


def _whole(buffer: bytearray, start: int) -> tuple[int, int] | None:
    """Return (payload size, header size) of the message at `start`; None if it is incomplete."""
    if len(buffer) < start + 2:
        return None
    size, header = buffer[start + 1] & 127, 2
    if size >= 126:
        header = 4 if size == 126 else 10
        if len(buffer) < start + header:
            return None
        size = int.from_bytes(buffer[start + 2 : start + header], "big")
    return (size, header) if len(buffer) >= start + header + size else None
