"""One SQLite file that several processes write: opening, locking, transactions, reading, and error texts.

Blocking; the adapters call it from worker threads (bounded_pool.py). The mode is WAL, so readers and the writer do not
wait for each other.

Writers take turns by an advisory lock on a separate file beside the database, tried again after short random waits.
SQLite's busy handler would sleep up to 100 ms at a time. The lock also makes checkpoints safe: SQLite before 3.51.3 can
corrupt a WAL database when a checkpoint and another connection's write meet (the "WAL-reset bug",
https://www.sqlite.org/wal.html#walresetbug). Here a commit and the checkpoint that may follow it happen under the lock,
and nothing checkpoints without it. Closing the last connection does, but then there is no other. The kernel drops the
lock when the process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final, Literal, TypeVar

from sut.ports import Unavailable

MAX_INTEGER: Final = (1 << 63) - 1
"""The largest integer SQLite holds."""
CHECKPOINT_PAGES: Final = 1000
"""The number of pages in the WAL from which a commit also copies them into the database: 4 MB."""
WAL_BYTES: Final = 8 << 20
"""The size in bytes to which a restarted WAL file is cut. It is above the usual size.

Overwriting a file in place costs its fsync half of what growing it does.
"""
OPEN_WAIT_S: Final = 5.0
_RETRY_FIRST_S: Final = 0.0003
_RETRY_MAX_S: Final = 0.004

T = TypeVar("T")


class Damaged(Unavailable):
    """A file does not hold what was written. A retry does not help: an operator has to repair it."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The schema and settings of one kind of file."""

    schema: str
    """Name of the .sql file in this package."""
    application_id: int
    """Four letters in the header: the kind and its version. A file with another id is refused."""
    synchronous: Literal["FULL", "NORMAL"]
    """FULL: a commit is on the disk when it returns. NORMAL: a commit survives the end of any process.

    With NORMAL a power failure may cost the last commits, but never the consistency.
    """


