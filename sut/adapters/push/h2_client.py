"""An HTTP/2 client that keeps requests apart: each has its own deadline, and none reads for another. Framing is h2's.

A request that misses its deadline affects only itself. Its stream is reset, and its connection gets no new requests;
the other requests in flight there are still answered there.

GOAWAY is handled as the protocol defines it (RFC 9113, 6.8). Requests up to the stream that it names are still
answered. Later ones were not processed, and are sent again on another connection.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, cast
from urllib.parse import urlsplit

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, ResponseReceived, StreamEnded, StreamReset
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings

from sut.adapters.shared.patience import patience

CONNECT_S: Final = 1.5
"""The limit in seconds from dialling to the server's SETTINGS."""
DIAL_AGAIN_S: Final = 0.1
MAX_CONNECTIONS: Final = 4
"""The number of connections that take requests. One suffices unless the server allows few streams."""
MAX_TRIES: Final = 4
"""How often a request that the server did not process is sent, within its one deadline."""
KEEP_S: Final = 60.0
"""The idle time in seconds after which a connection is not used again: a middlebox may have dropped it."""
MAX_ANSWER: Final = 8 * 1024
MAX_STREAM_ID: Final = (1 << 31) - 1_000
_MAX_FRAME: Final = 16_384
_FRAME_HEAD: Final = 9
_GOAWAY: Final = 0x7
_SETTINGS: Final = {
    SettingCodes.ENABLE_PUSH: 0, SettingCodes.MAX_CONCURRENT_STREAMS: 100, SettingCodes.INITIAL_WINDOW_SIZE: 65_535,
    SettingCodes.MAX_HEADER_LIST_SIZE: 65_536,
}  # fmt: skip


class NoAnswer(Exception):
    """The request has no answer. `own`: only this request failed. Otherwise the server cannot be reached now."""

    def __init__(self, reason: str, *, own: bool) -> None:
        super().__init__(reason)
        self.own = own


