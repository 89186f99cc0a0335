"""Rows in a sequencer's memory are bounded by bytes: of one conversation, and of a partition."""

import asyncio
from pathlib import Path

import pytest

from sut.adapters.sqlite.log import SqliteLog
from sut.adapters.sqlite.store import SqliteStore
from sut.ports import Kind, LogRecord, StoredMessage
from sut.protocol.frames import MAX_BODY
from sut.services.sequencer import worker as worker_module
from sut.services.sequencer.emitter import Emitter
from sut.services.sequencer.live import HOT_BYTES, HOT_ROWS, HotRows
from sut.services.sequencer.worker import PartitionWorker
from tests.kit.waits import until


def row(seq: int, size: int) -> StoredMessage:
    return StoredMessage(seq, 0, 1, 10, seq, b"x" * size)


def test_small_rows_are_bounded_in_number_and_large_ones_in_bytes() -> None:
    small, large = HotRows(), HotRows()
    for seq in range(1, 1001):
        small.append(row(seq, 150))
        large.append(row(seq, MAX_BODY))
    assert [one.seq for one in small] == list(range(1001 - HOT_ROWS, 1001))
    assert 0 < large.size <= HOT_BYTES
    assert large[-1].seq == 1000
    assert large.size == sum(200 + len(one.body) for one in large)
    large.append(row(1001, 4 * HOT_BYTES))
    assert [one.seq for one in large] == [1001]  # what is newest stays, whatever its size
    large.clear()
    assert (large.size, len(large)) == (0, 0)


class NobodyOnline:
    generation = 1
    certain_s = 0.0

    async def routes(self, _users):
        return {}


@pytest.mark.timeout(120)
def test_one_users_largest_messages_in_many_conversations_fill_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "MAX_HOT_BYTES", 1 << 20)
    convs = range(1, 101)

    async def run() -> None:
        message_log, store = SqliteLog(tmp_path, 1), SqliteStore(tmp_path, 1)
        emitter = Emitter(NobodyOnline(), {})
        worker = PartitionWorker(0, message_log=message_log, store=store, emitter=emitter, group_cap=500)
        tasks = [asyncio.create_task(worker.run()), asyncio.create_task(emitter.run())]
        try:
            await message_log.append(0, [LogRecord(Kind.CREATE, c, 1, 0, 0, b"g", (1, 2), None) for c in convs])
            for client_seq in range(1, 11):
                body = b"x" * MAX_BODY
                await message_log.append(
                    0, [LogRecord(Kind.MESSAGE, c, 1, 10, client_seq, body, (), None) for c in convs]
                )
                worker.poke()
            end = await message_log.end(0)
            await until(lambda: worker.committed >= end, 60)
            await message_log.append(0, [LogRecord(Kind.MESSAGE, 1, 1, 10, 11, b"the last", (), None)])
            worker.poke()
            await until(lambda: worker.committed > end, 60)
            kept = sum(live.hot.size for live in worker.all_live())
            assert kept <= 1 << 20
            assert kept == worker._hot_bytes
            assert [one.body for one in worker.live(1).hot][-1] == b"the last"  # type: ignore[union-attr]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await message_log.close()
            await store.close()

    asyncio.run(run())
