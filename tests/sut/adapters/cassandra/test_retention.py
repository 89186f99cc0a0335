"""Retention on Cassandra, step by step, on nodes in memory: notes, retries, zombies, what readers pay."""

import asyncio
import random
from collections.abc import Iterator

import pytest

from sut.adapters.cassandra import retention as cassandra_retention
from sut.adapters.cassandra.opening import Home
from sut.adapters.cassandra.retention import DAY_S
from sut.adapters.cassandra.rows import Batch, batches, last_of
from sut.adapters.cassandra.schema import Binding
from sut.adapters.cassandra.store import CassandraStore
from sut.ports import ConversationRow, ConversationWrite, SenderMark, Span, StoredMessage, Unavailable
from tests.sut.adapters.cassandra_model import Nodes
from tests.sut.adapters.cassandra_world import CONV, Clock, small

KEEP_S = 2 * DAY_S
BUCKET = 4
"""Numbers of a bucket here; bucket 0 has three, as there is no number 0."""


@pytest.fixture(autouse=True)
def small_buckets() -> Iterator[None]:
    with small():
        yield


class Calm:
    """Stores on nodes that always answer."""

    def __init__(self, *, expires: bool = True, seed: int = 1) -> None:
        self.clock = Clock()
        self.nodes = Nodes(random.Random(seed))
        self.nodes.calm = True
        self.lose: str | None = None
        """The name of a statement: every write with it fails, and nobody has it."""
        self.store = CassandraStore(
            Home({}, Binding(keyspace="k", log_id="l", partitions=1, creates=False)),
            expires=expires,
            wall_clock=self.clock,
        )
        self.store._session.read = self.nodes.read  # type: ignore[method-assign]
        self.store._session.write = self._write  # type: ignore[method-assign]

    async def _write(self, batch: object) -> None:
        names = [name for name, _ in batch.statements]  # type: ignore[attr-defined]
        if self.lose in names:
            raise Unavailable("lost")
        if "put_membership" not in names:
            await self.nodes.write(batch)  # type: ignore[arg-type]

    async def write(self, first: int, last: int, *, conv: int = CONV) -> None:
        await self.store.write(0, [write_of(first, last, conv=conv)])

    async def write_in_vain(self, lost: str, first: int, last: int) -> None:
        """A write that fails at this statement; the next ones do not."""
        self.lose = lost
        with pytest.raises(Unavailable):
            await self.write(first, last)
        self.lose = None

    async def expire(self) -> int:
        """Until there is nothing more; how many steps it took."""
        steps = 1
        while await self.store.expire(0, KEEP_S):
            steps += 1
        return steps

    async def kept(self, conv: int = CONV, *, after: int = 0) -> list[int]:
        return [row.seq for row in await self.store.page(conv, after, 10_000)]


def write_of(first: int, last: int, *, conv: int = CONV) -> ConversationWrite:
    rows = tuple(StoredMessage(seq, 0, 7, 1, seq, b"%d" % seq) for seq in range(first, last + 1))
    return ConversationWrite(
        ConversationRow(conv, "g", 7, last, last), rows, (Span(7, 1),), (SenderMark(1, last, last),)
    )


async def test_without_retention_nothing_is_noted_and_nothing_goes() -> None:
    calm = Calm(expires=False)
    await calm.write(1, 10)
    await calm.write(11, 30)
    assert set(calm.nodes.asked) == {"put_row", "put_both", "put_newest", "state"}
    calm.clock.now += 50 * DAY_S
    assert await calm.expire() == 1
    assert await calm.kept() == list(range(1, 31))


async def test_a_retry_on_a_later_day_counts_and_its_first_attempt_does_not() -> None:
    """Nothing of the first attempt landed but the note: messages that are a day old must not go with it."""
    calm = Calm()
    await calm.write(1, 3)
    await calm.write_in_vain("put_newest", 4, 9)
    calm.clock.now += DAY_S
    await calm.write(4, 9)
    calm.clock.now = 103 * DAY_S
    await calm.expire()
    assert await calm.kept() == list(range(1, 10))
    calm.clock.now = 104 * DAY_S
    await calm.expire()
    assert await calm.kept() == [8, 9]


