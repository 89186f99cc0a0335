"""MessageLog on SQLite: one file a partition, appended to by several processes, followed by its sequencer.

An append is durable when its transaction is committed with synchronous=FULL; readers see nothing before that. Records
that wait in this process for one partition share a transaction (writer.py). Processes take turns by the file's lock
(file.py). A group of records is stored whole or not at all.

Who follows the log to its end reads what is new on the event loop itself: it was written a moment ago, so it is in
memory, and takes less time than a thread's turn.
"""

from __future__ import annotations

import asyncio
import sqlite3
import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from sut.adapters.shared.bounded_pool import BoundedPool
from sut.adapters.shared.commit_key import commit_key
from sut.adapters.sqlite.file import Damaged, Layout, SqliteFile, data_version, open_files
from sut.adapters.sqlite.writer import Writer
from sut.ports import Follower, Logged, LogRecord

LOG: Final = Layout(schema="log.sql", application_id=0x53504C31, synchronous="FULL")
OFFSETS: Final = Layout(schema="offsets.sql", application_id=0x53504F31, synchronous="NORMAL")
"""If a power failure undoes a commit, records are replayed. The store's `applied` makes that harmless."""
DEADLINE_S: Final = 1.0
LOCK_SHARE: Final = 0.75
"""The share of the deadline that a writer waits for the lock. A writer that does not get it has written nothing."""
MAX_WAITING: Final = 10_000
"""Records of one partition that may wait in this process; beyond it an append is refused at once."""
MAX_BATCH: Final = 1_000
"""The number of records in one transaction, unless one append brings more."""

_PUT_OFFSET: Final = (
    "INSERT INTO committed (partition, offset) VALUES (?, ?) ON CONFLICT (partition)"
    " DO UPDATE SET offset = excluded.offset WHERE excluded.offset > committed.offset"
)

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[LogRecord] = msgspec.msgpack.Decoder(LogRecord)

_Row = tuple[int, bytes]


class _End(NamedTuple):
    """The end of the file: no record is above `offset` while the file has this version."""

    version: int
    offset: int


class SqliteLog:
    """The log in a directory. Belongs to one event loop; other processes open the same directory."""

    def __init__(self, directory: Path, partitions: int, *, deadline_s: float = DEADLINE_S) -> None:
        """Open the files, or create them. Raises Unavailable, Damaged.

        No call takes much longer than `deadline_s`.
        """
        parts = [(f"log-{index:02}.db", LOG) for index in range(partitions)]
        *self._files, self._offsets = open_files(
            directory, [*parts, ("offsets.db", OFFSETS)], partitions=partitions, lock_wait_s=LOCK_SHARE * deadline_s
        )
        # One read a partition, and one of the commits, may be stuck: the others still have threads.
        self._pool = BoundedPool("log", threads=partitions + 1, max_waiting=8 * partitions + 64, deadline_s=deadline_s)
        self._ends: list[_End | None] = [None] * partitions
        self._appends: list[Writer[_Row, int]] = [
            Writer(
                str(file.path),
                partial(_append, file),
                max_batch=MAX_BATCH,
                max_waiting=MAX_WAITING,
                deadline_s=deadline_s,
            )
            for file in self._files
        ]
        self._commits: Writer[tuple[int, int], None] = Writer(
            str(self._offsets.path),
            partial(_commit, self._offsets),
            max_batch=MAX_BATCH,
            max_waiting=MAX_WAITING,
            deadline_s=deadline_s,
        )

    async def append(self, partition: int, records: Sequence[LogRecord]) -> list[int]:
        """Append in order; on return all are durable. Raises Unavailable: the log has all of them, or none."""
        rows = []
        for record in records:
            encoded = _encoder.encode(record)
            rows.append((zlib.crc32(encoded), encoded))
        return await self._appends[partition].submit(rows)

    async def read(self, partition: int, after: int, limit: int) -> list[Logged]:
        """Return up to `limit` records above `after`, in order. At the end of the log it takes no thread."""
        end, file = self._ends[partition], self._files[partition]
        if end is not None and after == end.offset:
            news = file.read_at_once(partial(_read_news, file.path, end, limit))
            if news is not None:
                found, self._ends[partition] = news
                await asyncio.sleep(0)  # a caller that asks again at once must not block the loop
                return found
        self._ends[partition] = None
        found, self._ends[partition] = await self._pool.run(partial(file.read, partial(_read, file.path, after, limit)))
        return found

    async def end(self, partition: int) -> int:
        """Return the offset of the last durable record, 0 when there is none. Takes no thread if it is known."""
        end, file = self._ends[partition], self._files[partition]
        if end is not None and file.read_at_once(data_version) == end.version:
            return end.offset
        return await self._pool.run(partial(file.read, _last_offset))

    async def committed(self, partition: int, follower: Follower = Follower.SEQUENCER) -> int:
        """Return the offset that this follower last committed, 0 if it never committed."""
        key = commit_key(partition, follower)

        def select(connection: sqlite3.Connection) -> list[tuple[int]]:
            return connection.execute("SELECT offset FROM committed WHERE partition = ?", (key,)).fetchall()

        rows = await self._pool.run(partial(self._offsets.read, select))
        return rows[0][0] if rows else 0

    async def commit(self, partition: int, offset: int, follower: Follower = Follower.SEQUENCER) -> None:
        """Record that the follower has finished everything up to `offset`. Never moves back."""
        await self._commits.submit([(commit_key(partition, follower), offset)])

    async def close(self) -> None:
        """Finish the appends and commits in progress, within the deadline, and close the files."""
        for appends in self._appends:
            await appends.close()
        await self._commits.close()
        await self._pool.close()
        for file in (*self._files, self._offsets):
            file.close()


