"""The sequencer process: its partitions, its links to every edge node, and the questions it answers.

It is the understudy of another one too (understudy.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import Final

from sut.adapters.backends import Backends
from sut.deploy.topology import Service, Topology
from sut.process.links import links_to
from sut.process.partitioning import partition_of
from sut.process.peer import PeerConnection, PeerLink, PeerServer
from sut.process.ready import Ready
from sut.process.serving import peers, work_until
from sut.process.trace import open_trace
from sut.protocol.peer import (
    ANSWER,
    HEAD_RECOVERING,
    AllHeads,
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
    ReadAllHeads,
    ReadBefore,
    ReadHeads,
    ReadHot,
    ReadMembers,
    ReadReceipts,
    TypingIn,
)
from sut.services.sequencer.emitter import Emitter
from sut.services.sequencer.live import Live
from sut.services.sequencer.pieces import SequencerPieces
from sut.services.sequencer.retention import keep_for
from sut.services.sequencer.signals import Signals
from sut.services.sequencer.understudy import Understudy
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
    trace = open_trace(topology, service.name)
    make = partial(
        pieces.worker,
        message_log=message_log,
        store=store,
        emitter=emitter,
        group_cap=topology.settings.group_cap,
        trace=trace,
    )
    partitions = {sequencer.name: _partitions_of(topology, sequencer) for sequencer in topology.of_kind("sequencer")}
    own = {partition: make(partition) for partition in partitions[service.name]}
    workers = dict(own)  # and those of a takeover, while there is one
    others = _others(topology, service, incarnation)
    understudies = [pieces.understudy(link, partitions[name], workers, make=make) for name, link in others.items()]
    answers = Answers(workers, partitions, name=service.name)
    signals = answers.signals = pieces.signals(workers, store, emitter, worker_of=answers.worker)
    ready = Ready()
    server = PeerServer(
        node=service.name,
        incarnation=incarnation,
        secret=topology.peer_secret,
        on_frame=answers.on_frame,
        stats=lambda: _stats(own, emitter, ready) | _takeovers(understudies) | signals.stats(),
    )
    another_way.connections = server.connections
    async with peers(service, server, links | others, trace.close, backends.close):
        works = [worker.run() for worker in own.values()]
        works += [understudy.run() for understudy in understudies]
        works += [
            emitter.run(),
            emitter.watch(),
            keep_for(topology.settings.retention_days, store, list(own)),
            *signals.works(),
        ]
        # The store is not read before there is a record, and one of the sequencers creates its tables.
        works.append(ready.reach(lambda: store.cursors(0)))
        await work_until(stop, works)


def _partitions_of(topology: Topology, sequencer: Service) -> list[int]:
    return [p for p in range(topology.settings.partitions) if topology.sequencer_of(p).name == sequencer.name]


def _others(topology: Topology, service: Service, incarnation: int) -> dict[str, PeerLink]:
    """Return the links to the sequencers whose understudy this one is."""
    return links_to(
        topology, service, incarnation, "sequencer", of=lambda other: topology.understudy_of(other) == service
    )


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


class Answers:
    """Answers the questions of chat services and the API."""

    def __init__(
        self, workers: Mapping[int, PartitionWorker], partitions: Mapping[str, Collection[int]], *, name: str
    ) -> None:
        """`workers`: by partition. `partitions`: of each sequencer. `name`: of this one.

        What is asked about a partition without a worker is answered as by one that recovers.
        """
        self._workers = workers
        self._of = partitions
        self._name = name
        self._partitions = sum(map(len, partitions.values()))
        self.signals: Signals | None = None

    def on_frame(self, connection: PeerConnection, correlation: int, frame: PeerFrame) -> None:
        match frame:
            case Poke(partition):
                if partition in self._workers:
                    self._workers[partition].poke()
            case ReadHot() | ReadBefore():
                connection.send(self._read_hot(frame), correlation | ANSWER)
            case ReadHeads(user, convs, of):
                connection.send(self._heads(user, convs, of or self._name), correlation | ANSWER)
            case ReadAllHeads(asked):
                answers = tuple(self._heads(one.user, one.convs, one.of or self._name) for one in asked)
                connection.send(AllHeads(answers), correlation | ANSWER)
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
        live, unknown = self._look(frame.conv)
        if live is None:
            return HotPage(hit=False, member=False, head=unknown, page=b"")
        if isinstance(frame, ReadBefore):
            return live.page_before(frame.user, frame.before, frame.limit)
        return live.page(frame.user, frame.after, frame.limit)

    def _members(self, conv: int) -> Members:
        live, unknown = self._look(conv)
        return live.members() if live is not None else Members(unknown, "", ())

    def _heads(self, user: int, convs: tuple[int, ...], of: str) -> Heads:
        workers = self._workers.values()
        meant = [self._workers.get(partition) for partition in self._of.get(of, ())]
        caught_up = bool(meant) and all(worker is not None and worker.caught_up for worker in meant)
        fresh = [conv for worker in workers for conv in worker.fresh.of(user)]
        told = tuple((conv, self._head(user, conv)) for conv in fresh[:MAX_FRESH])
        # One that has left the memory already is in the store, perhaps since a moment after it was read there.
        forgotten = any(head < 0 and conv not in convs for conv, head in told)
        complete = len(fresh) <= MAX_FRESH and not forgotten and caught_up
        heads = tuple(self._head(user, conv) for conv in convs)
        return Heads(heads, tuple((conv, head) for conv, head in told if head > 0), complete)

    def _head(self, user: int, conv: int) -> int:
        live, unknown = self._look(conv)
        return live.head_for(user) if live is not None else unknown

    def _look(self, conv: int) -> tuple[Live | None, int]:
        """Return a conversation that is in memory, and the head to report if it is not."""
        worker = self.worker(conv)
        return (None, HEAD_RECOVERING) if worker is None else (worker.live(conv), worker.unknown_head)

    def worker(self, conv: int) -> PartitionWorker | None:
        """Return the worker of a conversation; None if its partition is not worked on here."""
        return self._workers.get(partition_of(conv, self._partitions))


def _takeovers(understudies: Collection[Understudy]) -> dict[str, float]:
    return {
        "takeovers": float(sum(understudy.takeovers for understudy in understudies)),
        "taken_over": float(sum(understudy.took_over for understudy in understudies)),
    }


def _stats(workers: Mapping[int, PartitionWorker], emitter: Emitter, ready: Ready) -> dict[str, float]:
    stats = {
        "applied": float(sum(worker.applied for worker in workers.values())),
        "repeated": float(sum(worker.repeated for worker in workers.values())),
        "refused": float(sum(worker.refused for worker in workers.values())),
        "unstored": float(sum(worker.unstored for worker in workers.values())),
        "behind": float(sum(not worker.caught_up for worker in workers.values())),
        "ready": min(float(all(worker.caught_up for worker in workers.values())), *ready.stats().values()),
        "conversations": float(sum(worker.conversations for worker in workers.values())),
        "answers": float(emitter.answers),
        "notifications": float(emitter.notifications),
        "unrouted": float(emitter.unrouted),
        "told_again": float(emitter.told_again),
        "dropped": float(emitter.dropped),
        "passed_on": float(emitter.passed),
    }
    stats |= {f"lag_{p}": float(worker.lag) for p, worker in workers.items() if worker.lag is not None}
    return stats | {f"committed_{p}": float(worker.committed) for p, worker in workers.items()}
