"""A copy of the message store, taken while services write it, and put back while none of them runs.

It has what messages are made of: the store of each partition and the lists of conversations. Cursors and receipts are
hints, and keys and devices are no part of the message store. The log is not put back: it has what the copy lacks, and
the sequencers read that again (`MessageStore.reached`).

Each file is copied as of one moment, and replaced at once. The order makes any state in between sound: an entry in the
lists whose conversation is missing is harmless, and the reverse would hide a conversation. So the lists are copied last
and put back last.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

MEMBERSHIPS: Final = "memberships.db"


class Row(NamedTuple):
    """One stored message. Rows are equal if they have the same number and the same content."""

    conv: int
    seq: int
    crc: int


def copy(directory: Path, to: Path) -> None:
    """Copy the store in `directory` to `to`, which is made, and is on the same disk. Raises OSError."""
    to.mkdir(exist_ok=True)
    for path in _files(directory):
        with _open(path) as source, closing(sqlite3.connect(to / path.name)) as target:
            source.backup(target)


def put_back(copied: Path, directory: Path) -> None:
    """Move the copy in place of the store in `directory`. No process may have that open. Raises OSError.

    What waits in a file's WAL goes into the file before, so that no WAL of a newer file is left to an older one.
    """
    for path in _files(copied):
        newer = directory / path.name
        with _errors(newer), closing(sqlite3.connect(newer, isolation_level=None)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        if (wal := Path(f"{newer}-wal")).exists() and wal.stat().st_size:
            raise OSError(f"{wal} is in use")
        path.replace(newer)
    shutil.rmtree(copied)


def rows(directory: Path) -> set[Row]:
    """Return all messages that the store in `directory` holds now. Raises OSError."""
    found: set[Row] = set()
    for path in _files(directory):
        if path.name != MEMBERSHIPS:
            with _open(path) as connection:
                found.update(map(Row._make, connection.execute("SELECT conv, seq, crc FROM message")))
    return found


def _files(directory: Path) -> list[Path]:
    return [*sorted(directory.glob("store-*.db")), directory / MEMBERSHIPS]


@contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a file to read it. Such a connection never checkpoints (file.py)."""
    with _errors(path), closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        yield connection


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    """Raise SQLite's errors as OSError."""
    try:
        yield
    except sqlite3.Error as error:
        raise OSError(f"{path}: {error}") from error
