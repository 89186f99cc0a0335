"""A copy of a store that is written meanwhile, and its way back."""

import asyncio
import os
import sqlite3
from pathlib import Path

import pytest

from sut.adapters.sqlite import backup
from sut.adapters.sqlite.store import SqliteStore
from sut.ports import ConversationRow, ConversationWrite, Span, StoredMessage
from sut.process.partitioning import partition_of

PARTITIONS = 2
CONV = 5


def say(directory: Path, seq: int, *, conv: int = CONV, body: bytes = b"text") -> None:
    """Store one more message, as a sequencer's process does that then ends."""
    row = ConversationRow(conv, "g", 7, seq, seq)
    message = StoredMessage(seq, 0, 7, 1, seq, body)

    async def write() -> None:
        store = SqliteStore(directory, PARTITIONS)
        change = ConversationWrite(row, (message,), (Span(7, 1),), ())
        await store.write(partition_of(conv, PARTITIONS), [change])
        await store.close()

    asyncio.run(write())


def test_what_came_after_the_copy_is_gone_when_it_is_put_back(tmp_path: Path) -> None:
    data, copied = tmp_path / "data", tmp_path / "copy"
    say(data, 1)
    backup.copy(data, copied)
    before = backup.rows(data)
    assert [(row.conv, row.seq) for row in before] == [(CONV, 1)]
    say(data, 2)
    say(data, 1, conv=6)
    assert len(backup.rows(data)) == 3
    assert backup.rows(copied) == before
    backup.put_back(copied, data)
    assert backup.rows(data) == before
    assert not copied.exists()
    say(data, 2, body=b"another")
    assert len(backup.rows(data)) == 2


def test_a_file_has_no_newer_wal_after_it_was_put_back(tmp_path: Path) -> None:
    """As a process leaves one that is killed."""
    data, copied = tmp_path / "data", tmp_path / "copy"
    say(data, 1)
    backup.copy(data, copied)
    if not (child := os.fork()):
        say_and_die(data)
    os.waitpid(child, 0)
    [wal] = [path for path in data.glob("*-wal") if path.stat().st_size]
    assert len(backup.rows(data)) == 2
    backup.put_back(copied, data)
    assert not wal.exists()
    assert [(row.conv, row.seq) for row in backup.rows(data)] == [(CONV, 1)]


def say_and_die(data: Path) -> None:
    connection = sqlite3.connect(data / f"store-{partition_of(CONV, PARTITIONS):02}.db", isolation_level=None)
    connection.execute("INSERT INTO message VALUES (?, 9, 0, 7, 1, 9, x'00', 1)", (CONV,))
    os._exit(0)


def test_equal_rows_have_equal_content(tmp_path: Path) -> None:
    for name, body in (("one", b"yes"), ("same", b"yes"), ("other", b"no")):
        say(tmp_path / name, 1, body=body)
    one, same, other = (backup.rows(tmp_path / name) for name in ("one", "same", "other"))
    assert one == same
    assert one != other


def test_a_store_that_is_in_use_is_not_put_back(tmp_path: Path) -> None:
    data, copied = tmp_path / "data", tmp_path / "copy"
    say(data, 1)
    backup.copy(data, copied)
    say(data, 2)
    name = f"store-{partition_of(CONV, PARTITIONS):02}.db"
    reader = sqlite3.connect(data / name, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM message").fetchall()
    writer = sqlite3.connect(data / name, isolation_level=None)
    writer.execute("UPDATE message SET flags = flags + 1")
    with pytest.raises(OSError, match="in use"):
        backup.put_back(copied, data)
    writer.close()
    reader.close()
    assert len(backup.rows(data)) == 2


def test_no_store_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"memberships\.db"):
        backup.copy(tmp_path, tmp_path / "copy")
