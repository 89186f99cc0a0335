"""Waiting for a sequencer: by its own word over a real link, and by the log's when it says nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sut.adapters.sqlite.log import SqliteLog
from sut.process.peer import PeerConnection, PeerLink, PeerServer
from sut.protocol.peer import ANSWER, Applied, AskApplied, PeerFrame
from sut.services.push import progress as module
from sut.services.push.progress import Progress
from tests.kit.pace import scaled


class Sequencer:
    """Answers with what it is said to have applied; None: not at all."""

    def __init__(self) -> None:
        self.positions: dict[int, int] | None = {0: 0, 1: 0}

    def on_frame(self, connection: PeerConnection, correlation: int, frame: PeerFrame) -> None:
        assert isinstance(frame, AskApplied)
        if self.positions is not None:
            connection.send(Applied(self.positions), correlation | ANSWER)


@contextlib.asynccontextmanager
async def world(directory: Path, port: int) -> AsyncIterator[tuple[Sequencer, Progress, SqliteLog]]:
    sequencer, log = Sequencer(), SqliteLog(directory, 2)
    server = PeerServer(node="sequencer-1", incarnation=1, on_frame=sequencer.on_frame)
    await server.start("127.0.0.1", port)
    link = PeerLink(node="push-1", incarnation=1, target="sequencer-1", address=("127.0.0.1", port))
    link.start()
    progress = Progress({0: link, 1: link}, log)
    task = asyncio.create_task(progress.run())
    try:
        yield sequencer, progress, log
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await link.close()
        await server.close()
        await log.close()


async def test_a_record_waits_for_its_own_partition_to_pass(tmp_path: Path, free_port: int) -> None:
    async with world(tmp_path, free_port) as (sequencer, progress, _):
        waits = [asyncio.create_task(progress.wait(p, offset)) for p, offset in ((0, 5), (1, 7))]
        sequencer.positions = {0: 4, 1: 7}
        async with asyncio.timeout(scaled(5)):
            await waits[1]
        assert not waits[0].done()
        sequencer.positions = {0: 9, 1: 7}
        async with asyncio.timeout(scaled(5)):
            await waits[0]
            await progress.wait(0, 9)
            await progress.wait(1, 3)


async def test_a_sequencer_that_starts_again_further_back_takes_nothing_back(tmp_path: Path, free_port: int) -> None:
    async with world(tmp_path, free_port) as (sequencer, progress, _):
        sequencer.positions = {0: 9, 1: 9}
        async with asyncio.timeout(scaled(5)):
            await progress.wait(0, 9)
            sequencer.positions = {0: 2, 1: 20}
            await progress.wait(1, 20)
            await progress.wait(0, 8)


async def test_an_understudy_that_has_not_taken_over_is_as_good_as_no_answer(
    tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SECOND_OPINION_S", 0.3)
    async with world(tmp_path, free_port) as (sequencer, progress, log):
        sequencer.positions = {0: 9}
        await log.commit(1, 6)
        async with asyncio.timeout(scaled(5)):
            await progress.wait(1, 6)


async def test_without_a_word_from_it_the_log_says_what_it_committed(
    tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SECOND_OPINION_S", 0.3)
    monkeypatch.setattr(module, "ANSWER_S", 0.1)
    async with world(tmp_path, free_port) as (sequencer, progress, log):
        sequencer.positions = None
        waiting = asyncio.create_task(progress.wait(0, 5))
        await asyncio.sleep(0.8)
        assert not waiting.done()
        await log.commit(0, 5)
        async with asyncio.timeout(scaled(5)):
            await waiting
