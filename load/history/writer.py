"""The history as a file: every event of every device, crash-safe, 64 bytes each (the format: load/history/events.py).

A process appends to its own file, memory-mapped: an event is in the page cache when `append` returns, so SIGKILL of
the process loses nothing that was appended and costs no system call. A record is written with its checksum last; a
torn record can only be the last one. Files grow by zeroed chunks: the first all-zero record is the end.

The times are nanoseconds of one clock for a whole run: CLOCK_MONOTONIC plus an offset that the runner hands out
(PETREL_CLOCK_OFFSET_NS), so that they read as wall-clock time and never step.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
import zlib
from pathlib import Path
from typing import Final

from load.history.events import RECORD, RECORD_SIZE, Record

_BODY = struct.Struct("<qqqqqqqBBH")
_CRC = struct.Struct("<I")
CHUNK_BYTES: Final = 4 << 20


def machine_id() -> int:
    """What processes of one machine have in common until it boots again, as their clock. 0: not known."""
    try:
        return int(Path("/proc/sys/kernel/random/boot_id").read_text("ascii").replace("-", "")[:15], 16)
    except (OSError, ValueError):
        return 0


def now_ns() -> int:
    """Time of the run's clock."""
    return time.monotonic_ns() + _OFFSET_NS


def clock_offset_ns() -> int:
    """What the runner puts in PETREL_CLOCK_OFFSET_NS: wall clock minus monotonic clock, taken once a run."""
    return time.time_ns() - time.monotonic_ns()


_OFFSET_NS = int(os.environ.get("PETREL_CLOCK_OFFSET_NS") or clock_offset_ns())


class HistoryError(Exception):
    """The history cannot go on; the text is one line that names the file. Not an OSError: no network code eats it."""


class HistoryWriter:
    """One process's history file. Not thread-safe: one event loop, one writer."""

    def __init__(self, path: Path) -> None:
        """Create the file, which must not exist. Raises HistoryError."""
        self._path = path
        try:
            self._file = path.open("x+b")
        except OSError as error:
            raise HistoryError(f"{path}: {error.strerror}") from None
        self._size = 0
        self._offset = 0
        self._map: mmap.mmap
        self._grow()

    def _grow(self) -> None:
        size = self._size + CHUNK_BYTES
        try:
            # Allocate for real: a full disk must fail here with ENOSPC, not later as SIGBUS in the mapping.
            os.posix_fallocate(self._file.fileno(), self._size, CHUNK_BYTES)
            grown = mmap.mmap(self._file.fileno(), size)
        except OSError as error:
            raise HistoryError(f"{self._path}: {error.strerror}") from None
        if self._size:
            self._map.close()
        self._map, self._size = grown, size

    def append(
        self, kind: int, *, t: int = 0, due: int = 0, device: int = 0, conv: int = 0, msg: int = 0, seq: int = 0,
        hash_: int = 0, arg: int = 0,
    ) -> None:  # fmt: skip
        """Append one event; on return it survives SIGKILL of this process. t 0: now.

        Raises HistoryError when the disk is full, and again on every later call until there is room.
        """
        body = _BODY.pack(t or now_ns(), due, device, conv, msg, seq, hash_, kind, arg, 0)
        if self._offset == self._size:
            self._grow()
        end = self._offset + RECORD_SIZE
        self._map[self._offset : end] = body + _CRC.pack(zlib.crc32(body))
        self._offset = end

    def close(self) -> None:
        """Cut the file to what was written. Closing twice is allowed."""
        if self._file.closed:
            return
        self._map.close()
        self._file.truncate(self._offset)
        self._file.close()


class HistoryTail:
    """Follows a history file that another process is writing.

    A record counts once its checksum is right, so one that is being written is read by a later call. What stays torn
    because its writer was killed is never returned; whether that matters is for the verdict to say.
    """

    READ_BYTES: Final = 1024 * RECORD_SIZE

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self._file = path.open("rb", buffering=0)

    def read(self) -> list[Record]:
        """All records appended since the last call. Raises OSError."""
        records: list[Record] = []
        while True:
            data = os.pread(self._file.fileno(), self.READ_BYTES, self._offset)
            whole = len(data) // RECORD_SIZE
            fresh = 0
            for start in range(0, whole * RECORD_SIZE, RECORD_SIZE):
                body = data[start : start + _BODY.size]
                if zlib.crc32(body) != _CRC.unpack_from(data, start + _BODY.size)[0]:
                    break
                fresh += 1
            records.extend(RECORD.iter_unpack(data[: fresh * RECORD_SIZE]))
            self._offset += fresh * RECORD_SIZE
            if not fresh or fresh < whole:
                return records

    def close(self) -> None:
        """Release the file."""
        self._file.close()
