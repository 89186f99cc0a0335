"""Persistent TCP links between our own processes: frames, correlation, deadlines, bounded queues.

A PeerServer accepts; a PeerLink dials, and dials again after a failure. Both ends first send Hello with the
incarnation of their process, so that a restarted process is not mistaken for the one before. Then both prove that they
know the system's secret; a peer that has not done so within HELLO_S is dropped. A silent link is pinged, and dropped
when no answer comes: a partition that swallows packets looks like that. Frames sent on a link that broke may be lost;
callers that need to know use on_down and on_up.

All time limits here grow with what the own loop is late, and those of questions with what answers of the same peer took
lately. A dropped link and a repeated question cost a busy machine more than the wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import secrets
import socket
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, cast

from sut.adapters.shared.patience import patience
from sut.ports import SutError, Unavailable
from sut.process.lateness import Recent, limit_s, slack_s
from sut.process.metrics import catalogue, instruments
from sut.protocol.frames import FrameError
from sut.protocol.peer import (
    ANSWER,
    MAX_PEER_FRAME,
    MAX_UNPROVEN_FRAME,
    NONCE_SIZE,
    Hello,
    PeerFrame,
    Ping,
    Pong,
    Proof,
    decode,
    encode,
    is_proven,
    proof,
)

CONNECT_TIMEOUT_S: Final = 1.0
PING_AFTER_S: Final = 1.0
"""A dialled link that heard nothing for this long is pinged."""
DEAD_AFTER_S: Final = 3.0
"""A link, dialled or accepted, that heard nothing for this long is dropped (the dialling end pings each second)."""
SEND_BUFFER: Final = 8 << 20
"""Bytes that may wait in a link; beyond it `send` refuses."""
MAX_ASKED: Final = 10_000
"""Questions that may wait for an answer on one link."""
MAX_GIVEN_UP: Final = 100
"""Questions of one link that were given up, and whose late answers are still measured."""
BACKOFF_S: Final = (0.05, 0.5)
"""Range of the jittered wait before dialling again."""
AGAIN_S: Final = (0.0, 0.05)
"""The same after the loss of a link that had lived for PING_AFTER_S. Its peer may be there all the same, or be known to
be dead at once."""
HELLO_S: Final = 3.0
"""An accepted connection that has not proven itself after this long is dropped."""
MAX_UNPROVEN: Final = 256
"""Accepted connections that have not proven themselves. One more costs the oldest of them its place."""
PROBE: Final = "probe"
"""The node that those name who ask from outside (`ping`, `Asker`). Only to it an answer to Ping brings the counters."""
STALL_S: Final = 1.5
"""A watch that wakes this late was itself stopped (SIGSTOP, a busy machine), so silence proves nothing."""


class PortInUse(SutError):
    """A listener's address is taken; the text names it."""


