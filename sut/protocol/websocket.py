"""The server's half of RFC 6455 as a codec: bytes in, messages out. Nothing here does I/O.

It is small on purpose. A gateway holds tens of thousands of connections, nearly all idle. A device sends one short
binary message at a time. An idle reader is three words and holds no buffer.

It refuses what is not needed: text (1003), extensions, and any frame beyond the size limit. The limit is checked
against the header, before any payload is kept. permessage-deflate is never agreed to. A body is about 150 B of
ciphertext, which does not compress, and a compression window costs tens of KB per connection.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import ClassVar, Final, NamedTuple

from sut.protocol.frames import MAX_FRAME, Close


class Op(IntEnum):
    """WebSocket opcodes (RFC 6455)."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


CLOSE_BYTE: Final = 0x80 | Op.CLOSE
"""The first byte of a close frame."""
BINARY_BYTE: Final = 0x80 | Op.BINARY
"""The first byte of a whole message."""
NO_STATUS: Final = 1005
"""Stands for a close frame without a code; never on the wire."""
INVALID_DATA: Final = 1007
"""The close code for a close reason that is not UTF-8."""
MAX_CONTROL: Final = 125
MAX_REASON: Final = MAX_CONTROL - 2


class Received(NamedTuple):
    """A whole message (BINARY) or a control frame, unmasked."""

    op: int
    payload: bytes


class Violation(NamedTuple):
    """The peer broke the protocol: close with this code. Later input is not read."""

    code: int
    reason: str


_FIN: Final = 0x80
_RSV: Final = 0x70
_MASKED: Final = 0x80
_BINARY: Final = int(Op.BINARY)  # plain integers: the lookup of an enum member is slow
_CLOSE: Final = int(Op.CLOSE)
_BINARY_WHOLE: Final = _FIN | _BINARY
_OPS: Final = frozenset(map(int, Op))


class FrameReader:
    """Splits the masked bytes of a client into messages. One per connection; feed it every chunk, in order.

    It holds at most one unfinished frame and one unfinished message, together below twice `limit` and a header.
    """

    __slots__ = ("_ended", "_limit", "_message", "_pending", "frames")
    _MASK_BIT: ClassVar[int] = _MASKED
    """What the mask bit of each frame must be."""

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._limit = limit
        self.frames = 0
        """Cut so far, fragments included."""
        self._pending = b""  # the unfinished frame at the end of the stream
        self._message: bytearray | None = None  # of an unfinished fragmented message
        self._ended = False

    @property
    def held(self) -> int:
        """The number of bytes kept for an unfinished frame or message."""
        return len(self._pending) + (len(self._message) if self._message is not None else 0)

    @property
    def ended(self) -> bool:
        """True after a close frame or a violation: later input is ignored."""
        return self._ended

    @property
    def between(self) -> bool:
        """True between two messages: nothing is unfinished, and more may come."""
        return not self._pending and self._message is None and not self._ended

    def feed(self, data: bytes) -> list[Received | Violation]:
        """Return the messages that these bytes complete, in order. A Violation or a CLOSE is the last one ever
        returned.
        """
        out: list[Received | Violation] = []
        if self._pending:
            data = self._pending + data
        start, end, mask_bit = 0, len(data), self._MASK_BIT
        head = 6 if mask_bit else 2  # two bytes of header, four of mask
        while not self._ended and end - start >= 2:
            first, second = data[start], data[start + 1]
            if first != _BINARY_WHOLE or second & _MASKED != mask_bit or self._message is not None:
                refused = self._refused(first, second)
                if refused is not None:
                    return self._end(out, refused)
            size = second & 0x7F
            body = start + head
            if size >= 126:
                width = 2 if size == 126 else 8
                body += width
                if end - start < 2 + width:
                    break
                size = int.from_bytes(data[start + 2 : start + 2 + width], "big")
                if size < (126 if width == 2 else 1 << 16):
                    return self._end(out, Violation(Close.PROTOCOL, f"length {size} in {width} bytes"))
            if size > self._limit - (len(self._message) if self._message is not None else 0):
                return self._end(out, Violation(Close.TOO_BIG, f"more than {self._limit} bytes"))
            if end < body + size:
                break
            payload = data[body : body + size]
            if mask_bit:
                payload = unmask(payload, data[body - 4 : body])
            start = body + size
            self.frames += 1
            if first == _BINARY_WHOLE:
                out.append(Received(_BINARY, payload))
            else:
                self._take(out, first, payload)
        self._pending = b"" if self._ended or start == end else data[start:]
        return out

    def _refused(self, first: int, second: int) -> Violation | None:
        op = first & 0x0F
        if first & _RSV:
            return Violation(Close.PROTOCOL, "reserved bits set; no extension was agreed")
        if op not in _OPS:
            return Violation(Close.PROTOCOL, f"unknown opcode 0x{op:x}")
        if second & _MASKED != self._MASK_BIT:
            return Violation(Close.PROTOCOL, "frame masked" if second & _MASKED else "frame not masked")
        if op >= _CLOSE:
            if not first & _FIN:
                return Violation(Close.PROTOCOL, "fragmented control frame")
            if second & 0x7F > MAX_CONTROL:
                return Violation(Close.PROTOCOL, f"control frame over {MAX_CONTROL} bytes")
        elif op == Op.TEXT:
            return Violation(Close.TEXT, "frames are binary")
        elif (op == Op.CONTINUATION) != (self._message is not None):
            return Violation(Close.PROTOCOL, "continuation without a beginning, or a beginning inside a message")
        return None

    def _take(self, out: list[Received | Violation], first: int, payload: bytes) -> None:
        op = first & 0x0F
        if op == _CLOSE:
            violation = _bad_close(payload)
            if violation is not None:
                self._end(out, violation)
            else:
                out.append(Received(op, payload))
                self._ended = True
                self._message = None
        elif op > _CLOSE:
            out.append(Received(op, payload))
        else:
            if self._message is None:
                self._message = bytearray()
            self._message += payload
            if first & _FIN:
                out.append(Received(_BINARY, bytes(self._message)))
                self._message = None

    def _end(self, out: list[Received | Violation], violation: Violation) -> list[Received | Violation]:
        self._ended = True
        self._pending = b""
        self._message = None
        out.append(violation)
        return out


