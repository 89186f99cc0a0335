"""What a partition's reader makes of the log: whom it tells which number, also after restarts of either side."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from sut.adapters.sqlite.log import SqliteLog
from sut.adapters.sqlite.store import SqliteStore
from sut.ports import ConversationRow, ConversationWrite, Follower, Kind, LogRecord, SenderMark, Span
from sut.services.push.floor import Floor
from sut.services.push.reader import PartitionReader, Reached
from tests.kit.pace import scaled

CONV = 4  # partition_of does not matter: the test has one partition


class Sequencer:
    """One that has applied all up to here, and comes no further."""

    def __init__(self, applied: int) -> None:
        self._applied = applied

    async def wait(self, _partition: int, offset: int) -> None:
        if offset > self._applied:
            await asyncio.Event().wait()


class World:
    """One partition of a log, its store, and a reader that can be started again."""

    def __init__(self, directory: Path) -> None:
        self.log = SqliteLog(directory, 1)
        self.store = SqliteStore(directory, 1)
        self.applied = 1 << 60

    async def close(self) -> None:
        await self.log.close()
        await self.store.close()

    async def append(self, *records: LogRecord) -> list[int]:
        return await self.log.append(0, records)

    async def read(self, expected: int) -> tuple[list[Reached], Floor]:
        """What a fresh reader puts out: exactly so many, and a moment later no more."""
        found: list[Reached] = []

        async def put(reached: Reached) -> None:
            found.append(reached)

        floor = Floor()
        reader = PartitionReader(
            0,
            message_log=self.log,
            store=self.store,
            floor=floor,
            group_cap=500,
            progress=Sequencer(self.applied),
            put=put,
        )
        task = asyncio.create_task(reader.run())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(scaled(5.0)):
                while len(found) < expected:  # noqa: ASYNC110 (no event says so)
                    await asyncio.sleep(0.01)
        await asyncio.sleep(0.15)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return found, floor


@contextlib.asynccontextmanager
async def world(directory: Path) -> AsyncIterator[World]:
    made = World(directory)
    try:
        yield made
    finally:
        await made.close()


def create(*members: int, conv: int = CONV) -> LogRecord:
    return LogRecord(Kind.CREATE, conv, members[0], 0, 0, b"g", members, None)


def send(client_seq: int, *, user: int = 1, conv: int = CONV) -> LogRecord:
    return LogRecord(Kind.MESSAGE, conv, user, user, client_seq, b"secret", (), None)


def change(kind: Kind, user: int, *, by: int = 1) -> LogRecord:
    return LogRecord(kind, CONV, by, 0, 0, b"", (user,), None)


def told(found: list[Reached]) -> list[tuple[int, int, tuple[int, ...], int]]:
    return [(item.hold.offset, item.seq, item.users, item.except_device) for item in found]


async def test_only_what_the_rule_numbers_is_told_and_to_the_members_of_that_moment(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.append(create(1, 2, 3), send(1), send(1), send(1, user=9), change(Kind.REMOVE, 3), send(2, user=2))
        await w.append(send(3, conv=77), change(Kind.ADD, 4), send(3), send(2))
        found, floor = await w.read(3)
        assert told(found) == [(2, 1, (1, 2, 3), 1), (6, 3, (1, 2), 2), (9, 5, (1, 2, 4), 1)]
        assert floor.value == 1
        for item in found:
            floor.release(item.hold.offset)
        assert floor.value == 10


async def test_a_restart_tells_again_from_its_own_commit_on_and_no_further_back(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.append(create(1, 2), send(1), send(2), send(3))
        await w.log.commit(0, 3, Follower.PUSH)
        found, _ = await w.read(1)
        assert told(found) == [(4, 3, (1, 2), 1)]  # nothing is stored: the numbers come from the log's beginning


async def test_a_state_that_is_stored_before_the_record_is_built_upon(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.append(create(1, 2), send(1), send(2))
        await stored(w, head=1, applied=2)
        await w.log.commit(0, 2)
        await w.log.commit(0, 2, Follower.PUSH)
        found, _ = await w.read(1)
        assert told(found) == [(3, 2, (1, 2), 1)]


async def test_a_state_that_is_beyond_the_record_tells_its_head(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.append(create(1, 2), send(1), send(2), send(3), send(4))
        await stored(w, head=3, applied=4)
        await w.log.commit(0, 4)
        await w.log.commit(0, 2, Follower.PUSH)
        found, _ = await w.read(3)
        assert told(found) == [(3, 3, (1, 2), 1), (4, 3, (1, 2), 1), (5, 4, (1, 2), 1)]


async def test_after_a_store_was_put_back_the_numbers_go_on_where_they_were(tmp_path: Path) -> None:
    """Both had committed four records. The store is an older copy, with two: the other two come from the log."""
    async with world(tmp_path) as w:
        await w.append(create(1, 2), send(1), send(2), send(3))
        await stored(w, head=1, applied=2)
        await w.log.commit(0, 4)
        await w.log.commit(0, 4, Follower.PUSH)
        await w.append(send(4))
        found, _ = await w.read(1)
        assert told(found) == [(5, 4, (1, 2), 1)]


async def test_push_ahead_of_the_store_begins_where_the_store_is(tmp_path: Path) -> None:
    """The sequencer was killed before it stored a new conversation, then push was."""
    async with world(tmp_path) as w:
        await w.append(create(1, 2), send(1), send(2))
        await w.log.commit(0, 2, Follower.PUSH)
        found, _ = await w.read(1)
        assert told(found) == [(3, 2, (1, 2), 1)]


async def test_what_the_sequencer_has_not_applied_is_not_told_and_holds_the_floor(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.append(create(1, 2), send(1), send(2))
        w.applied = 2
        found, floor = await w.read(1)
        assert told(found) == [(2, 1, (1, 2), 1)]
        floor.release(2)
        assert floor.value == 2


async def stored(w: World, *, head: int, applied: int) -> None:
    row = ConversationRow(CONV, "g", 1, head, applied)
    spans, marks = (Span(1, 1), Span(2, 1)), (SenderMark(1, head, head),)
    await w.store.write(0, [ConversationWrite(row, (), spans, marks)])
