"""The parts of a client machine (client.py), and the calls that only query them.

Parts are made when first needed, and are opened and closed together. Most devices of a large population only listen. So
a client without a gap has no fetches, and a client that sends nothing has no outbox.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from sut.protocol.device.context import Context
from sut.protocol.device.events import ClientEvent, ClientSettings
from sut.protocol.device.fetch import Fetches
from sut.protocol.device.gate import Gate
from sut.protocol.device.history import Histories
from sut.protocol.device.inbox import Inbox
from sut.protocol.device.outbox import Outbox
from sut.protocol.device.signals import Signals
from sut.protocol.device.sync import Syncs


class Parts:
    """The parts of one device. Client defines how they work together."""

    __slots__ = ("_context", "_fetches", "_gate", "_histories", "_inbox", "_open", "_outbox", "_signals", "_syncs")

    def __init__(self, *, user: int, device: int, rng: random.Random, settings: ClientSettings) -> None:
        self._context = Context(user=user, device=device, rng=rng, settings=settings)
        self._inbox = Inbox(self._context)
        self._fetches: Fetches | None = None
        self._outbox: Outbox | None = None
        self._histories: Histories | None = None
        self._signals: Signals | None = None
        self._gate: Gate | None = None
        self._syncs = Syncs(self._context, self._inbox.cursors)
        self._open = False

    def resume(
        self,
        cursors: Mapping[int, int],
        unsettled: Iterable[tuple[int, int, bytes]],
        now: float,
        *,
        read: Mapping[int, int] = MappingProxyType({}),
    ) -> None:
        """Continue where an earlier run of the program ended. Call it before the first connection.

        `cursors`: the newest conversations last. `unsettled`: (conversation, client_seq, body) in the order of
        submission, all below `next_client_seq`. `read`: conversation -> the number up to which the person has read. The
        earlier run may have ended before it reported what was shown and read, so both are reported again after the
        first SYNC.
        """
        self._inbox.cursors.update(cursors)
        if cursors:
            self._made_signals().resumed(cursors, read)
        if self._gate is not None:
            for conv, seq in cursors.items():
                self._gate.memory.resumed(conv, seq, now)
        for conv, client_seq, body in unsettled:
            self._made_outbox().put(conv, client_seq, body, now=now)

    @property
    def cursors(self) -> Mapping[int, int]:
        """Conversation -> the number up to which it was shown. Save it together with what was shown."""
        if self._gate is None or not self._gate.holding:
            return self._inbox.cursors
        return {conv: self._inbox.shown(conv) for conv in self._inbox.cursors}

    def frames(self) -> list[bytes]:
        """Return the frames to send, in order, each as one binary message. Each call drains them."""
        context = self._context
        frames, context.frames = context.frames, []
        return frames

    def events(self) -> list[ClientEvent]:
        """Return the events in order. Each call drains them."""
        context = self._context
        events, context.events = context.events, []
        return events

    def idle(self) -> bool:
        """Return True if nothing is unacknowledged or held back, no gap is known, and no open SYNC may reveal one.

        Offline, the SYNC does not count: nothing can be asked.
        """
        if self._outbox is not None and not self._outbox.empty:
            return False
        if self._fetches is not None and self._fetches.behind:
            return False
        if self._gate is not None and self._gate.holding:
            return False
        return not self._open or self._syncs.settled

    def _open_parts(self, now: float) -> None:
        self._open = True
        for part in (self._gate, self._outbox, self._fetches, self._histories):
            if part is not None:
                part.open(now)

    def _close_parts(self) -> None:
        self._open = False
        for part in (self._syncs, self._gate, self._fetches, self._outbox, self._histories):
            if part is not None:
                part.close()
        if self._signals is not None:
            self._signals.closed()
        self._context.frames.clear()

    def _made_outbox(self) -> Outbox:
        if self._outbox is None:
            memory = self._gate.memory if self._gate is not None else None
            self._outbox = Outbox(self._context, is_open=self._open, memory=memory)
        return self._outbox

    def _made_histories(self) -> Histories:
        if self._histories is None:
            self._histories = Histories(self._context, is_open=self._open)
        return self._histories

    def _made_signals(self) -> Signals:
        if self._signals is None:
            self._signals = Signals(self._context, self._inbox.shown)
        return self._signals

    def _made_fetches(self) -> Fetches:
        if self._fetches is None:
            self._fetches = Fetches(self._context, self._inbox.cursors, is_open=self._open)
        return self._fetches