class PeerConnection(asyncio.Protocol):
    """One end of one link, dialled or accepted."""

    def __init__(
        self,
        hello: Hello,
        secret: bytes,
        *,
        dials: bool,
        on_hello: Callable[[PeerConnection], None],
        on_frame: Callable[[PeerConnection, int, PeerFrame], None],
        on_lost: Callable[[PeerConnection], None],
    ) -> None:
        """`hello`: without a nonce. `on_hello`: called once the other end has proven that it knows the secret."""
        self._hello = Hello(hello.node, hello.incarnation, secrets.token_bytes(NONCE_SIZE))
        self._secret = secret
        self._dials = dials
        self._other: Hello | None = None
        self._on_hello = on_hello
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._unwritten: list[bytes] = []
        self._unwritten_size = 0
        self.node = ""
        """Name of the other end; "" until it has proven itself."""
        self.incarnation = 0
        self.heard_s = time.monotonic()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one without being a subclass
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._transport.write(encode(self._hello))

    def data_received(self, data: bytes) -> None:
        """Cut the stream into frames; drop a peer that breaks the format."""
        self.heard_s = time.monotonic()
        self._buffer += data
        try:
            if not self.node and int.from_bytes(self._buffer[:4], "big") > MAX_UNPROVEN_FRAME:
                raise FrameError("too long a frame of a stranger")
            for correlation, frame in _cut(self._buffer):
                self._take(correlation, frame)
        except FrameError:
            self.abort()

    def _take(self, correlation: int, frame: PeerFrame) -> None:
        if self.node:
            self._on_frame(self, correlation, frame)
        elif self._other is None:
            if not isinstance(frame, Hello) or not frame.node:
                raise FrameError("a link begins with Hello")
            self._other = frame
            if self._transport is not None:
                self._transport.write(encode(Proof(proof(self._secret, self._hello, frame, dials=self._dials))))
        elif is_proven(frame, self._secret, own=self._hello, other=self._other, dials=self._dials):
            self.node, self.incarnation = self._other.node, self._other.incarnation
            self._on_hello(self)
        else:
            raise FrameError("no proof of the secret")

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the owner, once."""
        self._transport = None
        self._on_lost(self)

    def send(self, frame: PeerFrame, correlation: int = 0) -> bool:
        """Send a frame. False: the link is down or its buffer is full, and the frame was not taken.

        Frames of one turn of the event loop share a system call: here, in a proxy between, and at the other end.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        if transport.get_write_buffer_size() + self._unwritten_size > SEND_BUFFER:
            return False
        data = encode(frame, correlation)
        if not self._unwritten:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unwritten.append(data)
        self._unwritten_size += len(data)
        return True

    def _flush(self) -> None:
        unwritten, self._unwritten, self._unwritten_size = self._unwritten, [], 0
        if self._transport is not None:
            self._transport.write(b"".join(unwritten))

    def abort(self) -> None:
        """Drop the link at once; connection_lost follows."""
        if self._transport is not None:
            self._transport.abort()


def _ignore(_connection: PeerConnection) -> None:
    pass


