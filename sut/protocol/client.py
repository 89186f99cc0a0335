"""One device across many connections: sans-I/O. Feed it what happens, then drain what it says.

A driver calls connected(), receive() for each binary message, tick() when next_wakeup() has come, and disconnected();
after each call it sends frames() and looks at events(). No clock, no socket, no thread is used here: `now` is any
monotone clock in seconds. Cursors, the outbox and known gaps live on from one connection to the next, which is what
makes delivery at-least-once on the wire and exactly-once on the screen.
"""

from __future__ import annotations

import random

from sut.protocol.client_context import Context
from sut.protocol.client_events import (
    Acked,
    ClientEvent,
    ClientSettings,
    Drained,
    GaveUp,
    MemberChange,
    Nacked,
    Online,
    OutboxFull,
    Sent,
    Show,
    Stalled,
    Violation,
    Wire,
)
from sut.protocol.client_fetch import Fetches
from sut.protocol.client_inbox import Inbox
from sut.protocol.client_liveness import Liveness
from sut.protocol.client_outbox import Outbox
from sut.protocol.client_sync import Syncs
from sut.protocol.frames import (
    BEAT_RESYNC,
    Ack,
    Beat,
    Drain,
    Entry,
    Error,
    Message,
    Notify,
    Page,
    Refused,
    Synced,
    Welcome,
    decode_server,
)
from sut.protocol.reconnect import Reconnect

__all__ = [
    "Acked",
    "Client",
    "ClientEvent",
    "ClientSettings",
    "Drained",
    "GaveUp",
    "MemberChange",
    "Nacked",
    "Online",
    "OutboxFull",
    "Sent",
    "Show",
    "Stalled",
    "Violation",
    "Wire",
]


