"""The contents of a write to the Cassandra store: which cells, in which partitions, in which order. Pure.

Why a partition's cells are right whoever writes them, in whatever order they arrive:

- The state of a conversation at log offset T, f(T), is a function of the log, and so is every row. A write with
  `applied` T carries timestamp T. Of f(T) it holds each cell that changed since the writer's last write, or since the
  state that it loaded. Take a cell that changed last at offset o. Every writer that has reached T >= o has written it
  with a timestamp of o or later. It wrote the value that the cell has had since o.
- So of two values for a cell, the one with the later timestamp is the newer or the same one. A late write by an owner
  that was replaced only fills in what was already there. Equal timestamps carry equal values.
- Cells of a state never go away. A collection is only ever added to (`spans + ?`): each of its elements is a cell with
  a timestamp of its own. Setting it whole (`spans = ?`) would first delete it up to T - 1, and with it elements of
  other writers. An INSERT of a collection does the same, so there is none.
- A new bucket starts with the whole of f(T), taken from the bucket before. That one's last state is older than T since
  the boundary lies between them. From then on the same holds there.
- Only rows are ever deleted, whole buckets of them, below the newest one: retention.py says why that is safe.

A replica that missed such a deletion still answers with the rows. Where a SELECT has a limit, the coordinator asks it
again for as many rows as the limit is, until it has a row that is not deleted. SELECT DISTINCT has a limit of one: it
would ask 4,095 times, longer than the time-out. So no SELECT with a limit meets deleted rows. An emptied bucket begins
with a row that stays (`mark_emptied`), and DISTINCT finds that one first. `page` names the numbers and has no limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from sut.ports import (
    ConversationImage,
    ConversationRow,
    ConversationWrite,
    RoleMark,
    SenderMark,
    Span,
    StoredMessage,
)

BUCKET_ROWS: Final = 4096
"""Numbers of a partition. With the largest bodies (16 KB) 64 MB, below the 100 MB that Cassandra recommends."""
BATCH_ROWS: Final = 64
"""Rows of one batch: 1 MB of the largest bodies, far below the limit of a mutation (commitlog_segment_size / 2)."""
EMPTIED: Final = -1
"""The number of the row that marks an emptied bucket. No message has it; it is not deleted with them."""
MAX_INTEGER: Final = (1 << 63) - 1
"""The largest Cassandra bigint."""

_STATE: Final = "kind = ?, creator = ?, head = ?, applied = ?, spans = spans + ?, marks = marks + ?, roles = roles + ?"
_ROW: Final = "flags = ?, user = ?, device = ?, client_seq = ?, body = ?"
_STATE_COLUMNS: Final = "kind, creator, head, applied, spans, marks, roles"
_ROW_COLUMNS: Final = "seq, flags, user, device, client_seq, body"


@dataclass(frozen=True, slots=True)
class Batch:
    """Named statements for one partition with their parameters; they take effect together."""

    statements: tuple[tuple[str, tuple[Any, ...]], ...]


def statements(keyspace: str) -> dict[str, str]:
    """Return every statement of the store, all idempotent, by name.

    Tables are named with their keyspace, so that it does not matter which one a connection "uses".
    """
    message, membership, cursor = (f"{keyspace}.{table}" for table in ("message", "membership", "cursor"))
    receipt = f"{keyspace}.receipt"
    where_row = "WHERE conv = ? AND bucket = ? AND seq = ?"
    return {
        "put_row": f"UPDATE {message} USING TIMESTAMP ? SET {_ROW} {where_row}",
        "put_state": f"UPDATE {message} USING TIMESTAMP ? SET {_STATE} WHERE conv = ? AND bucket = ?",
        "put_both": f"UPDATE {message} USING TIMESTAMP ? SET {_STATE}, {_ROW} {where_row}",
        "put_newest": f"UPDATE {message} USING TIMESTAMP ? SET newest = ? WHERE conv = ? AND bucket = 0",
        "put_membership": f"INSERT INTO {membership} (user, conv) VALUES (?, ?)",
        "put_cursor": f"INSERT INTO {cursor} (device, conv, seq) VALUES (?, ?, ?) USING TIMESTAMP ?",
        "put_receipt": f"INSERT INTO {receipt} (conv, user, kind, seq) VALUES (?, ?, ?, ?) USING TIMESTAMP ?",
        "receipts": f"SELECT user, kind, seq FROM {receipt} WHERE conv = ?",
        "state": f"SELECT DISTINCT {_STATE_COLUMNS}, newest FROM {message} WHERE conv = ? AND bucket = ?",
        "states": f"SELECT DISTINCT conv, {_STATE_COLUMNS}, newest FROM {message} WHERE conv IN ? AND bucket = ?",
        "state_and_rows": f"SELECT {_STATE_COLUMNS}, {_ROW_COLUMNS} FROM {message}"
        " WHERE conv = ? AND bucket = ? AND seq >= 0 AND seq <= ? ORDER BY seq DESC LIMIT ?",
        "delete_rows": f"DELETE FROM {message} USING TIMESTAMP ? WHERE conv = ? AND bucket = ? AND seq >= 0",
        "mark_emptied": f"INSERT INTO {message} (conv, bucket, seq) VALUES (?, ?, {EMPTIED}) USING TIMESTAMP ?",
        "page": f"SELECT {_ROW_COLUMNS} FROM {message} WHERE conv = ? AND bucket = ? AND seq >= ? AND seq <= ?",
        "newest_rows": f"SELECT {_ROW_COLUMNS} FROM {message}"
        " WHERE conv = ? AND bucket = ? AND seq >= 0 AND seq < ? ORDER BY seq DESC LIMIT ?",
        "heads": f"SELECT DISTINCT conv, head, newest, spans[?..?] FROM {message} WHERE conv IN ? AND bucket = 0",
        "head": f"SELECT DISTINCT head, spans[?..?] FROM {message} WHERE conv = ? AND bucket = ?",
        "conversations": f"SELECT conv FROM {membership} WHERE user = ? AND conv > ? LIMIT ?",
        "cursors": f"SELECT conv, seq FROM {cursor} WHERE device = ?",
    }


def bucket_of(seq: int) -> int:
    """The number of the bucket that holds `seq`."""
    return seq // BUCKET_ROWS


def last_of(bucket: int) -> int:
    """The last number that a bucket holds."""
    return (bucket + 1) * BUCKET_ROWS - 1


def fills(write: ConversationWrite) -> range:
    """The buckets below the newest that hold a row of the write, or the number before its rows."""
    before = write.messages[0].seq - 1 if write.messages else write.row.head
    return range(bucket_of(before), bucket_of(write.row.head))


def opens_bucket(write: ConversationWrite) -> bool:
    """Return True if the write's state is the first in its bucket: earlier numbers are in an earlier bucket."""
    return bool(fills(write))