class Response(NamedTuple):
    """A complete HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class H2Client:
    """Requests to one origin. Belongs to one event loop; connects with the first request."""

    def __init__(self, url: str, *, tls: ssl.SSLContext, timeout_s: float) -> None:
        """`timeout_s`: for one request with its connecting, in seconds.

        Only scheme, host and port of the URL are used.
        """
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 443
        self._authority = parts.netloc
        self._tls = tls
        tls.set_alpn_protocols(["h2"])
        self._timeout_s = timeout_s
        self._usable: list[_Connection] = []
        self._leaving: set[_Connection] = set()
        """Connections with requests in flight that take no new ones."""
        self._dialling: asyncio.Task[None] | None = None
        self._waiting: set[asyncio.Future[None]] = set()

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Response:
        """Send one POST request, and wait for its response within the deadline. Raises NoAnswer.

        Header names must be in lower case.
        """
        fields = [
            (":method", "POST"), (":scheme", "https"), (":authority", self._authority), (":path", path),
            *headers.items(), ("content-length", str(len(body))),
        ]  # fmt: skip
        connection: _Connection | None = None
        try:
            async with patience(self._timeout_s):
                for _ in range(MAX_TRIES):
                    connection = await self._connection(len(body))
                    response = await connection.ask(fields, body)
                    if response is not None:
                        return response
                raise NoAnswer(f"refused without being processed, {MAX_TRIES} times", own=True)
        except TimeoutError:
            if connection is not None:
                connection.retire()
            own = connection is not None or bool(self._usable)
            raise NoAnswer(f"no answer within {self._timeout_s:g} s", own=own) from None

    async def renew(self) -> None:
        """Give up all requests in flight, and start with a new connection."""
        dialling, self._dialling = self._dialling, None
        if dialling is not None:
            dialling.cancel()
        for connection in (*self._usable, *self._leaving):
            connection.cut("the client was closed")
        if dialling is not None:
            await asyncio.wait({dialling})

    async def _connection(self, size: int) -> _Connection:
        """Return a connection that has room for a request of this size now. Raises NoAnswer."""
        while True:
            for connection in tuple(self._usable):
                connection.retire_if_old()
            for connection in self._usable:
                if connection.has_room(size):
                    return connection
            if self._dialling is None and len(self._usable) < MAX_CONNECTIONS:
                self._dialling = asyncio.create_task(self._dial(), name="push dial")
            dialling = self._dialling
            changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.add(changed)
            try:
                await asyncio.wait({changed, *((dialling,) if dialling else ())}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._waiting.discard(changed)
            if dialling is None or not dialling.done():
                continue
            if dialling.cancelled():
                raise NoAnswer("the client was closed", own=True)
            if (error := dialling.exception()) is not None:
                if not self._usable:
                    raise NoAnswer(_words(error), own=False)
                await asyncio.sleep(DIAL_AGAIN_S)  # one of the existing connections will have room

    async def _dial(self) -> None:
        """Add a connection whose server has sent its SETTINGS. Raises OSError, ConnectionError."""
        made: list[_Connection] = []

        def make() -> _Connection:
            made.append(_Connection(self._moved))
            return made[0]

        try:
            async with patience(CONNECT_S):
                _, connection = await asyncio.get_running_loop().create_connection(
                    make, self._host, self._port, ssl=self._tls, server_hostname=self._host
                )
                await connection.settled
            self._usable.append(connection)
        except TimeoutError:
            raise ConnectionError(f"no HTTP/2 connection within {CONNECT_S:g} s") from None
        finally:
            self._dialling = None
            for connection in made:
                if connection not in self._usable:
                    connection.cut("not settled")
            self._wake()

    def _moved(self, connection: _Connection) -> None:
        """React to a change of this connection: it has room, is retired or has ended."""
        if connection.retired and connection in self._usable:
            self._usable.remove(connection)
            self._leaving.add(connection)
        if connection.ended:
            self._leaving.discard(connection)
        self._wake()

    def _wake(self) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)


@dataclass(slots=True, eq=False)
class _Stream:
    """A request in flight. Its answer is None when the server did not process it."""

    answer: asyncio.Future[Response | None]
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)


class _Connection(asyncio.Protocol):
    def __init__(self, moved: Callable[[_Connection], None]) -> None:
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._moved = moved
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._h2.local_settings = Settings(client=True, initial_values=_SETTINGS)
        self._streams: dict[int, _Stream] = {}
        self._transport: asyncio.Transport | None = None
        self._pending = b""
        self._used_s = loop.time()
        self.settled: asyncio.Future[None] = loop.create_future()
        """Done when the server's SETTINGS are known; a ConnectionError when the connection ended before."""
        self.settled.add_done_callback(lambda done: done.cancelled() or done.exception())
        self.retired = False
        """True when the connection takes no new requests."""
        self.ended = False

    # Calls of the client.

    def has_room(self, size: int) -> bool:
        """Return True if a request with a body of this size can be sent now."""
        h2 = self._h2
        window = min(h2.outbound_flow_control_window, h2.remote_settings.initial_window_size)
        return not self.retired and len(self._streams) < h2.remote_settings.max_concurrent_streams and window >= size

    async def ask(self, fields: list[tuple[str, str]], body: bytes) -> Response | None:
        """Send a request and return its response; None when the server did not process it. Needs room.

        Raises NoAnswer.
        """
        number = self._h2.get_next_available_stream_id()
        stream = self._streams[number] = _Stream(self._loop.create_future())
        try:
            self._h2.send_headers(number, fields)
            self._h2.send_data(number, body, end_stream=True)
            self._flush()
            if number >= MAX_STREAM_ID:
                self.retire()
            return await stream.answer
        except H2Error as error:
            raise NoAnswer(f"{type(error).__name__}: {error}", own=True) from None
        finally:
            del self._streams[number]
            self._used_s = self._loop.time()
            if not stream.answer.done() or stream.answer.cancelled():
                self._reset(number, ErrorCodes.CANCEL)
            self._end_if_done()
            self._moved(self)

    def retire(self) -> None:
        """Take no new requests. The connection ends when the last one in flight is answered or given up."""
        if not self.retired:
            self.retired = True
            self._end_if_done()
            self._moved(self)

    def retire_if_old(self) -> None:
        """Retire the connection if it was idle for KEEP_S."""
        if not self._streams and self._loop.time() - self._used_s > KEEP_S:
            self.retire()

    def cut(self, reason: str) -> None:
        """End at once: no request in flight is answered."""
        self._lose(reason)
        if self._transport is not None:
            self._transport.abort()

    # Calls of the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if transport.get_extra_info("ssl_object").selected_alpn_protocol() != "h2":
            self.cut("the server speaks no HTTP/2")
            return
        self._h2.initiate_connection()
        self._flush()

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._frames(data):
                if frame[3] == _GOAWAY:
                    self._goaway(frame)
                    continue
                for event in self._h2.receive_data(frame):
                    self._take(event)
                if not self.settled.done():
                    self.settled.set_result(None)  # a server's first frame is SETTINGS, or h2 refuses it
        except (H2Error, ValueError) as error:
            self.cut(f"{type(error).__name__}: {error}")
            return
        self._flush()
        self._moved(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._lose(f"the connection ended: {_words(exc)}" if exc else "the connection ended")

    # Private helpers.

    def _frames(self, data: bytes) -> Iterator[bytes]:
        """Yield whole frames. h2 accepts nothing after a GOAWAY, so it never sees one. Raises ValueError."""
        self._pending += data
        while len(self._pending) >= _FRAME_HEAD:
            size = int.from_bytes(self._pending[:3], "big")
            if size > _MAX_FRAME:
                raise ValueError(f"a frame of {size} bytes")
            end = _FRAME_HEAD + size
            if len(self._pending) < end:
                return
            frame, self._pending = self._pending[:end], self._pending[end:]
            yield frame

    def _goaway(self, data: bytes) -> None:
        if len(data) < _FRAME_HEAD + 8:
            raise ValueError("a GOAWAY that is too short")
        last = int.from_bytes(data[_FRAME_HEAD : _FRAME_HEAD + 4], "big") & 0x7FFF_FFFF
        for number, stream in self._streams.items():
            if number > last and not stream.answer.done():
                stream.answer.set_result(None)
        self.retire()

    def _take(self, event: object) -> None:
        stream = self._streams.get(getattr(event, "stream_id", None) or 0)
        match event:
            case ResponseReceived() if stream is not None:
                headers = {str(name): str(value) for name, value in event.headers or ()}
                stream.status = int(headers.pop(":status", "0"))
                stream.headers = headers
            case DataReceived():
                self._h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
                if stream is not None:
                    stream.body += event.data or b""
                    if len(stream.body) > MAX_ANSWER:
                        _fail(stream, NoAnswer("an answer that is too long", own=True))
                        self._reset(event.stream_id or 0, ErrorCodes.ENHANCE_YOUR_CALM)
            case StreamEnded() if stream is not None and not stream.answer.done():
                stream.answer.set_result(Response(stream.status, stream.headers, bytes(stream.body)))
            case StreamReset() if stream is not None and not stream.answer.done():
                if event.error_code == ErrorCodes.REFUSED_STREAM:
                    stream.answer.set_result(None)
                else:
                    _fail(stream, NoAnswer(f"StreamReset: error {event.error_code}", own=True))
            case _:
                pass

    def _reset(self, number: int, code: ErrorCodes) -> None:
        try:
            self._h2.reset_stream(number, code)
        except H2Error:
            return
        self._flush()

    def _end_if_done(self) -> None:
        if self.retired and not self._streams and self._transport is not None:
            self._transport.close()

    def _lose(self, reason: str) -> None:
        self.retired = self.ended = True
        if not self.settled.done():
            self.settled.set_exception(ConnectionError(reason))
        for stream in self._streams.values():
            _fail(stream, NoAnswer(reason, own=False))
        self._moved(self)

    def _flush(self) -> None:
        if self._transport is not None and (data := self._h2.data_to_send()):
            self._transport.write(data)


def _fail(stream: _Stream, error: NoAnswer) -> None:
    if not stream.answer.done():
        stream.answer.set_exception(error)


def _words(error: BaseException) -> str:
    """Return the error as one line."""
    return f"{type(error).__name__}: {error}".rstrip(": ")