async def test_a_note_of_a_write_that_has_not_landed_waits_for_it() -> None:
    calm = Calm()
    await calm.write(1, 3)
    await calm.write_in_vain("put_both", 4, 9)
    calm.clock.now += 10 * DAY_S
    await calm.expire()
    assert (await calm.kept())[:3] == [1, 2, 3]
    # What its writer would have done all that time without looking at the clock: no note of its own.
    calm.store._expires = False
    await calm.write(4, 9)
    calm.store._expires = True
    calm.clock.now += 10 * DAY_S
    await calm.expire()
    assert await calm.kept() == [8, 9]


async def test_nothing_goes_because_of_a_state_that_one_replica_has() -> None:
    """Whoever is asked afterwards, rows are there up to the state that is seen, and an owner can build on it."""
    seen = set()
    for seed in range(20):
        calm = Calm(seed=seed)
        await calm.write(1, 3)
        await calm.write_in_vain("put_both", 4, 9)
        *_, state = batches(write_of(4, 9), opens=True)
        calm.nodes._apply(0, state)
        calm.clock.now += 10 * DAY_S
        await calm.expire()
        for _ in range(10):
            image = await calm.store.load(CONV)
            assert image is not None
            rows = await calm.kept()
            seen.add((image.row.head, rows[0] if rows else None))
        assert await calm.store.load(CONV, confirmed=3) is not None
    assert seen == {(3, 1), (9, 1), (9, 8)}  # (9, 1): the expiry did not see that state and left all as it was


async def test_a_zombie_brings_nothing_back() -> None:
    """Not even one that has come further in the log than the state that was there at the expiry."""
    calm = Calm()
    await calm.write(1, 9)
    calm.clock.now += 10 * DAY_S
    await calm.expire()
    assert await calm.kept() == [8, 9]
    await calm.write(2, 3)
    await calm.write(5, 9)
    assert await calm.kept() == [8, 9]
    await calm.write(2, 10)
    assert [await calm.kept(after=after) for after in range(5)] == [[8, 9, 10]] * 5
    assert [row.seq for row in await calm.store.page_before(CONV, 11, 10)] == [8, 9, 10]
    calm.clock.now += 10 * DAY_S
    await calm.expire()
    assert await calm.kept() == [8, 9, 10]


async def test_a_writer_that_stood_still_notes_again() -> None:
    """Between its note and its rows a month passes, in which others write, and the note goes with its day."""
    calm = Calm()
    await calm.write(1, 3)
    through, stopped = asyncio.Event(), asyncio.Event()
    write = calm.store._session.write

    async def stands_still(batch: object) -> None:
        if batch.statements[0][0] == "put_row" and not stopped.is_set():  # type: ignore[attr-defined]
            stopped.set()
            await through.wait()
        await write(batch)  # type: ignore[arg-type]

    calm.store._session.write = stands_still  # type: ignore[method-assign,assignment]
    zombie = asyncio.create_task(calm.write(4, 14))
    await stopped.wait()
    await calm.write(4, 9)
    await calm.write(10, 14)
    calm.clock.now += 30 * DAY_S
    await calm.expire()
    assert await calm.kept() == [12, 13, 14]
    await calm.write(15, 15)
    calm.nodes.asked.clear()
    through.set()
    await zombie
    assert calm.nodes.asked.count("put_full_on") == 3
    calm.clock.now += 30 * DAY_S
    await calm.expire()
    assert await calm.kept() == [12, 13, 14, 15]


async def test_thousands_of_emptied_buckets_cost_a_reader_three_reads() -> None:
    calm = Calm()
    last = 2_000 * BUCKET + 1
    await calm.write(1, last)
    calm.clock.now += 10 * DAY_S
    assert await calm.expire() > 2_000 / cassandra_retention.EXPIRE_BUCKETS
    for after in (0, 1, BUCKET - 2, 1_000 * BUCKET):
        calm.nodes.asked.clear()
        assert [row.seq for row in await calm.store.page(CONV, after, 100)] == [last - 1, last]
        assert calm.nodes.asked == ["page", "emptied", "page"]
    for before, asked in (
        (1 << 40, ["state", "newest_rows", "page"]),
        (last - 1, ["state", "page"]),
        (1_000 * BUCKET, ["state", "page"]),
        (BUCKET - 1, ["page", "state"]),
    ):
        calm.nodes.asked.clear()
        await calm.store.page_before(CONV, before, 100)
        assert calm.nodes.asked == asked, before
    image = await calm.store.load(CONV)
    assert image is not None
    assert (image.row.head, image.spans, image.marks) == (last, (Span(7, 1),), (SenderMark(1, last, last),))


