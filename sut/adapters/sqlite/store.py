"""MessageStore on SQLite: one file a partition, written by its sequencer, read by the chat services.

A write() is one transaction, so rows, spans, marks and the sequencer's state are stored together. The state's `applied`
guards it: a write from further back in the log than the stored state changes nothing. A separate file holds each
user's conversations, so that a SYNC reads one file and not all. A write() commits there first, and an entry whose
conversation did not follow is harmless. Cursors have a file too, which all chat services write.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from sut.adapters.shared.bounded_pool import BoundedPool
from sut.adapters.shared.group_commit import GroupCommit
from sut.adapters.sqlite.checksum import checked, crc, signed
from sut.adapters.sqlite.file import MAX_INTEGER, Layout, SqliteFile, open_files
from sut.adapters.sqlite.writer import Writer
from sut.ports import (
    ConversationImage,
    ConversationRow,
    ConversationWrite,
    Pace,
    RoleMark,
    SenderMark,
    Span,
    StoredMessage,
)
from sut.process.partitioning import partition_of

STORE: Final = Layout(schema="store.sql", application_id=0x53505334, synchronous="FULL")
MEMBERSHIPS: Final = Layout(schema="memberships.sql", application_id=0x53504D31, synchronous="FULL")
CURSORS: Final = Layout(schema="cursors.sql", application_id=0x53504331, synchronous="NORMAL")
RECEIPTS: Final = Layout(schema="receipts.sql", application_id=0x53505231, synchronous="NORMAL")
DEADLINE_S: Final = 2.0
PACE: Final = Pace(rows_s=0.5, cursors_s=0.5)
LOCK_SHARE: Final = 0.75
"""The share of the deadline that a writer waits for the lock. A writer that does not get it has written nothing."""
THREADS: Final = 6
MAX_WAITING: Final = 1_000
"""Calls that may wait in this process; beyond it they are refused at once."""
MAX_CURSORS: Final = 20_000
MAX_LISTS: Final = 64
"""Lists of conversations in one read."""
MAX_MEMBERSHIPS: Final = 100_000
"""(user, conversation) pairs that may wait for their commit: 200 new groups of 500 members."""

DAY_S: Final = 86_400
EXPIRE_ROWS: Final = 2_000
EXPIRE_CONVERSATIONS: Final = 200
"""The limits of one expire(): rows to delete, conversations to read. Other writers wait for about 50 ms."""

T = TypeVar("T")
_Cursor = tuple[int, int, int]
_Membership = tuple[int, int]
_Asked = tuple[int, int, int]
"""A user, the conversation after which the list begins, and its length."""
_Receipt = tuple[int, int, int, int]

_PUT_ROW: Final = (
    "INSERT INTO conversation (conv, kind, creator, head, applied, crc) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (conv)"
    " DO UPDATE SET head = excluded.head, applied = excluded.applied, crc = excluded.crc"
    " WHERE excluded.applied >= conversation.applied"
)
_PUT_MESSAGE: Final = (
    "INSERT OR REPLACE INTO message (conv, seq, flags, user, device, client_seq, body, crc)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_PUT_SPAN: Final = "INSERT OR REPLACE INTO span (conv, user, first, until, crc) VALUES (?, ?, ?, ?, ?)"
_PUT_MARK: Final = "INSERT OR REPLACE INTO mark (conv, device, client_seq, seq, digest, crc) VALUES (?, ?, ?, ?, ?, ?)"
_PUT_ROLE: Final = "INSERT OR REPLACE INTO role (conv, user, role, seq, crc) VALUES (?, ?, ?, ?, ?)"
_PUT_REACHED: Final = (
    "INSERT INTO reached (day, conv, seq) VALUES (?, ?, ?) ON CONFLICT (day, conv)"
    " DO UPDATE SET seq = excluded.seq WHERE excluded.seq > reached.seq"
)
_EXPIRE: Final = (
    "DELETE FROM message WHERE conv = ?1 AND seq IN"
    " (SELECT seq FROM message WHERE conv = ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3)"
)
_PUT_CURSOR: Final = (
    "INSERT INTO cursor (device, conv, seq) VALUES (?, ?, ?) ON CONFLICT (device, conv)"
    " DO UPDATE SET seq = excluded.seq WHERE excluded.seq > cursor.seq"
)
_PUT_RECEIPT: Final = (
    "INSERT INTO receipt (conv, user, kind, seq) VALUES (?, ?, ?, ?) ON CONFLICT (conv, user, kind)"
    " DO UPDATE SET seq = excluded.seq WHERE excluded.seq > receipt.seq"
)
_PUT_MEMBERSHIP: Final = "INSERT OR IGNORE INTO membership (user, conv) VALUES (?, ?)"
_CONVERSATIONS: Final = "SELECT conv FROM membership WHERE user = ? AND conv > ? ORDER BY conv LIMIT ?"
# SQLite takes the other columns from the row that has the max(): the newest stay.
_HEADS: Final = (
    "SELECT span.conv, span.user, max(span.first), span.until, span.crc, conversation.* FROM span JOIN conversation"
    " USING (conv)"
    " WHERE span.conv IN (SELECT value FROM json_each(?)) AND span.user = ? GROUP BY span.conv"
)


class SqliteStore:
    """The store in one directory. Belongs to one event loop; other processes open the same directory.

    Ids and numbers go up to 2^63 - 1. A larger one is treated as one that does not exist. Only client_seq, which
    devices choose, may use all 64 bits.
    """

    pace = PACE

    def __init__(
        self,
        directory: Path,
        partitions: int,
        *,
        deadline_s: float = DEADLINE_S,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Open the files, or create them. Raises Unavailable, Damaged.

        No call takes much longer than `deadline_s`, a write with new stays and `conversations_of` twice that.
        """
        parts = [(f"store-{index:02}.db", STORE) for index in range(partitions)]
        shared = [("memberships.db", MEMBERSHIPS), ("cursors.db", CURSORS), ("receipts.db", RECEIPTS)]
        *self._files, self._memberships, self._cursors, self._receipts = open_files(
            directory, [*parts, *shared], partitions=partitions, lock_wait_s=LOCK_SHARE * deadline_s
        )
        self._wall_clock = wall_clock
        self._pool = BoundedPool("store", threads=THREADS, max_waiting=MAX_WAITING, deadline_s=deadline_s)
        self._saves: Writer[_Cursor, None] = _writer(self._cursors, _PUT_CURSOR, MAX_CURSORS, deadline_s)
        self._progress: Writer[_Receipt, None] = _writer(self._receipts, _PUT_RECEIPT, MAX_CURSORS, deadline_s)
        self._joins: Writer[_Membership, None] = _writer(
            self._memberships, _PUT_MEMBERSHIP, MAX_MEMBERSHIPS, deadline_s
        )
        self._lists: GroupCommit[_Asked, list[int]] = GroupCommit(
            "conversations", self._read_lists, max_batch=MAX_LISTS, max_waiting=MAX_WAITING
        )

    async def load(self, conv: int, *, confirmed: int | None = None) -> ConversationImage | None:
        """Return the stored state; None when the conversation is not stored. Every readable state is durable."""
        if conv > MAX_INTEGER:
            return None
        return await self._read(conv, partial(_load, self._file(conv).path, conv))

    async def write(self, partition: int, writes: Sequence[ConversationWrite]) -> None:
        """Store all writes. If it raises Unavailable, it stored none, unless a crash came then. May be repeated."""
        await self._joins.submit([(span.user, write.row.conv) for write in writes for span in write.spans])
        if writes:
            await self._pool.run(partial(self._files[partition].write, partial(_write, writes, self._today())))

    async def reached(self, partition: int) -> int | None:
        """Return the highest `applied` of the partition: its writes come in the order of the log, each whole."""
        return await self._pool.run(partial(self._files[partition].read, _reached))

    async def page(self, conv: int, after: int, limit: int) -> list[StoredMessage]:
        """Return up to `limit` rows with a sequence number above `after`, in order."""
        if max(conv, after) > MAX_INTEGER:
            return []
        return await self._read(conv, partial(_page, self._file(conv).path, conv, after, limit))

    async def page_before(self, conv: int, before: int, limit: int) -> list[StoredMessage]:
        """Return the newest rows with a sequence number below `before`, at most `limit`, in order."""
        if conv > MAX_INTEGER:
            return []
        path = self._file(conv).path
        return await self._read(conv, partial(_page_before, path, conv, min(before, MAX_INTEGER), limit))

    async def expire(self, partition: int, older_than_s: float) -> bool:
        """Delete some messages of days that ended so long ago. Return True if more can be deleted."""
        before = int((self._wall_clock() - older_than_s) // DAY_S)
        return await self._pool.run(partial(self._files[partition].write, partial(_expire, before)))

    async def conversations_of(self, user: int, after: int, limit: int) -> list[int]:
        """Return the ids above `after`, rising, of conversations that this user is or was in.

        The list may name a conversation whose write failed. Callers who ask during a read share the next one: a
        thread's turn costs several times what a list does, and all devices of a dead gateway ask at once.
        """
        if max(user, after) > MAX_INTEGER:
            return []
        return (await self._lists.submit([(user, after, limit)]))[0]

    async def _read_lists(self, asked: list[_Asked]) -> list[list[int]]:
        def select(connection: sqlite3.Connection) -> list[list[int]]:
            return [[conv for (conv,) in connection.execute(_CONVERSATIONS, one)] for one in asked]

        return await self._pool.run(partial(self._memberships.read, select))

    async def heads(self, user: int, convs: Sequence[int]) -> dict[int, int]:
        """Return the stored head of each conversation, as far as this user may see it.

        Leaves out conversations that are not stored, and those that the user never entered.
        """
        if user > MAX_INTEGER:
            return {}
        by_file: defaultdict[int, list[int]] = defaultdict(list)
        for conv in convs:
            if conv <= MAX_INTEGER:
                by_file[partition_of(conv, len(self._files))].append(conv)
        parts = await asyncio.gather(
            *(
                self._pool.run(partial(self._files[p].read, partial(_heads, self._files[p].path, user, part)))
                for p, part in by_file.items()
            )
        )
        return {conv: head for part in parts for conv, head in part.items()}

    async def save_cursors(self, cursors: Iterable[_Cursor]) -> None:
        """Store (device, conv, seq): what devices have shown. Cursors only rise; ids out of range are ignored."""
        await self._saves.submit([cursor for cursor in cursors if max(cursor) <= MAX_INTEGER])

    async def cursors(self, device: int) -> dict[int, int]:
        """Return conversation -> the sequence number up to which this device has shown it."""
        if device > MAX_INTEGER:
            return {}

        def select(connection: sqlite3.Connection) -> dict[int, int]:
            return dict(connection.execute("SELECT conv, seq FROM cursor WHERE device = ?", (device,)))

        return await self._pool.run(partial(self._cursors.read, select))

    async def save_receipts(self, receipts: Iterable[_Receipt]) -> None:
        """Store (conv, user, kind, seq). They only rise; ids out of range are ignored."""
        await self._progress.submit([receipt for receipt in receipts if max(receipt) <= MAX_INTEGER])

    async def receipts(self, conv: int) -> dict[tuple[int, int], int]:
        """Return (user, kind) -> seq in this conversation."""
        if conv > MAX_INTEGER:
            return {}

        def select(connection: sqlite3.Connection) -> dict[tuple[int, int], int]:
            rows = connection.execute("SELECT user, kind, seq FROM receipt WHERE conv = ?", (conv,))
            return {(user, kind): seq for user, kind, seq in rows}

        return await self._pool.run(partial(self._receipts.read, select))

    async def close(self) -> None:
        """Finish the calls in progress, within the deadline, and close the files."""
        await self._saves.close()
        await self._progress.close()
        await self._joins.close()
        await self._lists.close()
        await self._pool.close()
        for file in (*self._files, self._memberships, self._cursors, self._receipts):
            file.close()

    def _today(self) -> int:
        return int(self._wall_clock() // DAY_S)

    async def _read(self, conv: int, action: Callable[[sqlite3.Connection], T]) -> T:
        return await self._pool.run(partial(self._file(conv).read, action))

    def _file(self, conv: int) -> SqliteFile:
        return self._files[partition_of(conv, len(self._files))]


def _writer(file: SqliteFile, statement: str, most: int, deadline_s: float) -> Writer[Any, None]:
    """Return what runs this statement for each row, up to `most` of them in one transaction."""

    def put(rows: list[Any]) -> Sequence[None]:
        file.write(lambda connection: connection.executemany(statement, rows))
        return [None] * len(rows)

    return Writer(str(file.path), put, max_batch=most, max_waiting=most, deadline_s=deadline_s)


def _write(writes: Sequence[ConversationWrite], day: int, connection: sqlite3.Connection) -> None:
    """Write the changes that are not stale, in the caller's transaction."""
    for write in writes:
        row = write.row
        state = (row.conv, row.kind, row.creator, row.head, row.applied)
        if not connection.execute(_PUT_ROW, (*state, crc(*state))).rowcount:
            continue
        messages = ((row.conv, m.seq, m.flags, m.user, m.device, _signed(m.client_seq), m.body) for m in write.messages)
        connection.executemany(_PUT_MESSAGE, signed(messages))
        connection.executemany(_PUT_SPAN, signed((row.conv, s.user, s.first, s.end) for s in write.spans))
        marks = ((row.conv, m.device, _signed(m.client_seq), m.seq, m.digest) for m in write.marks)
        connection.executemany(_PUT_MARK, signed(marks))
        if write.messages:
            connection.execute(_PUT_REACHED, (day, row.conv, write.messages[-1].seq))
        connection.executemany(_PUT_ROLE, signed((row.conv, m.user, m.role, m.seq) for m in write.roles))


def _load(path: Path, conv: int, connection: sqlite3.Connection) -> ConversationImage | None:
    """Read all parts in one transaction, because a sequencer may write meanwhile. Raises Damaged."""
    connection.execute("BEGIN")
    try:
        rows = connection.execute("SELECT * FROM conversation WHERE conv = ?", (conv,)).fetchall()
        spans = connection.execute("SELECT * FROM span WHERE conv = ? ORDER BY user, first", (conv,)).fetchall()
        marks = connection.execute("SELECT * FROM mark WHERE conv = ? ORDER BY device", (conv,)).fetchall()
        roles = connection.execute("SELECT * FROM role WHERE conv = ? ORDER BY user", (conv,)).fetchall()
    finally:
        connection.rollback()
    if not rows:
        return None
    return ConversationImage(
        ConversationRow(*checked(path, "conversation", rows)[0]),
        tuple(Span(*span) for _, *span in checked(path, "span", spans)),
        tuple(
            SenderMark(device, _unsigned(number), *rest) for _, device, number, *rest in checked(path, "mark", marks)
        ),
        tuple(RoleMark(*role) for _, *role in checked(path, "role", roles)),
    )


def _reached(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT coalesce(max(applied), 0) FROM conversation").fetchone()[0])


def _heads(path: Path, user: int, convs: list[int], connection: sqlite3.Connection) -> dict[int, int]:
    rows = connection.execute(_HEADS, (json.dumps(convs), user)).fetchall()
    spans = checked(path, "span", (row[:5] for row in rows))
    states = checked(path, "conversation", (row[5:] for row in rows))
    heads = zip(spans, states, strict=True)
    return {conv: min(head, until - 1) if until else head for (conv, _, _, until), (_, _, _, head, _) in heads}


_ROWS: Final = "SELECT conv, seq, flags, user, device, client_seq, body, crc FROM message WHERE conv = ?"


def _page(path: Path, conv: int, after: int, limit: int, connection: sqlite3.Connection) -> list[StoredMessage]:
    rows = connection.execute(f"{_ROWS} AND seq > ? ORDER BY seq LIMIT ?", (conv, after, limit)).fetchall()
    return _messages(path, rows)


def _page_before(path: Path, conv: int, before: int, limit: int, connection: sqlite3.Connection) -> list[StoredMessage]:
    rows = connection.execute(f"{_ROWS} AND seq < ? ORDER BY seq DESC LIMIT ?", (conv, before, limit)).fetchall()
    return _messages(path, reversed(rows))


def _messages(path: Path, rows: Iterable[tuple[Any, ...]]) -> list[StoredMessage]:
    """Convert rows to messages. Raises Damaged when a checksum is wrong."""
    return [
        StoredMessage(seq, flags, user, device, _unsigned(client_seq), body)
        for _, seq, flags, user, device, client_seq, body in checked(path, "message", rows)
    ]


def _expire(before: int, connection: sqlite3.Connection) -> bool:
    """Delete rows of days below `before`, in the caller's transaction. Return True if there may be more."""
    left = EXPIRE_ROWS
    due = connection.execute(
        "SELECT day, conv, seq FROM reached WHERE day < ? ORDER BY day, conv LIMIT ?", (before, EXPIRE_CONVERSATIONS)
    ).fetchall()
    for day, conv, seq in due:
        left -= connection.execute(_EXPIRE, (conv, seq, left)).rowcount
        if left <= 0:
            return True
        connection.execute("DELETE FROM reached WHERE day = ? AND conv = ?", (day, conv))
    return len(due) == EXPIRE_CONVERSATIONS


def _signed(number: int) -> int:
    """Convert an unsigned 64-bit number to SQLite's signed integer."""
    return number - (1 << 64) if number > MAX_INTEGER else number


def _unsigned(number: int) -> int:
    return number + (1 << 64) if number < 0 else number
