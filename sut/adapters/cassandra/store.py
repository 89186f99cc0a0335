"""MessageStore on Cassandra: a partition a conversation (see schema.cql), one batch a write, a quorum of three.

rows.py says which cells are written and why concurrent owners do no harm. This module keeps the order that needs, and
adds what a quorum alone does not give. A write that never returned, because its owner died, may be on one replica
only. Readers may see it or not. An owner must not build on a state that it saw there, since its rows could go with
that replica. So an owner's `load` first makes such a state, and the rows that came with it, durable. Everything up to
the committed offset did return; only what is beyond it needs that.

While a sequencer is away only time is lost. It replays the uncommitted part of the log: at most `pace.rows_s` and the
records in progress.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final

from sut.adapters.cassandra import retention as cassandra_retention
from sut.adapters.cassandra import rows
from sut.adapters.cassandra.each import chunks, each
from sut.adapters.cassandra.opening import Home
from sut.adapters.cassandra.retention import Retention
from sut.adapters.cassandra.rows import BATCH_ROWS, MAX_INTEGER, Batch, bucket_of, image_of, last_of, messages_of
from sut.adapters.cassandra.session import CassandraSession
from sut.adapters.shared.gathering import Gathering
from sut.ports import ConversationImage, ConversationWrite, Pace, Span, StoredMessage, Unavailable

DEADLINE_S: Final = 2.0
PACE: Final = Pace(rows_s=10.0, cursors_s=60.0)
"""A write costs three nodes work, hardly more for ten rows than for one. Ten seconds join a conversation's burst:
300 messages/s make 77 writes/s, against 130 after five seconds. Cursors of a device share a batch."""
WRITE_WIDTH: Final = 2
"""Conversations of one write() in progress at once. Nobody waits for it, and a burst would delay messages on their
way."""
JOIN_WIDTH: Final = 16
"""The same for memberships. They are small and rare, and a SYNC does not name a conversation before its own."""
READ_WIDTH: Final = 32
ASKED_AT_ONCE: Final = 32
"""Conversations in one query for heads or states: one request to a node instead of one each."""
PAGE_ROWS: Final = 500
"""Rows of one answer: 8 MB of the largest bodies."""
LOAD_ATTEMPTS: Final = 5
NOTHING_CONFIRMED: Final = -1
"""Below every log offset."""

_Place = tuple[int, int]
"""A conversation and one of its buckets."""


class CassandraStore:
    """The store in one keyspace. Belongs to one event loop; other processes open the same keyspace.

    Ids and numbers go up to 2^63 - 1. A larger one is treated as one that does not exist. Only client_seq, which
    devices choose, may use all 64 bits.
    """

    pace = PACE

    def __init__(
        self,
        home: Home,
        *,
        deadline_s: float = DEADLINE_S,
        expires: bool = False,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Connects at the first call.

        No request takes much longer than `deadline_s`; a write() of many conversations has several. `expires`: True if
        messages are kept for a limited time. Messages written while it is False are not noted, and stay.
        """
        keyspace = home.binding.keyspace
        statements = rows.statements(keyspace) | cassandra_retention.statements(keyspace)
        self._session = CassandraSession(home, statements, deadline_s=deadline_s)
        self._states = Gathering(self._ask_states, most=ASKED_AT_ONCE)
        self._expires = expires
        self._retention = Retention(
            self._session, load_durable=partial(self.load, confirmed=NOTHING_CONFIRMED), wall_clock=wall_clock
        )

    async def load(self, conv: int, *, confirmed: int | None = None) -> ConversationImage | None:
        """Return the stored state, None when the conversation is not stored. With `confirmed`: safe to build on."""
        if conv > MAX_INTEGER:
            return None
        for _ in range(LOAD_ATTEMPTS):
            image = await self._state(conv)
            if image is None or confirmed is None or image.row.applied <= confirmed:
                return image
            settled = await self._settle(image)
            if settled is not None:
                return settled
        raise Unavailable(f"cassandra: conversation {conv} changes too fast to be taken over")

    async def write(self, partition: int, writes: Sequence[ConversationWrite]) -> None:
        """Store each conversation's change whole or not at all; all of them on return. May be repeated."""
        memberships = dict.fromkeys((span.user, write.row.conv) for write in writes for span in write.spans)
        joins = [Batch((("put_membership", pair),)) for pair in memberships]
        await each(joins, self._session.write, width=JOIN_WIDTH)
        await each(writes, partial(self._write, partition), width=WRITE_WIDTH)

    async def reached(self, partition: int) -> int | None:
        """Return None: the conversations of a partition are spread over the nodes, and no row says how far all are.

        Such a row would not tell it either once nodes were put back to copies. Those are of different moments, and a
        read returns the newest of them, which says more than the other nodes have.
        """
        return None

    async def page(self, conv: int, after: int, limit: int) -> list[StoredMessage]:
        """Up to `limit` rows with a number above `after`, in order."""
        found: list[StoredMessage] = []
        while len(found) < limit and conv <= MAX_INTEGER and after < MAX_INTEGER:
            bucket = bucket_of(after + 1)
            through = min(after + min(limit - len(found), PAGE_ROWS), last_of(bucket))
            part = await self._stretch(conv, bucket, after + 1, through)
            found += part
            after = part[-1].seq if part else after
            if after == through:
                continue
            # Numbers have no holes. An answer that does not reach the last number asked for ends the conversation,
            # unless the bucket was emptied.
            kept = 0 if found else await self._retention.first_kept(conv)
            if kept <= bucket:
                break
            after = last_of(kept - 1)
        return found

    async def page_before(self, conv: int, before: int, limit: int) -> list[StoredMessage]:
        """The newest rows with a number below `before`, `limit` at most, in order.

        It reads downwards from the bucket of `before`, or from the newest one. An empty bucket below the newest one
        ends the search: it is before the first message, or was emptied.
        """
        found: list[StoredMessage] = []
        if conv > MAX_INTEGER or before <= 1:
            return found
        below = min(before, MAX_INTEGER)
        bucket = bucket_of(below - 1)
        newest: int | None = None
        if bucket:
            newest = await self._newest_bucket(conv)
            bucket = min(bucket, newest)
        below = min(below, last_of(bucket) + 1)
        while bucket >= 0 and len(found) < limit:
            wanted = min(limit - len(found), PAGE_ROWS)
            part = await self._rows_below(conv, bucket, below=below, wanted=wanted, newest=newest)
            found[:0] = part
            if len(part) == wanted:
                below = part[0].seq
            elif not part and bucket != newest:
                break
            else:
                bucket -= 1
                below = last_of(bucket) + 1
        return found

    async def expire(self, partition: int, older_than_s: float) -> bool:
        """Empty some buckets that became full on a day that ended so long ago. The newest bucket of each stays."""
        return await self._retention.expire(partition, older_than_s)

    async def conversations_of(self, user: int, after: int, limit: int) -> list[int]:
        """Ids above `after`, rising, that this user is or was in. May name one whose write did not land."""
        if max(user, after) > MAX_INTEGER:
            return []
        return [conv for (conv,) in await self._session.read("conversations", (user, after, limit))]

    async def heads(self, user: int, convs: Sequence[int]) -> dict[int, int]:
        """The stored head of each, as far as this user may see; without those not stored or never entered."""
        if user > MAX_INTEGER:
            return {}
        asked = [conv for conv in convs if conv <= MAX_INTEGER]
        found: dict[int, int] = {}
        rolled: list[tuple[int, int]] = []

        async def ask(part: Sequence[int]) -> None:
            for conv, head, newest, cells in await self._session.read("heads", (*_stays(user), part)):
                if newest:
                    rolled.append((conv, newest))
                elif spans := rows.spans_of(cells):
                    found[conv] = _seen(spans, head)

        async def ask_newest(conversation: tuple[int, int]) -> None:
            conv, newest = conversation
            for bucket in range(newest, -1, -1):
                for head, cells in await self._session.read("head", (*_stays(user), conv, bucket)):
                    if head is not None:
                        if spans := rows.spans_of(cells):
                            found[conv] = _seen(spans, head)
                        return

        await each(chunks(asked, ASKED_AT_ONCE), ask, width=READ_WIDTH)
        await each(rolled, ask_newest, width=READ_WIDTH)
        return found

    async def save_cursors(self, cursors: Iterable[tuple[int, int, int]]) -> None:
        """Store (device, conv, seq): what devices have shown. Cursors only rise; ids out of range are ignored."""
        by_device: defaultdict[int, dict[int, int]] = defaultdict(dict)
        for device, conv, seq in cursors:
            if max(device, conv, seq) <= MAX_INTEGER:
                shown = by_device[device]
                shown[conv] = max(seq, shown.get(conv, 0))
        batches = [
            Batch(tuple(("put_cursor", (device, conv, seq, seq)) for conv, seq in chunk))
            for device, shown in by_device.items()
            for chunk in chunks(list(shown.items()), BATCH_ROWS)
        ]
        await each(batches, self._session.write, width=WRITE_WIDTH)

    async def cursors(self, device: int) -> dict[int, int]:
        """Map each conversation to the number that this device has shown."""
        if device > MAX_INTEGER:
            return {}
        return dict(await self._session.read("cursors", (device,)))

    async def save_receipts(self, receipts: Iterable[tuple[int, int, int, int]]) -> None:
        """Store (conv, user, kind, seq). They only rise; ids out of range are ignored."""
        by_conv: defaultdict[int, dict[tuple[int, int], int]] = defaultdict(dict)
        for conv, user, kind, seq in receipts:
            if max(conv, user, kind, seq) <= MAX_INTEGER:
                told = by_conv[conv]
                told[user, kind] = max(seq, told.get((user, kind), 0))
        batches = [
            Batch(tuple(("put_receipt", (conv, user, kind, seq, seq)) for (user, kind), seq in chunk))
            for conv, told in by_conv.items()
            for chunk in chunks(list(told.items()), BATCH_ROWS)
        ]
        await each(batches, self._session.write, width=WRITE_WIDTH)

    async def receipts(self, conv: int) -> dict[tuple[int, int], int]:
        """Map (user, kind) to seq in this conversation."""
        if conv > MAX_INTEGER:
            return {}
        return {(user, kind): seq for user, kind, seq in await self._session.read("receipts", (conv,))}

    async def close(self) -> None:
        """Close the connections; requests in progress raise Unavailable."""
        await self._session.close()

    async def _write(self, partition: int, write: ConversationWrite) -> None:
        conv, opens = write.row.conv, rows.opens_bucket(write)
        full: Sequence[int] = rows.fills(write) if self._expires else ()
        noted = await self._retention.note(partition, conv, full) if full else 0
        if opens:
            write = rows.whole(await self._state(conv, below=bucket_of(write.row.head)), write)
        for batch in rows.batches(write, opens=opens):
            await self._session.write(batch)
        if full and self._retention.today() > noted:
            await self._retention.note(partition, conv, full)

    async def _stretch(self, conv: int, bucket: int, first: int, last: int) -> list[StoredMessage]:
        """Return the rows first..last of a bucket. Without a limit: rows.py says why."""
        return messages_of(await self._session.read("page", (conv, bucket, first, last)))

    async def _rows_below(
        self, conv: int, bucket: int, *, below: int, wanted: int, newest: int | None
    ) -> list[StoredMessage]:
        """Return the newest rows of a bucket below a number, `wanted` at most, in order.

        `newest`: the newest bucket, None where it is not known. In that one `below` may be far above the last row, so
        the rows are looked for. Every other bucket has all its numbers, or none.
        """
        if bucket != newest:
            first = max(below - wanted, last_of(bucket - 1) + 1, 1)
            part = await self._stretch(conv, bucket, first, below - 1)
            if newest is not None or len(part) == below - first or await self._newest_bucket(conv) > bucket:
                return part
        return messages_of(reversed(await self._session.read("newest_rows", (conv, bucket, below, wanted))))

    async def _newest_bucket(self, conv: int) -> int:
        """Return the newest bucket of a conversation; 0 also where nothing is stored."""
        first = await self._session.read("state", (conv, 0))
        return (first[0][-1] or 0) if first else 0

    async def _state(self, conv: int, *, below: int | None = None) -> ConversationImage | None:
        """Return the newest state, or the newest one in a bucket below `below`."""
        first = await self._states.ask((conv, 0))
        if first is None:
            return None
        newest = first[-1] or 0
        if below is not None:
            newest = min(newest, below - 1)
        for bucket in range(newest, 0, -1):
            columns = await self._states.ask((conv, bucket))
            image = None if columns is None else image_of(conv, columns)
            if image is not None:
                return image
        return image_of(conv, first)

    async def _ask_states(self, places: Sequence[_Place]) -> dict[_Place, Sequence[Any]]:
        """Map each place to the state's columns there, followed by the newest bucket.

        A starting sequencer loads hundreds at once, when the nodes have most to do. Most of them are in bucket 1.
        """
        if len(places) == 1:
            found = await self._session.read("state", places[0])
            return {places[0]: found[0]} if found else {}
        by_bucket: defaultdict[int, list[int]] = defaultdict(list)
        for conv, bucket in places:
            by_bucket[bucket].append(conv)
        answers = await asyncio.gather(
            *(self._session.read("states", (convs, bucket)) for bucket, convs in by_bucket.items())
        )
        return {
            (conv, bucket): columns
            for bucket, answer in zip(by_bucket, answers, strict=True)
            for conv, *columns in answer
        }

    async def _settle(self, seen: ConversationImage) -> ConversationImage | None:
        """Make the newest state and the rows of its batch durable, as one replica at least has them; return it.

        Returns None when the state was not found again with its rows: its replica did not answer now, or another owner
        writes. Rows and state come from one read, in which each replica answers with both or neither.
        """
        conv, head = seen.row.conv, seen.row.head
        image: ConversationImage | None = seen
        newest: list[StoredMessage] = []
        if head > 0:
            found = await self._session.read("state_and_rows", (conv, bucket_of(head), head, BATCH_ROWS))
            image, newest = (image_of(conv, found[0]), messages_of(reversed(found))) if found else (None, [])
            if image is None or image.row.head != head or newest[-1].seq != head:
                return None
        assert image is not None
        whole = ConversationWrite(image.row, (), image.spans, image.marks, image.roles)
        await self._session.write(rows.state_batch(whole, newest))
        return image


def _stays(user: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """The first and last possible key of a user's stays."""
    return (user, 0), (user, MAX_INTEGER)


def _seen(spans: Sequence[Span], head: int) -> int:
    """The head as far as the user of these ordered stays may see."""
    end = spans[-1].end
    return min(head, end - 1) if end else head