class PeerServer:
    """Accepts links and answers Ping itself.

    `on_frame(connection, correlation, frame)` gets everything else and must not block; an answer goes out by
    `connection.send(answer, correlation | ANSWER)`.
    """

    def __init__(
        self,
        *,
        node: str,
        incarnation: int,
        secret: bytes = b"",
        on_frame: Callable[[PeerConnection, int, PeerFrame], None],
        stats: Callable[[], dict[str, float]] = dict,
        on_up: Callable[[PeerConnection], None] = _ignore,
        on_down: Callable[[PeerConnection], None] = _ignore,
    ) -> None:
        """`secret`: what each end of a link proves to know; the same in the whole system (`Topology.peer_secret`)."""
        self._hello = Hello(node, incarnation)
        self._secret = secret
        self._on_frame = on_frame
        self._stats = stats
        self._on_up = on_up
        self._on_down = on_down
        self._server: asyncio.Server | None = None
        self._watch: asyncio.Task[None] | None = None
        self.connections: set[PeerConnection] = set()
        self._unproven: dict[PeerConnection, float] = {}
        """Accepted when, the oldest first."""

    async def start(self, host: str, port: int) -> None:
        """Start to listen. Raises PortInUse."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(self._accept, host, port, backlog=512)
        except OSError as error:
            raise PortInUse(f"{self._hello.node}: cannot listen on {host}:{port}: {error.strerror}") from None
        self._watch = asyncio.create_task(self._drop_silent())
        catalogue.SOURCES.append(self._stats)

    def _accept(self) -> PeerConnection:
        connection = PeerConnection(
            self._hello, self._secret, dials=False, on_hello=self._up, on_frame=self._frame, on_lost=self._lost
        )
        if len(self._unproven) >= MAX_UNPROVEN:
            oldest = next(iter(self._unproven))
            del self._unproven[oldest]
            oldest.abort()
        self._unproven[connection] = time.monotonic()
        return connection

    def _up(self, connection: PeerConnection) -> None:
        self._unproven.pop(connection, None)
        self.connections.add(connection)
        self._on_up(connection)

    def _lost(self, connection: PeerConnection) -> None:
        self._unproven.pop(connection, None)
        if connection in self.connections:
            self.connections.discard(connection)
            self._on_down(connection)

    def _frame(self, connection: PeerConnection, correlation: int, frame: PeerFrame) -> None:
        if isinstance(frame, Ping):
            stats = self._stats() if connection.node == PROBE else {}  # other peers want a sign of life, often
            pong = Pong(self._hello.node, self._hello.incarnation, stats)
            connection.send(pong, correlation | ANSWER)
        else:
            self._on_frame(connection, correlation, frame)

    async def _drop_silent(self) -> None:
        while True:
            started_s = time.monotonic()
            await asyncio.sleep(PING_AFTER_S / 2)
            now_s = time.monotonic()
            if now_s - started_s > STALL_S:
                continue
            slack = slack_s()
            for connection in [c for c in self.connections if now_s - c.heard_s > DEAD_AFTER_S + slack]:
                connection.abort()
            for connection in [c for c, since_s in self._unproven.items() if now_s - since_s > HELLO_S + slack]:
                connection.abort()

    async def close(self) -> None:
        """Stop listening and drop all links."""
        if self._stats in catalogue.SOURCES:
            catalogue.SOURCES.remove(self._stats)
        if self._watch is not None:
            self._watch.cancel()
        if self._server is not None:
            self._server.close()
        for connection in [*self.connections, *self._unproven]:
            connection.abort()


class PeerLink:
    """Dials one peer and keeps the link up: reconnects for ever with a bounded, jittered wait."""

    def __init__(
        self,
        *,
        node: str,
        incarnation: int,
        target: str,
        address: tuple[str, int],
        secret: bytes = b"",
        on_frame: Callable[[PeerFrame], None] | None = None,
        on_up: Callable[[], None] | None = None,
        on_down: Callable[[], None] | None = None,
    ) -> None:
        """`secret`: as the target's PeerServer has it."""
        self.target = target
        self.refused = False
        """True if the last dial was refused, so nobody listens there. A silent peer does not refuse."""
        self.ups = 0
        """How often the link came up."""
        self._hello = Hello(node, incarnation)
        self._secret = secret
        self._address = address
        self._on_frame = on_frame
        self._on_up = on_up
        self._on_down = on_down
        self._connection: PeerConnection | None = None
        self._lost = asyncio.Event()
        self._asked: dict[int, asyncio.Future[PeerFrame]] = {}
        self._given_up: OrderedDict[int, float] = OrderedDict()
        """Questions whose answer was not awaited any longer -> when they were asked."""
        self._took = Recent()
        """Seconds that answers took."""
        self._next = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        instruments.opened(self)
        self._task = asyncio.create_task(self._keep_up())

    async def close(self) -> None:
        instruments.closed(self)
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    @property
    def up(self) -> bool:
        """True while both ends have said Hello on the present connection, and proven that they know the secret."""
        return self._connection is not None

    @property
    def life(self) -> int:
        """A number that changes each time the link comes up or goes down; 0 while it is down."""
        return self.ups if self.up else 0

    @property
    def peer_incarnation(self) -> int:
        """The incarnation of the process at the other end; 0 while the link is down."""
        return self._connection.incarnation if self._connection is not None else 0

    @property
    def heard_s(self) -> float:
        """When bytes last came, on the monotonic clock; minus infinity while the link is down."""
        return self._connection.heard_s if self._connection is not None else -math.inf

    def send(self, frame: PeerFrame) -> bool:
        """Send a one-way frame. False: the link is down or full. True does not promise that it arrives."""
        return self._connection is not None and self._connection.send(frame)

    async def ask(self, frame: PeerFrame, timeout_s: float) -> PeerFrame:
        """Send a question and return its answer. Raises Unavailable: link down, full or broken, or answer too late.

        A peer whose answers came later than `timeout_s` gets twice the time that they took, at most MAX_SLACK_S more.
        """
        if len(self._asked) >= MAX_ASKED:
            instruments.unanswered(self.target)
            raise Unavailable(f"{self.target}: {MAX_ASKED} questions wait already")
        self._next = self._next % (ANSWER - 1) + 1
        correlation = self._next
        if self._connection is None or not self._connection.send(frame, correlation):
            instruments.unanswered(self.target)
            raise Unavailable(f"{self.target}: link is down")
        future: asyncio.Future[PeerFrame] = asyncio.get_running_loop().create_future()
        self._asked[correlation] = future
        asked_s = time.monotonic()
        patience_s = limit_s(timeout_s, self._took.at(asked_s)) + slack_s()
        try:
            async with asyncio.timeout(patience_s):
                answer = await future
        except TimeoutError:
            if not future.done() or future.cancelled():  # else it came together with the end of the time
                self._gave_up(correlation, asked_s)
                instruments.unanswered(self.target)
                raise Unavailable(f"{self.target}: no answer in {patience_s:.1f} s") from None
            answer = future.result()
        finally:
            self._asked.pop(correlation, None)
        self._answered(asked_s)
        instruments.answered(self.target, time.monotonic() - asked_s)
        return answer

    def _gave_up(self, correlation: int, asked_s: float) -> None:
        self._given_up[correlation] = asked_s
        if len(self._given_up) > MAX_GIVEN_UP:
            self._given_up.popitem(last=False)

    def _answered(self, asked_s: float) -> None:
        now_s = time.monotonic()
        self._took.note(now_s - asked_s, now_s)

    async def _keep_up(self) -> None:
        connection: PeerConnection | None = None
        try:
            while True:
                self._lost.clear()
                connection = await self._dial()
                began_s = time.monotonic()
                if connection is not None:
                    await self._watch(connection)
                lived = time.monotonic() - began_s > PING_AFTER_S
                await asyncio.sleep(random.uniform(*(AGAIN_S if lived else BACKOFF_S)))
        finally:
            if connection is not None:
                connection.abort()
                self._down()

    async def _dial(self) -> PeerConnection | None:
        hello = asyncio.Event()

        def lost(_connection: PeerConnection) -> None:
            hello.set()
            self._lost.set()

        loop = asyncio.get_running_loop()
        connection = PeerConnection(
            self._hello,
            self._secret,
            dials=True,
            on_hello=lambda _c: hello.set(),
            on_frame=self._frame,
            on_lost=lost,
        )
        try:
            async with patience(CONNECT_TIMEOUT_S):
                await loop.create_connection(lambda: connection, *self._address)
                await hello.wait()
        except (OSError, TimeoutError) as error:
            self.refused = isinstance(error, ConnectionRefusedError)
            connection.abort()
            return None
        if not connection.node or self._lost.is_set():
            return None
        if connection.node != self.target:  # another system's process took over the port
            connection.abort()
            return None
        self._connection, self.refused = connection, False
        self.ups += 1
        if self._on_up is not None:
            self._on_up()
        return connection

    async def _watch(self, connection: PeerConnection) -> None:
        while not self._lost.is_set():
            started_s = time.monotonic()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PING_AFTER_S / 2):
                    await self._lost.wait()
            now_s = time.monotonic()
            if now_s - started_s > STALL_S:
                connection.heard_s = now_s
            silent_s = now_s - connection.heard_s
            if silent_s > DEAD_AFTER_S + slack_s():
                connection.abort()
                break
            if silent_s > PING_AFTER_S / 2:
                connection.send(Ping())
        self._down()

    def _down(self) -> None:
        if self._connection is None:
            return
        self._connection = None
        self._given_up.clear()
        for future in self._asked.values():
            if not future.done():
                future.set_exception(Unavailable(f"{self.target}: link broke"))
        if self._on_down is not None:
            self._on_down()

    def _frame(self, _connection: PeerConnection, correlation: int, frame: PeerFrame) -> None:
        if correlation & ANSWER:
            future = self._asked.get(correlation ^ ANSWER)
            if future is not None and not future.done():
                future.set_result(frame)
            elif (asked_s := self._given_up.pop(correlation ^ ANSWER, None)) is not None:
                self._answered(asked_s)
        elif self._on_frame is not None and not isinstance(frame, Pong):
            self._on_frame(frame)