class Client:
    """The state machine of one device. Not thread-safe."""

    __slots__ = (
        "_beats",
        "_context",
        "_epoch",
        "_fetches",
        "_inbox",
        "_liveness",
        "_next_client_seq",
        "_online",
        "_open",
        "_outbox",
        "_reconnect",
        "_syncs",
    )

    def __init__(
        self, *, user: int, device: int, rng: random.Random, settings: ClientSettings, next_client_seq: int = 1
    ) -> None:
        self._context = Context(user=user, device=device, rng=rng, settings=settings)
        self._inbox = Inbox(self._context)
        self._fetches = Fetches(self._context, self._inbox.cursors, is_open=False)
        self._outbox = Outbox(self._context, is_open=False)
        self._syncs = Syncs(self._context, self._inbox.cursors)
        self._liveness = Liveness(self._context)
        self._reconnect = Reconnect()
        self._next_client_seq = next_client_seq
        self._open = False
        self._online = False
        self._epoch = 0
        self._beats = 0

    def submit(self, conv: int, body: bytes, now: float) -> int:
        """Take a message for sending and return its client_seq. Raises OutboxFull, ValueError (bad size or id)."""
        client_seq = self._next_client_seq
        self._outbox.put(conv, client_seq, body, now=now)
        self._next_client_seq = client_seq + 1
        return client_seq

    def connected(self, now: float) -> None:
        """The upgrade succeeded. Nothing is sent before WELCOME."""
        self._liveness.connected(now)

    def disconnected(self, now: float) -> float:
        """The connection ended, or could not be made. Returns the seconds to wait before the next attempt."""
        self._open = self._online = False
        self._liveness.disconnected()
        self._fetches.close()
        self._outbox.close()
        self._syncs.close()
        self._context.frames.clear()
        settings = self._context.settings
        return self._reconnect.next_wait_s(
            self._context.rng, base_s=settings.reconnect_base_s, cap_s=settings.reconnect_cap_s
        )

    def receive(self, frame: bytes, now: float) -> None:
        """One binary message from the gateway. Raises FrameError: the driver should close and reconnect."""
        decoded = decode_server(frame)
        self._liveness.heard()
        match decoded:
            case Notify(entries):
                for entry in entries:
                    self._claim(entry, now)
            case Message():
                self._message(decoded, now)
            case Ack(conv, client_seq, seq):
                self._acked(conv, client_seq, seq, now)
            case Page():
                self._page(decoded, now)
            case Beat(flags):
                self._beat(flags, now)
            case Synced():
                self._synced(decoded, now)
            case Refused():
                self._outbox.refused(decoded, now)
            case Welcome():
                self._welcome(decoded, now)
            case Drain(base_ms):
                self._reconnect.draining(base_ms / 1000)
                self._context.events.append(Drained(base_ms))
            case Error():
                self._syncs.failed(decoded.req, now)
                if self._fetches.failed(decoded, now):
                    self._sync(now)

    def tick(self, now: float) -> None:
        """Do what is due."""
        reason = self._liveness.tick(now)
        if reason is not None:
            self._context.events.append(Stalled(reason))
        self._outbox.tick(now)
        if self._open:
            self._fetches.tick(now)
            self._inbox.tick(now)
            if self._syncs.tick(now):
                self._fetches.begin_audit()

    def next_wakeup(self) -> float:
        """The earliest time at which tick() has something to do; inf when only an input can change anything."""
        at = min(self._liveness.due(), self._outbox.due())
        if self._open:
            at = min(at, self._fetches.due(), self._inbox.due(), self._syncs.due())
        return at

    def frames(self) -> list[bytes]:
        """What has to be sent, in order, each as one binary message. Drained by this call."""
        context = self._context
        frames, context.frames = context.frames, []
        return frames

    def events(self) -> list[ClientEvent]:
        """What happened, in order. Drained by this call."""
        context = self._context
        events, context.events = context.events, []
        return events

    def idle(self) -> bool:
        """Nothing is unacknowledged, and nothing that is known to exist is missing."""
        return self._outbox.empty and not self._fetches.behind

    def _welcome(self, frame: Welcome, now: float) -> None:
        self._open = True
        self._epoch = frame.epoch
        self._beats = 0
        self._liveness.welcome(frame.heartbeat_ms / 1000, now)
        self._outbox.open(now)
        self._fetches.open(now)
        self._sync(now)

    def _sync(self, now: float) -> None:
        if self._open and self._syncs.begin(now):
            self._fetches.begin_audit()

    def _synced(self, frame: Synced, now: float) -> None:
        for conv, head, _flags in frame.entries:
            if self._inbox.follow(conv) and head > self._inbox.cursors[conv]:
                self._fetches.confirm(conv, head, now)
        sure = self._syncs.answered(frame, now)
        if sure is None:
            return
        if sure:
            self._fetches.end_audit()
        if not self._online:
            self._online = True
            self._reconnect.succeeded()
            self._context.events.append(Online(self._epoch))

    def _beat(self, flags: int, now: float) -> None:
        self._beats += 1
        if flags & BEAT_RESYNC or self._beats >= self._context.settings.sync_every_beats:
            self._beats = 0
            self._sync(now)

    def _claim(self, entry: Entry, now: float) -> None:
        if self._inbox.follow(entry.conv) and entry.seq > self._inbox.cursors[entry.conv]:
            self._fetches.claim(entry.conv, entry.seq, now)

    def _message(self, message: Message, now: float) -> None:
        if not self._arrived(message):
            return
        self._inbox.place(message, now)
        self._after_place(message, now)

    def _acked(self, conv: int, client_seq: int, seq: int, now: float) -> None:
        body = self._outbox.settled(conv, client_seq, seq)
        if body is not None and self._inbox.follow(conv):
            context = self._context
            own = Message(conv, seq, 0, context.user, context.device, client_seq, body)
            if seq <= self._inbox.cursors[conv]:
                context.violation(
                    f"message {client_seq} has number {seq} of conversation {conv}, which was passed over"
                )
            self._inbox.place(own, now)
            self._after_place(own, now)
        self._outbox.send_next(conv, now)

    def _page(self, page: Page, now: float) -> None:
        if not self._inbox.follow(page.conv):
            return
        after = self._fetches.answered(page.conv, page.req)
        for message in page.messages:
            if self._arrived(message):
                self._inbox.place(message, now)
                if after is None:
                    self._after_place(message, now)
                self._outbox.send_next(message.conv, now)
        if after is None:
            return
        self._inbox.cover(page.conv, page.through, now)
        held = self._inbox.holds_back(page.conv)
        if self._fetches.settle(page.conv, page_head=page.head, buffered=held, now=now):
            self._sync(now)

    def _arrived(self, message: Message) -> bool:
        """Note an arrival; an own message that comes back is as good as its ACK. False: it cannot be used."""
        if message.seq < 1:
            self._context.violation(f"number {message.seq} in conversation {message.conv}")
            return False
        if message.flags == 0:
            self._context.events.append(Wire(message))
            if message.device == self._context.device:
                self._outbox.settled(message.conv, message.client_seq, message.seq)
        return self._inbox.follow(message.conv)

    def _after_place(self, message: Message, now: float) -> None:
        """Either the gap is closed, or it is known and has to be fetched."""
        conv = message.conv
        cursor = self._inbox.cursors[conv]
        if message.seq > cursor:
            self._fetches.claim(conv, message.seq, now)
        else:
            self._fetches.filled(conv, cursor)
        if message.device == self._context.device:
            self._outbox.send_next(conv, now)
