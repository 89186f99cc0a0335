"""The durable, ordered log and its records."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Protocol

import msgspec


class Kind(IntEnum):
    """The type of a log record."""

    MESSAGE = 0
    CREATE = 1
    ADD = 2
    REMOVE = 3
    ROLE = 4


class Role(IntEnum):
    """The rights of a group member. A higher role includes the rights of the lower ones."""

    MEMBER = 0
    ADMIN = 1
    OWNER = 2


class Origin(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The address for an answer to a record: a connection of one incarnation of an edge node (gateway or API)."""

    node: str
    incarnation: int
    conn: int


class LogRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One record of the log. For MESSAGE: user and device are the sender, body is opaque.

    CREATE: `members` are the first members, `user` is the creator. Its body is b"d" for 1:1, b"g" for a group, b"m"
    for a group to which only admins add. ADD, REMOVE, ROLE: `members` holds the one user concerned, `user` asked for
    it; the body of ROLE is the new role, one byte.
    """

    kind: int
    conv: int
    user: int
    device: int
    client_seq: int
    body: bytes
    members: tuple[int, ...]
    origin: Origin | None


class Logged(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A record with its offset in its partition. Offsets rise; they may have gaps."""

    offset: int
    record: LogRecord


class Follower(IntEnum):
    """A reader that follows the log to its end and commits its position. Adapters store the number."""

    SEQUENCER = 0
    PUSH = 1


class MessageLog(Protocol):
    """The durable, ordered log. Partition of a conversation: `sut.process.partitioning.partition_of`."""

    async def append(self, partition: int, records: Sequence[LogRecord]) -> list[int]:
        """Append in order and return the offsets. On return all records survive SIGKILL of any process."""

    async def read(self, partition: int, after: int, limit: int) -> list[Logged]:
        """Return up to `limit` records with an offset above `after`, in order; empty when there are none yet.

        May wait up to 0.1 s for the first record. Raises Unavailable when `after` is beyond the end: the log has lost
        records, or the offset belongs to another log.
        """

    async def end(self, partition: int) -> int:
        """The offset of the last durable record now, 0 when there is none."""

    async def committed(self, partition: int, follower: Follower = Follower.SEQUENCER) -> int:
        """The offset that this follower last committed, 0 if it never committed."""

    async def commit(self, partition: int, offset: int, follower: Follower = Follower.SEQUENCER) -> None:
        """Record that the follower is done up to `offset` (the sequencer: it is in the store). Never moves back."""

    async def close(self) -> None:
        """Release files and connections."""