def ping(host: str, port: int, timeout_s: float, secret: bytes = b"") -> Pong:
    """Ping a process over a fresh connection and return its answer. Blocks. Raises Unavailable. For outside probes."""
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as sock:
            return _ask(sock, secret, time.monotonic() + timeout_s)
    except (OSError, FrameError) as error:
        raise Unavailable(f"{host}:{port}: {error}") from None


def holds(host: str, port: int, timeout_s: float, secret: bytes = b"", *, size: int) -> bool:
    """Return whether a process takes all but the last byte of a frame of `size` bytes into its memory.

    One that cannot breaks the link. Blocks, up to `timeout_s` for each step. Raises Unavailable if it does not even
    answer a ping. For outside probes.
    """
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as sock:
            _ask(sock, secret, time.monotonic() + timeout_s)
            with contextlib.suppress(ConnectionError):
                sock.sendall(size.to_bytes(4, "big") + bytes(size - 1))
                sock.settimeout(timeout_s)
                return _is_open(sock)
            return False
    except (OSError, FrameError) as error:
        raise Unavailable(f"{host}:{port}: {error}") from None


def _ask(sock: socket.socket, secret: bytes, deadline_s: float) -> Pong:
    """Return the answer to a ping. Raises OSError, FrameError."""
    asker = Asker(secret)
    sock.sendall(asker.opening)
    while asker.pong is None:
        sock.settimeout(max(0.001, deadline_s - time.monotonic()))
        data = sock.recv(65536)
        if not data:
            raise ConnectionResetError("closed")
        sock.sendall(asker.hear(data))
    return asker.pong


