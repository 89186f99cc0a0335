"""The gateway's half of a device's session: bytes of one connection in, decisions out. Nothing here does I/O.

The session knows the wire and nothing of the chat: a SEND, FETCH, SYNC or RECV is a decision to forward, a HEARTBEAT
is answered here, everything that breaks the protocol is a decision to end. What notifications may have been lost is
told by a `mark`: a number of the whole gateway that moves whenever something may have been lost. A session remembers
the mark of its last BEAT; when it has moved since, the next BEAT carries RESYNC. So an event that concerns fifty
thousand devices costs one addition.
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
    decode_client,
    encode,
)
from sut.protocol.signals import FromDevice
from sut.protocol.websocket import FrameReader, Op, Violation

MAX_FRAMES_PER_S: Final = 2_000
"""Frames of one device in one second that are acted on; SEND, FETCH and SYNC beyond it are refused as OVERLOADED."""
NO_MARK: Final = -1
"""Differs from every mark: a session that has it gets RESYNC with its next BEAT."""


class Forward(NamedTuple):
    """Pass this on to a chat service; a WATCH is for the gateway itself."""

    frame: Send | Recv | Fetch | Sync | History | FromDevice


class Answer(NamedTuple):
    """Write these bytes, one whole WebSocket frame. `resync`: it is a BEAT that says so."""

    data: bytes
    resync: bool = False


class End(NamedTuple):
    """Write a close frame with this code and reason, then close. Nothing that follows is acted on."""

    code: int
    reason: str


Decision = Forward | Answer | End

_BINARY: Final = int(Op.BINARY)
_HEARTBEAT: Final = encode(Heartbeat())
_BEAT = Answer(websocket.binary(encode(Beat(0))))
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
        """Bytes kept for an unfinished frame or message; bounded."""
        return self._reader.held

    def forget_mark(self) -> None:
        """Something may have been lost for this device alone: RESYNC with its next BEAT."""
        self._mark = NO_MARK

    def receive(self, data: bytes, *, mark: int, second: int) -> list[Decision]:
        """What to do about these bytes; nothing after an End. `mark`: the gateway's. `second`: whole, for the rate."""
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
            decision = self._decide(received.op, received.payload, mark)
            if decision is not None:
                decisions.append(decision)
                if isinstance(decision, End):
                    self._ended = True
                    break
        return decisions

    def _decide(self, op: int, payload: bytes, mark: int) -> Decision | None:
        if op == _BINARY:
            if payload == _HEARTBEAT:  # nearly all that an idle device sends
                return self._beat(mark)
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
        return None  # an unasked pong: allowed, means nothing

    def _beat(self, mark: int) -> Answer:
        if mark == self._mark:
            return _BEAT
        self._mark = mark
        return _BEAT_RESYNC


def refusal(frame: Send | Recv | Fetch | Sync | History | FromDevice, code: Nack) -> Answer | None:
    """How the gateway itself refuses what it cannot pass on. What is not answered is dropped: a RECV is repeated."""
    if isinstance(frame, Send):
        return Answer(websocket.binary(encode(Refused(frame.conv, frame.client_seq, code))))
    if isinstance(frame, Fetch | Sync | History):
        return Answer(websocket.binary(encode(Error(frame.req, code))))
    return None
