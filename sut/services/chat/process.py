"""The chat service process: takes frames from gateways and answers over the same link."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import Final

from sut.adapters.backends import Backends
from sut.deploy.topology import Service, Topology
from sut.ports import Kind, LogRecord, MessageStore, Origin, Unavailable
from sut.process.links import by_partition, links_to
from sut.process.metrics.instruments import Hop
from sut.process.partitioning import partition_of
from sut.process.peer import PeerConnection, PeerServer
from sut.process.ready import Ready
from sut.process.serving import peers, work_until
from sut.process.trace import Hop as Step
from sut.process.trace import Trace, open_trace
from sut.protocol.frames import Close, Error, Nack, Refused, encode
from sut.protocol.peer import (
    Changed,
    Deliver,
    Deliveries,
    FetchHistory,
    FetchPage,
    PassOn,
    PeerFrame,
    Reported,
    Submit,
    SyncDevice,
    TypingIn,
)
from sut.protocol.signals import ReceiptKind
from sut.services.chat.accept import Acceptor, Pending
from sut.services.chat.fair import Behind, FairReads
from sut.services.chat.pieces import ChatPieces
from sut.services.chat.reader import NotMember, Reader
from sut.services.chat.relay import Relay
from sut.services.chat.rounds import Rounds
from sut.services.covered import covered
from sut.services.waiting import paced

MAX_CURSORS: Final = 100_000
GATHER_S: Final = 0.02
"""Seconds between two rounds of SYNCs. Those that come meanwhile share the next one: a read of the store, and a
question to each sequencer. A lone SYNC does not wait."""
GIVEN_S: Final = 0.02
MAX_GIVEN: Final = 8
"""Pages from memory that a connection is given at once in GIVEN_S: a device has at most 8 FETCHes in flight."""
CURSOR_TICK_S: Final = 1.0
"""Interval in which a share of the cursors is written; all at once would be a burst."""

log = logging.getLogger("chat")


async def serve(
    topology: Topology,
    service: Service,
    incarnation: int,
    stop: asyncio.Event,
    pieces: ChatPieces = ChatPieces(),  # noqa: B008 (frozen)
) -> None:
    """Serve gateways until `stop` is set. Raises PortInUse."""
    backends = Backends(topology, service.name)
    message_log, store = backends.log(), backends.store()
    links = links_to(topology, service, incarnation, "sequencer", on_frame=lambda frame: pass_on(server, frame))
    sequencers = covered(topology, links)
    trace = open_trace(topology, service.name)
    acceptors = [pieces.acceptor(p, message_log, way, trace=trace) for p, way in sequencers.items()]
    relay = Relay(by_partition(topology, links), receipts=topology.settings.receipts)
    chat = _Chat(acceptors, pieces.reader(store, sequencers), store, trace, relay)
    ready = Ready()
    server = PeerServer(
        node=service.name,
        incarnation=incarnation,
        secret=topology.peer_secret,
        on_frame=chat.on_frame,
        stats=lambda: chat.stats() | ready.stats(),
    )
    async with peers(service, server, links, trace.close, backends.close):
        works = [acceptor.run() for acceptor in acceptors]
        works += [chat.save_cursors(), relay.run()]
        works.append(ready.reach(lambda: message_log.committed(0), lambda: store.cursors(0)))
        await work_until(stop, works)


def pass_on(server: PeerServer, frame: PeerFrame) -> None:
    """Deliver what a sequencer cannot bring to a gateway itself, if that gateway has a link to us."""
    if isinstance(frame, PassOn):
        for gateway in server.connections:
            if (gateway.node, gateway.incarnation) == (frame.node, frame.incarnation):
                gateway.send(Deliveries(frame.items))


class _Chat:
    """Handles the frames of gateways."""

    def __init__(
        self, acceptors: list[Acceptor], reader: Reader, store: MessageStore, trace: Trace, relay: Relay
    ) -> None:
        self._relay = relay
        self._acceptors = acceptors
        self._reader = reader
        self._store = store
        self._trace = trace
        self._cursors: dict[int, dict[int, int]] = {}
        """Device -> conversation -> seq. The device that waits longest for its write comes first."""
        self._unwritten = 0
        self._reads: set[asyncio.Task[None]] = set()
        self._fair: defaultdict[str, FairReads] = defaultdict(FairReads)
        """By the sequencer asked first; "" for SYNC, which asks all. One that hangs delays only its own reads."""
        self._behind = Behind()
        self._given: Counter[tuple[str, int]] = Counter()
        """Gateway and connection -> the pages that it was given at once, until the time below."""
        self._given_until_s = 0.0
        self._syncs = Rounds(self._begin_sync, gap_s=GATHER_S)
        self._hops = {"fetch": Hop("fetch"), "sync": Hop("sync")}

    def stats(self) -> dict[str, float]:
        return {
            "appended": float(sum(acceptor.appended for acceptor in self._acceptors)),
            "append_failed": float(sum(acceptor.failed for acceptor in self._acceptors)),
            "sends_dropped": float(sum(acceptor.dropped for acceptor in self._acceptors)),
            "reads": float(len(self._reads)),
            "reads_waiting": float(sum(fair.waiting for fair in self._fair.values())),
            "reads_dropped": float(sum(fair.dropped for fair in self._fair.values())),
            "pages_hot": float(self._reader.hot),
            "pages_cold": float(self._reader.cold),
            "pages_shared": float(self._reader.shared),
            "cursors": float(self._unwritten),
            "signals_lost": float(self._relay.lost),
        }

    def on_frame(self, gateway: PeerConnection, _correlation: int, frame: PeerFrame) -> None:
        match frame:
            case Submit():
                self._submit(gateway, frame)
            case FetchPage() if (page := self._at_hand(gateway, frame)) is not None:
                gateway.send(_paged(frame, page))
            case FetchPage() | FetchHistory():
                where = frame.after if isinstance(frame, FetchPage) else frame.before
                key = type(frame), frame.conv, where
                self._read(gateway, frame, key, self._reader.asks(frame.conv), partial(self._fetch, gateway, frame))
            case SyncDevice():
                self._syncs.add((gateway, frame))
            case Reported(items):
                for user, device, conv, kind, seq in items:
                    if kind == ReceiptKind.DELIVERED:
                        self._shown(device, conv, seq)
                    self._relay.progress(conv, user, kind, seq, device=device)
            case TypingIn():
                self._relay.typing(frame)
            case Changed():
                self._relay.changed(frame)
            case _:
                gateway.abort()

    def _submit(self, gateway: PeerConnection, frame: Submit) -> None:
        self._trace.message(Step.TAKEN, frame.device, frame.client_seq)
        origin = Origin(gateway.node, gateway.incarnation, frame.conn)
        record = LogRecord(Kind.MESSAGE, frame.conv, frame.user, frame.device, frame.client_seq, frame.body, (), origin)

        def refuse(code: Nack) -> None:
            gateway.send(Deliver((frame.conn,), encode(Refused(frame.conv, frame.client_seq, code))))

        acceptor = self._acceptors[partition_of(frame.conv, len(self._acceptors))]
        if not acceptor.offer(Pending(record, refuse)):
            refuse(Nack.OVERLOADED)

    def _read(
        self,
        gateway: PeerConnection,
        frame: FetchPage | FetchHistory | SyncDevice,
        key: Hashable,
        where: str,
        reading: Callable[[], Coroutine[None, None, bool]],
    ) -> None:
        fair, flow = self._fair[where], (gateway.node, gateway.incarnation, frame.conn)

        def ended(task: asyncio.Task[None]) -> None:
            self._reads.discard(task)
            fair.done(flow)

        def start() -> None:
            task = asyncio.create_task(self._measured(hop, reading))
            self._reads.add(task)
            task.add_done_callback(ended)

        def refuse() -> None:
            hop.failed()
            _fail(gateway, frame, Nack.OVERLOADED)

        hop = self._hops["sync" if isinstance(frame, SyncDevice) else "fetch"]
        behind = not isinstance(frame, FetchPage) or self._behind.asks(flow)
        if not fair.offer(flow, key, start, behind=behind, refuse=refuse):
            refuse()

    async def _measured(self, hop: Hop, reading: Callable[[], Coroutine[None, None, bool]]) -> None:
        began_s = time.monotonic()
        if await reading():
            hop.took(time.monotonic() - began_s)
        else:
            hop.failed()

    async def _fetch(self, gateway: PeerConnection, frame: FetchPage | FetchHistory) -> bool:
        """Answer; returns False if there was no answer to give for now."""
        conv, user, limit = frame.conv, frame.user, frame.limit
        try:
            if isinstance(frame, FetchPage):
                page = await self._reader.page(conv, user, after=frame.after, limit=limit)
            else:
                page = await self._reader.page_before(conv, user, before=frame.before, limit=limit)
        except NotMember:
            _fail(gateway, frame, Nack.FOREIGN, close=Close.FOREIGN)
        except Unavailable as error:
            log.warning("fetch: %s", error, extra={"conversation": conv})
            _fail(gateway, frame, Nack.UNAVAILABLE)
            return False
        else:
            gateway.send(_paged(frame, page))
        return True

    def _at_hand(self, gateway: PeerConnection, frame: FetchPage) -> bytes | None:
        """Return the page if it is in memory; None too if the connection was given enough of these just now."""
        page = self._reader.at_hand(frame.conv, frame.user, after=frame.after, limit=frame.limit)
        if page is not None:
            now_s = time.monotonic()
            if now_s >= self._given_until_s:
                self._given.clear()
                self._given_until_s = now_s + GIVEN_S
            self._given[gateway.node, frame.conn] += 1
            if self._given[gateway.node, frame.conn] > MAX_GIVEN:
                return None
        return page

    def _begin_sync(self, asked: tuple[PeerConnection, SyncDevice]) -> None:
        gateway, frame = asked
        self._read(gateway, frame, SyncDevice, "", partial(self._sync, gateway, frame))

    async def _sync(self, gateway: PeerConnection, frame: SyncDevice) -> bool:
        """Answer; returns False if there was no answer to give for now."""
        try:
            synced = await self._reader.sync(
                frame.user, req=frame.req, after_conv=frame.after_conv, cursors=dict(frame.cursors)
            )
        except Unavailable as error:
            log.warning("sync: %s", error)
            _fail(gateway, frame, Nack.UNAVAILABLE)
            return False
        self._behind.note((gateway.node, gateway.incarnation, frame.conn), len(synced.entries))
        gateway.send(Deliver((frame.conn,), encode(synced)))
        return True

    def _shown(self, device: int, conv: int, seq: int) -> None:
        shown = self._cursors.get(device)
        if shown is None:
            if self._unwritten >= MAX_CURSORS:
                return
            shown = self._cursors[device] = {}
        elif conv not in shown and self._unwritten >= MAX_CURSORS:
            return
        self._unwritten += conv not in shown
        shown[conv] = max(seq, shown.get(conv, 0))

    async def save_cursors(self) -> None:
        """Write each device's cursors about once in the store's pace; the next RECV repeats a lost one."""
        async for taken in paced(self._cursors, tick_s=CURSOR_TICK_S, pace_s=self._store.pace.cursors_s):
            self._unwritten -= sum(map(len, taken.values()))
            try:
                await self._store.save_cursors(
                    [(device, conv, seq) for device, shown in taken.items() for conv, seq in shown.items()]
                )
            except Unavailable as error:
                log.warning("cursors: %s", error)


def _paged(frame: FetchPage | FetchHistory, page: bytes) -> Deliver:
    """Return the answer: an encoded PAGE with the number of this request."""
    return Deliver((frame.conn,), page[:1] + frame.req.to_bytes(4, "big") + page[5:])


def _fail(gateway: PeerConnection, frame: FetchPage | FetchHistory | SyncDevice, code: Nack, *, close: int = 0) -> None:
    gateway.send(Deliver((frame.conn,), encode(Error(frame.req, code)), close))
