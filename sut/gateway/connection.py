"""One device's socket: the edge between asyncio and the pure session. One small object a connection, no task, no timer.

A connection is first an HTTP request with a deadline, then a session, then for a moment a socket that only waits for
the peer to read our last words: closing at once would have the kernel answer what the peer still sends with a reset,
and the close code would be lost.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

from sut.gateway.limits import address_of
from sut.gateway.timers import NEVER, ticks
from sut.protocol import handshake, websocket
from sut.protocol.frames import BEAT_RESYNC, MAX_BODY, Beat, Close, Nack, Welcome, encode
from sut.protocol.handshake import HandshakeError
from sut.protocol.server import Answer, End, Forward, ServerSession, refusal
from sut.protocol.tokens import TokenError, prove

if TYPE_CHECKING:
    from sut.gateway.gateway import Gateway

LINGER_TICKS: Final = ticks(2.0)
"""How long a closed connection may take to read our close frame and hang up, before it is cut."""
ABNORMAL: Final = 1006
"""Counted for a connection that ended without a close frame; never on the wire."""

_REQUESTING: Final = 0
_OPEN: Final = 1
_CLOSING: Final = 2
_LOST: Final = 3


class Connection(asyncio.Protocol):
    """A device's connection. `number`, `user`, `device`, `issued_s` and `epoch` are set when it opens.

    `routed`: the registry has shown this connection. `welcomed`: WELCOME was sent; it is before all other frames.
    """

    __slots__ = (
        "_address",
        "_blocked",
        "_gateway",
        "_head",
        "_heard",
        "_session",
        "_state",
        "_tells_log",
        "_transport",
        "_unwelcome",
        "device",
        "due",
        "epoch",
        "issued_s",
        "number",
        "routed",
        "user",
        "welcomed",
    )

    def __init__(self, gateway: Gateway, *, address: str = "", unwelcome: bool = False) -> None:
        """`address`: who accepted the socket has counted it, and says whether its request is to be refused."""
        self._gateway = gateway
        self._address = address
        self._unwelcome = unwelcome
        self._transport: asyncio.Transport | None = None
        self._tells_log = False
        self._session: ServerSession | None = None
        self._head = b""  # of the unfinished request
        self._state = _REQUESTING
        self._heard = 0  # tick of the last frame
        self._blocked = False  # the peer does not read as fast as we write
        self.due = NEVER
        self.number = 0
        self.user = 0
        self.device = 0
        self.issued_s = 0
        self.epoch = 0
        self.routed = False
        self.welcomed = False

    @property
    def begun(self) -> bool:
        """Whether there is or was a transport: with TLS, whether the handshake came to its end."""
        return self._transport is not None or self._state != _REQUESTING

    @property
    def is_open(self) -> bool:
        """Whether frames still flow."""
        return self._state == _OPEN

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the one deadline of the handshake; it does not move, however the bytes drip."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's do not inherit from it
        gateway = self._gateway
        gateway.wheel.put(self, gateway.clock.tick + gateway.handshake_ticks)
        if not self._address:
            self._address = address_of((transport.get_extra_info("peername") or ("gone",))[0])
            verdict = gateway.accepted(self._address)
            self._unwelcome = verdict != 0
            if verdict > 1:
                self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Bytes from the peer. What comes after the end is read and dropped."""
        if self._state == _OPEN:
            self._receive(data)
        elif self._state == _REQUESTING:
            self._request(data)
        elif self._state == _CLOSING and data[0] == websocket.CLOSE_BYTE:
            transport = self._transport
            if transport is not None and not transport.can_write_eof():
                transport.close()  # it has read our close frame

    def _request(self, data: bytes) -> None:
        gateway = self._gateway
        try:
            request = handshake.read_request(self._head + data)
            if request is None:
                self._head += data
                return
            if request.path == handshake.HEALTH_PATH and not gateway.draining:
                self._respond(200, "ok")
                return
            upgrade = handshake.check_upgrade(request)
            if gateway.draining or gateway.full:
                self._respond(503, f"this gateway is {'going away' if gateway.draining else 'full'}; try another")
                return
            if self._unwelcome:
                self._respond(429, "too many connections from your address")
                return
            self.user, self.device, self.issued_s = prove(upgrade.token, gateway.token_key)
            if gateway.revoked.is_void(self.user, self.device, self.issued_s):
                raise TokenError("token was taken back")
            if not gateway.limits.admits(self.user, self.device):
                self._respond(429, "too many devices of this user are connected here")
                return
        except HandshakeError as error:
            self._respond(error.status, str(error))
            return
        except TokenError as error:
            self._respond(401, str(error))
            return
        assert self._transport is not None
        self._head = b""
        self._state = _OPEN
        self._heard = gateway.clock.tick
        self._session = ServerSession(gateway.mark())
        self._tells_log = upgrade.log
        self._transport.set_write_buffer_limits(high=gateway.send_buffer // 4)
        self._transport.write(handshake.accepted(upgrade.key))
        gateway.opened(self)
        gateway.wheel.put(self, self._heard + gateway.idle_ticks)
        if request.rest:
            self._receive(request.rest)

    def _receive(self, data: bytes) -> None:
        gateway, session = self._gateway, self._session
        assert session is not None
        self._heard = gateway.clock.tick
        if not self.routed:
            session.forget_mark()  # nothing can be routed to it yet: each BEAT says RESYNC
        decisions = session.receive(data, mark=gateway.mark(), second=gateway.clock.second)
        gateway.stats.frames_in += len(decisions)
        too_fast = gateway.limits.too_fast(self.user, len(decisions), gateway.clock.second)
        for decision in decisions:
            if self._state != _OPEN:
                return
            if isinstance(decision, Forward):
                if too_fast:
                    refused = refusal(decision.frame, Nack.OVERLOADED)
                    if refused is not None:
                        self.send(refused.data)
                else:
                    gateway.forward(self, decision.frame)
            elif isinstance(decision, Answer):
                gateway.stats.resyncs += decision.resync
                self.send(decision.data)
            else:
                assert isinstance(decision, End)
                self.close(decision.code, decision.reason, hang_up=not decision.reason)

    def welcome(self) -> None:
        """Send WELCOME, once."""
        if self.welcomed or self._state != _OPEN:
            return
        self.welcomed = True
        log = self._gateway.log if self._tells_log else b""
        frame = Welcome(self.user, self.device, self.epoch, self._gateway.heartbeat_ms, MAX_BODY, log)
        self.send(websocket.binary(encode(frame)))

    def resync(self, *, at_once: bool = False) -> None:
        """Have this device's next BEAT say RESYNC; `at_once`: send one now, unasked."""
        if at_once:
            self._gateway.stats.resyncs += 1
            self.send(websocket.binary(encode(Beat(BEAT_RESYNC))))
        elif self._session is not None:
            self._session.forget_mark()

    def send(self, data: bytes) -> None:
        """Write one whole WebSocket frame. Ends the connection as SLOW when more than the send buffer waits already.

        So at most the send buffer and one frame wait. The device loses nothing: it catches up when it reconnects.
        """
        if self._state != _OPEN:
            return
        if not self.welcomed:
            self.welcome()
        transport, gateway = self._transport, self._gateway
        assert transport is not None
        if self._blocked and transport.get_write_buffer_size() > gateway.send_buffer:
            self.close(Close.SLOW, "the device does not read")
            return
        gateway.stats.frames_out += 1
        gateway.stats.bytes_out += len(data)
        transport.write(data)

    def pause_writing(self) -> None:
        """The peer reads too slowly: take no more requests from it until it has read."""
        self._blocked = True
        if self._state == _OPEN and self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The peer has read."""
        if self._blocked and self._state == _OPEN and self._transport is not None:
            self._transport.resume_reading()
        self._blocked = False

    def expire(self) -> None:
        """The wheel's call: the handshake's deadline, the idle check or the end of lingering."""
        gateway = self._gateway
        if self._state == _REQUESTING:
            self._respond(408, f"no whole request within {gateway.handshake_timeout_s:g} s")
        elif self._state == _OPEN:
            idle_at = self._heard + gateway.idle_ticks
            if gateway.clock.tick < idle_at:
                gateway.wheel.put(self, idle_at)
            elif self._blocked:
                self.close(Close.SLOW, "the device does not read")
            else:
                self.close(Close.IDLE, "no frame for two heartbeat intervals")
        elif self._transport is not None:
            self._transport.abort()

    def close(self, code: int, reason: str = "", *, hang_up: bool = False) -> None:
        """Send a close frame and end. Nothing when it has ended already. `hang_up`: it answers the peer's own."""
        if self._state != _OPEN:
            return
        self._gateway.left(self, code)
        self._linger(websocket.close(code, reason), hang_up=hang_up)

    def _respond(self, status: int, text: str) -> None:
        if status >= 400:
            self._gateway.stats.refused += 1
        self._linger(handshake.response(status, text), hang_up=True)

    def _linger(self, last_words: bytes, *, hang_up: bool) -> None:
        """`hang_up`: the peer waits for the end alone. A TLS stream has no half-close to say that and listen on."""
        transport, gateway = self._transport, self._gateway
        assert transport is not None
        if self._blocked and self._state == _OPEN:
            transport.resume_reading()  # to see it hang up
        self._state = _CLOSING
        self._session = None
        self._head = b""
        if not transport.is_closing():
            transport.write(last_words)
            if transport.can_write_eof():
                transport.write_eof()
            elif hang_up:
                transport.close()
        gateway.wheel.put(self, gateway.clock.tick + LINGER_TICKS)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone, by whichever side."""
        if self._state == _OPEN:
            self._gateway.left(self, ABNORMAL)
        self._state = _LOST
        self._transport = None
        self._session = None
        self._head = b""
        self.due = NEVER
        self._gateway.hung_up(self._address)
