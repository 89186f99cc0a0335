"""Shows messages and holds others back: each conversation in rising sequence number, without gaps, once.

The cursor of a conversation is the last number that was shown, or that is not for this user. The message right above it
is shown at once, and so are the messages that waited behind it. A later message waits in a bounded buffer until the gap
is closed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Protocol

from sut.protocol.device.context import Context
from sut.protocol.device.events import MemberChange, RoleChange, Show
from sut.protocol.frames import Flag, Message, Page, Recv

MEMBERSHIP: Final = int(Flag.MEMBER_ADD | Flag.MEMBER_REMOVE | Flag.MEMBER_ROLE)  # plain: a Flag's & is slow
"""Flags of an entry that is a membership change and not a message. Other bits are ignored."""

OWNER: Final = 2
"""The role of the member who succeeds an owner."""


def page_fault(page: Page, after: int) -> str | None:
    """Return what is wrong with a page that should follow `after`; None if it is valid. A wrong page covers nothing."""
    if page.through > page.head:
        return f"PAGE of conversation {page.conv} covers numbers up to {page.through}, above its head {page.head}"
    last = after
    for message in page.messages:
        if not last < message.seq <= page.through:
            return f"PAGE of conversation {page.conv} has number {message.seq} between {last} and {page.through}"
        last = message.seq
    return None


class Screen(Protocol):
    """The destination of messages that the inbox has in order. It may hold them back. Implemented by gate.Gate."""

    def heard_of(self, conv: int) -> None:
        """Note that a frame names the conversation: this user has something to see there."""

    def shown(self, conv: int) -> int:
        """Return the last sequence number of the conversation that is on the screen."""

    def arrived(self, message: Message, now: float) -> None:
        """Take the next message of its conversation."""

    def passed(self, conv: int, now: float) -> None:
        """Note that everything of the conversation up to its cursor has arrived."""

    def due(self) -> float:
        """Return when tick() has work to do."""

    def tick(self, now: float) -> None:
        """Show the messages that were held back for too long."""


class Inbox:
    """The cursors, buffered messages and due RECVs of one device."""

    __slots__ = ("_buffers", "_context", "_recv_due", "cursors", "gate")

    def __init__(self, context: Context) -> None:
        self._context = context
        self.cursors: dict[int, int] = {}
        """Conversation -> cursor. Only the inbox changes it."""
        self.gate: Screen | None = None
        """Holds messages back that must not be on the screen yet; None: nothing is held back."""
        self._buffers: dict[int, dict[int, Message]] = {}
        self._recv_due: dict[int, float] = {}  # equal waits, so in the order of their times

    def follow(self, conv: int) -> bool:
        """Give the conversation a cursor. Returns False, with a Violation, if this device follows too many."""
        if self.gate is not None:
            self.gate.heard_of(conv)
        if conv in self.cursors:
            return True
        if len(self.cursors) >= self._context.settings.max_conversations:
            self._context.violation(f"more than {self._context.settings.max_conversations} conversations")
            return False
        self.cursors[conv] = 0
        return True

    def shown(self, conv: int) -> int:
        """Return the sequence number up to which the conversation is on the screen; its cursor if nothing is
        held back.
        """
        return self.cursors.get(conv, 0) if self.gate is None else self.gate.shown(conv)

    def holds_back(self, conv: int) -> bool:
        """Return True if a message above the cursor is here, so that the gap below it is certain."""
        return conv in self._buffers

    def place(self, message: Message, now: float) -> None:
        """Take a message: show it if it is next, buffer it if it is later, ignore it if it was shown."""
        conv, seq = message.conv, message.seq
        cursor = self.cursors[conv]
        if seq <= cursor:
            return
        if seq == cursor + 1:
            self._show(message, now)
            self._move(conv, seq, now)
            self._show_held_back(conv, now)
            return
        buffer = self._buffers.setdefault(conv, {})
        if seq in buffer:
            self._compare(buffer[seq], message)
        elif len(buffer) < self._context.settings.max_buffered:
            buffer[seq] = message

    def cover(self, page: Page, now: float) -> None:
        """Take a valid page: show its messages, and skip the numbers up to `through` that it lacks."""
        conv, through = page.conv, page.through
        cursor = self.cursors[conv]
        if through <= cursor:
            return
        fresh: Sequence[Message] = [message for message in page.messages if message.seq > cursor]
        if conv in self._buffers:
            fresh = self._with_held_back(conv, fresh, through)
        for message in fresh:
            self._show(message, now)
        self._move(conv, through, now)
        self._show_held_back(conv, now)

    def rewind(self, conv: int, head: int) -> None:
        """Lower the cursor to `head` and drop the buffered messages: the service has lost them."""
        self.cursors[conv] = head
        self._buffers.pop(conv, None)

    def due(self) -> float:
        """Return when tick() has work to do."""
        at = next(iter(self._recv_due.values()), math.inf)
        return at if self.gate is None else min(at, self.gate.due())

    def tick(self, now: float) -> list[int]:
        """Show what was held back too long, then send the due RECVs. Returns their conversations."""
        if self.gate is not None:
            self.gate.tick(now)
        due = []
        for conv, at in self._recv_due.items():
            if at > now:
                break
            due.append(conv)
        for conv in due:
            del self._recv_due[conv]
            self._context.tell(Recv(conv, self.shown(conv)))
        return due

    def _with_held_back(self, conv: int, fresh: Sequence[Message], through: int) -> list[Message]:
        """Return the fresh messages and those buffered up to `through`, in order. Of two with one number the first
        stays.
        """
        merged = {message.seq: message for message in fresh}
        buffer = self._buffers[conv]
        for seq in [seq for seq in buffer if seq <= through]:
            held = buffer.pop(seq)
            if seq in merged:
                self._compare(held, merged[seq])
            else:
                self._context.violation(f"number {seq} of conversation {conv} arrived, and a PAGE leaves it out")
            merged[seq] = held
        return [merged[seq] for seq in sorted(merged)]

    def _compare(self, first: Message, second: Message) -> None:
        if first != second:
            self._context.violation(f"number {first.seq} of conversation {first.conv} is two different messages")

    def _show_held_back(self, conv: int, now: float) -> None:
        buffer = self._buffers.get(conv)
        if buffer is None:
            return
        while (message := buffer.pop(self.cursors[conv] + 1, None)) is not None:
            self._show(message, now)
            self._move(conv, message.seq, now)
        if not buffer:
            del self._buffers[conv]

    def emit(self, message: Message, *, incomplete: bool = False) -> None:
        """Report that this message is on the screen now; `incomplete`: without one that it names."""
        conv, seq, flags, user, _, _, body = message
        events = self._context.events
        if not flags & MEMBERSHIP:
            events.append(Show(message, incomplete))
        elif flags & Flag.MEMBER_ROLE:
            events.append(RoleChange(conv, seq, user, body[0] if body else 0))
        else:
            events.append(MemberChange(conv, seq, user, bool(flags & Flag.MEMBER_ADD)))
            if len(body) == 8:  # the owner left
                events.append(RoleChange(conv, seq, int.from_bytes(body, "big"), OWNER))

    def report(self, conv: int, now: float) -> None:
        """Schedule a RECV: more of this conversation was shown."""
        self._recv_due.setdefault(conv, now + self._context.settings.recv_every_s)

    def _show(self, message: Message, now: float) -> None:
        if self.gate is None:
            self.emit(message)
        else:
            self.gate.arrived(message, now)

    def _move(self, conv: int, cursor: int, now: float) -> None:
        self.cursors[conv] = cursor
        if self.gate is None:
            self.report(conv, now)
        else:
            self.gate.passed(conv, now)
