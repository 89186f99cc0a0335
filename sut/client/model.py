"""The view of a person: conversations, their lines in order, receipts and presence. Pure data and queries; no I/O."""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Final

MAX_LINES: Final = 1_000
"""The number of lines of a conversation in memory. Older lines are on disk only."""
TYPING_S: Final = 6.0
"""Seconds for which a user counts as typing after each sign of it."""


class Delivery(IntEnum):
    """How far an own line has come on its way to the other members."""

    WAITING = 0
    SENT = 1  # durable and numbered
    DELIVERED = 2  # shown by a device of everybody else
    READ = 3  # read by everybody else
    FAILED = 4  # will never be in the conversation


class LineKind(StrEnum):
    """The kinds of lines in a conversation."""

    TEXT = "text"
    NOTICE = "notice"  # what is no message: a member joined or left, or (user 0) something is to be known
    SEALED = "sealed"  # a message that cannot be decrypted (yet)
    EARLIER = "earlier"  # stands for all messages older than this device


@dataclass(slots=True, kw_only=True)
class Line:
    """One line of a conversation. `row` is its row number in the local state."""

    row: int
    conv: int
    kind: LineKind = LineKind.TEXT
    seq: int = 0
    """0 until the service has numbered the message. Lines without a sequence number come last."""
    user: int = 0
    device: int = 0
    client_seq: int = 0
    at_ms: int = 0
    text: str = ""
    edited: bool = False
    deleted: bool = False
    failed: str = ""
    """Why the message will never be in the conversation; empty if it did not fail."""

    @property
    def order(self) -> tuple[int, int]:
        """Return the sort key: by sequence number; lines without one come last, in the order of writing."""
        return (self.seq or 1 << 62, self.row)


@dataclass(slots=True, kw_only=True)
class Conversation:
    """One conversation, as far as this device knows it."""

    conv: int
    direct: bool
    title: str = ""
    """The title of a group; empty for a 1:1 conversation."""
    peer: int = 0
    """The other user of a 1:1 conversation; 0 for a group."""
    members: dict[int, int] = field(default_factory=dict)
    """User -> the first sequence number that this member may see."""
    known: bool = False
    """True once kind and members are known. Nothing can be sent before that."""
    left: bool = False
    """True if this user is not a member any more."""
    cursor: int = 0
    read: int = 0
    lines: list[Line] = field(default_factory=list)
    older: bool = False
    """True if some of the lines are on disk only."""
    receipts: dict[tuple[int, int], int] = field(default_factory=dict)
    """(user, kind of receipt) -> the sequence number up to which it holds."""
    typing: dict[int, float] = field(default_factory=dict)
    """User -> the time until which they count as typing, by the client's clock."""

    def put(self, line: Line) -> None:
        """Insert a line at its place. A line that is already there moves to the place of its new sequence number."""
        if line in self.lines:
            self.lines.remove(line)
        bisect.insort(self.lines, line, key=lambda one: one.order)
        if len(self.lines) > MAX_LINES:
            del self.lines[: len(self.lines) - MAX_LINES]
            self.older = True

    def line_of(self, device: int, client_seq: int) -> Line | None:
        """Return the newest line in memory with this idempotency key."""
        for line in reversed(self.lines):
            if client_seq and line.device == device and line.client_seq == client_seq:
                return line
        return None

    def at(self, seq: int) -> Line | None:
        """Return the line in memory with this sequence number."""
        place = bisect.bisect_left(self.lines, (seq, 0), key=lambda one: one.order)
        if place < len(self.lines) and self.lines[place].seq == seq:
            return self.lines[place]
        return None

    def may_be_older(self, seq: int) -> bool:
        """Return True if the line with this sequence number (0: any line) may be on disk only."""
        return self.older and (not self.lines or seq < self.lines[0].order[0])

    def unread(self, me: int) -> int:
        """Return the number of messages of other users that this person has not read."""
        count = 0
        for line in reversed(self.lines):
            if line.seq and line.seq <= self.read:
                break
            count += bool(line.seq) and line.user != me and line.kind is LineKind.TEXT and not line.deleted
        return count

    def last_seq(self) -> int:
        """Return the highest sequence number among the newest 50 lines; 0 if there is none."""
        return max((line.seq for line in self.lines[-50:]), default=0)

    def last_row(self) -> int:
        """Return the row number of the newest line, numbered or not: the order of arrival at this device.

        The times in the lines are no substitute: they come from the senders' clocks, which may run ahead.
        """
        numbered = next((line.row for line in reversed(self.lines) if line.seq), 0)
        return max(numbered, self.lines[-1].row) if self.lines else 0

    def delivery(self, line: Line, me: int) -> Delivery:
        """Return how far an own line has come, judged by the receipts of the members."""
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
        """Return True if one of the newest 50 lines is an own message that not all members have read."""
        own = [line for line in self.lines[-50:] if line.user == me and line.kind is LineKind.TEXT and line.seq]
        return any(self.delivery(line, me) < Delivery.READ for line in own)

    def typists(self, now: float) -> list[int]:
        """Return the users who are typing now."""
        return [user for user, until in self.typing.items() if until > now]


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """The presence of a user whom this device watches."""

    online: bool
    last_seen_ms: int = 0
    """Unix time in milliseconds; 0 if not known."""
