"""One question to a service in raw bytes, and the course of the answer: its time, its pieces, or its absence.

This shows the effect of a broken link on an answer without a client library that would retry, reconnect or wait. The
question fits the port: a peer ping, Redis PING with a payload (both after a login), CQL OPTIONS, Kafka ApiVersions, a
gateway's health by HTTP, any page of another system. TLS is begun before it, where the server speaks it; its own pieces
do not count.
"""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from sut.deploy.logins import Login
from sut.deploy.topology import Topology
from sut.process.peer import Asker
from sut.protocol.frames import FrameError
from sut.protocol.handshake import HEALTH_PATH

Address = tuple[str, int]

_PAYLOAD: Final = b"x" * 512
"""Long enough to be cut into many pieces, and to take a while on a narrow link."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The result of a question."""

    how: Literal["whole", "silence", "broken"]
    """broken: refused, reset or closed before the answer was whole."""
    took_s: float
    pieces: tuple[int, ...] = ()
    """Sizes in bytes of the reads, in order of arrival."""

    def __str__(self) -> str:
        if self.how == "whole":
            return f"answered after {self.took_s * 1000:.0f} ms in {len(self.pieces)} pieces"
        return f"no answer in {self.took_s:.1f} s" if self.how == "silence" else "the connection was broken"


@dataclass(frozen=True, slots=True)
class _Question:
    text: bytes
    whole: Callable[[bytes], bool]
    """Returns True if these bytes are the whole answer."""
    more: Callable[[bytes], bytes] = lambda _piece: b""
    """Returns what to send after this piece of the answer. May raise FrameError."""


def ask(role: str, address: Address, timeout_s: float, topology: Topology | None = None) -> Answer:
    """Ask the port of that role (Service.ports) over a fresh connection, blocking, for at most timeout_s.

    `topology`: whose secrets are shown, at a Redis and at our own processes.
    """
    question = _question(role, topology)
    login = topology.login(_SERVERS[role]) if topology is not None and role in _SERVERS else None
    way = _Plain() if login is None or login.tls is None else _Secured(login.tls.context(address))
    begun_s = time.monotonic()
    pieces: list[int] = []
    received = b""

    def left_s() -> float:
        return max(0.001, begun_s + timeout_s - time.monotonic())

    def answer(how: Literal["whole", "silence", "broken"]) -> Answer:
        return Answer(how=how, took_s=time.monotonic() - begun_s, pieces=tuple(pieces))

    try:
        with socket.create_connection(address, left_s()) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.sendall(way.send(question.text))
            while time.monotonic() < begun_s + timeout_s:
                sock.settimeout(left_s())
                piece = sock.recv(65536)
                if not piece:
                    return answer("broken")
                if way.open:
                    pieces.append(len(piece))
                told, answered = way.receive(piece)
                received += told
                sock.sendall(answered + way.send(question.more(told)))
                if question.whole(received):
                    return answer("whole")
    except TimeoutError:
        pass
    except (OSError, FrameError):
        return answer("broken")
    return answer("silence")


def size(role: str) -> int:
    """Return the bytes of the question to a port of that role."""
    return len(_question(role, None).text)


class _Plain:
    """A connection without TLS."""

    open: bool = True

    def send(self, text: bytes) -> bytes:
        """Return what to write to the socket to send this."""
        return text

    def receive(self, piece: bytes) -> tuple[bytes, bytes]:
        """Return what these bytes of the socket say, and what to write to it because of them."""
        return piece, b""


class _Secured(_Plain):
    """A connection with TLS on two buffers, so that the pieces of the socket can be seen."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.open = False
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out)
        self._waiting = b""

    def send(self, text: bytes) -> bytes:
        """Return what to write, encrypted. Before TLS is open the text waits, and TLS begins. Raises SSLError."""
        self._waiting += text
        return self._go_on()

    def receive(self, piece: bytes) -> tuple[bytes, bytes]:
        """Return what these bytes say, decrypted, and what to write because of them. Raises SSLError."""
        self._in.write(piece)
        answered = self._go_on()
        told = b""
        try:
            while self.open and (part := self._tls.read(65536)):
                told += part
        except ssl.SSLWantReadError:
            pass
        return told, answered + self._out.read()

    def _go_on(self) -> bytes:
        try:
            if not self.open:
                self._tls.do_handshake()
                self.open = True
            if self._waiting:
                self._tls.write(self._waiting)
                self._waiting = b""
        except ssl.SSLWantReadError:
            pass
        return self._out.read()


def _question(role: str, topology: Topology | None) -> _Question:
    if role == "peer":
        asker = Asker(topology.peer_secret if topology is not None else b"")
        return _Question(asker.opening, lambda _received: asker.pong is not None, asker.hear)
    if role == "redis":
        return _redis(topology.redis_login("operator") if topology is not None else None)
    return _QUESTIONS[role]


def _redis(login: Login | None) -> _Question:
    """Make a PING with a payload, after the login."""
    answer = b"$%d\r\n%b\r\n" % (len(_PAYLOAD), _PAYLOAD)
    text = _command(b"PING", _PAYLOAD)
    if login is not None and login.password:
        words = [word.encode() for word in (login.user, login.password) if word]
        text, answer = _command(b"AUTH", *words) + text, b"+OK\r\n" + answer
    return _Question(text, lambda received: len(received) >= len(answer))


def _command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def _framed(header: int, size_at: int) -> Callable[[bytes], bool]:
    """Return a test for answers with a header of `header` bytes that ends, from `size_at` on, with the body's size."""

    def whole(received: bytes) -> bool:
        return len(received) >= header and len(received) >= header + int.from_bytes(received[size_at:header], "big")

    return whole


_SERVERS: Final[Mapping[str, str]] = {"client": "kafka", "cql": "cassandra", "redis": "redis"}
"""The kind of server behind a port of this role, if it may be somebody else's."""
_QUESTIONS: Final[Mapping[str, _Question]] = {
    "cql": _Question(struct.pack(">BBhBi", 4, 0, 1, 0x05, 0), _framed(9, 5)),  # OPTIONS, answered by SUPPORTED
    "ws": _Question(
        b"GET %b HTTP/1.1\r\nHost: gateway\r\nX-Padding: %b\r\n\r\n" % (HEALTH_PATH.encode(), 2 * _PAYLOAD),
        lambda received: received.endswith(b"ok\n"),
    ),
    "http": _Question(  # any status will do; the head is the answer
        b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        lambda received: b"\r\n\r\n" in received,
    ),
    "client": _Question(struct.pack(">ihhih6s", 16, 18, 0, 1, 6, b"petrel"), _framed(4, 0)),  # ApiVersions, version 0
}
