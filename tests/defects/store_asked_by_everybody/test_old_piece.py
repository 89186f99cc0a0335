"""A restarted sequencer that is asked for heads again and again: does it ever know them itself?"""

import asyncio
from pathlib import Path

import pytest

from sut.adapters.sqlite.log import SqliteLog
from sut.adapters.sqlite.store import SqliteStore
from sut.ports import Kind, LogRecord
from sut.services.sequencer.emitter import Emitter
from sut.services.sequencer.worker import PartitionWorker
from tests.defects.store_asked_by_everybody.old_piece import Indifferent
from tests.sut.services.test_worker import CONVS, NobodyOnline

ASKERS = 20


@pytest.mark.parametrize("kind", [Indifferent, PartitionWorker], ids=["old", "present"])
def test_who_answers_after_a_restart(kind: type[PartitionWorker], tmp_path: Path) -> None:
    misses = asyncio.run(_misses(kind, tmp_path))
    if kind is Indifferent:
        assert misses == ASKERS * len(CONVS), "each of these asks the store"
    else:
        assert misses == len(CONVS), "only the first asker of each conversation asks the store"


async def _misses(kind: type[PartitionWorker], directory: Path) -> int:
    """Return how often a conversation was not in the memory of a worker that begins with a stored log."""
    message_log, store, emitter = SqliteLog(directory, 1), SqliteStore(directory, 1), Emitter(NobodyOnline(), {})
    await message_log.append(0, [LogRecord(Kind.CREATE, conv, 1, 0, 0, b"g", (1, 2), None) for conv in CONVS])

    def born(kind: type[PartitionWorker]) -> PartitionWorker:
        return kind(0, message_log=message_log, store=store, emitter=emitter, group_cap=500)

    first = born(PartitionWorker)
    running = asyncio.create_task(first.run())
    async with asyncio.timeout(30):
        while first.applied < len(CONVS) or first.unstored:  # noqa: ASYNC110 (plain counters)
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    worker = born(kind)
    running = asyncio.create_task(worker.run())
    misses = 0
    async with asyncio.timeout(30):
        while not worker.caught_up:  # noqa: ASYNC110 (a plain flag)
            await asyncio.sleep(0.01)
        for _ in range(ASKERS):
            misses += sum(worker.live(conv) is None for conv in CONVS)
            for _ in range(200):  # 2 s at most for what is being loaded
                if worker.conversations == len(CONVS) or kind is Indifferent:
                    break
                await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await store.close()
    await message_log.close()
    return misses
