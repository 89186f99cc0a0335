"""Who stamps what: a gateway, a chat service's acceptor and a sequencer's worker on real links, log and store."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from sut.adapters.sqlite.log import SqliteLog
from sut.adapters.sqlite.store import SqliteStore
from sut.ports import Kind, LogRecord, Unavailable
from sut.process.trace import RECORD, Hop, Trace
from sut.protocol.frames import Ack, Entry, Message, Notify, Send, encode
from sut.protocol.peer import Deliver, Submit
from sut.services.chat.accept import Acceptor, Pending
from sut.services.sequencer.emitter import Emitter
from sut.services.sequencer.worker import PartitionWorker
from tests.kit.waits import until
from tests.sut.gateway.world import World, in_world

EVERY = 4


def stamps(path: Path, *hops: Hop) -> list[tuple[int, ...]]:
    """hop, device, client_seq, conv, seq of these hops, by time."""
    found = sorted(RECORD.iter_unpack(path.read_bytes()))
    return [(hop, *rest) for _, *rest, hop in found if hop in hops]


def test_a_gateway_stamps_what_it_hands_on_and_what_it_delivers(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        async with world.device(device=11) as one, world.device(device=12):
            for client_seq in range(1, 9):
                await one.send(Send(5, client_seq, b"x"))
            await until(lambda: sum(isinstance(frame, Submit) for frame in world.forwarded) == 8)
            world.deliver([11, 12], Notify((Entry(5, 6, 0),)))
            world.deliver([12], Message(6, 7, 0, 1, 11, 1, b"x"))
            world.deliver([12], Message(6, 8, 0, 1, 11, 2, b"x"))
            world.deliver([11], Ack(5, 1, 6))
            assert world.sequencer.send(Deliver((99,), encode(Notify((Entry(5, 9, 0),)))))  # nobody there
            await until(lambda: world.registry.entries)
            assert await one.receive() == Notify((Entry(5, 6, 0),))
            assert await one.receive() == Ack(5, 1, 6)
            await world.wait_until_stat("undeliverable", lambda count: count == 1)

    in_world(scenario, tmp_path, traced=True, trace_every=EVERY)
    path = tmp_path / "metrics" / "trace-gateway-1.bin"
    assert stamps(path, Hop.OPENED) == [(Hop.OPENED, 11, 0, 0, 0), (Hop.OPENED, 12, 0, 0, 0)]
    assert stamps(path, Hop.HANDED_ON) == [(Hop.HANDED_ON, 11, seq, 0, 0) for seq in (1, 5)]
    assert stamps(path, Hop.TOLD, Hop.SENT) == [(Hop.TOLD, 0, 0, 5, 6), (Hop.SENT, 0, 0, 6, 7)]
    assert len(stamps(path, *Hop)) == 1 + 2 + 2 + 2


class FailingLog:
    """A log that does not take every other append."""

    def __init__(self) -> None:
        self.appends = 0

    async def append(self, partition: int, records: Sequence[LogRecord]) -> list[int]:
        await asyncio.sleep(0.01)
        self.appends += 1
        if self.appends % 2 == 0:
            raise Unavailable("not now")
        return []


class NoLink:
    def send(self, _frame: object) -> bool:
        return False


def message(client_seq: int, *, device: int = 1) -> LogRecord:
    return LogRecord(Kind.MESSAGE, 9, 1, device, client_seq, b"x", (), None)


def test_an_acceptor_stamps_when_an_append_begins_and_when_it_has_returned(tmp_path: Path) -> None:
    path = tmp_path / "t.bin"

    async def live() -> None:
        trace = Trace(path, every=EVERY)
        acceptor = Acceptor(0, FailingLog(), NoLink(), trace=trace)  # type: ignore[arg-type]
        running = asyncio.create_task(acceptor.run())
        for client_seq in range(1, 9):  # 3 is traced and is durable, 7 is traced and fails
            assert acceptor.offer(Pending(message(client_seq), lambda _code: None))
            if client_seq % 4 == 0:
                await until(lambda: acceptor.appended + acceptor.failed == client_seq)  # noqa: B023
        running.cancel()
        await trace.close()

    asyncio.run(live())
    found = stamps(path, Hop.APPENDING, Hop.DURABLE)
    assert found == [(Hop.APPENDING, 1, 3, 9, 0), (Hop.DURABLE, 1, 3, 9, 0), (Hop.APPENDING, 1, 7, 9, 0)]


class NobodyOnline:
    generation = 1
    certain_s = 0.0

    async def routes(self, users):
        return {}


def test_a_worker_stamps_messages_that_took_a_number_and_not_what_it_has_seen_before(tmp_path: Path) -> None:
    path = tmp_path / "t.bin"

    async def live() -> None:
        trace = Trace(path, every=EVERY)
        log, store = SqliteLog(tmp_path, 1), SqliteStore(tmp_path, 1)
        emitter = Emitter(NobodyOnline(), {})  # type: ignore[arg-type]
        records = [
            LogRecord(Kind.CREATE, 9, 1, 0, 0, b"g", (1, 2), None),
            message(3),
            LogRecord(Kind.ADD, 9, 1, 0, 0, b"", (3,), None),
            message(3),  # again
            message(4),
            LogRecord(Kind.MESSAGE, 9, 8, 2, 2, b"x", (), None),  # of no member
            message(7),
        ]
        await log.append(0, records)
        worker = PartitionWorker(
            0, message_log=log, store=store, emitter=emitter, group_cap=500, trace=trace
        )  # fmt: skip
        running = [asyncio.create_task(worker.run()), asyncio.create_task(emitter.run())]
        await until(lambda: worker.applied == len(records))
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await trace.close()
        await store.close()
        await log.close()

    asyncio.run(live())
    assert stamps(path, Hop.APPLIED) == [(Hop.APPLIED, 1, 3, 9, 1), (Hop.APPLIED, 1, 7, 9, 4)]
