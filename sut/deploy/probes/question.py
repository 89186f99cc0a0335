"""One question to a service in raw bytes, and the course of the answer: its time, its pieces, or its absence.

This shows the effect of a broken link on an answer without a client library that would retry, reconnect or wait. The
question fits the port: a peer ping, Redis PING with a payload, CQL OPTIONS, Kafka ApiVersions.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from sut.protocol.peer import ANSWER, Hello, Ping, encode

Address = tuple[str, int]

_PAYLOAD: Final = b"x" * 512
"""Long enough to be cut into many pieces."""


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


def ask(role: str, address: Address, timeout_s: float) -> Answer:
    """Ask the port of that role (Service.ports) over a fresh connection, blocking, for at most timeout_s."""
    question = _QUESTIONS[role]
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
            sock.sendall(question.text)
            while time.monotonic() < begun_s + timeout_s:
                sock.settimeout(left_s())
                piece = sock.recv(65536)
                if not piece:
                    return answer("broken")
                received += piece
                pieces.append(len(piece))
                if question.whole(received):
                    return answer("whole")
    except TimeoutError:
        pass
    except OSError:
        return answer("broken")
    return answer("silence")


def _peer_whole(received: bytes) -> bool:
    """Return True if the frame that answers question 1 is complete."""
    place = 0
    while len(received) >= place + 8:
        size, number = struct.unpack_from(">II", received, place)
        if number == 1 | ANSWER:
            return len(received) >= place + 4 + int(size)
        place += 4 + size
    return False


def _framed(header: int, size_at: int) -> Callable[[bytes], bool]:
    """Return a test for answers with a header of `header` bytes that ends, from `size_at` on, with the body's size."""

    def whole(received: bytes) -> bool:
        return len(received) >= header and len(received) >= header + int.from_bytes(received[size_at:header], "big")

    return whole


_QUESTIONS: Final[Mapping[str, _Question]] = {
    "peer": _Question(encode(Hello("probe", 0)) + encode(Ping(), 1), _peer_whole),
    "redis": _Question(
        b"*2\r\n$4\r\nPING\r\n$%d\r\n%b\r\n" % (len(_PAYLOAD), _PAYLOAD),
        lambda received: len(received) >= len(b"$%d\r\n%b\r\n" % (len(_PAYLOAD), _PAYLOAD)),
    ),
    "cql": _Question(struct.pack(">BBhBi", 4, 0, 1, 0x05, 0), _framed(9, 5)),  # OPTIONS, answered by SUPPORTED
    "client": _Question(struct.pack(">ihhih6s", 16, 18, 0, 1, 6, b"petrel"), _framed(4, 0)),  # ApiVersions, version 0
}
