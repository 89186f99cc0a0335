"""Retention on Cassandra, at random, on nodes in memory: owners, zombies and half-done writes around expiries.

Nothing goes before its time, a reader passes over what went and never over what is there, and in the end all full
buckets are empty, the newest one is whole, and the state is as the log says.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from sut.adapters.cassandra.retention import DAY_S
from sut.adapters.cassandra.rows import bucket_of
from sut.ports import ConversationWrite, StoredMessage, Unavailable
from tests.sut.adapters.cassandra_world import CONV, Clock, World, small

KEEP_S = 2 * DAY_S


class KeepingWorld(World):
    """A world whose days pass, with a store that forgets."""

    def __init__(self, rng: random.Random) -> None:
        self.clock = Clock()
        self.tried: dict[int, int] = {}
        """By number: the first day on which somebody began to write it."""
        self.leaks = False
        """Whether a writer stood still until its note was due and then failed: only then a message may stay."""
        super().__init__(rng, expires=True, wall_clock=self.clock)
        self._through = self.store.write
        self.store.write = self._noted  # type: ignore[method-assign]

    async def _noted(self, partition: int, writes: Sequence[ConversationWrite]) -> None:
        today = self.today()
        for write in writes:
            for message in write.messages:
                self.tried.setdefault(message.seq, today)
        try:
            await self._through(partition, writes)
        except Unavailable:
            self.leaks = self.leaks or today < self.due_before()
            raise

    def today(self) -> int:
        return int(self.clock.now // DAY_S)

    def due_before(self) -> int:
        """The first day that is not old enough yet."""
        return int((self.clock.now - KEEP_S) // DAY_S)

    def actions(self) -> list[Callable[[], Awaitable[None]]]:
        return [*super().actions(), self.days_pass, self.expire, self.expire]

    async def days_pass(self) -> None:
        await self.nodes._moment()
        self.clock.now += self.rng.choice((0.3, 1.0, 3.0)) * DAY_S

    async def expire(self) -> None:
        try:
            while await self.store.expire(0, KEEP_S):
                pass
        except Unavailable:
            return

    async def check(self, rows: Sequence[StoredMessage], first: int, last: int) -> None:
        """Rows that a reader got of first..last, which had been confirmed before it asked."""
        assert all(one.seq < other.seq for one, other in pairwise(rows))
        assert all(row == self.truth.rows[row.seq - 1] for row in rows)
        missing = {*range(first, last + 1)} - {row.seq for row in rows}
        assert all(self.tried[seq] < self.due_before() for seq in missing), (
            f"{missing} of {first}..{last}, {self.tried}"
        )
        if missing:
            image = await self.store.load(CONV)
            assert image is not None
            assert all(bucket_of(seq) < bucket_of(image.row.head) for seq in missing)

    def confirmed(self) -> int:
        return self.truth.states[self.committed].head if self.committed else 0

    async def everything(self, after: int, limit: int) -> list[StoredMessage]:
        found: list[StoredMessage] = []
        while page := await self.store.page(CONV, found[-1].seq if found else after, limit):
            assert len(page) <= limit
            found += page
        return found

    async def look(self) -> None:
        image = await self.store.load(CONV)
        if image is not None:
            self.truth.check(image)
        last, after, limit = self.confirmed(), self.rng.randint(0, 6), self.rng.choice((1, 3, 100))
        await self.check(await self.everything(after, limit), after + 1, last)
        last, before, limit = self.confirmed(), self.rng.randint(1, 40), self.rng.randint(1, 12)
        back = await self.store.page_before(CONV, before, limit)
        assert len(back) <= limit
        assert not back or back[-1].seq < before
        if before > last:
            await self.check(back, back[0].seq if len(back) == limit else 1, last)
        if self.committed:
            await self.stays(self.committed)

    async def stays(self, offset: int) -> None:
        for _ in range(3):
            image = await self.store.load(CONV)
            assert image is not None
            self.truth.check(image)
            expected = self.truth.states[offset].head
            assert image.row.head >= expected
            await self.check(await self.everything(0, 100), 1, expected)

    async def ended(self) -> None:
        """Days later only the newest bucket is left, and it is all there."""
        newest = bucket_of(len(self.truth.rows))
        last = len(self.truth.rows)
        await self.check(await self.everything(0, 100), 1, last)
        for _ in range(2):
            self.clock.now += 10 * DAY_S
            while await self.store.expire(0, KEEP_S):
                pass
            self.nodes.deliver_late()
            image = await self.store.load(CONV)
            assert image is not None
            assert image.row.head == last
            self.truth.check(image)
            found = await self.everything(0, 100)
            left = [row for row in self.truth.rows if bucket_of(row.seq) == newest]
            assert [row for row in found if bucket_of(row.seq) == newest] == left
            if not self.leaks:
                assert found == left
                assert await self.store.page_before(CONV, 1 << 40, 100) == left


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**63))
def test_whatever_happens_nothing_goes_before_its_time_and_all_goes_in_the_end(seed: int) -> None:
    world = KeepingWorld(random.Random(seed))

    async def scenario() -> None:
        await world.live(30)
        await world.end()

    with small():
        asyncio.run(scenario())
