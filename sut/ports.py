"""The interfaces between the chat system's rules and the servers it stands on.

One adapter a backend implements each (sut/adapters/). The contract tests in tests/adapters run unchanged against
every backend. All methods are coroutines; all may raise Unavailable, which says that the backend could not answer
in its deadline and that the effect of a write is unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Protocol

import msgspec


class SutError(Exception):
    """Root of the chat system's errors. `definite`: the operation certainly had no effect."""

    definite = False


class Unavailable(SutError):
    """A backend did not answer in time or refused; a write may or may not have happened."""


class Kind(IntEnum):
    """What a log record asks for."""

    MESSAGE = 0
    CREATE = 1
    ADD = 2
    REMOVE = 3


class Origin(msgspec.Struct, frozen=True, array_like=True):
    """Where the answer to a record goes: a connection of one incarnation of an edge node (a gateway or the API)."""

    node: str
    incarnation: int
    conn: int


class LogRecord(msgspec.Struct, frozen=True, array_like=True):
    """One record of the log. For MESSAGE: user and device are the sender, body is opaque.

    CREATE: `members` are there from the start, `user` is the creator, body b"d" for 1:1 and b"g" for a group.
    ADD and REMOVE: `members` holds the one user concerned, `user` asked for it.
    """

    kind: int
    conv: int
    user: int
    device: int
    client_seq: int
    body: bytes
    members: tuple[int, ...]
    origin: Origin | None


class Logged(msgspec.Struct, frozen=True, array_like=True):
    """A record with its place in its partition. Offsets rise; they need not be dense."""

    offset: int
    record: LogRecord


class MessageLog(Protocol):
    """The durable, ordered log. Partition of a conversation: `sut.partitioning.partition_of`."""

    async def append(self, partition: int, records: Sequence[LogRecord]) -> list[int]:
        """Append in order; on return all are durable: they survive SIGKILL of any process."""

    async def read(self, partition: int, after: int, limit: int) -> list[Logged]:
        """Up to `limit` records with an offset above `after`, in order. Empty when there are none yet.

        May wait a moment, 0.1 s at most, for a first one. Unavailable when `after` is beyond the end: the log has lost
        what it had, or the offset is another log's.
        """

    async def end(self, partition: int) -> int:
        """The offset of the last durable record now, 0 when there is none."""

    async def committed(self, partition: int) -> int:
        """The offset last committed, 0 when none was."""

    async def commit(self, partition: int, offset: int) -> None:
        """Remember that everything up to `offset` is in the store. Never moves back."""

    async def close(self) -> None:
        """Release files and connections."""


class StoredMessage(msgspec.Struct, frozen=True, array_like=True):
    """A row of a conversation: a message (flags 0) or a membership change (flags as in frames.Flag, user concerned)."""

    seq: int
    flags: int
    user: int
    device: int
    client_seq: int
    body: bytes


class Span(msgspec.Struct, frozen=True, array_like=True):
    """A stay of a user in a conversation: sees the numbers n with first <= n < end.

    An add that took number s opens a span with first s + 1 (1 at the creation); a removal that took number s closes
    it with end s. end 0: still there.
    """

    user: int
    first: int
    end: int = 0


class SenderMark(msgspec.Struct, frozen=True, array_like=True):
    """Dedup state, kept for ever: the last client_seq sequenced from a device in a conversation, and its number."""

    device: int
    client_seq: int
    seq: int


class ConversationRow(msgspec.Struct, frozen=True, array_like=True):
    """The sequencer's state of one conversation, as stored beside its rows."""

    conv: int
    kind: str  # "d" or "g"
    creator: int
    head: int  # last number given
    applied: int  # log offset of the last record applied


class ConversationImage(msgspec.Struct, frozen=True, array_like=True):
    """All of a conversation but its messages."""

    row: ConversationRow
    spans: tuple[Span, ...]
    marks: tuple[SenderMark, ...]


