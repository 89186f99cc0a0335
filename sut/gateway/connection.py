"""One device's socket: the edge between asyncio and the pure session. One small object, without a task or a timer.

A connection is first an HTTP request with a deadline, then a session. At the end it is a socket that waits briefly for
the peer to read the last bytes. If it closed at once, the kernel would answer what the peer still sends with a reset,
and the close code would be lost.
"""

from __future__ import annotations

import asyncio
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, cast

from sut.deploy.topology import Topology
from sut.gateway import budget
from sut.gateway.limits import Limits, address_of
from sut.gateway.silence import Silence, Told
from sut.gateway.stats import Stats
from sut.gateway.syncs import Syncs
from sut.gateway.timers import NEVER, AwakeClock, Wheel, ticks
from sut.process.revoked import Revoked
from sut.protocol import handshake, websocket
from sut.protocol.frames import (
    BEAT_RESYNC,
    MAX_BODY,
    Beat,
    Close,
    Fetch,
    History,
    Nack,
    Recv,
    Send,
    Sync,
    Welcome,
    encode,
)
from sut.protocol.handshake import HandshakeError, log_name
from sut.protocol.server import Answer, End, Forward, ServerSession, refusal
from sut.protocol.signals import FromDevice
from sut.protocol.tokens import TokenError, prove

SLICE: Final = 2 << 10
"""Bytes of one connection that are looked at before the others have their turn: a millisecond or two at worst."""
MAX_TURNED_AWAY: Final = 64
"""Sockets beyond `max_sockets` that get a 503; more are cut."""
BEAT_SPARE_S: Final = 1.0
"""How late a heartbeat may be before its device is asked whether it is there."""
LINGER_TICKS: Final = ticks(2.0)
"""Time that a closed connection gets to read our close frame and hang up, before it is cut."""
ABNORMAL: Final = 1006
"""The code that counts connections that ended without a close frame; never sent."""

_REQUESTING: Final = 0
_OPEN: Final = 1
_CLOSING: Final = 2
_LOST: Final = 3


class Shared(ABC):
    """State that the connections of one gateway share: settings, limits, timers and counters. Gateway adds its own."""

    def __init__(
        self,
        topology: Topology,
        *,
        max_sockets: int,
        revoked: Revoked | None,
        syncs: Syncs,
        clock: Callable[[], float],
    ) -> None:
        settings = topology.settings
        self.token_key = bytes.fromhex(topology.token_key)
        self.log = log_name(topology.log_id or topology.run_id)
        self.send_buffer = settings.send_buffer
        self.pause_at = settings.send_buffer // 4
        self.cpu_share = settings.device_cpu_share
        self.heartbeat_ms = round(settings.heartbeat_s * 1000)
        self.handshake_timeout_s = settings.handshake_timeout_s
        self.handshake_ticks = ticks(settings.handshake_timeout_s)
        self.idle_ticks = ticks(2 * settings.heartbeat_s)
        self.beat_ticks = ticks(min(settings.heartbeat_s + BEAT_SPARE_S, 2 * settings.heartbeat_s))
        self.silence = Silence(self.on_silent)
        self.syncs = syncs
        self.clock = AwakeClock(clock())
        self.wheel: Wheel[Connection] = Wheel()
        self.stats = Stats()
        self.limits: Limits[Connection] = Limits(settings)
        self.revoked = revoked if revoked is not None else Revoked()
        self.draining = False
        self._max_sockets = max_sockets
        self._sockets = 0
        self._emptied = asyncio.Event()
        """Set when the last socket of a draining gateway is gone."""

    wall_clock: Callable[[], float]
    """Unix time."""

    def accepted(self, address: str) -> int:
        """Count a socket of this address. Returns 0: accept it, 1: refuse its request, 2: cut it."""
        self._sockets += 1
        verdict = self.limits.came(address, self.clock.second)
        return 2 if self._sockets > self._max_sockets + MAX_TURNED_AWAY else verdict

    @property
    def full(self) -> bool:
        """True while there are more sockets than `max_sockets`."""
        return self._sockets > self._max_sockets

    def hung_up(self, address: str) -> None:
        """Stop counting a socket that is gone."""
        self._sockets -= 1
        self.limits.gone(address)
        if self.draining and not self._sockets:
            self._emptied.set()

    @abstractmethod
    def opened(self, connection: Connection) -> None:
        """Number a connection whose device has authenticated, and register it."""

    @abstractmethod
    def left(self, connection: Connection, code: int) -> None:
        """Forget an open connection that has ended with this close code."""

    @abstractmethod
    def on_silent(self, connection: Told, silent: bool) -> None:
        """Note that a connection fell silent, or is heard again."""

    @abstractmethod
    def mark(self) -> int:
        """Return the number that sessions compare for RESYNC (losses.py)."""

    @property
    @abstractmethod
    def announcing(self) -> bool:
        """True while frames are routed to each connection even before the registry has its route."""

    @abstractmethod
    def forward(self, connection: Connection, frame: Send | Recv | Fetch | Sync | History | FromDevice) -> None:
        """Pass a device's frame on; refuse it when no service can take it."""


