"""The device's half of RFC 6455: bytes in, messages out. Nothing here does I/O.

It does what a gateway's own half asks for and no more (sut/protocol/websocket.py): no extension, no subprotocol, no
text. A process holds thousands of these, nearly all idle, and makes one whenever a device at rest has something to do,
so an idle one is four words.
"""

from __future__ import annotations

import base64
import os
import re
from functools import lru_cache
from typing import Final, NamedTuple

from sut.protocol.handshake import HandshakeError, accepted, check_accepted, read_response, upgrade_request
from sut.protocol.websocket import CLOSE_BYTE, NO_STATUS, FrameReader, Op, Violation, close_code, unmask

_BINARY: Final = int(Op.BINARY)  # plain integers: the lookup of an enum member is slow
_CLOSE: Final = int(Op.CLOSE)
_PING: Final = int(Op.PING)
_BINARY_WHOLE: Final = 0x80 | _BINARY
_PONG_BYTE: Final = 0x80 | int(Op.PONG)
_MASKED: Final = 0x80
_MASKS: Final = 1024
_USUAL_PORTS: Final = {"ws": 80, "wss": 443}
_URL: Final = re.compile(
    r"(wss?)://((?:\[([0-9A-Fa-f:.]+)\]|([^\s/?#@:\[\]]+))(?::([0-9]{1,5}))?)(/[^\s?#]*)?(\?[^\s#]*)?"
)


class Address(NamedTuple):
    """Where a gateway is reached."""

    host: str
    port: int
    secure: bool
    netloc: str
    """Host and port as in the URL."""
    target: str
    """Path and query."""


@lru_cache(256)
def address_of(url: str) -> Address:
    """Return the address in a ws or wss URL. Raises ValueError for any other text."""
    found = _URL.fullmatch(url)
    if found is None:
        raise ValueError(f"{url!r} is no URL of a WebSocket")
    scheme, netloc, host6, host, port, path, query = found.groups(default="")
    return Address(host6 or host, int(port or _USUAL_PORTS[scheme]), scheme == "wss", netloc, (path or "/") + query)


class ServerFrames(FrameReader):
    """Splits a gateway's bytes into messages: those are not masked."""

    __slots__ = ()
    _MASK_BIT = 0


class _Masks:
    """Masks from the system's random source, some hundred at a time."""

    def __init__(self) -> None:
        self._bytes, self._at = b"", 0

    def forget(self) -> None:
        """Draw new ones: these are another process's too."""
        self._bytes, self._at = b"", 0

    def next(self) -> bytes:
        """Return four random bytes."""
        at = self._at
        if at == len(self._bytes):
            self._bytes, at = os.urandom(4 * _MASKS), 0
        self._at = at + 4
        return self._bytes[at : at + 4]


_masks = _Masks()
os.register_at_fork(after_in_child=_masks.forget)


def masked(payload: bytes, first: int = _BINARY_WHOLE) -> bytes:
    """Return a device's frame, a whole binary message unless its first byte says otherwise."""
    size, mask = len(payload), _masks.next()
    if size < 126:
        head = bytes((first, _MASKED | size))
    elif size < 1 << 16:
        head = bytes((first, _MASKED | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, _MASKED | 127)) + size.to_bytes(8, "big")
    return head + mask + unmask(payload, mask)


class ClientSocket:
    """One connection of a device, from its upgrade request to its end."""

    __slots__ = ("_key", "_out", "_reader", "_unread", "close_code", "close_reason", "fault", "open", "refused")

    def __init__(self, limit: int) -> None:
        """An open connection on which nothing is unfinished. `limit`: the largest message in bytes."""
        self._reader = ServerFrames(limit)
        self._out: list[bytes] = []
        self._unread = b""
        self._key = ""
        self.open = True
        """False before the upgrade is answered, and once a close frame or a fault has ended the connection."""
        self.refused: HandshakeError | None = None
        """Why the upgrade failed, with the status of the answer; 0: there was none."""
        self.close_code: int | None = None
        """The code of the gateway's close frame, NO_STATUS without one; None: it sent no close frame."""
        self.close_reason = ""
        self.fault: Violation | None = None
        """How the gateway broke RFC 6455, or the rules of its own protocol for it."""

    @classmethod
    def dial(cls, address: Address, token: str, limit: int) -> ClientSocket:
        """Return a connection whose upgrade request is in `output`."""
        one = cls(limit)
        one.open = False
        one._key = base64.b64encode(os.urandom(16)).decode("ascii")
        one._out.append(upgrade_request(address.target, address.netloc, one._key, token))
        return one

    @property
    def idle(self) -> bool:
        """True while the connection is open and nothing on it is unfinished, in either direction."""
        return self.open and not self._out and self._reader.between

    def receive(self, data: bytes) -> list[bytes]:
        """Take bytes; empty means the end of the stream. Returns the messages that they complete."""
        if self.refused is not None or self.close_code is not None or self.fault is not None:
            return []
        if not data:
            if self._key:
                self.refused = HandshakeError(0, "the connection ended before the answer to the upgrade")
            self.open = False
            return []
        if self._key:
            data = self._upgraded(data)
            if not data:
                return []
        messages: list[bytes] = []
        for one in self._reader.feed(data):
            if isinstance(one, Violation):
                self.fault = one
                self.close(one.code)
            elif one.op == _BINARY:
                messages.append(one.payload)
            elif one.op == _CLOSE:
                self._closed(one.payload)
            elif one.op == _PING and self.open:
                self._out.append(masked(one.payload, _PONG_BYTE))
        return messages

    def send(self, payload: bytes) -> None:
        """Send a message, if the connection is open."""
        if self.open:
            self._out.append(masked(payload))

    def close(self, code: int) -> None:
        """Send a close frame, if the connection is open; nothing is sent after it."""
        if self.open:
            self._out.append(masked(b"" if code == NO_STATUS else code.to_bytes(2, "big"), CLOSE_BYTE))
            self.open = False

    def output(self) -> bytes:
        """Return the bytes to write now. Each call drains them."""
        if not self._out:
            return b""
        data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
        self._out.clear()
        return data

    def _upgraded(self, data: bytes) -> bytes:
        """Take a part of the answer to the upgrade. Returns the bytes behind it, and empty while there are none."""
        data = self._unread + data
        usual = accepted(self._key)
        try:
            if data.startswith(usual):  # what our own gateways answer
                rest = data[len(usual) :]
            else:
                response = read_response(data)
                if response is None:
                    self._unread = data
                    return b""
                check_accepted(response, self._key)
                rest = response.rest
        except HandshakeError as error:
            self.refused, rest = error, b""
        self._unread, self._key = b"", ""
        self.open = self.refused is None
        return rest

    def _closed(self, payload: bytes) -> None:
        self.close_code = close_code(payload)
        self.close_reason = payload[2:].decode()
        self.close(self.close_code)