def _is_open(sock: socket.socket) -> bool:
    """Return False if the other end closes the connection within the socket's time limit. Raises ConnectionError."""
    try:
        return bool(sock.recv(1))
    except TimeoutError:
        return True


class Asker:
    """One ping to a process in bytes, for those who have a socket of their own."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._hello = Hello(PROBE, 0, secrets.token_bytes(NONCE_SIZE))
        self._other: Hello | None = None
        self._proven = False
        self._stream = bytearray()
        self.opening = encode(self._hello)
        """The bytes to send first."""
        self.pong: Pong | None = None
        """The answer, once it is there."""

    def hear(self, data: bytes) -> bytes:
        """Take what came. Returns what is to be sent now. Raises FrameError, also at an end without the secret."""
        self._stream += data
        answer = b""
        for correlation, frame in _cut(self._stream):
            if self._other is None:
                if not isinstance(frame, Hello):
                    raise FrameError("a link begins with Hello")
                self._other = frame
                answer = encode(Proof(proof(self._secret, self._hello, frame, dials=True))) + encode(Ping(), 1)
            elif not self._proven:
                self._proven = is_proven(frame, self._secret, own=self._hello, other=self._other, dials=True)
                if not self._proven:
                    raise FrameError("no proof of the secret")
            elif correlation == 1 | ANSWER and isinstance(frame, Pong):
                self.pong = frame
        return answer


def _cut(stream: bytearray) -> list[tuple[int, PeerFrame]]:
    """Remove the complete frames from the start of the stream and return them. Raises FrameError."""
    frames: list[tuple[int, PeerFrame]] = []
    start, end = 0, len(stream)
    while end - start >= 4:
        size = int.from_bytes(stream[start : start + 4], "big")
        if not 4 <= size <= MAX_PEER_FRAME:
            raise FrameError(f"peer frame of {size} bytes")
        if end - start - 4 < size:
            break
        frames.append(decode(bytes(stream[start + 4 : start + 4 + size])))
        start += 4 + size
    del stream[:start]
    return frames
