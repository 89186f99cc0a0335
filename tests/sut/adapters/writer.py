"""Run as a process of its own and killed at any moment: writes without end, and says what has returned.

`python writer.py log|store DIRECTORY DEVICE FIRST`: batches of one to nine, the n-th of them from FIRST on. After the
write has returned, one line on standard output: n and the offsets, or n alone for the store.
"""

import asyncio
import os
import sys
from pathlib import Path

from sut.adapters.sqlite.log import SqliteLog
from sut.adapters.sqlite.store import SqliteStore
from sut.ports import ConversationRow, ConversationWrite, Kind, LogRecord, SenderMark, Span, StoredMessage, Unavailable

CONV = 5


def size_of(n: int) -> int:
    """How many records the n-th batch has."""
    return n % 9 + 1


def records_of(device: int, n: int) -> list[LogRecord]:
    """The n-th batch of a device: body says where in the batch."""
    return [LogRecord(Kind.MESSAGE, CONV, 7, device, n, b"%d" % i + b"." * 200, (), None) for i in range(size_of(n))]


def write_of(n: int) -> ConversationWrite:
    """The n-th write: message n, and everything else says n too."""
    row = ConversationRow(CONV, "g", 7, n, n)
    message = StoredMessage(n, 0, 7, 1, n, b"." * 200)
    return ConversationWrite(row, (message,), (Span(n, 1),), (SenderMark(1, n, n),))


async def main(what: str, directory: str, device: int, first: int) -> None:
    """Write until killed."""
    log, store = SqliteLog(Path(directory), 1), SqliteStore(Path(directory), 1)
    n = first
    while True:
        if what == "log":
            try:
                offsets = await log.append(0, records_of(device, n))
            except Unavailable:  # the other writer was there first for too long; the outcome is unknown
                n += 1
                continue
            line = f"{n} {' '.join(map(str, offsets))}\n"
        else:
            await store.write(0, [write_of(n)])
            line = f"{n}\n"
        os.write(1, line.encode())
        n += 1


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
