"""Retention on SQLite: messages go by whole days, oldest first, in bounded steps; the state stays."""

from pathlib import Path

from sut.adapters.sqlite import store as sqlite_store
from sut.adapters.sqlite.store import DAY_S, SqliteStore
from sut.ports import ConversationRow, ConversationWrite, SenderMark, Span, StoredMessage

KEEP_S = 2 * DAY_S


class Clock:
    """Noon of day 100, until it is set."""

    now = 100.5 * DAY_S

    def __call__(self) -> float:
        return self.now


def rows(conv: int, first: int, last: int) -> ConversationWrite:
    messages = tuple(StoredMessage(seq, 0, 7, 1, seq, b"x") for seq in range(first, last + 1))
    row = ConversationRow(conv, "g", 7, last, last)
    return ConversationWrite(row, messages, (Span(7, 1),), (SenderMark(1, last, last),))


async def expire_all(store: SqliteStore) -> int:
    steps = 1
    while await store.expire(0, KEEP_S):
        steps += 1
    return steps


async def kept(store: SqliteStore, conv: int) -> list[int]:
    return [row.seq for row in await store.page(conv, 0, 10_000)]


async def test_a_message_goes_when_its_day_ended_as_long_ago_as_asked(tmp_path: Path) -> None:
    clock = Clock()
    store = SqliteStore(tmp_path, 1, wall_clock=clock)
    await store.write(0, [rows(5, 1, 3), rows(6, 1, 2)])
    clock.now += DAY_S
    await store.write(0, [rows(5, 4, 5)])
    clock.now = 103 * DAY_S - 1
    await expire_all(store)
    assert await kept(store, 5) == [1, 2, 3, 4, 5]
    clock.now = 103 * DAY_S
    await expire_all(store)
    assert (await kept(store, 5), await kept(store, 6)) == ([4, 5], [])
    image = await store.load(6)
    assert image is not None
    assert (image.row.head, image.spans, image.marks) == (2, (Span(7, 1),), (SenderMark(1, 2, 2),))
    clock.now = 104 * DAY_S
    await expire_all(store)
    assert await kept(store, 5) == []
    await store.close()


async def test_a_repeated_write_brings_a_deleted_message_back_for_no_longer_than_the_first_time(tmp_path: Path) -> None:
    clock = Clock()
    store = SqliteStore(tmp_path, 1, wall_clock=clock)
    await store.write(0, [rows(5, 1, 3)])
    clock.now += DAY_S
    await store.write(0, [rows(5, 1, 3)])
    clock.now = 104 * DAY_S
    await expire_all(store)
    assert await kept(store, 5) == []
    await store.close()


async def test_each_step_is_bounded(tmp_path: Path) -> None:
    clock = Clock()
    store = SqliteStore(tmp_path, 1, wall_clock=clock)
    many = sqlite_store.EXPIRE_ROWS + 10
    await store.write(0, [rows(5, 1, many), *(rows(conv, 1, 1) for conv in range(10, 10 + 250))])
    clock.now += 5 * DAY_S
    assert await store.expire(0, KEEP_S)
    assert await kept(store, 5) == list(range(many - 9, many + 1))
    assert 1 + await expire_all(store) >= 3
    assert [await kept(store, conv) for conv in (5, 10, 259)] == [[], [], []]
    await store.close()