def unmask(payload: bytes, mask: bytes) -> bytes:
    """Return the payload xor the repeated 4-byte mask. Its own inverse. As one big integer: 16 KB take about 10 us."""
    size = len(payload)
    if not size:
        return payload
    key = mask * ((size + 3) >> 2)
    number = int.from_bytes(payload, "big") ^ int.from_bytes(key[:size], "big")
    return number.to_bytes(size, "big")


def close_code(payload: bytes) -> int:
    """Return the code in the payload of a valid close frame; NO_STATUS when it has none."""
    return int.from_bytes(payload[:2], "big") if payload else NO_STATUS


def _bad_close(payload: bytes) -> Violation | None:
    if not payload:
        return None
    code = int.from_bytes(payload[:2], "big")
    known = 1000 <= code <= 1014 and code not in (1004, 1005, 1006)
    if len(payload) < 2 or not (known or 3000 <= code <= 4999):
        return Violation(Close.PROTOCOL, f"close code {code} is not one a client may send")
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        return Violation(INVALID_DATA, "close reason is not UTF-8")
    return None


_SHORT = struct.Struct("!BB")
_MEDIUM = struct.Struct("!BBH")
_LONG = struct.Struct("!BBQ")


def _frame(op: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return _SHORT.pack(_FIN | op, size) + payload
    if size < 1 << 16:
        return _MEDIUM.pack(_FIN | op, 126, size) + payload
    return _LONG.pack(_FIN | op, 127, size) + payload


def binary(payload: bytes) -> bytes:
    """Return a server's binary message: unmasked, unfragmented. The same bytes may go to any number of connections."""
    return _frame(Op.BINARY, payload)


def pong(payload: bytes) -> bytes:
    """Return the answer to a ping with this payload (at most MAX_CONTROL bytes)."""
    return _frame(Op.PONG, payload)


def ping() -> bytes:
    """Return a ping without a payload. Every WebSocket client answers it automatically."""
    return _frame(Op.PING, b"")


def close(code: int, reason: str = "") -> bytes:
    """Return a close frame. NO_STATUS gives an empty one; a reason is cut to MAX_REASON bytes."""
    if code == NO_STATUS:
        return _frame(Op.CLOSE, b"")
    text = reason.encode()[:MAX_REASON].decode(errors="ignore").encode()
    return _frame(Op.CLOSE, code.to_bytes(2, "big") + text)
