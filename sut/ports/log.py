"""The durable, ordered log, and what is in it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Protocol

import msgspec


class Kind(IntEnum):
    """What a log record asks for."""

    MESSAGE = 0
    CREATE = 1
    ADD = 2
    REMOVE = 3
    ROLE = 4


class Role(IntEnum):
    """What a member of a group may do; a higher one may all that a lower one may."""

    MEMBER = 0
    ADMIN = 1
    OWNER = 2


class Origin(msgspec.Struct, frozen=True, array_like=True):
    """Where the answer to a record goes: a connection of one incarnation of an edge node (a gateway or the API)."""

    node: str
    incarnation: int
    conn: int


class LogRecord(msgspec.Struct, frozen=True, array_like=True):
    """One record of the log. For MESSAGE: user and device are the sender, body is opaque.

    CREATE: `members` are there from the start, `user` is the creator, body b"d" for 1:1, b"g" for a group and b"m" for
    one to which only admins add. ADD, REMOVE, ROLE: `members` holds the one user concerned, `user` asked for it; the
    body of ROLE is the new role, one byte.
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


class Follower(IntEnum):
    """Who follows the log to its end and remembers how far it came. The number is part of what adapters store."""

    SEQUENCER = 0
    PUSH = 1


class MessageLog(Protocol):
    """The durable, ordered log. Partition of a conversation: `sut.process.partitioning.partition_of`."""

    async def append(self, partition: int, records: Sequence[LogRecord]) -> list[int]:
        """Append in order; on return all are durable: they survive SIGKILL of any process."""

    async def read(self, partition: int, after: int, limit: int) -> list[Logged]:
        """Up to `limit` records with an offset above `after`, in order. Empty when there are none yet.

        May wait a moment, 0.1 s at most, for a first one. Unavailable when `after` is beyond the end: the log has lost
        what it had, or the offset is another log's.
        """

    async def end(self, partition: int) -> int:
        """The offset of the last durable record now, 0 when there is none."""

    async def committed(self, partition: int, follower: Follower = Follower.SEQUENCER) -> int:
        """The offset that this follower last committed, 0 when none was."""

    async def commit(self, partition: int, offset: int, follower: Follower = Follower.SEQUENCER) -> None:
        """Remember that the follower is done with everything up to `offset` (the sequencer: it is in the store). Never
        moves back.
        """

    async def close(self) -> None:
        """Release files and connections."""
