"""What every store must do, whatever stands behind it."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from sut.ports import (
    ConversationImage,
    ConversationRow,
    ConversationWrite,
    MessageStore,
    Role,
    RoleMark,
    SenderMark,
    Span,
    StoredMessage,
    Unavailable,
)
from sut.process.partitioning import partition_of

MakeStore = Callable[[], AbstractAsyncContextManager[MessageStore]]
PARTITIONS = 4
BEYOND = 1 << 63


def message(seq: int, *, body: bytes = b"body") -> StoredMessage:
    return StoredMessage(seq, 0, 7, 1, seq, body)


def change(
    conv: int,
    *,
    head: int,
    applied: int,
    messages: tuple[StoredMessage, ...] = (),
    spans: tuple[Span, ...] = (),
    marks: tuple[SenderMark, ...] = (),
    roles: tuple[RoleMark, ...] = (),
) -> ConversationWrite:
    return ConversationWrite(ConversationRow(conv, "g", 7, head, applied), messages, spans, marks, roles)


async def write(store: MessageStore, *changes: ConversationWrite) -> None:
    """Each to its partition."""
    for partition in range(PARTITIONS):
        await store.write(partition, [c for c in changes if partition_of(c.row.conv, PARTITIONS) == partition])


def spans_of(*users: int) -> tuple[Span, ...]:
    return tuple(Span(user, 1) for user in users)


async def test_a_conversation_comes_back_as_it_was_written(make_store: MakeStore) -> None:
    first = change(5, head=2, applied=3, messages=(message(1), message(2)), spans=spans_of(7, 8))
    then = change(5, head=3, applied=9, messages=(message(3),), spans=(Span(8, 1, 3),), marks=(SenderMark(1, 3, 3),))
    async with make_store() as store:
        assert await store.load(5) is None
        await write(store, first)
        assert await store.load(5) == ConversationImage(first.row, spans_of(7, 8), ())
        await write(store, then)
        image = ConversationImage(then.row, (Span(7, 1), Span(8, 1, 3)), (SenderMark(1, 3, 3),))
        assert await store.load(5) == image
    async with make_store() as store:
        assert await store.load(5) == image
        assert await store.page(5, 0, 10) == [message(1), message(2), message(3)]


async def test_roles_land_with_the_state_and_a_late_write_takes_none_back(make_store: MakeStore) -> None:
    given = (RoleMark(7, Role.ADMIN, 2), RoleMark(8, Role.OWNER, 2))
    first = change(5, head=2, applied=10, messages=(message(1), message(2)), spans=spans_of(7, 8), roles=given)
    then = change(5, head=3, applied=20, messages=(message(3),), roles=(RoleMark(7, Role.MEMBER, 3),))
    late = change(5, head=2, applied=19, roles=(RoleMark(7, Role.OWNER, 2),))
    async with make_store() as store, make_store() as zombie:
        await write(store, first)
        image = await store.load(5)
        assert image is not None
        assert image.roles == given
        await write(store, then)
        await write(zombie, late)
        image = await store.load(5)
        assert image is not None
        assert image.roles == (RoleMark(7, Role.MEMBER, 3), RoleMark(8, Role.OWNER, 2))
        assert image.spans == spans_of(7, 8)


async def test_the_largest_ids(make_store: MakeStore) -> None:
    top = BEYOND - 1
    row = StoredMessage(1, 0, top, top, 1, b"")
    async with make_store() as store:
        await write(store, change(top, head=1, applied=1, messages=(row,), spans=spans_of(top)))
        await store.save_cursors([(top, top, top)])
        assert await store.page(top, 0, 10) == [row]
        assert await store.conversations_of(top, 0, 10) == [top]
        assert await store.heads(top, [top]) == {top: 1}
        assert await store.cursors(top) == {top: top}


async def test_pages(make_store: MakeStore) -> None:
    rows = tuple(message(seq, body=bytes([seq]) * seq) for seq in range(1, 21))
    async with make_store() as store:
        await write(store, change(5, head=20, applied=20, messages=rows), change(6, head=1, applied=1))
        assert await store.page(5, 0, 8) == list(rows[:8])
        assert await store.page(5, 8, 8) == list(rows[8:16])
        assert await store.page(5, 16, 8) == list(rows[16:])
        assert await store.page(5, 20, 8) == []
        assert await store.page(6, 0, 8) == []
        assert await store.page(99, 0, 8) == []


async def test_pages_backwards(make_store: MakeStore) -> None:
    rows = tuple(message(seq, body=bytes([seq]) * seq) for seq in range(1, 21))
    async with make_store() as store:
        await write(store, change(5, head=20, applied=20, messages=rows), change(6, head=1, applied=1))
        for before in (21, 22, 1 << 40, BEYOND, (1 << 64) - 1):
            assert await store.page_before(5, before, 8) == list(rows[12:])
        assert await store.page_before(5, 13, 8) == list(rows[4:12])
        assert await store.page_before(5, 5, 8) == list(rows[:4])
        assert await store.page_before(5, 1, 8) == []
        assert await store.page_before(5, 0, 8) == []
        assert await store.page_before(6, 9, 8) == []
        assert await store.page_before(99, 9, 8) == []
        assert await store.page_before(BEYOND, 9, 8) == []


async def test_pages_backwards_across_buckets(make_store: MakeStore) -> None:
    count = 4096 + 30
    rows = tuple(message(seq, body=b"x") for seq in range(1, count + 1))
    async with make_store() as store:
        for start in range(0, count, 1000):
            part = rows[start : start + 1000]
            await write(store, change(5, head=part[-1].seq, applied=part[-1].seq, messages=part))
        assert await store.page_before(5, 1 << 47, 100) == list(rows[-100:])
        assert await store.page_before(5, 4097, 3) == list(rows[4093:4096])
        assert await store.page_before(5, 4096, 2) == list(rows[4093:4095])
        assert await store.page_before(5, 4100, 600) == list(rows[3499:4099])


async def test_it_says_up_to_where_it_holds_the_log_or_that_it_cannot_tell(make_store: MakeStore) -> None:
    async with make_store() as store:
        if await store.reached(partition_of(5, PARTITIONS)) is None:
            return
        assert [await store.reached(partition) for partition in range(PARTITIONS)] == [0] * PARTITIONS
        await write(store, change(5, head=1, applied=7, messages=(message(1),)))
        await write(store, change(5, head=0, applied=3))
        reached = [await store.reached(partition) for partition in range(PARTITIONS)]
        assert reached == [7 if partition == partition_of(5, PARTITIONS) else 0 for partition in range(PARTITIONS)]


async def test_repeating_a_write_changes_nothing(make_store: MakeStore) -> None:
    one = change(5, head=1, applied=4, messages=(message(1),), spans=spans_of(7), marks=(SenderMark(1, 1, 1),))
    async with make_store() as store, make_store() as successor:
        await write(store, one)
        image, page = await store.load(5), await store.page(5, 0, 10)
        await write(successor, one)
        assert (await store.load(5), await store.page(5, 0, 10)) == (image, page)


async def test_a_write_from_further_back_changes_nothing(make_store: MakeStore) -> None:
    """A zombie that computed less far must not take back a closed stay, a mark or the head."""
    one = change(5, head=1, applied=10, messages=(message(1),), spans=(Span(8, 1),), marks=(SenderMark(1, 1, 1),))
    late = change(5, head=2, applied=29, messages=(message(2),), spans=(Span(8, 1),), marks=(SenderMark(1, 8, 2),))
    rows = (message(2), message(3))
    now = change(5, head=3, applied=30, messages=rows, spans=(Span(8, 1, 3),), marks=(SenderMark(1, 9, 3),))
    other = change(6, head=1, applied=2, messages=(message(1),))
    async with make_store() as store, make_store() as zombie:
        await write(store, one)
        await write(store, now)
        image, page = await store.load(5), await store.page(5, 0, 10)
        await write(zombie, late, other)
        assert (await store.load(5), await store.page(5, 0, 10)) == (image, page)
        assert await store.page(6, 0, 10) == [message(1)]


async def test_client_seq_may_have_all_its_bits(make_store: MakeStore) -> None:
    top = (1 << 64) - 1
    row = StoredMessage(1, 0, 7, 1, top, b"x")
    async with make_store() as store:
        await write(store, change(5, head=1, applied=1, messages=(row,), marks=(SenderMark(1, top, 1),)))
        image = await store.load(5)
        assert image is not None
        assert image.marks == (SenderMark(1, top, 1),)
        assert await store.page(5, 0, 1) == [row]


async def test_conversations_of_a_user_across_partitions_in_pages(make_store: MakeStore) -> None:
    convs = sorted({(n * 0x9E3779B97F4A7C15) % (1 << 63) for n in range(1, 41)})
    changes = [change(conv, head=n, applied=n + 1, spans=spans_of(7, 8)) for n, conv in enumerate(convs)]
    assert {partition_of(conv, PARTITIONS) for conv in convs} == set(range(PARTITIONS))
    async with make_store() as store:
        await write(store, *changes, change(1, head=5, applied=1, spans=spans_of(8)))
        found: list[int] = []
        while page := await store.conversations_of(7, found[-1] if found else 0, 7):
            assert len(page) <= 7
            found += page
        assert found == convs
        assert await store.heads(7, convs) == {conv: n for n, conv in enumerate(convs)}
        assert len(await store.conversations_of(8, 0, 100)) == 41
        assert await store.conversations_of(9, 0, 100) == []


async def test_heads_are_of_those_asked_for_that_are_stored_and_were_entered(make_store: MakeStore) -> None:
    async with make_store() as store:
        await write(store, *(change(conv, head=conv, applied=1, spans=spans_of(7)) for conv in (5, 6, 8)))
        await write(store, change(9, head=9, applied=1, spans=spans_of(8)))
        assert await store.heads(7, [8, 5, 9, 99]) == {5: 5, 8: 8}
        assert await store.heads(7, []) == {}
        assert await store.heads(99, [5]) == {}


@pytest.mark.parametrize(
    ("spans", "seen"),
    [
        ((Span(7, 1),), 20),
        ((Span(7, 1, 12),), 11),
        ((Span(7, 1, 5), Span(7, 9)), 20),
        ((Span(7, 1, 5), Span(7, 9, 15)), 14),
        ((Span(7, 9), Span(7, 1, 5)), 20),
    ],
    ids=["there", "left", "came back", "left twice", "written in another order"],
)
async def test_a_user_sees_the_head_up_to_the_end_of_the_newest_stay(
    make_store: MakeStore, spans: tuple[Span, ...], seen: int
) -> None:
    async with make_store() as store:
        await write(store, change(5, head=20, applied=20, spans=spans))
        assert await store.heads(7, [5]) == {5: seen}
        assert await store.conversations_of(7, 0, 10) == [5]


async def test_cursors_only_rise(make_store: MakeStore) -> None:
    async with make_store() as store, make_store() as other:
        assert await store.cursors(1) == {}
        await store.save_cursors([(1, 5, 10), (1, 6, 3), (2, 5, 1)])
        await asyncio.gather(other.save_cursors([(1, 5, 9), (1, 6, 4)]), store.save_cursors([(1, 5, 8)]))
        assert await store.cursors(1) == {5: 10, 6: 4}
        assert await store.cursors(2) == {5: 1}
        await store.save_cursors([])


async def test_receipts_only_rise(make_store: MakeStore) -> None:
    async with make_store() as store, make_store() as other:
        assert await store.receipts(5) == {}
        await store.save_receipts([(5, 1, 0, 10), (5, 1, 1, 3), (5, 2, 0, 7), (6, 1, 0, 1)])
        await asyncio.gather(
            other.save_receipts([(5, 1, 0, 9), (5, 1, 1, 4)]), store.save_receipts([(5, 1, 0, 8), (5, 1, 0, 2)])
        )
        assert await store.receipts(5) == {(1, 0): 10, (1, 1): 4, (2, 0): 7}
        assert await store.receipts(6) == {(1, 0): 1}
        await store.save_receipts([])
        await store.save_receipts([(5, 3, 0, BEYOND), (BEYOND, 1, 0, 1), (5, BEYOND, 0, 1)])
        assert await store.receipts(5) == {(1, 0): 10, (1, 1): 4, (2, 0): 7}
        assert await store.receipts(BEYOND) == {}


async def test_receipts_outlive_their_writer(make_store: MakeStore) -> None:
    async with make_store() as store:
        await store.save_receipts([(5, user, 0, user) for user in range(1, 200)])
    async with make_store() as store:
        assert await store.receipts(5) == {(user, 0): user for user in range(1, 200)}


async def test_numbers_that_cannot_be_are_not_there(make_store: MakeStore) -> None:
    async with make_store() as store:
        assert await store.load(BEYOND) is None
        assert await store.page(BEYOND, 0, 10) == []
        assert await store.page(5, BEYOND, 10) == []
        assert await store.page(5, BEYOND - 2, 10) == []
        assert await store.page(5, 1 << 47, 10) == []
        assert await store.conversations_of(BEYOND, 0, 10) == []
        assert await store.conversations_of(7, BEYOND, 10) == []
        assert await store.heads(BEYOND, [5]) == {}
        assert await store.heads(7, [BEYOND, 5]) == {}
        await store.save_cursors([(1, 5, BEYOND), (1, BEYOND, 1), (BEYOND, 1, 1), (1, 6, 2)])
        assert await store.cursors(1) == {6: 2}
        assert await store.cursors(BEYOND) == {}


async def test_readers_see_whole_writes(make_store: MakeStore) -> None:
    """The image is of one moment: as many closed stays as its head says."""
    async with make_store() as store, make_store() as reader:

        async def writer() -> None:
            for n in range(1, 101):
                await write(
                    store, change(5, head=n, applied=n, spans=(Span(n, 1, n + 1),), marks=(SenderMark(n, 1, n),))
                )

        writing = asyncio.create_task(writer())
        heads = []
        while not writing.done():
            image = await reader.load(5)
            if image is not None:
                assert image.row.head == len(image.spans) == len(image.marks)
                heads.append(image.row.head)
        await writing
        assert heads == sorted(heads)
        assert len(set(heads)) > 1, "nobody read while somebody wrote"


async def test_closed_means_unavailable(make_store: MakeStore) -> None:
    async with make_store() as store:
        await store.close()
        with pytest.raises(Unavailable):
            await store.load(5)
        with pytest.raises(Unavailable):
            await store.save_cursors([(1, 1, 1)])
