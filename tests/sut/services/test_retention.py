"""What the system forgets, and how those who ask for it see that: FETCH passes over it, HISTORY ends there."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sut.adapters.sqlite.store import DAY_S, SqliteStore
from sut.ports import ConversationRow, ConversationWrite, Span, StoredMessage, Unavailable
from sut.protocol.frames import decode_server
from sut.protocol.peer import HEAD_STORED, HotPage
from sut.services.chat.reader import Reader
from sut.services.sequencer.retention import keep_for
from tests.kit.pace import scaled


class Forgotten:
    """A sequencer that has nothing in memory."""

    target = "sequencer-1"

    async def ask(self, frame, timeout_s):
        return HotPage(hit=False, member=False, head=HEAD_STORED, page=b"")


def write(first: int, last: int) -> ConversationWrite:
    rows = tuple(StoredMessage(seq, 0, 7, 1, seq, b"x") for seq in range(first, last + 1))
    return ConversationWrite(ConversationRow(5, "g", 7, last, last), rows, (Span(7, 1),), ())


async def read_all(reader: Reader) -> tuple[list[int], list[int]]:
    """What a new device gets by FETCH, and what one that scrolls back gets by HISTORY."""
    forward, back, after, before = [], [], 0, 1 << 40
    for _ in range(100):
        page = decode_server(await reader.page(5, 7, after=after, limit=4))
        forward += [m.seq for m in page.messages]
        assert page.through > after
        after = page.through
        if page.through >= page.head:
            break
    for _ in range(100):
        page = decode_server(await reader.page_before(5, 7, before=before, limit=4))
        back = [m.seq for m in page.messages] + back
        before = page.through
        if page.through <= 1:
            break
    return forward, back


def test_what_expired_is_passed_over_in_both_directions(tmp_path: Path):
    now = [100.5 * DAY_S]

    async def scenario():
        store = SqliteStore(tmp_path, 1, wall_clock=lambda: now[0])
        reader = Reader(store, {0: Forgotten()})
        await store.write(0, [write(1, 10)])
        assert await read_all(reader) == (list(range(1, 11)),) * 2
        now[0] += DAY_S
        await store.write(0, [write(11, 13)])
        now[0] = 102 * DAY_S
        keeping = asyncio.create_task(keep_for(1, store, [0], first_s=0, every_s=0.01, step_s=0))
        async with asyncio.timeout(scaled(5)):
            while len(await store.page(5, 0, 100)) > 3:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert await read_all(reader) == ([11, 12, 13],) * 2
        now[0] += DAY_S
        async with asyncio.timeout(scaled(5)):
            while await store.page(5, 0, 100):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert await read_all(reader) == ([], [])
        keeping.cancel()
        await store.close()

    asyncio.run(scenario())


def test_a_store_that_is_away_is_asked_again_and_without_retention_nothing_is_deleted():
    class Away:
        asked = 0

        async def expire(self, partition, older_than_s):
            self.asked += 1
            raise Unavailable("away")

    async def scenario():
        store = Away()
        keeping = asyncio.create_task(keep_for(1, store, [0, 1], first_s=0, every_s=0.01, step_s=0))
        async with asyncio.timeout(scaled(5)):
            while store.asked < 6:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        keeping.cancel()
        never = Away()
        await keep_for(0, never, [0], first_s=0)
        assert never.asked == 0

    asyncio.run(scenario())
