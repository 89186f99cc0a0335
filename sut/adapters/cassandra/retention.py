"""Retention on Cassandra: deletes whole buckets of rows, each by one range tombstone, and never the newest one.

A write that opens a bucket first notes the buckets that it leaves behind as full, by partition and day. `expire` reads
the notes of the oldest day that ended long enough ago. Why it is safe:

- It relies on a durable state only (`load` settles it), and deletes below that state's bucket. An owner who loads from
  then on begins above. The rows that make a state trustworthy are beside it, in its bucket. States, in static columns,
  stay in every bucket.
- The tombstone's timestamp is above every log offset. The state's own timestamp would not do: an owner that stalled
  before a write from further on in the log would bring rows back. Nobody needs such rows again, so all lose.
- A note whose write has not landed is moved to today: its bucket is not yet below a durable state.
- A retried write may land days after its first attempt noted the bucket. `full_on` only rises, and an older note does
  not count. A writer that stalled between its note and its rows checks the clock again afterwards.
- "Everything below this bucket went" (`emptied`) is durable before the first tombstone is sent. A reader that finds a
  bucket empty reads it: an emptied bucket is not the end of a conversation, and one read passes over thousands.
- The tombstone comes with a row that marks the bucket as emptied. It keeps reads quick while a replica has neither:
  rows.py says how.

Write timestamps in the tables of notes are days and buckets: the same note twice is one note, and a deleted note
stays deleted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import groupby
from typing import Final

from sut.adapters.cassandra.each import chunks, each
from sut.adapters.cassandra.rows import EMPTIED, Batch, bucket_of
from sut.adapters.cassandra.session import CassandraSession
from sut.ports import ConversationImage

DAY_S: Final = 86_400
EXPIRE_BUCKETS: Final = 100
"""Buckets that one expire() handles at most: a few hundred small requests, for up to 400,000 messages."""
FOR_GOOD: Final = 1 << 62
"""A write timestamp above all offsets of a log."""
WIDTH: Final = 4
"""Conversations that one expire() handles at once. Nobody waits for it."""

_Note = tuple[int, int]
"""(conv, bucket) of a full bucket."""


def statements(keyspace: str) -> dict[str, str]:
    """Return every statement of this file, all idempotent, by name."""
    full, days, retention = (f"{keyspace}.{table}" for table in ("full_bucket", "bucket_day", "retention"))
    return {
        "put_full": f"INSERT INTO {full} (partition, day, conv, bucket) VALUES (?, ?, ?, ?) USING TIMESTAMP ?",
        "put_day": f"INSERT INTO {days} (partition, day) VALUES (?, ?) USING TIMESTAMP ?",
        "put_full_on": f"INSERT INTO {retention} (conv, bucket, full_on) VALUES (?, ?, ?) USING TIMESTAMP ?",
        "put_emptied": f"INSERT INTO {retention} (conv, bucket, emptied) VALUES (?, {EMPTIED}, ?) USING TIMESTAMP ?",
        "due_days": f"SELECT day FROM {days} WHERE partition = ? AND day < ? LIMIT 2",
        "full": f"SELECT conv, bucket FROM {full} WHERE partition = ? AND day = ? LIMIT ?",
        "full_on": f"SELECT bucket, full_on FROM {retention} WHERE conv = ? AND bucket >= ? AND bucket <= ?",
        "emptied": f"SELECT DISTINCT emptied FROM {retention} WHERE conv = ?",
        "delete_full": f"DELETE FROM {full} USING TIMESTAMP ?"
        " WHERE partition = ? AND day = ? AND (conv, bucket) <= (?, ?)",
        "delete_day": f"DELETE FROM {days} USING TIMESTAMP ? WHERE partition = ? AND day = ?",
        "delete_full_on": f"DELETE FROM {retention} USING TIMESTAMP ? WHERE conv = ? AND bucket = ?",
    }


class Retention:
    """Notes full buckets, empties old ones, knows where a conversation begins. All methods may raise Unavailable."""

    def __init__(
        self,
        session: CassandraSession,
        *,
        load_durable: Callable[[int], Awaitable[ConversationImage | None]],
        wall_clock: Callable[[], float],
    ) -> None:
        """`load_durable`: returns a conversation's newest state once a quorum has it. `wall_clock`: Unix time in s."""
        self._session = session
        self._load_durable = load_durable
        self._wall_clock = wall_clock

    def today(self) -> int:
        """The number of days since 1970."""
        return int(self._wall_clock() // DAY_S)

    async def note(self, partition: int, conv: int, buckets: Sequence[int]) -> int:
        """Note these buckets as full today, and return today. A writer calls this before it sends a row beyond them."""
        day = self.today()
        for part in chunks(buckets, EXPIRE_BUCKETS):
            full = Batch(tuple(("put_full", (partition, day, conv, bucket, day)) for bucket in part))
            full_on = Batch(tuple(("put_full_on", (conv, bucket, day, day)) for bucket in part))
            # This order ensures that a note exists for the day that `full_on` names.
            for batch in (full, Batch((("put_day", (partition, day, day)),)), full_on):
                await self._session.write(batch)
        return day

    async def first_kept(self, conv: int) -> int:
        """The lowest bucket that may have messages: all below were emptied. 0 when none was."""
        found = await self._session.read("emptied", (conv,))
        return (found[0][0] or 0) if found else 0

    async def expire(self, partition: int, older_than_s: float) -> bool:
        """Empty some buckets that became full on the oldest day that ended so long ago. True if more are due."""
        before = int((self._wall_clock() - older_than_s) // DAY_S)
        days = [day for (day,) in await self._session.read("due_days", (partition, before))]
        if not days:
            return False
        day = days[0]
        notes: list[_Note] = await self._session.read("full", (partition, day, EXPIRE_BUCKETS))
        by_conv = [list(group) for _, group in groupby(notes, key=lambda note: note[0])]
        await each(by_conv, partial(self._expire, partition, day), width=WIDTH)
        if notes:
            await self._session.write(Batch((("delete_full", (day, partition, day, *notes[-1])),)))
        if len(notes) == EXPIRE_BUCKETS:
            return True
        await self._session.write(Batch((("delete_day", (day, partition, day)),)))
        return len(days) > 1

    async def _expire(self, partition: int, day: int, notes: list[_Note]) -> None:
        """Empty the buckets of one conversation whose last note is of this day."""
        conv, buckets = notes[0][0], [bucket for _, bucket in notes]
        full_on: dict[int, int] = dict(await self._session.read("full_on", (conv, buckets[0], buckets[-1])))
        due = [bucket for bucket in buckets if full_on.get(bucket, day) <= day]
        if not due:
            return
        image = await self._load_durable(conv)
        newest = bucket_of(image.row.head) if image is not None else 0
        if early := [bucket for bucket in due if bucket >= newest]:
            await self.note(partition, conv, early)
        if not (due := [bucket for bucket in due if bucket < newest]):
            return
        below = due[-1] + 1
        await self._session.write(Batch((("put_emptied", (conv, below, below)),)))
        for bucket in due:
            marked = "mark_emptied", (conv, bucket, FOR_GOOD)
            await self._session.write(Batch((("delete_rows", (FOR_GOOD, conv, bucket)), marked)))
            await self._session.write(Batch((("delete_full_on", (day, conv, bucket)),)))
