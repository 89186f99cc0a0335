"""The sequencer process: its partitions, its links to every edge node, and the questions it answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from sut.adapters.backends import open_log, open_registry, open_store
from sut.deploy.topology import Service, Topology
from sut.partitioning import partition_of
from sut.peer import PeerConnection, PeerLink, PeerServer
from sut.protocol.peer import (
    ANSWER,
    Applied,
    AskApplied,
    Early,
    Heads,
    HotPage,
    PeerFrame,
    Poke,
    ReadHeads,
    ReadHot,
)
from sut.services.ready import Ready
from sut.services.sequencer.emitter import Emitter
from sut.services.sequencer.worker import PartitionWorker
from sut.trace import open_trace
from sut.variants import worker_class


async def serve(topology: Topology, service: Service, incarnation: int, stop: asyncio.Event) -> None:
    """Sequence this service's partitions until `stop` is set."""
    message_log, store = open_log(topology, service.name), open_store(topology, service.name)
    registry = open_registry(topology, service.name)
    links = {
        edge.name: PeerLink(
            node=service.name,
            incarnation=incarnation,
            target=edge.name,
            address=topology.dial(service.name, edge.name),
        )
        for edge in (*topology.of_kind("gateway"), *topology.of_kind("api"))
    }
    emitter = Emitter(registry, links)
    owned = [p for p in range(topology.settings.partitions) if topology.sequencer_of(p).name == service.name]
    make_worker = worker_class(topology)
    trace = open_trace(topology, service.name)
    workers = {
        partition: make_worker(
            partition,
            message_log=message_log,
            store=store,
            emitter=emitter,
            group_cap=topology.settings.group_cap,
            trace=trace,
        )
        for partition in owned
    }
    answers = _Answers(workers, topology.settings.partitions)
    ready = Ready()
    server = PeerServer(
        node=service.name,
        incarnation=incarnation,
        on_frame=answers.on_frame,
        stats=lambda: _stats(workers, emitter, ready),
    )
    await server.start(service.host, service.ports["peer"])
    for link in links.values():
        link.start()
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(worker.run()) for worker in workers.values()]
            tasks.append(group.create_task(emitter.run()))
            # Nobody reads the store before there is a record, and one of the sequencers makes its tables.
            tasks.append(group.create_task(ready.reach(lambda: store.cursors(0))))
            await stop.wait()
            for task in tasks:
                task.cancel()
    finally:
        await server.close()
        for link in links.values():
            await link.close()
        for closing in (trace.close, registry.close, store.close, message_log.close):
            with contextlib.suppress(Exception):
                await closing()


class _Answers:
    """What chat services and the API ask of a sequencer."""

    def __init__(self, workers: Mapping[int, PartitionWorker], partitions: int) -> None:
        self._workers = workers
        self._partitions = partitions

    def on_frame(self, connection: PeerConnection, correlation: int, frame: PeerFrame) -> None:
        match frame:
            case Poke(partition):
                if partition in self._workers:
                    self._workers[partition].poke()
            case ReadHot():
                connection.send(self._read_hot(frame), correlation | ANSWER)
            case ReadHeads(user, convs):
                connection.send(Heads(tuple(self._head(user, conv) for conv in convs)), correlation | ANSWER)
            case AskApplied():
                positions = {partition: worker.position for partition, worker in self._workers.items()}
                connection.send(Applied(positions), correlation | ANSWER)
            case Early(partition, record):
                if partition in self._workers:
                    self._workers[partition].early(record)
            case _:
                connection.abort()

    def _read_hot(self, frame: ReadHot) -> HotPage:
        worker = self._worker(frame.conv)
        live = worker.live(frame.conv)
        if live is None:
            return HotPage(hit=False, member=False, head=worker.unknown_head, page=b"")
        return live.page(frame.user, frame.after, frame.limit)

    def _head(self, user: int, conv: int) -> int:
        worker = self._worker(conv)
        live = worker.live(conv)
        return live.head_for(user) if live is not None else worker.unknown_head

    def _worker(self, conv: int) -> PartitionWorker:
        return self._workers[partition_of(conv, self._partitions)]


def _stats(workers: Mapping[int, PartitionWorker], emitter: Emitter, ready: Ready) -> dict[str, float]:
    stats = {
        "applied": float(sum(worker.applied for worker in workers.values())),
        "unstored": float(sum(worker.unstored for worker in workers.values())),
        "behind": float(sum(not worker.caught_up for worker in workers.values())),
        "ready": min(float(all(worker.caught_up for worker in workers.values())), *ready.stats().values()),
        "conversations": float(sum(worker.conversations for worker in workers.values())),
        "answers": float(emitter.answers),
        "notifications": float(emitter.notifications),
        "unrouted": float(emitter.unrouted),
        "dropped": float(emitter.dropped),
    }
    return stats | {f"committed_{p}": float(worker.committed) for p, worker in workers.items()}
