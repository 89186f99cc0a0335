"""A log, the store on nodes in memory, and owners that crash, return as zombies and overlap: what random tests run."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from sut.adapters.cassandra import rows as cassandra_rows
from sut.adapters.cassandra import store as cassandra_store
from sut.adapters.cassandra.opening import Home
from sut.adapters.cassandra.retention import DAY_S
from sut.adapters.cassandra.schema import Binding
from sut.adapters.cassandra.store import CassandraStore
from sut.ports import ConversationImage, Kind, LogRecord, StoredMessage, Unavailable
from sut.protocol.frames import Nack
from sut.services.sequencer import rule
from sut.services.sequencer.live import Live
from tests.sut.adapters.cassandra_model import Nodes

CONV = 5
USERS = (1, 2, 3)


@contextlib.contextmanager
def small() -> Iterator[None]:
    """Buckets and batches that a few records fill."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cassandra_rows, "BUCKET_ROWS", 4)
        for module in (cassandra_rows, cassandra_store):
            patch.setattr(module, "BATCH_ROWS", 2)
        yield


class Clock:
    """Noon of day 100, until it is set."""

    now = 100.5 * DAY_S

    def __call__(self) -> float:
        return self.now


def make_log(rng: random.Random, length: int) -> list[LogRecord]:
    """Record n has offset n + 1. The first one creates the group."""
    records = [LogRecord(Kind.CREATE, CONV, 1, 0, 0, b"g", USERS[:2], None)]
    for client_seq in range(1, length):
        user = rng.choice(USERS)
        if rng.random() < 0.7:
            body = b"%d" % client_seq
            records.append(
                LogRecord(Kind.MESSAGE, CONV, user, rng.choice((user, 10 * user)), client_seq, body, (), None)
            )
        else:
            kind = rng.choice((Kind.ADD, Kind.REMOVE, Kind.ROLE))
            body = bytes([rng.randint(0, 2)]) if kind is Kind.ROLE else b""
            records.append(LogRecord(kind, CONV, rng.choice(USERS), 0, 0, body, (user,), None))
    return records


class Truth:
    """What the log says: the state and the rows at each offset."""

    def __init__(self, log: list[LogRecord]) -> None:
        self.states: dict[int, rule.Conversation] = {}
        self.rows: list[StoredMessage] = []
        for offset in range(1, len(log) + 1):
            state: rule.Conversation | None = None
            rows = []
            for at, record in enumerate(log[:offset], 1):
                state, outcome = rule.apply(state, at, record, group_cap=10)
                if isinstance(outcome, rule.Sequenced):
                    rows.append(outcome.message)
            assert state is not None
            self.states[offset], self.rows = state, rows

    def check(self, image: ConversationImage) -> None:
        assert rule.Conversation.from_image(image) == self.states[image.row.applied]


class Owner:
    """A sequencer of the conversation, as far as the store is concerned."""

    def __init__(self, store: CassandraStore, log: list[LogRecord], image: ConversationImage | None, position: int):
        self._store, self._log = store, log
        self.position = position
        self._live = Live(rule.Conversation.from_image(image)) if image else None

    def apply(self, count: int) -> None:
        for record in self._log[self.position : self.position + count]:
            self.position += 1
            state = self._live.state if self._live else None
            state, outcome = rule.apply(state, self.position, record, group_cap=10)
            assert state is not None
            self._live = live = self._live or Live(state)
            if isinstance(outcome, rule.Created):
                live.changed().spans.update({(s.user, s.first): s for spans in state.spans.values() for s in spans})
            elif isinstance(outcome, rule.Sequenced):
                live.changed().rows.append(outcome.message)
                live.changed().roles.update((mark.user, mark) for mark in outcome.roles)
                if outcome.span is not None:
                    live.changed().spans[outcome.span.user, outcome.span.first] = outcome.span
                if record.kind == Kind.MESSAGE:
                    live.changed().marks[record.device] = state.marks[record.device]
            elif outcome == rule.Refused(Nack.NOT_MEMBER) and record.kind == Kind.MESSAGE:
                live.changed().marks[record.device] = state.marks[record.device]

    async def store(self, attempts: int) -> int:
        """The offset that may be committed, -1 when none of the attempts was confirmed: then it has to give up."""
        position = self.position
        write = self._live.take_write() if self._live else None
        for _ in range(attempts):
            try:
                await self._store.write(0, [write] if write else [])
            except Unavailable:
                continue
            return position
        return -1


