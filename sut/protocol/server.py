"""The gateway's half of a device's session: the bytes of one connection in, decisions out. Nothing here does I/O.

The session knows the wire format and nothing of the chat. It forwards SEND, FETCH, SYNC and RECV, answers HEARTBEAT,
and ends the session on a protocol error.

A `mark` is a number of the whole gateway that changes whenever notifications may have been lost. A session remembers
the mark of its last BEAT. If it has changed since, the next BEAT carries RESYNC. So an event that concerns 50,000
devices costs one addition.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from sut.protocol import websocket
from sut.protocol.frames import (
    BEAT_RESYNC,
    Beat,
    Close,
    Error,
    Fetch,
    FrameError,
    Heartbeat,
    History,
    Nack,
    Recv,
    Refused,
    Send,
    Sync,
    Type,
    decode_client,
    encode,
)
from sut.protocol.signals import FromDevice
from sut.protocol.websocket import FrameReader, Op, Violation

MAX_FRAMES_PER_S: Final = 2_000
"""Frames of one device per second that are processed.

Further SEND, FETCH, SYNC and HISTORY are refused as OVERLOADED.
"""
NO_MARK: Final = -1
"""Differs from every mark: a session with it gets RESYNC in its next BEAT."""


class Forward(NamedTuple):
    """Pass this frame to a chat service; the gateway handles WATCH itself."""

    frame: Send | Recv | Fetch | Sync | History | FromDevice


class Answer(NamedTuple):
    """Write these bytes, one whole WebSocket frame. `resync`: it is a BEAT with RESYNC. `held`: it should have been."""

    data: bytes
    resync: bool = False
    held: bool = False


class End(NamedTuple):
    """Write a close frame with this code and reason, then close. Later input is ignored."""

    code: int
    reason: str


Decision = Forward | Answer | End

_BINARY: Final = int(Op.BINARY)
_HEARTBEAT: Final = encode(Heartbeat())
_BEAT_HEAD: Final = bytes((websocket.BINARY_BYTE, 0x80 | len(_HEARTBEAT)))
"""How a client's frame with a HEARTBEAT begins; four bytes of mask and the payload follow."""
_BEAT_SIZE: Final = len(_BEAT_HEAD) + 4 + len(_HEARTBEAT)
_BEAT = Answer(websocket.binary(encode(Beat(0))))
_BEAT_HELD = Answer(websocket.binary(encode(Beat(0))), held=True)
_BEAT_RESYNC = Answer(websocket.binary(encode(Beat(BEAT_RESYNC))), resync=True)


class ServerSession:
    """One open connection of an authenticated device. Feed it every chunk in order; do what it returns, in order."""

    __slots__ = ("_count", "_ended", "_mark", "_reader", "_second")

    def __init__(self, mark: int) -> None:
        self._reader = FrameReader()
        self._mark = mark
        self._second = 0
        self._count = 0
        self._ended = False

    @property
    def held(self) -> int:
        """The number of bytes kept for an unfinished frame or message; bounded."""
        return self._reader.held

    def forget_mark(self) -> None:
        """Send RESYNC in the next BEAT: notifications for this device alone may have been lost."""
        self._mark = NO_MARK

    def heartbeat(self, data: bytes, *, mark: int, second: int, hold: bool = False) -> Answer | None:
        """Return what `receive` would, if these bytes are one whole HEARTBEAT and nothing else.

        None: they are not, and nothing has happened. A device at rest sends nothing else, so this is the short way.
        """
        if len(data) != _BEAT_SIZE or data[:2] != _BEAT_HEAD or data[2] ^ data[6] != _HEARTBEAT[0]:
            return None
        if self._ended or not self._reader.between:
            return None
        if second != self._second:
            self._second, self._count = second, 0
        self._count += 1
        return self._beat(mark, hold=hold)

    def told(self, mark: int) -> None:
        """Note that RESYNC was said at this mark, by another BEAT than those that are decided here."""
        self._mark = mark

    def receive(self, data: bytes, *, mark: int, second: int, hold: bool = False) -> list[Decision]:
        """Return the decisions for these bytes; none after an End. `mark`: the gateway's. `second`: whole seconds, for
        the rate. `hold`: no BEAT says RESYNC; one that should have is marked as held.
        """
        if self._ended:
            return []
        decisions: list[Decision] = []
        before = self._reader.frames
        messages = self._reader.feed(data)
        if second != self._second:
            self._second, self._count = second, 0
        self._count += max(0, self._reader.frames - before - len(messages))  # fragments count too
        for received in messages:
            if isinstance(received, Violation):
                decisions.append(End(received.code, received.reason))
                self._ended = True
                break
            self._count += 1
            decision = self._decide(received.op, received.payload, mark, hold=hold)
            if decision is not None:
                decisions.append(decision)
                if isinstance(decision, End):
                    self._ended = True
                    break
        return decisions

    def _decide(self, op: int, payload: bytes, mark: int, *, hold: bool) -> Decision | None:
        if op == _BINARY:
            if payload == _HEARTBEAT:  # an idle device sends hardly anything else
                return self._beat(mark, hold=hold)
            try:
                frame = decode_client(payload)
            except FrameError as error:
                return End(Close.MALFORMED, str(error))
            assert not isinstance(frame, Heartbeat)
            return Forward(frame) if self._count <= MAX_FRAMES_PER_S else refusal(frame, Nack.OVERLOADED)
        if op == Op.PING:
            return Answer(websocket.pong(payload)) if self._count <= MAX_FRAMES_PER_S else None
        if op == Op.CLOSE:
            return End(websocket.close_code(payload), "")
        return None  # an unsolicited pong: allowed, and ignored

    def _beat(self, mark: int, *, hold: bool) -> Answer:
        if mark == self._mark:
            return _BEAT
        if hold:
            return _BEAT_HELD
        self._mark = mark
        return _BEAT_RESYNC


def refusal(frame: Send | Recv | Fetch | Sync | History | FromDevice, code: int) -> Answer | None:
    """Return the answer with which the gateway refuses a frame; None to drop it: a RECV is repeated, for example."""
    if isinstance(frame, Send):
        return Answer(websocket.binary(encode(Refused(frame.conv, frame.client_seq, code))))
    if isinstance(frame, Fetch | Sync | History):
        return Answer(websocket.binary(encode(Error(frame.req, code))))
    return None


def answers(frame: bytes) -> tuple[int, int] | None:
    """Return the (conversation, client_seq) of an encoded ACK or NACK; None for any other frame."""
    if frame[0] not in (Type.ACK, Type.NACK):
        return None
    return int.from_bytes(frame[1:9]), int.from_bytes(frame[9:17])


def is_synced(frame: bytes) -> bool:
    """Return True for an encoded SYNCED."""
    return frame[0] == Type.SYNCED
