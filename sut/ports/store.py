"""Messages by conversation and number, stored with the sequencer's state.

The structs are values, and can be in no circle: `gc=False` keeps the garbage collector from looking at hundreds of
thousands of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec


class StoredMessage(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A row of a conversation: a message (flags 0) or a membership change (flags as in frames.Flag, user concerned)."""

    seq: int
    flags: int
    user: int
    device: int
    client_seq: int
    body: bytes


class Span(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A stay of a user in a conversation: the user sees the numbers n with first <= n < end.

    An add that took number s opens a span with first s + 1 (1 at the creation). A removal that took number s closes it
    with end s. end 0: the user is still there.
    """

    user: int
    first: int
    end: int = 0


class RoleMark(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The role of a group member and the number that set it. Without one, the creator is owner, others are members."""

    user: int
    role: int
    seq: int


class SenderMark(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Dedup state, kept for ever: the last client_seq decided of a device in a conversation, and its number.

    The number is 0 for a SEND that was refused for good, from a device whose user had been removed.
    """

    device: int
    client_seq: int
    seq: int
    digest: int = 0
    """56 bits of the BLAKE2b of its body (0: not known): the same client_seq with another body is no repetition."""


class ConversationRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The sequencer's state of one conversation, as stored beside its rows."""

    conv: int
    kind: str  # "d", "g" or "m", as in CREATE
    creator: int
    head: int  # last number given
    applied: int  # log offset of the last record applied


class ConversationImage(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The stored state of a conversation, without its messages."""

    row: ConversationRow
    spans: tuple[Span, ...]
    marks: tuple[SenderMark, ...]
    roles: tuple[RoleMark, ...] = ()


class ConversationWrite(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The changes of one conversation since the last write. They are stored together or not at all."""

    row: ConversationRow
    messages: tuple[StoredMessage, ...]
    spans: tuple[Span, ...]  # new or changed stays; (user, first) is their key
    marks: tuple[SenderMark, ...]  # new or changed; device is the key
    roles: tuple[RoleMark, ...] = ()  # new or changed; user is the key


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """The seconds that changes are gathered before a write. Each backend chooses it by the cost of a write."""

    rows_s: float
    """Interval of write(). A restart replays this much of the log, besides the records in progress."""
    cursors_s: float
    """Interval of save_cursors() and save_receipts()."""


class MessageStore(Protocol):
    """Messages by conversation and number, stored with the sequencer's state."""

    @property
    def pace(self) -> Pace:
        """The pace at which the caller should write to this backend."""

    async def load(self, conv: int, *, confirmed: int | None = None) -> ConversationImage | None:
        """Return the stored state, None when the conversation is not stored.

        An owner passes the log offset up to which writes are known to have returned. A state beyond that offset is as
        durable on return as if its own write had returned. Readers leave `confirmed` out.
        """

    async def write(self, partition: int, writes: Sequence[ConversationWrite]) -> None:
        """Store each conversation's change atomically. Repeating a write changes nothing.

        What is written is a function of the log up to the row's `applied`. A write with an `applied` below the stored
        one changes nothing, so an owner that was replaced does no harm. Numbers have no holes: a row is stored with or
        after those before it.
        """

    async def reached(self, partition: int) -> int | None:
        """Return a log offset up to which the store holds all that follows from this partition's log.

        It may be less than what is held. Only a store that was put back to an older copy is far below what was
        committed: then the log has to be read again from there. None: this backend does not tell.
        """

    async def page(self, conv: int, after: int, limit: int) -> list[StoredMessage]:
        """Up to `limit` rows with a number above `after`, in order."""

    async def page_before(self, conv: int, before: int, limit: int) -> list[StoredMessage]:
        """The newest rows with a number below `before`, `limit` at most, in order."""

    async def expire(self, partition: int, older_than_s: float) -> bool:
        """Delete some messages of a partition that are older than this. Return True if more can be deleted.

        One call is bounded work. The oldest of a conversation go first; states, stays, roles and marks stay. A backend
        deletes whole days or whole buckets of numbers: later than asked, never earlier.
        """

    async def conversations_of(self, user: int, after: int, limit: int) -> list[int]:
        """Return up to `limit` ids above `after`, rising, of the conversations that this user is or was in.

        The result may name one that is not stored (a crash came between it and this index). It misses none that is
        stored.
        """

    async def heads(self, user: int, convs: Sequence[int]) -> dict[int, int]:
        """The stored head of each, as far as this user may see; without those not stored or never entered."""

    async def save_cursors(self, cursors: Iterable[tuple[int, int, int]]) -> None:
        """Store (device, conv, seq): the last number that a device has shown. Cursors only rise."""

    async def cursors(self, device: int) -> dict[int, int]:
        """Map each conversation to the number that this device has shown."""

    async def save_receipts(self, receipts: Iterable[tuple[int, int, int, int]]) -> None:
        """Store (conv, user, kind, seq): the last number delivered to a user (kind 0) or read (1). They only rise."""

    async def receipts(self, conv: int) -> dict[tuple[int, int], int]:
        """Map (user, kind) to seq in this conversation."""

    async def close(self) -> None:
        """Release files and connections."""