class World:
    """The log, the store on its nodes, owners that overlap."""

    def __init__(self, rng: random.Random, **store: Any) -> None:
        """`store`: what else the store is told."""
        self.rng = rng
        self.log = make_log(rng, rng.randint(5, 30))
        self.truth = Truth(self.log)
        self.nodes = Nodes(rng)
        self.store = CassandraStore(Home({}, Binding(keyspace="k", log_id="l", partitions=1, creates=False)), **store)
        self.store._session.read = self.nodes.read  # type: ignore[method-assign]
        self.store._session.write = self._write  # type: ignore[method-assign]
        self.committed = 0
        self.owners: list[Owner] = []

    async def _write(self, batch: cassandra_rows.Batch) -> None:
        if batch.statements[0][0] != "put_membership":
            await self.nodes.write(batch)

    async def live(self, steps: int) -> None:
        actions = self.actions()
        for _ in range(steps):
            await asyncio.gather(*(action() for action in self.rng.choices(actions, k=self.rng.randint(1, 3))))
            self.nodes.deliver_late()

    def actions(self) -> list[Callable[[], Awaitable[None]]]:
        """What may be done, as often as it is likely."""
        return [self.take_over, self.work, self.work, self.work, self.look]

    async def take_over(self) -> None:
        """A new owner begins where the log was committed; the others may not know yet."""
        committed = self.committed
        try:
            image = await self.store.load(CONV, confirmed=committed)
        except Unavailable:
            return
        if image is not None:
            self.truth.check(image)
            await self.stays(image.row.applied)
        self.owners.append(Owner(self.store, self.log, image, committed))

    async def work(self) -> None:
        if not self.owners:
            return
        owner = self.owners.pop(self.rng.randrange(len(self.owners)))
        owner.apply(self.rng.randint(0, 6))
        position = await owner.store(attempts=self.rng.randint(1, 3))
        if position >= 0:
            self.owners.append(owner)
        self.committed = max(self.committed, position)

    async def look(self) -> None:
        """A reader asks any two."""
        image = await self.store.load(CONV)
        if image is not None:
            self.truth.check(image)
        after = self.rng.randint(0, 6)
        page = await self.store.page(CONV, after, 100)
        assert page == self.truth.rows[after : after + len(page)]
        before, limit = self.rng.randint(0, 40), self.rng.randint(1, 12)
        committed = self.truth.states[self.committed].head if self.committed else 0
        back = await self.store.page_before(CONV, before, limit)
        if back:
            assert back == self.truth.rows[back[0].seq - 1 : back[-1].seq]
            assert back[-1].seq < before
        newest = min(committed, before - 1)
        assert newest < 1 or back[-1].seq >= newest
        assert len(back) == min(limit, back[-1].seq if back else 0)
        if self.committed:
            await self.stays(self.committed)

    async def stays(self, offset: int) -> None:
        """All up to the offset is there, whichever two answer."""
        for _ in range(6):
            image = await self.store.load(CONV)
            assert image is not None
            self.truth.check(image)
            expected = self.truth.states[offset].head
            assert image.row.head >= expected
            assert len(await self.store.page(CONV, 0, 100)) >= expected

    async def end(self) -> None:
        """Quiet at last: an owner catches up, zombies write a last time, nothing is different for it."""
        self.nodes.calm = True
        image = await self.store.load(CONV, confirmed=self.committed)
        owner = Owner(self.store, self.log, image, self.committed)
        owner.apply(len(self.log))
        assert await owner.store(attempts=1) == len(self.log)
        for zombie in self.owners:
            zombie.apply(self.rng.randint(0, 6))
            await zombie.store(attempts=1)
        self.nodes.deliver_late()
        await self.ended()

    async def ended(self) -> None:
        """All is as the log says."""
        image = await self.store.load(CONV)
        assert image is not None
        assert rule.Conversation.from_image(image) == self.truth.states[image.row.applied]
        assert image.row.head == len(self.truth.rows)
        assert await self.store.page(CONV, 0, 100) == self.truth.rows
