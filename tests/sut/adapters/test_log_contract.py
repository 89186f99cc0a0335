"""What every log must do, whatever stands behind it."""

import asyncio
import itertools
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from sut.ports import Follower, Kind, Logged, LogRecord, MessageLog, Origin, Unavailable

MakeLog = Callable[[], AbstractAsyncContextManager[MessageLog]]


def record(client_seq: int, *, device: int = 1, body: bytes = b"\x00\xff body") -> LogRecord:
    origin = Origin("gateway-1", 1_700_000_000_000_000, client_seq)
    return LogRecord(Kind.MESSAGE, 1 << 62, 7, device, client_seq, body, (), origin)


async def read_all(log: MessageLog, partition: int, *, limit: int = 100) -> list[Logged]:
    """Everything, page by page, as a sequencer reads."""
    found: list[Logged] = []
    while page := await log.read(partition, found[-1].offset if found else 0, limit):
        found += page
    return found


async def test_what_was_appended_is_read_in_order(make_log: MakeLog) -> None:
    async with make_log() as log:
        records = [record(n) for n in range(10)]
        offsets = await log.append(1, records[:4]) + await log.append(1, records[4:])
        assert offsets == sorted(set(offsets))
        assert offsets[0] > 0
        assert await log.read(1, 0, 100) == [Logged(o, r) for o, r in zip(offsets, records, strict=True)]
        assert await log.read(1, offsets[3], 2) == [Logged(o, records[i]) for i, o in list(enumerate(offsets))[4:6]]


async def test_every_kind_of_record_comes_back_whole(make_log: MakeLog) -> None:
    records = [
        LogRecord(Kind.CREATE, (1 << 63) - 1, 7, 0, 0, b"g", (7, 8, 1 << 40), None),
        LogRecord(Kind.ADD, 5, 7, 0, 0, b"", (9,), Origin("api-1", 3, 4)),
        LogRecord(Kind.MESSAGE, (1 << 64) - 1, 7, 1, (1 << 64) - 1, b"x" * 16_384, (), None),
    ]
    async with make_log() as log:
        await log.append(0, records)
        assert [item.record for item in await read_all(log, 0)] == records


async def test_an_empty_partition_reads_empty_until_somebody_appends(make_log: MakeLog) -> None:
    async with make_log() as reader, make_log() as writer:
        for n in range(5):
            last = (await read_all(reader, 0))[-1].offset if n else 0
            assert await reader.read(0, last, 10) == []
            assert await reader.read(0, last, 10) == []  # the cheap way
            [offset] = await writer.append(0, [record(n)])
            assert await reader.read(0, last, 10) == [Logged(offset, record(n))]


async def test_a_reader_that_goes_back_sees_it_all_again(make_log: MakeLog) -> None:
    async with make_log() as log:
        offsets = await log.append(0, [record(n) for n in range(5)])
        assert await log.read(0, offsets[-1], 10) == []
        assert [item.offset for item in await log.read(0, 0, 10)] == offsets
        assert [item.offset for item in await log.read(0, offsets[2], 10)] == offsets[3:]


async def test_an_offset_beyond_the_end_is_an_error_that_names_it(make_log: MakeLog) -> None:
    """Such a log is not the one that the offset is of; to go on would skip what it gets next."""
    async with make_log() as log:
        offsets = await log.append(0, [record(n) for n in range(5)])
        assert await log.read(0, offsets[-1], 10) == []
        for _ in range(2):
            with pytest.raises(Unavailable, match=str(offsets[-1] + 7)):
                await log.read(0, offsets[-1] + 7, 10)
        assert [item.offset for item in await log.read(0, 0, 10)] == offsets


async def test_the_end_is_the_last_durable_record(make_log: MakeLog) -> None:
    async with make_log() as log, make_log() as other:
        assert await log.end(0) == 0
        offsets = await log.append(0, [record(n) for n in range(3)])
        assert await log.end(0) == await other.end(0) == offsets[-1]
        offsets = await other.append(0, [record(3)])
        assert await log.end(0) == offsets[-1]
        assert await log.end(1) == 0


