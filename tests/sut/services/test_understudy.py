"""The understudy of a sequencer: it takes over when that one's process is gone, and only then, and gives back."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from sut.adapters.sqlite.log import SqliteLog
from sut.adapters.sqlite.store import SqliteStore
from sut.ports import Kind, LogRecord
from sut.process.peer import PeerConnection, PeerLink, PeerServer
from sut.protocol.peer import ANSWER, Applied, AskApplied, PeerFrame, Poke
from sut.services.sequencer import understudy as understudies
from sut.services.sequencer.emitter import Emitter
from sut.services.sequencer.understudy import Understudy
from sut.services.sequencer.worker import PartitionWorker
from tests.kit.waits import until
from tests.sut.services.test_worker import NobodyOnline

HOST = "127.0.0.1"
CONV = 11


class Stoppable(PeerServer):
    """Accepts, and says nothing while it is `mute`: so does a stopped process."""

    mute = False

    def _accept(self) -> PeerConnection:
        return cast("PeerConnection", asyncio.Protocol()) if self.mute else super()._accept()


class Other:
    """The sequencer whose understudy is tested: says that it has applied up to `position`."""

    def __init__(self, port: int, incarnation: int = 5) -> None:
        self.position = 0
        self.pokes = 0
        self._port = port
        self.server = Stoppable(node="sequencer-1", incarnation=incarnation, on_frame=self._on_frame)

    def _on_frame(self, connection: PeerConnection, correlation: int, frame: PeerFrame) -> None:
        if isinstance(frame, Poke):
            self.pokes += 1
            return
        assert isinstance(frame, AskApplied)
        connection.send(Applied({0: self.position}), correlation | ANSWER)

    async def start(self) -> None:
        await self.server.start(HOST, self._port)


class World:
    """An understudy with real workers on a real log and store, linked to the other one."""

    def __init__(self, directory: Path, kind: type[Understudy]) -> None:
        with socket.socket() as sock:
            sock.bind((HOST, 0))
            self.port = sock.getsockname()[1]
        self.log, self.store = SqliteLog(directory, 1), SqliteStore(directory, 1)
        self.emitter = Emitter(NobodyOnline(), {})  # type: ignore[arg-type]
        self.other = Other(self.port)
        self.link = PeerLink(node="sequencer-2", incarnation=9, target="sequencer-1", address=(HOST, self.port))
        self.workers: dict[int, PartitionWorker] = {}
        self.understudy = kind(self.link, (0,), self.workers, make=self._make)
        self._client_seq = 0

    def _make(self, partition: int) -> PartitionWorker:
        return PartitionWorker(partition, message_log=self.log, store=self.store, emitter=self.emitter, group_cap=500)

    async def say(self) -> None:
        """Append a message to the log, the first time after the conversation."""
        if not self._client_seq:
            await self.log.append(0, [LogRecord(Kind.CREATE, CONV, 1, 0, 0, b"g", (1, 2), None)])
        self._client_seq += 1
        await self.log.append(0, [LogRecord(Kind.MESSAGE, CONV, 1, 10, self._client_seq, b"x", (), None)])

    async def stored(self) -> list[int]:
        """The numbers in the store."""
        return [row.seq for row in await self.store.page(CONV, 0, 100)]

    async def come_back(self, position: int) -> None:
        """The other one starts again, and has applied as much."""
        self.other = Other(self.port, incarnation=6)
        self.other.position = position
        await self.other.start()


@contextlib.asynccontextmanager
async def a_world(directory: Path, *, seen: bool = True, kind: type[Understudy] = Understudy) -> AsyncIterator[World]:
    """`seen`: the other one is up at first."""
    world = World(directory, kind)
    if seen:
        await world.other.start()
    world.link.start()
    tasks = [asyncio.create_task(world.understudy.run()), asyncio.create_task(world.emitter.run())]
    try:
        if seen:
            await until(lambda: world.link.up)
        yield world
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await world.link.close()
        await world.other.server.close()
        await world.store.close()
        await world.log.close()


async def test_it_takes_over_from_a_dead_one_and_gives_back_to_one_that_is_as_far(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        await world.say()
        assert not world.understudy.took_over
        await world.other.server.close()
        await until(lambda: world.understudy.took_over)
        await world.say()
        await until(lambda: world.workers[0].committed == 3)
        assert await world.stored() == [1, 2]
        await world.come_back(position=2)
        await until(lambda: world.link.up)
        await asyncio.sleep(understudies.LINGER_S + 0.3)
        assert world.understudy.took_over, "the other one has not applied the last record"
        world.other.position = 3
        await until(lambda: not world.understudy.took_over)
        assert world.workers == {}
        assert world.other.pokes, "what only the understudy was poked for is read by both"
        await world.other.server.close()
        await until(lambda: world.understudy.took_over, told=lambda: "not a second time")
        assert world.understudy.takeovers == 2


async def test_one_that_dies_again_while_it_gets_its_partitions_back_does_not_have_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(understudies, "LINGER_S", 0.5)
    async with a_world(tmp_path) as world:
        await world.say()
        await world.other.server.close()
        await until(lambda: world.understudy.took_over and world.workers[0].committed == 2)
        await world.come_back(position=2)
        await until(lambda: world.link.up)
        await asyncio.sleep(0.2)
        await world.other.server.close()
        await asyncio.sleep(1.0)
        assert world.understudy.took_over
        assert world.understudy.takeovers == 1


async def test_a_silent_one_keeps_its_partitions(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.other.server.mute = True
        for connection in world.other.server.connections:
            connection.abort()
        await until(lambda: not world.link.up)
        await asyncio.sleep(0.5)
        assert not world.link.up
        assert world.understudy.takeovers == 0


async def test_one_that_was_never_seen_gets_time_to_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(understudies, "NEVER_SEEN_S", 0.6)
    async with a_world(tmp_path, seen=False) as world:
        await until(lambda: world.link.refused)
        await asyncio.sleep(0.2)
        assert not world.understudy.took_over
        await until(lambda: world.understudy.took_over)