def _append(file: SqliteFile, rows: list[_Row]) -> Sequence[int]:
    def insert(connection: sqlite3.Connection) -> Sequence[int]:
        last = _last_offset(connection)
        offsets = range(last + 1, last + 1 + len(rows))
        placed = ((offset, crc, record) for offset, (crc, record) in zip(offsets, rows, strict=True))
        connection.executemany("INSERT INTO log (offset, crc, record) VALUES (?, ?, ?)", placed)
        return offsets

    return file.write(insert)


def _commit(file: SqliteFile, commits: list[tuple[int, int]]) -> Sequence[None]:
    file.write(lambda connection: connection.executemany(_PUT_OFFSET, commits))
    return [None] * len(commits)


def _read_news(path: Path, end: _End, limit: int, connection: sqlite3.Connection) -> tuple[list[Logged], _End | None]:
    """Return what follows what was the end of the file, and its end now, as `_read` does."""
    return ([], end) if data_version(connection) == end.version else _read(path, end.offset, limit, connection)


def _read(path: Path, after: int, limit: int, connection: sqlite3.Connection) -> tuple[list[Logged], _End | None]:
    """Return the records, and the end of the file if they reach it."""
    version = data_version(connection)
    rows = connection.execute(
        "SELECT offset, crc, record FROM log WHERE offset > ? ORDER BY offset LIMIT ?", (after, limit)
    ).fetchall()
    if not rows and after > (last := _last_offset(connection)):
        raise Damaged(f"{path}: ends at record {last}, before {after}: records are lost, or it is another log")
    found = [Logged(offset, _decode(path, offset, crc, record)) for offset, crc, record in rows]
    if len(rows) == limit:
        return found, None
    return found, _End(version, rows[-1][0] if rows else after)


def _last_offset(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT coalesce(max(offset), 0) FROM log").fetchone()[0])


def _decode(path: Path, offset: int, crc: int, record: bytes) -> LogRecord:
    if zlib.crc32(record) != crc:
        raise Damaged(f"{path}: damaged, record {offset} does not have its checksum")
    try:
        return _decoder.decode(record)
    except msgspec.DecodeError as error:
        raise Damaged(f"{path}: record {offset} is not of this version: {error}") from None
