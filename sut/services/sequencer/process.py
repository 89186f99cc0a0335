"""The sequencer process: its partitions, its links to every edge node, and the questions it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from sut.adapters.backends import Backends
from sut.deploy.topology import Service, Topology
from sut.process.links import links_to
from sut.process.partitioning import partition_of
from sut.process.peer import PeerConnection, PeerServer
from sut.process.ready import Ready
from sut.process.serving import peers, work_until
from sut.process.trace import open_trace
from sut.protocol.peer import (
    ANSWER,
    Applied,
    AskApplied,
    Changed,
    Early,
    Heads,
    HotPage,
    Members,
    PassOn,
    PeerFrame,
    Poke,
    Progress,
    ReadBefore,
    ReadHeads,
    ReadHot,
    ReadMembers,
    ReadReceipts,
    TypingIn,
)
from sut.services.sequencer.emitter import Emitter
from sut.services.sequencer.pieces import SequencerPieces
from sut.services.sequencer.retention import keep_for
from sut.services.sequencer.signals import Signals
from sut.services.sequencer.worker import PartitionWorker

MAX_FRESH: Final = 1_000
"""Conversations of one answer that a user came into just now; who came into more is told STALE."""


async def serve(
    topology: Topology,
    service: Service,
    incarnation: int,
    stop: asyncio.Event,
    pieces: SequencerPieces = SequencerPieces(),  # noqa: B008 (frozen)
) -> None:
    """Sequence this service's partitions until `stop` is set. Raises PortInUse."""
    backends = Backends(topology, service.name)
    message_log, store = backends.log(), backends.store()

    def from_edge(frame: PeerFrame) -> None:
        emitter.on_frame(frame)

    links = links_to(topology, service, incarnation, "gateway", "api", on_frame=from_edge)
    another_way = AnotherWay(chat.name for chat in topology.of_kind("chat"))
    gateways = [gateway.name for gateway in topology.of_kind("gateway")]
    emitter = pieces.emitter(backends.registry(), links, confirming=gateways, pass_on=another_way.send)
    owned = [p for p in range(topology.settings.partitions) if topology.sequencer_of(p).name == service.name]
    trace = open_trace(topology, service.name)
    workers = {
        partition: pieces.worker(
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
    signals = answers.signals = pieces.signals(workers, store, emitter, worker_of=answers.worker)
    ready = Ready()
    server = PeerServer(
        node=service.name,
        incarnation=incarnation,
        secret=topology.peer_secret,
        on_frame=answers.on_frame,
        stats=lambda: _stats(workers, emitter, ready) | signals.stats(),
    )
    another_way.connections = server.connections
    async with peers(service, server, links, trace.close, backends.close):
        works = [worker.run() for worker in workers.values()]
        works += [
            emitter.run(),
            emitter.watch(),
            keep_for(topology.settings.retention_days, store, owned),
            *signals.works(),
        ]
        # The store is not read before there is a record, and one of the sequencers creates its tables.
        works.append(ready.reach(lambda: store.cursors(0)))
        await work_until(stop, works)


class AnotherWay:
    """The way to a gateway through a chat service: each in turn, of those that are linked to us."""

    def __init__(self, chats: Iterable[str]) -> None:
        self._chats = frozenset(chats)
        self.connections: Collection[PeerConnection] = ()
        """The accepted links."""
        self._turn = 0

    def send(self, frame: PassOn) -> bool:
        """Send it to a chat service. False: none took it."""
        chats = sorted((c for c in self.connections if c.node in self._chats), key=lambda chat: chat.node)
        self._turn += 1
        return any(chats[(self._turn + step) % len(chats)].send(frame) for step in range(len(chats)))


class _Answers:
    """Answers the questions of chat services and the API."""

    def __init__(self, workers: Mapping[int, PartitionWorker], partitions: int) -> None:
        self._workers = workers
        self._partitions = partitions
        self.signals: Signals | None = None

    def on_frame(self, connection: PeerConnection, correlation: int, frame: PeerFrame) -> None:
        match frame:
            case Poke(partition):
                if partition in self._workers:
                    self._workers[partition].poke()
            case ReadHot() | ReadBefore():
                connection.send(self._read_hot(frame), correlation | ANSWER)
            case ReadHeads(user, convs):
                connection.send(self._heads(user, convs), correlation | ANSWER)
            case ReadMembers(conv):
                connection.send(self._members(conv), correlation | ANSWER)
            case AskApplied():
                positions = {partition: worker.position for partition, worker in self._workers.items()}
                connection.send(Applied(positions), correlation | ANSWER)
            case Early(partition, record):
                if partition in self._workers:
                    self._workers[partition].early(record)
            case Progress() | TypingIn() | ReadReceipts() | Changed():
                answer = self.signals.on_frame(frame) if self.signals is not None else None
                if answer is not None:
                    connection.send(answer, correlation | ANSWER)
            case _:
                connection.abort()

    def _read_hot(self, frame: ReadHot | ReadBefore) -> HotPage:
        worker = self.worker(frame.conv)
        live = worker.live(frame.conv)
        if live is None:
            return HotPage(hit=False, member=False, head=worker.unknown_head, page=b"")
        if isinstance(frame, ReadBefore):
            return live.page_before(frame.user, frame.before, frame.limit)
        return live.page(frame.user, frame.after, frame.limit)

    def _members(self, conv: int) -> Members:
        worker = self.worker(conv)
        live = worker.live(conv)
        return live.members() if live is not None else Members(worker.unknown_head, "", ())

    def _heads(self, user: int, convs: tuple[int, ...]) -> Heads:
        workers = self._workers.values()
        fresh = [conv for worker in workers for conv in worker.fresh.of(user)]
        told = tuple((conv, self._head(user, conv)) for conv in fresh[:MAX_FRESH])
        # One that has left the memory already is in the store, perhaps since a moment after it was read there.
        forgotten = any(head < 0 and conv not in convs for conv, head in told)
        complete = len(fresh) <= MAX_FRESH and not forgotten and all(worker.caught_up for worker in workers)
        heads = tuple(self._head(user, conv) for conv in convs)
        return Heads(heads, tuple((conv, head) for conv, head in told if head > 0), complete)

    def _head(self, user: int, conv: int) -> int:
        worker = self.worker(conv)
        live = worker.live(conv)
        return live.head_for(user) if live is not None else worker.unknown_head

    def worker(self, conv: int) -> PartitionWorker:
        """Return the worker of a conversation."""
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
        "passed_on": float(emitter.passed),
    }
    return stats | {f"committed_{p}": float(worker.committed) for p, worker in workers.items()}