async def test_a_replica_that_missed_an_emptied_bucket_is_not_asked_row_by_row() -> None:
    """Each read that meets rows deleted elsewhere is without a limit, or finds the mark of the bucket first."""
    for seed in range(20):
        calm = Calm(seed=seed)
        await calm.write(1, 3 * BUCKET + 1)
        calm.clock.now += 10 * DAY_S
        calm.nodes.away = 2
        await calm.expire()
        calm.nodes.away = None
        for after in range(3 * BUCKET):
            assert (await calm.kept(after=after))[0] == max(3 * BUCKET, after + 1)
        for before in (1, 2, BUCKET, 2 * BUCKET, 3 * BUCKET, 3 * BUCKET + 1, 1 << 40):
            for limit in (1, 2, 100):
                rows = await calm.store.page_before(CONV, before, limit)
                assert [row.seq for row in rows] == list(range(3 * BUCKET, min(before, 3 * BUCKET + 2)))[-limit:]
        image = await calm.store.load(CONV, confirmed=0)
        assert image is not None and image.row.head == 3 * BUCKET + 1
        await calm.write(3 * BUCKET + 2, 3 * BUCKET + 2)
        assert calm.nodes.row_by_row == []


async def test_without_its_mark_such_a_bucket_would_be_read_row_by_row() -> None:
    calm = Calm()
    await calm.write(1, 2 * BUCKET)
    for replica in (0, 1):
        calm.nodes._apply(replica, Batch((("delete_rows", (cassandra_retention.FOR_GOOD, CONV, 0)),)))
    for _ in range(10):
        await calm.store.load(CONV)
    assert set(calm.nodes.row_by_row) == {"state"}


async def test_catching_up_costs_what_it_did_where_nothing_expired() -> None:
    calm = Calm()
    await calm.write(1, 10)
    calm.nodes.asked.clear()
    assert len(await calm.store.page(CONV, 0, 100)) == 10
    assert calm.nodes.asked == ["page"] * 3
    calm.nodes.asked.clear()
    assert await calm.store.page(CONV, 10, 100) == []
    assert calm.nodes.asked == ["page", "emptied"]


async def test_a_bucket_that_is_just_full_is_the_end_until_the_next_one_is_opened() -> None:
    calm = Calm()
    await calm.write(1, last_of(1))
    calm.clock.now += 10 * DAY_S
    await calm.expire()
    assert await calm.kept() == list(range(BUCKET, 2 * BUCKET))
    assert await calm.store.page(CONV, last_of(1), 10) == []
    await calm.write(last_of(1) + 1, last_of(1) + 1)
    calm.clock.now += 10 * DAY_S
    await calm.expire()
    assert await calm.kept() == [2 * BUCKET]


async def test_an_expiry_that_ends_anywhere_hides_nothing_and_is_done_the_next_time() -> None:
    for lost in ("put_emptied", "delete_rows", "delete_full_on", "delete_full", "delete_day"):
        calm = Calm()
        await calm.write(1, 10)
        calm.clock.now += 10 * DAY_S
        calm.lose = lost
        with pytest.raises(Unavailable):
            await calm.expire()
        found = await calm.kept()
        assert found in (list(range(1, 11)), list(range(4, 11)), [8, 9, 10]), lost
        calm.lose = None
        await calm.expire()
        assert await calm.kept() == [8, 9, 10]


async def test_one_step_is_bounded_and_the_oldest_day_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cassandra_retention, "EXPIRE_BUCKETS", 5)
    calm = Calm()
    await calm.write(1, 13, conv=9)
    calm.clock.now += DAY_S
    await calm.write(1, 41, conv=3)
    calm.clock.now += 10 * DAY_S
    for expected in ((12, 1), (12, 20), (12, 40)):
        assert await calm.store.expire(0, KEEP_S) is True
        assert ((await calm.kept(9))[0], (await calm.kept(3))[0]) == expected
    assert await calm.store.expire(0, KEEP_S) is False
    assert await calm.store.expire(1, KEEP_S) is False
