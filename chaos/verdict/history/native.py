"""Reads the binary histories of load/history/writer.py: fixed records with a checksum each, one process per file.

A torn last record is left out. A file that was never cut to its length is read up to its first empty record. Both are
holes, left by a process that died. Damage anywhere else raises an error that names its place.
"""

from __future__ import annotations

import functools
import zlib
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from chaos.verdict.history.jsonl import HistoryError
from load.history.control import Hole
from load.history.events import DTYPE, RECORD_SIZE, Event, Explanation, events_with, slot_of

NOT_CLOSED: Final = "the file was not closed"
"""Begins the detail of the hole of a process that died, or that still runs."""
_BODY_SIZE: Final = RECORD_SIZE - 4
RECORD_TYPE: Final = np.dtype(list(DTYPE))
_COLUMNS: Final = ("device", "conv", "due", "msg", "user", "seq", "hash", "arg")
"""Columns that are null in the events that do not have them."""
_EXPLANATION: Final[dict[str, type[pl.DataType]]] = {
    "name": pl.String, "t": pl.Int64, "device": pl.Int64, "conv": pl.Int64, "msg": pl.Int64, "seq": pl.Int64,
}  # fmt: skip


def read(path: Path) -> tuple[pl.DataFrame, Hole | None]:
    """Return a file's events, with the columns of the exchange format, and the hole at its end if there is one.

    Raises HistoryError for a damaged record that is not the last one, with its number (from 0) and byte offset.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise HistoryError(f"{path}: {error.strerror}") from None
    whole = len(data) // RECORD_SIZE
    records = np.frombuffer(data, RECORD_TYPE, count=whole)
    words = np.frombuffer(data, "<u8", count=whole * RECORD_SIZE // 8).reshape(whole, RECORD_SIZE // 8)
    empty = (words == 0).all(axis=1)
    used = int(empty.argmax()) if empty.any() else whole
    tail = data[whole * RECORD_SIZE :] if used == whole else b""
    if used < whole and (not empty[used:].all() or any(data[whole * RECORD_SIZE :])):
        later = used + int((~empty[used:]).argmax()) if not empty[used:].all() else whole
        raise _damaged(path, used, f"is empty, but there is data again from byte {later * RECORD_SIZE}")
    wrong = _wrong(memoryview(data)[: used * RECORD_SIZE], records["crc"][:used])
    torn = bool(any(tail))
    if len(wrong):
        if wrong[0] != used - 1 or torn:
            raise _damaged(path, int(wrong[0]), "does not match its checksum and is not the last")
        used, torn = used - 1, True
    frame = events_of(records[:used])
    last_ns = int(records["t"][used - 1]) if used else 0
    if torn:
        detail = f"torn record {used} at byte {used * RECORD_SIZE}: the process died while it wrote"
    elif used < whole:
        detail = f"{NOT_CLOSED} after record {used}: the process died or was still running"
    else:
        return frame, None
    return frame, Hole(t=last_ns, process=path.stem, detail=detail)


def _wrong(data: memoryview, written: np.ndarray) -> np.ndarray:
    """Return the numbers of the records whose checksum is not the written one."""
    if are_whole(data):
        return np.empty(0, np.int64)
    starts = range(0, len(data), RECORD_SIZE)
    sums = np.fromiter((zlib.crc32(data[at : at + _BODY_SIZE]) for at in starts), "<u4", len(written))
    return np.flatnonzero(sums != written)


def are_whole(data: memoryview) -> bool:
    """Return True if every one of these records matches its checksum.

    The CRC of a record with its own CRC behind it is the same for every record. So is that of any number of them.
    """
    return zlib.crc32(data) == _crc_of_whole(len(data) // RECORD_SIZE)


@functools.lru_cache(maxsize=64)
def _crc_of_whole(records: int) -> int:
    body = bytes(_BODY_SIZE)
    crc, record, size = 0, body + zlib.crc32(body).to_bytes(4, "little"), 1 << 12
    many = record * size
    for _ in range(records // size):
        crc = zlib.crc32(many, crc)
    return zlib.crc32(record * (records % size), crc)


def explanations(path: Path) -> pl.DataFrame:
    """Return the records that explain and are not judged: name, t, device, conv, msg, seq. Raises HistoryError.

    A record that does not match its checksum is left out, because no check depends on it.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise HistoryError(f"{path}: {error.strerror}") from None
    records = np.frombuffer(data, RECORD_TYPE, count=len(data) // RECORD_SIZE)
    names = {int(kind): kind.name.lower() for kind in Explanation}
    wanted = [
        int(place)
        for place in np.flatnonzero(np.isin(records["kind"], list(names)))
        if zlib.crc32(data[place * RECORD_SIZE : place * RECORD_SIZE + _BODY_SIZE]) == records["crc"][place]
    ]
    kept = records[wanted]
    columns = {column: np.ascontiguousarray(kept[column]) for column in ("t", "device", "conv", "msg", "seq")}
    return pl.DataFrame({"name": [names[int(kind)] for kind in kept["kind"]], **columns}, schema=_EXPLANATION)


def _damaged(path: Path, record: int, what: str) -> HistoryError:
    return HistoryError(f"{path}: record {record} at byte {record * RECORD_SIZE} {what}")


def events_of(records: np.ndarray) -> pl.DataFrame:
    """Return records as events, with the columns of the exchange format; kinds that are not judged are left out."""
    raw = {name: np.ascontiguousarray(records[name]) for name, _ in DTYPE if name not in ("reserved", "crc")}
    kind = pl.col("kind")
    frame = pl.DataFrame(raw).filter(kind.is_between(1, len(Event)))
    due = pl.when(pl.col("due") == 0).then("t").otherwise("due")  # 0: the send was due when it was sent
    frame = frame.with_columns(due=due)
    return frame.select(
        (kind - 1).alias("e"),
        "t",
        *(pl.when(kind.is_in(events_with(column=column))).then(slot_of(column)).alias(column) for column in _COLUMNS),
    )
