"""A small HTTP/2 server over TLS that can also fail as a provider does. The h2 library does the framing.

What a provider does to its clients is part of it: a response may be late or never come, a stream be reset, the
connection be cut, or closed by GOAWAY, with a word (what came before it is still answered) or without. Every request
is handled by a task of its own.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from hyperframe.frame import GoAwayFrame

MAX_BODY: Final = 64 * 1024
"""Bytes of one request's body; the stream of a longer one is reset."""
HIGH_WATER: Final = 1 << 20


@dataclass(slots=True)
class Request:
    """One request; `body` grows until its stream ends."""

    method: str = ""
    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer. Its body must be small: it has to fit in the peer's window."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    goaway: bool = False
    """Before it GOAWAY, which names this stream: those before it are answered, those after it are not looked at."""


class Harm(Enum):
    """A failure that a connection or stream gets instead of an answer."""

    RESET = "reset"
    """RST_STREAM (REFUSED_STREAM is for requests that were not looked at; this one is INTERNAL_ERROR)."""
    CUT = "cut"
    """The TCP connection is aborted."""
    GOAWAY = "goaway"
    """GOAWAY, then the end of the connection: no answer to what is under way."""
    SILENCE = "silence"
    """No answer to this request, ever; the others on the connection have theirs."""


Handler = Callable[[Request], Awaitable["Response | Harm"]]


class H2Server:
    """One listener and its connections."""

    def __init__(self, handler: Handler, tls: ssl.SSLContext) -> None:
        self._handler = handler
        self._tls = tls
        self._server: asyncio.Server | None = None
        self.connections: set[_Connection] = set()
        self._address = ("", 0)

    async def start(self, host: str, port: int) -> None:
        """Start to listen. Raises OSError."""
        self._address = (host, port)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, host, port, ssl=self._tls, backlog=256)

    async def set_away(self, away: bool) -> None:
        """True: stop listening and cut every connection. False: listen again. Raises OSError."""
        if away:
            self.close()
        elif self._server is None:
            await self.start(*self._address)

    def _accept(self) -> _Connection:
        return _Connection(self._handler, self.connections)

    def close(self) -> None:
        """Stop listening and cut all connections."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in tuple(self.connections):
            connection.cut()


class _Connection(asyncio.Protocol):
    def __init__(self, handler: Handler, connections: set[_Connection]) -> None:
        self._handler = handler
        self._connections = connections
        self._h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._requests: dict[int, Request] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._transport: asyncio.Transport | None = None
        self._last: int | None = None
        """The last stream that is looked at, after GOAWAY."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if transport.get_extra_info("ssl_object").selected_alpn_protocol() != "h2":
            self._transport.abort()
            return
        self._connections.add(self)
        self._h2.initiate_connection()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._connections.discard(self)
        for task in self._tasks.values():
            task.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            events = self._h2.receive_data(data)
            for event in events:
                self._take(event)
        except ProtocolError:
            self.cut()
            return
        self._flush()

    def _take(self, event: object) -> None:
        match event:
            case RequestReceived():
                headers = {str(name): str(value) for name, value in event.headers or ()}
                path = headers.pop(":path", "")
                self._requests[event.stream_id or 0] = Request(headers.pop(":method", ""), path, headers)
            case DataReceived():
                stream = event.stream_id or 0
                self._h2.acknowledge_received_data(event.flow_controlled_length or 0, stream)
                request = self._requests.get(stream)
                if request is not None:
                    request.body += event.data or b""
                    if len(request.body) > MAX_BODY:
                        del self._requests[stream]
                        self._h2.reset_stream(stream, ErrorCodes.ENHANCE_YOUR_CALM)
            case StreamEnded():
                request = self._requests.pop(event.stream_id or 0, None)
                if request is not None and self._looks_at(event.stream_id or 0):
                    self._tasks[event.stream_id or 0] = asyncio.create_task(self._handle(event.stream_id or 0, request))
            case StreamReset():
                self._requests.pop(event.stream_id or 0, None)
                task = self._tasks.pop(event.stream_id or 0, None)
                if task is not None:
                    task.cancel()
                self._end_if_done()
            case ConnectionTerminated():
                self.cut()
            case WindowUpdated() | _:
                pass

    async def _handle(self, stream: int, request: Request) -> None:
        try:
            answer = await self._handler(request)
            if answer is Harm.SILENCE:
                await asyncio.get_running_loop().create_future()
        finally:
            self._tasks.pop(stream, None)
        if self._transport is None:
            return
        try:
            self._answer(stream, answer)
        except ProtocolError:  # the client reset the stream meanwhile
            return
        self._flush()
        self._end_if_done()

    def _looks_at(self, stream: int) -> bool:
        return self._last is None or stream <= self._last

    def _say_goaway(self, last: int) -> None:
        """Past h2, which takes a connection that has said GOAWAY for one that is over."""
        if self._last is None and self._transport is not None:
            self._last = last
            self._flush()
            self._transport.write(GoAwayFrame(last_stream_id=last).serialize())
            for stream in [stream for stream in self._tasks if stream > last]:
                self._tasks.pop(stream).cancel()

    def _end_if_done(self) -> None:
        if self._last is not None and not self._tasks and self._transport is not None:
            self._transport.close()

    def _answer(self, stream: int, answer: Response | Harm) -> None:
        match answer:
            case Harm.CUT:
                self.cut()
            case Harm.GOAWAY:
                self._h2.close_connection()
                self._flush()
                if self._transport is not None:
                    self._transport.close()
            case Harm.RESET:
                self._h2.reset_stream(stream, ErrorCodes.INTERNAL_ERROR)
            case Response(status, body, headers, goaway):
                if goaway:
                    self._say_goaway(stream)
                self._h2.send_headers(stream, [(":status", str(status)), *headers.items()], end_stream=not body)
                if body:
                    self._h2.send_data(stream, body, end_stream=True)

    def cut(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _flush(self) -> None:
        if self._transport is not None and (data := self._h2.data_to_send()):
            self._transport.write(data)
            if self._transport.get_write_buffer_size() > HIGH_WATER:
                self.cut()  # the client does not read