def whole(base: ConversationImage | None, write: ConversationWrite) -> ConversationWrite:
    """Return the write with the whole state after it, computed from `base`, the state before."""
    if base is None:
        return write
    spans = {(span.user, span.first): span for span in (*base.spans, *write.spans)}
    marks = {mark.device: mark for mark in (*base.marks, *write.marks)}
    roles = {mark.user: mark for mark in (*base.roles, *write.roles)}
    return ConversationWrite(
        write.row, write.messages, tuple(spans.values()), tuple(marks.values()), tuple(roles.values())
    )


def batches(write: ConversationWrite, *, opens: bool) -> Iterator[Batch]:
    """Yield what to write, in order. Each batch must be durable before the next one is sent.

    All but the last are harmless without it. They hold rows beyond the state, which a replay writes again with the same
    contents. They also hold the pointer, which is above a bucket without a state until the last one lands. The last has
    the state and the newest rows; usually it is the only one, and mostly a single statement.
    """
    conv, applied = write.row.conv, write.row.applied
    newest = bucket_of(write.row.head)
    final: Sequence[StoredMessage] = ()
    for bucket, group in groupby(write.messages, key=lambda message: bucket_of(message.seq)):
        rows = list(group)
        if bucket == newest:
            rows, final = rows[:-BATCH_ROWS], rows[-BATCH_ROWS:]
        for start in range(0, len(rows), BATCH_ROWS):
            yield Batch(tuple(_put_row(conv, applied, row) for row in rows[start : start + BATCH_ROWS]))
    if opens:
        yield Batch((("put_newest", (newest, newest, conv)),))
    yield state_batch(write, final)


def state_batch(write: ConversationWrite, rows: Sequence[StoredMessage]) -> Batch:
    """Return a write's state together with these rows, which are in the newest bucket."""
    row = write.row
    spans = {(span.user, span.first): span.end for span in write.spans}
    marks = {mark.device: (signed(mark.client_seq), mark.seq, mark.digest) for mark in write.marks}
    roles = {mark.user: (mark.role, mark.seq) for mark in write.roles}
    state = (row.kind, row.creator, row.head, row.applied, spans, marks, roles)
    if not rows:
        return Batch((("put_state", (row.applied, *state, row.conv, bucket_of(row.head))),))
    *others, last = rows
    both = (row.applied, *state, *_cells(last), row.conv, bucket_of(last.seq), last.seq)
    return Batch((*(_put_row(row.conv, row.applied, other) for other in others), ("put_both", both)))


def image_of(conv: int, columns: Sequence[Any]) -> ConversationImage | None:
    """The state in the first seven columns of a row of `state` or `state_and_rows`; None when there is none."""
    kind, creator, head, applied, spans, marks, roles = columns[:7]
    if applied is None:
        return None
    return ConversationImage(
        ConversationRow(conv, kind, creator, head, applied),
        spans_of(spans),
        tuple(SenderMark(device, unsigned(number), *rest) for device, (number, *rest) in (marks or {}).items()),
        tuple(RoleMark(user, role, seq) for user, (role, seq) in (roles or {}).items()),
    )


def spans_of(cells: Mapping[tuple[int, int], int] | None) -> tuple[Span, ...]:
    """The stays in a `spans` column, or in a slice of one, by user and first number."""
    return tuple(Span(user, first, end) for (user, first), end in (cells or {}).items())


def messages_of(rows: Iterable[Sequence[Any]]) -> list[StoredMessage]:
    """The messages in the last six columns of each row."""
    return [
        StoredMessage(seq, flags, user, device, unsigned(client_seq), body)
        for seq, flags, user, device, client_seq, body in (row[-6:] for row in rows)
    ]


def _put_row(conv: int, applied: int, row: StoredMessage) -> tuple[str, tuple[Any, ...]]:
    return "put_row", (applied, *_cells(row), conv, bucket_of(row.seq), row.seq)


def _cells(row: StoredMessage) -> tuple[Any, ...]:
    return row.flags, row.user, row.device, signed(row.client_seq), row.body


def signed(number: int) -> int:
    """Convert an unsigned 64-bit number to a bigint."""
    return number - (1 << 64) if number > MAX_INTEGER else number


def unsigned(number: int) -> int:
    """Convert a bigint back: the reverse of `signed`."""
    return number + (1 << 64) if number < 0 else number