class ConversationWrite(msgspec.Struct, frozen=True, array_like=True):
    """What became of one conversation since the last write; lands whole or not at all."""

    row: ConversationRow
    messages: tuple[StoredMessage, ...]
    spans: tuple[Span, ...]  # new or changed stays; (user, first) is their key
    marks: tuple[SenderMark, ...]  # new or changed; device is the key


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How long changes are gathered before they are written, in seconds: what a write costs decides."""

    rows_s: float
    """For write(). Also how much of the log a restart replays, beside what was under way."""
    cursors_s: float
    """For save_cursors()."""


class MessageStore(Protocol):
    """Messages by conversation and number, with the sequencer's state beside them."""

    @property
    def pace(self) -> Pace:
        """How often to write here."""

    async def load(self, conv: int, *, confirmed: int | None = None) -> ConversationImage | None:
        """The stored state, None when the conversation is not stored.

        An owner passes the log offset up to which writes are known to have returned: a state from beyond it is on
        return as durable as if its write had. Readers leave it out.
        """

    async def write(self, partition: int, writes: Sequence[ConversationWrite]) -> None:
        """Store each conversation's change atomically. Repeating a write changes nothing.

        What is written is a function of the log up to the row's `applied`; a write with an `applied` below the stored
        one leaves the stored state as it is (a zombie owner does no harm). Numbers have no holes: a row comes with or
        after those before it.
        """

    async def page(self, conv: int, after: int, limit: int) -> list[StoredMessage]:
        """Up to `limit` rows with a number above `after`, in order."""

    async def conversations_of(self, user: int, after: int, limit: int) -> list[int]:
        """Up to `limit` ids above `after`, rising, of the conversations that this user is or was in.

        One that is not stored may be among them (a crash came between it and this index), none that is stored is
        missing.
        """

    async def heads(self, user: int, convs: Sequence[int]) -> dict[int, int]:
        """The stored head of each of these as far as this user may see; without those not stored or never entered."""

    async def save_cursors(self, cursors: Iterable[tuple[int, int, int]]) -> None:
        """(device, conv, seq): what devices have shown. Cursors only rise."""

    async def cursors(self, device: int) -> dict[int, int]:
        """conv -> seq shown by this device."""

    async def close(self) -> None:
        """Release files and connections."""


class Route(msgspec.Struct, frozen=True, array_like=True):
    """Where a device is connected. Valid only while the lease of (node, incarnation) lives."""

    device: int
    node: str
    incarnation: int
    conn: int  # unique within the incarnation, never reused
    epoch: int  # rises with each connection of the device


class Revocation(msgspec.Struct, frozen=True, array_like=True):
    """A device of a user whose tokens issued up to `at_s` are void. All have expired at `until_s`. Unix seconds."""

    user: int
    device: int
    at_s: int
    until_s: int


class RevocationPage(msgspec.Struct, frozen=True, array_like=True):
    """Some of the list. `position`: where to go on; `more`: at once."""

    position: int
    more: bool
    revocations: tuple[Revocation, ...]


class Revocations(Protocol):
    """The list of revoked devices. May lose entries when its server does: whoever knows them puts them back."""

    @property
    def generation(self) -> int:
        """Rises when entries may have been lost."""

    async def revoke(self, revocations: Sequence[Revocation], *, now_s: int) -> None:
        """Put these in; of two for the same device the later holds. Unavailable also when the list is full."""

    async def since(self, position: int) -> RevocationPage:
        """What was put in after a page's position; 0 for all. A position that the list never reached counts as 0."""


class Registry(Protocol):
    """Who is connected where. Losing all of it costs latency, never a message."""

    async def lease(self, node: str, incarnation: int, ttl_s: float, address: str) -> None:
        """Take or renew the lease of a gateway incarnation; `address` is what clients dial."""

    async def release(self, node: str, incarnation: int) -> None:
        """End the lease, if it is still this incarnation's."""

    async def gateways(self) -> dict[str, tuple[int, str]]:
        """Live leases: node -> (incarnation, address)."""

    async def register(self, routes: Sequence[tuple[int, Route]]) -> list[Route | None]:
        """Put (user, route)s in; an entry with a newer epoch stays. Returns what each replaced."""

    async def replaced(self, node: str, incarnation: int) -> list[int]:
        """Some of the connections of this incarnation whose device has registered a newer one at another node.

        Each is told once, soon after; some may never be (then the gateway finds out as it writes its routes again).
        """

    async def unregister(self, routes: Sequence[tuple[int, Route]]) -> None:
        """Compare and delete: removes an entry only if it is exactly this connection's."""

    async def routes(self, users: Sequence[int]) -> Mapping[int, tuple[Route, ...]]:
        """Routes of these users whose lease lives. One round trip for all of them."""

    async def close(self) -> None:
        """Release connections."""