class SqliteFile:
    """One database file as used by this process: one connection writes, one reads; both are opened on demand.

    Safe to use from several threads. Writers wait for each other, and so do readers.
    """

    def __init__(
        self, path: Path, layout: Layout, *, partitions: int, lock_wait_s: float, rng: random.Random | None = None
    ) -> None:
        """Create the file if there is none, else check its kind. Raises Unavailable, Damaged.

        `partitions` is the number of partitions of the directory, stored in each file: another number is refused.
        `lock_wait_s` limits how long any call waits for others.
        """
        self.path = path
        self._layout = layout
        self._lock_wait_s = lock_wait_s
        self._rng = rng or random.Random()
        self._write_turn = threading.Lock()
        self._read_turn = threading.Lock()
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._lock_fd = -1
        self._closed = False
        with self._naming_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock_fd = os.open(f"{path}-lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._make(partitions)
        except BaseException:
            self.close()
            raise

    def write(self, action: Callable[[sqlite3.Connection], T]) -> T:
        """Run `action` in one transaction, alone among all processes; on return it is committed.

        Raises Unavailable when the turn does not come in `lock_wait_s`, or when the disk is full or fails. A failed
        transaction is rolled back. If the COMMIT itself failed, a crash right then may still make its effect visible,
        so the outcome is unknown.
        """
        with self._naming_errors(), self._alone(self._lock_wait_s):
            connection = self._writer = self._writer or self._connect()
            try:
                deadline = time.monotonic() + self._lock_wait_s
                self._until_free(lambda: connection.execute("BEGIN IMMEDIATE"), deadline)
                result = action(connection)
                connection.execute("COMMIT")
            except BaseException:
                self._writer = None
                _discard(connection)
                raise
            return result

    def read(self, action: Callable[[sqlite3.Connection], T]) -> T:
        """Run `action` on the connection that reads. It must fetch all its rows: an open cursor pins the WAL."""
        with self._naming_errors(), self._turn(self._read_turn, self._lock_wait_s):
            return self._read(action)

    def read_at_once(self, action: Callable[[sqlite3.Connection], T]) -> T | None:
        """As `read`, for an event loop that cannot wait: it calls this directly, without a thread. None: not now.

        Only for what was written a moment ago, by whatever process: that is in memory, and the disk is not asked.
        """
        if not self._read_turn.acquire(blocking=False):
            return None
        try:
            return action(self._reader) if self._reader is not None else None
        except sqlite3.Error:  # `read` will tell, if it is there still
            return None
        finally:
            self._read_turn.release()

    def close(self) -> None:
        """Close both connections, after the calls that run on them.

        A call that takes more than `lock_wait_s` keeps its connection until the process ends.
        """
        self._closed = True
        if self._write_turn.acquire(timeout=self._lock_wait_s):
            if self._writer is not None:
                _discard(self._writer)
            if self._lock_fd >= 0:
                os.close(self._lock_fd)
            self._writer, self._lock_fd = None, -1
            self._write_turn.release()
        if self._read_turn.acquire(timeout=self._lock_wait_s):
            if self._reader is not None:
                _discard(self._reader)
            self._reader = None
            self._read_turn.release()

    def _make(self, partitions: int) -> None:
        """Create the tables if missing, under the lock; the next opener finishes a half-made file. Raises Damaged."""

        def identity(connection: sqlite3.Connection) -> tuple[int, int]:
            return _pragma(connection, "application_id"), _pragma(connection, "user_version")

        application_id = self._layout.application_id
        schema = files("sut.adapters.sqlite").joinpath(self._layout.schema).read_text()
        marks = f"PRAGMA application_id = {application_id}; PRAGMA user_version = {partitions};"
        script = f"BEGIN IMMEDIATE; {schema}; {marks} COMMIT;"
        with self._naming_errors(), self._alone(OPEN_WAIT_S):
            connection = self._writer = self._connect()
            if identity(connection) == (0, 0):
                self._until_free(lambda: connection.executescript(script), time.monotonic() + OPEN_WAIT_S)
            found = identity(connection)
        if found[0] != application_id:
            raise Damaged(f"{self.path}: not a file of this kind and version (application_id {found[0]:#x})")
        if found[1] != partitions:
            raise Damaged(f"{self.path}: made for {found[1]} partitions, not {partitions}: use that number")

    def _connect(self) -> sqlite3.Connection:
        """Return a connection that neither waits nor begins a transaction by itself."""
        connection = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            deadline = time.monotonic() + self._lock_wait_s
            self._until_free(lambda: connection.execute("PRAGMA journal_mode = WAL").fetchall(), deadline)
            connection.execute(f"PRAGMA synchronous = {self._layout.synchronous}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        except BaseException:
            _discard(connection)
            raise
        return connection

    def _read(self, action: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._reader = self._reader or self._connect()
        try:
            return self._until_free(lambda: action(connection), time.monotonic() + self._lock_wait_s)
        except sqlite3.Error:
            self._reader = None
            _discard(connection)
            raise

    @contextmanager
    def _alone(self, wait_s: float) -> Iterator[None]:
        """Hold the turn among this process's threads, then the lock among all processes."""
        with self._turn(self._write_turn, wait_s):
            deadline = time.monotonic() + wait_s
            self._until_free(lambda: fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB), deadline)
            try:
                yield
            finally:
                fcntl.flock(self._lock_fd, fcntl.LOCK_UN)

    @contextmanager
    def _turn(self, lock: threading.Lock, wait_s: float) -> Iterator[None]:
        if not lock.acquire(timeout=wait_s):
            raise Unavailable(f"{self.path}: busy in this process for {wait_s} s")
        try:
            if self._closed:
                raise Unavailable(f"{self.path}: closed")
            yield
        finally:
            lock.release()

    def _until_free(self, attempt: Callable[[], T], deadline: float) -> T:
        """Repeat `attempt`, after short random waits, while another process holds the lock. Raises Unavailable."""
        wait_s = _RETRY_FIRST_S
        while True:
            try:
                return attempt()
            except BlockingIOError:
                pass
            except sqlite3.OperationalError as error:
                if _code(error) != sqlite3.SQLITE_BUSY:
                    raise
            if time.monotonic() >= deadline:
                raise Unavailable(f"{self.path}: locked by another process for too long")
            time.sleep(self._rng.uniform(wait_s / 2, wait_s))
            wait_s = min(wait_s * 1.5, _RETRY_MAX_S)

    @contextmanager
    def _naming_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise _named(self.path, error) from error
        except OSError as error:
            raise Unavailable(f"{self.path}: {error.strerror}") from error


def open_files(
    directory: Path, parts: Sequence[tuple[str, Layout]], *, partitions: int, lock_wait_s: float
) -> list[SqliteFile]:
    """Open all of these files, or none when one cannot be opened. Raises Unavailable, Damaged."""
    opened: list[SqliteFile] = []
    try:
        for name, layout in parts:
            opened.append(SqliteFile(directory / name, layout, partitions=partitions, lock_wait_s=lock_wait_s))
    except BaseException:
        for file in opened:
            file.close()
        raise
    return opened


def data_version(connection: sqlite3.Connection) -> int:
    """Return a number that changes whenever another connection has committed.

    Asked before a read, it is never newer than what the read saw. It takes 6 us, and asks no disk.
    """
    return _pragma(connection, "data_version")


def _named(path: Path, error: sqlite3.DatabaseError) -> Unavailable:
    """Convert SQLite's error to ours, with the file and what to do about it."""
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    match _code(error):
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return Damaged(f"{path}: damaged ({error}); restore it or begin with an empty directory")
        case sqlite3.SQLITE_FULL:
            return Unavailable(f"{path}: no space left on the disk")
        case sqlite3.SQLITE_IOERR:
            return Unavailable(f"{path}: input/output error ({name}): the disk is full or failing")
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return Unavailable(f"{path}: cannot be opened for writing ({name})")
    return Unavailable(f"{path}: {error} ({name})")


def _code(error: sqlite3.Error) -> int:
    """Return the primary result code; 0 for errors of the sqlite3 module itself."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _discard(connection: sqlite3.Connection) -> None:
    """Close a connection, and roll back the transaction that it may be in."""
    with suppress(sqlite3.Error):
        connection.rollback()
    with suppress(sqlite3.Error):
        connection.close()
