"""What a device has shown and what it holds back: each conversation in rising number, without gaps, once.

The cursor of a conversation is the last number that was shown or that is not for this user. A message right above it
is shown at once, and so is what waited behind it; one further up waits in a bounded buffer until the gap is filled.
"""

from __future__ import annotations

import math

from sut.protocol.client_context import Context
from sut.protocol.client_events import ClientEvent, MemberChange, Show
from sut.protocol.frames import Flag, Message, Recv


class Inbox:
    """Cursors, held-back messages and the RECVs that are due, of one device."""

    __slots__ = ("_buffers", "_context", "_recv_due", "cursors")

    def __init__(self, context: Context) -> None:
        self._context = context
        self.cursors: dict[int, int] = {}
        """Conversation -> cursor. Others only read it."""
        self._buffers: dict[int, dict[int, Message]] = {}
        self._recv_due: dict[int, float] = {}  # all wait equally long, so their order is the order of their times

    def follow(self, conv: int) -> bool:
        """Make sure that the conversation has a cursor. False (and a Violation): this device follows too many."""
        if conv in self.cursors:
            return True
        if len(self.cursors) >= self._context.settings.max_conversations:
            self._context.violation(f"more than {self._context.settings.max_conversations} conversations")
            return False
        self.cursors[conv] = 0
        return True

    def holds_back(self, conv: int) -> bool:
        """A message above the cursor is here, so the gap below it is certain."""
        return conv in self._buffers

    def place(self, message: Message, now: float) -> None:
        """A message arrived: show it if its turn has come, hold it back if not, forget it if it was shown."""
        conv, seq = message.conv, message.seq
        cursor = self.cursors[conv]
        if seq <= cursor:
            return
        if seq == cursor + 1:
            self._show(message, now)
            self._show_held_back(conv, now)
            return
        buffer = self._buffers.setdefault(conv, {})
        if len(buffer) < self._context.settings.max_buffered:
            buffer.setdefault(seq, message)

    def cover(self, conv: int, through: int, now: float) -> None:
        """Up to `through`, everything for this user has been placed: what is missing there is not for them."""
        buffer = self._buffers.get(conv)
        if buffer:
            for seq in sorted(seq for seq in buffer if seq <= through):
                message = buffer.pop(seq)
                if seq > self.cursors[conv]:
                    self._show(message, now)
        if through > self.cursors[conv]:
            self.cursors[conv] = through
            self._owe_recv(conv, now)
        self._show_held_back(conv, now)

    def due(self) -> float:
        """When tick() has something to do."""
        return next(iter(self._recv_due.values()), math.inf)

    def tick(self, now: float) -> None:
        """Report what was shown. Only while the connection is open."""
        due = []
        for conv, at in self._recv_due.items():
            if at > now:
                break
            due.append(conv)
        for conv in due:
            del self._recv_due[conv]
            self._context.tell(Recv(conv, self.cursors[conv]))

    def _show_held_back(self, conv: int, now: float) -> None:
        buffer = self._buffers.get(conv)
        if buffer is None:
            return
        while (message := buffer.pop(self.cursors[conv] + 1, None)) is not None:
            self._show(message, now)
        if not buffer:
            del self._buffers[conv]

    def _show(self, message: Message, now: float) -> None:
        self.cursors[message.conv] = message.seq
        event: ClientEvent = Show(message)
        if message.flags & (Flag.MEMBER_ADD | Flag.MEMBER_REMOVE):
            event = MemberChange(message.conv, message.seq, message.user, bool(message.flags & Flag.MEMBER_ADD))
        self._context.events.append(event)
        self._owe_recv(message.conv, now)

    def _owe_recv(self, conv: int, now: float) -> None:
        self._recv_due.setdefault(conv, now + self._context.settings.recv_every_s)