class Connection(asyncio.Protocol):
    """A device's connection. `number`, `user`, `device`, `login_s` and `epoch` are set when it opens.

    `routed`: the registry has stored this connection. `welcomed`: WELCOME was sent; it precedes all other frames.
    `untold`: since which tick it is open, until its first SYNC is answered; NEVER after that.
    """

    __slots__ = (
        "_address", "_blocked", "_gateway", "_head", "_heard", "_indebted", "_looked_at", "_saved_at_s", "_saved_s",
        "_session", "_state", "_tells_log", "_transport", "_unread", "_unwelcome",
        "device", "due", "epoch", "login_s", "number", "routed", "told", "untold", "user", "welcomed",
    )  # fmt: skip

    def __init__(self, gateway: Shared, *, address: str = "", unwelcome: bool = False) -> None:
        """`address`: set if the caller has counted the socket. `unwelcome`: its request is to be refused."""
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
        self._indebted = False  # the peer costs too much, and is not read for a while (budget.py)
        self._unread = b""  # came, and is not looked at yet from the next number on
        self._looked_at = 0
        self._saved_s = budget.SAVED_S
        self._saved_at_s = 0.0
        self.due = NEVER
        self.number = 0
        self.user = 0
        self.device = 0
        self.login_s = 0
        self.epoch = 0
        self.routed = False
        self.told = NEVER
        self.untold = NEVER
        self.welcomed = False

    @property
    def begun(self) -> bool:
        """True once there was a transport; with TLS, once the handshake has ended."""
        return self._transport is not None or self._state != _REQUESTING

    @property
    def begins(self) -> bool:
        """True until the request for the upgrade was answered."""
        return self._state == _REQUESTING

    @property
    def is_open(self) -> bool:
        """True while frames are exchanged."""
        return self._state == _OPEN

    @property
    def unheard(self) -> bool:
        """True while the device is in debt, so that what it sends is not read."""
        return self._indebted

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the deadline of the upgrade request. Slowly arriving bytes do not extend it."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's do not inherit from it
        gateway = self._gateway
        gateway.wheel.put(self, gateway.clock.tick + gateway.handshake_ticks)
        if not self._address:
            address = address_of((transport.get_extra_info("peername") or ("gone",))[0])
            self._address = sys.intern(address)  # many devices come from one
            verdict = gateway.accepted(self._address)
            self._unwelcome = verdict != 0
            if verdict > 1:
                self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Process bytes from the peer. Bytes after the end are dropped."""
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
            self.user, self.device, _issued_s, self.login_s = prove(
                upgrade.token, gateway.token_key, gateway.wall_clock()
            )
            if gateway.revoked.is_void(self.user, self.device, self.login_s):
                raise TokenError("token was revoked")
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
        self._heard = self.untold = gateway.clock.tick
        self._session = ServerSession(gateway.mark())
        self._tells_log = upgrade.log
        self._transport.set_write_buffer_limits(high=gateway.pause_at)
        self._transport.write(handshake.accepted(upgrade.key))
        gateway.opened(self)
        gateway.wheel.put(self, self._heard + gateway.beat_ticks)
        if request.rest:
            self._receive(request.rest)

    def _receive(self, data: bytes) -> None:
        """Take bytes a slice at a time, so that no chunk of them keeps the others waiting."""
        waiting = bool(self._unread)
        if not waiting and not self._indebted and self._heartbeat(data):
            return
        self._unread, self._looked_at = self._unread[self._looked_at :] + data, 0
        if not waiting:
            self._next_slice()

    def _heartbeat(self, data: bytes) -> bool:
        """Answer a lone HEARTBEAT. Returns False for everything else, which is still to be looked at."""
        gateway, session = self._gateway, self._session
        assert session is not None
        second = gateway.clock.second
        if not self.routed and not gateway.announcing:
            session.forget_mark()
        hold = not gateway.syncs.room(gateway.clock.tick)
        answer = session.heartbeat(data, mark=gateway.mark(), second=second, hold=hold)
        if answer is None:
            return False
        self._note_heard()
        gateway.stats.frames_in += 1
        gateway.limits.too_fast(self.user, 1, second)
        self._answer(answer)
        self.pay(budget.HEARTBEAT_S)
        return True

    def _answer(self, answer: Answer) -> None:
        gateway = self._gateway
        if answer.resync:
            gateway.stats.resyncs += 1
            gateway.syncs.asked(self.number, gateway.clock.tick)
        elif answer.held:
            gateway.syncs.hold(self.number)
        self.send(answer.data)

    def _note_heard(self) -> None:
        self._heard = self._gateway.clock.tick
        if self.told != NEVER:
            self._gateway.silence.heard(self)

    def _next_slice(self) -> None:
        if self._state != _OPEN or self._indebted:
            return
        piece = self._unread[self._looked_at : self._looked_at + SLICE]
        self._looked_at += SLICE
        if self._looked_at >= len(self._unread):
            self._unread, self._looked_at = b"", 0
        if piece:
            self._take(piece)
        transport = self._transport
        if self._state != _OPEN or self._indebted or transport is None:
            return
        if self._unread:
            transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._next_slice)
        elif not self._blocked:
            transport.resume_reading()

    def _take(self, data: bytes) -> None:
        gateway, session = self._gateway, self._session
        assert session is not None
        began_s = time.thread_time()
        self._note_heard()
        if not self.routed and not gateway.announcing:
            session.forget_mark()  # frames cannot be routed to it yet, so each BEAT says RESYNC
        hold = not gateway.syncs.room(gateway.clock.tick)
        decisions = session.receive(data, mark=gateway.mark(), second=gateway.clock.second, hold=hold)
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
                self._answer(decision)
            else:
                assert isinstance(decision, End)
                self.close(decision.code, decision.reason, hang_up=not decision.reason)
        self.pay(time.thread_time() - began_s + budget.elsewhere_s(decisions))

    def pay(self, cost_s: float) -> None:
        """Take this cost from what was saved. Reads no more from a peer that is in debt, until that is paid off."""
        now_s, share = time.monotonic(), self._gateway.cpu_share
        self._saved_s = budget.left_s(self._saved_s, now_s - self._saved_at_s, cost_s, share=share)
        self._saved_at_s = now_s
        if self._saved_s >= 0 or self._indebted or self._state != _OPEN or self._transport is None:
            return
        self._indebted = True
        self._gateway.stats.indebted += 1
        if not self._blocked:
            self._transport.pause_reading()
        asyncio.get_running_loop().call_later(budget.pause_s(-self._saved_s, share=share), self._paid_off)

    def _paid_off(self) -> None:
        self._indebted = False
        gateway, told = self._gateway, self.told
        self._note_heard()  # it could not be heard
        if told != NEVER:
            gateway.silence.told(self, gateway.clock.tick)
        self._next_slice()

    def welcome(self) -> None:
        if self.welcomed or self._state != _OPEN:
            return
        self.welcomed = True
        log = self._gateway.log if self._tells_log else b""
        frame = Welcome(self.user, self.device, self.epoch, self._gateway.heartbeat_ms, MAX_BODY, log)
        self.send(websocket.binary(encode(frame)))

    def resync(self, *, at_once: bool = False) -> None:
        """Make the device SYNC: as soon as there is room for its question, or `at_once`."""
        if at_once:
            self._gateway.stats.resyncs += 1
            if self._session is not None:
                self._session.told(self._gateway.mark())
            self.send(websocket.binary(encode(Beat(BEAT_RESYNC))))
        elif self._session is not None:
            self._session.forget_mark()
            self._gateway.syncs.hold(self.number, urgent=True)

    def send(self, data: bytes) -> None:
        """Write one whole WebSocket frame. Ends the connection as SLOW if more than the send buffer waits already.

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
        """Take no more requests from a peer that reads too slowly."""
        self._blocked = True
        if self._state == _OPEN and self._transport is not None and not self._indebted:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Read from the peer again: it has read what we wrote."""
        if self._blocked and self._state == _OPEN and self._transport is not None and not self._indebted:
            self._transport.resume_reading()
        self._blocked = False

    def expire(self) -> None:
        """Act on the deadline that the wheel reports: of the handshake, of idleness or of the close."""
        gateway = self._gateway
        if self._state == _REQUESTING:
            self._respond(408, f"no whole request within {gateway.handshake_timeout_s:g} s")
        elif self._state == _OPEN:
            idle_at = self._heard + gateway.idle_ticks
            if gateway.clock.tick < self._heard + gateway.beat_ticks:
                gateway.wheel.put(self, self._heard + gateway.beat_ticks)
            elif gateway.clock.tick < idle_at:
                gateway.silence.told(self, gateway.clock.tick)  # a heartbeat is missing
                gateway.wheel.put(self, idle_at)
            elif self._indebted:
                gateway.wheel.put(self, gateway.clock.tick + gateway.idle_ticks)
            elif self._blocked:
                self.close(Close.SLOW, "the device does not read")
            else:
                self.close(Close.IDLE, "no frame for two heartbeat intervals")
        elif self._transport is not None:
            self._transport.abort()

    def close(self, code: int, reason: str = "", *, hang_up: bool = False) -> None:
        """Send a close frame and end, unless it has ended already. `hang_up`: this answers the peer's close frame."""
        if self._state != _OPEN:
            return
        self._gateway.left(self, code)
        self._linger(websocket.close(code, reason), hang_up=hang_up)

    def _respond(self, status: int, text: str) -> None:
        if status >= 400:
            self._gateway.stats.refused += 1
        self._linger(handshake.response(status, text), hang_up=True)

    def _linger(self, last_words: bytes, *, hang_up: bool) -> None:
        """Write the last bytes and wait for the peer to read them. `hang_up`: the peer only waits for the end."""
        transport, gateway = self._transport, self._gateway
        assert transport is not None
        if (self._blocked or self._indebted or self._unread) and self._state == _OPEN:
            transport.resume_reading()  # to see it hang up
        self._state = _CLOSING
        self._session = None
        self._head = self._unread = b""
        if not transport.is_closing():
            transport.write(last_words)
            if transport.can_write_eof():
                transport.write_eof()
            elif hang_up:
                transport.close()
        gateway.wheel.put(self, gateway.clock.tick + LINGER_TICKS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the socket is gone, whoever closed it."""
        if self._state == _OPEN:
            self._gateway.left(self, ABNORMAL)
        self._state = _LOST
        self._transport = None
        self._session = None
        self._head = b""
        self.due = NEVER
        self._gateway.hung_up(self._address)
