"""What every store must do with messages that are kept for a time only, whether they go by days or by buckets.

Each conversation here goes beyond 4,096 numbers, so that there is something that may go on each backend.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from sut.ports import ConversationRow, ConversationWrite, MessageStore, SenderMark, Span, StoredMessage
from sut.process.partitioning import partition_of

MakeStore = Callable[..., AbstractAsyncContextManager[MessageStore]]
PARTITIONS = 4
DAY_S = 86_400
KEEP_S = 2 * DAY_S
FULL = 4_096
"""All numbers below it may go together."""
CONV = 5
PARTITION = partition_of(CONV, PARTITIONS)


class Clock:
    """Noon of day 100, until it is set."""

    now = 100.5 * DAY_S

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def messages(first: int, last: int) -> tuple[StoredMessage, ...]:
    return tuple(StoredMessage(seq, 0, 7, 1, seq, b"%d" % seq) for seq in range(first, last + 1))


async def write(store: MessageStore, first: int, last: int, *, conv: int = CONV, applied: int = 0) -> None:
    row = ConversationRow(conv, "g", 7, last, applied or last)
    change = ConversationWrite(row, messages(first, last), (Span(7, 1),), (SenderMark(1, last, last),))
    await store.write(partition_of(conv, PARTITIONS), [change])


async def expire(store: MessageStore, partition: int = PARTITION) -> None:
    """As long as there is more."""
    for _ in range(100):
        if not await store.expire(partition, KEEP_S):
            return
    raise AssertionError("no end")


async def kept(store: MessageStore, *, after: int = 0, conv: int = CONV) -> list[int]:
    """What a device gets that fetches from there."""
    found: list[int] = []
    while page := await store.page(conv, found[-1] if found else after, 1_000):
        found += [row.seq for row in page]
    return found


async def test_nothing_goes_before_its_time_and_the_state_stays(make_store: MakeStore, clock: Clock) -> None:
    last = FULL + 20
    async with make_store(wall_clock=clock) as store:
        assert await store.expire(PARTITION, KEEP_S) is False
        await write(store, 1, FULL + 10)
        clock.now += DAY_S
        await write(store, FULL + 11, last)
        image = await store.load(CONV)
        assert image is not None
        clock.now = 103 * DAY_S - 1
        await expire(store)
        assert await kept(store) == list(range(1, last + 1))
        clock.now = 103 * DAY_S
        await expire(store)
        assert await store.load(CONV) == image
        assert await store.load(CONV, confirmed=0) == image
        assert await store.heads(7, [CONV]) == {CONV: last}
        assert await store.conversations_of(7, 0, 10) == [CONV]
        await write(store, last + 1, last + 2)
        left = await kept(store)
        assert (min(left) >= FULL, left[-12:]) == (True, list(range(FULL + 11, last + 3)))
    async with make_store(wall_clock=clock) as store:
        assert await kept(store) == left


async def test_readers_pass_over_what_went_in_both_directions(make_store: MakeStore, clock: Clock) -> None:
    last = 3 * FULL + 5
    async with make_store(wall_clock=clock) as store:
        for first in range(1, last + 1, 1_000):
            await write(store, first, min(first + 999, last))
        clock.now += DAY_S
        await write(store, last + 1, last + 3)
        clock.now = 103 * DAY_S
        await expire(store)
        left = await kept(store)
        assert left[-3:] == [last + 1, last + 2, last + 3]
        assert min(left) >= 3 * FULL
        for after in (1, 1_000, FULL - 1, FULL, 2 * FULL + 7, left[0] - 1):
            assert await kept(store, after=after) == left
        assert await store.page(CONV, last + 3, 10) == []
        assert [row.seq for row in await store.page_before(CONV, 1 << 40, 1_000)] == left
        assert await store.page_before(CONV, 1 << 40, 2) == list(messages(last + 2, last + 3))
        for before in (left[0], 2 * FULL, 1_000, 2):
            assert await store.page_before(CONV, before, 10) == []


async def test_what_a_zombie_writes_again_is_kept_no_longer_than_it_would_be(
    make_store: MakeStore, clock: Clock
) -> None:
    last = FULL + 10
    async with make_store(wall_clock=clock) as store, make_store(wall_clock=clock) as zombie:
        await write(store, 1, last)
        clock.now += 10 * DAY_S
        await expire(store)
        assert not {*range(1, FULL)} & {*await kept(store)}
        await write(store, last + 1, last + 3)
        image = await store.load(CONV)
        await write(zombie, FULL - 30, FULL - 20)
        await write(zombie, FULL - 30, last)
        await write(zombie, FULL - 30, last + 3)
        assert await store.load(CONV) == image
        found = await kept(store)
        assert found[-3:] == [last + 1, last + 2, last + 3]
        clock.now += 2 * DAY_S
        await expire(store)
        assert (await kept(store))[-3:] == [last + 1, last + 2, last + 3]
        clock.now += DAY_S
        await expire(store)
        assert not {*range(1, FULL)} & {*await kept(store)}
        assert await store.load(CONV) == image


async def test_a_partition_expires_by_itself(make_store: MakeStore, clock: Clock) -> None:
    other = next(conv for conv in range(1, 100) if partition_of(conv, PARTITIONS) != PARTITION)
    async with make_store(wall_clock=clock) as store:
        await write(store, 1, FULL + 1)
        await write(store, 1, FULL + 1, conv=other)
        clock.now += 10 * DAY_S
        await expire(store)
        assert not {*range(1, FULL)} & {*await kept(store)}
        assert await kept(store, conv=other) == list(range(1, FULL + 2))
        await expire(store, partition_of(other, PARTITIONS))
        assert not {*range(1, FULL)} & {*await kept(store, conv=other)}
