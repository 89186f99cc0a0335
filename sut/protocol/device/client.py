"""One device across many connections, sans-I/O: feed it inputs, then drain its frames and events.

A driver calls connected(), receive() for each binary message, tick() at next_wakeup(), and disconnected(). After each
call it sends frames() and handles events(). There is no clock, socket or thread here: `now` is any monotonic clock in
seconds. Cursors, the outbox and known gaps survive from one connection to the next. That makes delivery at-least-once
on the wire and exactly-once on the screen.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable

from sut.protocol.causal import Causality, Dependency
from sut.protocol.device.context import HISTORY_REQ
from sut.protocol.device.events import (
    ClientSettings,
    Drained,
    LogChanged,
    Nacked,
    Notified,
    Online,
    OutboxFull,
    RolledBack,
    Stalled,
    SyncAnswered,
    Wire,
)
from sut.protocol.device.gate import Gate
from sut.protocol.device.history import HistoryBusy
from sut.protocol.device.inbox import MEMBERSHIP, page_fault
from sut.protocol.device.liveness import Liveness
from sut.protocol.device.outbox import Compose
from sut.protocol.device.parts import Parts
from sut.protocol.device.reconnect import Reconnect
from sut.protocol.frames import (
    BEAT_RESYNC,
    Ack,
    Beat,
    Drain,
    Error,
    Message,
    Notify,
    Page,
    Refused,
    Synced,
    Welcome,
    decode_server,
)
from sut.protocol.signals import PresenceNews, Receipts, Typists

__all__ = ["Client", "ClientSettings", "HistoryBusy", "Nacked", "OutboxFull"]


class Client(Parts):
    """The state machine of one device. Not thread-safe."""

    __slots__ = ("_beats", "_epoch", "_liveness", "_low", "_online", "_reconnect", "_same_log", "log")

    def __init__(
        self,
        *,
        user: int,
        device: int,
        rng: random.Random,
        settings: ClientSettings,
        next_client_seq: int = 1,
        causality: Causality | None = None,
    ) -> None:
        """With `causality` it keeps causal order across conversations; without it, only the order within each."""
        super().__init__(user=user, device=device, rng=rng, settings=settings)
        if causality is not None:
            self._gate = self._inbox.gate = Gate(
                self._context, self._inbox, self._syncs, causality, fetch=self._claim, sync=self._sync
            )
        self._liveness = Liveness(self._context)
        self._reconnect = Reconnect(settings.reconnect_fixed_s)
        self._context.next_client_seq = next_client_seq
        self._online = False
        self._epoch = 0
        self.log = b""
        """The name of the log, from WELCOME; empty if it was not sent. The owner must keep it from run to run."""
        self._same_log = False
        self._low: dict[int, int] = {}  # conversation -> a head below its cursor, to be confirmed
        self._beats = 0

    def submit(self, conv: int, body: bytes | Compose, now: float) -> int:
        """Queue a message for sending, and return its client_seq. Raises OutboxFull, ValueError (bad size or id)."""
        client_seq = self._context.next_client_seq
        self._made_outbox().put(conv, client_seq, body, now=now)
        self._context.next_client_seq = client_seq + 1
        if self._signals is not None:
            self._signals.sent(conv)
        return client_seq

    def history(self, conv: int, before: int, now: float, *, limit: int = 50) -> int:
        """Ask for the newest `limit` messages before a sequence number. Returns the req of the HistoryPage or
        HistoryFailed.

        Raises HistoryBusy.
        """
        return self._made_histories().ask(conv, before, limit, now)

    def mark_read(self, conv: int, seq: int, now: float) -> None:
        """Note that the person has read everything up to `seq`. Messages that were not shown yet do not count."""
        self._made_signals().mark_read(conv, seq, now)

    def typing(self, conv: int, now: float) -> None:
        """Report that the person is typing. Call it with each keystroke; nothing is sent while offline."""
        self._made_signals().typing(conv, now, is_open=self._online)

    def stop_typing(self, conv: int, now: float) -> None:
        """Report that the person has stopped typing without sending."""
        self._made_signals().stop_typing(conv, now, is_open=self._online)

    def watch(self, users: Iterable[int]) -> None:
        """Watch the presence of these users and no others. Raises ValueError for more than MAX_WATCHED."""
        self._made_signals().watch(users, is_open=self._online)

    def dependencies(self, conv: int, now: float) -> tuple[Dependency, ...]:
        """Return what a message to this conversation must name if it is sent now. Empty without `causality`."""
        return self._gate.memory.dependencies(conv, now) if self._gate is not None else ()

    def connected(self, now: float) -> None:
        """Note that the upgrade succeeded. Nothing is sent before WELCOME."""
        self._liveness.connected(now)

    def disconnected(self, now: float) -> float:
        """Note that the connection ended or failed. Returns the seconds to wait before the next attempt."""
        self._online = False
        self._liveness.disconnected()
        self._close_parts()
        settings = self._context.settings
        return self._reconnect.next_wait_s(
            self._context.rng, base_s=settings.reconnect_base_s, cap_s=settings.reconnect_cap_s
        )

    def receive(self, frame: bytes, now: float) -> None:
        """Process one binary message from the gateway.

        Raises FrameError: then the driver should close and reconnect.
        """
        decoded = decode_server(frame)
        if isinstance(decoded, Page) and self._fetches is not None:
            self._liveness.bps = self._fetches.measured(len(frame), self._liveness.bps, now)
        self._liveness.heard(now)
        if not isinstance(decoded, Beat):
            self._context.question_at = math.inf
        match decoded:
            case Notify(entries):
                for conv, head, _flags in entries:
                    self._notified(conv, head, now)
            case Message():
                self._message(decoded, now)
            case Ack(conv, client_seq, seq):
                self._acked(conv, client_seq, seq, now)
            case Page() | Error() if decoded.req & HISTORY_REQ:
                self._history_answer(decoded, now)
            case Page():
                self._page(decoded, now)
            case Beat(flags):
                self._context.beat(now)
                self._beat(flags, now)
            case Synced():
                self._synced(decoded, now)
            case Refused():
                self._made_outbox().refused(decoded, now)
                self._settle_doubts(now)
            case Receipts() | Typists() | PresenceNews():
                self._made_signals().receive(decoded, now)
            case Welcome():
                self._welcome(decoded, now)
            case Drain(base_ms):
                self._liveness.draining(self._reconnect.draining(base_ms / 1000), now)
                self._made_outbox().drain()
                self._context.events.append(Drained(base_ms))
            case Error():
                self._syncs.failed(decoded.req, now)
                if self._fetches is not None and self._fetches.failed(decoded, now):
                    self._sync(now)

    def heard(self, now: float) -> None:
        """Note that bytes arrived, perhaps of an unfinished frame: the connection is alive.

        For a driver that sees single bytes; see liveness.py.
        """
        self._context.bytes_told = True
        self._liveness.heard(now)
        if self._fetches is not None:
            self._fetches.heard(now)

    def beats_ahead(self) -> tuple[float, float, int]:
        """Return when the next HEARTBEAT is due, the seconds between two, and how many an owner may send for it.

        An owner of many clients at rest can send these without them, and tells of them with `beaten`. The BEAT of the
        last one belongs to the client, as any other frame: it may make a SYNC due. 0 while the client waits for
        anything else.
        """
        at, every_s = self._liveness.rhythm
        busy = self._parts_due() != math.inf or not self._liveness.at_ease
        return at, every_s, 0 if busy else max(0, self._context.settings.sync_every_beats - self._beats)

    def beaten(self, count: int, sent_at: float, heard_at: float | None) -> None:
        """Note `count` HEARTBEATs that the owner sent for this client at rest, the last one at `sent_at`.

        Each had a BEAT without flags, the last one at `heard_at`; None: that one has not come yet.
        """
        self._liveness.tick(sent_at)
        self._context.frames.clear()
        self._beats += count - 1
        if heard_at is not None:
            self._liveness.heard(heard_at)
            self._context.beat(heard_at)
            self._beats += 1

    def discard(self) -> None:
        """Let go of the parts that refer to this object. It is used no more, and is freed with its last reference."""
        self._gate = self._inbox.gate = None

    def tick(self, now: float) -> None:
        """Do everything that is due."""
        self._tick(now)
        if self._context.pages != self._awaits_pages:  # a request that waited for a page is due now
            self._tick(now)

    def _tick(self, now: float) -> None:
        self._liveness.be_patient(pages=self._awaits_pages)
        reason = self._liveness.tick(now)
        if reason is not None:
            self._context.events.append(Stalled(reason))
        if self._outbox is not None:
            self._outbox.tick(now)
        if self._open:
            if self._fetches is not None:
                self._fetches.tick(now)
            if self._histories is not None:
                self._histories.tick(now)
            for conv in self._inbox.tick(now):
                self._made_signals().said(conv)
            if self._signals is not None:
                self._signals.tick(now)
            if self._syncs.tick(now):
                self._sync_begun(now)

    @property
    def untold(self) -> bool:
        """True if a submitted message has not been transmitted on any connection yet."""
        return self._outbox is not None and self._outbox.untold

    def next_wakeup(self) -> float:
        """Return the earliest time at which tick() has work to do; inf if only an input can change anything."""
        self._liveness.be_patient(pages=self._awaits_pages)
        return min(self._liveness.due(), self._parts_due())

    def _parts_due(self) -> float:
        """Return when a part other than the liveness has work to do."""
        at = math.inf if self._outbox is None else self._outbox.due()
        if self._open:
            at = min(at, self._inbox.due(), self._syncs.due())
            if self._fetches is not None:
                at = min(at, self._fetches.due())
            if self._histories is not None:
                at = min(at, self._histories.due())
            if self._signals is not None:
                at = min(at, self._signals.due())
        return at

    @property
    def _awaits_pages(self) -> bool:
        histories = self._histories is not None and self._histories.asked
        return histories or (self._fetches is not None and self._fetches.asked)

    def _welcome(self, frame: Welcome, now: float) -> None:
        context = self._context
        if self._open:
            context.violation("a second WELCOME on one connection")
            return
        if (frame.user, frame.device) != (context.user, context.device):
            context.violation(
                f"WELCOME to user {frame.user}, device {frame.device}; this is {context.user}, {context.device}"
            )
        self._epoch = frame.epoch
        self._same_log = frame.log != b"" and frame.log == self.log
        if frame.log and frame.log != self.log:
            if self.log:
                self._context.events.append(LogChanged(frame.log))
            self.log = frame.log
        self._low.clear()
        self._beats = 0
        self._liveness.welcome(frame.heartbeat_ms / 1000, now)
        self._open_parts(now)
        self._sync(now)

    def _sync(self, now: float) -> None:
        if self._open and self._syncs.begin(now):
            self._sync_begun(now)

    def _sync_begun(self, now: float) -> None:
        if self._fetches is not None:
            self._fetches.begin_audit()
        if self._signals is not None:
            self._signals.synced(now)

    def _synced(self, frame: Synced, now: float) -> None:
        for conv, head in self._syncs.fallen(frame):
            self._fallen(conv, head, now)
        for conv, head, _flags in frame.entries:
            if self._inbox.follow(conv) and head > self._inbox.cursors[conv]:
                self._made_fetches().confirm(conv, head, now)
        if self._online or frame.entries:
            self._context.events.append(SyncAnswered(tuple(conv for conv, _, _ in frame.entries)))
        sure = self._syncs.answered(frame, now)
        if sure is None:
            return
        ended = self._fetches.end_audit() if sure and self._fetches is not None else []
        if sure and self._gate is not None:
            self._gate.ended(ended, now)
            self._gate.synced(now)
        if sure and self._outbox is not None:
            self._outbox.looked(self._syncs.started)
            self._settle_doubts(now)
        if not self._online:
            self._online = True
            self._reconnect.succeeded()
            self._context.events.append(Online(self._epoch))
            if self._signals is not None:
                self._signals.opened()

    def _fallen(self, conv: int, head: int, now: float) -> None:
        """Handle a certain answer that the service has less of this conversation than was shown here.

        If the log is the same as before, it should have the messages: the next SYNC must confirm the answer.
        """
        if not self._context.settings.rewind:
            self._context.violation(f"conversation {conv} has reached {head}, and was shown up to a higher number")
        elif self._same_log and self._low.get(conv) != head:
            self._low[conv] = head
            self._sync(now)
        else:
            self._low.pop(conv, None)
            self.rewind(conv, head)

    def rewind(self, conv: int, head: int) -> None:
        """Lower the cursor to `head`: the service has lost the messages above it."""
        cursor = self._inbox.cursors.get(conv, 0)
        if head >= cursor:
            return
        self._inbox.rewind(conv, head)
        if self._gate is not None:
            self._gate.rewind(conv, head)
        if self._fetches is not None:
            self._fetches.rewind(conv)
        if self._signals is not None:
            self._signals.rewind(conv, head)
        self._context.events.append(RolledBack(conv, head, cursor))

    def _beat(self, flags: int, now: float) -> None:
        self._beats += 1
        if flags & BEAT_RESYNC or self._beats >= self._context.settings.sync_every_beats:
            self._beats = 0
            self._sync(now)

    def _claim(self, conv: int, head: int, now: float) -> None:
        if self._inbox.follow(conv) and head > self._inbox.cursors[conv]:
            self._made_fetches().claim(conv, head, now)

    def _notified(self, conv: int, head: int, now: float) -> None:
        if self._inbox.follow(conv) and head > self._inbox.cursors[conv]:
            self._context.events.append(Notified(conv, head))
            self._made_fetches().claim(conv, head, now)

    def _message(self, message: Message, now: float) -> None:
        """Take a message that arrived on its own, or in a page that covers nothing."""
        self._note_arrival(message)
        if message.seq < 1:
            self._context.violation(f"number {message.seq} in conversation {message.conv}")
        else:
            self._place(message, now)
        self._send_next(message.conv, now)
        self._settle_doubts(now)

    def _acked(self, conv: int, client_seq: int, seq: int, now: float) -> None:
        outbox, inbox, context = self._made_outbox(), self._inbox, self._context
        outbox.measure(conv, client_seq, now)
        body = outbox.settled(conv, client_seq, seq)
        if body is None:
            self._claim(conv, seq, now)  # of a message that was given up: it exists
        elif inbox.follow(conv):
            if seq <= inbox.cursors[conv]:
                context.violation(
                    f"message {client_seq} got number {seq} of conversation {conv}, which is at or below its cursor"
                )
                self._sync(now)  # the service may have been restored from an older copy
            self._place(Message(conv, seq, 0, context.user, context.device, client_seq, body), now)
        outbox.send_next(conv, now)

    def _page(self, page: Page, now: float) -> None:
        conv = page.conv
        after = self._fetches.answered(conv, page.req, now) if self._fetches is not None else None
        fault = page_fault(page, after or 0)
        if fault is not None:
            self._context.violation(fault)
            self._sync(now)
        if after is None or fault is not None:
            for message in page.messages:
                self._message(message, now)
        else:
            for message in page.messages:
                self._note_arrival(message)
            self._inbox.cover(page, now)
            self._send_next(conv, now)
        if after is None:
            self._claim(conv, page.head, now)
            return
        held, head = self._inbox.holds_back(conv), page.head if fault is None else 0
        if self._made_fetches().settle(conv, page_head=head, buffered=held, now=now):
            self._sync(now)
        self._settle_doubts(now)

    def _history_answer(self, frame: Page | Error, now: float) -> None:
        if self._histories is None:
            return
        if isinstance(frame, Error):
            self._histories.failed(frame, now)
        else:
            self._histories.answered(frame)

    def _note_arrival(self, message: Message) -> None:
        """Note the arrival of a message. An own message that comes back counts as its ACK."""
        if message.flags & MEMBERSHIP:
            return
        self._context.events.append(Wire(message))
        if self._signals is not None:
            self._signals.arrived(message.conv, message.user)
        if message.device == self._context.device:
            self._context.used_up_to(message.client_seq)
            self._made_outbox().arrived(message)

    def _settle_doubts(self, now: float) -> None:
        """Look for messages whose keys may belong to others. Those that have not arrived by now do not exist."""
        outbox = self._outbox
        if outbox is None or not outbox.doubted:
            return
        for conv, chain in list(outbox.doubted.items()):
            if chain is None:
                outbox.doubted[conv] = self._syncs.started + 1
                self._sync(now)
            elif chain <= outbox.looked_at and (self._fetches is None or not self._fetches.wants(conv)):
                outbox.not_there(conv, now)

    def _place(self, message: Message, now: float) -> None:
        """Show the message or hold it back. Then the gap is either closed, or known and to be fetched."""
        conv = message.conv
        if not self._inbox.follow(conv):
            return
        self._inbox.place(message, now)
        cursor = self._inbox.cursors[conv]
        if message.seq > cursor:
            self._made_fetches().claim(conv, message.seq, now)
        elif self._fetches is not None:
            self._fetches.filled(conv, cursor)

    def _send_next(self, conv: int, now: float) -> None:
        if self._outbox is not None:
            self._outbox.send_next(conv, now)
