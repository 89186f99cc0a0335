"""The frames about people, not messages: receipts, typing, presence. Byte for byte, as in frames.py. No I/O.

None of them is answered, and no message depends on one. A receipt is cumulative, so the next one replaces a lost one.
Typing expires, and presence is sent again when it changes.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, NamedTuple

MAX_WATCHED: Final = 500
"""The most users in one WATCH (4 KB)."""


class SignalType(IntEnum):
    """The type bytes of these frames, beside those of frames.Type."""

    READ = 0x06
    TYPING = 0x07
    WATCH = 0x08
    RECEIPT = 0x8B
    TYPISTS = 0x8C
    PRESENCE = 0x8D


class ReceiptKind(IntEnum):
    """The kind of a receipt for the messages up to its sequence number."""

    DELIVERED = 0  # shown by a device of the user
    READ = 1


class Read(NamedTuple):
    """READ 0x06: conv u64, seq u64. The person has read everything up to seq (cumulative)."""

    conv: int
    seq: int


class Typing(NamedTuple):
    """TYPING 0x07: conv u64, state u8. 1: the person is writing there, repeated at most every 3 s; 0: they have
    stopped.
    """

    conv: int
    state: int


class Watch(NamedTuple):
    """WATCH 0x08: n x user u64, n up to MAX_WATCHED. Report the presence of these users and no others; none: report
    nobody.
    """

    users: tuple[int, ...]


class Receipt(NamedTuple):
    """24 bytes: conv u64, (seq u48, kind u16) u64, by u64. User `by` has got (0) or read (1) everything up to seq."""

    conv: int
    seq: int
    kind: int
    by: int


class Receipts(NamedTuple):
    """RECEIPT 0x8B: n x (conv u64, seq u48, kind u16, by u64). To the authors of the messages concerned. What a
    user has read goes to that user's other devices too.
    """

    entries: tuple[Receipt, ...]


class Typist(NamedTuple):
    """17 bytes: conv u64, user u64, state u8. The user is writing there (1), or has stopped (0)."""

    conv: int
    user: int
    state: int


class Typists(NamedTuple):
    """TYPISTS 0x8C: n x (conv u64, user u64, state u8). An entry that is not repeated within 6 s has expired."""

    entries: tuple[Typist, ...]


class Seen(NamedTuple):
    """17 bytes: user u64, state u8, last_seen_ms u64. 1: online; 0: offline, last seen then (Unix ms; 0: not known)."""

    user: int
    state: int
    last_seen_ms: int


class PresenceNews(NamedTuple):
    """PRESENCE 0x8D: n x (user u64, state u8, last_seen_ms u64). The state of each watched user, then each change."""

    entries: tuple[Seen, ...]


FromDevice = Read | Typing | Watch
FromGateway = Receipts | Typists | PresenceNews

_READ: Final = struct.Struct("!BQQ")
_TYPING: Final = struct.Struct("!BQB")
_USER: Final = struct.Struct("!Q")
_RECEIPT: Final = struct.Struct("!QQQ")
_TYPIST: Final = struct.Struct("!QQB")
_SEEN: Final = struct.Struct("!QBQ")


def encode(frame: FromDevice | FromGateway) -> bytes:
    """Encode as one WebSocket binary message. Raises struct.error when a number does not fit its field."""
    match frame:
        case Read():
            return _READ.pack(SignalType.READ, *frame)
        case Typing():
            return _TYPING.pack(SignalType.TYPING, *frame)
        case Watch(users):
            return bytes([SignalType.WATCH]) + b"".join(map(_USER.pack, users))
        case Receipts(receipts):
            items = (_RECEIPT.pack(conv, seq << 16 | kind, by) for conv, seq, kind, by in receipts)
            return bytes([SignalType.RECEIPT]) + b"".join(items)
        case Typists(typists):
            return bytes([SignalType.TYPISTS]) + b"".join(_TYPIST.pack(*typist) for typist in typists)
        case PresenceNews(news):
            return bytes([SignalType.PRESENCE]) + b"".join(_SEEN.pack(*seen) for seen in news)


def decode_client(data: bytes) -> FromDevice | None:
    """Decode a message from a device; None: the type belongs to frames.py. Raises struct.error for a wrong layout."""
    match data[0]:
        case SignalType.READ:
            return Read(*_READ.unpack(data)[1:])
        case SignalType.TYPING:
            return Typing(*_TYPING.unpack(data)[1:])
        case SignalType.WATCH:
            users = tuple(user for (user,) in _USER.iter_unpack(memoryview(data)[1:]))
            if len(users) > MAX_WATCHED:
                raise struct.error(f"WATCH of {len(users)} users; {MAX_WATCHED} are allowed")
            return Watch(users)
        case _:
            return None


def decode_server(data: bytes) -> FromGateway | None:
    """Decode a message from a gateway; None: the type belongs to frames.py. Raises struct.error for a wrong layout."""
    body = memoryview(data)[1:]
    match data[0]:
        case SignalType.RECEIPT:
            return Receipts(
                tuple(Receipt(conv, word >> 16, word & 0xFFFF, by) for conv, word, by in _RECEIPT.iter_unpack(body))
            )
        case SignalType.TYPISTS:
            return Typists(tuple(Typist(*item) for item in _TYPIST.iter_unpack(body)))
        case SignalType.PRESENCE:
            return PresenceNews(tuple(Seen(*item) for item in _SEEN.iter_unpack(body)))
        case _:
            return None
