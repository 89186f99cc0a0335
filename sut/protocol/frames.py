"""The frames between a device and a gateway, byte for byte. docs/protocol.md describes them in prose.

One WebSocket binary message is one frame: a type byte, then a fixed layout, big-endian.

A 16-byte entry (conversation u64, seq u48, flags u16) is the unit of notification. NOTIFY carries any number of them,
so a group message costs each online member 16 bytes, whatever its size.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum, IntFlag
from typing import Final, NamedTuple

from sut.protocol import signals

MAX_BODY: Final = 16 * 1024
"""The largest message body in bytes. The design assumes 150 B on average; a Signal envelope adds about 100 B."""
MAX_FRAME: Final = MAX_BODY + 64
"""The largest frame in bytes that a gateway accepts from a device. A larger one closes the connection with 1009."""
MAX_SYNC_CURSORS: Final = 1000
"""The most conversations in one SYNC or SYNCED (16 KB). More are paged by `after_conv`."""
MAX_FETCH: Final = 200
"""The most messages in one PAGE."""
MAX_SEQ: Final = (1 << 48) - 1


class Type(IntEnum):
    """The type byte: below 0x80 from the device, above from the gateway. signals.SignalType has the other ones."""

    SEND = 0x01
    RECV = 0x02
    FETCH = 0x03
    SYNC = 0x04
    HEARTBEAT = 0x05
    HISTORY = 0x09
    WELCOME = 0x81
    ACK = 0x82
    NACK = 0x83
    NOTIFY = 0x84
    MESSAGE = 0x85
    PAGE = 0x86
    SYNCED = 0x87
    BEAT = 0x88
    DRAIN = 0x89
    ERROR = 0x8A


class Flag(IntFlag):
    """The flags u16 of a 16-byte entry, a MESSAGE or a page entry."""

    NONE = 0
    MEMBER_ADD = 1  # a membership change: the entry's user was added
    MEMBER_REMOVE = 2
    MEMBER_ROLE = 4


class Nack(IntEnum):
    """Why a SEND was refused.

    Codes from DEFINITE_FROM on are definite: this message will never be in the conversation.
    """

    UNAVAILABLE = 1  # the log could not be reached or is full: try again
    OVERLOADED = 2  # a bounded queue is full: try again
    BUSY = 64  # and those up to BUSY_UP_TO: it would wait too long. Try again after as long as the code says
    NOT_MEMBER = 128  # the sender was removed before this message was logged
    FOREIGN = 129  # the sender never was a member; the gateway closes the connection with 4403
    STALE = 130  # client_seq is below one already sequenced from this device here
    TOO_LARGE = 131
    NO_CONVERSATION = 132
    GROUP_FULL = 133
    NOT_ALLOWED = 134  # the members of a 1:1 conversation are fixed, or your role does not allow it
    OWNER_STAYS = 135  # an owner keeps the role until they name another owner
    REUSED = 136  # this idempotency key (a device's client_seq, a creator's key) was used before, for something else
    USED_UP_TO = 137  # not a refusal: the highest client_seq of this device here. Sent before STALE and REUSED
    AHEAD = 138  # client_seq is far ahead of the clock (rising.py)


DEFINITE_FROM: Final = 128
BUSY_UP_TO: Final = 127
BUSY_STEP_S: Final = 0.1
"""A code of BUSY is the number of these steps until the message should be repeated, less one, above BUSY."""
SYNCED_MORE: Final = 1
SYNCED_STALE: Final = 2
BEAT_RESYNC: Final = 1


class Close(IntEnum):
    """The WebSocket close codes of a gateway: the standard 1001, 1002, 1003, 1009 and 1013, and its own."""

    GOING_AWAY = 1001  # after DRAIN
    PROTOCOL = 1002  # unmasked frame, bad opcode, bad length
    TEXT = 1003  # frames are binary
    TOO_BIG = 1009
    MALFORMED = 4400  # a known type with a wrong layout, or an unknown type
    FOREIGN = 4403  # SEND or FETCH to a conversation this user never was a member of
    IDLE = 4408  # no frame for two heartbeat intervals
    REPLACED = 4409  # a newer connection of the same device took over
    REVOKED = 4410  # the device's tokens were taken back
    SLOW = 4429  # the device does not read: its bounded buffer is full


class FrameError(ValueError):
    """A frame does not have its documented layout; the text names what is wrong."""


class Send(NamedTuple):
    """SEND 0x01: conv u64, client_seq u64, body. client_seq is the idempotency key, rising per device."""

    conv: int
    client_seq: int
    body: bytes


class Recv(NamedTuple):
    """RECV 0x02: conv u64, seq u64. Everything up to seq was shown (cumulative)."""

    conv: int
    seq: int


class Fetch(NamedTuple):
    """FETCH 0x03: req u32, conv u64, after u64, limit u16. Asks for a PAGE of what follows `after`."""

    req: int
    conv: int
    after: int
    limit: int


class History(NamedTuple):
    """HISTORY 0x09: req u32, conv u64, before u64, limit u16. Asks for a PAGE of what comes before `before`.

    The PAGE covers [through, before). It holds the newest messages there that the user may see, at most `limit`, in
    rising order. A number that is not in it is not for this user. Go on with before = through while through > 1.
    `head` is the highest number that the user may see now.
    """

    req: int
    conv: int
    before: int
    limit: int


class Sync(NamedTuple):
    """SYNC 0x04: req u32, after_conv u64, n x (conv u64, last_seen u64). What has the device seen?

    The answer lists the conversations with an id above `after_conv` that are ahead of the cursors given
    (a conversation not given counts as 0).
    """

    req: int
    after_conv: int
    cursors: tuple[tuple[int, int], ...]


class Heartbeat(NamedTuple):
    """HEARTBEAT 0x05: nothing. Answered by BEAT."""


class Welcome(NamedTuple):
    """WELCOME 0x81: user u64, device u64, epoch u64, heartbeat_ms u32, max_body u32, body. The connection
    is registered. The body names the log; it is empty unless the device asked for it in the handshake.
    """

    user: int
    device: int
    epoch: int
    heartbeat_ms: int
    max_body: int
    log: bytes = b""
    """The name of the log to which the sequence numbers belong. An opaque value; empty if it was not asked for."""


class Ack(NamedTuple):
    """ACK 0x82: conv u64, client_seq u64, seq u64. The message is durable and has this number."""

    conv: int
    client_seq: int
    seq: int


class Refused(NamedTuple):
    """NACK 0x83: conv u64, client_seq u64, code u8. The message was refused for the reason that `code` gives."""

    conv: int
    client_seq: int
    code: int

    @property
    def definite(self) -> bool:
        """True if the message will certainly never appear."""
        return self.code >= DEFINITE_FROM

    @property
    def retry_after_s(self) -> float:
        """The seconds after which to repeat the message, as BUSY says; 0 for any other code."""
        return (self.code - Nack.BUSY + 1) * BUSY_STEP_S if Nack.BUSY <= self.code <= BUSY_UP_TO else 0.0


class Entry(NamedTuple):
    """One entry of 16 bytes: conv u64, seq u48, flags u16."""

    conv: int
    seq: int
    flags: int


class Notify(NamedTuple):
    """NOTIFY 0x84: n x Entry. These conversations have reached these numbers."""

    entries: tuple[Entry, ...]


class Message(NamedTuple):
    """MESSAGE 0x85: Entry, user u64, device u64, client_seq u64, body. A NOTIFY that brings the body (1:1 only)."""

    conv: int
    seq: int
    flags: int
    user: int
    device: int
    client_seq: int
    body: bytes


class Page(NamedTuple):
    """PAGE 0x86: req u32, conv u64, head u64, through u64, n u16, n x (seq u48, flags u16, user u64, device u64,
    client_seq u64, size u32, body).

    Covers (after, through]: every message there that this user may see is in `messages`; a number that is not
    there is not for this user. `head` is the highest number the user may see now; ask on while through < head.
    """

    req: int
    conv: int
    head: int
    through: int
    messages: tuple[Message, ...]


class Synced(NamedTuple):
    """SYNCED 0x87: req u32, flags u8, n x Entry. flags bit 0: more, ask again with after_conv = the last entry's
    conv; bit 1: some heads may be stale (a sequencer was away), ask again soon.
    """

    req: int
    flags: int
    entries: tuple[Entry, ...]


class Beat(NamedTuple):
    """BEAT 0x88: flags u8. Bit 0: notifications may have been lost, send a SYNC."""

    flags: int


class Drain(NamedTuple):
    """DRAIN 0x89: base_ms u32. Reconnect elsewhere after a random wait below base_ms; the close (1001) follows."""

    base_ms: int


class Error(NamedTuple):
    """ERROR 0x8A: req u32, code u8. The FETCH or SYNC with this req failed; try again. Codes as in Nack."""

    req: int
    code: int


ClientFrame = Send | Recv | Fetch | Sync | Heartbeat | History | signals.FromDevice
ServerFrame = Welcome | Ack | Refused | Notify | Message | Page | Synced | Beat | Drain | Error | signals.FromGateway


_SEND = _RECV = struct.Struct("!BQQ")
_FETCH = struct.Struct("!BIQQH")
_SYNC = struct.Struct("!BIQ")
_WELCOME = struct.Struct("!BQQQII")
_ACK = struct.Struct("!BQQQ")
_NACK = struct.Struct("!BQQB")
_ENTRY = struct.Struct("!QQ")  # the second word is seq << 16 | flags; of a cursor: seq
_MESSAGE = struct.Struct("!BQQQQQ")
_PAGE = struct.Struct("!BIQQQH")
_ITEM = struct.Struct("!QQQQI")
_SYNCED = struct.Struct("!BIB")
_BEAT = struct.Struct("!BB")
_DRAIN = struct.Struct("!BI")
_ERROR = struct.Struct("!BIB")


def busy(retry_after_s: float) -> int:
    """Return the code of BUSY that says at least this long, as far as a code can."""
    return min(BUSY_UP_TO, max(Nack.BUSY, Nack.BUSY - 1 + math.ceil(retry_after_s / BUSY_STEP_S - 1e-9)))


def encode(frame: ClientFrame | ServerFrame) -> bytes:
    """Encode one frame as the bytes of one WebSocket binary message.

    Raises struct.error when a number does not fit its field: a mistake of the caller, never of the peer.
    """
    match frame:
        case Send():
            return _SEND.pack(Type.SEND, frame.conv, frame.client_seq) + frame.body
        case Recv():
            return _RECV.pack(Type.RECV, *frame)
        case Fetch() | History():
            return _FETCH.pack(Type.FETCH if isinstance(frame, Fetch) else Type.HISTORY, *frame)
        case Sync():
            return _SYNC.pack(Type.SYNC, *frame[:2]) + b"".join(_ENTRY.pack(*cursor) for cursor in frame.cursors)
        case Heartbeat():
            return bytes([Type.HEARTBEAT])
        case Ack():
            return _ACK.pack(Type.ACK, *frame)
        case Notify():
            return bytes([Type.NOTIFY]) + _entries(frame.entries)
        case Message():
            head = _MESSAGE.pack(Type.MESSAGE, frame.conv, frame.seq << 16 | frame.flags, *frame[3:6])
            return head + frame.body
        case Page():
            head = _PAGE.pack(Type.PAGE, frame.req, frame.conv, frame.head, frame.through, len(frame.messages))
            return head + b"".join(_item(message) for message in frame.messages)
        case Refused():
            return _NACK.pack(Type.NACK, *frame)
        case Synced():
            return _SYNCED.pack(Type.SYNCED, frame.req, frame.flags) + _entries(frame.entries)
        case Welcome():
            return _WELCOME.pack(Type.WELCOME, *frame[:5]) + frame.log
        case Beat():
            return _BEAT.pack(Type.BEAT, frame.flags)
        case Drain():
            return _DRAIN.pack(Type.DRAIN, frame.base_ms)
        case Error():
            return _ERROR.pack(Type.ERROR, *frame)
        case _:
            return signals.encode(frame)


def decode_client(data: bytes) -> ClientFrame:
    """Decode a message from a device, in a gateway. Raises FrameError unless it has a documented layout."""
    try:
        match data[0]:
            case Type.SEND:
                (_, conv, client_seq), body = _SEND.unpack_from(data), data[_SEND.size :]
                if not 0 < len(body) <= MAX_BODY:
                    raise FrameError(f"SEND body of {len(body)} bytes; 1 to {MAX_BODY} are allowed")
                return Send(conv, client_seq, body)
            case Type.HEARTBEAT:
                if len(data) != 1:
                    raise FrameError("HEARTBEAT has no payload")
                return Heartbeat()
            case Type.RECV:
                return Recv(*_RECV.unpack(data)[1:])
            case Type.FETCH | Type.HISTORY as kind:
                return (Fetch if kind == Type.FETCH else History)(*_FETCH.unpack(data)[1:])
            case Type.SYNC:
                _, req, after_conv = _SYNC.unpack_from(data)
                cursors = tuple(_ENTRY.iter_unpack(memoryview(data)[_SYNC.size :]))
                if len(cursors) > MAX_SYNC_CURSORS:
                    raise FrameError(f"SYNC with {len(cursors)} cursors; {MAX_SYNC_CURSORS} are allowed")
                return Sync(req, after_conv, cursors)
            case other:
                if signal := signals.decode_client(data):
                    return signal
                raise FrameError(f"unknown frame type 0x{other:02x}")
    except IndexError:
        raise FrameError("empty frame") from None
    except struct.error as error:
        raise FrameError(f"frame type 0x{data[0]:02x}: {error}") from None


def decode_server(data: bytes) -> ServerFrame:
    """Decode a message from a gateway, in a device. Raises FrameError unless it has a documented layout."""
    try:
        match data[0]:
            case Type.NOTIFY:
                return Notify(tuple(_read_entries(data, 1)))
            case Type.ACK:
                return Ack(*_ACK.unpack(data)[1:])
            case Type.MESSAGE:
                _, conv, word, user, device, client_seq = _MESSAGE.unpack_from(data)
                return Message(conv, word >> 16, word & 0xFFFF, user, device, client_seq, data[_MESSAGE.size :])
            case Type.PAGE:
                return _read_page(data)
            case Type.BEAT:
                return Beat(_BEAT.unpack(data)[1])
            case Type.SYNCED:
                _, req, flags = _SYNCED.unpack_from(data)
                return Synced(req, flags, tuple(_read_entries(data, _SYNCED.size)))
            case Type.NACK:
                return Refused(*_NACK.unpack(data)[1:])
            case Type.WELCOME:
                _, user, device, epoch, heartbeat_ms, max_body = _WELCOME.unpack_from(data)
                return Welcome(user, device, epoch, heartbeat_ms, max_body, data[_WELCOME.size :])
            case Type.DRAIN:
                return Drain(_DRAIN.unpack(data)[1])
            case Type.ERROR:
                return Error(*_ERROR.unpack(data)[1:])
            case other:
                if signal := signals.decode_server(data):
                    return signal
                raise FrameError(f"unknown frame type 0x{other:02x}")
    except IndexError:
        raise FrameError("empty frame") from None
    except struct.error as error:
        raise FrameError(f"frame type 0x{data[0]:02x}: {error}") from None


def _entries(entries: Sequence[Entry]) -> bytes:
    return b"".join(_ENTRY.pack(conv, seq << 16 | flags) for conv, seq, flags in entries)


def _read_entries(data: bytes, offset: int) -> Iterator[Entry]:
    for conv, word in _ENTRY.iter_unpack(memoryview(data)[offset:]):
        yield Entry(conv, word >> 16, word & 0xFFFF)


def _item(message: Message) -> bytes:
    word, size = message.seq << 16 | message.flags, len(message.body)
    return _ITEM.pack(word, message.user, message.device, message.client_seq, size) + message.body


def _read_page(data: bytes) -> Page:
    _, req, conv, head, through, count = _PAGE.unpack_from(data)
    messages: list[Message] = []
    offset = _PAGE.size
    for _ in range(count):
        word, user, device, client_seq, size = _ITEM.unpack_from(data, offset)
        offset += _ITEM.size
        body = data[offset : offset + size]
        if len(body) != size:
            raise FrameError(f"PAGE cut short at byte {offset}")
        offset += size
        messages.append(Message(conv, word >> 16, word & 0xFFFF, user, device, client_seq, body))
    if offset != len(data):
        raise FrameError(f"PAGE with {len(data) - offset} bytes too many")
    return Page(req, conv, head, through, tuple(messages))
