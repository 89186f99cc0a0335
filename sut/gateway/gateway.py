"""The gateway: its connections, and the frames between them and the rest of the system.

Frames of devices go to any chat service that is up. Frames that sequencers, chat services and the API pass on go to the
connections that they name. A gateway contains no business rule: it does not read bodies, conversations or members.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import time
from collections.abc import Callable, Sequence
from typing import Final, cast

from sut.deploy.topology import Service, Tls, Topology
from sut.gateway import budget
from sut.gateway.connection import Connection, Shared
from sut.gateway.listening import Listener, LoopListener
from sut.gateway.losses import Losses
from sut.gateway.pieces import GatewayPieces
from sut.gateway.presence import GatewayPresence
from sut.gateway.registrar import Pace, Registrar
from sut.gateway.reports import Reports
from sut.gateway.silence import Told, is_news
from sut.gateway.timers import NEVER, TICK_S, ticks
from sut.gateway.tls import TlsListener
from sut.ports import Presence, Registry, Revocation
from sut.process.links import links_to
from sut.process.listening import listener
from sut.process.metrics.instruments import Hop
from sut.process.partitioning import partition_of
from sut.process.peer import PeerConnection, PeerServer, PortInUse
from sut.process.revoked import Revoked
from sut.process.trace import OFF, Trace
from sut.process.trace import Hop as Step
from sut.protocol import rising, websocket
from sut.protocol.frames import Close, Drain, Fetch, History, Nack, Recv, Send, Sync, Type, busy, encode
from sut.protocol.handshake import PATH
from sut.protocol.peer import (
    ANSWER,
    AskConnected,
    AskRoutes,
    Changed,
    Connected,
    Deliver,
    Deliveries,
    FetchHistory,
    FetchPage,
    Missed,
    PeerFrame,
    Submit,
    SyncDevice,
    Took,
    TypingIn,
)
from sut.protocol.server import answers, is_synced, refusal
from sut.protocol.signals import FromDevice, Read, ReceiptKind, Typing, Watch

RESYNCS: Final = 100
"""Devices that are told in one tick to SYNC, when all may have missed something: 1,000 a second."""
LINGER_S: Final = 2.5
"""Time that a drained gateway waits for devices to read their close frames."""


class Gateway(Shared):
    """The state of one gateway process. Start it, run the loops of `registrar` beside it, drain it, close it."""

    def __init__(
        self,
        topology: Topology,
        service: Service,
        *,
        incarnation: int,
        registry: Registry,
        max_sockets: int,
        presence: Presence | None = None,
        revoked: Revoked | None = None,
        pieces: GatewayPieces = GatewayPieces(),  # noqa: B008 (frozen)
        trace: Trace = OFF,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(topology, max_sockets=max_sockets, revoked=revoked, syncs=pieces.syncs(), clock=clock)
        settings = topology.settings
        self._trace = trace
        self._hop = Hop("gateway")
        self._service = service
        self._topology = topology
        self._clock = clock
        self.wall_clock = wall_clock
        self._drain_base_s = settings.drain_base_s
        self.connections: dict[int, Connection] = {}
        self._by_device: dict[int, Connection] = {}
        """Device -> its newest open connection: the push service asks about devices."""
        self._last_number = 0
        self.losses = Losses(sequencer.name for sequencer in topology.of_kind("sequencer"))
        self._registers(registry, incarnation, pieces)
        self._taken: dict[PeerConnection, int] = {}
        """The highest number of the Deliveries of each sequencer that are to be confirmed."""
        self.presence: GatewayPresence | None = None
        """None: this gateway keeps no presence, and ignores WATCH."""
        if presence is not None:
            self.presence = pieces.presence(
                presence,
                node=service.name,
                incarnation=incarnation,
                heartbeat_s=settings.heartbeat_s,
                period_s=settings.presence_period_s,
                grace_s=settings.presence_grace_s,
                tell_chats=self._tell_chats,
                clock=clock,
            )
        links = links_to(topology, service, incarnation, "chat", on_frame=self.on_peer_frame)
        self._chats = list(links.values())
        self._handed = pieces.handed(len(self._chats))
        self._next_chat = 0
        self._reports = Reports()
        self._partitions = settings.partitions
        self.admission = pieces.admission(settings.partitions)
        self._tick_due_s = 0.0
        self._resyncs_left = 0
        """Devices that may still be told before the next tick to SYNC."""
        self._peers = PeerServer(
            node=service.name,
            incarnation=incarnation,
            secret=topology.peer_secret,
            on_frame=self._on_peer_question,
            stats=self.gauges,
            on_up=self._peer_up,
            on_down=self._peer_down,
        )
        self._tls = topology.tls
        self._listener: Listener | None = None
        self._ticking: asyncio.TimerHandle | None = None

    def _registers(self, registry: Registry, incarnation: int, pieces: GatewayPieces) -> None:
        topology, service, settings = self._topology, self._service, self._topology.settings
        self.announcer = pieces.announcer(
            node=service.name,
            incarnation=incarnation,
            connections=self.connections,
            sequencers=(sequencer.name for sequencer in topology.of_kind("sequencer")),
            peers=lambda: self._peers.connections,
            clock=self._clock,
            on_unsaid=self.losses.note,
        )
        self.registrar = Registrar(
            registry,
            node=service.name,
            incarnation=incarnation,
            address=topology.gateway_url(service, PATH),
            ttl_s=settings.lease_ttl_s,
            connections=self.connections,
            losses=self.losses,
            pace=pieces.pace or Pace(refresh_s=settings.heartbeat_s),
            on_doubt=self.announcer.begin,
            on_certain=self.announcer.end,
            covered=lambda: self.announcer.to_all,
            on_late=self._on_late,
            clock=self._clock,
        )

    async def start(self) -> None:
        """Listen for devices and peers, and dial the chat services. Raises PortInUse, TlsError."""
        host, port = self._service.host, self._service.ports["ws"]
        try:
            sock = listener(host, port)
            self._listener = _listen(self, sock, self._tls)
        except OSError as error:
            raise PortInUse(f"{self._service.name}: cannot listen on {host}:{port}: {error.strerror}") from None
        await self._peers.start(self._service.host, self._service.ports["peer"])
        for chat in self._chats:
            chat.start()
        self._tick()

    def _tick(self) -> None:
        now_s = self._clock()
        self.admission.ticked(now_s - self._tick_due_s if self._tick_due_s else 0.0)
        self._tick_due_s = now_s + TICK_S
        self._ticking = asyncio.get_running_loop().call_later(TICK_S, self._tick)
        for connection in self.wheel.advance(self.clock.advance(now_s)):
            connection.expire()
        self.silence.advance(self.clock.tick)
        self.registrar.tick()
        self.announcer.tick()
        self._confirm()
        self._resyncs_left = RESYNCS
        self._resync_some()
        self._hand_on_again()
        self._report()

    def _report(self) -> None:
        """Pass on what devices have shown and read since the last tick."""
        for frame in self._reports.take():
            self._next_chat = (self._next_chat + 1) % len(self._chats)
            if not self._hand_on(frame, self._next_chat):
                self.stats.unforwarded += len(frame.items)

    def _confirm(self) -> None:
        for peer, number in self._taken.items():
            peer.send(Took(self._service.name, number))
        self._taken.clear()

    def _on_late(self, user: int, device: int, left_s: float) -> None:
        """A device that has left is in the registry still: who looks there takes it for connected."""
        if self.limits.older(user, device) is None:
            self.silence.gone(device, self.clock.tick - ticks(self._clock() - left_s))

    def _resync_some(self) -> None:
        for number in self.syncs.due(self.clock.tick, self._resyncs_left):
            self._resyncs_left -= 1
            connection = self.connections.get(number)
            if connection is not None and connection.welcomed:
                connection.resync(at_once=True)

    # Called by connections.

    def opened(self, connection: Connection) -> None:
        """Number a connection whose device has authenticated, register it, and close an older one of the device."""
        self.stats.handshakes += 1
        self._last_number += 1
        connection.number = self._last_number
        connection.epoch = int(self.wall_clock() * 1000)
        older = self.limits.older(connection.user, connection.device)
        if older is not None:  # independent of the registry, which may answer later or not at all
            older.close(Close.REPLACED, "a newer connection of this device took over")
        self.connections[connection.number] = self._by_device[connection.device] = connection
        self.limits.opened(connection)
        self.silence.opened(connection)
        self.registrar.add(connection)
        self.announcer.add(connection)
        if self.presence is not None:
            self.presence.opened(connection)
        self._trace.stamp(Step.OPENED, device=connection.device)

    def left(self, connection: Connection, code: int) -> None:
        """Forget an open connection that has ended with this close code."""
        del self.connections[connection.number]
        if self._by_device.get(connection.device) is connection:
            del self._by_device[connection.device]
        self.syncs.left(connection.number)
        self.limits.left(connection)
        self.stats.closed[code] += 1
        self.registrar.remove(connection)
        self.announcer.remove(connection)
        silent = self.silence.left(connection)
        if self.presence is not None:
            if silent:
                self.presence.heard(connection)  # it leaves once
            self.presence.left(connection)

    def on_silent(self, connection: Told, silent: bool) -> None:
        """A connection fell silent, or is heard again."""
        there = self.connections.get(cast("Connection", connection).number)
        if self.presence is not None and there is connection:
            (self.presence.silent if silent else self.presence.heard)(there)

    def on_revoked(self, revocations: Sequence[Revocation]) -> None:
        """Close the connections that were opened with a revoked token."""
        for revocation in revocations:
            connection = self.limits.older(revocation.user, revocation.device)
            if connection is not None and connection.login_s <= revocation.at_s:
                connection.close(Close.REVOKED, "this device was revoked")

    def mark(self) -> int:
        """Return the number that sessions compare for RESYNC."""
        return self.losses.mark()

    @property
    def announcing(self) -> bool:
        """True while the sequencers hear of each connection from us, so that none needs a route in the registry."""
        return self.announcer.to_all

    def forward(self, connection: Connection, frame: Send | Recv | Fetch | Sync | History | FromDevice) -> None:
        """Pass a device's frame to a chat service that is up; refuse it when there is none, or when a SEND would wait.

        All sends of a partition go to the same chat service while it is up, so that more of them share an append. So do
        reads of a conversation: members who ask for the same page share it. Reports wait for the tick. Other frames go
        to the chat services in turn.
        """
        if isinstance(frame, Watch):
            if self.presence is not None:
                self.presence.watch(connection, frame.users)
            return
        if isinstance(frame, Recv | Read):
            self._note(connection, frame)
            return
        count = len(self._chats)
        partition, now_s = 0, 0.0
        if type(frame) is Send:
            if ahead_s := rising.ahead_s(frame.client_seq, self.wall_clock()):
                self._refuse(connection, frame, busy(ahead_s) if ahead_s <= rising.CLOCKS_S else Nack.AHEAD)
                return
            partition, now_s = partition_of(frame.conv, self._partitions), self._clock()
            if retry_after_s := self.admission.refuses(partition, now_s):
                self._hop.failed()
                self._refuse(connection, frame, busy(retry_after_s))
                return
            first = partition % count
        elif type(frame) is Fetch or type(frame) is History:
            first = partition_of(frame.conv, self._partitions) % count
        else:
            first = self._next_chat = (self._next_chat + 1) % count
        if self._hand_on(_for_chat(connection, frame), first):
            self.stats.forwarded += 1
            self.stats.passed_on[type(frame).__name__.lower()] += 1
            if type(frame) is Sync:
                self.syncs.passed_on(connection.number, self.clock.tick, self._clock())
                if connection.untold != NEVER:
                    self.syncs.begins(connection.number, connection.device, connection.untold)
            elif type(frame) is Send:
                self.admission.passed_on(partition, (connection.number, frame.client_seq), now_s)
                self._trace.message(Step.HANDED_ON, connection.device, frame.client_seq)
            return
        self.stats.unforwarded += 1
        if type(frame) is Send:
            self._hop.failed()
        self._refuse(connection, frame, Nack.UNAVAILABLE)

    def _note(self, connection: Connection, frame: Recv | Read) -> None:
        kind = ReceiptKind.DELIVERED if isinstance(frame, Recv) else ReceiptKind.READ
        taken = self._reports.note(frame.conv, kind, frame.seq, user=connection.user, device=connection.device)
        if taken and any(chat.up for chat in self._chats):
            self.stats.forwarded += 1
            self.stats.passed_on[type(frame).__name__.lower()] += 1
        else:
            self.stats.unforwarded += 1

    def _refuse(
        self, connection: Connection, frame: Send | Recv | Fetch | Sync | History | FromDevice, code: int
    ) -> None:
        refused = refusal(frame, code)
        if refused is not None:
            connection.send(refused.data)

    def _hand_on(self, frame: PeerFrame, first: int) -> bool:
        """Send it to the first chat service that takes it, from this one on. False: none does."""
        count = len(self._chats)
        for step in range(count):
            place = (first + step) % count
            if self._chats[place].send(frame):
                self._handed.note(place, self._chats[place].ups, frame, self.clock.tick)
                return True
        return False

    def _hand_on_again(self) -> None:
        """Give another chat service what one that has died had taken just before."""
        if not any(chat.up for chat in self._chats):
            return
        for place, chat in enumerate(self._chats):
            for frame in self._handed.lost(place, chat.ups if chat.up else 0, self.clock.tick):
                self.stats.handed_again += 1
                self._hand_on(frame, place + 1)

    def _tell_chats(self, frame: Changed) -> None:
        """Pass the frame to the first chat service that is up."""
        any(chat.send(frame) for chat in self._chats)

    # Called for frames of peers.

    def _on_peer_question(self, peer: PeerConnection, correlation: int, frame: PeerFrame) -> None:
        if isinstance(frame, AskConnected):
            silent = self.syncs.owed(self.clock.tick) | dict(self.silence.since(self.clock.tick))
            there = tuple(device for device in frame.devices if device in self._by_device and device not in silent)
            sure = self.registrar.up and not self.registrar.waiting
            since = tuple((device, round(age * TICK_S * 1000)) for device, age in silent.items())
            peer.send(Connected(there, sure, since), correlation | ANSWER)
        elif isinstance(frame, AskRoutes):
            self.announcer.asked(peer)
        else:
            if isinstance(frame, Deliveries) and frame.number:
                self._taken[peer] = frame.number
            self.on_peer_frame(frame)

    def on_peer_frame(self, frame: PeerFrame) -> None:
        """Deliver the frames of a sequencer, a chat service or the API."""
        if isinstance(frame, Deliveries):
            for item in frame.items:
                self._deliver(item)
        elif isinstance(frame, Deliver):
            self._deliver(frame)
        elif isinstance(frame, Missed):
            self.stats.missed += 1
            self.losses.note()
            self.syncs.hold_all(self.connections)

    def _deliver(self, item: Deliver) -> None:
        data = websocket.binary(item.frame)  # once, whatever the number of connections
        begun_ns, there, news = self._trace.now_ns(), len(item.conns), is_news(item.frame)
        page_s = budget.answer_s(item.frame)
        if (sent := answers(item.frame)) is not None:
            for number in item.conns:
                self._answered(number, *sent, refused=item.frame[0] == Type.NACK)
        elif is_synced(item.frame):
            now_s = self._clock()
            for number in item.conns:
                self.syncs.answered(number, now_s)
                if (asker := self.connections.get(number)) is not None:
                    asker.untold = NEVER
            self._resync_some()
        for number in item.conns:
            connection = self.connections.get(number)
            if connection is None:
                self.stats.undeliverable += 1
                there -= 1
                continue
            connection.send(data)
            if page_s:
                connection.pay(page_s)
            if news:
                self.silence.told(connection, self.clock.tick)
            if item.close:
                connection.close(item.close, _reason(item.close))
        if there and self.presence is not None:
            self.presence.delivered(item.frame, there)
        if there and begun_ns:
            self._trace.delivered(item.frame, begun_ns)

    def _answered(self, number: int, conv: int, client_seq: int, *, refused: bool) -> None:
        partition, now_s = partition_of(conv, self._partitions), self._clock()
        took_s = self.admission.answered(partition, (number, client_seq), now_s)
        if refused:
            self._hop.failed()
        elif took_s is not None:
            connection = self.connections.get(number)
            device = connection.device if connection is not None else 0
            self._hop.took_for(took_s, device, client_seq, self._trace.every)

    def _peer_up(self, peer: PeerConnection) -> None:
        self.losses.linked(peer.node)
        self.announcer.joined(peer)

    def _peer_down(self, peer: PeerConnection) -> None:
        self.losses.unlinked(peer.node)
        self.announcer.left(peer)
        self._taken.pop(peer, None)

    def gauges(self) -> dict[str, float]:
        return (
            self.stats.as_gauges()
            | self.limits.gauges()
            | {
                "revoked": float(len(self.revoked)),
                "connections": float(len(self.connections)),
                "sockets": float(self._sockets),
                "chats_up": float(sum(chat.up for chat in self._chats)),
                "announces": float(self.announcer.active),
                "registry_up": float(self.registrar.up),
                "routes_waiting": float(self.registrar.waiting),
                "routes_written": float(self.registrar.written),
                "routes_removed": float(self.registrar.removed),
                "lease_lapses": float(self.registrar.lapses),
                "whole": float(self.losses.whole(self._clock())),
                "stalls": float(self.clock.stalls),
                "silent": float(len(self.silence)),
                "probes": float(self.silence.pings),
                "resyncs_waiting": float(self.syncs.waiting),
                "resyncs_held": float(self.syncs.held),
                "sends_waiting": float(self.admission.waiting),
                "sends_refused": float(self.admission.refused),
                "draining": float(self.draining),
            }
            | (self.presence.stats() if self.presence is not None else {})
        )

    # Shutdown.

    async def drain(self) -> None:
        """Send every device elsewhere: DRAIN, then the close frames spread over `drain_base_s`, then end the sockets.

        Takes at most `drain_base_s` and LINGER_S. Release the lease before, so that no device is sent here.
        """
        self.draining = True
        if self._listener is not None:
            self._listener.close()
        data = websocket.binary(encode(Drain(round(self._drain_base_s * 1000))))
        leaving = list(self.connections.values())
        for connection in leaving:
            connection.send(data)
        steps = max(1, round(self._drain_base_s / TICK_S)) if leaving else 0
        for step in range(steps):
            await asyncio.sleep(self._drain_base_s / steps)
            for connection in leaving[step::steps]:
                connection.close(Close.GOING_AWAY, "this gateway is going away")
        if not self._sockets:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                await self._emptied.wait()

    async def close(self) -> None:
        """Close listeners and links, and the connections that remain."""
        if self._ticking is not None:
            self._ticking.cancel()
        for connection in list(self.connections.values()):
            connection.close(Close.GOING_AWAY, "this gateway is going away")
        if self._listener is not None:
            self._listener.end()
        for chat in self._chats:
            await chat.close()
        await self._peers.close()


def _listen(gateway: Shared, sock: socket.socket, tls: Tls | None) -> Listener:
    """Return what accepts devices on a bound socket, which it owns. Raises TlsError, OSError."""
    if tls is not None:
        return TlsListener(gateway, sock, tls)
    if not hasattr(select, "epoll"):
        return LoopListener(gateway, sock)
    from sut.gateway.sockets import PlainListener  # it needs epoll

    return PlainListener(gateway, sock)


def _for_chat(connection: Connection, frame: Send | Fetch | Sync | History | Typing) -> PeerFrame:
    """Return the frame with its sender, which a chat service takes from the gateway unchecked."""
    number, user, device = connection.number, connection.user, connection.device
    match frame:
        case Send(conv, client_seq, body):
            return Submit(number, user, device, conv, client_seq, body)
        case Typing(conv, state):
            return TypingIn(user, device, conv, state)
        case Fetch(req, conv, after, limit):
            return FetchPage(number, user, req, conv, after, limit)
        case Sync(req, after_conv, cursors):
            return SyncDevice(number, user, req, after_conv, cursors)
        case History(req, conv, before, limit):
            return FetchHistory(number, user, req, conv, before, limit)


def _reason(code: int) -> str:
    try:
        return Close(code).name.lower()
    except ValueError:
        return ""
