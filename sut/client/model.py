"""What a person sees: conversations, their lines in order, ticks, who is there. Pure data and questions about it."""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Final

MAX_LINES: Final = 1_000
"""Lines of a conversation in memory; older ones stay on disk."""
TYPING_S: Final = 6.0
"""Somebody who is said to be typing is believed for so long."""


class Delivery(IntEnum):
    """How far an own line has come."""

    WAITING = 0
    SENT = 1  # durable and numbered
    DELIVERED = 2  # shown by a device of everybody else
    READ = 3  # by everybody else
    FAILED = 4  # will never be in the conversation


class LineKind(StrEnum):
    """What a line is."""

    TEXT = "text"
    NOTICE = "notice"  # somebody came or went
    SEALED = "sealed"  # came, and cannot be read (yet)
    EARLIER = "earlier"  # stands for all that was written before this device was there


@dataclass(slots=True, kw_only=True)
class Line:
    """One line of a conversation. `row` is its place in the local state."""

    row: int
    conv: int
    kind: LineKind = LineKind.TEXT
    seq: int = 0
    """0: not numbered yet; such lines come last."""
    user: int = 0
    device: int = 0
    client_seq: int = 0
    at_ms: int = 0
    text: str = ""
    edited: bool = False
    deleted: bool = False
    failed: str = ""
    """Why it will never be in the conversation."""

    @property
    def order(self) -> tuple[int, int]:
        """By number; what has none after all that have one, as it was written."""
        return (self.seq or 1 << 62, self.row)


@dataclass(slots=True, kw_only=True)
class Conversation:
    """One conversation, as far as this device knows it."""

    conv: int
    direct: bool
    title: str = ""
    """Of a group."""
    peer: int = 0
    """The other one, of a direct conversation."""
    members: dict[int, int] = field(default_factory=dict)
    """Who is in it now -> the first number they may see."""
    known: bool = False
    """Kind and members were learned; until then nothing can be sent."""
    left: bool = False
    """This user is no member any more."""
    cursor: int = 0
    read: int = 0
    lines: list[Line] = field(default_factory=list)
    older: bool = False
    """Some of its lines are on disk only."""
    receipts: dict[tuple[int, int], int] = field(default_factory=dict)
    """(user, kind of receipt) -> number."""
    typing: dict[int, float] = field(default_factory=dict)
    """User -> until when, on the client's clock."""

    def put(self, line: Line) -> None:
        """Add a line, or move one that got its number, to its place."""
        if line in self.lines:
            self.lines.remove(line)
        bisect.insort(self.lines, line, key=lambda one: one.order)
        if len(self.lines) > MAX_LINES:
            del self.lines[: len(self.lines) - MAX_LINES]
            self.older = True

    def line_of(self, device: int, client_seq: int) -> Line | None:
        """The newest line that came with this idempotency key."""
        for line in reversed(self.lines):
            if client_seq and line.device == device and line.client_seq == client_seq:
                return line
        return None

    def at(self, seq: int) -> Line | None:
        """The line of this number."""
        place = bisect.bisect_left(self.lines, (seq, 0), key=lambda one: one.order)
        if place < len(self.lines) and self.lines[place].seq == seq:
            return self.lines[place]
        return None

    def may_be_older(self, seq: int) -> bool:
        """Whether a line of this number (0: of any) may be on disk and not in memory."""
        return self.older and (not self.lines or seq < self.lines[0].order[0])

    def unread(self, me: int) -> int:
        """Lines of others that were not read here."""
        count = 0
        for line in reversed(self.lines):
            if line.seq and line.seq <= self.read:
                break
            count += bool(line.seq) and line.user != me and line.kind is LineKind.TEXT and not line.deleted
        return count

    def last_seq(self) -> int:
        """The highest number of a line."""
        return max((line.seq for line in self.lines[-50:]), default=0)

    def last_row(self) -> int:
        """When the newest line came to this device, as its place in the local state. The times in lines are their
        senders' clocks: one that runs ahead would stay on top for as long as it does.
        """
        numbered = next((line.row for line in reversed(self.lines) if line.seq), 0)
        return max(numbered, self.lines[-1].row) if self.lines else 0

    def delivery(self, line: Line, me: int) -> Delivery:
        """How far an own line has come."""
        if line.failed:
            return Delivery.FAILED
        if not line.seq:
            return Delivery.WAITING
        others = [user for user, first in self.members.items() if user != me and first <= line.seq]
        if others and all(self.receipts.get((user, 1), 0) >= line.seq for user in others):
            return Delivery.READ
        if others and all(max(self.receipts.get((user, kind), 0) for kind in (0, 1)) >= line.seq for user in others):
            return Delivery.DELIVERED
        return Delivery.SENT

    def unconfirmed(self, me: int) -> bool:
        """Whether some own line of late has not been read by everybody."""
        own = [line for line in self.lines[-50:] if line.user == me and line.kind is LineKind.TEXT and line.seq]
        return any(self.delivery(line, me) < Delivery.READ for line in own)

    def typists(self, now: float) -> list[int]:
        """Who is typing now."""
        return [user for user, until in self.typing.items() if until > now]


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """Of somebody whom this device watches."""

    online: bool
    last_seen_ms: int = 0
    """0: not known."""