async def test_partitions_know_nothing_of_each_other(make_log: MakeLog) -> None:
    async with make_log() as log:
        await asyncio.gather(*(log.append(p, [record(p)]) for p in range(4)))
        for partition in range(4):
            assert [item.record for item in await read_all(log, partition)] == [record(partition)]


async def test_appends_at_once_keep_the_order_of_each_caller_and_stay_whole(make_log: MakeLog) -> None:
    async def caller(log: MessageLog, device: int) -> list[int]:
        offsets: list[int] = []
        for n in range(20):
            offsets += await log.append(0, [record(n * 3 + i, device=device) for i in range(3)])
        return offsets

    async with make_log() as one, make_log() as other:
        results = await asyncio.gather(
            *(caller(one, d) for d in range(1, 6)), *(caller(other, d) for d in range(6, 11))
        )
        found = await read_all(one, 0, limit=7)
        assert sorted(itertools.chain(*results)) == [item.offset for item in found]
        for device, offsets in enumerate(results, start=1):
            mine = [item for item in found if item.record.device == device]
            assert [item.offset for item in mine] == offsets
            assert [item.record.client_seq for item in mine] == list(range(60))
        for start in range(0, len(found), 3):
            assert len({(item.record.device, item.record.client_seq // 3) for item in found[start : start + 3]}) == 1


async def test_nothing_appended_is_nothing_done(make_log: MakeLog) -> None:
    async with make_log() as log:
        assert await log.append(0, []) == []
        assert await log.read(0, 0, 10) == []


async def test_the_log_outlives_the_process(make_log: MakeLog) -> None:
    async with make_log() as log:
        before = await log.append(2, [record(1)])
        await log.commit(2, before[0])
    async with make_log() as log:
        after = await log.append(2, [record(2)])
        assert after[0] > before[0]
        assert [item.record for item in await read_all(log, 2)] == [record(1), record(2)]
        assert await log.committed(2) == before[0]


async def test_a_commit_never_moves_back(make_log: MakeLog) -> None:
    async with make_log() as log, make_log() as zombie:
        assert await log.committed(3) == 0
        await asyncio.gather(*(log.commit(3, offset) for offset in (5, 9, 7)))
        await zombie.commit(3, 4)
        assert await log.committed(3) == 9
        assert await log.committed(2) == 0


async def test_each_follower_has_commits_of_its_own(make_log: MakeLog) -> None:
    async with make_log() as log, make_log() as other:
        await log.commit(1, 9)
        await other.commit(1, 4, Follower.PUSH)
        await log.commit(1, 3, Follower.PUSH)
        assert await other.committed(1) == 9
        assert await log.committed(1, Follower.PUSH) == 4
        assert await log.committed(0, Follower.PUSH) == 0
    async with make_log() as log:
        assert (await log.committed(1), await log.committed(1, Follower.PUSH)) == (9, 4)


async def test_closed_means_unavailable(make_log: MakeLog) -> None:
    async with make_log() as log:
        await log.append(0, [record(1)])
        await log.close()
        with pytest.raises(Unavailable):
            await log.append(0, [record(2)])
        with pytest.raises(Unavailable):
            await log.read(1, 0, 1)
    async with make_log() as log:
        assert len(await read_all(log, 0)) == 1


async def test_closing_waits_for_what_was_handed_in(make_log: MakeLog) -> None:
    async with make_log() as log:
        appends = [asyncio.create_task(log.append(0, [record(n)])) for n in range(50)]
        await asyncio.sleep(0)
        await log.close()
        results = await asyncio.gather(*appends, return_exceptions=True)
    async with make_log() as log:
        found = {item.offset for item in await read_all(log, 0)}
        assert {offset for result in results if isinstance(result, list) for offset in result} == found
