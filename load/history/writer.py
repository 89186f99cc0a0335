"""The history as a file: every event of every device, crash-safe, 64 bytes each (the format: load/history/events.py).

A process appends to its own file, memory-mapped. An event is in the page cache when `append` returns. So SIGKILL of the
process loses no appended event, and an append costs no system call. A record is written with its checksum last; only
the last record can be torn. Files grow by zeroed chunks: the first all-zero record is the end.

The times are nanoseconds of one clock for a whole run: CLOCK_MONOTONIC plus an offset from the runner
(PETREL_CLOCK_OFFSET_NS). So they read as wall-clock time and never step.
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
    """Return an id that processes of one machine share until it boots again, as they share its clock; 0 if unknown."""
    try:
        return int(Path("/proc/sys/kernel/random/boot_id").read_text("ascii").replace("-", "")[:15], 16)
    except (OSError, ValueError):
        return 0


def now_ns() -> int:
    """Return the time of the run's clock in ns."""
    return time.monotonic_ns() + _OFFSET_NS


def clock_offset_ns() -> int:
    """Return the value of PETREL_CLOCK_OFFSET_NS: wall clock minus monotonic clock in ns, taken once per run."""
    return time.time_ns() - time.monotonic_ns()


_OFFSET_NS = int(os.environ.get("PETREL_CLOCK_OFFSET_NS") or clock_offset_ns())


class HistoryError(Exception):
    """The history cannot be written; the text is one line that names the file.

    It is no OSError, so that network code does not catch it.
    """


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
        """Append one event; on return it survives SIGKILL of this process. `t` 0 means now.

        Raises HistoryError if the disk is full, and again on every later call until there is room.
        """
        body = _BODY.pack(t or now_ns(), due, device, conv, msg, seq, hash_, kind, arg, 0)
        if self._offset == self._size:
            self._grow()
        end = self._offset + RECORD_SIZE
        self._map[self._offset : end] = body + _CRC.pack(zlib.crc32(body))
        self._offset = end

    def close(self) -> None:
        """Cut the file to the written length. Closing twice is allowed."""
        if self._file.closed:
            return
        self._map.close()
        self._file.truncate(self._offset)
        self._file.close()


class HistoryTail:
    """Follows a history file that another process writes.

    A record counts once its checksum is right, so a record in progress is read by a later call. A record that stays
    torn because its writer was killed is never returned; the verdict decides whether that matters.
    """

    READ_BYTES: Final = 1024 * RECORD_SIZE

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self._file = path.open("rb", buffering=0)

    def read(self) -> list[Record]:
        """Return all records appended since the last call. Raises OSError."""
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
        self._file.close()
