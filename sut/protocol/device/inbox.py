"""What a device has shown and what it holds back: each conversation in rising number, without gaps, once.

The cursor of a conversation is the last number that was shown or that is not for this user. A message right above it
is shown at once, and so is what waited behind it; one further up waits in a bounded buffer until the gap is filled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Protocol

from sut.protocol.device.context import Context
from sut.protocol.device.events import MemberChange, RoleChange, Show
from sut.protocol.frames import Flag, Message, Page, Recv

MEMBERSHIP: Final = Flag.MEMBER_ADD | Flag.MEMBER_REMOVE | Flag.MEMBER_ROLE
"""An entry with one of these is no message. Other bits mean nothing yet and are ignored."""

OWNER: Final = 2
"""The role that the heir of an owner has."""


def page_fault(page: Page, after: int) -> str | None:
    """What is wrong with a page as an answer to what follows `after`; None: nothing. Such a page covers nothing."""
    if page.through > page.head:
        return f"PAGE of conversation {page.conv} covers numbers up to {page.through}, above its head {page.head}"
    last = after
    for message in page.messages:
        if not last < message.seq <= page.through:
            return f"PAGE of conversation {page.conv} has number {message.seq} between {last} and {page.through}"
        last = message.seq
    return None


class Screen(Protocol):
    """Where messages go that the inbox has in order; it may hold them back. Implemented by gate.Gate."""

    def heard_of(self, conv: int) -> None:
        """A frame says that this user has something to see there."""

    def shown(self, conv: int) -> int:
        """The last number of the conversation that is on the screen."""

    def arrived(self, message: Message, now: float) -> None:
        """The next message of its conversation."""

    def passed(self, conv: int, now: float) -> None:
        """Everything of the conversation up to its cursor has arrived."""

    def due(self) -> float:
        """When tick() has something to do."""

    def tick(self, now: float) -> None:
        """Show what was held back for too long."""


class Inbox:
    """Cursors, held-back messages and the RECVs that are due, of one device."""

    __slots__ = ("_buffers", "_context", "_recv_due", "cursors", "gate")

    def __init__(self, context: Context) -> None:
        self._context = context
        self.cursors: dict[int, int] = {}
        """Conversation -> cursor. Others only read it."""
        self.gate: Screen | None = None
        """Holds back on the way to the screen what must not be there yet; None: nothing must."""
        self._buffers: dict[int, dict[int, Message]] = {}
        self._recv_due: dict[int, float] = {}  # all wait equally long, so their order is the order of their times

    def follow(self, conv: int) -> bool:
        """Make sure that the conversation has a cursor. False (and a Violation): this device follows too many."""
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
        """Up to which number the conversation is on the screen: its cursor, if nothing waits behind the gate."""
        return self.cursors.get(conv, 0) if self.gate is None else self.gate.shown(conv)

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
            self._move(conv, seq, now)
            self._show_held_back(conv, now)
            return
        buffer = self._buffers.setdefault(conv, {})
        if seq in buffer:
            self._compare(buffer[seq], message)
        elif len(buffer) < self._context.settings.max_buffered:
            buffer[seq] = message

    def cover(self, page: Page, now: float) -> None:
        """A page without fault came: show what it brings, and pass over the numbers up to `through` that it lacks."""
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
        """The service has nothing above `head`: what is held back there was of another time."""
        self.cursors[conv] = head
        self._buffers.pop(conv, None)

    def due(self) -> float:
        """When tick() has something to do."""
        at = next(iter(self._recv_due.values()), math.inf)
        return at if self.gate is None else min(at, self.gate.due())

    def tick(self, now: float) -> list[int]:
        """Report what was shown, after what has waited too long. Returns the conversations reported.

        Only while the connection is open.
        """
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
        """The fresh messages and those held back up to `through`, by number. Of two for one number the first stays."""
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

    def emit(self, message: Message) -> None:
        """This one is on the screen now."""
        conv, seq, flags, user, _, _, body = message
        events = self._context.events
        if not flags & MEMBERSHIP:
            events.append(Show(message))
        elif flags & Flag.MEMBER_ROLE:
            events.append(RoleChange(conv, seq, user, body[0] if body else 0))
        else:
            events.append(MemberChange(conv, seq, user, bool(flags & Flag.MEMBER_ADD)))
            if len(body) == 8:  # the owner left
                events.append(RoleChange(conv, seq, int.from_bytes(body, "big"), OWNER))

    def report(self, conv: int, now: float) -> None:
        """More of this conversation was shown: the service will be told."""
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
